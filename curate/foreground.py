"""What counts as foreground: who is a person, and what becomes of held objects and animals that touch one.

Two products answer differently. A selfie app keeps the snowboard in its owner's hand; a fashion shop wants the person
alone. Seed data sets hold both kinds of images, so the answer is part of the recipe, and `touching` records the
categories whatever it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # a recipe names what is foreground; only painting it needs what decodes pixels
    from curate.masks import Mask, Target

Policy = Literal["include", "ignore", "exclude"]
"""Painted 255, painted 128, left as it is."""

HELD = (
    *("backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite"),
    *("baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup"),
    *("fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog"),
    *("pizza", "donut", "cake", "teddy bear", "remote", "cell phone", "book", "scissors", "hair drier", "toothbrush"),
)
"""What people hold, wear or ride on among the categories of COCO and VOC."""
ANIMALS = (
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    *("animal", "pet"),
)
"""The animals among the categories of COCO and VOC."""


@dataclass(frozen=True)
class Foreground:
    """What is painted as foreground, and who is counted.

    Attributes:
        person: Category names and values that are a person.
        min_person_area: From which share of the image's pixels on a figure counts as one of the people. Smaller
            figures stay in the mask.
        held: What becomes of objects of `held_categories` in contact with a person.
        animals: The same for `animal_categories`.
        held_categories: Names, compared case-insensitively.
        animal_categories: Names, compared case-insensitively.
    """

    person: tuple[str, ...] = ("person",)
    min_person_area: float = 0.0
    held: Policy = "exclude"
    animals: Policy = "exclude"
    held_categories: tuple[str, ...] = HELD
    animal_categories: tuple[str, ...] = ANIMALS

    @property
    def paints(self) -> bool:
        """Whether any object but a person can be in the target."""
        return self.held != "exclude" or self.animals != "exclude"

    def policy_of(self, category: str) -> Policy:
        """What becomes of an object of this category that touches a person.

        >>> Foreground(animals="ignore").policy_of("Dog")
        'ignore'
        """
        name = category.casefold()
        if name in map(str.casefold, self.animal_categories):
            return self.animals
        if name in map(str.casefold, self.held_categories):
            return self.held
        return "exclude"


def paint(target: Target, objects: Iterable[tuple[Mask, Policy]]) -> Target:
    """The target with the objects that touch a person painted as their policies say.

    A person's pixels stay a person's. Where an included and an ignored object overlap, the included one wins.

    >>> import numpy as np
    >>> bat = np.array([[False, True, True]])
    >>> paint(np.array([[255, 0, 0]], np.uint8), [(bat, "include")]).tolist()
    [[255, 255, 255]]
    """
    from curate.masks import BACKGROUND, IGNORE, PERSON

    painted = target.copy()
    for mask, policy in sorted(objects, key=lambda one: one[1] == "include"):
        if policy == "include":
            painted[mask] = PERSON
        elif policy == "ignore":
            painted[mask & (painted == BACKGROUND)] = IGNORE
    return painted
