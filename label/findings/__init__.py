"""What may be wrong with a label, one module for each way of telling: the mask alone, the photograph, a model, others.

Pure functions on arrays that give Faults; `label.check` says whose they are.
"""

from __future__ import annotations

import msgspec

Box = tuple[int, int, int, int]

SUSPECT = 0.5
"""From this severity on the label is likely wrong and somebody has to look; below it can be kept or mended."""

ADVICE = {
    "refused": "Mend it, or leave the label out",
    "unreadable": "Mend the file, or leave the label out",
    "size": "It belongs to another image or another crop",
    "empty": "Label the person, or take the image as a background",
    "full": "Draw the person's outline",
    "inverted": "Swap person and background",
    "turned": "Turn it back; the image was labelled as its EXIF orientation shows it, or mirrored",
    "shifted": "Move it back",
    "tight": "Redraw it wider",
    "loose": "Redraw it closer",
    "misplaced": "It may belong to another image",
    "gap": "Fill it, or keep it where the background shows through",
    "cut": "Follow the person, unless something straight is before it",
    "coarse": "Add points where it cuts corners",
    "stairs": "It was enlarged without smoothing; redraw or smooth it",
    "jagged": "Smooth it",
    "specks": "Take them away: --fix specks",
    "holes": "Fill them: --fix holes",
    "identical": "One of the two belongs to another image",
    "annotators": "Let a third one decide",
    "unlike-model": "It may belong to another image",
    "missed-person": "Add it, if it is a person or part of one",
    "no-person": "Take it away, if it is none",
}
"""What to do about each kind of fault; the kinds in the order they are told."""

MENDABLE = ("specks", "holes")


class Fault(msgspec.Struct, frozen=True):
    """One thing that may be wrong with a label.

    Attributes:
        kind: A key of ADVICE.
        severity: In [0, 1]; from SUSPECT on the label is likely wrong.
        found: What is there, and where it helps what was expected.
        bbox_xywh: Where in the image, px; None where it is about all of it.
    """

    kind: str
    severity: float
    found: str
    bbox_xywh: Box | None = None


GRAVE, SLIGHT = (SUSPECT, 1.0), (0.1, 0.4)
"""The severities of faults that make a label suspect, and of those that do not."""


def severity(value: float, least: float, most: float, span: tuple[float, float] = GRAVE) -> float:
    """A measure as severity: the lower end of `span` at `least`, its upper end at `most` and beyond, in hundredths.

    >>> severity(1.2, 1.2, 2.0), severity(3, 1.2, 2.0), severity(1.6, 1.2, 2.0)
    (0.5, 1.0, 0.75)
    """
    share = min(1.0, max(0.0, (float(value) - least) / (most - least)))
    return round(span[0] + (span[1] - span[0]) * share, 2)
