"""The segmentations of COCO annotations: polygons and both forms of run lengths, as rasters of the image's size."""

from __future__ import annotations

import msgspec

from curate import masks
from curate.masks import Rle, SizeHW
from curate.sources.coco_json import Annotation


class RunLengths(msgspec.Struct, gc=False):
    """A segmentation that is an RLE: counts as a list (uncompressed) or a string (compressed)."""

    counts: list[int] | str
    size: tuple[int, int]


_segmentation = msgspec.json.Decoder(list[list[float]] | RunLengths | None)


def shape_of(segmentation: msgspec.Raw) -> list[list[float]] | RunLengths:
    """A segmentation as it stands in the file: flat polygons, or run lengths; no polygons where it is null.

    Raises:
        msgspec.DecodeError: It is neither.
    """
    return _segmentation.decode(segmentation) or []


def shape_of_person(person: Annotation) -> list[list[float]] | RunLengths:
    """The segmentation of a person or a crowd; a mask without what is labelled would be wrong, so there has to be one.

    Raises:
        msgspec.DecodeError: As `shape_of`.
        ValueError: There is none, or one of its polygons is none.
    """
    shape = shape_of(person.segmentation)
    if isinstance(shape, RunLengths):
        return shape
    who = "a person annotation" if person.id is None else f"person annotation {person.id}"
    if not any(shape):
        raise ValueError(f"{who} has no segmentation. Outline the person, or remove the annotation")
    for length in map(len, shape):
        if length < 6 or length % 2:
            raise ValueError(f"a polygon of {who} has {length} values; expected pairs of x and y, three or more")
    return shape


def rles_of(shape: list[list[float]] | RunLengths, size_hw: SizeHW) -> list[Rle]:
    """A segmentation as rles of the image's size whose union it is; none where it is empty.

    Raises:
        ValueError: A polygon, or an RLE, does not fit the image.
    """
    if isinstance(shape, list):
        return masks.rles_of_polygons(shape, size_hw)
    if tuple(shape.size) != size_hw:
        raise ValueError(f"the RLE is {shape.size[0]}x{shape.size[1]} (HxW), the image {size_hw[0]}x{size_hw[1]}")
    if isinstance(shape.counts, str):
        return [masks.rle_of_string(shape.counts, size_hw)]
    return [masks.rle_of_counts(shape.counts, size_hw)]


def rle_of(segmentation: msgspec.Raw, size_hw: SizeHW) -> Rle:
    """A segmentation as it stands in the file as one rle; raises as `shape_of` and `rles_of` do."""
    return masks.union_rle(rles_of(shape_of(segmentation), size_hw), size_hw)


def covers(crowd: Annotation, size_hw: SizeHW) -> bool:
    """Whether a crowd has a pixel at all; of run lengths, as COCO writes its crowds, told without drawing them.

    Raises:
        msgspec.DecodeError, ValueError: As `shape_of_person` and `rles_of`.
    """
    shape = shape_of_person(crowd)
    if isinstance(shape, RunLengths) and isinstance(shape.counts, list) and tuple(shape.size) == size_hw:
        masks.check_counts(shape.counts, size_hw)
        return any(shape.counts[1::2])
    return masks.any_px(rles_of(shape, size_hw))
