"""A full build through the library, with the time of each of its stages."""

import json
import sys
import time
from pathlib import Path

from bench.contenders.sentence import MAX_AREA, MAX_PEOPLE, MIN_AREA
from curate.choosing.build import build_dataset
from curate.choosing.recipe import Recipe
from curate.threads import Tick, unwatched


class StageClock:
    """A Watch that notes when each stage begins; a stage ends where the next one begins."""

    def __init__(self) -> None:
        self._begun = [("reading labels", time.perf_counter())]

    def __call__(self, what: str, total: int) -> Tick:
        """A stage begins."""
        self._begun.append((what, time.perf_counter()))
        return unwatched(what, total)

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds; the last one, and what follows it, ends now."""
        ends = [at for _, at in self._begun[1:]] + [time.perf_counter()]
        stages: dict[str, float] = {}
        for (what, at), end in zip(self._begun, ends, strict=True):
            stages[what] = stages.get(what, 0.0) + end - at
        return stages


def main(path: Path, photos: Path, out: Path) -> None:
    """Build the dataset; print how many images it holds and the seconds of each stage."""
    recipe = Recipe(coco=[str(path)], images=[str(photos)], min_area=MIN_AREA, max_area=MAX_AREA, max_people=MAX_PEOPLE)
    clock = StageClock()
    built = build_dataset(recipe, out, watch=clock)
    print(json.dumps({"kept": built.header.counts["images"], "stages": clock.seconds()}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
