"""Every rule on a source with every kind of defect: what is dropped, why, in which order, and what a dry run tells."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from curate import schema
from curate.checks.rules import check_counts
from curate.checks.version import verify
from curate.choosing.build import Built
from curate.choosing.choose import preview
from curate.choosing.selection import select
from curate.dataset import FunnelStep, open_dataset
from curate.errors import CurateError, UsageError
from curate.threads import unwatched
from tests.curate.pictures import (
    SIZE_HW,
    build,
    coco_of,
    column,
    numbered,
    pairs_of,
    picture,
    reasons,
    recipe,
    samples,
    told,
)
from tests.curate.scenes import box, coco_file, image, person

HEIGHT, WIDTH = SIZE_HW
DOG, BALL = 18, 37
CATEGORIES = [{"id": 1, "name": "person"}, {"id": DOG, "name": "dog"}, {"id": BALL, "name": "sports ball"}]


@dataclass(frozen=True)
class Defects:
    """A COCO file with its photographs, a pool and pairs of masks."""

    root: Path
    coco: str
    pairs: tuple[str, str]
    pool: str
    decisions: str


def keypoints(visible: int, *, head: bool) -> list[int]:
    """17 keypoints of which some are visible, the head's first or last."""
    flags = [2] * visible + [1] * (17 - visible)
    return [value for flag in (flags if head else reversed(flags)) for value in (5, 5, flag)]


def scenes() -> dict[str, list[dict[str, Any]]]:
    """File name -> its annotations."""
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, 480, HEIGHT * WIDTH - 480]}
    half, left = box(0, 0, WIDTH, HEIGHT / 2), box(0, 0, WIDTH / 2, HEIGHT)
    inner = box(10, 10, 40, 40)
    ring = [8, 8, 40, 8, 40, 40, 24, 44, 8, 40]
    circle = [value for a in range(40) for value in (30 + 18 * math.cos(a / 6.4), 24 + 18 * math.sin(a / 6.4))]
    dog = {"image_id": 0, "category_id": DOG, "iscrowd": 0, "segmentation": box(32, 20, 60, 40)}
    ball = {"image_id": 0, "category_id": BALL, "iscrowd": 0, "segmentation": box(40, 20, 46, 26)}
    found: dict[str, list[dict[str, Any]]] = {
        f"a{number}": [person(0, box(4, 4, 4 + 6 * number, 40))] for number in range(1, 9)
    }
    found |= {f"full{number}": [person(0, half)] for number in range(5)}
    found |= {
        "nobody": [],
        "nobody2": [{"image_id": 0, "category_id": DOG, "iscrowd": 0, "segmentation": half}],
        "nobody3": [],
        "crowd-only": [person(0, crowd, iscrowd=1)],
        "crowd": [person(0, left), person(0, crowd, iscrowd=1)],
        "three": [person(0, box(20 * n, 0, 20 * n + 18, 40)) for n in range(3)],
        "two": [person(0, box(4, 4, 20, 40)), person(0, box(30, 4, 60, 40))],
        "figure": [person(0, inner), person(0, box(50, 2, 53, 5))],
        "empty-outline": [person(0, [[10, 10, 20, 10, 30, 10]])],
        "no-outline": [person(0, [])],
        "damaged": [person(0, {"size": [3, 3], "counts": [9]})],
        "far": [person(0, box(9000, 0, 9010, 5)), person(0, half)],
        "headless": [person(0, half, keypoints=keypoints(9, head=False))],
        "head": [person(0, half, keypoints=keypoints(9, head=True))],
        "hand": [person(0, inner, keypoints=keypoints(2, head=True))],
        "parts": [person(0, [*box(4, 4, 14, 14), *box(24, 4, 34, 14), *box(44, 4, 54, 14)])],
        "round": [person(0, [circle])],
        "coarse": [person(0, [ring])],
        "dog": [person(0, left), dog],
        "ball": [person(0, inner), ball],
        "missing": [person(0, half)],
        "truncated": [person(0, half)],
        "turned": [person(0, half)],
        "same": [person(0, half)],
        "near": [person(0, half)],
        "small": [person(0, box(2, 2, 20, 20))],
    }  # fmt: skip
    return found


