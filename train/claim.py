"""The folder of a run: where its models lie, whether it may be used, what is cleared from it, what makes it a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table, write_table
from curate.errors import ExistsError, UsageError, VersionError
from curate.files import write_atomic
from train.config import (
    FitConfig,
    encode_config,
    first_difference,
    read_config,
)
from train.monitoring.log import is_finished, read_log

FOLD_FOLDER = re.compile(r"fold-\d+")
"""What a fold model's folder is called."""

EVENTS = "tensorboard"
"""Folder of a run's events for TensorBoard."""

RUN_FILES = (
    "scores.parquet",
    "last.ckpt",
    "best.safetensors",
    "log.jsonl",
    "steps.jsonl",
    "plots",
    EVENTS,
    "predictions",
    "failures.parquet",
    "suspects.parquet",
    "overlays",
    "config.json",
    "mined.parquet",
)
"""What --force clears, in this order: the folder is a run until its config.json goes. A reviewer's decisions stay."""


def model_folder(run: Path, fold: int) -> Path:
    """Where a fold model lies; -1 is the model of the whole training split.

    >>> model_folder(Path("run"), -1).as_posix(), model_folder(Path("run"), 0).as_posix()
    ('run', 'run/fold-0')
    """
    return run if fold == -1 else run / f"fold-{fold}"


def model_folders(run: Path, config: FitConfig) -> list[Path]:
    """Where all models of a run lie: its own, then its fold models."""
    return [model_folder(run, fold) for fold in range(-1, config.folds)]


def weights_path(run: Path, fold: int) -> Path:
    """Where the best weights of a fold model lie; -1 is the model of the whole training split."""
    return model_folder(run, fold) / "best.safetensors"


def weights_paths(run: Path, config: FitConfig) -> list[Path]:
    """Where the best weights of all models of a run lie, in the order of `model_folders`."""
    return [weights_path(run, fold) for fold in range(-1, config.folds)]


def check_apart(dataset: Dataset, out: Path) -> None:
    """Raise where a folder would lie in or around the dataset, which `build --force` replaces as a whole.

    Raises:
        ExistsError: It is a file.
        UsageError: It lies there.
    """
    root, place = dataset.root.resolve(), out.resolve()
    if place.is_relative_to(root) or root.is_relative_to(place):
        raise UsageError(f"--out {out}: lies in or around the dataset {dataset.root}. Choose a folder of its own")
    if out.exists() and not out.is_dir():
        raise ExistsError(f"{out}: is a file. Choose another --out")


def claim_folder(out: Path, config: bytes) -> None:
    """Make a folder a run as far as scores go, by its `config.json`.

    Raises:
        ExistsError: It holds another run, or anything else.
    """
    path = out / "config.json"
    if path.is_file() and not _is_same(path.read_bytes(), config):
        raise ExistsError(f"{out}: holds another run. Choose another --out")
    if not path.is_file():
        _check_free(out)
    write_atomic(path, config)


def _is_same(stored: bytes, config: bytes) -> bool:
    """Whether two config.json say the same; those of before files told their format are of the first."""
    try:
        first, second = (msgspec.json.decode(one, type=dict[str, Any]) for one in (stored, config))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return {"format": 1, **first} == {"format": 1, **second}


def _check_free(folder: Path) -> None:
    """Raise ExistsError where a folder that is no run holds anything but what may stand before one."""
    others = sorted(path.name for path in folder.iterdir() if not _is_before_run(path.name))
    if "dataset.json" in others:
        raise ExistsError(f"{folder}: is a dataset and no run. Choose another --out")
    if others:
        raise ExistsError(f"{folder}: holds {others[0]} and is no run. Choose another --out")


def check_place(run: Path, resume: bool, force: bool) -> bool:
    """Whether the folder holds a run that was begun; raises ExistsError where it may not be used."""
    begun = (run / "config.json").is_file()
    if not begun:
        _check_free(run)
    if begun and not (resume or force):
        if is_finished(run):
            raise ExistsError(f"{run}: holds a finished run. Choose another --out, or pass --force to replace it")
        epochs = f"{len(read_log(run))} of {read_config(run).epochs} epochs"
        raise ExistsError(
            f"{run}: holds a run that stopped after {epochs}. Pass --resume to go on, --force to replace it"
        )
    return begun


def resumed_mined(run: Path, dataset: Dataset, config: FitConfig, mined: pl.DataFrame | None) -> pl.DataFrame | None:
    """The mined table of a run that is resumed, once its configuration is seen to be the wanted one."""
    stored = read_config(run)
    if stored.digest != config.digest:
        raise VersionError(
            f"{dataset.root}: has digest {config.digest[:12]}, the run was begun with {stored.digest[:12]}. "
            "Pass that dataset, or train anew with --force"
        )
    difference = first_difference(stored, config)
    if difference:
        option, old, new = difference
        raise UsageError(f"{run}: was begun with {option} {old}, not {new}. Leave {option} as it was, or pass --force")
    path = run / "mined.parquet"
    kept = read_table(path, schema.MINED) if path.is_file() else None
    if mined is not None and (kept is None or not kept.equals(mined)):
        raise UsageError(f"{run}: was begun with {'other' if kept is not None else 'no'} mined weights. Pass --force")
    return kept


def claim(run: Path, config: FitConfig, mined: pl.DataFrame | None) -> None:
    """Clear what an older run left and write what decides this one, `config.json` last."""
    folds = [path for path in sorted(run.iterdir()) if FOLD_FOLDER.fullmatch(path.name)]
    for path in [*folds, *(run / name for name in RUN_FILES)]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    if mined is not None:
        write_table(run / "mined.parquet", mined)
    write_atomic(run / "config.json", encode_config(config))


def _is_before_run(name: str) -> bool:
    """Whether a file may stand where a run is yet to begin: what is left of one that was killed or cleared."""
    return name.startswith(".") or name in ("decisions.jsonl", "mined.parquet")
