"""Whether two builds hold the same photographs and, pixel for pixel, the same masks."""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

MOST_MASKS = 2000
"""Masks compared at most, evenly spread."""


def differences(ours: Path, theirs: Path) -> list[str]:
    """What differs, one line each."""
    names = sorted(path.stem.removeprefix("coco-") for path in (ours / "images").iterdir())
    others = sorted(path.stem for path in (theirs / "images").iterdir())
    if names != others:
        return [f"{name} is in one build alone" for name in sorted({*names} ^ {*others})]
    found = []
    for name in names:
        if not (ours / "images" / f"coco-{name}.jpg").samefile(theirs / "images" / f"{name}.jpg"):
            found.append(f"{name}: not the same photograph")
    for name in names[:: max(1, len(names) // MOST_MASKS)]:
        mine, other = ours / "masks" / f"coco-{name}.png", theirs / "masks" / f"{name}.png"
        if not np.array_equal(np.array(Image.open(mine)), np.array(Image.open(other))):
            found.append(f"{name}: not the same mask")
    return found


if __name__ == "__main__":
    print(json.dumps({"differences": differences(*map(Path, sys.argv[1:]))}))
