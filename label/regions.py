"""Regions of named classes, as labelling tools export them, into one target: people unite, ignored regions lie below.

A format says what its regions are; here is what they have in common: which classes are a person, how they are drawn,
and what is too much to be drawn at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from curate import images
from curate.errors import FormatError, UsageError
from curate.masks import FAR, Rle, SizeHW, area_px, decode, encode, rle_of_polygons, target_of, union_rle
from label.formats.record import Drawing, Options, printable

MAX_REGIONS = 10_000
MAX_OUTLINE_PX = 5_000_000
"""The summed length of a label's outlines; pycocotools keeps five points per pixel of it in memory."""
DEFAULT_PERSON, DEFAULT_IGNORE = ("person",), ("__ignore__",)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Classes:
    """The classes that are person and those not counted, case folded."""

    person: frozenset[str]
    ignore: frozenset[str]

    @classmethod
    def of(cls, options: Options) -> Classes:
        """From the words of `--person` and `--ignore`; None stands for DEFAULT_PERSON and DEFAULT_IGNORE.

        Raises:
            UsageError: A class is both.
        """
        words = options.person or DEFAULT_PERSON, options.ignore or DEFAULT_IGNORE
        classes = cls(*(frozenset(map(folded, names)) for names in words))
        if both := classes.person & classes.ignore:
            raise UsageError(f"the label {min(both)} is both --person and --ignore")
        return classes

    def among(self, names: Mapping[int, str]) -> Classes:
        """These classes, with the names of those that are given by their number.

        >>> sorted(Classes(frozenset({"1", "rider"}), frozenset()).among({1: "person", 2: "car"}).person)
        ['1', 'person', 'rider']
        """
        numbered = {str(number): folded(name) for number, name in names.items()}
        both = ((numbered[word] for word in words if word in numbered) for words in (self.person, self.ignore))
        person, ignore = both
        return Classes(self.person.union(person), self.ignore.union(ignore))

    def wants(self, name: str) -> bool:
        """Whether regions of this class are drawn."""
        return folded(name) in self.person or folded(name) in self.ignore


def folded(name: str) -> str:
    """A class name as names are compared.

    >>> folded(" Person ")
    'person'
    """
    return name.strip().casefold()


@dataclass(frozen=True)
class Region:
    """A region of one class.

    Attributes:
        name: Its class.
        draw: Its pixels in a raster of a size. Raises CurateError where it cannot be drawn.
        place: Where in the file it stands, for messages.
        points: The corners of its outline, (x, y) px; none where it is a mask. They bound what drawing it costs.
        person: Regions of one key are one person; None: a person by itself.
        empty: What kind it is, where it may well cover no pixel: `a polygon of 2 points encloses nothing`.
        crowd: Whether it is of more people than can be counted, and so not counted.
    """

    name: str
    draw: Callable[[SizeHW], Rle]
    place: str
    points: Points = ()
    person: object = None
    empty: str = "it covers no pixel of the image"
    crowd: bool = False


def polygon(name: str, points: Points, place: str, person: object = None) -> Region:
    """A region within a closed outline of (x, y) px, drawn as pycocotools does it."""
    flat = [value for point in points for value in point]
    few = f"a polygon of {len(points)} point{'s' if len(points) != 1 else ''} encloses nothing, 3 are needed"
    empty = few if len(points) < 3 else "this polygon covers no pixel of the image"
    return Region(name, lambda size_hw: rle_of_polygons([flat], size_hw), place, points, person, empty)


def box(
    name: str, corner: tuple[float, float], opposite: tuple[float, float], place: str, person: object = None
) -> Region:
    """A region within the upright box between two opposite corners, in any order."""
    (x0, y0), (x1, y1) = corner, opposite
    region = polygon(name, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], place, person)
    return replace(region, empty="this rectangle covers no pixel of the image")


def ellipse(
    name: str,
    centre: tuple[float, float],
    radii: tuple[float, float],
    place: str,
    person: object = None,
    turned_deg: float = 0.0,
) -> Region:
    """A region of the pixels whose centre lies within an ellipse, turned clockwise by so many degrees."""
    (x, y), far = centre, max(map(abs, radii))
    corners = [(x - far, y - far), (x + far, y - far), (x + far, y + far), (x - far, y + far)]
    empty = "this ellipse covers no pixel of the image"
    return Region(name, partial(rle_of_ellipse, centre, radii, turned_deg), place, corners, person, empty)


