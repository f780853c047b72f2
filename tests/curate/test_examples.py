"""What stands on a contact sheet: tiles and captions of kept, dropped and picked images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset
from curate.looking.examples import (
    MOST_PARTS,
    chosen_draw,
    chosen_sheet,
    drop_strips,
    fill_rows,
    gather_places,
    kept_strip,
    order_words,
    part_strip,
)
from curate.looking.picks import VALUE, Choice, Part, chosen_rows, pick, with_values
from curate.looking.sheet import Tile
from curate.sources import Read
from curate.sources.reading import read_sources
from tests.curate.scenes import box, coco_file, coco_set, image, person, photo
from tests.curate.versions import drop, row, write_pictures, write_version

ROWS = [
    row("coco-1", area=0.3, touching=["dog"]),
    row("coco-2", "val", area=0.6, people=2),
    row("coco-3", "background", people=0, area=0.0),
    row("coco-4", "pool", people=0, area=0.0),
    row("coco-5", area=0.002),
]
DROPS = [
    drop("coco-000001", "area", "people cover 1 %", value=0.01),
    drop("coco-000002", "area", "/a/b.png: is bad", value=0.9),
]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Five images with their files, and two drops."""
    pool = np.full((30, 40), 128, np.uint8)
    tiny = np.zeros((30, 40), np.uint8)
    tiny[3, 3] = 255
    rows = write_pictures(tmp_path / "out", ROWS, {"coco-4": pool, "coco-5": tiny})
    return write_version(tmp_path / "out", rows, DROPS)


@pytest.fixture
def reads(tmp_path: Path) -> list[Read]:
    """The COCO source the drops come from; the second photograph is gone."""
    path = coco_set(tmp_path / "set", [0.3, 0.5])
    (tmp_path / "set/val2017/000002.jpg").unlink()
    return read_sources(make_recipe({"coco": [str(path)]}))


def tiles_of(dataset: Dataset, choice: Choice, reads: list[Read] | None = None) -> list[tuple[str, list[Tile]]]:
    """The headings and tiles of a choice."""
    rows, _ = chosen_rows(dataset, choice)
    if choice.dropped:
        rows = rows.join(gather_places(reads or []), on="sample_id", how="left")
    parts = pick(rows, choice)
    draw = chosen_draw(dataset, choice, reads or [], titled=bool(parts[0].title))
    strips = [part_strip(part, rows.height, draw, 3) for part in parts]
    return [(f"{strip.title} | {strip.remark}", [*strip.tiles]) for strip in strips]


def test_kept_images_tell_what_is_known_of_them(dataset: Dataset) -> None:
    strip = kept_strip(dataset.root, dataset.samples)
    assert (strip.title, strip.remark) == ("kept: 5", "2 train, 1 val, 1 pool, 1 background")
    assert {tile.note: tile.caption for tile in strip.tiles} == {
        "coco-1": "30 %, 1 person",
        "coco-2": "60 %, 2 people",
        "coco-3": "nobody",
        "coco-4": "no label yet",
        "coco-5": "under 1 %, 1 person",
    }
    assert {tile.note for tile in strip.tiles if tile.cover is None} == {"coco-4"}


def test_an_image_that_cannot_be_shown_says_why(dataset: Dataset) -> None:
    (dataset.root / "images/coco-1.png").unlink()
    (dataset.root / "masks/coco-2.png").write_bytes(b"no PNG")
    tiles = {tile.note: tile for tile in kept_strip(dataset.root, dataset.samples).tiles}
    assert tiles["coco-1"].photo is tiles["coco-2"].photo is None
    assert tiles["coco-1"].caption == "coco-1.png: cannot be opened (No such file or directory)"
    assert tiles["coco-2"].caption == "coco-2.png: is not an image Pillow can read"


def test_a_sample_of_many_says_how_many_are_shown(dataset: Dataset) -> None:
    many = pl.concat([dataset.samples] * 30).with_columns(split=pl.lit("train"))
    strip = kept_strip(dataset.root, many, 2)
    assert strip.remark == f"150 train; {len(strip.tiles)} of them at random"
    assert 0 < len(strip.tiles) < 40


def test_no_more_pictures_are_read_than_fit() -> None:
    rows = pl.DataFrame({"sample_id": [str(number) for number in range(1000)]})
    drawn: list[str] = []

    def draw(one: dict[str, str]) -> Tile:
        drawn.append(one["sample_id"])
        return Tile("", np.zeros((40, 40, 3), np.uint8))

    tiles = fill_rows(rows, draw, 1)
    assert len(tiles) == 7
    assert len(drawn) <= 64


def test_dropped_images_show_their_label_or_why_they_cannot(dataset: Dataset, reads: list[Read]) -> None:
    (strip,) = drop_strips(dataset.drops, gather_places(reads), reads)
    tiles = {tile.note: tile for tile in strip.tiles}
    assert (strip.title, strip.remark) == ("area out of range: 2", "rule area")
    assert tiles["coco-000001"].cover is not None
    assert tiles["coco-000002"].photo is None
    assert tiles["coco-000002"].caption == "b.png: is bad"
    (strip,) = drop_strips(dataset.drops, gather_places([]), [])
    assert (strip.tiles, strip.remark) == ([], "rule area: the sources do not lie where they lay at the build")


