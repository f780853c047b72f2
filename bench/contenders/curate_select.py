"""Which images `curate build --dry-run` keeps, by name; it prints their number alone, which proves little."""

import json
import sys
from pathlib import Path

from bench.contenders.sentence import MAX_AREA, MAX_PEOPLE, MIN_AREA
from curate.choosing.recipe import Recipe
from curate.choosing.selection import select


def main(path: Path) -> None:
    """Print the file stems of the images that are kept, sorted."""
    recipe = Recipe(coco=[str(path)], min_area=MIN_AREA, max_area=MAX_AREA, max_people=MAX_PEOPLE)
    kept = select(recipe, exact_drops=False).kept["sample_id"]
    print(json.dumps({"kept": sorted(sample_id.removeprefix("coco-") for sample_id in kept)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
