"""Which scenes the sample has, under which names, in which split, and which of them are twins."""

from dataclasses import dataclass, replace

import numpy as np

from tools.sample.noise import pick
from tools.sample.scenes import Recipe

COCO_INTENTS = {"fit": 155, "nobody": 19, "many": 18, "crowd": 12, "small": 27, "large": 9}
VOC_INTENTS = {"fit": 40, "nobody": 5, "many": 5, "small": 7, "large": 3}
COCO_VAL = 50
VOC_UNLISTED = 6
SIZES_HW = (
    (240, 320), (240, 320), (240, 320), (240, 320), (320, 240), (320, 240), (256, 256), (214, 320), (320, 256),
    (225, 300), (333, 250),
)  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """One image of the sample.

    Attributes:
        recipe: the scene that is drawn.
        source: "coco" or "voc".
        split: COCO's "train2017" or "val2017"; VOC's "train", "val" or "unlisted".
        key: the file's stem.
        change: "" for a scene of its own, "same" for a byte-equal copy of another image, "brighter" for the same
            scene brightened and saved again.
        twin_of: key of the image it repeats, or "".
    """

    recipe: Recipe
    source: str
    split: str
    key: str
    change: str = ""
    twin_of: str = ""

    @property
    def file(self) -> str:
        """Path of the photo inside the sample, POSIX."""
        if self.source == "coco":
            return f"coco/{self.split}/{self.key}.jpg"
        return f"VOC2012/JPEGImages/{self.key}.jpg"


def _shuffled_intents(rng: np.random.Generator, counts: dict[str, int]) -> list[str]:
    every = [intent for intent, count in counts.items() for _ in range(count)]
    return [every[int(i)] for i in rng.permutation(len(every))]


def _coco_specs(rng: np.random.Generator) -> list[Spec]:
    intents = _shuffled_intents(rng, COCO_INTENTS)
    ids = sorted(int(i) for i in rng.choice(580_000, size=len(intents), replace=False) + 1)
    val = {int(i) for i in rng.choice(len(ids), size=COCO_VAL, replace=False)}
    return [
        Spec(Recipe(n, intent, pick(rng, SIZES_HW)), "coco", "val2017" if n in val else "train2017", f"{ids[n]:012d}")
        for n, intent in enumerate(intents)
    ]


def _voc_specs(rng: np.random.Generator, first: int) -> list[Spec]:
    intents = _shuffled_intents(rng, VOC_INTENTS)
    numbers = sorted(int(i) for i in rng.choice(6000, size=len(intents), replace=False) + 1)
    order = [int(i) for i in rng.permutation(len(intents))]
    splits = {n: "unlisted" if rank < VOC_UNLISTED else ("train", "val")[rank % 2] for rank, n in enumerate(order)}
    return [
        Spec(Recipe(first + n, intent, pick(rng, SIZES_HW)), "voc", splits[n], f"2012_{numbers[n]:06d}")
        for n, intent in enumerate(intents)
    ]


def _twin(specs: list[Spec], original: Spec, place: Spec, change: str) -> None:
    """Lets `place` repeat `original`."""
    specs[specs.index(place)] = replace(place, recipe=original.recipe, change=change, twin_of=original.key)


def _add_twins(specs: list[Spec]) -> None:
    """Four pairs among images of one or two people: across COCO's splits, across sources, and nearly equal."""
    fit = [spec for spec in specs if spec.recipe.intent == "fit" and not spec.recipe.grey]
    train = [spec for spec in fit if spec.split == "train2017"]
    val = [spec for spec in fit if spec.split == "val2017"]
    voc = [spec for spec in fit if spec.split in ("train", "val")]
    _twin(specs, train[3], val[5], "same")
    _twin(specs, train[11], voc[7], "same")
    _twin(specs, train[23], train[60], "brighter")
    _twin(specs, voc[2], voc[20], "brighter")


def make_plan(seed: int) -> list[Spec]:
    """Every image of the sample, sorted by file."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed])))
    specs = _coco_specs(rng)
    specs += _voc_specs(rng, len(specs))
    alone = [n for n, spec in enumerate(specs) if spec.recipe.intent == "fit"]
    for n in (alone[30], alone[77]):
        specs[n] = replace(specs[n], recipe=replace(specs[n].recipe, grey=True))
    _add_twins(specs)
    return sorted(specs, key=lambda spec: spec.file)
