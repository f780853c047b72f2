"""Import PNG masks into a dataset, as `curate label import` does."""

import json
import shutil
import sys
import time
from pathlib import Path

from curate.dataset import open_dataset
from label.importing import Request, import_labels


def main(folder: Path) -> None:
    """Print how many masks came in and the seconds it took."""
    out = folder / "people-2"
    shutil.rmtree(out, ignore_errors=True)
    begun = time.perf_counter()
    imported = import_labels(open_dataset(folder / "people"), out, Request(folder / "labels"))
    print(json.dumps({"imported": len(imported.intake.edited), "wall_s": time.perf_counter() - begun}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
