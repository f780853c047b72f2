"""The fields of samples in FiftyOne: names, types and meanings, and how their values are brought up to date."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import fiftyone as fo
import polars as pl

from curate.errors import UsageError

Fields = Mapping[str, tuple[type[fo.Field], str]]
"""Name -> type and meaning, which the App shows beside the name."""

SAMPLE_FIELDS: Fields = {
    "sample_id": (fo.StringField, "the sample's name in the dataset"),
    "split": (fo.StringField, "train, val or test"),
    "source": (fo.StringField, "the data set the photograph comes from"),
    "people": (fo.IntField, "number of people"),
    "area": (fo.FloatField, "person pixels / counted pixels"),
    "group": (fo.StringField, "near duplicates, frames of one clip: what is never split apart"),
    "look_alikes": (fo.IntField, "how many other images are in its group"),
}
"""What a dataset version says of its samples."""

PHOTO_FIELDS: Fields = {
    "light": (fo.FloatField, "median brightness, [0, 1]"),
    "person_light": (fo.FloatField, "median brightness of the person, [0, 1]"),
    "person_highlight": (fo.FloatField, "what the lightest 2 % of the person exceed, [0, 1]"),
    "background_highlight": (fo.FloatField, "what the lightest quarter of the background exceeds, [0, 1]"),
    "blending": (fo.FloatField, "share of the outline that hardly shows, [0, 1]"),
    "blur": (fo.FloatField, "how little the person loses by blurring (Crete et al. 2007), [0, 1]"),
    "noise": (fo.FloatField, "standard deviation of the noise, grey levels of 255"),
    "clutter": (fo.FloatField, "share of the background on edges, [0, 1]"),
    "jpeg_quality": (fo.IntField, "quality the JPEG was stored with, 1 to 100"),
}
"""The columns of review.slices.CONDITIONS."""

NOTE_FIELD: Fields = {"note": (fo.StringField, "what a reviewer says of the image, beside the verdict among its tags")}

LABEL_FIELDS: Fields = {
    "label_severity": (
        fo.FloatField,
        "how sure the label check is of its worst finding; from 0.5 on the label is likely wrong",
    ),
    "label_check": (fo.StringField, "what that finding is, and what to do about it"),
    "suspicion": (fo.FloatField, "how likely the label is wrong; training images only"),
    "suspicion_reason": (fo.StringField, "why the label is in doubt"),
}

RUN_NUMBERS = {
    "iou": "IoU of prediction and label",
    "dice": "Dice of prediction and label",
    "boundary_iou": "Boundary IoU (Cheng et al. 2021)",
    "bce": "binary cross-entropy, mean over the counted pixels",
    "label_quality": "how well the prediction supports the label, [0, 1]; low = label in doubt",
    "severity": "1 - IoU",
}
RUN_WORDS = {"failure": "what kind of failure this is", "triage": "augment = hard image, relabel = label in doubt"}
RUN_MASKS = ("prediction", "errors")


def run_fields(prefix: str) -> Fields:
    """The plain fields of a run."""
    numbers = {f"{prefix}_{name}": (fo.FloatField, meaning) for name, meaning in RUN_NUMBERS.items()}
    return numbers | {f"{prefix}_{name}": (fo.StringField, meaning) for name, meaning in RUN_WORDS.items()}


class Box(NamedTuple):
    """A box over an image: what it is about, how sure that is, and left, top, width, height in shares of the image."""

    label: str
    confidence: float
    place: tuple[float, float, float, float]


def declare(shown: fo.Dataset, fields: Fields) -> None:
    """Add typed fields with what they mean, those that are not there yet."""
    for name, (kind, meaning) in fields.items():
        if not shown.has_sample_field(name):
            shown.add_sample_field(name, kind, description=meaning)


def declare_mask(shown: fo.Dataset, name: str) -> None:
    """Add a field of masks where it is not there yet."""
    if not shown.has_sample_field(name):
        shown.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)


def declare_boxes(shown: fo.Dataset, name: str) -> None:
    """Add a field of boxes where it is not there yet."""
    if not shown.has_sample_field(name):
        shown.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)


def declare_words(shown: fo.Dataset, name: str, meaning: str) -> None:
    """Add a field of lists of words where it is not there yet."""
    if not shown.has_sample_field(name):
        shown.add_sample_field(name, fo.ListField, subfield=fo.StringField, description=meaning)


def update(shown: fo.Dataset, table: pl.DataFrame) -> None:
    """Set fields of every sample, named as the table's columns, by sample_id; a sample without a row gets None.

    Only what differs is written. Of several rows of a sample, which a stranger's table may have, the last one counts.
    """
    fields = [name for name in table.columns if name != "sample_id"]
    ids, *before = shown.values(["sample_id", *fields])
    wanted = pl.DataFrame({"sample_id": ids}, {"sample_id": pl.String}).join(
        table.unique("sample_id", keep="last"), on="sample_id", how="left", maintain_order="left"
    )
    for field, old in zip(fields, before, strict=True):
        rows = zip(ids, wanted[field].to_list(), old, strict=True)
        if changed := {sample_id: value for sample_id, value, there in rows if value != there}:
            shown.set_values(field, changed, key_field="sample_id", progress=False)


def update_masks(shown: fo.Dataset, field: str, paths: Mapping[str, Path]) -> None:
    """Set a field's masks on disk, by sample_id; a label whose path is the same is left as it is, tags and all."""
    ids, before = shown.values(["sample_id", f"{field}.mask_path"])
    wanted = {sample_id: str(path) for sample_id, path in paths.items()}
    changed = {one: wanted.get(one) for one, old in zip(ids, before, strict=True) if old != wanted.get(one)}
    labels = {one: fo.Segmentation(mask_path=path) if path else None for one, path in changed.items()}
    if labels:
        shown.set_values(field, labels, key_field="sample_id", progress=False)


