"""Search near duplicates among signatures of drawn thumbnails, some of which are copies of others."""

import json
import sys
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.choosing.duplicates import near_pairs, signature

COPIES = 0.02
"""Share of the images that are copies, to the pixel, of another."""


def thumbnails(rng: np.random.Generator, images: int) -> list[NDArray[np.uint8]]:
    """Smooth grey thumbnails, (32, 32) uint8 each, no two alike."""
    coarse = rng.integers(0, 256, (images, 6, 6), np.uint8)
    return [cv2.resize(one, (32, 32), interpolation=cv2.INTER_CUBIC) for one in coarse]


def main(images: int) -> None:
    """Print the seconds of the search and how many planted copies it missed."""
    rng = np.random.default_rng([images, 7])
    copies = int(COPIES * images)
    originals = np.array([signature(one) for one in thumbnails(rng, images - copies)])
    copied = rng.permutation(len(originals))[:copies]
    signatures = np.concatenate([originals, originals[copied]])
    begun, cpu = time.perf_counter(), time.process_time()
    pairs = near_pairs(signatures)
    cost = {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
    found = {(min(pair), max(pair)) for pair in pairs.tolist()}
    missed = sum((one, len(originals) + other) not in found for other, one in enumerate(copied.tolist()))
    print(json.dumps({**cost, "pairs": len(pairs), "missed": missed}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
