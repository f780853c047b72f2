"""Which images stand on a sheet, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import schema
from curate.dataset import Dataset
from curate.errors import CurateError, FormatError, MissingError, UsageError
from curate.looking.picks import (
    HIGH_IS_BAD,
    LOW_IS_BAD,
    VALUE,
    Choice,
    check_choice,
    chosen_rows,
    join_values,
    pick,
    read_values,
    settled_order,
    shuffled,
    with_values,
)
from tests.curate.versions import drop, row, write_version

ROWS = [
    row("coco-1", area=0.3, touching=["dog", "cup"], head_visible=True),
    row("coco-2", "val", area=0.6, touching=["dog"], head_visible=False, edges="L"),
    row("coco-3", "test", area=0.1),
    row("coco-4", area=0.6, edges="L"),
]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four rows and two drops, without files."""
    drops = [drop("coco-5", "area", value=0.01), drop("coco-6", "area", value=0.9)]
    return write_version(tmp_path / "out", ROWS, drops)


def picked(rows: pl.DataFrame, by: str, order: str | None = None) -> dict[str, list[str]]:
    """Heading -> sample_ids in the order they are shown."""
    parts = pick(with_values(rows, by, "samples.parquet"), Choice(by, order))
    return {part.title: part.rows["sample_id"].to_list() for part in parts}


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        (None, ["coco-2", "coco-4", "coco-1", "coco-3"]),
        ("largest", ["coco-2", "coco-4", "coco-1", "coco-3"]),
        ("smallest", ["coco-3", "coco-1", "coco-2", "coco-4"]),
    ],
)
def test_numbers_are_sorted_and_ties_go_by_id(dataset: Dataset, order: str | None, ids: list[str]) -> None:
    assert picked(dataset.samples, "area", order) == {"": ids}


@pytest.mark.parametrize("order", ["largest", "smallest"])
def test_nothing_and_nan_come_last_in_either_order(order: str) -> None:
    rows = pl.DataFrame({"sample_id": ["a", "b", "c", "d"], "iou": [None, 0.5, float("nan"), 0.7]})
    assert picked(rows, "iou", order)[""][2:] == ["a", "c"]


@pytest.mark.parametrize(
    ("by", "order", "titles"),
    [
        ("touching", None, {"dog": {"coco-1", "coco-2"}, "none": {"coco-3", "coco-4"}, "cup": {"coco-1"}}),
        ("touching", "smallest", {"cup": {"coco-1"}, "dog": {"coco-1", "coco-2"}, "none": {"coco-3", "coco-4"}}),
        ("edges", None, {"L": {"coco-2", "coco-4"}, "none": {"coco-1", "coco-3"}}),
        ("split", None, {"train": {"coco-1", "coco-4"}, "test": {"coco-3"}, "val": {"coco-2"}}),
        ("source", None, {"coco": {"coco-1", "coco-2", "coco-3", "coco-4"}}),
    ],
    ids=["lists", "rarest first", "empty words", "words", "one word"],
)
def test_words_stand_under_headings(dataset: Dataset, by: str, order: str | None, titles: dict[str, set[str]]) -> None:
    found = picked(dataset.samples, by, order)
    assert [(title, set(ids)) for title, ids in found.items()] == [*titles.items()]


def test_yes_no_and_nothing_have_headings_nothing_last() -> None:
    rows = pl.DataFrame({"sample_id": list("abcdef"), "head": [True, None, False, True, None, None]})
    found = picked(rows, "head")
    assert {title: set(ids) for title, ids in found.items()} == {
        "yes": {"a", "d"},
        "no": {"c"},
        "no value": {"b", "e", "f"},
    }
    assert [*found] == ["yes", "no", "no value"]


