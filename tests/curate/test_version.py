"""Versions from versions: what stays as it was, what is chosen anew, and how two are joined."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from curate.checks.version import verify
from curate.choosing.recipe import load_recipe
from curate.dataset import open_dataset
from curate.errors import UsageError
from tests.curate.pictures import build, coco_of, column, numbered, pairs_of, picture, reasons, recipe, samples, told


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """Two sources with near copies, an empty scene that looks like a photo, a pool with twins, folds and takes."""
    files = {**numbered(25), "j1.png": (3, 1), "j2.png": 4, "n1.png": 80, "n2.png": 81}
    shares = {name: 0.2 + number % 8 / 10 for number, name in enumerate(files)} | {"n1.png": 0.0, "n2.png": 0.0}
    path = coco_of(tmp_path / "coco", files, shares)
    pairs = pairs_of(tmp_path / "pairs", {"a": (5, 1), "b": 90, "c": 91})
    for name, seed in (("p1", 95), ("p2", 95), ("p3", 6)):
        picture(tmp_path / "pool" / f"{name}.png", seed, 2 if name == "p2" else 1)
    build(
        tmp_path / "parent", coco=[path], pairs=[pairs], pool=[str(tmp_path / "pool")], backgrounds=2, folds=3, seed=2,
        take={"coco": 24},
    )  # fmt: skip
    return tmp_path / "parent"


def test_the_identity_revision_is_the_parent(tmp_path: Path, parent: Path) -> None:
    old = open_dataset(parent)
    assert set(old.samples["split"]) == {"train", "val", "test", "pool", "background"}
    header = build(tmp_path / "out", from_=str(parent)).header
    new = open_dataset(tmp_path / "out")
    assert new.samples.equals(old.samples)
    assert (header.digest, header.parent, header.version) == (old.header.digest, old.header.digest, 2)
    assert header.name == old.header.name
    assert header.sources == old.header.sources
    assert new.drops.is_empty()
    assert list(verify(new)) == []


def test_masks_of_other_making_stay_as_they_are(tmp_path: Path) -> None:
    build(tmp_path / "one", coco=[coco_of(tmp_path / "coco", numbered(3))])
    mask = tmp_path / "one" / "masks" / "coco-i000.png"
    Image.open(mask).save(mask, compress_level=0)
    build(tmp_path / "two", from_=str(tmp_path / "one"))
    assert (tmp_path / "two" / "masks" / "coco-i000.png").read_bytes() == mask.read_bytes()


def test_other_rules_drop_and_move_nobody(tmp_path: Path, parent: Path) -> None:
    old = samples(parent)
    build(tmp_path / "out", from_=str(parent), min_area=0.5, where="source = 'coco'", take={"coco": 8})
    new = samples(tmp_path / "out")
    assert new.join(old, on=old.columns, nulls_equal=True).height == new.height
    labelled = new.filter(~pl.col("split").is_in(["pool", "background"]))
    assert labelled["area"].min() >= 0.5  # type: ignore[operator]
    assert set(labelled["source"]) == {"coco"}
    assert new.filter(pl.col("split") == "background").height == 2
    assert new.filter(pl.col("split") == "pool").height == 3
    counted = new.filter((pl.col("source") == "coco") & (pl.col("split") != "background"))
    assert counted.height == 8
    drops = open_dataset(tmp_path / "out").drops
    assert new.height + drops.height == old.height
    assert set(drops["rule"]) == {"area", "where", "take"}


def test_decisions_exclude_and_weigh_and_a_new_verdict_wins(tmp_path: Path, parent: Path) -> None:
    names = samples(parent).filter(pl.col("split") == "train")["sample_id"].to_list()[:4]
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    write = lambda path, verdicts: path.write_text(  # noqa: E731
        "\n".join(json.dumps({"sample_id": name, "verdict": verdict}) for name, verdict in verdicts.items())
    )
    write(first, dict(zip(names, ["hard", "relabel", "hard", "exclude"], strict=True)))
    write(second, dict(zip(names, ["ok", "hard"], strict=False)))
    build(tmp_path / "a", from_=str(parent), decisions=str(first))
    build(tmp_path / "b", from_=str(tmp_path / "a"), decisions=str(second))
    a, b = (
        {name: (row["weight"], row["tags"]) for row in samples(out).to_dicts() if (name := row["sample_id"]) in names}
        for out in (tmp_path / "a", tmp_path / "b")
    )
    assert a == {names[0]: (2.0, ["hard"]), names[1]: (0.0, ["relabel"]), names[2]: (2.0, ["hard"])}
    assert b == {names[0]: (1.0, []), names[1]: (2.0, ["hard"]), names[2]: (2.0, ["hard"])}
    assert reasons(tmp_path / "a") == {names[3]: ("decision", "a reviewer excluded it")}


@pytest.mark.parametrize(
    "options", [{"seed": 9}, {"split": "50/30/20"}, {"group_by": "source"}], ids=lambda options: next(iter(options))
)
def test_splits_are_made_anew_only_where_asked_for(tmp_path: Path, parent: Path, options: dict[str, object]) -> None:
    build(tmp_path / "out", from_=str(parent), **options)
    old, new = (column(out, "split") for out in (parent, tmp_path / "out"))
    assert old.keys() == new.keys()
    assert old != new
    apart = {name for name in old if old[name] in ("pool", "background")}
    assert all(old[name] == new[name] for name in apart)


def test_folds_can_be_made_anew_in_the_splits_as_they_are(tmp_path: Path, parent: Path) -> None:
    build(tmp_path / "out", from_=str(parent), folds=5)
    assert column(tmp_path / "out", "split") == column(parent, "split")
    trained = samples(tmp_path / "out").filter(pl.col("split") == "train")
    assert set(trained["fold"]) == {0, 1, 2, 3, 4}
    assert trained.group_by("group").agg(pl.col("fold").n_unique())["fold"].unique().to_list() == [1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_keypoints": 5}, "--min-keypoints: D holds masks, no keypoints and polygons"),
        ({"max_spacing": 0.1}, "--max-spacing: D holds masks"),
        ({"group_by": "folder"}, "--group-by folder: D holds no folders"),
        ({"backgrounds": 5}, "--backgrounds: the empty scenes of D are chosen already"),
        ({"images": ["x"]}, "--from starts from a dataset's own images"),
    ],
)
def test_what_a_version_cannot_answer_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe(from_="D", **options)


def test_how_masks_were_drawn_is_handed_down_and_nothing_else_can_be_asked_for(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(3))
    drawn = {"held": "ignore", "animal_categories": ["dog"], "min_person_area": 0.1}
    build(tmp_path / "one", coco=[path], **drawn)
    build(tmp_path / "two", from_=str(tmp_path / "one"))
    build(tmp_path / "three", from_=str(tmp_path / "two"), held="ignore", min_area=0.2)
    for out in ("one", "two", "three"):
        header = open_dataset(tmp_path / out).header
        assert [header.recipe[name] for name in ("held", "animal-categories", "min-person-area")] == [*drawn.values()]
    again = load_recipe(str(tmp_path / "three"))
    assert build(tmp_path / "three", **again).done_before
    told = r"--animals: the masks of .*two are drawn already, with --animals exclude. Build it anew from its sources"
    with pytest.raises(UsageError, match=told):
        build(tmp_path / "four", from_=str(tmp_path / "two"), animals="include")


def test_take_knows_the_sources_of_a_version(tmp_path: Path, parent: Path) -> None:
    built = build(tmp_path / "out", from_=str(parent), take={"people": 1})
    assert [(note.what, note.where) for note in built.notes] == [
        ("sources of --take are not there; there are: coco, pairs, pool", "people")
    ]


def test_two_versions_are_joined(tmp_path: Path) -> None:
    """In both: one picture under two names; one name for two pictures; near copies, in one split and in two."""
    build(tmp_path / "a", coco=[coco_of(tmp_path / "1", numbered(40))], seed=1, folds=3)
    a = column(tmp_path / "a", "split")
    train = [name for name in a if a[name] == "train"]
    test = [name for name in a if a[name] == "test"]
    seed = {name: int(name.removeprefix("coco-i")) for name in a}
    files = numbered(40, 100, "j") | {"same.png": seed[train[0]], f"{train[1][5:]}.png": 900}
    files |= {"near-train.png": (seed[train[2]], 1), "near-test.png": (seed[test[0]], 1)}  # type: ignore[dict-item]
    for number in range(60):  # until both near copies stand in the training split of the second
        build(tmp_path / f"b{number}", coco=[coco_of(tmp_path / "2", files)], seed=number, folds=2)
        b = column(tmp_path / f"b{number}", "split")
        if b["coco-near-train"] == b["coco-near-test"] == b["coco-same"] == "train":
            break
    other = tmp_path / f"b{number}"
    built = build(tmp_path / "out", from_=str(tmp_path / "a"), merge=str(other))
    new = open_dataset(tmp_path / "out")
    assert list(verify(new)) == []
    assert [(note.what, note.where) for note in built.notes] == [
        ("images stand in both datasets; the first one's label is kept", "coco-same")
    ]
    assert reasons(tmp_path / "out") == {"coco-near-test": ("leak", f"is nearly the same picture as {test[0]} (test)")}
    assert new.samples.height == len(a) + len(b) - 2
    clash = [name for name in new.samples["sample_id"] if name.startswith(f"{train[1]}-")]
    assert len(clash) == 1
    split, fold, group = (column(tmp_path / "out", name) for name in ("split", "fold", "group"))
    assert {name: split[name] for name in a} == a
    assert all(split[name] == b[name] for name in b if name.startswith("coco-j"))
    assert split[clash[0]] == b[train[1]]
    assert group["coco-near-train"] == group[train[2]]
    old_fold = column(tmp_path / "a", "fold")
    assert {name: fold[name] for name in a} == old_fold
    assert {fold[name] for name in b if split.get(name) == "train"} == {0, 1, 2}
    assert built.header.parent == open_dataset(tmp_path / "a").header.digest
    assert (built.header.version, built.header.name) == (2, "people")
    assert [source.kind for source in built.header.sources] == ["coco", "coco", "dataset"]
    # Joined a second time, everything stands in both.
    again = build(tmp_path / "again", from_=str(tmp_path / "out"), merge=str(other))
    assert samples(tmp_path / "again").equals(new.samples)
    assert len(again.notes) == len(b) - 1


def test_folds_of_a_second_version_alone_are_said_to_be_lost(tmp_path: Path) -> None:
    build(tmp_path / "a", coco=[coco_of(tmp_path / "1", numbered(10))])
    build(tmp_path / "b", coco=[coco_of(tmp_path / "2", numbered(10, 50, "j"))], folds=2)
    built = build(tmp_path / "out", from_=str(tmp_path / "a"), merge=str(tmp_path / "b"))
    assert set(column(tmp_path / "out", "fold").values()) == {-1}
    assert set(told(built)) == {"images lose their fold; ask for --folds to make new ones"}
