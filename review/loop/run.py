"""A whole loop: the base, then round after round."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from curate.dataset import Dataset
from curate.errors import ExistsError, UsageError
from curate.files import held_folder, json_bytes, write_atomic
from curate.terminal import counted
from curate.threads import Say
from review.loop.ahead import loop_bytes
from review.loop.card import write_card
from review.loop.config import LoopConfig, read_config_of_loop, stored_config
from review.loop.folders import LOOP_FILES, MOST_ROUNDS, round_folder, round_folders
from review.loop.gate import FEWEST_VAL_GROUPS
from review.loop.given import (
    Given,
    begin,
    check_base,
    check_labels,
    heeded,
    other_labels,
    read_given,
    replaced_labels,
    taken_in,
    tell_idle,
    version_of,
)
from review.loop.offer import TO_LABEL
from review.loop.round import RoundResult, finished_round, offered_anew, run_round
from review.loop.steps import Report, Round, Told, epochs_in_minutes, train, versions_of
from train.claim import check_apart
from train.config import placed, relative
from train.monitoring.disk import check_room
from train.monitoring.log import is_finished
from train.presets import option_name

FREE = ("rounds", "to", "dataset")
"""What may be another when a loop goes on; the dataset may have moved, its digest says that it is the same."""


def run_loop(
    dataset: Dataset,
    out: Path,
    config: LoopConfig,
    say: Say,
    report: Report | None = None,
    *,
    finished: Callable[[], object] = lambda: None,
    labels: Path | None = None,
    verdicts: Mapping[str, str] | None = None,
    force: bool = False,
) -> list[RoundResult]:
    """Run, or go on with, the loop in folder `out`; returns one result a round.

    Args:
        dataset: The dataset; its digest is config.digest.
        out: Folder of the loop, made where it is not there.
        config: What to do. A folder that holds another loop is refused.
        say: Called with one line at the start of each step.
        report: Called after each epoch of each training.
        finished: Called after each round that was not finished before; where there is none, at the end.
        labels: Labels that people corrected, an export or a later version of the dataset, for the rounds that have
            not begun.
        verdicts: sample_id -> a reviewer's verdict, for the same.
        force: Replace a loop of another configuration that stands there.

    Raises:
        ExistsError: `out` holds something else, or another process runs this loop.
        UsageError: Fewer rounds than have begun; `out` holds the base; labels are of images to hold out that the base
            has learnt from.
        FormatError, VersionError: None of the labels can be used.
    """
    _check_place(dataset, out, config)
    if labels is not None and (force or read_given(round_folder(out, 1)) is None):
        check_labels(dataset, labels)  # before hours of training that nobody wants then
    with held_folder(out):
        _claim(out, config, force)
        told = Told(out, config, say, report, _room(dataset, out, config, labels))
        _tell_lacks(versions_of(dataset, out, range(1, config.rounds + 1))[-1], out, config, labels, say)
        tell_idle(dataset, verdicts or {}, say)
        _train_base(dataset, told)
        late = read_given(round_folder(out, config.rounds)) is not None
        results = _run_rounds(told, dataset, labels, verdicts or {}, finished)
        if late and (labels or verdicts):
            _tell_unused(out, config, labels, verdicts or {}, say)
    return results


def _room(dataset: Dataset, out: Path, config: LoopConfig, labels: Path | None) -> float | None:
    """Bytes that a loop will write that begins now, once it is known that the disk has them; None of one that goes on.

    Raises:
        MachineError: It has not.
    """
    if (config.base_of(out) / "config.json").is_file():
        return None
    needed = loop_bytes(dataset, config, labels=labels is not None)
    check_room(out, needed)
    return needed


def _run_rounds(
    told: Told, dataset: Dataset, labels: Path | None, verdicts: Mapping[str, str], finished: Callable[[], object]
) -> list[RoundResult]:
    """All rounds in order, what is there already as it is; the arguments are those of `run_loop`."""
    config, results, before, told_of = told.config, list[RoundResult](), None, False
    for _ in range(config.rounds):
        begun = _next_round(told, dataset, before, results, labels, verdicts)
        if begun is None:
            break
        done = finished_round(told.out, begun.number)
        results.append(done or run_round(begun))
        write_card(begun.dataset, told.out, results[-1], config.mining)
        if done is None:
            finished()
            told_of = True
        before = begun
    if before is not None and results[-1].offered and results[-1].to not in ("", config.to):
        results[-1] = offered_anew(before, results[-1])
        told_of = False
    if not told_of:
        finished()
    return results


def _train_base(dataset: Dataset, told: Told) -> None:
    """Train the base where it is not there yet."""
    config, base = told.config, told.base
    if config.start or is_finished(base):
        return
    folds = f", {config.fit.folds} folds" if config.fit.folds else ""
    told.say(f"base: {counted(config.fit.epochs, 'epoch')}{folds}")
    train(dataset, base, config.fit, None, told)


def _next_round(
    told: Told,
    dataset: Dataset,
    before: Round | None,
    results: Sequence[RoundResult],
    labels: Path | None,
    verdicts: Mapping[str, str],
) -> Round | None:
    """The round after the one before, begun where it was not; None where it would be that one once more.

    Args:
        told: The loop.
        dataset: The version that the loop began with.
        before: The round before; None for the first.
        results: Of the rounds so far.
        labels: Corrected labels, for a round that has not begun.
        verdicts: A reviewer's, for the same.
    """
    number = before.number + 1 if before else 1
    folder, base = round_folder(told.out, number), placed(results[-1].promotes, told.out) if results else told.base
    version, earlier = (before.dataset, before.given) if before else (dataset, Given())
    given = read_given(folder)
    if given is None:
        given = taken_in(version, folder, base, labels, {**earlier.verdicts, **verdicts}, told.say)
        if results and not results[-1].promoted and not given.dataset and given.verdicts == earlier.verdicts:
            _tell_repeated(number, told.say)
            with suppress(OSError):  # it holds nothing but what labels that change nothing may have left
                folder.rmdir()
            return None
        if in_force := heeded(version_of(version, folder, given), given.verdicts):
            told.say(f"round {number}: {counted(len(in_force), 'decision')} in force")
        given = msgspec.structs.replace(given, epochs=epochs_in_minutes(told, dataset))
        begin(folder, given)
    check_base(base, folder, given)
    newer = version_of(version, folder, given)
    settled = (before.settled if before else frozenset()) | replaced_labels(version, newer)
    return Round(number, base, version, newer, other_labels(dataset, newer), settled, given, told)


def _tell_repeated(number: int, say: Say) -> None:
    """Say why a round is not begun: to repeat an experiment until a seed passes the gate proves nothing."""
    why = f"round {number - 1} was not promoted and nothing has come in since: it would repeat it with another seed"
    say(f"note: round {number} is not begun, for {why}. Go on with --labels or --decisions, or begin a loop of others")


def _tell_lacks(dataset: Dataset, out: Path, config: LoopConfig, labels: Path | None, say: Say) -> None:
    """Say beforehand that nothing can be promoted, or tested, or that there are no scenes to put people before."""
    groups = dataset.samples.filter(split="val")["group"].n_unique()
    if groups < FEWEST_VAL_GROUPS:
        told = f"{dataset.root} has {counted(groups, 'group')} of validation images, {FEWEST_VAL_GROUPS} are needed"
        unless = ", unless the labels bring more" if labels else ""
        say(f"note: nothing will be promoted{unless}: {told}. Build it with a larger share: curate build --split")
    if config.start and not config.fit.folds:
        told = "has no fold models, so that what fails is told by a model that has learnt it"
        say(f"note: --from {config.base_of(out)}: {told}. Honest errors come from a base with folds: --folds 3")
    if not dataset.rows("test"):
        say(f"note: {dataset.root} has no test images; the table will be empty")
    if config.mining.hard_augment == "copy-paste" and not dataset.rows("background"):
        told = f"{dataset.root} has no empty scenes to put people before, other images will serve"
        say(f"note: {told}. Build it with some: curate build --backgrounds 50")


def _tell_unused(out: Path, config: LoopConfig, labels: Path | None, verdicts: Mapping[str, str], say: Say) -> None:
    """Say so where labels or verdicts came too late for every round."""
    folders = round_folders(out, config.rounds)
    taken = [(folder, given) for folder in folders if (given := read_given(folder)) is not None]
    late = []
    if labels and relative(labels, out) not in [relative(placed(given.labels, folder), out) for folder, given in taken]:
        late.append(f"--labels {labels}")
    if verdicts and not any(verdicts.items() <= given.verdicts.items() for _, given in taken):
        late.append("--decisions")
    if late:
        say(f"note: every round had begun without {' and '.join(late)}. Go on: --rounds {config.rounds + 1}")


def _check_place(dataset: Dataset, out: Path, config: LoopConfig) -> None:
    """Raise where the loop would stand in or around the dataset or its base, or in a folder that is no loop's."""
    check_apart(dataset, out)
    if config.start and config.base_of(out).resolve().is_relative_to(out.resolve()):
        raise UsageError(f"--out {out}: holds the run that --from names. Choose another --out")
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.exists() else []
    is_loop = "loop.json" in names
    if others := [name for name in names if not (is_loop and LOOP_FILES.fullmatch(name))]:
        raise ExistsError(f"{out}: holds {others[0]}, which is no part of a loop. Choose another --out")


