"""Runs found below folders: how they were trained, how far they are, and what they are worth. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl

from curate import schema
from curate.dataset import open_dataset, read_table
from curate.errors import JSON_ERRORS, CurateError, MissingError
from curate.files import check_regular, is_held
from curate.formats import check_format
from curate.storage.copies import with_paths
from curate.storage.urls import is_url
from curate.terminal import value_words
from train.claim import model_folders
from train.config import FitConfig, PeerConfig, as_given, has_named_weights, read_config
from train.monitoring.log import EpochLine, is_trained, read_log
from train.presets import NOT_OPTIONS
from train.scoring.intervals import Interval, mean_interval
from train.scoring.scored import read_manner

GroupsOf = Callable[[str, str], Mapping[str, str]]
"""From the place and digest of a dataset version to its sample_id -> group."""

State = Literal["finished", "stopped", "running", "scored", "damaged"]

PROGRESS = ("config.json", "log.jsonl", "last.ckpt", "scores.parquet")
"""Files whose times tell when a run last went on."""

NO_RUNS_BELOW = {"predictions", "plots", "overlays", "tensorboard", "images", "masks", "replaced"}
MOST_FOR_INTERVALS = 20_000
"""Scored images of a split up to which its interval is computed: half a second."""


class SplitScore(msgspec.Struct, frozen=True):
    """What `scores.parquet` says of a split."""

    images: int
    mean_iou: float | None
    """At native size; None where no image has an IoU."""
    interval: Interval | None
    """Of 95 %; None where the dataset is not at hand, or the split is very large."""
    out_of_fold: bool
    """Whether models that never saw the images predicted them."""


class Run(msgspec.Struct, frozen=True):
    """One run as it lies on the disk now."""

    path: str
    state: State
    epochs_done: int = 0
    """Of all its models, the fold models' too."""
    epochs: int = 0
    """As many as were asked for."""
    dataset: str = ""
    """Where the run says that its dataset is."""
    digest: str = ""
    settings: dict[str, str] = {}
    """Option -> value, of all options."""
    best_epoch: int | None = None
    best_val_iou: float | None = None
    """Of the best epoch, at training size."""
    scores: dict[str, SplitScore] = {}
    """By split."""
    changed: float = 0.0
    """When the run last went on, in seconds since 1970."""
    problem: str = ""
    """What is damaged."""


@dataclass(frozen=True)
class Group:
    """Runs on one dataset version, which alone can be compared."""

    digest: str
    runs: Sequence[Run]
    differing: Sequence[str] = field(default=())
    """The settings in which they differ."""


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """All runs in and below some folders, loops' runs too; of a run with folds, the run alone.

    Raises:
        MissingError: A folder is not there.
    """
    found: dict[Path, Run] = {}
    groups_of = lru_cache(read_groups)  # runs share their datasets
    for folder in folders:
        if not folder.is_dir():
            raise MissingError(f"{folder}: no such folder. Name the folders that runs lie in")
        for path in _run_folders(folder):
            if path.resolve() not in found:
                run = read_run(path, groups_of)
                if run is not None:
                    found[path.resolve()] = run
    return list(found.values())


def _run_folders(top: Path) -> Iterator[Path]:
    """Folders with a config.json, in order; datasets, and what lies inside of a run, are passed over."""
    for here, below, files in os.walk(top):
        is_run = "config.json" in files
        if is_run:
            yield Path(here)
        if "dataset.json" in files:
            below.clear()
        skipped = NO_RUNS_BELOW if is_run else set()
        below[:] = sorted(
            name for name in below if name not in skipped and name[0] != "." and not (is_run and name[:5] == "fold-")
        )


def read_run(path: Path, groups_of: GroupsOf) -> Run | None:
    """The run in a folder with a config.json, damaged or not; None where the file is somebody else's."""
    try:
        check_regular(path / "config.json")
        content = (path / "config.json").read_bytes()
        keys = _keys(content)
        if keys is not None and not {"dataset", "digest"} <= keys:
            return None
        check_format(path / "config.json", content)
        if keys is not None and "peer" in keys:
            return _peer_run(path, msgspec.json.decode(content, type=PeerConfig), groups_of)
        return _fit_run(path, read_config(path), groups_of)
    except (*JSON_ERRORS, CurateError, OSError) as error:
        return Run(path=str(path), state="damaged", changed=_changed(path), problem=str(error))


def _keys(content: bytes) -> set[str] | None:
    """The keys of a JSON object; None where it is none."""
    try:
        return set(msgspec.json.decode(content, type=dict[str, Any]))
    except JSON_ERRORS:
        return None


def _fit_run(path: Path, config: FitConfig, groups_of: GroupsOf) -> Run:
    logs = [read_log(folder) for folder in model_folders(path, config)]
    best = next((line for line in reversed(logs[0]) if line.best), None)
    return Run(
        path=str(path),
        state=_state(path, config, logs),
        epochs_done=sum(map(len, logs)),
        epochs=config.epochs * len(logs),
        dataset=config.dataset,
        digest=config.digest,
        settings=fit_settings(path, config),
        best_epoch=best.epoch if best else None,
        best_val_iou=best.val_iou if best else None,
        scores=read_split_scores(path, groups_of(os.path.normpath(path / with_paths(config.dataset)), config.digest)),
        changed=_changed(path),
    )