def update_boxes(shown: fo.Dataset, field: str, boxes: Mapping[str, Sequence[Box]]) -> None:
    """Set a field's boxes, by sample_id; boxes that are the same are left as they are, tags and all."""
    ids, labels, places = shown.values(["sample_id", f"{field}.detections.label", f"{field}.detections.bounding_box"])
    before = {
        one: list(zip(a or [], map(tuple, b or []), strict=True)) for one, a, b in zip(ids, labels, places, strict=True)
    }
    changed = {
        one: boxes.get(one, []) for one in ids if [(box.label, box.place) for box in boxes.get(one, [])] != before[one]
    }
    if changed:
        shown.set_values(
            field, {one: detections(found) for one, found in changed.items()}, key_field="sample_id", progress=False
        )


def detections(boxes: Sequence[Box]) -> fo.Detections:
    """Boxes as FiftyOne holds them."""
    return fo.Detections(
        detections=[
            fo.Detection(label=box.label, bounding_box=list(box.place), confidence=box.confidence) for box in boxes
        ]
    )


def run_prefixes(roots: Sequence[Path], known: Mapping[str, str], taken: Collection[str] = ()) -> list[str]:
    """A field prefix for each run: the one it has, else its folder's name with what tells it apart.

    A run of the name of one whose folder is gone is taken for that one, moved.

    Args:
        roots: The runs' folders.
        known: Prefix -> folder, of the runs shown so far.
        taken: The names of fields that are there.

    Raises:
        UsageError: A run is given twice.
    """
    places = [str(root.resolve()) for root in roots]
    if len(set(places)) < len(places):
        raise UsageError("the same run is given twice. Name each run once")
    own = {place: prefix for prefix, place in known.items()}
    moved = {prefix for prefix, place in known.items() if not Path(place).is_dir()}
    used = set(known) - moved
    for place, name in zip(places, named_apart(roots), strict=True):
        if place not in own:
            if name in used or (name not in moved and field_is_taken(name, taken)):
                name = f"{name}_{hashlib.sha256(place.encode()).hexdigest()[:6]}"
            own[place] = name
            used.add(name)
    return [own[place] for place in places]


def field_is_taken(prefix: str, taken: Collection[str]) -> bool:
    """Whether a field that a run of this prefix would have is there already."""
    return any(name in taken for name in [*run_fields(prefix), *(f"{prefix}_{mask}" for mask in RUN_MASKS)])


def named_apart(roots: Sequence[Path]) -> list[str]:
    """The names of folders, with as many parent folders before them as tell them apart, where any do."""
    for depth in range(1, max((len(root.resolve().parts) for root in roots), default=1) + 1):
        names = [sanitised("_".join(root.resolve().parts[-depth:])) for root in roots]
        if len(set(names)) == len(names):
            return names
    return [sanitised(root.resolve().name) for root in roots]


def sanitised(name: str) -> str:
    """A folder name as the start of a field name: letters, digits and underscores, a letter first."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "run"
    return plain if plain[0].isalpha() else f"run_{plain}"