@pytest.fixture(scope="module")
def defects(tmp_path_factory: pytest.TempPathFactory) -> Defects:
    """The scenes on disk."""
    root = tmp_path_factory.mktemp("defects")
    images, annotations = [], []
    for number, (name, found) in enumerate(scenes().items(), 1):
        size_hw = (24, 32) if name == "small" else SIZE_HW
        seed, copy = {"same": (1, 0), "near": (2, 1)}.get(name, (number, 0))
        path = picture(root / "images" / f"{name}.png", seed, copy, size_hw)
        images.append(image(number, path.name, size_hw))
        annotations += [one | {"image_id": number} for one in found]
    (root / "images" / "missing.png").unlink()
    whole = (root / "images" / "truncated.png").read_bytes()
    (root / "images" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    picture(root / "images" / "turned.png", 400, 0, (WIDTH, HEIGHT))
    pairs = pairs_of(root / "pairs", {"p1": 500, "p2": 501, "p3": (3, 1)})
    Image.new("L", (WIDTH, HEIGHT)).save(root / "pairs" / "masks" / "p2.png")
    for name, one in (("q1", 600), ("q2", 601)):
        picture(root / "pool" / f"{name}.png", one)
    verdicts = {"coco-full0": "exclude", "coco-a5": "hard", "pool-q2": "exclude"}
    lines = [json.dumps({"sample_id": name, "verdict": verdict, "note": "seen"}) for name, verdict in verdicts.items()]
    (root / "decisions.jsonl").write_text("\n".join(lines))
    path = coco_file(root / "a.json", images, annotations, categories=CATEGORIES)
    return Defects(root, str(path), pairs, str(root / "pool"), str(root / "decisions.jsonl"))


LOOKED_AT = len(scenes()) + 3 + 2
VALUES: dict[str, list[Any]] = {
    "min_area": [0.1, 0.4],
    "max_area": [0.5, 0.9],
    "min_people": [2],
    "max_people": [2, 3],
    "min_person_area": [0.01, 0.2],
    "min_side": [20, 40],
    "intact": [0, 1, 2, 3],
    "min_keypoints": [1, 5],
    "max_parts": [1, 2],
    "max_spacing": [0.1, 0.4],
    "max_stairs": [0.02, 0.2],
    "duplicates": ["exact", "near"],
    "where": ["area > 0.3", "people = 1 and width > 40", "not array_contains(touching, 'dog')", "head_visible",
              "group >= '4'", "split <> 'pool'"],
    "take": [{"coco": 10}, {"coco": 5, "pool": 1}, {"pairs": 0}],
    "backgrounds": [1, 2, 5],
    "held": ["include", "ignore"],
    "animals": ["include", "ignore"],
    "split": ["8/4", "60/20/20", "5/3/2"],
    "folds": [2],
    "group_by": ["source", "edges"],
    "seed": [1, 2],
}  # fmt: skip
options = (
    st.sets(st.sampled_from(sorted(VALUES)), max_size=5)
    .flatmap(lambda names: st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in sorted(names)}))
    .filter(lambda found: "split" not in found.get("where", "") or "/" not in found.get("split", ""))
)
seldom = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def sources(defects: Defects) -> dict[str, Any]:
    """All sources."""
    return {"coco": [defects.coco], "pairs": [defects.pairs], "pool": [defects.pool]}


def taken(funnel: list[FunnelStep]) -> dict[str, int]:
    """How many images each rule took, by the funnel."""
    steps = [(now.rule, before.remaining - now.remaining) for before, now in pairwise(funnel)]
    found: dict[str, int] = {}
    for rule, count in steps:
        found[rule] = found.get(rule, 0) + count
    return {rule: count for rule, count in found.items() if count}


def steps_in_order(funnel: list[FunnelStep]) -> list[int]:
    """The position of each step's rule among the schema's; `unreadable` stands wherever something is read."""
    return [schema.RULES.index(step.rule) for step in funnel if step.rule not in ("looked at", "unreadable", "kept")]


def built_or_told(out: Path, **options: Any) -> Built | str:
    """A version, or the reason why there is none."""
    try:
        return build(out, **options)
    except CurateError as error:
        return str(error)


