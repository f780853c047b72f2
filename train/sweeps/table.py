"""The table of a sweep: what each of its rows learnt, how it was judged, and what the test split says. No torch."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table
from curate.files import json_bytes
from train.claim import model_folders
from train.config import read_config
from train.data.folds import held_out_tenth, needs_tenth
from train.monitoring.estimate import duration
from train.monitoring.log import is_finished, read_log
from train.scoring.figures import groups_of
from train.scoring.intervals import Interval, mean_interval
from train.scoring.metrics import summarise
from train.scoring.scored import PLAIN, read_manner
from train.sweeps.grid import Run, Sweep

TITLES = {
    "training_loss": "Training loss",
    "validation_loss": "Validation loss",
    "validation_dice": "Validation Dice",
    "validation_iou": "Validation IoU",
    "testing_loss": "Testing loss",
    "testing_accuracy": "Testing accuracy",
    "testing_dice": "Testing Dice",
    "testing_iou": "Testing IoU",
}
"""The figures of a row, with the words of the go-selfies paper's Table I where it has them."""


class Figure(msgspec.Struct, frozen=True):
    """A mean, and the standard deviation of what it is the mean of; None where there is one thing or nothing."""

    mean: float | None
    deviation: float | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table: one training, or the trainings that differ in their seed alone."""

    name: str
    state: str
    """`done`, `to do`, or why there is nothing: `no weights here`, `diverged`, `failed`."""
    best: bool
    """Whether its validation IoU is the highest of those done; the test split decides nothing."""
    runs: list[str]
    """Folders of its finished runs."""
    spread: str
    """What deviations are over: `seeds`, `folds`, or nothing."""
    figures: dict[str, Figure]
    """By the names in TITLES."""
    testing_iou_interval: Interval | None
    """95 %, by bootstrap over groups, of the image mean of the mean over the runs."""
    seconds: float
    """Of training, all models and runs together."""


def make_rows(dataset: Dataset, out: Path, sweep: Sweep, absent: Mapping[str, str]) -> list[Row]:
    """The rows of the sweep in folder `out`, in its order, from what its runs have written.

    Args:
        dataset: The dataset of the sweep.
        out: Its folder.
        sweep: The sweep.
        absent: Run -> why it is not trained.
    """
    of_row: dict[str, list[Run]] = {}
    for run in sweep.runs:
        of_row.setdefault(run.row, []).append(run)
    rows = [_make_row(dataset, out, name, runs, absent) for name, runs in of_row.items()]
    best = max((row for row in rows if row.state == "done"), key=_validation, default=None)
    if best is None or best.figures["validation_iou"].mean is None:
        return rows
    return [msgspec.structs.replace(row, best=row is best) for row in rows]


def _validation(row: Row) -> tuple[float, float]:
    """What rows are compared by, as epochs are: IoU, the lower loss deciding between equals."""
    iou, loss = row.figures["validation_iou"].mean, row.figures["validation_loss"].mean
    return (-1.0 if iou is None else iou, -math.inf if loss is None else -loss)


def _make_row(dataset: Dataset, out: Path, name: str, runs: Sequence[Run], absent: Mapping[str, str]) -> Row:
    """A row with the figures of its finished runs; it is done where all of them are."""
    finished = [out / run.name for run in runs if run.name not in absent and is_scored(dataset, out / run.name)]
    of_run = [run_figures(dataset, folder) for folder in finished]
    figures = {title: _figure([values[title] for values in of_run]) for title in TITLES}
    seeds, folds = len(finished) > 1, bool(of_run) and max(map(len, of_run[0].values())) > 1
    reasons = [absent[run.name] for run in runs if run.name in absent]
    return Row(
        name=name,
        state="done" if len(finished) == len(runs) else reasons[0] if reasons else "to do",
        best=False,
        runs=[folder.name for folder in finished],
        spread="seeds" if seeds else "folds" if folds else "",
        figures=figures,
        testing_iou_interval=_test_interval(dataset, finished),
        seconds=sum(
            line.seconds
            for folder in finished
            for log in model_folders(folder, read_config(folder))
            for line in read_log(log)
        ),
    )


def is_scored(dataset: Dataset, run: Path) -> bool:
    """Whether a run is trained to its end, and scored plainly, on the test split too where there is one."""
    return (
        is_finished(run)
        and read_manner(run) == PLAIN
        and (not dataset.rows("test") or not _scores(run, "test").is_empty())
    )


def _scores(run: Path, split: str) -> pl.DataFrame:
    return read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split") == split)


def run_figures(dataset: Dataset, run: Path) -> dict[str, list[float | None]]:
    """The figures of a finished run by their names in TITLES: one value each, or one for each fold model.

    Training figures are those of the best epoch. With folds, training and validation are those of the fold models,
    and validation is out-of-fold. Testing is of the model of the whole training split. Validation and testing are at
    native size, their losses cross-entropy.
    """
    models, judged = model_folders(run, read_config(run)), list(_judged(dataset, run))
    learnt = [[line for line in read_log(folder) if line.best][-1] for folder in models[1:] or models]
    validation = [summarise(part) for part in judged]
    scores = _scores(run, "test")
    test, accuracy = summarise(scores), scores["accuracy"].mean()
    return {
        "training_loss": [line.train_loss for line in learnt],
        "validation_loss": [summary.mean_bce for summary in validation],
        "validation_dice": [summary.mean_dice for summary in validation],
        "validation_iou": [summary.mean_iou for summary in validation],
        "testing_loss": [test.mean_bce],
        "testing_accuracy": [accuracy if isinstance(accuracy, float) else None],
        "testing_dice": [test.mean_dice],
        "testing_iou": [test.mean_iou],
    }


def _judged(dataset: Dataset, run: Path) -> Iterator[pl.DataFrame]:
    """The scores a run is judged by: of each fold, else of the split val, else of the tenth that was held out."""
    config = read_config(run)
    if config.folds:
        out_of_fold = _scores(run, "train")
        yield from (out_of_fold.filter(pl.col("fold") == fold) for fold in range(config.folds))
    elif needs_tenth(dataset, config.validation):
        held_out = held_out_tenth(dataset, config.seed)
        yield _scores(run, "train").filter(pl.col("sample_id").is_in(held_out))
    else:
        yield _scores(run, "val")


def _figure(of_run: Sequence[Sequence[float | None]]) -> Figure:
    """The mean over runs of each one's mean, and the deviation over runs, or where there is one over its folds."""
    known = [[value for value in values if value is not None] for values in of_run]
    means = [math.fsum(values) / len(values) for values in known if values]
    spread = means if len(of_run) > 1 else known[0] if known else []
    return Figure(
        math.fsum(means) / len(means) if means else None, statistics.stdev(spread) if len(spread) > 1 else None
    )


