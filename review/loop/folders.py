"""What the folders of a loop are called, how many of them there can be, and whether its report tells of all."""

from __future__ import annotations

import re
from pathlib import Path

from curate.files import sha256_bytes

MOST_ROUNDS, MOST_REPEATS = 100, 20

LOOP_FILES = re.compile(r"loop\.json|report\.html|base|round-\d+")
"""What stands in a loop's folder, and what --force clears; hidden files are left alone."""

ROUND_FOLDER = re.compile(r"round-\d+")
"""What a round's folder is called."""


def round_folder(out: Path, number: int) -> Path:
    """Where a round lies.

    >>> round_folder(Path("loop"), 2).as_posix()
    'loop/round-2'
    """
    return out / f"round-{number}"


def round_folders(out: Path, rounds: int) -> list[Path]:
    """Where the first rounds of a loop lie, or will."""
    return [round_folder(out, number) for number in range(1, rounds + 1)]


def verdicts_digest(out: Path, rounds: int) -> str:
    """SHA-256 over the verdicts of the first rounds of a loop: what its report has to tell of."""
    paths = [folder / "verdict.json" for folder in round_folders(out, rounds)]
    return sha256_bytes(b"\n".join(path.read_bytes() for path in paths if path.is_file()))


def repeat_of(name: str, repeat: int) -> str:
    """The name of the folder of an arm's training, counted from 0.

    >>> repeat_of("control", 0), repeat_of("control", 1)
    ('control', 'control-2')
    """
    return name if repeat == 0 else f"{name}-{repeat + 1}"


def arm_folders(folder: Path, repeats: int, *, labels: bool) -> list[Path]:
    """The folders of the arms that a round trains: the control, with corrected labels these alone, the candidate.

    First those of all arms' first trainings, then those of their second ones.
    """
    names = ["control", *(["labels"] if labels else []), "candidate"]
    return [folder / repeat_of(name, repeat) for repeat in range(repeats) for name in names]
