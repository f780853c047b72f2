"""COCO's person_keypoints beside its instances: they say whether heads show, and change nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.choosing.selection import select
from curate.dataset import open_dataset
from curate.foreground import Foreground
from curate.sources import Label, Limits, Read
from curate.sources.coco import read_coco
from tests.curate.scenes import box, coco_file, image, person, photo

ANYTHING = Limits()
SHAPE = box(0, 0, 30, 40)


def keypoints(*visible: int, labelled: tuple[int, ...] = ()) -> list[int]:
    """17 keypoints of which some are visible (v = 2), some labelled but hidden (v = 1), the others not labelled."""
    flags = [2 if number in visible else 1 if number in labelled else 0 for number in range(17)]
    return [value for flag in flags for value in ((9, 9, flag) if flag else (0, 0, 0))]


NOSE, EAR, HIP, KNEE = 0, 4, 11, 13


def instances(root: Path, *people: dict[str, Any]) -> Path:
    """An instances file of one image."""
    return coco_file(root / "annotations" / "instances_val2017.json", [image(1)], list(people))


def person_keypoints(root: Path, *people: dict[str, Any], images: tuple[Any, ...] = ()) -> Path:
    """A keypoints file of the same image, which knows no category but the person."""
    declared = {"id": 1, "name": "person", "keypoints": ["nose"], "skeleton": [[1, 2]]}
    path = root / "annotations" / "person_keypoints_val2017.json"
    return coco_file(path, [image(1), *images], list(people), categories=[declared])


def read(*paths: Path, **options: Any) -> Read:
    """The files as one source."""
    [source] = read_coco({"coco": paths}, [], Foreground(**options))
    return source


def head(*people: list[int] | None, tmp_path: Path) -> tuple[bool | None, int | None]:
    """`head_visible` and `keypoints` of an image of people with these keypoints."""
    one = [
        person(1, box(3 * at, 0, 3 * at + 3, 9), id=at, **({} if found is None else {"keypoints": found}))
        for at, found in enumerate(people)
    ]
    label = read(person_keypoints(tmp_path, *one)).labels.draw(0)
    return label.head_visible, label.keypoints


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ([keypoints(NOSE, HIP)], (True, 2)),
        ([keypoints(EAR)], (True, 1)),
        ([keypoints(HIP, KNEE)], (False, 2)),
        ([keypoints(HIP, labelled=(NOSE, EAR))], (False, 1)),
        ([keypoints(labelled=(NOSE,))], (False, 0)),
        ([keypoints()], (None, None)),
        ([None], (None, None)),
        ([], (None, None)),
        ([keypoints(NOSE), keypoints(HIP, KNEE, EAR)], (True, 1)),
        ([keypoints(NOSE), keypoints(HIP)], (False, 1)),
        ([keypoints(NOSE, EAR), keypoints()], (True, 2)),
        ([keypoints(HIP), None], (False, 1)),
        ([keypoints(*range(17))], (True, 17)),
    ],
    ids=[
        *("nose", "ear", "headless", "hidden head", "all hidden", "unlabelled", "without", "nobody"),
        *("two heads", "one headless", "one unlabelled", "one without", "all"),
    ],
)
def test_a_head_shows_where_nose_eye_or_ear_is_visible_of_everyone_labelled(
    tmp_path: Path, people: list[list[int] | None], expected: tuple[bool | None, int | None]
) -> None:
    assert head(*people, tmp_path=tmp_path) == expected


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["instances first", "keypoints first"])
@pytest.mark.parametrize("sources", [1, 2])
def test_beside_instances_they_add_heads_and_change_nothing_else(
    tmp_path: Path, order: tuple[int, int], sources: int
) -> None:
    people = [person(1, box(0, 0, 30, 40), id=7), person(1, box(31, 0, 40, 40), id=8)]
    dog = {**person(1, box(40, 0, 50, 40), id=9), "category_id": 18}
    files = [
        instances(tmp_path, *people, dog),
        person_keypoints(tmp_path, *({**one, "keypoints": keypoints(NOSE, HIP)} for one in people)),
    ]
    named = [files[number] for number in order]
    reads = read_coco({"coco": named} if sources == 1 else {"coco": named[:1], "coco-2": named[1:]}, [], Foreground())
    both, alone = reads[0], read(files[0])
    assert [len(source.candidates) for source in reads] == [1, 0][:sources]
    assert both.candidates.equals(alone.candidates)
    assert both.labels.measure(0, ANYTHING) == alone.labels.measure(0, ANYTHING)
    found, expected = both.labels.draw(0), alone.labels.draw(0)
    assert (found.target == expected.target).all()
    assert (found.head_visible, found.keypoints) == (True, 2)
    assert (found.touching, found.origin, found.outlines_px) == (("dog",), "polygon", expected.outlines_px)
    assert [note.what for one in reads for note in one.notes] == [
        "files repeat images of an earlier one; each counts once"
    ]


def spelled(segmentation: Any, how: str) -> bytes:
    """JSON of a segmentation in another spelling."""
    compact = json.dumps(segmentation, separators=(",", ":"))
    return {"compact": compact, "floats": compact.replace("30", "30.0"), "none": "[]", "null": "null"}[how].encode()


@pytest.mark.parametrize("how", ["compact", "floats", "none", "null"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["instances first", "keypoints first"])
def test_one_person_is_one_in_whatever_spelling_and_without_an_outline(
    tmp_path: Path, how: str, order: tuple[int, int]
) -> None:
    files = [
        instances(tmp_path, person(1, SHAPE, id=7)),
        person_keypoints(tmp_path, person(1, "HERE", id=7, keypoints=keypoints(NOSE))),
    ]
    files[1].write_bytes(files[1].read_bytes().replace(b'"HERE"', spelled(SHAPE, how)))
    source = read(*(files[number] for number in order))
    assert source.candidates["people"].to_list() == [1]
    assert source.labels.measure(0, ANYTHING).area == 0.5
    assert source.labels.measure(0, ANYTHING).notes == ()
    assert source.labels.draw(0).head_visible is True


def test_another_person_of_the_same_id_is_another_person(tmp_path: Path) -> None:
    files = [
        instances(tmp_path, person(1, SHAPE, id=7)),
        person_keypoints(tmp_path, person(1, box(40, 0, 50, 40), id=7, keypoints=keypoints(NOSE))),
    ]
    assert read(*files).labels.measure(0, ANYTHING).people == 2


def test_another_object_of_the_same_id_is_not_the_person(tmp_path: Path) -> None:
    dog = {**person(1, SHAPE, id=7), "category_id": 18}
    source = read(instances(tmp_path, dog), person_keypoints(tmp_path, person(1, [], id=7, keypoints=keypoints(NOSE))))
    unreadable = source.labels.measure(0, ANYTHING).unreadable
    assert str(unreadable).startswith("segmentation: person annotation 7 has no segmentation")


@pytest.mark.parametrize(
    "damaged",
    ["[1, 2, 2]", '"text"', '["a", "b", "c"]', "{}", "5", "[null, 1, 2]", "[[0, 0, 2]]", "[NaN, 1, 2]", "[-Infinity]"],
)
def test_damaged_keypoints_cost_the_keypoints_not_the_person(tmp_path: Path, damaged: str) -> None:
    people = [person(1, SHAPE, id=7, keypoints="HERE"), person(1, box(40, 0, 50, 40), id=8, keypoints=keypoints(HIP))]
    path = person_keypoints(tmp_path, *people)
    path.write_text(path.read_text().replace('"HERE"', damaged))
    source = read(path)
    assert source.labels.measure(0, ANYTHING).people == 2
    assert (source.labels.draw(0).head_visible, source.labels.draw(0).keypoints) == (False, 1)
    told = [note for note in source.notes if note.what.startswith("keypoints are not the 17")]
    assert [note.where for note in told] == [f"{path} at annotations[0]"]
    assert len(source.notes) - len(told) == ("NaN" in damaged or "Infinity" in damaged)


@pytest.mark.parametrize("absent", ["[]", "null"])
def test_absent_keypoints_are_not_damaged(tmp_path: Path, absent: str) -> None:
    path = person_keypoints(tmp_path, person(1, SHAPE, keypoints="HERE"))
    path.write_text(path.read_text().replace('"HERE"', absent))
    assert read(path).notes == []
    assert read(path).labels.draw(0).head_visible is None


def test_no_number_is_taken_for_missing_wherever_it_stands_but_in_names(tmp_path: Path) -> None:
    path = coco_file(
        tmp_path / "a.json",
        [image(1, 'NaN, "Infinity".jpg'), image(2), {**image(3), "width": "HERE"}],
        [person(1, SHAPE, bbox="HERE"), person(2, [[0, 0, 9, "HERE", 9, 9]])],
    )
    path.write_text(path.read_text().replace('"HERE"', "NaN"))
    source = read(path)
    assert source.candidates["sample_id"].to_list()[1:] == ["coco-000002"]
    assert source.labels.draw(0).target.any()
    assert str(source.labels.measure(1, ANYTHING).unreadable).startswith("segmentation: ")
    assert sorted(note.what for note in source.notes) == [
        "files hold NaN or Infinity, which is no JSON; it counts as missing",
        "records of `images` are damaged and were left out",
    ]


def test_a_small_figures_keypoints_do_not_speak_for_the_image(tmp_path: Path) -> None:
    people = [
        person(1, SHAPE, id=7, keypoints=keypoints(NOSE, HIP)),
        person(1, box(40, 0, 42, 2), id=8, keypoints=keypoints(KNEE)),
    ]
    assert read(person_keypoints(tmp_path, *people)).labels.draw(0).head_visible is False
    assert read(person_keypoints(tmp_path, *people), min_person_area=0.1).labels.draw(0).head_visible is True


def test_crowds_and_empty_rasters_have_no_head(tmp_path: Path) -> None:
    people = [
        person(1, {"size": [40, 60], "counts": [0, 400, 2000]}, id=6, iscrowd=1, keypoints=keypoints(HIP)),
        person(1, box(70, 50, 80, 60), id=7, keypoints=keypoints(HIP)),
        person(1, box(40, 0, 50, 40), id=8, keypoints=keypoints(EAR)),
    ]
    label = read(person_keypoints(tmp_path, *people)).labels.draw(0)
    assert (label.head_visible, label.keypoints) == (True, 1)


def rule_set(tmp_path: Path) -> list[str]:
    """Photographs of a head, of no head, of a hand alone, of nobody labelled, and of a head cut by two edges."""
    middle, corner = box(10, 10, 50, 30), box(0, 0, 50, 30)
    shown: list[tuple[list[list[float]], list[int] | None]] = [
        (middle, keypoints(NOSE, EAR, HIP, KNEE)),
        (middle, keypoints(HIP, KNEE)),
        (middle, keypoints(9)),
        (middle, None),
        (corner, keypoints(NOSE, EAR, HIP)),
    ]
    records, people, pointed = [], [], []
    for number, (shape, found) in enumerate(shown, 1):
        photo(tmp_path / "val2017" / f"{number:06d}.jpg", seed=number)
        records.append(image(number))
        people.append(person(number, shape, id=number))
        pointed += [{**people[-1], "keypoints": found}] if found else []
    instances_path = coco_file(tmp_path / "annotations" / "instances_val2017.json", records, people)
    keypoints_path = person_keypoints(tmp_path, *pointed, images=tuple(records[1:]))
    return [f"coco={instances_path}", f"coco={keypoints_path}"]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"intact": 4}, [1, 4, 5]),
        ({"intact": 1}, [1, 4]),
        ({"intact": 0}, [1, 4]),
        ({"min-keypoints": 2}, [1, 2, 4, 5]),
        ({"min-keypoints": 4}, [1, 4]),
        ({"intact": 2, "min-keypoints": 3}, [1, 4, 5]),
        ({"where": "head_visible"}, [1, 5]),
    ],
    ids=["all", "heads", "cut once", "uncut", "no hand", "four points", "both", "where"],
)
def test_the_rules_ask_for_heads_and_for_more_than_a_hand(
    tmp_path: Path, options: dict[str, Any], kept: list[int]
) -> None:
    recipe = make_recipe({"coco": rule_set(tmp_path), **options})
    build_dataset(recipe, tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.samples["sample_id"].to_list() == [f"coco-{number:06d}" for number in kept]
    assert set(dataset.drops["rule"]) <= {"intact", "where"}


def test_a_drop_says_what_is_not_seen(tmp_path: Path) -> None:
    recipe = make_recipe({"coco": rule_set(tmp_path), "intact": 1, "min-keypoints": 2})
    build_dataset(recipe, tmp_path / "out")
    drops = {row["sample_id"][-1]: row for row in open_dataset(tmp_path / "out").drops.to_dicts()}
    assert drops["2"]["detail"] == "someone's head is not visible, by the keypoints"
    assert drops["5"]["detail"] == "the image's edges LT cut the person, more than 1"
    assert (drops["5"]["value"], drops["5"]["limit"]) == (2, 1)


def draw_all(paths: list[Path]) -> dict[str, Label]:
    """Every readable image of the files drawn."""
    source = read(*paths)
    rows = source.candidates.filter(source.candidates["unreadable"].is_null()).select("sample_id", "row").rows()
    return {name: source.labels.draw(row) for name, row in rows}


def heads_by_hand(paths: list[Path]) -> dict[str, tuple[bool | None, int | None]]:
    """Image -> whether all heads show and the fewest visible keypoints, by a plain reading of the JSON."""
    found: dict[str, tuple[bool | None, int | None]] = {}
    for path in paths:
        content = json.loads(path.read_bytes())
        for record in content["images"]:
            flags = [
                one["keypoints"][2::3]
                for one in content["annotations"]
                if one["image_id"] == record["id"]
                and not one["iscrowd"]
                and one["num_keypoints"]
                and drawn(one, record)
            ]
            heads = all(any(flag == 2 for flag in one[:5]) for one in flags) if flags else None
            fewest = min((sum(flag == 2 for flag in one) for one in flags), default=None)
            found["coco-" + Path(record["file_name"]).stem] = (heads, fewest)
    return found


def drawn(annotation: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether any pixel of an annotation is set."""
    return bool(
        np.any(coco_mask.area(coco_mask.frPyObjects(annotation["segmentation"], record["height"], record["width"])))
    )