def test_a_label_that_cannot_be_drawn_leaves_the_photograph(tmp_path: Path, dataset: Dataset) -> None:
    photo(tmp_path / "bad/val2017/000001.jpg")
    broken = person(1, {"size": [40, 60], "counts": "zz"})
    path = coco_file(
        tmp_path / "bad/annotations/instances_val2017.json", [image(1)], [broken, person(1, box(0, 0, 9, 9))]
    )
    read = read_sources(make_recipe({"coco": [str(path)]}))
    ((_, tiles),) = tiles_of(dataset, Choice(dropped="area"), read)
    shown = next(tile for tile in tiles if tile.note == "coco-000001")
    assert shown.photo is not None
    assert shown.cover is None


def test_captions_tell_the_value(dataset: Dataset) -> None:
    ((heading, tiles),) = tiles_of(dataset, Choice("area", "smallest", splits=("train", "val")))
    assert heading == "3 images | "
    assert [tile.caption for tile in tiles] == ["area 0.000833", "area 0.3", "area 0.6"]


def test_nothing_is_said_to_have_no_value(dataset: Dataset, tmp_path: Path) -> None:
    pl.DataFrame({"sample_id": ["coco-2"], "iou": [0.25]}).write_csv(tmp_path / "t.csv")
    ((heading, tiles),) = tiles_of(dataset, Choice("iou", join=tmp_path / "t.csv"))
    assert heading == "5 images | 4 have no value"
    assert [tile.caption for tile in tiles[:2]] == ["iou 0.25", "iou: no value"]


def test_under_headings_captions_tell_the_figures(dataset: Dataset) -> None:
    found = tiles_of(dataset, Choice("touching"))
    assert [heading for heading, _ in found] == ["none: 4 | 80.0 % of 5 images", "dog: 1 | 20.0 % of 5 images"]
    assert [tile.caption for tile in found[1][1]] == ["30 %, 1 person"]


def test_dropped_images_tell_value_and_reason(dataset: Dataset, reads: list[Read]) -> None:
    ((_, tiles),) = tiles_of(dataset, Choice("value", "largest", dropped="area"), reads)
    assert [tile.caption for tile in tiles] == ["value 0.9: b.png: is bad", "value 0.01: people cover 1 %"]
    assert [tile.photo is not None for tile in tiles] == [False, True]
    ((_, tiles),) = tiles_of(dataset, Choice(dropped="area"))
    assert {tile.caption for tile in tiles} == {"b.png: is bad", "people cover 1 %"}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice("area"), "area, largest first"),
        (Choice("area", "smallest"), "area, smallest first"),
        (Choice("area", "random"), "area, in random order"),
        (Choice("split"), "by split, most frequent first"),
        (Choice("split", "smallest"), "by split, rarest first"),
        (Choice("sample_id"), "sample_id, in alphabetical order"),
        (Choice(), "in random order"),
    ],
    ids=str,
)
def test_titles_name_the_order(dataset: Dataset, choice: Choice, words: str) -> None:
    rows, _ = chosen_rows(dataset, choice)
    assert order_words(choice, rows, pick(rows, choice)) == words


@pytest.mark.parametrize("order", [None, "worst"])
def test_titles_say_which_end_is_the_worst(order: str | None) -> None:
    rows = with_values(pl.DataFrame({"sample_id": ["a"], "iou": [0.5]}), "iou", "t")
    assert order_words(Choice("iou", order), rows, [Part("", rows)]) == "iou, worst (smallest) first"
    assert order_words(Choice("iou", "smallest"), rows, [Part("", rows)]) == "iou, smallest first"
    assert rows[VALUE].to_list() == [0.5]


def test_only_so_many_values_have_headings(dataset: Dataset, tmp_path: Path) -> None:
    rows = [row(f"coco-{number}-{twin}", group=str(number)) for number in range(MOST_PARTS + 8) for twin in "ab"]
    many = write_version(tmp_path / "many", write_pictures(tmp_path / "many", rows, {}))
    few = many.samples.filter(pl.col("group").is_in([str(number) for number in range(MOST_PARTS)]))
    choice = Choice("group")
    pages = [chosen_sheet(many, with_values(one, "group", "t"), choice, []) for one in (many.samples, few)]
    assert pages[0].size == pages[1].size


def test_rows_are_shared_among_headings_or_given(dataset: Dataset) -> None:
    choice = Choice("area", "largest")
    rows, _ = chosen_rows(dataset, choice)
    many = pl.concat([rows] * 30)
    heights = [chosen_sheet(dataset, many, choice, [], most).size[1] for most in (1, 3, None)]
    assert heights[0] < heights[1] < heights[2]
