"""What `curate check` looks at, one module each: tables, rules, files. What they share stands here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

REBUILD = "Put the old file back, or build again with --force"
SHOWN = 20
"""Findings of one kind that are printed; of the others only the number is, unless all are asked for."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be.

    Attributes:
        kind: A short name that equal findings share, such as `image hash`.
        where: The file, and the sample where it is about one.
        found: What is there.
        expected: What should be.
        advice: What to do about it.
    """

    kind: str
    where: str
    found: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.found}; expected {self.expected}. {self.advice}")


def one_line(text: str) -> str:
    """The text as one line that a terminal shows as it is: tables may be a stranger's.

    >>> one_line("a\\nb\\x1b[2J")
    'a\\\\nb\\\\x1b[2J'
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def kinds_of(findings: Iterable[Finding]) -> dict[str, int]:
    """Number of findings of each kind, in the order they came up."""
    return dict(Counter(finding.kind for finding in findings))


def lines_of(findings: Sequence[Finding], most: int | None = SHOWN) -> list[str]:
    """A line for each finding; of one kind at most `most` (all with None), then a line that says how many more."""
    counts, lines = kinds_of(findings), []
    told: Counter[str] = Counter()
    for finding in findings:
        told[finding.kind] += 1
        if most is None or told[finding.kind] <= most:
            lines.append(str(finding))
        elif told[finding.kind] == counts[finding.kind]:
            lines.append(f"... and {counts[finding.kind] - most:,} more such findings ({finding.kind})")
    return lines
