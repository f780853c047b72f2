"""Saved views: named by what they show, worst first, there even where they are empty."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations

import fiftyone as fo
from fiftyone import ViewField as F

from curate import schema
from label.findings import SUSPECT
from review.slices import SLICES
from train.scoring.metrics import GOOD_IOU

WORST, SUSPECTED = "worst tenth", "suspected labels"
CHECKED, LOOK_ALIKES = "label check", "near duplicates"

MEANINGS = {
    WORST: "the tenth of the images with the lowest IoU, worst first",
    SUSPECTED: "training images whose label is more likely wrong than the model, most suspect first",
    CHECKED: "labels that `curate label check` takes for wrong, the surest first",
    LOOK_ALIKES: "images that are not alone in their group, group by group",
}


def save_views(shown: fo.Dataset, prefixes: Sequence[str], at_hand: Sequence[str]) -> None:
    """Save every view by its fixed name, and drop those that compared runs which are not at hand.

    Args:
        shown: The dataset with its fields up to date.
        prefixes: All its runs, the leading one first; none where no run was ever shown.
        at_hand: Those that are compared with one another.
    """
    lead = prefixes[0] if prefixes else None
    views = dict([*views_of_run(shown, lead), *views_of_dataset(shown, lead), *comparisons(shown, at_hand)])
    for name in set(shown.list_saved_views()) - set(views):
        if MARK in name:
            shown.delete_saved_view(name)
    for name, view in views.items():
        shown.save_view(name, view, description=MEANINGS.get(name), overwrite=shown.has_saved_view(name))


def views_of_run(shown: fo.Dataset, prefix: str | None) -> Iterator[tuple[str, fo.DatasetView]]:
    """The worst tenth, a view for each kind of failure, and the suspected labels."""
    if prefix is None:
        nothing = shown.match(F("sample_id") == "")
        yield from dict.fromkeys(
            (WORST, *(kind.replace("-", " ") for kind in schema.FAILURE_KINDS), SUSPECTED), nothing
        ).items()
        return
    yield WORST, shown.exists(f"{prefix}_iou").sort_by(f"{prefix}_iou").limit(tenth_of(shown, prefix))
    for kind in schema.FAILURE_KINDS:
        failing = (F(f"{prefix}_failure") == kind) & (F(f"{prefix}_severity") > 0)
        yield kind.replace("-", " "), shown.match(failing).sort_by(f"{prefix}_severity", reverse=True)
    doubted = shown.match((F(f"{prefix}_triage") == "relabel") & (F("suspicion") > 0))
    yield SUSPECTED, doubted.sort_by("suspicion", reverse=True)


def views_of_dataset(shown: fo.Dataset, prefix: str | None) -> Iterator[tuple[str, fo.DatasetView]]:
    """A view for each slice, the worst images first, what the label check found, and the near duplicates."""
    for name in SLICES:
        members = shown.match(F("slices").contains([name]))
        yield name, members.sort_by(f"{prefix}_severity", reverse=True) if prefix else members
    yield CHECKED, shown.match(F("label_severity") >= SUSPECT).sort_by("label_severity", reverse=True)
    yield LOOK_ALIKES, shown.match(F("look_alikes") > 0).sort_by("group")


MARK = " right, "
"""In the name of every view that compares two runs, and of no other."""


def comparisons(shown: fo.Dataset, at_hand: Sequence[str]) -> Iterator[tuple[str, fo.DatasetView]]:
    """For each two runs the images of which one is good and the other is not, the widest apart first."""
    for right, wrong in permutations(at_hand, 2):
        ahead = F(f"{right}_iou") - F(f"{wrong}_iou")
        both = shown.exists(f"{right}_iou").exists(f"{wrong}_iou")
        apart = both.match((F(f"{right}_iou") >= GOOD_IOU) & (F(f"{wrong}_iou") < GOOD_IOU))
        yield f"{right}{MARK}{wrong} wrong", apart.sort_by(ahead, reverse=True)


def tenth_of(shown: fo.Dataset, prefix: str) -> int:
    """How many images the worst tenth of a run holds: ceil(n / 10) of those with an IoU, at least one."""
    scored: int = shown.count(f"{prefix}_iou")
    return max(1, math.ceil(scored / 10))
