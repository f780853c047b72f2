"""A reviewer's decisions on disk, `decisions.jsonl`, and how tags set in the App become them.

One JSON object a line, sorted by sample. `curate.decisions` has the record and reads it, as `curate build` must too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from curate.decisions import Decision
from curate.files import readable_faults, write_atomic


def decisions_of_tags(
    tags: Mapping[str, Sequence[str]], run: str, before: Iterable[Decision]
) -> tuple[list[Decision], list[str]]:
    """The decisions that a reviewer's tags stand for, and the samples whose tags contradict each other.

    A decision that was there before keeps its note and run; one whose tag is gone is gone.

    Args:
        tags: sample_id -> its verdict tags, at least one.
        run: Name of the run that was looked at.
        before: The decisions so far.
    """
    known = {(decision.sample_id, decision.verdict): decision for decision in before}
    single = {sample_id: verdicts[0] for sample_id, verdicts in tags.items() if len(verdicts) == 1}
    decisions = [known.get(one, Decision(*one, run=run)) for one in sorted(single.items())]
    return decisions, sorted(tags.keys() - single.keys())


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write the last decision of each sample, atomically; none makes an empty file."""
    encoder = msgspec.json.Encoder()
    last = {decision.sample_id: decision for decision in decisions}
    lines = [encoder.encode(last[sample_id]) + b"\n" for sample_id in sorted(last)]
    with readable_faults(path):
        write_atomic(path, b"".join(lines))
