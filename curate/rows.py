"""The rows of a table as dicts, each made when it is asked for: so a million rows take no more than their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, overload

import polars as pl

Row: TypeAlias = dict[str, Any]
"""A row by its columns."""


class Rows(Sequence[Row]):
    """The rows of a table, in its order.

    A forked process may ask for them too: of a table in one piece that takes none of the threads polars has.

    >>> rows = Rows(pl.DataFrame({"sample_id": ["a", "b"], "people": [1, 2]}))
    >>> len(rows), rows[-1], [row["people"] for row in rows[:1]]
    (2, {'sample_id': 'b', 'people': 2}, [1])
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table.rechunk()

    def __len__(self) -> int:
        return self._table.height

    def __iter__(self) -> Iterator[Row]:
        return self._table.iter_rows(named=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows | list) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as lists have none

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Rows: ...
    def __getitem__(self, place: int | slice) -> Row | Rows:
        return Rows(self._table[place]) if isinstance(place, slice) else self._table.row(place, named=True)


class NamedRows(Mapping[str, Row]):
    """The rows of a table by their sample_id, in its order.

    >>> rows = NamedRows(pl.DataFrame({"sample_id": ["a", "b"], "people": [1, 2]}))
    >>> rows["b"]["people"], "c" in rows, list(rows)
    (2, False, ['a', 'b'])
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table
        self._places = {name: place for place, name in enumerate(table["sample_id"])}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Row:
        return self._table.row(self._places[name], named=True)

    def of(self, names: Sequence[str]) -> Rows:
        """The rows of some samples, in the order of their names; KeyError where one is not there."""
        return Rows(self._table[[self._places[name] for name in names]])
