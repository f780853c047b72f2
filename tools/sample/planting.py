"""Which images get which label error: chosen by the seed among images that stay in the usual selection.

The usual selection is one or two counted people, no crowd, 0.2 to 0.7 of the picture. A wrong label that left it
would be dropped by the rules and nobody would ever look for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tools.sample.drawing import Drawn
from tools.sample.errors import damage, people_of, share_and_iou
from tools.sample.labels import Label

COCO_KINDS = ("shift", "erode", "bite", "coarse", "box", "drop-person", "blob", "swap", "hole", "dilate", "shift")
VOC_KINDS = ("erode", "bite", "shift")
SHARE_KEPT = (0.225, 0.675)
IOU_WRONG = (0.3, 0.87)
"""A planted error must be plain to see, but still be about this image."""


@dataclass(frozen=True)
class Planted:
    """One wrongly labelled image, as listed in planted.json.

    Attributes:
        file: the photo's path inside the sample.
        kind: one of `errors.KINDS`.
        iou: IoU of the wrongly labelled people's pixels with the true ones, three decimals.
        other: for "swap" the photo whose labels it got, else "".
    """

    file: str
    kind: str
    iou: float
    other: str = ""


def _candidates(drawn: list[Drawn], source: str) -> list[Drawn]:
    """Images of one or two people that are labelled, in colour and have no twin."""
    twins = {d.spec.twin_of for d in drawn} | {d.spec.key for d in drawn if d.spec.twin_of}
    return [
        d
        for d in drawn
        if d.spec.source == source and d.spec.recipe.intent == "fit" and not d.spec.recipe.grey
        and d.spec.key not in twins and d.spec.split != "unlisted"
    ]  # fmt: skip


def _acceptable(wrong: list[Label], image: Drawn) -> float | None:
    """IoU of the wrong label with the truth where both limits hold, else None."""
    if not 1 <= len(people_of(wrong)) <= 2:
        return None
    share, iou = share_and_iou(wrong, image.labels, image.size_hw)
    fits = SHARE_KEPT[0] < share < SHARE_KEPT[1] and IOU_WRONG[0] < iou < IOU_WRONG[1]
    return round(iou, 3) if fits else None


def _damaged(image: Drawn, kind: str, seed: int) -> tuple[Drawn, Planted] | None:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, image.spec.recipe.scene, 99])))
    wrong = damage(image.labels, kind, rng)
    iou = _acceptable(wrong, image) if wrong is not None else None
    if wrong is None or iou is None:
        return None
    return replace(image, labels=wrong), Planted(image.spec.file, kind, iou)


def _swapped(pool: list[Drawn]) -> Iterator[tuple[Drawn, Planted]]:
    """The first two images of one size and one person each that can exchange their labels."""
    alone = [d for d in pool if len(people_of(d.labels)) == 1]
    for i, first in enumerate(alone):
        for second in alone[i + 1 :]:
            if first.size_hw != second.size_hw:
                continue
            there, back = _acceptable(second.labels, first), _acceptable(first.labels, second)
            if there is not None and back is not None:
                yield replace(first, labels=second.labels), Planted(first.spec.file, "swap", there, second.spec.file)
                yield replace(second, labels=first.labels), Planted(second.spec.file, "swap", back, first.spec.file)
                return


def _choose(pool: list[Drawn], kinds: tuple[str, ...], seed: int) -> list[tuple[Drawn, Planted]]:
    """For each kind the first image of the pool, not hit yet, on which it works."""
    chosen: list[tuple[Drawn, Planted]] = []
    for kind in kinds:
        hit = {planted.file for _, planted in chosen}
        free = [d for d in pool if d.spec.file not in hit]
        if kind == "swap":
            chosen += _swapped(free)
        else:
            chosen.append(next(result for d in free if (result := _damaged(d, kind, seed)) is not None))
    return chosen


def plant(drawn: list[Drawn], seed: int) -> tuple[list[Drawn], list[Planted]]:
    """The images with some labels replaced by wrong ones, and the list of those, both sorted by file."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1_000_000])))
    chosen: list[tuple[Drawn, Planted]] = []
    for source, kinds in (("coco", COCO_KINDS), ("voc", VOC_KINDS)):
        pool = _candidates(drawn, source)
        chosen += _choose([pool[int(i)] for i in rng.permutation(len(pool))], kinds, seed)
    wrong = {planted.file: image for image, planted in chosen}
    return [wrong.get(d.spec.file, d) for d in drawn], sorted((p for _, p in chosen), key=lambda p: p.file)
