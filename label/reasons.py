"""Why a label cannot come in, in words: what was found, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.images import exif_orientation, same_aspect
from curate.masks import Mask, SizeHW
from label.formats.record import HandLabel
from label.match import NoMatch
from label.photographs import Photo

MOST_PIXELS, MOST_TIMES_PIXELS = 50_000_000, 4
"""A label of more pixels than any photograph that was scaled down has, and of so many times those of its own image, is
damaged, and drawing it would take gigabytes."""


def why_unmatched(label: HandLabel, found: NoMatch, photo: Photo | None, *, adds: bool) -> str:
    """Found, expected and what to do, for a label whose sample is not known for certain."""
    if photo is not None and not found.candidates:
        return f"its photograph {photo.name} is no sample yet. Make it one with --add-images"
    names = " or ".join(label.names)
    shown = ", ".join(found.candidates[:4]) + (", ..." if len(found.candidates) > 4 else "")
    if label.ends_in is not None:
        ending = f"the number {label.ends_in}"
        said = f"{shown} end in {ending}, and one is meant" if shown else f"no sample's name ends in {ending}"
        return f"{said}. Say which image each label is of: --image-list FILE"
    if not found.candidates and adds:
        return f"neither a sample nor a photograph is called {names}. Say where the photograph lies: --images DIR"
    if not found.candidates:
        advice = "Name it by its sample_id, or add its photograph: --add-images --images DIR"
        return f"no sample is called {names}, nor holds its image. {advice}"
    return f"{names} may mean any of {shown}. Rename it to the sample_id that is meant"


def why_misfit(label: HandLabel, name: str, image: Path, size_hw: SizeHW) -> str:
    """Why a label cannot be for an image of this name and size, seen before it is drawn; empty where it can.

    Raises:
        CurateError: The image cannot be opened.
    """
    if label.size_hw is None:
        return ""
    if same_aspect(label.size_hw, size_hw):
        return why_too_large(label.size_hw, name, size_hw)
    turn = exif_orientation(image)
    turned = turn != 1 and same_aspect((label.size_hw[1], label.size_hw[0]), size_hw)
    advice = (
        f"the image carries EXIF orientation {turn} and was labelled turned; label the stored raster"
        if turned
        else "it belongs to another image or another crop; mend it or leave it out"
    )
    return (
        f"was drawn on {sized(label.size_hw)} (HxW), but {name} has {sized(size_hw)}; "
        f"expected that size or the same aspect ratio: {advice}"
    )


def why_too_large(drawn_hw: SizeHW, name: str, size_hw: SizeHW) -> str:
    """Why a label of its image's aspect ratio is of far too many pixels to be drawn; empty where it is not."""
    times = drawn_hw[0] * drawn_hw[1] // (size_hw[0] * size_hw[1])
    if times <= MOST_TIMES_PIXELS or drawn_hw[0] * drawn_hw[1] <= MOST_PIXELS:
        return ""
    told = f"was drawn on {sized(drawn_hw)} (HxW), {times} times the pixels of {name}"
    return f"{told}; expected its size {sized(size_hw)}. Scale the label down, or mend the size it states"


def why_empty(drawn: Mask, merged: Mask, found: str) -> str:
    """Why nobody is left in a mask; empty where somebody is."""
    if not drawn.any():
        return f"shows no person ({found}); expected at least one pixel. Say with --person which is, or leave it out"
    return "" if merged.any() else "has no pixel in common with the mask that is there; nothing is left of the person"


def why_fixed(row: dict[str, Any]) -> str:
    """Why a sample cannot take a label with a person without changing its split; empty where it can."""
    if row["split"] == "background":
        return f"{row['sample_id']} is kept as background, without a person. Build it anew with this label"
    return ""


def sized(size_hw: SizeHW | None) -> str:
    """`480x640`."""
    return "" if size_hw is None else f"{size_hw[0]}x{size_hw[1]}"
