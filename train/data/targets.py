"""What a pixel of a training target can be: the mask's three values, and more where a dataset names other things.

A dataset built with `--held class` or `--animals class` says of some images where held objects and animals are. Their
pixels are ground to a person: for the person's channel, only 255 and 128 differ from the rest.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from curate.masks import BACKGROUND, IGNORE, PERSON, Target

HELD, ANIMAL = 64, 192
UNNAMED = 1
"""No person, and whether it is a held object or an animal was not labelled."""

CODES = {"person": PERSON, "held": HELD, "animal": ANIMAL}
"""The value of each class of `--classes`."""

Pixels = TypeVar("Pixels", Tensor, NDArray[np.uint8])


def is_ground(targets: Pixels) -> Pixels:
    """Where neither a person is nor anything that is not counted."""
    return (targets != PERSON) & (targets != IGNORE)  # type: ignore[no-any-return]


def counts_for(name: str, targets: Tensor) -> Tensor:
    """The pixels that teach a class: all that count; of held objects and animals, those where they are labelled."""
    counted = targets != IGNORE
    return counted if name == "person" else counted & (targets != UNNAMED)


def resize_target(
    target: Target, size: int, classes: NDArray[np.uint8] | None = None, *, named: bool = False
) -> Target:
    """A target (H, W) as (size, size): person where at least half of the pixel is, then what else is labelled so.

    A pixel that takes in any part that is not counted is not counted, so such parts never reach the loss.

    Args:
        target: Of 0, 128, 255.
        size: Side in px.
        classes: (H, W) of 0, 1 (held object), 2 (animal); None where that was not labelled.
        named: Whether anything but people is labelled in the dataset: then what is ground here is UNNAMED.
    """

    def share(part: NDArray[np.bool_]) -> NDArray[np.float32]:
        resized: NDArray[np.float32] = cv2.resize(part.astype(np.float32), (size, size), interpolation=method)  # type: ignore[assignment]
        return resized

    method = cv2.INTER_AREA if target.shape[0] * target.shape[1] > size * size else cv2.INTER_LINEAR
    resized = np.full((size, size), UNNAMED if named and classes is None else BACKGROUND, np.uint8)
    if classes is not None:
        for value, code in ((1, HELD), (2, ANIMAL)):
            if (classes == value).any():
                resized[share(classes == value) >= 0.5] = code
    resized[share(target == PERSON) >= 0.5] = PERSON
    if (target == IGNORE).any():
        resized[share(target == IGNORE) > 1e-4] = IGNORE
    return resized
