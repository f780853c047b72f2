"""Images sent out to be labelled: which, in which order, and with which masks to start from."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate import images, schema
from curate.dataset import Dataset, read_table
from curate.errors import CurateError, ExistsError, MissingError, UsageError
from curate.exports import (
    MARKER,
    Fill,
    Splits,
    check_apart,
    check_replaceable,
    lay_image,
    marker_of,
    write_export,
)
from curate.files import readable_faults, scratch_folder
from curate.guesses import MODEL, confidences
from curate.masks import IGNORE, PERSON, Mask
from curate.rows import Row, Rows
from curate.sources import Note
from curate.threads import Watch, unwatched
from label.outlining import TOLERANCE_PX

NO_CLOCK = (1980, 1, 1, 0, 0, 0)
"""The time of every entry of a zip, the first it can have: the same export gives the same bytes."""
HALF = 128
"""Of a prediction's 8 bits: from here on it says person."""


@dataclass(frozen=True)
class Task:
    """One image to be labelled.

    Attributes:
        row: Its row of samples.
        person: (H, W) where a person is, by a label or a model's guess, to start from; None where nothing is known.
        ignored: (H, W) what is not counted.
    """

    row: dict[str, Any]
    person: Mask | None
    ignored: Mask

    @property
    def sample_id(self) -> str:
        """Its name, by which a label is matched when it comes back."""
        return str(self.row["sample_id"])

    @property
    def file_name(self) -> str:
        """Its image's name in the export."""
        return self.sample_id + Path(self.row["image"]).suffix


@dataclass(frozen=True)
class Sent:
    """What was written.

    Attributes:
        out: The folder, or the zip.
        names: The sample_ids, in order.
        started: How many of them have a mask to start from.
        least_iou, mean_iou: What drawing these masks as the tool's shapes keeps of them; None without any.
        left_out: Sample_id -> why its image or mask cannot be read.
    """

    out: Path
    names: list[str]
    started: int
    least_iou: float | None
    mean_iou: float | None
    left_out: dict[str, str]


def send(
    dataset: Dataset,
    out: Path,
    tool: str,
    names: Sequence[str] | None = None,
    run: Path | None = None,
    tolerance_px: float = TOLERANCE_PX,
    *,
    force: bool = False,
    watch: Watch = unwatched,
) -> Sent:
    """Write images for a labelling tool, with masks to start from; whole or not at all.

    Args:
        dataset: Whose images.
        out: The folder; a zip where its name ends in `.zip`.
        tool: One of label.writers.WRITERS.
        names: Their sample_ids, the most urgent first; None: those tagged `relabel`, then the pool, of what a model
            guessed there the least sure first.
        run: A run whose predictions the masks are; None: the masks that are there.
        tolerance_px: How far an outline may move where the tool's shapes are polygons.
        force: Replace an export that is at `out`.
        watch: Told of progress.

    Raises:
        UsageError: A sample is not there, or none is left; `out` lies in or around the dataset.
        ExistsError: `out` exists, and `force` is false or it is no export.
        MissingError, FormatError: No image and mask can be read, or no prediction is there.
    """
    from label.writers import WRITERS

    rows: Sequence[Row] = chosen_rows(dataset, names)
    if run is not None:
        rows = by_worth(rows, run)
    kept, left_out = list[float](), dict[str, str]()

    def fill(folder: Path, dataset: Dataset, _: Splits, watch: Watch) -> list[Note]:
        (folder / "images").mkdir()
        tick = watch("writing images", len(rows))
        kept.extend(WRITERS[tool](folder, tasks(dataset, rows, run, folder, tick, left_out), tolerance_px))
        return []

    if out.suffix.lower() == ".zip":
        write_zip(dataset, out, tool, fill, force=force, watch=watch)
    else:
        write_export(dataset, out, f"label {tool}", {"": rows}, fill, force=force, watch=watch)
    ids = [str(row["sample_id"]) for row in rows if row["sample_id"] not in left_out]
    mean = sum(kept) / len(kept) if kept else None
    return Sent(out, ids, len(kept), min(kept, default=None), mean, left_out)


