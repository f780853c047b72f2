"""What counts as foreground: who is a person, and what becomes of held objects and animals that touch one.

Two products answer differently. A selfie app keeps the snowboard in its owner's hand; a fashion shop wants the person
alone. Seed data sets hold both kinds of images, so the answer is part of the recipe, and `touching` records the
categories whatever it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # a recipe names what is foreground; only painting it needs what decodes pixels
    from curate.masks import Mask, Target

Policy = Literal["include", "ignore", "exclude", "class"]
"""Painted 255, painted 128, left as it is, left as it is and drawn into a mask of classes beside the target."""
PAINTED = ("include", "ignore")
"""The policies that change the target."""
CLASS_VALUES = {"held": 1, "animal": 2}
"""The classes beside a person, and their values in a mask of classes; 0 is neither."""
CLASS_OPTIONS = {"held": "held", "animal": "animals"}
"""Class -> the option whose policy says whether it is drawn."""

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
        animals: The same for `animal_categories`; of the policy `class`, animals that touch nobody as well.
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
        return self.held in PAINTED or self.animals in PAINTED

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of CLASS_VALUES that are drawn."""
        return tuple(name for name, option in CLASS_OPTIONS.items() if getattr(self, option) == "class")

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """Category in lower case -> `held` or `animal`; what is in both lists is an animal."""
        held = dict.fromkeys(map(str.casefold, self.held_categories), "held")
        return held | dict.fromkeys(map(str.casefold, self.animal_categories), "animal")

    def policy_of(self, category: str) -> Policy:
        """What becomes of an object of this category that touches a person.

        >>> Foreground(animals="ignore").policy_of("Dog")
        'ignore'
        """
        policies: dict[str | None, Policy] = {"held": self.held, "animal": self.animals}
        return policies.get(self._kinds.get(category.casefold()), "exclude")

    def class_of(self, category: str) -> str | None:
        """The class that an object of this category is drawn as; None where it is of none that is drawn.

        >>> Foreground(animals="class").class_of("Dog"), Foreground(animals="class").class_of("cup")
        ('animal', None)
        """
        kind = self._kinds.get(category.casefold())
        return kind if kind in self.classes else None

    def can_name(self, categories: Iterable[str]) -> bool:
        """Whether classes are drawn, and a source of these categories has some of each: else it does not know them.

        >>> Foreground(animals="class").can_name(["person", "cat"]), Foreground(animals="class").can_name(["person"])
        (True, False)
        """
        return bool(self.classes) and set(self.classes) <= set(map(self.class_of, categories))


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
