"""The FiftyOne dataset of a dataset version and its runs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import polars as pl
from fiftyone import ViewField as F
from numpy.typing import NDArray

from curate import schema
from curate.dataset import Dataset, read_table
from curate.decisions import read_decisions
from curate.errors import ExistsError, MissingError
from review.app.appearance import arrange
from review.app.fields import (
    LABEL_FIELDS,
    NOTE_FIELD,
    PHOTO_FIELDS,
    RUN_MASKS,
    RUN_NUMBERS,
    RUN_WORDS,
    SAMPLE_FIELDS,
    Box,
    declare,
    declare_boxes,
    declare_mask,
    declare_words,
    run_fields,
    run_prefixes,
    update,
    update_boxes,
    update_masks,
)
from review.app.known import INFO_KEY, Known, known_of, remember
from review.app.similarity import forget_similarity, update_similarity
from review.app.views import save_views
from review.decisions import Marks
from review.layers import errors_path, prediction_path
from review.runs import Run
from review.slices import slices_of


def open_review(
    runs: Sequence[Run],
    dataset: Dataset,
    conditions: pl.DataFrame,
    findings: pl.DataFrame,
    embeddings: NDArray[np.float32] | None = None,
) -> fo.Dataset:
    """The FiftyOne dataset of a dataset version, brought up to date with the runs; the first run leads the views.

    Samples are added once and then only updated: tags a reviewer set stay. On a run's first day the decisions in its
    `decisions.jsonl` become tags of samples without a verdict, so that a lost database loses none.

    Args:
        runs: Scored runs of this dataset with failures and layers made; none shows the dataset alone.
        dataset: The dataset version.
        conditions: review.slices.CONDITIONS of it.
        findings: review.label_check.FINDINGS of it.
        embeddings: Of the first run, (n, D) in the order of the dataset's rows; None leaves what is there as it is.

    Returns:
        The dataset, persistent, with its saved views (review.app.views).

    Raises:
        ExistsError: FiftyOne has a dataset of this name that is not ours.
    """
    shown = load_or_create(dataset)
    add_samples(shown, dataset)
    known = known_of(shown)
    for run in runs:
        if str(run.root.resolve()) not in known.runs.values():
            take_decisions(shown, run.root / "decisions.jsonl")
    update_conditions(shown, dataset, conditions)
    update_findings(shown, dataset, findings)
    prefixes = run_prefixes([run.root for run in runs], known.runs, {*shown.get_field_schema()})
    for prefix, run in zip(prefixes, runs, strict=True):
        update_run(shown, prefix, run)
    if runs:
        update_suspicion(shown, runs[0])
    if embeddings is not None:
        update_similarity(shown, dataset, prefixes[0], embeddings)
    latest = {prefix: str(run.root.resolve()) for prefix, run in zip(prefixes, runs, strict=True)}
    there = forget_lost_runs(shown, {**known.runs, **latest})
    led = [known.lead] if known.lead in there else []
    ordered = [*dict.fromkeys([*prefixes, *led, *there])]
    root = str(dataset.root.resolve())
    remember(shown, Known(dataset.header.digest, root, there, lead=ordered[0] if ordered else None))
    arrange(shown, ordered, prefixes or ordered[:1])
    save_views(shown, ordered, prefixes)
    return shown


def fiftyone_name(dataset: Dataset, ending: str = "") -> str:
    """The name of the dataset version in FiftyOne: `silhouette-<name>-<first 8 of the digest>`, and an ending."""
    name = re.sub(r"[^a-z0-9]+", "-", dataset.header.name.lower()).strip("-") or "dataset"
    return f"silhouette-{name}-{dataset.header.digest[:8]}{ending}"


def load_or_create(dataset: Dataset, ending: str = "") -> fo.Dataset:
    """Our FiftyOne dataset of this version, made where it is not there; ExistsError where another has its name."""
    name = fiftyone_name(dataset, ending)
    if not fo.dataset_exists(name):
        shown = fo.Dataset(name, persistent=True)
        remember(shown, Known(dataset.header.digest, str(dataset.root.resolve()), dropped=bool(ending)))
        return shown
    shown = fo.load_dataset(name)
    if shown.info.get(INFO_KEY, {}).get("digest") != dataset.header.digest:
        mend = f"fiftyone datasets rename {name} OTHER"
        raise ExistsError(f"FiftyOne has a dataset {name} that is not of this program. Rename it: {mend}")
    return shown


def take_decisions(shown: fo.Dataset, path: Path) -> None:
    """Turn decisions into tags and notes of the samples without a verdict; nothing where there is no such file."""
    if not path.is_file():
        return
    said, marked = read_decisions(path), shown.values(["sample_id", "tags"])
    free = {one for one, tags in zip(*marked, strict=True) if not set(tags) & set(schema.VERDICTS)}
    taken = [decision for decision in said.values() if decision.sample_id in free]
    for verdict in {decision.verdict for decision in taken}:
        ids = [decision.sample_id for decision in taken if decision.verdict == verdict]
        shown.match(F("sample_id").is_in(ids)).tag_samples(verdict)
    if notes := {decision.sample_id: decision.note for decision in taken if decision.note}:
        shown.set_values("note", notes, key_field="sample_id", progress=False)


def add_samples(shown: fo.Dataset, dataset: Dataset) -> None:
    """Add the samples that are not there yet, and follow the dataset's files where they have moved."""
    declare(shown, SAMPLE_FIELDS)
    declare(shown, {**NOTE_FIELD, **LABEL_FIELDS})
    declare_mask(shown, "ground_truth")
    shown.create_index("sample_id", unique=True)
    there = set(shown.values("sample_id"))
    new = dataset.named.of([name for name in dataset.sample_ids() if name not in there])
    if new:  # one by one: FiftyOne reads a sample that is alive again whenever a field is set
        shown.add_samples((new_sample(dataset, row) for row in new), num_samples=len(new), progress=False)
    root = dataset.root.resolve()
    place = pl.concat_str(pl.lit(f"{root}/"), "image").alias("filepath")
    alike = (pl.len().over("group") - 1).alias("look_alikes")
    update(shown, dataset.samples.select("sample_id", "group", alike, place))
    update_masks(
        shown, "ground_truth", {one: root / mask for one, mask in dataset.samples["sample_id", "mask"].iter_rows()}
    )