def _state(path: Path, config: FitConfig, logs: Sequence[Sequence[EpochLine]]) -> State:
    if is_held(path):
        return "running"
    scored = (path / "scores.parquet").is_file()
    if scored and not logs[0]:
        return "scored"
    return "finished" if scored and all(is_trained(lines, config) for lines in logs) else "stopped"


def _peer_run(path: Path, config: PeerConfig, groups_of: GroupsOf) -> Run:
    settings = {"peer": config.peer, **{name: value_words(value) for name, value in config.settings.items()}}
    return Run(
        path=str(path),
        state="running" if is_held(path) else "scored",
        dataset=config.dataset,
        digest=config.digest,
        settings={"refine": "none"} | settings | {"flip": _yes(config.flip)},
        scores=read_split_scores(path, groups_of(os.path.normpath(path / with_paths(config.dataset)), config.digest)),
        changed=_changed(path),
    )


def fit_settings(path: Path, config: FitConfig) -> dict[str, str]:
    """Option -> value of a run, as its command would have them; files as paths from here. With those of its scores."""
    settings = {
        name.replace("_", "-"): _yes(value) if isinstance(value, bool) else value_words(value)
        for name, value in ((name, as_given(config, name)) for name in FitConfig.__struct_fields__)
        if name not in NOT_OPTIONS
    }
    if not has_named_weights(config.weights):
        settings["weights"] = config.weights if is_url(config.weights) else os.path.normpath(path / config.weights)
    scored = (path / "scores.parquet").is_file()
    return settings | {"mined": _yes((path / "mined.parquet").is_file())} | (manner_settings(path) if scored else {})


def manner_settings(path: Path) -> dict[str, str]:
    """Option -> value of how the predictions in a folder were made."""
    manner = read_manner(path)
    return {
        "ensemble": _yes(manner.ensemble),
        "flip": _yes(manner.flip),
        "refine": value_words(manner.refinements),
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _changed(path: Path) -> float:
    """When the last of the files that tell of progress was written."""
    files = [path / name for name in PROGRESS]
    return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)


def read_split_scores(path: Path, groups: Mapping[str, str]) -> dict[str, SplitScore]:
    """What a run's scores say of each split; empty where there are none.

    Args:
        path: The run.
        groups: sample_id -> group; empty where that is not known.
    """
    if not (path / "scores.parquet").is_file():
        return {}
    scores = read_table(path / "scores.parquet", schema.SCORES)
    found = {}
    for split in schema.SCORED:
        part = scores.filter(pl.col("split") == split)
        if part.height:
            own = [groups.get(sample_id) for sample_id in part["sample_id"]]
            known = [group for group in own if group is not None]
            whole = len(known) == part.height <= MOST_FOR_INTERVALS
            iou = part["iou"].cast(pl.Float64)
            found[split] = SplitScore(
                images=part.height,
                mean_iou=_as_float(iou.mean()),
                interval=mean_interval(iou, known) if whole else None,
                out_of_fold=bool((part["fold"] >= 0).all()),
            )
    return found


def _as_float(value: object) -> float | None:
    return float(value) if isinstance(value, float) else None


def read_groups(place: str, digest: str) -> Mapping[str, str]:
    """sample_id -> group of a dataset; empty where it is not there, or is another version by now."""
    try:
        samples = open_dataset(place, digest).samples
    except (CurateError, OSError):
        return {}
    return dict(samples.select("sample_id", "group").iter_rows())


def group_runs(runs: Sequence[Run], sort: str) -> list[Group]:
    """Runs by the dataset version they were made with, the group that changed last first; damaged ones are left out.

    Args:
        runs: Runs.
        sort: `best` (validation IoU at native size, else that of the best epoch), `newest` or `name`.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.state != "damaged":
            groups.setdefault(run.digest, []).append(run)
    ordered = sorted(groups.items(), key=lambda item: -max(run.changed for run in item[1]))
    return [Group(digest, sorted(own, key=_ORDERS[sort]), differing(own)) for digest, own in ordered]


def _by_iou(run: Run) -> tuple[bool, float, str]:
    scored = run.scores.get("val")
    iou = scored.mean_iou if scored and scored.mean_iou is not None else run.best_val_iou
    return iou is None, -(iou or 0.0), run.path


_ORDERS: dict[str, Callable[[Run], Any]] = {
    "best": _by_iou,
    "newest": lambda run: (-run.changed, run.path),
    "name": lambda run: run.path,
}


def differing(runs: Sequence[Run]) -> list[str]:
    """The settings, in their order, that are not the same in all runs that have them; a peer's name always.

    >>> one, other = (Run("", "finished", settings={"model": "unet", "lr": lr}) for lr in ("0.1", "0.2"))
    >>> differing([one, other, Run("", "scored", settings={"peer": "grabcut", "px": "256"})])
    ['lr', 'peer']
    """
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: {run.settings[name] for run in runs if name in run.settings} for name in names}
    return [name for name in names if len(values[name]) > 1 or name == "peer"]
