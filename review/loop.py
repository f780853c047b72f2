"""The loop: base, mine, control and candidate, gate on validation, one look at test, report.

All state is in files: each step looks whether its result is there and whole, else makes it. So a killed loop goes on
where it was when the same command is run again, and `status` only has to look.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table, write_table
from curate.errors import CurateError, ExistsError, FormatError, MissingError, UsageError
from curate.files import held_folder, write_atomic
from curate.threads import Say, unwatched
from review.ahead import loop_bytes, loop_work
from review.failures import find_failures
from review.gate import Figure, Verdict, compare_figures, decide
from review.mine import mine
from review.runs import open_run
from train.claim import check_apart
from train.config import FitConfig, read_config
from train.fit import fit
from train.monitoring.disk import check_room
from train.monitoring.estimate import Work, foretelling
from train.monitoring.log import EpochLine, is_finished, read_log
from train.scoring.figures import groups_of
from train.scoring.metrics import Summary, summarise
from train.scoring.score import score

FOLDS = 3
"""Fold models of the base where the dataset has no folds of its own."""

RETRAIN_LR = 0.25
"""The arms' learning rate, as a share of the base's: at the full rate they first forget what the base has learnt."""

LOOP_FILES = re.compile(r"\..*|loop\.json|report\.html|base|round-\d+")
"""What may stand in a loop's folder, and what --force clears: nothing else is ever deleted."""

ARMS = ("before", "control", "after")
"""The base, the same training again without mining, and the same with it."""


class LoopConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`loop.json`: all that decides what a loop does."""

    format: int = schema.FORMAT
    dataset: str
    """Path of the dataset, relative to the loop's folder."""
    digest: str
    rounds: int
    budget: str
    """Epochs per arm and round (`4`), or minutes (`30m`)."""
    verdicts: dict[str, str]
    """sample_id -> a reviewer's verdict, from --decisions."""
    fit: FitConfig
    """How the base is trained; `arm_config` says what the arms change of it."""


class RoundResult(msgspec.Struct, frozen=True):
    """`round-N/verdict.json`: the decision, and apart from it what the test split says."""

    round: int
    base: str
    promoted: bool
    reasons: list[str]
    epochs: int
    validation: list[Figure]
    validation_images: int
    test: list[Figure]
    test_images: int
    table: dict[str, Summary]
    """One summary of the test split for each of ARMS."""
    mined: dict[str, int]
    out_of_fold: bool


@dataclass(frozen=True)
class Arms:
    """The folders of a round's three runs."""

    before: Path
    control: Path
    after: Path

    def items(self) -> list[tuple[str, Path]]:
        """(name, run) in the order of ARMS."""
        return [("before", self.before), ("control", self.control), ("after", self.after)]


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


def run_loop(
    dataset: Dataset, out: Path, config: LoopConfig, say: Say, report: Report | None = None, *, force: bool = False
) -> list[RoundResult]:
    """Run, or go on with, the loop in folder `out`; returns one result a round.

    Args:
        dataset: The dataset; its digest is config.digest.
        out: Folder of the loop, made where it is not there.
        config: What to do. A folder that holds another loop is refused.
        say: Called with one line at the start of each step.
        report: Called after each epoch of each training.
        force: Replace a loop of another configuration that stands there.

    Raises:
        ExistsError: `out` holds something else, or another process runs this loop.
    """
    _check_place(dataset, out)
    with held_folder(out):
        _claim(out, config, force)
        base, needed = out / "base", None
        if not (base / "config.json").is_file():
            needed = loop_bytes(dataset, config.fit, config.rounds)
            check_room(out, needed)
        told = Told(out, config, say, report, needed)
        say(f"base: {config.fit.epochs} epochs" + (f", {config.fit.folds} folds" if config.fit.folds else ""))
        _train(dataset, base, config.fit, None, told)
        results = []
        for number in range(1, config.rounds + 1):
            result = _finished_round(out, number) or _run_round(dataset, base, number, told)
            results.append(result)
            base = out / f"round-{number}" / "candidate" if result.promoted else base
    return results


def _check_place(dataset: Dataset, out: Path) -> None:
    """Raise where the loop would stand in or around the dataset, or in a folder that holds anything but a loop."""
    check_apart(dataset, out)
    others = sorted(path.name for path in out.iterdir() if not LOOP_FILES.fullmatch(path.name)) if out.exists() else []
    if others:
        raise ExistsError(f"{out}: holds {others[0]}, which is no part of a loop. Choose another --out")


def _claim(out: Path, config: LoopConfig, force: bool) -> None:
    """Write loop.json, or see that it is the one of an earlier call with the same options.

    A loop that has not finished a single epoch holds nothing that could be lost, and is begun anew.
    """
    path = out / "loop.json"
    if path.is_file() and _read_loop_config(path) == config and not force:
        return
    if path.is_file() and not force and (out / "base" / "log.jsonl").exists():
        found = "a loop with other options or another dataset"
        raise ExistsError(f"{out}: holds {found}. Choose another --out, or pass --force to begin anew there")
    for old in sorted(out.iterdir()):
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    write_atomic(path, msgspec.json.format(msgspec.json.encode(config), indent=2))


