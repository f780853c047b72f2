"""The samples that `--ids` asks for: sample_ids, or a file of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from curate.dataset import Dataset
from curate.decisions import read_decisions
from curate.errors import MissingError, UsageError
from curate.files import readable_faults
from curate.looking.explain import closest

SHOWN = 100
"""Characters of a name in a message."""
FILES = (".txt", ".jsonl", ".csv", ".json")
"""What ends in one of these is meant as a file."""


def names_asked(text: str, dataset: Dataset) -> list[str]:
    """The sample_ids that a text names, comma-separated, or the file it is the path of.

    Raises:
        UsageError: None is named, or one that is no sample of the dataset.
        MissingError, FormatError: The file is not there, or damaged.
    """
    if os.path.isfile(text):  # noqa: PTH113 (Path.is_file raises where the text is too long for a path)
        found = ids_in(Path(text))
    else:
        found = [(f"--ids {word[:SHOWN]}", word) for word in map(str.strip, text.split(",")) if word]
    if not found:
        raise UsageError("--ids: names no image. Name sample_ids, comma-separated, or a file of them, one a line")
    known = set(dataset.samples["sample_id"])
    for where, name in found:
        if name not in known:
            check_is_path(text, name)
            raise UsageError(f"{where}: is no sample of {dataset.root}. {advice_for(name, known)}")
    return [name for _, name in found]


def ids_in(path: Path) -> list[tuple[str, str]]:
    """Place and sample_id of each that a file names: of `decisions.jsonl` those to be relabelled, else one a line.

    Raises:
        UsageError: No verdict in `decisions.jsonl` is relabel.
    """
    if path.suffix.lower() == ".jsonl":
        decisions = read_decisions(path)
        wanted = [name for name, one in decisions.items() if one.verdict == "relabel"]
        if not wanted:
            raise UsageError(f"--ids {path}: none of its {len(decisions)} verdicts is relabel, so no image is named")
        return [(f"{path}: {name[:SHOWN]}", name) for name in wanted]
    with readable_faults(path):
        lines = path.read_text("utf-8-sig", "replace").split("\n")
    return [
        (f"{path} line {number}: {line.strip()[:SHOWN]}", line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def check_is_path(text: str, name: str) -> None:
    """Raise MissingError where what is no sample was meant as a file, and none is there."""
    if text.strip() == name and (os.sep in name or name.lower().endswith(FILES)):
        raise MissingError(f"--ids {name[:SHOWN]}: no such file. Check the path")


def advice_for(name: str, known: Iterable[str]) -> str:
    """The sample that may be meant."""
    near = closest(name[:SHOWN], list(known), 1)
    return f"Did you mean {near[0]}?" if near else "Its sample_ids stand in its samples.parquet"