@seldom
@given(options)
def test_every_image_looked_at_is_kept_or_dropped_once(defects: Defects, options: dict[str, Any]) -> None:
    out = defects.root / "out"
    built = built_or_told(out, **sources(defects), decisions=defects.decisions, **options)
    if isinstance(built, str):
        assert "Loosen it" in built or "--folds" in built
        return
    dataset = open_dataset(out)
    names = [*dataset.samples["sample_id"], *dataset.drops["sample_id"]]
    shutil.rmtree(out)
    assert len(names) == len(set(names)) == LOOKED_AT
    assert dict(dataset.drops.group_by("rule").len().iter_rows()) == taken(built.header.funnel)
    assert built.header.funnel[-1].remaining == dataset.samples.height == built.header.counts["images"]
    order = steps_in_order(built.header.funnel)
    until = order.index(schema.RULES.index("decision")) + 1
    assert order[:until] == sorted(order[:until])
    assert dataset.drops["detail"].null_count() == 0
    assert (dataset.drops["detail"].str.len_chars() > 0).all()
    kinds = dataset.samples.group_by("split").len()
    assert dict(kinds.iter_rows()).get("background", 0) <= options.get("backgrounds", 0)


@seldom
@given(options)
def test_a_dry_run_tells_what_the_labels_decide(defects: Defects, options: dict[str, Any]) -> None:
    """On the photographs that are fine and no copies: the same images kept, and the same funnel."""
    fine = [name for name in scenes() if name not in ("missing", "truncated", "turned", "same", "near")]
    fixed = {"split": None, "folds": 0, "duplicates": "keep", "group_by": None}
    chosen = recipe(**{**sources(defects), "pairs": [], "decisions": defects.decisions, **options, **fixed,
                       "coco": [only(defects, fine)]})  # fmt: skip
    seen = preview(select(chosen, exact_drops=False), unwatched)
    left_out = [note.where for note in seen.notes if "left out of a dry run" in note.what]
    assert bool(left_out) == ((chosen.where or "").startswith(("split", "group")))
    out = defects.root / "dry"
    built = built_or_told(out, **{field: getattr(chosen, field) for field in chosen.__struct_fields__})
    if isinstance(built, str):
        assert seen.kept.is_empty()
        return
    kept = samples(out)["sample_id"].to_list()
    shutil.rmtree(out)
    if not left_out:
        assert seen.kept["sample_id"].to_list() == kept
        assert taken(seen.funnel) == taken(built.header.funnel)
        quiet = ("unreadable", "leak", "kept")
        assert [step for step in seen.funnel if step.rule not in quiet] == [
            step for step in built.header.funnel if step.rule not in quiet
        ]


def only(defects: Defects, names: list[str]) -> str:
    """The COCO file with some of its images alone."""
    content = json.loads(Path(defects.coco).read_text())
    content["images"] = [one for one in content["images"] if one["file_name"][:-4] in names]
    ids = {one["id"] for one in content["images"]}
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in ids]
    path = defects.root / "fine.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_a_sample_of_a_source_is_not_its_first_and_stays_when_others_come(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(40))
    pairs = pairs_of(tmp_path / "pairs", {f"p{number}": 100 + number for number in range(8)})
    build(tmp_path / "a", coco=[path], take={"coco": 10})
    build(tmp_path / "b", coco=[path], pairs=[pairs], take={"coco": 10, "pairs": 3})
    build(tmp_path / "c", coco=[path], take={"coco": 10}, seed=1)
    build(tmp_path / "d", coco=[path], take={"coco": 12})
    a, b, c, d = (set(column(tmp_path / name, "split")) for name in "abcd")
    assert len(a) == len(c) == 10
    assert a != {f"coco-i{number:03d}" for number in range(10)}
    assert a == {name for name in b if name.startswith("coco")}
    assert len(b) == 13
    assert a != c
    assert a < d
    drops = open_dataset(tmp_path / "b").drops
    assert drops.group_by("rule", "source", "limit").len().sort("source").rows() == [
        ("take", "coco", 10.0, 30), ("take", "pairs", 3.0, 5),
    ]  # fmt: skip


