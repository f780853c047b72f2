"""Pages of Parquet tables that claim what cannot be there: polars would end the process, so they are refused before."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from curate import schema
from curate.dataset import read_table, write_table
from curate.errors import FormatError
from curate.parquet_pages import Thrift, check_pages
from tests.conftest import REPOSITORY
from tests.curate.versions import drop, row, write_version

DOUBTS = pl.DataFrame({"sample_id": ["a", "b"], "suspicion": [0.5, 0.2], "reason": ["edges", "edges"]}, schema.SUSPECTS)


def claiming(table: Path, values: bytes) -> bytes:
    """A table whose first page of data claims another number of values: one byte, as Thrift writes it."""
    data = bytearray(table.read_bytes())
    thrift = Thrift(data, 4)
    while 5 not in (header := thrift.struct()):  # the page of the dictionary goes before
        thrift.skip(header[3])
    begin = data.rfind(bytes([0x2C, 0x15, 2 * DOUBTS.height]), 0, thrift.at)  # a struct, whose first field is the count
    assert begin > 0
    data[begin + 2 : begin + 3] = values
    return bytes(data)


def test_sound_tables_are_passed(tmp_path: Path) -> None:
    write_version(tmp_path / "people", [row("a"), row("b")], [drop("c", "area")])
    for path in (tmp_path / "people").glob("*.parquet"):
        check_pages(path.read_bytes())
    for compression in ("uncompressed", "snappy", "gzip", "zstd"):
        frame = pl.DataFrame({"n": range(5000), "words": [["a", None], []] * 2500, "yes": [True, None] * 2500})
        frame.write_parquet(tmp_path / "other.parquet", compression=compression, data_page_size=500)  # type: ignore[arg-type]
        check_pages((tmp_path / "other.parquet").read_bytes())
    DOUBTS.clear().write_parquet(tmp_path / "none.parquet")
    check_pages((tmp_path / "none.parquet").read_bytes())


def test_polars_would_end_the_process(tmp_path: Path) -> None:
    write_table(tmp_path / "suspects.parquet", DOUBTS)
    (tmp_path / "damaged.parquet").write_bytes(claiming(tmp_path / "suspects.parquet", bytes([0x09])))
    code = f"import polars; polars.read_parquet({str(tmp_path / 'damaged.parquet')!r})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=False)
    assert ended.returncode != 0, "this check is needless by now"
    with pytest.raises(
        FormatError, match=r"damaged.parquet: is not a readable Parquet table \(a page claims -5 values"
    ):
        read_table(tmp_path / "damaged.parquet", schema.SUSPECTS)


def test_any_damage_is_read_or_is_one_error(tmp_path: Path) -> None:
    write_table(tmp_path / "suspects.parquet", DOUBTS)
    sound = (tmp_path / "suspects.parquet").read_bytes()
    for seed in range(2000):
        data, chance = bytearray(sound), random.Random(seed)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(ValueError):
            check_pages(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