def _test_interval(dataset: Dataset, runs: Sequence[Path]) -> Interval | None:
    if not runs:
        return None
    each = pl.concat([_scores(run, "test").select("sample_id", "iou") for run in runs])
    images = each.group_by("sample_id").mean().sort("sample_id")
    groups = groups_of(dataset)
    return mean_interval(images["iou"], [groups[sample_id] for sample_id in images["sample_id"]])


def table_csv(rows: Sequence[Row]) -> str:
    """The table as CSV, all digits in it; a deviation or an interval that there is none of is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = [name for title in TITLES for name in (title, f"{title}_deviation")]
    writer.writerow(
        ["model", "state", "best", "runs", "spread", *figures, "testing_iou_low", "testing_iou_high", "seconds"]
    )
    for row in rows:
        values = [value for title in TITLES for value in (row.figures[title].mean, row.figures[title].deviation)]
        interval = row.testing_iou_interval
        bounds = (interval.low, interval.high) if interval else (None, None)
        writer.writerow(
            [no_formula(row.name), row.state, int(row.best), len(row.runs), row.spread, *values, *bounds, row.seconds]
        )
    return text.getvalue()


def no_formula(text: str) -> str:
    """The text so that a spreadsheet does not take it for a formula.

    >>> no_formula("=HYPERLINK(A1)"), no_formula("unet")
    ("'=HYPERLINK(A1)", 'unet')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def table_json(rows: Sequence[Row]) -> str:
    """The rows as one JSON object, `rows`."""
    return json_bytes({"rows": rows}).decode()


def table_markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, the best row by validation in bold, and below it what the figures are."""
    lines = [["Model", *TITLES.values(), "Time"], ["---", *["---:"] * (len(TITLES) + 1)]]
    lines += [_cells(row) for row in rows]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{table}\n\n{_legend(rows)}\n"


def _cells(row: Row) -> list[str]:
    if not row.runs:
        return [row.name, row.state, *[""] * len(TITLES)]
    name = f"**{row.name}**" if row.best else row.name
    figures = [_plus_minus(row.figures[title]) for title in TITLES]
    if row.testing_iou_interval:
        figures[-1] += f" [{row.testing_iou_interval.low:.3f}, {row.testing_iou_interval.high:.3f}]"
    return [name if row.state == "done" else f"{name} ({row.state})", *figures, duration(row.seconds)]


def _plus_minus(figure: Figure) -> str:
    if figure.mean is None:
        return "-"
    return f"{figure.mean:.4f}" + ("" if figure.deviation is None else f" ± {figure.deviation:.4f}")


def _legend(rows: Sequence[Row]) -> str:
    told = ["Bold: best by validation IoU. The test split was scored once a run and chose nothing."]
    spreads = sorted({row.spread for row in rows if row.spread})
    if spreads:
        told.append(f"±: standard deviation over {' or '.join(spreads)}.")
    if "folds" in spreads:
        told.append(
            "Training and validation are of the fold models, validation out-of-fold (with --validation fold a little "
            "too good: the fold picked the epoch too); testing is of the model of the whole training split."
        )
    told.append(
        "Training loss: as --loss has it, over augmented images at training size. All else: image means at native "
        "size, losses cross-entropy; in brackets a 95 % bootstrap interval."
    )
    return " ".join(told)
