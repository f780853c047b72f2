"""`curate loop status`: what of a loop is done, running and next, from a look at its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from curate.errors import FormatError
from curate.files import is_held
from curate.terminal import counted
from review.loop.config import LoopConfig, read_config_of_loop
from review.loop.folders import arm_folders, round_folder, round_folders, verdicts_digest
from review.loop.given import has_labels, read_given
from review.loop.offer import TO_LABEL
from review.loop.round import RoundResult, finished_round
from review.loop.steps import scores_of
from train.claim import model_folder
from train.config import placed, read_config
from train.monitoring.log import is_finished, read_log

HEAD_BYTES = 1000
"""So much of a page holds all that its head says of it."""
OPEN = ("to do", "begun")
DAMAGED = "damaged"


def loop_status(out: Path) -> Iterator[tuple[str, str]]:
    """(step, state) for every step of the loop in order.

    The state is done, begun, damaged or to do, or what was given, offered or decided; that of the first step that is
    not done begins with `running` where a process works on the loop, else with `next`.

    Raises:
        MissingError: The folder holds no loop.
        FormatError: A file of it, other than a verdict, is damaged.
    """
    now = "running" if is_held(out) else "next"
    for step, state in _steps(out):
        if state.startswith(OPEN) and now:
            state, now = f"{now}, {state}" if state.startswith("begun") else now, ""
        if state.startswith(DAMAGED):
            now = ""  # it has to be mended first
        yield step, state


def _steps(out: Path) -> Iterator[tuple[str, str]]:
    config = read_config_of_loop(out)
    yield "base", run_state(config.base_of(out))
    is_whole, before = True, None
    for number, folder in enumerate(round_folders(out, config.rounds), start=1):
        if is_idle(folder, before):
            yield f"round {number}", f"not begun: nothing has come in since round {number - 1}, which was not promoted"
            continue
        result, verdict = _verdict(out, number)
        for step, state in _round_steps(folder, config, result):
            yield f"round {number}: {step}", state
        yield f"round {number}: verdict", verdict
        before = result
        is_whole &= result is not None
    yield "report", "done" if is_whole and is_told(out, config.rounds) else "to do"


def is_told(out: Path, rounds: int) -> bool:
    """Whether the report is there and tells of the verdicts as they are."""
    report = out / "report.html"
    if not report.is_file():
        return False
    with report.open("rb") as file:
        return verdicts_digest(out, rounds).encode() in file.read(HEAD_BYTES)


def is_idle(folder: Path, before: RoundResult | None) -> bool:
    """Whether a round is not begun after the one before, for it would only repeat that with another seed."""
    return before is not None and not before.promoted and not (folder / "given.json").is_file()


def _round_steps(folder: Path, config: LoopConfig, result: RoundResult | None) -> Iterator[tuple[str, str]]:
    """The steps of the round in a folder before its verdict."""
    if (folder / "given.json").is_file():
        yield "given", _given_words(folder)
    mined, arms = (folder / "mined.parquet").is_file(), arm_folders(folder, config.repeats, labels=has_labels(folder))
    if config.mining.pool == "learn":
        guessed = mined or (folder / "guessed" / "dataset.json").is_file()
        yield "guessed", counted(result.guessed, "image") if result else "done" if guessed else "to do"
    yield "mined", "done" if mined else "to do"
    if (folder / TO_LABEL).is_file():
        yield "to label", (f"{counted(result.offered, 'image')}, " if result else "") + str(folder / TO_LABEL)
    else:
        yield "to label", "nothing" if (arms[0] / "config.json").is_file() else "to do"
    for run in arms:
        yield run.name, run_state(run)
    yield "scored", "done" if result else _scored(arms)


def _given_words(folder: Path) -> str:
    """What people gave a round."""
    given = read_given(folder)
    if given is None:
        return "nothing"
    labels = (
        f"{counted(given.corrected, 'label')} of {os.path.normpath(placed(given.labels, folder))}"
        if given.labels
        else ""
    )
    decisions = counted(len(given.verdicts), "decision") if given.verdicts else ""
    return ", ".join(filter(None, (labels, decisions))) or "nothing"


def _verdict(out: Path, number: int) -> tuple[RoundResult | None, str]:
    """The result of a round, None where there is none that can be read, and its state."""
    try:
        result = finished_round(out, number)
    except FormatError:
        return None, f"{DAMAGED}. Delete {round_folder(out, number) / 'verdict.json'} and run the loop again"
    return result, "to do" if result is None else "promoted" if result.promoted else "not promoted"


def _scored(arms: list[Path]) -> str:
    """How many arms have test scores; those of the validation split are made where a run ends."""
    done = sum((run / "scores.parquet").is_file() and not scores_of(run, "test").is_empty() for run in arms)
    return "to do" if not done else "done" if done == len(arms) else f"begun, {done} of {len(arms)} arms"


def run_state(run: Path) -> str:
    """How far a run is."""
    if is_finished(run):
        return "done"
    if not (run / "config.json").is_file():
        return "to do"
    config = read_config(run)
    models = [run, *(model_folder(run, fold) for fold in range(config.folds))]
    done = [len(read_log(model)) for model in models]
    model = max((place for place, epochs in enumerate(done) if epochs), default=0)
    of_fold = f" of fold {model} of {config.folds}" if model else ""
    return f"begun, {done[model]} of {config.epochs} epochs{of_fold}"