def new_sample(dataset: Dataset, row: Mapping[str, Any]) -> fo.Sample:
    """A sample as the dataset version describes it, without anything a run or a reviewer says."""
    return fo.Sample(
        filepath=str(dataset.root.resolve() / row["image"]),
        metadata=fo.ImageMetadata(width=row["width"], height=row["height"]),
        **{name: row[name] for name in ("sample_id", "split", "source", "people", "area")},
    )


def update_conditions(shown: fo.Dataset, dataset: Dataset, conditions: pl.DataFrame) -> None:
    """What each photograph is like, and the slices that puts it in."""
    declare(shown, PHOTO_FIELDS)
    declare_words(shown, "slices", "the kinds of photograph this one is of (docs/reviewing.md)")
    members = slices_of(dataset.samples, conditions).group_by("sample_id", maintain_order=True).agg(slices="slice")
    table = conditions.select("sample_id", *PHOTO_FIELDS).join(members, on="sample_id", how="left")
    update(shown, table.with_columns(pl.col("slices").fill_null([])))


def update_findings(shown: fo.Dataset, dataset: Dataset, findings: pl.DataFrame) -> None:
    """What the label check says: of each label the worst finding in words, and all that have a place as boxes."""
    worst = findings.unique("sample_id", keep="first", maintain_order=True)
    said = pl.format("{}: {}. {}", "kind", "found", "advice")
    update(shown, worst.select("sample_id", label_severity="severity", label_check=said))
    declare_boxes(shown, "label_findings")
    placed = findings.filter(pl.col("bbox_xywh").is_not_null()).join(
        dataset.samples.select("sample_id", "width", "height"), on="sample_id", maintain_order="left"
    )
    boxes = defaultdict[str, list[Box]](list)
    for row in placed.iter_rows(named=True):
        boxes[row["sample_id"]].append(box_of(row))
    update_boxes(shown, "label_findings", boxes)


def box_of(row: Mapping[str, Any]) -> Box:
    """A finding's box, in shares of its image."""
    left, top, width, height = row["bbox_xywh"]
    across, down = row["width"], row["height"]
    return Box(row["kind"], row["severity"], (left / across, top / down, width / across, height / down))


def update_run(shown: fo.Dataset, prefix: str, run: Run) -> None:
    """Bring a run's fields up to date: two masks, the scores, the failure and its triage."""
    declare(shown, run_fields(prefix))
    root = run.root.resolve()
    for name, path_of in zip(RUN_MASKS, (prediction_path, errors_path), strict=True):
        field = f"{prefix}_{name}"
        declare_mask(shown, field)
        update_masks(shown, field, {one: path_of(root, one) for one in run.scores["sample_id"]})
    failures = read_table(run.root / "failures.parquet", schema.FAILURES).rename({"kind": "failure"})
    said = run.scores.join(failures.drop("area"), on="sample_id", how="left")
    update(shown, said.select("sample_id", pl.col(*RUN_NUMBERS, *RUN_WORDS).name.prefix(f"{prefix}_")))
    for name in ("iou", "severity", "failure", "triage"):
        shown.create_index(f"{prefix}_{name}")


def update_suspicion(shown: fo.Dataset, run: Run) -> None:
    """How doubtful each training label is, and why, as the leading run sees it."""
    suspects = read_table(run.root / "suspects.parquet", schema.SUSPECTS)
    update(shown, suspects.select("sample_id", "suspicion", suspicion_reason="reason"))
    shown.create_index("suspicion")


def forget_lost_runs(shown: fo.Dataset, runs: Mapping[str, str]) -> dict[str, str]:
    """The runs, by prefix, whose folder is there; the fields of the others, whose masks are gone, are dropped."""
    for prefix in [prefix for prefix, root in runs.items() if not Path(root).is_dir()]:
        fields = [f"{prefix}_{name}" for name in (*RUN_MASKS, *RUN_NUMBERS, *RUN_WORDS)]
        shown.delete_sample_fields([field for field in fields if shown.has_sample_field(field)])
        forget_similarity(shown, prefix)
    return {prefix: root for prefix, root in runs.items() if Path(root).is_dir()}


def read_marks(dataset: Dataset) -> dict[str, Marks]:
    """sample_id -> what a reviewer says of it, for every sample with a verdict among its tags.

    Raises:
        MissingError: The dataset version was never opened in FiftyOne (or its database is gone).
        ExistsError: FiftyOne has a dataset of this name that is not ours.
    """
    name = fiftyone_name(dataset)
    if not fo.dataset_exists(name):
        raise MissingError(f"FiftyOne has no dataset {name} yet. Open it first: curate review open {dataset.root}")
    shown = load_or_create(dataset)
    declare(shown, NOTE_FIELD)
    rows = zip(*shown.values(["sample_id", "tags", "note"]), strict=True)
    marks = {one: Marks([tag for tag in schema.VERDICTS if tag in tags], note) for one, tags, note in rows}
    return {one: marks[one] for one in sorted(marks) if marks[one].verdicts}