def write_zip(dataset: Dataset, out: Path, tool: str, fill: Fill, *, force: bool, watch: Watch) -> None:
    """The export as a zip, which stands there when it is whole."""
    check_zip(out, dataset, force=force)
    with readable_faults(out), scratch_folder(out, "partial") as scratch:
        check_zip(out, dataset, force=force)  # once more, now that nobody else can be writing there
        export = write_export(dataset, scratch / "export", f"label {tool}", {}, fill, force=False, watch=watch)
        partial = scratch / "zip"
        with zipfile.ZipFile(partial, "w") as archive:  # photographs and PNGs do not shrink
            for path in sorted(export.out.rglob("*")):
                if path.is_file():
                    entry = zipfile.ZipInfo.from_file(path, path.relative_to(export.out), strict_timestamps=False)
                    entry.date_time = NO_CLOCK
                    archive.writestr(entry, path.read_bytes())
        partial.replace(out)


def check_zip(out: Path, dataset: Dataset, *, force: bool) -> None:
    """Refuse a zip that an export of `dataset` cannot be written to, as `curate.exports.check_out` does a folder.

    Raises:
        UsageError: It lies in the dataset.
        ExistsError: Something stands there that is not an export and nothing else, or `force` is false.
    """
    check_apart(out, dataset)
    if out.is_dir():
        raise ExistsError(f"{out}: is a folder, and the name of a zip was expected. Choose another --out")
    if not out.exists():
        return
    marker, names = None, set[str]()
    with suppress(Exception), zipfile.ZipFile(out) as archive:  # a damaged zip makes zipfile raise whatever it likes
        names = {entry.split("/")[0] for entry in archive.namelist()}
        marker = marker_of(archive.read(MARKER))
    check_replaceable(out, marker, names, force=force)


def chosen_rows(dataset: Dataset, names: Sequence[str] | None) -> Rows:
    """The rows of the named samples, in the order of the names, each once.

    Raises:
        UsageError: One is not there, or none is asked for.
    """
    if names is None:
        wanted = dataset.samples.filter(pl.col("tags").list.contains("relabel"))["sample_id"]
        names = [*wanted, *least_sure_first(dataset)]
        if not names:
            raise UsageError(f"{dataset.root}: no image is tagged relabel, and the pool is empty. Name some with --ids")
    if unknown := [name for name in names if name not in dataset.named]:
        raise UsageError(f"--ids {unknown[0]}: is no sample of {dataset.root}")
    if not names:
        raise UsageError("--ids: names no image")
    return dataset.named.of([*dict.fromkeys(names)])


def least_sure_first(dataset: Dataset) -> list[str]:
    """The pool, those first whose masks the model was least sure of, and those last in which it saw nobody."""
    sure = confidences(dataset)
    return sorted(dataset.sample_ids("pool"), key=lambda name: sure.get(name, math.inf))


def by_worth(rows: Sequence[dict[str, Any]], run: Path) -> list[dict[str, Any]]:
    """The rows, those first whose labels the run suspects most; the others stay in their order."""
    path = run / "suspects.parquet"
    if not path.is_file():
        return list(rows)
    suspects = read_table(path, schema.SUSPECTS)
    suspicion = dict(suspects.select("sample_id", "suspicion").iter_rows())
    return sorted(rows, key=lambda row: -(suspicion.get(row["sample_id"]) or 0.0))


def tasks(
    dataset: Dataset,
    rows: Sequence[dict[str, Any]],
    run: Path | None,
    folder: Path,
    tick: Callable[[int], None],
    left_out: dict[str, str],
) -> Iterable[Task]:
    """Each row as a task, its image laid into the folder's `images`; what cannot be read is told in `left_out`.

    Raises:
        MissingError: None can be read, or the run holds no prediction of any of them.
    """
    predicted = 0
    for row in rows:
        tick(1)
        try:
            task = task_of(dataset, row, run)
            lay_image(dataset, row, folder / "images" / task.file_name)
        except CurateError as error:
            left_out[row["sample_id"]] = str(error)
            continue
        predicted += task.person is not None
        yield task
    if len(left_out) == len(rows):
        raise MissingError(f"{dataset.root}: none of these images can be sent: {next(iter(left_out.values()))}")
    if run is not None and not predicted:
        raise MissingError(f"{run}: holds no prediction of these images. Score them: curate train score {run}")


def task_of(dataset: Dataset, row: dict[str, Any], run: Path | None) -> Task:
    """One row as a task."""
    size_hw = row["height"], row["width"]
    target = dataset.target(row)
    known = row["split"] != "pool" or row["origin"] == MODEL
    ignored = (target == IGNORE) & known
    if run is None:
        return Task(row, target == PERSON if known else None, ignored)
    path = run / "predictions" / f"{row['sample_id']}.png"
    if not path.is_file():
        return Task(row, None, ignored)
    probability = images.read_grey(path, size_hw)
    person = probability >= HALF
    return Task(row, person, ignored & ~person)
