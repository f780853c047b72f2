"""`predictions/weights.json`: which weights made the predictions of a folder, and how. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from curate.errors import JSON_ERRORS, FormatError
from curate.files import write_atomic
from train.config import placed

RUN = "run"
"""The key, beside those of the folds, of the run whose weights these are, in a folder that `score --out` made."""


class Manner(msgspec.Struct, frozen=True):
    """How probabilities become predictions: plainly, or as these options say."""

    flip: bool = False
    """The mean of each image and its mirror image."""
    refinements: tuple[str, ...] = ()
    """Of train.inference.refine, one after the other."""
    ensemble: bool = False
    """The mean of the model of the whole training split and the fold models."""

    def __str__(self) -> str:
        """The options in words."""
        words = ["--ensemble"] * self.ensemble + ["--flip"] * self.flip
        words += [f"--refine {','.join(self.refinements)}"] * bool(self.refinements)
        return " ".join(words) or "neither --flip nor --refine"


PLAIN = Manner()


def identity_of(digest: str, manner: Manner) -> str:
    """What stands for a fold: the SHA-256 of its weights, and the manner where it is not the plain one.

    >>> identity_of("ab12", Manner(flip=True, refinements=("guided", "matting")))
    'ab12 flip refine=guided,matting'
    """
    refined = [f"refine={','.join(manner.refinements)}"] if manner.refinements else []
    return " ".join([digest, *["ensemble"] * manner.ensemble, *["flip"] * manner.flip, *refined])


def read_origin(out: Path) -> dict[str, str]:
    """Fold -> identity of what made the predictions of a folder, and under RUN its run; empty where that is not known.

    Raises:
        FormatError: The file is damaged.
    """
    path = _path(out)
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except JSON_ERRORS as error:
        raise FormatError(path, f"is damaged ({error}). Delete it and score again") from error


def write_origin(out: Path, origin: dict[str, str]) -> None:
    """Write what `read_origin` reads."""
    write_atomic(_path(out), msgspec.json.encode(origin))


def read_manner(out: Path) -> Manner:
    """How the predictions of a folder were made; all of its folds are alike in that."""
    identities = [identity for key, identity in read_origin(out).items() if key != RUN]
    return _manner_of(identities[0].split()[1:]) if identities else PLAIN


def _manner_of(words: Sequence[str]) -> Manner:
    refined = [word.removeprefix("refine=") for word in words if word.startswith("refine=")]
    return Manner("flip" in words, tuple(refined[0].split(",")) if refined else (), "ensemble" in words)


def run_of(out: Path) -> Path | None:
    """The run whose weights made the predictions of a folder of `score --out`; None of any other folder."""
    place = read_origin(out).get(RUN)
    return None if place is None else Path(os.path.normpath(placed(place, out)))


def _path(out: Path) -> Path:
    return out / "predictions" / "weights.json"
