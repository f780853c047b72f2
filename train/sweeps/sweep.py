"""A sweep: one run after the other, each scored once on the test split when it is finished, and a table of them all.

All state is in files, as of a loop: the same call goes on where it was killed, in the very run it was in.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from curate.dataset import Dataset
from curate.errors import (
    CurateError,
    DivergedError,
    DownloadError,
    ExistsError,
    MachineError,
    MissingError,
    UsageError,
    VersionError,
)
from curate.files import held_folder, json_bytes, readable_faults, write_atomic
from curate.formats import read_head
from curate.threads import Say, Watch, unwatched
from train.claim import check_apart
from train.config import FitConfig, first_difference, has_named_weights, placed
from train.data.folds import settle_validation, share_images
from train.data.material import check_classes
from train.engine.stages import stage_of
from train.fit import check_buildable, fit, settle
from train.models import imagenet_settings
from train.monitoring.estimate import JUDGING_SHARE, NOTHING, duration, fit_work, pace_at, seconds_of
from train.monitoring.log import EpochLine
from train.scoring.score import read_rows, score
from train.scoring.scored import PLAIN, read_manner
from train.sweeps.grid import Axes, Run, Sweep
from train.sweeps.table import Row, is_scored, make_rows, table_csv, table_markdown

FILES = ("sweep.json", "table.md", "table.csv")
"""What lies in a sweep's folder beside its runs."""


def settle_sweep(dataset: Dataset, out: Path, axes: Axes, runs: Sequence[Run]) -> Sweep:
    """A sweep of a dataset as it stands in `sweep.json`, all of its runs looked at before any is trained.

    Raises:
        UsageError: A run could not be trained; the message begins with its name.
        MissingError, FormatError, MismatchError: Its weight file is absent, damaged or of another architecture, or the
            dataset does not label a class it is to learn.
    """
    settled: list[Run] = []
    built: set[tuple[object, ...]] = set()
    for run in runs:
        try:
            config = settle(run.config, dataset, out / run.name)
            share_images(dataset, config)
            check_classes(dataset, config)
            _check_built(run.config, built)
        except UsageError as error:
            raise UsageError(f"{run.name}: {error}") from error
        settled.append(msgspec.structs.replace(run, config=config))
    return Sweep(digest=dataset.header.digest, axes=axes, runs=settled)


DECIDE_THE_MODEL = (
    *("model", "encoder", "weights", "position_channels", "classes"),
    *("freeze_epochs", "freeze_batch_norm", "encoder_lr_scale", "precision"),
)
"""Options that a model is built by, or cannot be built with."""


def _check_built(config: FitConfig, built: set[tuple[object, ...]]) -> None:
    """Build a model like this where none was yet; whether weights can be downloaded is seen when its turn comes."""
    if config.weights == "imagenet":
        imagenet_settings(config.encoder)
        config = msgspec.structs.replace(config, weights="none")
    like = tuple(getattr(config, field) for field in DECIDE_THE_MODEL)
    if like not in built:
        check_buildable(config)
        built.add(like)


def run_sweep(
    dataset: Dataset,
    out: Path,
    sweep: Sweep | None,
    *,
    force: bool = False,
    say: Say = lambda line: None,
    report: Callable[[EpochLine], None] = lambda line: None,
    watch: Watch = unwatched,
) -> list[Row]:
    """Train, or go on with, all runs of the sweep in folder `out`; returns the rows of its table.

    A run whose pretrained weights cannot be had, whose loss is no longer a number, or that fails for another reason of
    its own, is a row that says so, and the sweep goes on; the next call tries it again.

    Args:
        dataset: What to learn from.
        out: Folder of the sweep, made where it is not there.
        sweep: What to do; None for what the folder holds.
        force: Begin anew where a sweep stands, with another one or with the same.
        say: Told one line at a time.
        report: Told each finished epoch.
        watch: Shown what is being done and how far it is.

    Raises:
        ExistsError: The folder holds something else, or another process works in it.
        UsageError: It holds a sweep with other options, or there is none to go on with.
        VersionError: It holds a sweep of another dataset.
        MachineError, MissingError: The disk is too full, or a part of the dataset is gone: no run could go on.
    """
    _check_place(dataset, out)
    stored = read_sweep(out)
    wanted = sweep or stored
    if wanted is None:
        raise UsageError(f"{out}: no sweep to go on with. Pass --over OPTION=VALUE,VALUE or --preset table1")
    if stored is not None and not (force and sweep):
        _check_same(dataset, out, stored, wanted)
    with held_folder(out), readable_faults(out):
        if force or stored is None:
            _claim(out, stored, wanted)
        return _train_all(dataset, out, wanted, say, report, watch)


def _train_all(
    dataset: Dataset, out: Path, sweep: Sweep, say: Say, report: Callable[[EpochLine], None], watch: Watch
) -> list[Row]:
    left = [run for run in sweep.runs if not is_scored(dataset, out / run.name)]
    heard: list[tuple[Run, EpochLine]] = []
    absent: dict[str, str] = {}
    while left:
        run = left[0]
        about = f", about {duration(seconds_left(dataset, out, left, heard))} left" if heard else ""
        say(f"run {sweep.runs.index(run) + 1} of {len(sweep.runs)}: {run.name}{about}")

        def hear(line: EpochLine, run: Run = run) -> None:
            report(line)
            heard.append((run, line))
            if len(heard) == 1:
                say(f"about {duration(seconds_left(dataset, out, left, heard))} left for the whole sweep")

        try:
            _train_one(dataset, out / run.name, run.config, hear, say, watch)
        except CurateError as error:
            if _stops_all(error):
                raise
            absent[run.name] = _in_a_word(error)
            say(f"{run.name}: {error}")
        del left[0]
        _write_table(out, make_rows(dataset, out, sweep, absent))
    rows = make_rows(dataset, out, sweep, absent)
    _write_table(out, rows)
    return rows


