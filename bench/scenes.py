"""What stands in each generated image: sizes, people, other objects and how much of the image each covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.categories import OBJECTS, PERSON_ID

SIZES = (
    *((640, 480), (640, 427), (480, 640), (427, 640), (640, 426), (640, 425), (500, 375), (640, 424)),
    *((375, 500), (640, 428), (612, 612), (640, 360), (640, 399), (478, 640), (333, 500), (640, 640)),
)
"""(width, height) px, the commonest first."""
_SIZE_SHARES = np.array([26, 17, 9, 6, 5, 5, 6, 4, 3, 4, 3, 3, 3, 2, 2, 2], float)

WITH_PERSON = 0.542
"""Share of the images that show someone; 64,115 of 118,287 in train2017."""
_PEOPLE_SHARES = np.array([44, 23, 3.2, 3.0, 2.4, 2.2, 2.1, 2.0, 1.9, 1.9, 2.1, 2.4, 3.0, 4.1, 2.2, 1.6, 0.9])
_OTHERS = 4.64
"""Mean number of other objects in an image; a geometric distribution has the long tail and the empty images."""
_CROWDED, _UNCROWDED, _OTHER_CROWDS = 0.02, 0.002, 0.008
"""Share of crowds among people in images of three and more, of fewer, and among other objects."""


@dataclass(frozen=True)
class Figures:
    """The annotations of some images, grouped by image; N figures.

    Attributes:
        image: Index of the image, (N,), sorted.
        category: Category id, (N,).
        crowd: Whether it is a region of more than can be counted, (N,) bool.
        share: Share of the image it covers, (N,) in (0, 1).
    """

    image: NDArray[np.int64]
    category: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    share: NDArray[np.float64]


@dataclass(frozen=True)
class Scenes:
    """Some images; every array is (N,)."""

    width: NDArray[np.int64]
    height: NDArray[np.int64]
    licence: NDArray[np.int64]
    figures: Figures

    def first(self, images: int) -> Scenes:
        """The first images and what stands in them."""
        if images >= len(self.width):
            return self
        figures, end = self.figures, int(np.searchsorted(self.figures.image, images))
        cut = Figures(figures.image[:end], figures.category[:end], figures.crowd[:end], figures.share[:end])
        return Scenes(self.width[:images], self.height[:images], self.licence[:images], cut)


def draw_scenes(rng: np.random.Generator, images: int) -> Scenes:
    """That many images with what stands in them."""
    sizes = np.array(SIZES)[rng.choice(len(SIZES), images, p=_SIZE_SHARES / _SIZE_SHARES.sum())]
    return Scenes(sizes[:, 0], sizes[:, 1], rng.integers(1, 9, images), draw_figures(rng, images))


def draw_figures(rng: np.random.Generator, images: int) -> Figures:
    """People and other objects of that many images."""
    people = 1 + rng.choice(len(_PEOPLE_SHARES), images, p=_PEOPLE_SHARES / _PEOPLE_SHARES.sum())
    people *= rng.random(images) < WITH_PERSON
    others = rng.geometric(1 / (1 + _OTHERS), images) - 1
    others += (people + others == 0) & (rng.random(images) < 0.9)  # one image in a hundred shows nothing
    image = np.concatenate([np.repeat(np.arange(images), people), np.repeat(np.arange(images), others)])
    person = np.arange(len(image)) < people.sum()
    around = people[image]
    shares = np.array([one.share for one in OBJECTS])
    category = np.where(
        person,
        PERSON_ID,
        np.array([one.id for one in OBJECTS])[rng.choice(len(OBJECTS), len(image), p=shares / shares.sum())],
    )
    chance = np.where(person, np.where(around > 2, _CROWDED, _UNCROWDED), _OTHER_CROWDS)
    crowd = rng.random(len(image)) < chance
    order = np.argsort(image, kind="stable")
    share = draw_shares(rng, person, around, image)
    return Figures(image[order], category[order], crowd[order], share[order])


def draw_shares(
    rng: np.random.Generator, person: NDArray[np.bool_], around: NDArray[np.int64], image: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of its image that each figure covers, (N,).

    One or two people cover a median of 6 % together, a quarter of them 20 to 70 %; people among more cover 1 % each,
    other objects 0.6 %.

    Args:
        rng: The source of chance.
        person: Whether it is one, (N,).
        around: How many people its image shows, (N,).
        image: Its image, (N,).
    """
    near = rng.normal(0, 1, int(image.max(initial=-1)) + 1)[image]  # the photographer's distance, one for all people
    normal = rng.normal(0, 1, len(image))
    few = np.exp(np.log(0.085) + 1.45 * near + 0.3 * normal) / np.maximum(around, 1)
    many = np.exp(np.log(0.011) + 1.2 * near + 1.2 * normal)
    other = np.exp(np.log(0.006) + 1.95 * normal)
    share = np.where(person, np.where(around <= 2, few, many), other)
    return np.clip(share, 5e-5, np.where(person, 0.75, 0.9))  # type: ignore[no-any-return]
