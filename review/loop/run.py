"""A whole loop: the base, then round after round."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from curate.dataset import Dataset
from curate.errors import CurateError, ExistsError, FormatError, MissingError
from curate.files import held_folder, write_atomic
from curate.threads import Say
from review.loop.ahead import loop_bytes
from review.loop.config import LoopConfig
from review.loop.given import read_given, take_in, version_of
from review.loop.round import Round, RoundResult, finished_round, round_folder, run_round
from review.loop.steps import Report, Told, train
from train.claim import check_apart
from train.config import relative
from train.monitoring.disk import check_room
from train.presets import option_name

LOOP_FILES = re.compile(r"\..*|loop\.json|report\.html|base|round-\d+")
"""What may stand in a loop's folder, and what --force clears: nothing else is ever deleted."""


def run_loop(
    dataset: Dataset,
    out: Path,
    config: LoopConfig,
    say: Say,
    report: Report | None = None,
    *,
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
        labels: Labels that people corrected, an export or a later version of the dataset, for the rounds that have
            not begun.
        verdicts: sample_id -> a reviewer's verdict, for the same.
        force: Replace a loop of another configuration that stands there.

    Raises:
        ExistsError: `out` holds something else, or another process runs this loop.
        FormatError, VersionError: None of the labels can be used.
    """
    _check_place(dataset, out)
    with held_folder(out):
        _claim(out, config, force)
        base, needed = config.base_of(out), None
        if not (base / "config.json").is_file():
            needed = loop_bytes(dataset, config)
            check_room(out, needed)
        told = Told(out, config, say, report, needed)
        if not config.start:
            folds = f", {config.fit.folds} folds" if config.fit.folds else ""
            say(f"base: {config.fit.epochs} epochs{folds}")
            train(dataset, base, config.fit, None, told)
        results, version = [], dataset
        for number in range(1, config.rounds + 1):
            folder = round_folder(out, number)
            given = take_in(version, folder, labels, verdicts or {}, say)
            corrected = version_of(version, folder, given)
            begun = Round(number, base, version, corrected, given)
            result = finished_round(out, number) or run_round(begun, told)
            results.append(result)
            base, version = (folder / "candidate" if result.promoted else base), corrected
        _tell_unused(out, config, labels, say)
    return results


def _tell_unused(out: Path, config: LoopConfig, labels: Path | None, say: Say) -> None:
    """Say so where labels came too late for every round."""
    if labels is None:
        return
    folders = [round_folder(out, number) for number in range(1, config.rounds + 1)]
    taken = {
        given.labels and relative(folder / given.labels, out) for folder in folders if (given := read_given(folder))
    }
    if relative(labels, out) not in taken:
        more = config.rounds + 1
        say(f"note: --labels {labels}: every round had begun without them. Go on with them: --rounds {more}")


def _check_place(dataset: Dataset, out: Path) -> None:
    """Raise where the loop would stand in or around the dataset, or in a folder that holds anything but a loop."""
    check_apart(dataset, out)
    others = sorted(path.name for path in out.iterdir() if not LOOP_FILES.fullmatch(path.name)) if out.exists() else []
    if others:
        raise ExistsError(f"{out}: holds {others[0]}, which is no part of a loop. Choose another --out")


def _claim(out: Path, config: LoopConfig, force: bool) -> None:
    """Write loop.json, or see that it is the one of an earlier call with the same options, but for --rounds.

    A loop that has not finished a single epoch holds nothing that could be lost, and is begun anew.
    """
    path = out / "loop.json"
    stored = _stored(path)
    if stored is not None and not force:
        if stored == config:
            return
        if msgspec.structs.replace(stored, rounds=config.rounds) == config:
            write_atomic(path, encoded(config))
            return
    begun = (config.base_of(out) / "log.jsonl").exists() if not config.start else round_folder(out, 1).exists()
    if path.is_file() and not force and (begun or (out / "base" / "log.jsonl").exists()):
        found = (
            "a loop with a damaged loop.json"
            if stored is None
            else f"a loop begun with {_first_difference(stored, config)}"
        )
        raise ExistsError(f"{out}: holds {found}. Choose another --out, or pass --force to begin anew there")
    for old in sorted(out.iterdir()):
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    write_atomic(path, encoded(config))


def _first_difference(stored: LoopConfig, config: LoopConfig) -> str:
    """The first option in which two configurations differ, in words."""
    flat = [_flat(msgspec.to_builtins(one)) for one in (stored, config)]
    name = next(name for name in flat[1] if flat[0].get(name) != flat[1][name] and name != "rounds")
    if name in ("dataset", "digest"):
        return f"another dataset or version ({stored.dataset}, {stored.digest[:12]})"
    option = {"start": "from"}.get(name, option_name(name))
    return f"--{option} {flat[0].get(name)}, not {flat[1][name]}"


def _flat(options: Mapping[str, object]) -> dict[str, object]:
    """Options, those in tables among them brought up; where a name stands twice, the loop's own."""
    inner = {key: value for table in options.values() if isinstance(table, dict) for key, value in table.items()}
    return {key: value for key, value in options.items() if not isinstance(value, dict)} | {
        key: value for key, value in inner.items() if key not in options
    }


def encoded(config: LoopConfig) -> bytes:
    """A configuration as the bytes of loop.json."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2)


def _stored(path: Path) -> LoopConfig | None:
    """What stands in a loop.json, None where there is none or it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LoopConfig)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, CurateError):
        return None


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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(path, f"is damaged ({error}). Run the loop again with --force") from error
    results = (finished_round(out, number) for number in range(1, config.rounds + 1))
    return config, [result for result in results if result is not None]
