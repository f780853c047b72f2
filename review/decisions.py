"""A reviewer's decisions on disk, `decisions.jsonl`, and how marks set in the App become them.

One JSON object a line, sorted by sample. `curate.decisions` has the record and reads it, as `curate build` must too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from curate.decisions import Decision
from curate.files import readable_faults, write_atomic


class Marks(NamedTuple):
    """What a reviewer says of a sample in the App: the verdicts among its tags, and a note if there is one."""

    verdicts: Sequence[str]
    note: str | None = None


def decisions_of_marks(
    marks: Mapping[str, Marks], run: str, before: Iterable[Decision]
) -> tuple[list[Decision], list[str]]:
    """The decisions that a reviewer's marks stand for, and the samples whose verdicts contradict each other.

    A decision that was there before keeps its run, and its note where none is set now; one whose tag is gone is gone.

    Args:
        marks: sample_id -> its marks, with at least one verdict.
        run: Name of the run that was looked at.
        before: The decisions so far.
    """
    known = {(decision.sample_id, decision.verdict): decision for decision in before}
    decisions = []
    for sample_id, (verdicts, note) in sorted(marks.items()):
        if len(verdicts) == 1:
            decision = known.get((sample_id, verdicts[0]), Decision(sample_id, verdicts[0], run=run))
            decisions.append(decision if note is None else msgspec.structs.replace(decision, note=note))
    return decisions, sorted(sample_id for sample_id, (verdicts, _) in marks.items() if len(verdicts) > 1)


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write the last decision of each sample, atomically; none makes an empty file."""
    encoder = msgspec.json.Encoder()
    last = {decision.sample_id: decision for decision in decisions}
    lines = [encoder.encode(last[sample_id]) + b"\n" for sample_id in sorted(last)]
    with readable_faults(path):
        write_atomic(path, b"".join(lines))