def _claim(out: Path, config: LoopConfig, force: bool) -> None:
    """Write loop.json, or see that it is the one of an earlier call with the same options, but for those that are FREE.

    A loop that has not finished a single epoch holds nothing that could be lost, and is begun anew.
    """
    path = out / "loop.json"
    stored, begun = stored_config(out), sum(folder.is_dir() for folder in round_folders(out, MOST_ROUNDS))
    free = {name: getattr(config, name) for name in FREE}
    if stored is not None and not force and msgspec.structs.replace(stored, **free) == config:
        if config.rounds < begun:
            raise UsageError(
                f"--rounds {config.rounds}: {out} has begun {begun} rounds. Leave --rounds out, or ask for more"
            )
        if config != stored:
            if config.to != stored.to:
                _forget_offers(out, config.rounds)
            write_atomic(path, encoded(config))
        return
    if path.is_file() and not force and (begun or (out / "base" / "log.jsonl").exists()):
        raise _held_by(stored or read_config_of_loop(out), config, out)  # a damaged one raises what is wrong with it
    for old in sorted(path for path in out.iterdir() if LOOP_FILES.fullmatch(path.name)):
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    write_atomic(path, encoded(config))


def _forget_offers(out: Path, rounds: int) -> None:
    """Take away what rounds that were stopped offer for another tool; finished ones say for which theirs is."""
    for folder in round_folders(out, rounds):
        if not (folder / "verdict.json").is_file():
            (folder / TO_LABEL).unlink(missing_ok=True)