def test_words_of_which_none_repeats_make_no_headings(dataset: Dataset) -> None:
    assert picked(dataset.samples, "mask_sha256") == {"": ["coco-1", "coco-2", "coco-3", "coco-4"]}


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.lists(st.none() | st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=3), min_size=1, max_size=12),
    st.sampled_from(["largest", "smallest", "random"]),
)
def test_every_image_is_shown_and_under_each_of_its_words(values: list[list[str] | None], order: str) -> None:
    rows = pl.DataFrame(
        {"sample_id": [str(number) for number in range(len(values))], "tags": values},
        schema={"sample_id": pl.String, "tags": pl.List(pl.String)},
    )
    found = picked(rows, "tags", order)
    assert {one for ids in found.values() for one in ids} == set(rows["sample_id"])
    if "" not in found:
        for number, words in enumerate(values):
            titles = {title for title, ids in found.items() if str(number) in ids}
            assert titles == ({"no value"} if words is None else {word or "none" for word in words} or {"none"})


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 999).map(str), unique=True, max_size=30), st.integers(0, 3))
def test_random_depends_on_the_seed_and_the_ids_alone(ids: list[str], seed: int) -> None:
    rows = pl.DataFrame({"sample_id": ids}, schema={"sample_id": pl.String})
    order = shuffled(rows, seed)["sample_id"].to_list()
    assert sorted(order) == sorted(ids)
    assert shuffled(rows.reverse(), seed)["sample_id"].to_list() == order
    assert shuffled(rows.head(5), seed)["sample_id"].to_list() == [one for one in order if one in ids[:5]]


def test_seeds_differ() -> None:
    rows = pl.DataFrame({"sample_id": [str(number) for number in range(30)]})
    assert shuffled(rows, 0)["sample_id"].to_list() != shuffled(rows, 1)["sample_id"].to_list()


@pytest.mark.parametrize(
    ("choice", "order"),
    [
        (Choice(), "random"),
        (Choice("area"), "largest"),
        (Choice("iou"), "smallest"),
        (Choice("iou", "worst"), "smallest"),
        (Choice("bce", "worst"), "largest"),
        (Choice("suspicion"), "largest"),
        (Choice("iou", "largest"), "largest"),
        (Choice("iou", "random"), "random"),
    ],
    ids=str,
)
def test_the_order_follows_from_the_column(choice: Choice, order: str) -> None:
    assert settled_order(choice) == order


