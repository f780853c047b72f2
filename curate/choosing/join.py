"""Images added to a dataset version: chosen by the rules it was built by, placed beside its images, which stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from curate.choosing.choose import choose
from curate.choosing.recipe import Recipe
from curate.choosing.selection import Selection, judge_labels, start_with
from curate.dataset import Dataset, FunnelStep
from curate.sources import Read
from curate.threads import Watch


def choose_beside(standing: Dataset, read: Read, recipe: Recipe, folder: Path, watch: Watch) -> Selection:
    """Which images of a source a version takes in, with group, split and fold; none that it has is moved.

    An image that looks like one that is there joins its group, or goes, as the recipe says.

    Args:
        standing: The version.
        read: The source.
        recipe: Of the version's build. What it says of the build's own sources is passed over.
        folder: Where masks are written, into its `masks`; those of images dropped later are among them.
        watch: Told of progress.

    Raises:
        CurateError: A photograph of the version cannot be read.
    """
    start = start_with(rules_alone(recipe), [read], standing=standing)
    return choose(judge_labels(start, watch), folder, watch)


def rules_alone(recipe: Recipe) -> Recipe:
    """The recipe without what is about the sources of its build: their paths, samples of them, verdicts on them."""
    plain = Recipe()
    names = ("coco", "images", "voc", "pairs", "pool", "zoo", "from_", "merge", "take", "backgrounds", "decisions")
    return msgspec.structs.replace(recipe, **{name: getattr(plain, name) for name in names})


def join_funnels(
    one: Sequence[FunnelStep], other: Sequence[FunnelStep], again: Mapping[str, int] | None = None
) -> list[FunnelStep]:
    """The funnel of two selections together: every rule takes what it took of either.

    Args:
        one: A finished funnel; the last step is what is kept.
        other: One of other images, not finished.
        again: Rule -> images it took in `one` that are looked at again in `other`, and so do not count twice.

    >>> one = [FunnelStep("looked at", "looked at", 5), FunnelStep("area", "large", 3), FunnelStep("kept", "kept", 3)]
    >>> other = [FunnelStep("looked at", "looked at", 4), FunnelStep("area", "large", 3)]
    >>> [(step.rule, step.remaining) for step in join_funnels(one, other, {"area": 1})]
    [('looked at', 8), ('area', 6), ('kept', 6)]
    """
    less, taken = Counter(again or {}), dict[tuple[str, str], int]()
    for (rule, label), count in takes_of(one):
        spared = min(count, less[rule])
        less[rule] -= spared
        taken[rule, label] = taken.get((rule, label), 0) + count - spared
    for step, count in takes_of(other):
        if count or step in taken:
            taken[step] = taken.get(step, 0) + count
    left = sum(funnel[0].remaining for funnel in (one, other) if funnel) - sum((again or {}).values())
    steps = [FunnelStep("looked at", "looked at", left)]
    for (rule, label), count in taken.items():
        left -= count
        steps.append(FunnelStep(rule, label, left))
    return [*steps, FunnelStep("kept", "kept", left)]


def takes_of(funnel: Sequence[FunnelStep]) -> list[tuple[tuple[str, str], int]]:
    """What each rule of a funnel took: its name and label, and how many images."""
    return [
        ((step.rule, step.label), before.remaining - step.remaining)
        for before, step in pairwise(funnel)
        if step.rule != "kept"
    ]