def test_the_name_of_a_kind_caps_its_sources_together_but_those_with_a_cap_of_their_own(tmp_path: Path) -> None:
    files = [
        coco_of(tmp_path / word, {f"{word}{n}.png": s + n for n in range(12)}) for s, word in ((0, "a"), (50, "b"))
    ]
    street = "street=" + coco_of(tmp_path / "c", {f"c{n}.png": 100 + n for n in range(12)})
    build(tmp_path / "kind", coco=[*files, street], take={"coco": 9})
    build(tmp_path / "own", coco=[*files, street], take={"coco": 9, "street": 2, "coco-2": 3})
    build(tmp_path / "again", from_=str(tmp_path / "kind"), take={"coco": 4})
    counts = [dict(samples(tmp_path / name).group_by("source").len().iter_rows()) for name in ("kind", "own", "again")]
    assert sum(counts[0].values()) == 9
    assert len(counts[0]) == 3
    assert counts[1] == {"coco": 9, "coco-2": 3, "street": 2}
    assert sum(counts[2].values()) == 4
    for name in ("kind", "own", "again"):
        assert list(verify(open_dataset(tmp_path / name))) == []
    header = open_dataset(tmp_path / "kind").header
    tighter = recipe(coco=[*files, street], take={"coco": 8})
    told = [finding.found for finding in check_counts(tmp_path, samples(tmp_path / "kind"), tighter, header.sources)]
    assert told == ["holds 9 images of coco"]


def test_an_expression_chooses_before_the_sample_is_taken(tmp_path: Path) -> None:
    """In the build and in the dry run: ten of those that meet it, not those among ten that do."""
    files = numbered(40)
    path = coco_of(tmp_path / "coco", files, {name: 0.2 if seed % 2 else 0.8 for name, seed in files.items()})
    options = {"coco": [path], "where": "area > 0.5", "take": {"coco": 10}}
    build(tmp_path / "out", **options)
    seen = preview(select(recipe(**options), exact_drops=False), unwatched)
    assert samples(tmp_path / "out").height == 10
    assert samples(tmp_path / "out")["area"].min() > 0.5  # type: ignore[operator]
    assert seen.kept["sample_id"].to_list() == samples(tmp_path / "out")["sample_id"].to_list()


def test_an_expression_that_fails_on_an_image_is_told_as_the_users(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(3))
    with pytest.raises(UsageError, match=r"--where 'cast\(source as int\) > 1': conversion from `str` to `i32` failed"):
        build(tmp_path / "out", coco=[path], where="cast(source as int) > 1")
    assert not (tmp_path / "out").exists()


def empty_scenes(tmp_path: Path, count: int = 30) -> tuple[str, dict[str, int]]:
    """A COCO file of twenty people and so many empty scenes."""
    files = {**numbered(20), **numbered(count, 100, "n")}
    return coco_of(tmp_path / "coco", files, {name: 0.5 if name[0] == "i" else 0.0 for name in files}), files


def test_backgrounds_are_a_sample_with_empty_masks_and_the_rest_shows_nobody(tmp_path: Path) -> None:
    path, _ = empty_scenes(tmp_path)
    built = build(tmp_path / "out", coco=[path], backgrounds=6, folds=2)
    dataset = open_dataset(tmp_path / "out")
    chosen = dataset.samples.filter(pl.col("split") == "background")
    assert chosen.height == 6
    assert set(chosen["sample_id"]) != {f"coco-n{number}" for number in range(100, 106)}
    assert chosen.select("people", "area", "edges", "fold").unique().rows() == [(0, 0.0, "", -1)]
    assert all(not dataset.target(row).any() for row in chosen.to_dicts())
    assert dataset.drops.select("rule", "value", "limit", "detail").unique().rows() == [
        ("people", 0.0, 1.0, "shows nobody")
    ]
    assert dataset.drops.height == 24
    assert [step.remaining for step in built.header.funnel if step.rule == "people"] == [26]
    assert list(verify(dataset)) == []
    assert told(built) == []


def test_unreadable_empty_scenes_are_replaced(tmp_path: Path) -> None:
    path, files = empty_scenes(tmp_path)
    first = build(tmp_path / "a", coco=[path], backgrounds=6)
    assert first.header.counts["background"] == 6
    for name in column(tmp_path / "a", "split"):
        if name.startswith("coco-n"):
            (tmp_path / "coco" / "images" / f"{name[5:]}.png").write_bytes(b"no image")
    second = build(tmp_path / "b", coco=[path], backgrounds=6)
    assert second.header.counts["background"] == 6
    assert sorted(rule for rule, _ in reasons(tmp_path / "b").values()) == ["people"] * 18 + ["unreadable"] * 6
    assert len(files) == second.header.counts["images"] + 24


def test_fewer_empty_scenes_than_asked_for_are_said(tmp_path: Path) -> None:
    path, _ = empty_scenes(tmp_path, 3)
    built = build(tmp_path / "out", coco=[path], backgrounds=5)
    assert built.header.counts["background"] == 3
    assert told(built) == ["--backgrounds 5: only 3 empty scenes can be used"]