@pytest.mark.real
def test_on_real_photographs_only_the_heads_change(real_data: Path) -> None:
    folder = real_data / "coco-mini" / "annotations"
    parts = [
        [folder / f"{kind}_{split}2017.json" for split in ("train", "val")]
        for kind in ("instances", "person_keypoints")
    ]
    alone, both, turned = draw_all(parts[0]), draw_all(parts[0] + parts[1]), draw_all(parts[1] + parts[0])
    expected = heads_by_hand(parts[1])
    assert alone.keys() == both.keys() == turned.keys() == expected.keys()
    for name, label in alone.items():
        for joined in (both[name], turned[name]):
            assert (joined.target == label.target).all()
            assert (joined.touching, joined.origin, joined.outlines_px) == (
                label.touching,
                label.origin,
                label.outlines_px,
            )
            assert (joined.head_visible, joined.keypoints) == expected[name]
        assert (label.head_visible, label.keypoints) == (None, None)
    assert {heads for heads, _ in expected.values()} == {True, False, None}
    recipe = {"coco": [f"coco={path}" for path in parts[0] + parts[1]], "max-people": 2}
    plain = select(make_recipe({**recipe, "coco": recipe["coco"][:2]}))
    assert select(make_recipe(recipe)).kept.drop("read").equals(plain.kept.drop("read"))


