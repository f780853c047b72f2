"""Why a label cannot come in, in words: what was found, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.errors import CurateError
from curate.images import UNDECODABLE, exif_orientation, same_aspect
from curate.masks import PERSON, Mask, SizeHW
from label.formats.record import Drawing, HandLabel
from label.match import NoMatch, base, without_suffix
from label.photographs import Photo

MOST_PIXELS, MOST_TIMES_PIXELS = 50_000_000, 4
"""A label of more pixels than any photograph that was scaled down has, and of so many times those of its own image, is
damaged, and drawing it would take gigabytes."""


def why_unmatched(label: HandLabel, found: NoMatch, photo: Photo | None, *, adds: bool, named: bool = False) -> str:
    """Found, expected and what to do, for a label whose sample is not known for certain.

    Args:
        label: The label.
        found: What its names may mean.
        photo: Its photograph, where that is at hand.
        adds: Whether photographs become samples.
        named: Whether the user named folders of photographs.
    """
    if photo is not None and not found.candidates:
        return f"its photograph {photo.name} is no sample yet. Make it one with --add-images"
    names = " or ".join(label.names)
    shown = ", ".join(found.candidates[:4]) + (", ..." if len(found.candidates) > 4 else "")
    if label.ends_in is not None:
        ending = f"the number {label.ends_in}"
        said = f"{shown} end in {ending}, and one is meant" if shown else f"no sample's name ends in {ending}"
        return f"{said}. Say which image each label is of: --image-list FILE"
    if not found.candidates and adds:
        by_file = all(without_suffix(base(name)) == label.file.stem for name in label.names)
        rename = f"Rename {label.file.name}" if by_file else "Rename the photograph"
        folder = "another folder of photographs" if named else "the folder of the photograph"
        told = f"neither a sample nor a photograph{' below --images' if named else ''} is called {names}"
        return f"{told}. {rename}, so that the two have one name, or name {folder}: --images DIR"
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
    turned = why_turned(label.size_hw, size_hw, image)
    advice = (
        f"{turned}; turn it back, or leave it out"
        if turned
        else "it belongs to another image or another crop; mend it or leave it out"
    )
    return (
        f"was drawn on {sized(label.size_hw)} (HxW), but {name} has {sized(size_hw)}; "
        f"expected that size or the same aspect ratio: {advice}"
    )


def why_turned(drawn_hw: SizeHW, size_hw: SizeHW, image: Path | None) -> str:
    """That a label fits its image turned by a quarter, and why where the image is at hand; empty where it does not."""
    if not same_aspect((drawn_hw[1], drawn_hw[0]), size_hw):
        return ""
    orientation = 1 if image is None else exif_orientation(image)
    seen = f", as EXIF orientation {orientation} of the image shows it" if orientation != 1 else ""
    return f"it fits turned by a quarter{seen}"


def why_too_large(drawn_hw: SizeHW, name: str, size_hw: SizeHW) -> str:
    """Why a label of its image's aspect ratio is of far too many pixels to be drawn; empty where it is not."""
    times = drawn_hw[0] * drawn_hw[1] // (size_hw[0] * size_hw[1])
    if times <= MOST_TIMES_PIXELS or drawn_hw[0] * drawn_hw[1] <= MOST_PIXELS:
        return ""
    told = f"was drawn on {sized(drawn_hw)} (HxW), {times} times the pixels of {name}"
    return f"{told}; expected its size {sized(size_hw)}. Scale the label down, or mend the size it states"


def advised(error: CurateError) -> str:
    """What an error says, and what to do where it is pixels that end early, which it leaves open."""
    return f"{error}. Export or copy it again" if UNDECODABLE in str(error) else str(error)


def why_empty(drawn: Drawing, merged: Mask) -> str:
    """Why nobody is left in a mask; empty where somebody is."""
    if not (drawn.target == PERSON).any():
        advice = "Draw it anew" if drawn.lost else "Say with --person which is"
        told = "".join(f": {why}" for why in [drawn.lost] if why)
        return f"shows no person ({drawn.found}{told}); expected at least one pixel. {advice}, or leave it out"
    return "" if merged.any() else "has no pixel in common with the mask that is there; nothing is left of the person"


def why_fixed(row: dict[str, Any]) -> str:
    """Why a sample cannot take a label with a person without changing its split; empty where it can."""
    if row["split"] == "background":
        return f"{row['sample_id']} is kept as background, without a person. Build it anew with this label"
    return ""


def sized(size_hw: SizeHW | None) -> str:
    """`480x640`."""
    return "" if size_hw is None else f"{size_hw[0]}x{size_hw[1]}"
