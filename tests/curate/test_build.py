"""Building a dataset version: what is kept, why not, and that it is whole and reproducible."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.checks.version import verify
from curate.choosing.build import build_dataset, tell_apart
from curate.choosing.recipe import Recipe, make_recipe, recipe_options
from curate.choosing.selection import select
from curate.dataset import open_dataset
from curate.errors import CurateError, ExistsError, MissingError, UsageError
from curate.finish import finish_dataset
from tests.curate.scenes import SIZE_HW, box, coco_file, coco_set, image, mask_png, person, photo, voc_image

SHARES = [0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.3, 0.35, 0.45, 0.55]


def recipe(**options: Any) -> Recipe:
    """A recipe by its fields' names."""
    return make_recipe(options)


@pytest.fixture
def coco(tmp_path: Path) -> str:
    """Twelve photos of one person each."""
    return str(coco_set(tmp_path / "coco", SHARES))


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def reasons(frame: pl.DataFrame) -> dict[str, tuple[str, float | None, float | None]]:
    """sample_id -> rule, value, limit."""
    return {row["sample_id"]: (row["rule"], row["value"], row["limit"]) for row in frame.to_dicts()}


def test_a_dataset_is_what_was_asked_for(tmp_path: Path, coco: str) -> None:
    built = build_dataset(recipe(coco=[coco], min_area=0.2, max_area=0.7), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out", built.header.digest)
    expected = [f"coco-{number:06d}" for number, share in enumerate(SHARES, 1) if 0.2 <= share <= 0.7]
    assert dataset.samples["sample_id"].to_list() == expected
    assert dataset.samples["area"].to_list() == [SHARES[int(name[-6:]) - 1] for name in expected]
    assert dataset.samples["people"].unique().to_list() == [1]
    assert dataset.samples["origin"].unique().to_list() == ["polygon"]
    assert dataset.samples["edges"].unique().to_list() == ["LTR"]
    assert list(verify(dataset)) == []
    assert dataset.header.counts["images"] == len(expected)


def test_every_image_looked_at_is_kept_or_has_its_reason(tmp_path: Path, coco: str) -> None:
    build_dataset(recipe(coco=[coco], min_area=0.2, max_area=0.7), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.samples.height + dataset.drops.height == len(SHARES)
    assert reasons(dataset.drops) == {
        "coco-000001": ("area", 0.05, 0.2),
        "coco-000002": ("area", 0.1, 0.2),
        "coco-000007": ("area", 0.75, 0.7),
        "coco-000008": ("area", 0.9, 0.7),
    }
    assert dataset.drops["detail"][0] == "people cover 5.0 %, less than 20 %"


def test_each_rule_drops_what_it_says(tmp_path: Path) -> None:
    crowd = person(4, {"size": list(SIZE_HW), "counts": [0, 240, 2160]}, iscrowd=1)
    annotations = [
        *(person(2, box(9 * n, 0, 9 * n + 9, 40)) for n in range(3)),
        *(person(3, box(20 * n, 0, 20 * n + 20, 40)) for n in range(2)),
        crowd, person(4, box(30, 0, 50, 40)),
        person(5, {"size": [1, 1], "counts": [1]}),
        person(6, [[3, 3, 3, 3, 3, 3]], id=9),
        person(7, box(0, 0, 5, 5)),
        person(8, box(0, 0, 30, 40)),
    ]  # fmt: skip
    images = [image(number) for number in range(1, 9)]
    path = coco_file(tmp_path / "annotations" / "instances_val2017.json", images, annotations)
    selection = select(recipe(coco=[str(path)], max_people=2, min_area=0.1))
    assert selection.kept["sample_id"].to_list() == ["coco-000003", "coco-000008"]
    assert reasons(selection.drops) == {
        "coco-000001": ("people", 0.0, 1.0),
        "coco-000002": ("crowd", 3.0, 2.0),
        "coco-000004": ("crowd", float("inf"), 2.0),
        "coco-000005": ("unreadable", None, None),
        "coco-000006": ("people", 0.0, 1.0),
        "coco-000007": ("area", 25 / 2400, 0.1),
    }
    assert [(step.rule, step.remaining) for step in selection.funnel] == [
        ("looked at", 8), ("unreadable", 7), ("people", 5), ("crowd", 3), ("area", 2),
    ]  # fmt: skip


def test_area_limits_belong_to_the_range(coco: str) -> None:
    kept = select(recipe(coco=[coco], min_area=0.25, max_area=0.5)).kept
    assert sorted(kept["area"]) == [0.25, 0.3, 0.35, 0.4, 0.45, 0.5]


def test_without_max_people_a_crowd_stays_and_is_tagged(tmp_path: Path) -> None:
    crowd = person(1, {"size": list(SIZE_HW), "counts": [0, 240, 2160]}, iscrowd=1)
    path = coco_file(tmp_path / "a.json", [image(1)], [crowd, person(1, box(30, 0, 50, 40))])
    photo(tmp_path / "000001.jpg")
    build_dataset(recipe(coco=[str(path)]), tmp_path / "out")
    row = open_dataset(tmp_path / "out").rows()[0]
    assert (row["tags"], row["area"]) == (["crowd"], 800 / (2400 - 240))


def test_images_that_cannot_be_used_become_drops(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    path = coco_set(root, [0.5] * 5)
    photos = root / "val2017"
    (photos / "000001.jpg").unlink()
    (photos / "000002.jpg").write_bytes((photos / "000002.jpg").read_bytes()[:700])
    (photos / "000003.jpg").write_bytes(b"not an image")
    photo(photos / "000004.jpg", (60, 40))
    build_dataset(recipe(coco=[str(path)]), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.samples["sample_id"].to_list() == ["coco-000005"]
    assert dataset.drops["rule"].unique().to_list() == ["unreadable"]
    for detail, words in zip(
        dataset.drops["detail"], ["not found", "cannot be decoded", "not an image", "expected 40x60"], strict=True
    ):
        assert words in detail
    assert dataset.header.funnel[-2].remaining == 1
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["coco-000005.jpg"]


def test_images_are_the_original_bytes(tmp_path: Path, coco: str) -> None:
    build_dataset(recipe(coco=[coco]), tmp_path / "out")
    original = tmp_path / "coco" / "val2017" / "000003.jpg"
    assert (tmp_path / "out" / "images" / "coco-000003.jpg").samefile(original)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, coco: str) -> None:
    for out in ("one", "deep/er/other"):
        build_dataset(recipe(coco=[coco], min_area=0.2, folds=2), tmp_path / out)
    assert tree(tmp_path / "one") == tree(tmp_path / "deep" / "er" / "other")


def test_the_digest_does_not_hang_on_where_the_sources_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for place in ("here", "there/far"):
        coco_set(tmp_path / place, SHARES)
        monkeypatch.chdir(tmp_path / place)
        options = recipe(coco=["annotations/instances_val2017.json"])
        digests.add(build_dataset(options, Path("out")).header.digest)
    assert len(digests) == 1


def test_the_recipe_in_the_header_builds_it_again(tmp_path: Path, coco: str) -> None:
    from curate.choosing.recipe import load_recipe

    first = build_dataset(recipe(coco=[coco], min_area=0.2, seed=5), tmp_path / "one")
    again = build_dataset(make_recipe(load_recipe(str(tmp_path / "one" / "dataset.json"))), tmp_path / "two")
    assert again.header == first.header


def test_a_finished_build_counts_as_done(tmp_path: Path, coco: str) -> None:
    first = build_dataset(recipe(coco=[coco]), tmp_path / "out")
    stamp = (tmp_path / "out" / "dataset.json").stat().st_mtime_ns
    again = build_dataset(recipe(coco=[coco]), tmp_path / "out")
    assert (first.done_before, again.done_before) == (False, True)
    assert again.header == first.header
    assert (tmp_path / "out" / "dataset.json").stat().st_mtime_ns == stamp


def test_other_content_is_refused_unless_forced(tmp_path: Path, coco: str) -> None:
    out = tmp_path / "out"
    build_dataset(recipe(coco=[coco]), out)
    with pytest.raises(ExistsError, match=r"another recipe \(there: --min-area 0; asked: --min-area 0.3\)\."):
        build_dataset(recipe(coco=[coco], min_area=0.3), out)
    photo(tmp_path / "coco" / "val2017" / "000003.jpg", seed=99)
    with pytest.raises(ExistsError, match=r"from other inputs \(the image coco-000003 has changed\)"):
        build_dataset(recipe(coco=[coco]), out)
    Path(coco).write_text(Path(coco).read_text() + " ")
    with pytest.raises(ExistsError, match=r"\(instances_val2017.json of the source coco has changed\)"):
        build_dataset(recipe(coco=[coco]), out)
    assert build_dataset(recipe(coco=[coco], min_area=0.3), out, force=True).header.counts["images"] < len(SHARES)


def test_what_is_no_dataset_is_never_replaced(tmp_path: Path, coco: str) -> None:
    before = tree(tmp_path / "coco")
    with pytest.raises(ExistsError, match="is not a dataset, so it is never replaced"):
        build_dataset(recipe(coco=[coco]), tmp_path / "coco", force=True)
    assert tree(tmp_path / "coco") == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExistsError, match="never replaced"):
        build_dataset(recipe(coco=[coco]), tmp_path / "file", force=True)
    (tmp_path / "empty").mkdir()
    assert build_dataset(recipe(coco=[coco]), tmp_path / "empty").header.counts["images"] == len(SHARES)


def test_a_damaged_dataset_is_replaced_only_by_force(tmp_path: Path, coco: str) -> None:
    out = tmp_path / "out"
    build_dataset(recipe(coco=[coco]), out)
    (out / "dataset.json").write_text("{")
    with pytest.raises(ExistsError, match="holds a damaged dataset"):
        build_dataset(recipe(coco=[coco]), out)
    build_dataset(recipe(coco=[coco]), out, force=True)
    assert list(verify(open_dataset(out))) == []


def test_nothing_left_is_an_error_that_names_the_rule(tmp_path: Path, coco: str) -> None:
    with pytest.raises(CurateError, match=r"the rule 'area 99 % to 100 %' took the last 12\. Loosen it"):
        build_dataset(recipe(coco=[coco], min_area=0.99), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_readable_image_is_an_error(tmp_path: Path, coco: str) -> None:
    for path in (tmp_path / "coco" / "val2017").iterdir():
        path.unlink()
    with pytest.raises(CurateError, match=r"none of 12 images or labels can be read; the first: 000001\.jpg"):
        build_dataset(recipe(coco=[coco]), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, coco: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CurateError, match="no space left on the disk"):
        build_dataset(recipe(coco=[coco]), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, coco: str) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(CurateError, match="permission denied"):
        build_dataset(recipe(coco=[coco]), tmp_path / "locked" / "out")


def test_equal_photos_are_never_split_apart(tmp_path: Path) -> None:
    path = coco_set(tmp_path / "coco", [0.5] * 30)
    for number in range(1, 31):
        photo(tmp_path / "coco" / "val2017" / f"{number:06d}.jpg", seed=number % 12)
    build_dataset(recipe(coco=[str(path)]), tmp_path / "out")
    groups = open_dataset(tmp_path / "out").samples.group_by("group").agg(pl.col("split").n_unique(), pl.len())
    assert groups.height == 12
    assert groups["split"].to_list() == [1] * 12


def test_adding_a_source_moves_no_image(tmp_path: Path) -> None:
    one = str(coco_set(tmp_path / "one", [0.5] * 40))
    for number in range(40):
        drawn = np.full(SIZE_HW, 15, np.uint8)
        voc_image(tmp_path / "voc", f"v{number}", drawn, ["person"])
        photo(tmp_path / "voc" / "JPEGImages" / f"v{number}.jpg", seed=1000 + number)
    build_dataset(recipe(coco=[one]), tmp_path / "a")
    build_dataset(recipe(coco=[one], voc=[str(tmp_path / "voc")]), tmp_path / "b")
    first, second = (open_dataset(tmp_path / out).samples.select("sample_id", "split") for out in ("a", "b"))
    assert first.join(second, on=["sample_id", "split"]).height == first.height


def test_folds_lie_in_the_training_split(tmp_path: Path) -> None:
    path = coco_set(tmp_path / "coco", [0.5] * 40)
    build_dataset(recipe(coco=[str(path)], folds=4), tmp_path / "out")
    samples = open_dataset(tmp_path / "out").samples
    assert set(samples.filter(pl.col("split") == "train")["fold"]) == {0, 1, 2, 3}
    assert set(samples.filter(pl.col("split") != "train")["fold"]) == {-1}
    with pytest.raises(UsageError, match="--folds 90"):
        build_dataset(recipe(coco=[str(path)], folds=90), tmp_path / "more")


def test_several_sources_become_one_dataset(tmp_path: Path, coco: str) -> None:
    voc_image(tmp_path / "voc", "2007_1", np.full(SIZE_HW, 15, np.uint8), ["person"])
    for name in ("1", "2"):
        photo(tmp_path / name / "images" / "x.jpg", seed=int(name))
        mask_png(tmp_path / name / "masks" / "x.png", np.eye(*SIZE_HW, dtype=bool))
    pairs = [(str(tmp_path / name / "images"), str(tmp_path / name / "masks")) for name in ("1", "2")]
    build_dataset(recipe(coco=[f"street={coco}"], voc=[str(tmp_path / "voc")], pairs=pairs), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.samples["source"].unique().sort().to_list() == ["pairs", "pairs-2", "street", "voc"]
    assert dataset.samples["sample_id"].to_list()[:2] == ["pairs-2-x", "pairs-x"]
    assert [(source.kind, source.name) for source in dataset.header.sources] == [
        ("coco", "street"), ("voc", "voc"), ("pairs", "pairs"), ("pairs", "pairs-2"),
    ]  # fmt: skip
    assert list(verify(dataset)) == []


def test_sources_that_give_one_sample_id_are_refused(tmp_path: Path) -> None:
    one = coco_file(tmp_path / "a.json", [image(1, "2-x.jpg")], [])
    two = coco_file(tmp_path / "b.json", [image(1, "x.jpg")], [])
    with pytest.raises(UsageError, match="two sources call an image 'coco-2-x'"):
        select(recipe(coco=[str(one), str(two)]))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"images": ["none"], "coco": ["a.json"]}, MissingError, "--images none: is not a folder"),
        ({"images": ["."], "voc": ["v"]}, UsageError, "says where the photographs of --coco lie"),
        ({"coco": ["x=a.json"], "voc": ["x=v"]}, UsageError, "2 sources are called 'x'"),
        ({"coco": ["none.json"]}, MissingError, "none.json: no such file"),
    ],
)
def test_sources_that_make_no_sense_are_refused(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        select(recipe(**options))


def test_decisions_drop_and_weigh(tmp_path: Path, coco: str) -> None:
    verdicts = {
        "coco-000003": "exclude",
        "coco-000004": "relabel",
        "coco-000005": "hard",
        "coco-000006": "ok",
        "x": "ok",
    }
    decisions = tmp_path / "decisions.jsonl"
    lines = [json.dumps({"sample_id": key, "verdict": verdict, "note": "why"}) for key, verdict in verdicts.items()]
    decisions.write_text("\n".join(lines))
    selection = select(recipe(coco=[coco], decisions=str(decisions)))
    assert [(note.what, note.where) for note in selection.notes] == [
        ("decisions are about images that were not looked at", "x")
    ]
    build_dataset(recipe(coco=[coco], decisions=str(decisions)), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.drops.rows() == [("coco-000003", "coco", "decision", None, None, "why")]
    weights = {row["sample_id"]: (row["weight"], row["tags"]) for row in dataset.rows()}
    assert weights["coco-000004"] == (0.0, ["relabel"])
    assert weights["coco-000005"] == (2.0, ["hard"])
    assert weights["coco-000006"] == (1.0, [])


def test_a_version_from_a_version_keeps_splits_and_names_its_parent(tmp_path: Path) -> None:
    path = coco_set(tmp_path / "coco", SHARES * 3)
    parent = build_dataset(recipe(coco=[str(path)], seed=3, folds=2), tmp_path / "one").header
    (tmp_path / "d.jsonl").write_text('{"sample_id": "coco-000004", "verdict": "hard"}\n')
    options = recipe(from_=str(tmp_path / "one"), min_area=0.2, decisions=str(tmp_path / "d.jsonl"))
    child = build_dataset(options, tmp_path / "two").header
    assert (child.parent, child.version, child.name) == (parent.digest, 2, parent.name)
    assert child.sources == parent.sources
    first, second = (open_dataset(tmp_path / out) for out in ("one", "two"))
    kept = first.samples.filter(pl.col("area") >= 0.2)
    changed = pl.col("sample_id") == "coco-000004"
    assert second.samples.filter(~changed).equals(kept.filter(~changed))
    assert second.samples.filter(changed).select("weight", "tags").row(0) == (2.0, ["hard"])
    assert second.samples.height + second.drops.height == first.samples.height
    assert list(verify(second)) == []
    assert first.header == parent


def test_a_version_from_a_version_is_split_anew_only_by_seed(tmp_path: Path) -> None:
    path = coco_set(tmp_path / "coco", [0.5] * 40)
    build_dataset(recipe(coco=[str(path)], seed=1), tmp_path / "one")
    build_dataset(recipe(coco=[str(path)], seed=2), tmp_path / "two")
    build_dataset(recipe(from_=str(tmp_path / "one"), seed=2), tmp_path / "again")
    same = [open_dataset(tmp_path / out).samples.select("sample_id", "split") for out in ("two", "again")]
    assert same[0].equals(same[1])


def test_images_without_people_on_purpose_are_left_alone(tmp_path: Path, coco: str) -> None:

    from curate.files import staged_folder

    build_dataset(recipe(coco=[coco]), tmp_path / "one")
    one = open_dataset(tmp_path / "one")
    empty = pl.col("sample_id") == "coco-000001"
    changed = one.samples.with_columns(
        split=pl.when(empty).then(pl.lit("background")).otherwise("split"),
        people=pl.when(empty).then(0).otherwise("people").cast(pl.Int16),
    )
    header = one.header
    with staged_folder(tmp_path / "two") as staging:
        for path, data in tree(tmp_path / "one").items():
            (staging / path).parent.mkdir(exist_ok=True)
            (staging / path).write_bytes(data)
        finish_dataset(
            staging, name=header.name, version=2, parent=header.digest, recipe={}, sources=[], funnel=[],
            samples=changed, drops=one.drops,
        )  # fmt: skip
    child = build_dataset(recipe(from_=str(tmp_path / "two"), min_area=0.5, seed=4), tmp_path / "three")
    samples = open_dataset(tmp_path / "three").samples
    assert samples.filter(empty)["split"].to_list() == ["background"]
    assert child.header.funnel[-1].remaining == samples.height == sum(share >= 0.5 for share in SHARES) + 1


def test_a_crowd_is_no_empty_scene(tmp_path: Path) -> None:
    crowd = person(1, {"size": list(SIZE_HW), "counts": [0, 240, 2160]}, iscrowd=1)
    images = [image(number) for number in (1, 2, 3)]
    path = coco_file(tmp_path / "a.json", images, [crowd, person(3, box(0, 0, 30, 40))])
    for number in (1, 2, 3):
        photo(tmp_path / f"{number:06d}.jpg", seed=number)
    build_dataset(recipe(coco=[str(path)], backgrounds=2), tmp_path / "out")
    kept = dict(open_dataset(tmp_path / "out").samples.select("sample_id", "split").iter_rows())
    assert {name for name, split in kept.items() if split == "background"} == {"coco-000002"}
    assert "coco-000001" not in kept


def test_recipes_are_told_apart_by_every_option_in_the_words_of_the_command_line() -> None:
    one = recipe_options(recipe(where="area > 0.3"))
    other = recipe_options(recipe(take={"nosuch": 3}, split="8/2", seed=1, held="ignore", min_side=5))
    assert tell_apart(one, other) == (
        "there: --held exclude, --min-side 0, --where 'area > 0.3'; asked: --held ignore, --min-side 5, no --where; "
        "and another --take, --split, --seed"
    )
