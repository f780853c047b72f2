"""Splits of whole builds: nobody moves, groups stay whole, earlier splits are kept, and what is short is said."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from curate.checks.version import verify
from curate.dataset import open_dataset
from curate.errors import UsageError
from tests.curate.pictures import build, coco_of, column, numbered, pairs_of, picture, reasons, samples, told


def by_split(out: Path, split: str) -> list[str]:
    """The names of a split's images."""
    return samples(out).filter(pl.col("split") == split)["sample_id"].to_list()


def test_images_that_come_later_move_nobody(tmp_path: Path) -> None:
    old = numbered(40)
    one = coco_of(tmp_path / "coco", old)
    build(tmp_path / "a", coco=[one])
    before = column(tmp_path / "a", "split")
    seed_of = {f"coco-{name[:-4]}": seed for name, seed in old.items()}
    [test, *_], [train, *_] = by_split(tmp_path / "a", "test"), by_split(tmp_path / "a", "train")
    # A new source, named and placed after the old one: new pictures, copies of old ones, and a larger picture.
    new = {"zz1": (seed_of[test], 1), "zz2": (seed_of[train], 1), **numbered(30, 100, "zn")}
    pairs = pairs_of(tmp_path / "pairs", {name.removesuffix(".png"): seed for name, seed in new.items()})
    build(tmp_path / "b", coco=[one], pairs=[pairs])
    after = column(tmp_path / "b", "split")
    assert {name: after[name] for name in before} == before
    assert (after["pairs-zz1"], after["pairs-zz2"]) == ("test", "train")
    groups = column(tmp_path / "b", "group")
    assert groups["pairs-zz1"] == groups[test]
    # The same file with more images, under later names.
    more = coco_of(tmp_path / "coco", {**old, **numbered(30, 200, "j"), "z.png": (seed_of[test], 1)})
    build(tmp_path / "c", coco=[more])
    after = column(tmp_path / "c", "split")
    assert {name: after[name] for name in before} == before
    assert after["coco-z"] == "test"


