"""What the keypoints of COCO's people tell: whether a head shows, how much of a body, and the side it is seen from."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from curate.sources import Note
from curate.sources.coco_json import NO_KEYPOINTS, Annotation, Number

KEYPOINTS = 17
NOSE, LEFT_SHOULDER, RIGHT_SHOULDER = 0, 5, 6
HEAD = slice(0, 5)
"""Nose, eyes and ears among the keypoints."""

_decoder = msgspec.json.Decoder(list[float] | None)


class Keypoint(NamedTuple):
    """One keypoint: where it lies in px, and its flag v: 0 not labelled, 1 hidden, 2 visible."""

    x: float
    y: float
    flag: float

    @property
    def is_visible(self) -> bool:
        """Whether it can be seen."""
        return self.flag == 2


Pose = Sequence[Keypoint]


def poses_of(people: Sequence[Annotation]) -> list[Pose]:
    """The KEYPOINTS of each of the people that has any labelled; those that are all zero are not labelled."""
    return [pose for pose in map(pose_of, people) if any(point.flag for point in pose)]


def pose_of(annotation: Annotation) -> Pose:
    """A person's keypoints; none where there are no such keypoints."""
    try:
        values = _decoder.decode(bytes(annotation.keypoints) or b"null") or []
    except msgspec.DecodeError:
        return []
    if len(values) != 3 * KEYPOINTS:
        return []
    return [Keypoint(*point) for point in zip(values[0::3], values[1::3], values[2::3], strict=True)]


def shows_head(pose: Pose) -> bool:
    """Whether nose, an eye or an ear is visible."""
    return any(point.is_visible for point in pose[HEAD])


def visible_keypoints(pose: Pose) -> int:
    """How many are visible."""
    return sum(point.is_visible for point in pose)


def facing(pose: Pose) -> str | None:
    """`front` or `rear`, the side a person is seen from, where both shoulders are labelled; None in between.

    From the front the left shoulder lies to the right of the other and the nose shows, from the rear neither.
    """
    left, right = pose[LEFT_SHOULDER], pose[RIGHT_SHOULDER]
    if not (left.flag and right.flag):
        return None
    if left.x > right.x and pose[NOSE].is_visible:
        return "front"
    return "rear" if left.x < right.x and not pose[NOSE].is_visible else None


def damaged_keypoints(path: Path, annotations: Sequence[Annotation], people: Container[Number]) -> Iterator[Note]:
    """A Note for each person of a file whose keypoints cannot be used; the person counts all the same."""
    what = f"keypoints are not the {KEYPOINTS} of a person and were left out"
    for index, annotation in enumerate(annotations):
        stated = annotation.keypoints is not NO_KEYPOINTS and bytes(annotation.keypoints) not in (b"[]", b"null")
        if stated and annotation.category_id in people and not pose_of(annotation):
            yield Note(what, f"{path} at annotations[{index}]")
