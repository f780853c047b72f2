"""Every error a user can cause, each one line: where, what was found, what was expected, what to do.

CurateError                 exit code 1
├── FormatError             a file is not what its name or its reader says
├── MismatchError           two things that must agree do not (sizes, counts)
├── MissingError            a path, image or part that should be there is not
├── ExistsError             an output is there already, or another process is writing it
├── VersionError            a dataset or weight file is not the one a run was made with, or a format is newer
└── MachineError            the machine lacks something: database, disk space, network
    │                       (named so that it does not shadow the builtin EnvironmentError)
    └── DownloadError       something is not here and cannot be downloaded
UsageError                  exit code 2: options that contradict each other
└── DivergedError           training with these options came to nothing
"""

from __future__ import annotations

from pathlib import Path

import msgspec

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises of bytes that are no JSON of the kind wanted: a hundred thousand brackets are the last one."""


class CurateError(Exception):
    """Base of all errors whose text is meant for the user."""

    exit_code = 1


class FormatError(CurateError):
    """A file cannot be read as what it should be.

    Args:
        path: The file.
        problem: What was found, what was expected, what to do.
        place: Where in the file (a JSON path, a line, a row), if known.
    """

    def __init__(self, path: Path | str, problem: str, place: str = "") -> None:
        self.path, self.place, self.problem = Path(path), place, problem
        super().__init__(f"{path}{f' at {place}' if place else ''}: {problem}")

    def __reduce__(self) -> tuple[type[FormatError], tuple[Path, str, str]]:
        """What a forked process sends of it."""
        return type(self), (self.path, self.problem, self.place)


class MismatchError(CurateError):
    """Two things that must agree do not.

    Args:
        where: File or object the disagreement was seen in.
        expected: What it should have been.
        got: What it was.
        advice: What to do about it.
    """

    def __init__(self, where: Path | str, expected: object, got: object, advice: str = "") -> None:
        self.where, self.expected, self.got, self.advice = str(where), expected, got, advice
        super().__init__(f"{where}: expected {expected}, got {got}{f'. {advice}' if advice else ''}")

    def __reduce__(self) -> tuple[type[MismatchError], tuple[str, object, object, str]]:
        """What a forked process sends of it."""
        return type(self), (self.where, self.expected, self.got, self.advice)


class MissingError(CurateError):
    """Something that should exist does not."""


class ExistsError(CurateError):
    """An output exists already or is being written by another process."""


class VersionError(CurateError):
    """A dataset, run or weight file is not the version that was asked for, or none that this program reads."""


class MachineError(CurateError):
    """The machine lacks something the command needs."""


class DownloadError(MachineError):
    """Something that is not on this machine cannot be downloaded."""


class UsageError(CurateError):
    """Options that cannot be used together, or a value out of range."""

    exit_code = 2


class DivergedError(UsageError):
    """A loss is no longer a number."""
