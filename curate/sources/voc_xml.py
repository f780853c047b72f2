"""The objects a PASCAL VOC annotation names, with their flags and boxes. No entity is ever expanded."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from curate.errors import FormatError
from curate.sources.folders import read_text_bytes

MOST_XML_BYTES = 2**22
"""An annotation has a few kB, and a tree takes a hundred times the memory of its text."""

MOST_PEOPLE = 32767
"""As many as the column `people` holds."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class VocObject:
    """One object of an annotation.

    Attributes:
        name: Its class.
        difficult: Hard to make out, in the annotator's eyes.
        truncated: Reaching beyond its box: cut by the image's edge or hidden.
        box: Left, top, right and bottom in px, the last two exclusive; None where none is stated.
        people: How many people it stands for; our exports know only their union.
        pose: The side it is seen from, such as `Frontal` and `Rear`; empty where none is stated.
        parts: Names of the parts with a box of their own (`head`, `hand`, `foot`), which few people have.
    """

    name: str
    difficult: bool = False
    truncated: bool = False
    box: Box | None = None
    parts: tuple[str, ...] = ()
    people: int = 1
    pose: str = ""


class _PlainTree(ElementTree.TreeBuilder):
    """Builds a tree, and refuses a document type, without which there are no entities."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse it."""
        raise ValueError("it declares a document type, which no label does")


def read_objects(path: Path) -> tuple[VocObject, ...]:
    """The objects of a VOC annotation, in its order.

    Raises:
        MissingError: No regular file stands there.
        FormatError: It is no XML, declares a document type, states a number of people that is none, or is longer than
            any annotation.
    """
    root = parse_xml(path, read_text_bytes(path, MOST_XML_BYTES))
    objects = tuple(object_of(path, found) for found in root.iter("object"))
    count = sum(one.people for one in objects)
    if count > MOST_PEOPLE:
        raise FormatError(path, f"names {count} people; expected at most {MOST_PEOPLE}")
    return objects


def parse_xml(path: Path, data: bytes) -> ElementTree.Element:
    """The root of an XML text, without external or other entities.

    Raises:
        FormatError: It is no XML, or declares a document type.
    """
    parser = ElementTree.XMLParser(target=_PlainTree())
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise FormatError(path, f"is not readable XML ({error})") from error
    return root


def object_of(path: Path, found: ElementTree.Element) -> VocObject:
    """An `<object>` element as a VocObject."""
    return VocObject(
        text_of(found, "name"),
        text_of(found, "difficult") == "1",
        text_of(found, "truncated") == "1",
        box_of(found.find("bndbox")),
        tuple(text_of(part, "name").casefold() for part in found.findall("part")),
        people_of(path, found),
        text_of(found, "pose"),
    )


def people_of(path: Path, found: ElementTree.Element) -> int:
    """How many people an `<object>` is: one, or as many as its `<people>` says.

    Raises:
        FormatError: That is no number of people.
    """
    stated = found.findtext("people")
    if stated is None:
        return 1
    if not re.fullmatch(r"\s*[0-9]{1,5}\s*", stated):
        raise FormatError(path, f"has an object of {stated!r} people; expected a number")
    return int(stated)


def text_of(element: ElementTree.Element, child: str) -> str:
    """The text of a child without blanks around it; empty where there is none."""
    return (element.findtext(child) or "").strip()


def box_of(found: ElementTree.Element | None) -> Box | None:
    """A `<bndbox>`, which counts pixels from 1 and includes the last; None where it is none.

    >>> box_of(ElementTree.fromstring("<b><xmin>1</xmin><ymin>2</ymin><xmax>3.0</xmax><ymax>4</ymax></b>"))
    (0, 1, 3, 4)
    """
    if found is None:
        return None
    try:
        left, top, right, bottom = (float(text_of(found, side)) for side in ("xmin", "ymin", "xmax", "ymax"))
        return max(0, math.floor(left) - 1), max(0, math.floor(top) - 1), math.ceil(right), math.ceil(bottom)
    except (ValueError, OverflowError):
        return None