@pytest.mark.parametrize("count", [3, 8, 9, 10, 14, 25])
@pytest.mark.parametrize("seed", [0, 1])
def test_small_sets_grow_without_moving_anybody(tmp_path: Path, count: int, seed: int) -> None:
    """Every third newcomer is a copy of an image that was there."""
    old = numbered(count)
    build(tmp_path / "a", coco=[coco_of(tmp_path / "coco", old)], seed=seed, group_by="folder")
    newcomers = {f"j{number:02d}.png": (number // 3, 1) if number % 3 == 0 else 100 + number for number in range(12)}
    build(tmp_path / "b", coco=[coco_of(tmp_path / "coco", old | newcomers)], seed=seed, group_by="folder")
    before, after = column(tmp_path / "a", "split"), column(tmp_path / "b", "split")
    assert {name: after[name] for name in before} == before
    assert reasons(tmp_path / "b") == {}


def saved_again(path: Path, original: Path, side: float, quality: int) -> None:
    """A smaller JPEG of a picture."""
    with Image.open(original) as opened:
        size = (round(opened.width * side), round(opened.height * side))
        opened.convert("RGB").resize(size, Image.Resampling.BILINEAR).save(path, quality=quality)


def test_resized_and_recompressed_copies_follow_their_original(tmp_path: Path) -> None:
    old = numbered(30)
    path = coco_of(tmp_path / "coco", old)
    images, masks = tmp_path / "pairs" / "images", tmp_path / "pairs" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for number, name in enumerate(old):
        copy = images / f"{name[:-4]}.jpg"
        saved_again(copy, tmp_path / "coco" / "images" / name, (0.75, 1, 2)[number % 3], (70, 85, 95)[number % 3])
        with Image.open(copy) as opened:
            Image.new("L", opened.size, 255).save(masks / f"{name[:-4]}.png")
    for kind in ("keep", "near"):
        build(tmp_path / kind, coco=[path], pairs=[(str(images), str(masks))], duplicates=kind)
    groups = column(tmp_path / "keep", "group")
    assert all(groups[f"pairs-{name[:-4]}"] == groups[f"coco-{name[:-4]}"] for name in old)
    assert len(set(groups.values())) == 30
    dropped = reasons(tmp_path / "near")
    assert dropped.keys() == {f"pairs-{name[:-4]}" for name in old}
    assert {rule for rule, _ in dropped.values()} == {"duplicate"}


def test_a_larger_copy_that_comes_later_takes_no_picture_out_of_the_test_split(tmp_path: Path) -> None:
    old = numbered(30)
    build(tmp_path / "a", coco=[coco_of(tmp_path / "coco", old)])
    [test, *_] = by_split(tmp_path / "a", "test")
    path = coco_of(tmp_path / "coco", old)
    images, masks = pairs_of(tmp_path / "pairs", {"big": (old[f"{test[5:]}.png"], 1)})
    for kind in ("keep", "near"):
        build(tmp_path / kind, coco=[path], pairs=[(images, masks)], duplicates=kind)
        assert column(tmp_path / kind, "split")[test] == "test"
    assert reasons(tmp_path / "near") == {"pairs-big": ("duplicate", f"is nearly the same picture as {test}")}


def test_a_folder_is_never_split_apart_and_the_top_of_a_source_is_none(tmp_path: Path) -> None:
    folder_of = {f"i{number:02d}": f"f{number // 6}" for number in range(36)} | dict.fromkeys(["t1", "t2", "t3"], "")
    files = {f"{folder}/{stem}.png".lstrip("/"): number for number, (stem, folder) in enumerate(folder_of.items())}
    pairs = pairs_of(tmp_path / "pairs", {f"f0/p{number}": 500 + number for number in range(5)})
    build(tmp_path / "out", coco=[coco_of(tmp_path / "coco", files)], pairs=[pairs], group_by="folder")
    table = samples(tmp_path / "out").with_columns(
        folder=pl.col("sample_id").str.split("-").list.last().replace_strict(folder_of, default="p")
    )
    groups = table.group_by("folder").agg(pl.col("group").n_unique(), pl.col("split").n_unique()).sort("folder")
    assert groups["folder"].to_list() == ["", "f0", "f1", "f2", "f3", "f4", "f5", "p"]
    assert groups["group"].to_list() == [3, *[1] * 7]
    assert groups["split"].to_list()[1:] == [1] * 7
    assert table["group"].n_unique() == 10, "a folder of another source is another folder"


def test_groups_by_a_column_stay_whole(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(20))
    pairs = pairs_of(tmp_path / "pairs", {f"p{number}": 100 + number for number in range(10)})
    build(tmp_path / "out", coco=[path], pairs=[pairs], group_by="source")
    table = samples(tmp_path / "out").group_by("source").agg(pl.col("group").n_unique(), pl.col("split").n_unique())
    assert sorted(table.rows()) == [("coco", 1, 1), ("pairs", 1, 1)]


def test_fixed_counts_take_whole_groups_and_drop_the_rest(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", {**numbered(30), **{f"k{n:03d}.png": (n, 1) for n in range(10)}})
    built = build(tmp_path / "out", coco=[path], split="20/10", folds=4)
    table, drops = samples(tmp_path / "out"), open_dataset(tmp_path / "out").drops
    assert built.header.counts == {"images": 30, "train": 20, "test": 10}
    assert table.group_by("group").agg(pl.col("split").n_unique())["split"].unique().to_list() == [1]
    assert drops["rule"].to_list() == ["take"] * 10
    assert drops["limit"].unique().to_list() == [30.0]
    trained = table.filter(pl.col("split") == "train")
    assert set(trained["fold"]) == {0, 1, 2, 3}
    assert trained.group_by("group").agg(pl.col("fold").n_unique())["fold"].unique().to_list() == [1]
    assert set(table.filter(pl.col("split") == "test")["fold"]) == {-1}
    assert [step.rule for step in built.header.funnel][-2:] == ["take", "kept"]
    assert told(built) == []


def test_too_few_images_for_fixed_counts_shrink_alike_and_are_said(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(20))
    built = build(tmp_path / "out", coco=[path], split="1700/300")
    assert built.header.counts == {"images": 20, "train": 17, "test": 3}
    assert told(built) == ["--split 1700/300: too few images: train has 17 of 1700, test has 3 of 300"]


def test_an_empty_split_is_said_where_one_was_asked_for(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(3))
    built = build(tmp_path / "out", coco=[path], split="99/1")
    assert told(built) == ["too few images for every split: test has none; count them out (--split 20/5/5)"]
    child = build(tmp_path / "child", from_=str(tmp_path / "out"))
    assert told(child) == [], "it never had one"


def test_the_seed_makes_other_splits(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(40))
    for seed in (0, 1):
        build(tmp_path / str(seed), coco=[path], seed=seed)
    assert column(tmp_path / "0", "split") != column(tmp_path / "1", "split")
    assert column(tmp_path / "0", "group") == column(tmp_path / "1", "group")


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A dataset of forty pictures."""
    build(tmp_path / "earlier", coco=[coco_of(tmp_path / "coco", numbered(40))], seed=3)
    return tmp_path / "earlier"


def test_an_earlier_test_split_is_kept_exactly(tmp_path: Path, earlier: Path) -> None:
    test = by_split(earlier, "test")
    assert len(test) >= 3
    seed_of = {name: int(name.removeprefix("coco-i")) for name in test}
    gone, copied, again, *_ = test
    # Another source in which one test image is missing, with near copies of it and of another, and an exact copy.
    left = {name: seed for name, seed in numbered(40).items() if name != f"{gone.removeprefix('coco-')}.png"}
    path = coco_of(tmp_path / "new", left)
    extra = {"g1": (seed_of[gone], 1), "c1": (seed_of[copied], 1), "x1": seed_of[again], "n1": 900, "n2": 901}
    pairs = pairs_of(tmp_path / "pairs", extra)
    built = build(tmp_path / "out", coco=[path], pairs=[pairs], test_from=str(earlier), seed=11)
    assert by_split(tmp_path / "out", "test") == [name for name in test if name != gone]
    assert reasons(tmp_path / "out") == {
        "pairs-g1": ("leak", f"is nearly the same picture as {gone} (test)"),
        "pairs-c1": ("leak", f"is nearly the same picture as {copied} (test)"),
        "pairs-x1": ("leak", f"is nearly the same picture as {again} (test)"),
    }
    assert [(note.what, note.where) for note in built.notes] == [
        (f"images of the test split of {earlier} are not in this one", gone)
    ]
    assert set(column(tmp_path / "out", "split").values()) == {"train", "val", "test"}


def test_an_earlier_test_split_comes_first_where_a_source_is_sampled(tmp_path: Path, earlier: Path) -> None:
    path = coco_of(tmp_path / "new", numbered(200))
    test = by_split(earlier, "test")
    build(tmp_path / "out", coco=[path], test_from=str(earlier), take={"coco": 50}, split="30/5/100")
    assert by_split(tmp_path / "out", "test") == test
    counts = open_dataset(tmp_path / "out").header.counts
    assert (counts["train"], counts["val"]) == (30, 5)


def test_an_earlier_test_split_keeps_folders_and_empty_scenes_away(tmp_path: Path, earlier: Path) -> None:
    [test, other, *_] = by_split(earlier, "test")
    seed = int(other.removeprefix("coco-i"))
    files = {f"same/{test[5:]}.png": int(test.removeprefix("coco-i")), "same/n.png": 700, "else/m.png": 701}
    files |= {"else/empty.png": (seed, 1), "else/empty2.png": 702}
    shares = dict.fromkeys(files, 0.5) | {"else/empty.png": 0.0, "else/empty2.png": 0.0}
    path = coco_of(tmp_path / "new", files, shares)
    build(tmp_path / "out", coco=[path], test_from=str(earlier), group_by="folder", backgrounds=5)
    assert column(tmp_path / "out", "split") == {test: "test", "coco-m": "train", "coco-empty2": "background"}
    assert reasons(tmp_path / "out")["coco-n"] == ("leak", "its group stands in the split test already")
    assert reasons(tmp_path / "out")["coco-empty"][0] == "leak"


def test_an_earlier_dataset_without_a_test_split_is_refused(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(3))
    build(tmp_path / "one", coco=[path], split="100/0")
    with pytest.raises(UsageError, match=r"--test-from .*one: its test split is empty"):
        build(tmp_path / "out", coco=[path], test_from=str(tmp_path / "one"))


def test_copies_are_dropped_where_asked_for_the_later_one(tmp_path: Path) -> None:
    files = {**numbered(12), "j1.png": 3, "j2.png": (4, 1)}
    path = coco_of(tmp_path / "coco", files)
    photos = tmp_path / "pool"
    picture(photos / "p1.png", 5, 1)
    picture(photos / "p2.png", 950)
    kept = {}
    for kind in ("keep", "exact", "near"):
        build(tmp_path / kind, coco=[path], pool=[str(photos)], duplicates=kind)
        kept[kind] = reasons(tmp_path / kind)
        assert list(verify(open_dataset(tmp_path / kind))) == []
    exact = {"coco-j1": ("duplicate", "has the same bytes as coco-i003")}
    assert kept["keep"] == {}
    assert kept["exact"] == exact
    assert kept["near"] == exact | {
        "coco-j2": ("duplicate", "is nearly the same picture as coco-i004"),
        "pool-p1": ("duplicate", "is nearly the same picture as coco-i005"),
    }


def test_an_image_that_ties_two_splits_is_dropped_by_name(tmp_path: Path) -> None:
    """Three pictures in one: a copy by group and by looks, in two splits."""
    old = numbered(40)
    path = coco_of(tmp_path / "coco", old)
    build(tmp_path / "a", coco=[path], group_by="licence")
    [test, *_], [train, *_] = by_split(tmp_path / "a", "test"), by_split(tmp_path / "a", "train")
    files = {f"f/{train[5:]}.png": old[f"{train[5:]}.png"], f"g/{test[5:]}.png": old[f"{test[5:]}.png"]}
    both = coco_of(tmp_path / "both", {**files, "f/zz.png": (old[f"{test[5:]}.png"], 1), "f/zy.png": 801})
    for seed in range(40):
        build(tmp_path / f"b{seed}", coco=[both], group_by="folder", seed=seed)
        splits = column(tmp_path / f"b{seed}", "split")
        if splits[train] != splits[test]:
            break
    detail = f"is nearly the same picture as {test} ({splits[test]})"
    assert reasons(tmp_path / f"b{seed}") == {"coco-zz": ("leak", detail)}
    assert splits["coco-zy"] == splits[train]