def _stops_all(error: CurateError) -> bool:
    """Whether other runs would meet the same: the machine lacks something, or the dataset does."""
    return isinstance(error, MachineError | MissingError) and not isinstance(error, DownloadError)


def _in_a_word(error: CurateError) -> str:
    """Why a run is not trained, as its row says it."""
    words = {DownloadError: "no weights here", DivergedError: "diverged"}
    return next((word for kind, word in words.items() if isinstance(error, kind)), "failed")


def seconds_left(dataset: Dataset, out: Path, runs: Sequence[Run], heard: Sequence[tuple[Run, EpochLine]]) -> float:
    """About how long some runs of the sweep in folder `out` still take, by the epochs heard of so far.

    By the pixels there are to learn from and to judge: that one encoder is slower than another is not known.
    """
    judges = {run.name: _judges(dataset, run.config) for run, _ in heard}
    pixels = sum(
        (line.images + JUDGING_SHARE * judges[run.name][line.fold]) * stage_of(run.config, line.epoch).size ** 2
        for run, line in heard
    )
    work = NOTHING
    for run in runs:
        work += fit_work(dataset, run.config, out / run.name)
    return seconds_of(work, pace_at(1, sum(line.seconds for _, line in heard) / pixels, work.learn))


def _judges(dataset: Dataset, config: FitConfig) -> dict[int, int]:
    """Fold -> how many images judge each of its epochs."""
    return {fold: len(share.judge) for fold, share in share_images(dataset, settle_validation(config, dataset)).items()}


def _train_one(
    dataset: Dataset, folder: Path, stored: FitConfig, report: Callable[[EpochLine], None], say: Say, watch: Watch
) -> None:
    """Train a run to its end, or from where it was killed, and score it plainly on the test split where that was not
    done; other splits too where somebody scored them otherwise since."""
    weights = stored.weights if has_named_weights(stored.weights) else os.path.relpath(placed(stored.weights, folder))
    config = msgspec.structs.replace(stored, weights=weights, dataset="", digest="")
    begun = (folder / "config.json").is_file()
    fit(dataset, folder, config, resume=begun, report=report, watch=watch, say=say, foretell=False)
    if not is_scored(dataset, folder):
        others = set() if read_manner(folder) == PLAIN else set(read_rows(folder)["split"])
        score(folder, dataset, sorted({"test", *others}), watch=watch)


def _write_table(out: Path, rows: Sequence[Row]) -> None:
    write_atomic(out / "table.csv", table_csv(rows).encode())
    write_atomic(out / "table.md", table_markdown(rows).encode())


def read_sweep(out: Path) -> Sweep | None:
    """The sweep in a folder; None where there is none.

    Raises:
        FormatError: `sweep.json` is damaged.
        VersionError: It is of a newer format.
    """
    path = out / "sweep.json"
    if not path.is_file():
        return None
    return read_head(path, Sweep, "Restore it, or delete the folder and sweep anew")


def _check_place(dataset: Dataset, out: Path) -> None:
    """Raise where the sweep would stand in or around the dataset, or in a folder that holds anything else."""
    check_apart(dataset, out)
    if out.is_dir() and not (out / "sweep.json").is_file():
        others = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        if others:
            raise ExistsError(f"{out}: holds {others[0]} and is no sweep. Choose another --out")


def _check_same(dataset: Dataset, out: Path, stored: Sweep, wanted: Sweep) -> None:
    """Raise where a folder holds another sweep than the one that is wanted."""
    other = "Choose another --out, or pass --force to begin anew there"
    if stored.digest != dataset.header.digest:
        digests = f"has digest {dataset.header.digest[:12]}, {out} was begun with {stored.digest[:12]}"
        raise VersionError(f"{dataset.root}: {digests}. {other}")
    old, new = ([run.name for run in sweep.runs] for sweep in (stored, wanted))
    if old != new:
        raise UsageError(f"{out}: was begun with {len(old)} runs, {_some(old)}, not {_some(new)}. {other}")
    for one, two in zip(stored.runs, wanted.runs, strict=True):
        if difference := first_difference(one.config, two.config):
            option, before, now = difference
            raise UsageError(f"{out}: was begun with {option} {before}, not {now}, in {one.name}. {other}")


def _some(names: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((names[0], names[-1])))


def _claim(out: Path, stored: Sweep | None, wanted: Sweep) -> None:
    """Clear an earlier sweep, and nothing else, and write what decides this one."""
    for run in stored.runs if stored else ():
        shutil.rmtree(out / run.name, ignore_errors=True)
    for name in FILES if stored else ():
        (out / name).unlink(missing_ok=True)
    write_atomic(out / "sweep.json", json_bytes(wanted) + b"\n")