def rle_of_ellipse(centre: tuple[float, float], radii: tuple[float, float], turned_deg: float, size_hw: SizeHW) -> Rle:
    """The pixels whose centre lies within an ellipse, row by row: for a whole photograph it takes gigabytes."""
    mask = np.zeros(size_hw, bool)
    if min(radii) <= 0:
        return encode(mask)
    (x, y), (height, width), far = centre, size_hw, max(radii)
    turn = math.radians(turned_deg)
    across = np.arange(width) + 0.5 - x
    for row in range(max(0, math.floor(y - far)), min(height, math.ceil(y + far) + 1)):
        down = row + 0.5 - y
        along, aside = across * math.cos(turn) + down * math.sin(turn), down * math.cos(turn) - across * math.sin(turn)
        with np.errstate(over="ignore"):
            mask[row] = (along / radii[0]) ** 2 + (aside / radii[1]) ** 2 <= 1
    return encode(mask)


def without_area(name: str, kind: str, place: str) -> Region:
    """A region that encloses nothing, as points and lines do."""
    return Region(name, partial(union_rle, []), place, empty=f"a {kind} encloses nothing")


def draw_regions(
    regions: Sequence[Region], classes: Classes, stated: SizeHW | None, size_hw: SizeHW, file: Path, tool: str
) -> Drawing:
    """The person and ignored regions at `size_hw`, drawn at the stated size.

    A person whose raster is empty counts as nobody.

    Args:
        regions: All of the label's, in the order of the file.
        classes: Which of them are drawn.
        stated: Size of the raster they were drawn on; None where that is `size_hw`.
        size_hw: Size of the image.
        file: For messages.
        tool: Where the user can mend it, for messages.

    Raises:
        FormatError: A region cannot be drawn, or it is too much; the place is named.
        MismatchError: The stated size has another aspect ratio than `size_hw`.
    """
    drawn_hw = stated or size_hw
    people: dict[object, list[Rle]] = {}
    ignored: list[Rle] = []
    notes: list[str] = []
    for number, region in enumerate(chosen(regions, classes, drawn_hw, file, tool)):
        rle = region.draw(drawn_hw)
        if area_px(rle) == 0:
            notes.append(printable(f"{region.place} ({region.name[:40]}): {region.empty}, passed over"))
        elif folded(region.name) in classes.person and not region.crowd:
            key = ("alone", number) if region.person is None else ("named", region.person)
            people.setdefault(key, []).append(rle)
        else:
            ignored.append(rle)
    united = union_rle([rle for parts in people.values() for rle in parts], drawn_hw)
    target = target_of(decode(united), decode(union_rle(ignored, drawn_hw)))
    fitted = images.fit_mask(target, size_hw, file).astype(np.uint8, copy=False)
    return Drawing(fitted, len(people), shapes_found(regions), tuple(notes))


def chosen(regions: Sequence[Region], classes: Classes, size_hw: SizeHW, file: Path, tool: str) -> list[Region]:
    """The regions that are person or ignored, what drawing them costs checked.

    Raises:
        FormatError: Too many, too long, or far outside the image.
    """
    wanted = [region for region in regions if classes.wants(region.name)]
    if len(wanted) > MAX_REGIONS:
        raise FormatError(file, f"has {len(wanted)} shapes of a person, more than {MAX_REGIONS}. Mend it in {tool}")
    for region in wanted:
        check_points(region, size_hw, file, tool)
    length_px = sum(outline_px(region.points) for region in wanted)
    if length_px > MAX_OUTLINE_PX:
        told = f"its outlines are {length_px:.0f} px long, more than {MAX_OUTLINE_PX}"
        raise FormatError(file, f"{told}. Mend it in {tool}")
    return wanted


def check_points(region: Region, size_hw: SizeHW, file: Path, tool: str) -> None:
    """Refuse a point FAR image sides outside the image; tools let points lie a little outside."""
    height, width = size_hw
    low, high = -FAR * max(size_hw), (FAR + 1) * max(size_hw)
    for x, y in region.points:
        if not (low <= min(x, y) and max(x, y) <= high):
            problem = f"point ({x:g}, {y:g}) lies far outside the image of {height}x{width} (HxW)"
            raise FormatError(file, f"{problem}. Mend the shape in {tool}", region.place)


def outline_px(points: Points) -> float:
    """Length in px, along the axes, of the closed line through points; 0 for none.

    >>> outline_px([(0, 0), (4, 0), (4, 3)])
    14.0
    """
    if not points:
        return 0.0
    corners = np.array(points)
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).sum())


def shapes_found(regions: Sequence[Region]) -> str:
    """`shapes bus 2, car 1`, the most frequent first."""
    names = (f"{'crowd of ' * region.crowd}{region.name[:40] or 'without a name'}" for region in regions)
    counted = Counter(names).most_common(6)
    return f"shapes {', '.join(f'{name} {count}' for name, count in counted)}" if counted else "no shapes"