@pytest.mark.parametrize("split", ["60/20/20", "12/4/4"], ids=["ratios", "counts"])
def test_no_empty_scene_looks_like_a_picture_that_is_held_out(tmp_path: Path, split: str) -> None:
    """Each empty scene is a copy of a picture of people: by counts, its split is known last of all."""
    files: dict[str, int | tuple[int, int]] = {**numbered(20), **{f"n{n:03d}.png": (n, 1) for n in range(20)}}
    path = coco_of(tmp_path / "coco", files, {name: 0.5 if name[0] == "i" else 0.0 for name in files})
    build(tmp_path / "out", coco=[path], backgrounds=20, split=split)
    splits = column(tmp_path / "out", "split")
    held_out = [name for name, found in splits.items() if found in ("val", "test")]
    assert held_out
    for name, found in splits.items():
        twin = name.replace("-n", "-i")
        assert found != "background" or splits[twin] == "train"
    leaks = [name for name, (rule, _) in reasons(tmp_path / "out").items() if rule == "leak"]
    assert leaks == sorted(name.replace("-i", "-n") for name in held_out)
    assert list(verify(open_dataset(tmp_path / "out"))) == []


def test_the_pool_is_kept_without_labels_and_follows_what_it_looks_like(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(20))
    for name, seed in (("p1", 3), ("p2", 900), ("p3", 901), ("p4", 901)):
        picture(tmp_path / "pool" / f"{name}.png", seed, 2 if name == "p4" else 1)
    build(tmp_path / "out", coco=[path], pool=[str(tmp_path / "pool")], min_area=0.4, max_people=1, where="area > 0")
    dataset = open_dataset(tmp_path / "out")
    pool = dataset.samples.filter(pl.col("split") == "pool")
    assert pool["sample_id"].to_list() == ["pool-p1", "pool-p2", "pool-p3", "pool-p4"]
    assert all((dataset.target(row) == 128).all() for row in pool.to_dicts())
    groups = column(tmp_path / "out", "group")
    assert groups["pool-p1"] == groups["coco-i003"]
    assert groups["pool-p2"] != groups["pool-p3"] == groups["pool-p4"]
    assert list(verify(dataset)) == []


def test_a_dry_run_says_what_it_cannot_tell(tmp_path: Path) -> None:
    path = coco_of(tmp_path / "coco", numbered(5))
    chosen = recipe(coco=[path], where="split = 'train'", seed=2)
    seen = preview(select(chosen, exact_drops=False), unwatched)
    what = "rules are left out of a dry run, which reads no photograph"
    assert [(note.what, note.where) for note in seen.notes] == [(what, "where (split)")]
    counted = preview(select(recipe(coco=[path], split="3/1"), exact_drops=False), unwatched)
    assert [(note.what, note.where) for note in counted.notes] == [(what, "split 3/1")]
    # With splits that are made anew, those of the version it comes from say nothing.
    build(tmp_path / "out", coco=[path])
    child = recipe(from_=str(tmp_path / "out"), seed=5, where="split = 'train'")
    assert [note.where for note in preview(select(child), unwatched).notes] == ["where (split)"]
    as_it_is = recipe(from_=str(tmp_path / "out"), where="split = 'train'")
    seen = preview(select(as_it_is), unwatched)
    assert seen.notes == []
    assert seen.kept.height == sum(split == "train" for split in column(tmp_path / "out", "split").values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"where": "split = 'train'", "split": "3/1"}, "images are counted out to splits last of all"),
        ({"where": "fold = 0", "folds": 2}, "folds are made last of all"),
        ({"where": "fold >= 0"}, "folds are made last of all"),
    ],
)
def test_an_expression_on_what_is_decided_later_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe(**options)


def test_another_photograph_of_the_name_under_a_further_folder_is_said(tmp_path: Path) -> None:
    path = coco_of(tmp_path, numbered(3))
    roots = [tmp_path / "images", tmp_path / "more", tmp_path]
    picture(roots[1] / "i000.png", 50)  # another picture
    picture(roots[1] / "i001.png", 1)  # the same bytes
    built = build(tmp_path / "out", coco=[path], images=[str(root) for root in roots])
    found = [note.where for note in built.notes if "of their name" in note.what]
    assert found == [f"{roots[0] / 'i000.png'}, not {roots[1] / 'i000.png'}"]