def _read_loop_config(path: Path) -> LoopConfig | None:
    """What stands in a loop.json, None where that is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LoopConfig)
    except (msgspec.DecodeError, CurateError):
        return None


def _run_round(dataset: Dataset, base: Path, number: int, told: Told) -> RoundResult:
    out, config, say = told.out, told.config, told.say
    folder = out / f"round-{number}"
    arms = Arms(base, folder / "control", folder / "candidate")
    say(f"round {number}: score the training images and find what fails")
    _score(dataset, base, "train", "val")
    mined = _mined(dataset, base, folder, config)
    epochs = epochs_of(config.budget, base)
    again = arm_config(read_config(out / "base"), base, epochs, number)
    say(f"round {number}: control, {epochs} epochs without mining")
    _train(dataset, arms.control, again, None, told)
    say(f"round {number}: candidate, {epochs} epochs with {_in_words(mined)}")
    _train(dataset, arms.after, again, mined, told)
    for run in (arms.control, arms.after):
        _score(dataset, run, "val")
    groups = groups_of(dataset)
    verdict = decide(_scores(arms.control, "val"), _scores(arms.after, "val"), groups, config.fit.seed)
    say(f"round {number}: {'promoted' if verdict.promoted else 'not promoted'} on validation; now the test split, once")
    for _, run in arms.items():
        _score(dataset, run, "test")
        find_failures(open_run(run, dataset.root))
    result = _result(number, arms, verdict, epochs, mined, config, groups)
    write_atomic(folder / "verdict.json", msgspec.json.format(msgspec.json.encode(result), indent=2))
    return result


def _result(
    number: int,
    arms: Arms,
    verdict: Verdict,
    epochs: int,
    mined: pl.DataFrame,
    config: LoopConfig,
    groups: Mapping[str, str],
) -> RoundResult:
    test = {name: _scores(run, "test") for name, run in arms.items()}
    return RoundResult(
        round=number,
        base=arms.before.name if arms.before.name == "base" else f"{arms.before.parent.name}/{arms.before.name}",
        promoted=verdict.promoted,
        reasons=verdict.reasons,
        epochs=epochs,
        validation=verdict.figures,
        validation_images=verdict.images,
        test=compare_figures(test["control"], test["after"], groups, config.fit.seed),
        test_images=test["after"].height,
        table={name: summarise(frame) for name, frame in test.items()},
        mined=mined_counts(mined),
        out_of_fold=_scores(arms.before, "train")["fold"].min() != -1,
    )


def loop_config(
    dataset: Dataset, out: Path, fit: Mapping[str, Any], *, rounds: int, budget: str, verdicts: Mapping[str, str]
) -> LoopConfig:
    """A loop's configuration from its options.

    Args:
        dataset: The dataset.
        out: The loop's folder.
        fit: fit's options by name; without `epochs` the budget is meant, without `folds` the dataset's, else FOLDS.
        rounds: Number of rounds.
        budget: Epochs (`4`) or minutes (`30m`) per arm and round.
        verdicts: sample_id -> a reviewer's verdict.

    Raises:
        UsageError: An option is out of range, or a budget in minutes stands without --epochs.
    """
    options = {name: value for name, value in fit.items() if value is not None}
    if not re.fullmatch(r"0*[1-9][0-9]{0,6}m?", budget):
        raise UsageError(f"--budget {budget}: expected epochs (4) or minutes (30m), at least 1")
    if "epochs" not in options and budget.endswith("m"):
        raise UsageError(f"--budget {budget}: a budget in minutes says nothing of the base. Pass its --epochs")
    own_folds = dataset.samples.filter(pl.col("fold") >= 0)["fold"].n_unique()
    defaults = {"epochs": int(budget.removesuffix("m")), "folds": own_folds if own_folds > 1 else FOLDS}
    base = FitConfig(dataset="", digest=dataset.header.digest, **defaults | options)
    return LoopConfig(
        dataset=Path(os.path.relpath(dataset.root.resolve(), out.resolve())).as_posix(),
        digest=dataset.header.digest,
        rounds=rounds,
        budget=budget,
        verdicts=dict(sorted(verdicts.items())),
        fit=base,
    )


def arm_config(trained: FitConfig, base: Path, epochs: int, number: int) -> FitConfig:
    """What both arms of a round share: the loop's options and the base's best weights, RETRAIN_LR, a seed of their own.

    What helps a model to begin (frozen epochs, small images first) has done so, and both arms have all their epochs.

    Args:
        trained: How the loop's first base was trained, its learning rate a number.
        base: The run whose weights the arms start from.
        epochs: Epochs of each arm.
        number: Of the round.
    """
    return msgspec.structs.replace(
        trained,
        weights=(base / "best.safetensors").as_posix(),
        epochs=epochs,
        lr=float(trained.lr) * RETRAIN_LR,
        lr_from="",
        lr_min=None if trained.lr_min is None else trained.lr_min * RETRAIN_LR,
        cycle_epochs=None if trained.cycle_epochs is None else min(trained.cycle_epochs, epochs),
        earlier_sizes=(),
        earlier_batch_sizes=(),
        freeze_epochs=0,
        patience=None,
        folds=0,
        seed=trained.seed + number,
    )


def epochs_of(budget: str, base: Path) -> int:
    """The epochs a budget buys: its number, or for minutes as many of the base's median epochs as fit in."""
    if not budget.endswith("m"):
        return int(budget)
    seconds = statistics.median(line.seconds for line in read_log(base))
    return max(1, int(float(budget[:-1]) * 60 / seconds))