def _held_by(stored: LoopConfig, config: LoopConfig, out: Path) -> ExistsError:
    """Why a folder that holds one loop is no place for another, and what to do."""
    mend = "Repeat its options or leave them out"
    if not stored.start and is_finished(stored.base_of(out)):
        mend += f", or begin another loop from its base: --from {stored.base_of(out)} --out NEW"
    mend += ". --force deletes it and begins anew"
    if stored.digest != config.digest:
        mend = "Name the dataset that it began with, a later version with --labels, or choose another --out"
    return ExistsError(f"{out}: holds a loop begun with {_first_difference(stored, config)}. {mend}")


def _first_difference(stored: LoopConfig, config: LoopConfig) -> str:
    """The first option, of those that are not FREE, in which two configurations differ, in words."""
    flat = [_flat(msgspec.to_builtins(one)) for one in (stored, config)]
    name = next((name for name in flat[1] if flat[0].get(name) != flat[1][name] and name not in FREE), None)
    if name is None:
        return "options that no command gives"
    if name == "digest":
        return f"another dataset or version ({stored.dataset}, {stored.digest[:12]})"
    if name == "start":
        own, others = (f"--from {one.start}" if one.start else "a base of its own" for one in (stored, config))
        return f"{own}, not {others}"
    return f"--{option_name(name)} {flat[0].get(name)}, not {flat[1][name]}"


def _flat(options: Mapping[str, object]) -> dict[str, object]:
    """Options, those in tables among them brought up; where a name stands twice, the loop's own."""
    inner = {key: value for table in options.values() if isinstance(table, dict) for key, value in table.items()}
    return inner | {key: value for key, value in options.items() if not isinstance(value, dict)}


def encoded(config: LoopConfig) -> bytes:
    """A configuration as the bytes of loop.json."""
    return json_bytes(config)


def read_loop(out: Path) -> tuple[LoopConfig, list[RoundResult]]:
    """A loop's configuration and the results of its finished rounds.

    Raises:
        MissingError: The folder holds no loop.
        FormatError: A file of it is damaged.
    """
    config = read_config_of_loop(out)
    results = (finished_round(out, number) for number in range(1, config.rounds + 1))
    return config, [result for result in results if result is not None]
