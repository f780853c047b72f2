"""The benchmark's result: one row a figure, printed as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure.

    Attributes:
        what: What was measured.
        unit: Of `ours` and `theirs`.
        ours, theirs: The two figures; `theirs` is None where there is nobody to compare with.
        ratio: What the target speaks of, or None.
        target: What `ratio`, or `ours` without one, is held against; None where nothing was promised.
        bound: Whether the target is the least or the most.
    """

    what: str
    unit: str
    ours: float
    theirs: float | None = None
    ratio: float | None = None
    target: float | None = None
    bound: Literal["at least", "at most"] = "at most"

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        figure = self.ours if self.ratio is None else self.ratio
        return figure >= self.target if self.bound == "at least" else figure <= self.target


def faster(what: str, ours_s: float, theirs_s: float, target: float | None) -> Row:
    """How many times faster ours is."""
    return Row(
        what=what, unit="s", ours=ours_s, theirs=theirs_s, ratio=theirs_s / ours_s, target=target, bound="at least"
    )


def share(what: str, unit: str, ours: float, theirs: float, target: float | None) -> Row:
    """Ours as a share of theirs."""
    return Row(what=what, unit=unit, ours=ours, theirs=theirs, ratio=ours / theirs, target=target)


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text.

    >>> print(table([faster("select", 2.0, 30.0, 10), Row(what="open", unit="s", ours=0.4, target=0.3)]))
    what    ours   theirs  ratio  target  reached
    select  2 s    30 s    15     >= 10   yes
    open    0.4 s                 <= 0.3  NO
    """
    cells = [("what", "ours", "theirs", "ratio", "target", "reached"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    sign = {"at least": ">=", "at most": "<="}[row.bound]
    return (
        row.what,
        f"{_figure(row.ours)} {row.unit}",
        "" if row.theirs is None else f"{_figure(row.theirs)} {row.unit}",
        "" if row.ratio is None else _figure(row.ratio),
        "" if row.target is None else f"{sign} {_figure(row.target)}",
        {None: "", True: "yes", False: "NO"}[row.reached],
    )


def _figure(value: float) -> str:
    """Three significant digits, never an exponent.

    >>> _figure(1234.5), _figure(0.33333), _figure(15.0)
    ('1234', '0.333', '15')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def as_json(rows: Sequence[Row], machine: dict[str, object]) -> bytes:
    """The machine and every row, with `reached`, as one JSON object."""
    listed = [{**msgspec.to_builtins(row), "reached": row.reached} for row in rows]
    return msgspec.json.format(msgspec.json.encode({"machine": machine, "rows": listed}), indent=2) + b"\n"