def test_every_column_with_a_bad_end_is_one_of_our_tables() -> None:
    tables = (schema.SCORES, schema.FAILURES, schema.SUSPECTS, schema.EDITS, schema.PRELABELS)
    known = {column for table in tables for column in table}
    assert {*LOW_IS_BAD, *HIGH_IS_BAD} <= known
    assert not {*LOW_IS_BAD} & {*HIGH_IS_BAD}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(order="worst"), "--order worst: of which column? Add for example --by area"),
        (Choice("area", "worst"), "--order worst: area has no bad end that is known"),
        (Choice(join=Path("x.parquet")), "--join x.parquet: by which of its columns"),
        (Choice(dropped="area", splits=("val",)), "--dropped: what was dropped is in no split"),
    ],
    ids=["order alone", "no bad end", "join alone", "dropped of a split"],
)
def test_a_choice_that_contradicts_itself_is_refused(choice: Choice, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        check_choice(choice)


@pytest.mark.parametrize(
    ("choice", "kind", "message"),
    [
        (Choice("ioux"), UsageError, "--by ioux: samples.parquet has no such column. It has: sample_id, image, "),
        (Choice("iou"), UsageError, "A run's scores have it: --join RUN/scores.parquet"),
        (Choice("suspicion"), UsageError, "A run's failures have it"),
        (Choice("licence"), CurateError, "--by licence: none of the 4 images has a value there"),
        (Choice(splits=("pool",)), CurateError, "has no image in pool. It has: 4 images, 2 train, 1 val, 1 test"),
        (Choice(dropped="crowd"), CurateError, "no image was dropped by crowd. Dropped were: area 2"),
        (Choice("area", dropped="area"), UsageError, "--by area: drops.parquet has no such column"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_picked_is_an_error_that_says_what_can(
    dataset: Dataset, choice: Choice, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        chosen_rows(dataset, choice)
    assert message in str(error.value)


def test_a_dataset_without_drops_says_so(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"dropped by area\. Dropped were: none at all"):
        chosen_rows(write_version(tmp_path, ROWS), Choice(dropped="area"))


@pytest.mark.parametrize(
    "column",
    [pl.Series("x", [[1, 2]]), pl.Series("x", [{"a": 1}]), pl.Series("x", [b"a"])],
    ids=["list of numbers", "struct", "bytes"],
)
def test_columns_without_an_order_are_refused(column: pl.Series) -> None:
    with pytest.raises(UsageError, match="is neither numbers nor words nor lists of words"):
        with_values(pl.DataFrame([pl.Series("sample_id", ["a"]), column]), "x", "table")


@pytest.mark.parametrize(
    "column", [pl.Series("x", ["2024-01-02"]).str.to_date(), pl.Series("x", ["a"], pl.Categorical)]
)
def test_dates_and_categories_are_words(column: pl.Series) -> None:
    frame = pl.DataFrame([pl.Series("sample_id", ["a"]), column])
    assert with_values(frame, "x", "table")[VALUE].dtype == pl.String


def test_the_splits_are_picked_from(dataset: Dataset) -> None:
    rows, odd = chosen_rows(dataset, Choice(splits=("val", "test")))
    assert (rows["sample_id"].to_list(), odd) == (["coco-2", "coco-3"], [])


def test_a_joined_table_gives_the_values_and_its_gaps_are_said(dataset: Dataset) -> None:
    table = pl.DataFrame({"sample_id": ["coco-3", "coco-1", "coco-9", "coco-1"], "iou": [0.5, 0.1, 0.2, 0.4]})
    rows, odd = join_values(dataset.samples, table, "iou", "scores.parquet")
    assert rows.select("sample_id", VALUE).rows() == [
        ("coco-1", 0.4),
        ("coco-2", None),
        ("coco-3", 0.5),
        ("coco-4", None),
    ]
    assert odd == [
        "2 of 4 images are not in scores.parquet; they have no value",
        "1 images of scores.parquet are not among those shown",
        "1 rows of scores.parquet repeat an image; the last one counts",
    ]
    whole = dataset.samples.select("sample_id", iou=pl.lit(1.0))
    assert join_values(dataset.samples, whole, "iou", "scores.parquet")[1] == []


def test_a_joined_column_wins_over_the_datasets_own(dataset: Dataset) -> None:
    table = dataset.samples.select("sample_id", area=1 - pl.col("area"))
    rows, _ = join_values(dataset.samples, table, "area", "failures.parquet")
    assert (rows[VALUE] + rows["area"]).to_list() == [1.0] * 4


@pytest.mark.parametrize(
    ("table", "kind", "message"),
    [
        ({"name": ["coco-1"], "x": [1]}, UsageError, "t: has no column sample_id of words. It has: name, x"),
        ({"sample_id": [1], "x": [1]}, UsageError, "t: has no column sample_id of words"),
        ({"sample_id": ["voc-1"], "x": [1]}, CurateError, "t: names none of the 4 images"),
        ({"sample_id": ["coco-1"], "y": [1]}, UsageError, "--by x: t has no such column. It has: sample_id, y"),
    ],
    ids=["no ids", "ids are numbers", "of another dataset", "no such column"],
)
def test_a_table_that_does_not_fit_is_an_error(
    dataset: Dataset, table: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        join_values(dataset.samples, pl.DataFrame(table), "x", "t")
    assert str(error.value).startswith(message)


def test_tables_are_read_by_their_ending(tmp_path: Path) -> None:
    table = pl.DataFrame({"sample_id": ["007", "008"], "x": [1, 2]})
    table.write_parquet(tmp_path / "a.parquet")
    table.write_csv(tmp_path / "a.CSV")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in table.iter_rows(named=True)))
    for name in ("a.parquet", "a.CSV", "a.jsonl"):
        assert read_values(tmp_path / name).equals(table)


@pytest.mark.parametrize(
    ("name", "data", "kind", "message"),
    [
        ("a.txt", b"", UsageError, "is not a table this program reads. Expected .parquet, .csv or .jsonl"),
        ("a.parquet", None, MissingError, "no such file or folder"),
        ("a.parquet", b"PAR1", FormatError, "cannot be read as a table"),
        ("a.csv", b"", FormatError, "cannot be read as a table"),
        ("a.jsonl", b"{", FormatError, "cannot be read as a table"),
    ],
    ids=["another ending", "missing", "half a parquet", "empty csv", "half a line"],
)
def test_a_table_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, data: bytes | None, kind: type[Exception], message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(kind) as error:
        read_values(tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice("iou"), ["iou", "smallest"]),
        (Choice(splits=("val",)), ["val"]),
        (Choice(dropped="area"), ["dropped", "area"]),
        (Choice("value", dropped="area"), ["dropped", "area", "value", "largest"]),
        (Choice(order="random"), ["random"]),
        (Choice(seed=3), ["random"]),
    ],
    ids=str,
)
def test_a_choice_names_its_file(choice: Choice, words: list[str]) -> None:
    assert choice.words() == words
