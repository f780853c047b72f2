"""A reviewer's verdicts from `decisions.jsonl`, and what they do to a dataset.

`exclude` drops the image; `relabel` keeps it out of training (weight 0) until its label is mended; `hard` doubles its
weight; `ok` changes nothing. `relabel` and `hard` also stand in the image's tags.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from curate import schema
from curate.errors import JSON_ERRORS, FormatError
from curate.files import readable_faults

WEIGHTS = {"relabel": 0.0, "hard": 2.0}


class Decision(msgspec.Struct, frozen=True):
    """One line of `decisions.jsonl`."""

    sample_id: str
    verdict: str
    note: str = ""
    run: str = ""


def read_decisions(path: Path) -> dict[str, Decision]:
    """The last verdict on each image, by sample_id; empty lines are passed over.

    Raises:
        MissingError: There is no such file.
        FormatError: A line is no decision, or its verdict is unknown.
    """
    with readable_faults(path):
        lines = path.read_bytes().splitlines()
    decisions = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            decision = msgspec.json.decode(line, type=Decision)
        except JSON_ERRORS as error:
            raise FormatError(
                path, f"{error}. Expected an object with sample_id and verdict", f"line {number}"
            ) from error
        if decision.verdict not in schema.VERDICTS:
            expected = ", ".join(schema.VERDICTS)
            raise FormatError(path, f"verdict {decision.verdict!r} is unknown; expected {expected}", f"line {number}")
        decisions[decision.sample_id] = decision
    return decisions