def _mined(dataset: Dataset, base: Path, folder: Path, config: LoopConfig) -> pl.DataFrame:
    """The round's mined.parquet, made from the base's failures where it is not there yet."""
    path = folder / "mined.parquet"
    if path.is_file():
        return read_table(path, schema.MINED)
    find_failures(open_run(base, dataset.root))
    mined = mine(
        dataset.samples,
        _scores(base, "train"),
        read_table(base / "failures.parquet", schema.FAILURES),
        read_table(base / "suspects.parquet", schema.SUSPECTS),
        config.verdicts,
        config.fit.augment,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_table(path, mined)
    return mined


def mined_counts(mined: pl.DataFrame) -> dict[str, int]:
    """How many training images a round weights up, leaves out and leaves alone."""
    reason = pl.col("reason")
    return {
        "hard": mined.filter(reason.str.starts_with("hard")).height,
        "left out": mined.filter(pl.col("weight") == 0).height,
        "as before": mined.filter((reason == "") & (pl.col("weight") > 0)).height,
    }


def _in_words(mined: pl.DataFrame) -> str:
    counts = mined_counts(mined)
    return f"{counts['hard']} hard images drawn more often and {counts['left out']} suspected labels left out"


def _train(dataset: Dataset, run: Path, config: FitConfig, mined: pl.DataFrame | None, told: Told) -> None:
    if is_finished(run):
        return

    def left() -> Work:
        return loop_work(dataset, told.out, told.config.fit, told.config.rounds, told.config.budget)

    watch = foretelling(unwatched, told.say, left, config, len(dataset.rows("val")), told.disk)
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


def _score(dataset: Dataset, run: Path, *splits: str) -> None:
    """Score the splits that are not scored yet."""
    wanted = dataset.samples.filter(pl.col("split").is_in(splits))
    path = run / "scores.parquet"
    scored = read_table(path, schema.SCORES)["sample_id"] if path.is_file() else pl.Series([], dtype=pl.String)
    missing = wanted.filter(~pl.col("sample_id").is_in(scored.implode()))
    left = [split for split in splits if split in missing["split"].unique()]
    if left:
        score(run, dataset, left)


def _scores(run: Path, split: str) -> pl.DataFrame:
    return read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split") == split).sort("sample_id")


def _finished_round(out: Path, number: int) -> RoundResult | None:
    path = out / f"round-{number}" / "verdict.json"
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=RoundResult)
    except msgspec.DecodeError as error:
        raise FormatError(path, f"is damaged ({error}). Delete it and run the loop again") from error


def read_loop(out: Path) -> tuple[LoopConfig, list[RoundResult]]:
    """A loop's configuration and the results of its finished rounds.

    Raises:
        MissingError: The folder holds no loop.
        FormatError: A file of it is damaged.
    """
    path = out / "loop.json"
    if not path.is_file():
        raise MissingError(
            f"{out}: is not a loop (no loop.json in it). Start one with: curate loop DATASET --out {out}"
        )
    try:
        config = msgspec.json.decode(path.read_bytes(), type=LoopConfig)
    except msgspec.DecodeError as error:
        raise FormatError(path, f"is damaged ({error}). Run the loop again with --force") from error
    results = (_finished_round(out, number) for number in range(1, config.rounds + 1))
    return config, [result for result in results if result is not None]


def loop_status(out: Path) -> Iterator[tuple[str, str]]:
    """(step, state) for every step of the loop in order; the state is done, begun or to do."""
    config, results = read_loop(out)
    yield "base", _run_state(out / "base")
    for number in range(1, config.rounds + 1):
        folder = out / f"round-{number}"
        yield f"round {number}: mined", "done" if (folder / "mined.parquet").is_file() else "to do"
        yield f"round {number}: control", _run_state(folder / "control")
        yield f"round {number}: candidate", _run_state(folder / "candidate")
        decided = next((result for result in results if result.round == number), None)
        state = "to do" if decided is None else "promoted" if decided.promoted else "not promoted"
        yield f"round {number}: verdict", state
    yield "report", "done" if (out / "report.html").is_file() else "to do"


def _run_state(run: Path) -> str:
    if is_finished(run):
        return "done"
    return f"begun, {len(read_log(run))} epochs" if (run / "config.json").is_file() else "to do"