LEFT_SHOULDER, RIGHT_SHOULDER = 5, 6


def shoulders(left_x: int, right_x: int, *, nose: int = 0, flag: int = 2) -> list[int]:
    """Keypoints of two shoulders, with the nose's flag."""
    places = {NOSE: (20, 5, nose), LEFT_SHOULDER: (left_x, 9, flag), RIGHT_SHOULDER: (right_x, 9, flag)}
    return [value for number in range(17) for value in places.get(number, (0, 0, 0))]


@pytest.mark.parametrize(
    ("people", "tags"),
    [
        ([shoulders(30, 10, nose=2)], ("front",)),
        ([shoulders(30, 10, nose=2, flag=1)], ("front",)),
        ([shoulders(10, 30)], ("rear",)),
        ([shoulders(10, 30, nose=1)], ("rear",)),
        ([shoulders(10, 30, nose=2)], ()),
        ([shoulders(30, 10)], ()),
        ([shoulders(20, 20, nose=2)], ()),
        ([shoulders(30, 10, nose=2, flag=0)], ()),
        ([keypoints()], ()),
        ([shoulders(10, 30), shoulders(30, 10, nose=2), shoulders(31, 11, nose=2)], ("front", "rear")),
    ],
)
def test_people_are_seen_from_the_side_their_shoulders_tell(
    tmp_path: Path, people: list[list[int]], tags: tuple[str, ...]
) -> None:
    one = [person(1, box(3 * at, 0, 3 * at + 3, 9), id=at, keypoints=found) for at, found in enumerate(people)]
    assert read(person_keypoints(tmp_path, *one)).labels.draw(0).tags == tags
