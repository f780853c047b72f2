"""The steps that a loop is made of, each of which looks whether its result is there before it makes it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table
from curate.terminal import counted
from curate.threads import Say, unwatched
from review.loop.ahead import loop_work
from review.loop.config import LoopConfig, arm_config, arm_images
from review.loop.folders import round_folder
from review.loop.given import Given, read_given, version_of
from train.config import FitConfig, read_config
from train.engine.stages import stages
from train.fit import fit
from train.monitoring.estimate import foretelling
from train.monitoring.log import EpochLine, is_finished, read_log
from train.monitoring.measure import epoch_seconds
from train.scoring.score import dataset_of, score
from train.scoring.scored import PLAIN, read_manner

Report = Callable[[EpochLine], None]


@dataclass(frozen=True)
class Told:
    """A loop at work, and who is told of it."""

    out: Path
    config: LoopConfig
    say: Say
    report: Report | None
    disk: float | None
    """Bytes it will write, where it begins now."""

    @property
    def base(self) -> Path:
        """The run that the first round starts from."""
        return self.config.base_of(self.out)

    @property
    def base_config(self) -> FitConfig:
        """How that run was trained, its learning rate a number."""
        return read_config(self.base)


@dataclass(frozen=True)
class Round:
    """What a round begins with."""

    number: int
    base: Path
    """The run that its arms start from."""
    before: Dataset
    """The version that the control learns from."""
    dataset: Dataset
    """The version with the corrected labels, by which all are judged."""
    corrected: frozenset[str]
    """The images whose label is another one than when the loop began, or was not there."""
    settled: frozenset[str]
    """Those of them that had a label before, at which somebody so has looked again."""
    given: Given
    told: Told

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return round_folder(self.told.out, self.number)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdicts in force, without those that asked for a label which has come."""
        told = self.given.verdicts.items()
        return {name: verdict for name, verdict in told if verdict != "relabel" or name not in self.corrected}

    def say(self, line: str) -> None:
        """Tell what the round is at."""
        self.told.say(f"round {self.number}: {line}")


def versions_of(dataset: Dataset, out: Path, rounds: Iterable[int]) -> list[Dataset]:
    """The version that a loop began with, and that of each of its first rounds; of one that has not begun the last."""
    versions = [dataset]
    for number in rounds:
        folder = round_folder(out, number)
        given = read_given(folder)
        versions.append(versions[-1] if given is None else version_of(versions[-1], folder, given))
    return versions


def train(dataset: Dataset, run: Path, config: FitConfig, mined: pl.DataFrame | None, told: Told) -> None:
    """Train a run to its end, or go on with it."""
    if is_finished(run):
        return
    judges = len(dataset.rows("val"))
    watch = foretelling(
        unwatched, told.say, lambda: loop_work(dataset, told.out, told.config), config, judges, told.disk
    )
    fit(
        dataset,
        run,
        config,
        mined=mined,
        resume=(run / "config.json").is_file(),
        report=told.report,
        watch=watch,
        say=told.say,
        foretell=False,
    )


def epochs_in_minutes(told: Told, dataset: Dataset) -> int:
    """The epochs of each arm that fit into a budget in minutes, one at least; 0 where the budget is in epochs.

    The base that the loop trained tells what an epoch takes; of one that grew, or began frozen, only the epochs are
    asked that are as the arms' will be. Of a run from elsewhere nothing is known but how it was trained, perhaps on
    another machine and at another size: a few steps of an arm are timed.
    """
    config = told.config
    if not config.budget.endswith("m"):
        return 0
    if config.start:
        arm = arm_config(config.fit, config.retrain_lr, told.base, 1, 1, arm_images(dataset, config.fit))
        seconds = epoch_seconds(dataset, msgspec.structs.replace(arm, weights="none"))
    else:
        lines, trained = read_log(told.base), told.base_config
        begin = max(stages(trained)[-1].first, trained.freeze_epochs + 1)
        seconds = statistics.median(line.seconds for line in (lines[begin - 1 :] or lines))
    epochs = max(1, int(float(config.budget[:-1]) * 60 / seconds))
    told.say(f"{config.budget} are {counted(epochs, 'epoch')} of about {seconds:.0f} s for each arm")
    return epochs


def judged(begun: Round, name: str, run: Path, splits: Sequence[str], *, ensemble: bool = False) -> Path:
    """Where the scores of a run by the labels of a round are, once they are made.

    That is the run itself, where its own version has the same labels in these splits and its scores are made as the
    arms' are, else the round's folder `judged/NAME`. A run from elsewhere (--from) is only read: what it lacks is
    scored into that folder too.

    Args:
        begun: The round.
        name: What the run is to it.
        run: The run.
        splits: The splits.
        ensemble: Score the mean of the run's model and its fold models.
    """
    dataset, folder = begun.dataset, begun.folder / "judged" / name
    config = read_config(run)
    own = dataset if dataset.header.digest == config.digest else dataset_of(run, config)
    alike = own is dataset or labels_of(own, splits).equals(labels_of(dataset, splits))
    plain = read_manner(run) == PLAIN or not (run / "scores.parquet").is_file()
    known = own if alike else dataset
    wanted = known.samples.filter(pl.col("split").is_in(splits))
    place = run if alike and plain and not ensemble else folder
    is_own = run.resolve().is_relative_to(begun.told.out.resolve())
    if place is run and not is_own and _unscored(run, wanted):
        place = folder
    if left := _unscored(place, wanted):
        score(run, known, left, place, ensemble=ensemble, other_version=not alike)
    return place


def _unscored(place: Path, wanted: pl.DataFrame) -> list[str]:
    """The splits of which some images that are wanted have no scores in a folder."""
    path = place / "scores.parquet"
    scored = read_table(path, schema.SCORES)["sample_id"] if path.is_file() else pl.Series([], dtype=pl.String)
    missing = set(wanted.filter(~pl.col("sample_id").is_in(scored.implode()))["split"])
    return [split for split in schema.SPLITS if split in missing]


def labels_of(dataset: Dataset, splits: Sequence[str]) -> pl.DataFrame:
    """What the scores of splits depend on beside the model."""
    return dataset.samples.filter(pl.col("split").is_in(splits)).select("sample_id", "split", "mask_sha256")


def scores_of(run: Path, split: str) -> pl.DataFrame:
    """A run's scores of a split, sorted by sample_id."""
    return read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split") == split).sort("sample_id")
