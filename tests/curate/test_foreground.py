"""What counts as foreground: listed objects in contact with a person are painted as asked, all others left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import masks
from curate.checks.files import check_target
from curate.checks.version import check_dataset
from curate.choosing.recipe import make_recipe
from curate.choosing.selection import select
from curate.foreground import ANIMALS, HELD, Foreground, Policy, paint
from curate.sources.coco_objects import REACH_PX
from curate.sources.voc import CLASSES
from tests.curate.pictures import build, picture, samples
from tests.curate.scenes import box, coco_file, image, person, voc_image
from tests.curate.shapes import polygons
from tests.drawing import target

SIZE_HW = (40, 60)
NAMES = {1: "person", 18: "dog", 37: "sports ball", 62: "chair"}
CATEGORIES = [{"id": number, "name": name} for number, name in NAMES.items()]
policies: list[Policy] = ["include", "ignore", "exclude"]
often = settings(derandomize=True, deadline=None, max_examples=150)


def thing(category: int, segmentation: Any) -> dict[str, Any]:
    """An annotation of an object on image 1."""
    return {"image_id": 1, "category_id": category, "iscrowd": 0, "segmentation": segmentation}


@pytest.mark.parametrize(
    ("category", "policy"),
    [("dog", "ignore"), ("Sports Ball", "include"), ("chair", "exclude"), ("person", "exclude"), ("", "exclude")],
)
def test_policies_go_by_the_lists(category: str, policy: str) -> None:
    assert Foreground(held="include", animals="ignore").policy_of(category) == policy
    assert Foreground().policy_of(category) == "exclude"


def test_lists_of_ones_own_replace_those_that_come_with_the_program() -> None:
    own = Foreground(held="include", held_categories=("Chair",), animals="include", animal_categories=())
    assert [own.policy_of(name) for name in ("chair", "sports ball", "dog")] == ["include", "exclude", "exclude"]


def test_what_is_held_and_what_is_an_animal_are_apart() -> None:
    assert not set(HELD) & set(ANIMALS)
    assert {"dog", "horse", "bird"} <= set(ANIMALS)
    assert "person" not in HELD + ANIMALS
    assert {name for name in CLASSES if name in ANIMALS} == {"bird", "cat", "cow", "dog", "horse", "sheep"}


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([("#..#", "include")], "##o#"),
        ([("#..#", "ignore")], "o#oo"),
        ([("#..#", "exclude")], ".#o."),
        ([("####", "ignore"), ("..##", "include")], "o###"),
        ([("..##", "include"), ("####", "ignore")], "o###"),
        ([], ".#o."),
    ],
    ids=["255", "128", "0", "included wins", "included wins, other order", "nothing"],
)
def test_painting(objects: list[tuple[str, Policy]], expected: str) -> None:
    """The person is the second pixel; the third is not counted."""
    found = [(target(drawing) == 255, policy) for drawing, policy in objects]
    before = target(".#o.")
    assert (paint(before, found) == target(expected)).all()
    assert (before == target(".#o.")).all()


def near(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The pixels within REACH_PX of a mask, one by one."""
    grown = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        grown[max(0, row - REACH_PX) : row + REACH_PX + 1, max(0, column - REACH_PX) : column + REACH_PX + 1] = True
    return grown


outlines = st.lists(polygons(SIZE_HW).filter(lambda polygon: max(map(abs, polygon)) < 500), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for COCO files."""
    return tmp_path_factory.mktemp("files")


@often
@given(
    outlines, st.lists(st.tuples(st.sampled_from([18, 37, 62]), outlines), max_size=4),
    st.sampled_from(policies), st.sampled_from(policies),
)  # fmt: skip
def test_contact_and_paint_are_as_by_hand(
    folder: Path, figure: list[Any], things: list[tuple[int, list[Any]]], held: Policy, animals: Policy
) -> None:
    annotations = [person(1, figure), *(thing(*one) for one in things)]
    path = coco_file(folder / "a.json", [image(1)], annotations, categories=CATEGORIES)
    selection = select(make_recipe({"coco": [str(path)], "held": held, "animals": animals}))
    shown = masks.decode(masks.rle_of_polygons(figure, SIZE_HW))
    if not shown.any():
        assert selection.drops["rule"].to_list() == ["people"]
        return
    label = selection.reads[0].labels.draw(0)
    wanted = np.where(shown, 255, 0)
    touching = set()
    drawn = [(category, masks.decode(masks.rle_of_polygons(one, SIZE_HW))) for category, one in things]
    included = np.zeros(SIZE_HW, bool)
    for category, mask in drawn:
        if not (mask & near(shown)).any():
            continue
        touching.add(NAMES[category])
        policy = {18: animals, 37: held}.get(category, "exclude")
        if policy == "include":
            included |= mask
        elif policy == "ignore":
            wanted[mask & (wanted == 0)] = 128
    wanted[included] = 255
    assert label.touching == tuple(sorted(touching))
    assert (label.target == wanted).all()
    counted = int((wanted != 128).sum())
    assert selection.kept["area"].to_list() == [int((wanted == 255).sum()) / counted if counted else 0.0]


@pytest.mark.parametrize("policy", policies)
def test_a_built_version_holds_what_was_asked_for(tmp_path: Path, policy: Policy) -> None:
    """A dog in contact, a ball apart, and a chair in contact that no list names."""
    picture(tmp_path / "images" / "a.png", 1, 0, SIZE_HW)
    things = [thing(18, box(20, 0, 30, 40)), thing(37, box(40, 0, 50, 40)), thing(62, box(0, 31, 20, 40))]
    annotations = [person(1, box(0, 0, 20, 30)), *things]
    path = coco_file(tmp_path / "a.json", [image(1, "a.png", SIZE_HW)], annotations, categories=CATEGORIES)
    build(tmp_path / "out", coco=[str(path)], held=policy, animals=policy)
    [row] = samples(tmp_path / "out").to_dicts()
    assert row["touching"] == ["chair", "dog"]
    areas = {"include": (600 + 400) / 2400, "ignore": 600 / 2000, "exclude": 600 / 2400}
    assert row["area"] == areas[policy]
    assert row["people"] == 1


def check_edges(root: Path, **source: Any) -> None:
    """A person at the left edge holds what reaches the right and lower ones: only the left one cuts the person."""
    for policy in policies:
        out = root / policy
        build(out, **source, held=policy, animals=policy)
        assert samples(out)["edges"].to_list() == ["L"]
        assert check_dataset(out).findings == []
    build(root / "again", from_=str(root / "include"))
    assert samples(root / "again").equals(samples(root / "include"))
    assert check_dataset(root / "again").findings == []


def test_edges_are_those_the_person_touches_in_coco(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png", 1, 0, SIZE_HW)
    annotations = [person(1, box(0, 10, 20, 30)), thing(18, box(20, 10, 60, 40)), thing(62, box(0, 0, 20, 10))]
    path = coco_file(tmp_path / "a.json", [image(1, "a.png", SIZE_HW)], annotations, categories=CATEGORIES)
    check_edges(tmp_path, coco=[str(path)], intact=1)


def test_edges_are_those_the_person_touches_in_voc(tmp_path: Path) -> None:
    classes = np.zeros(SIZE_HW, np.uint8)
    classes[10:30, :20], classes[10:, 20:] = 15, 12
    voc_image(tmp_path / "voc", "a", classes, ["person", "dog"])
    check_edges(tmp_path, voc=[str(tmp_path / "voc")])


def test_an_edge_of_the_row_that_nothing_in_the_mask_touches_is_found(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png", 1, 0, SIZE_HW)
    annotations = [person(1, box(0, 10, 20, 30)), thing(18, box(20, 10, 60, 30))]
    path = coco_file(tmp_path / "a.json", [image(1, "a.png", SIZE_HW)], annotations, categories=CATEGORIES)
    build(tmp_path / "out", coco=[str(path)], animals="include")
    [row] = samples(tmp_path / "out").to_dicts()
    target = masks.target_of(masks.decode(masks.rle_of_polygons(box(0, 10, 60, 30), SIZE_HW)))
    told = {edges: [str(one) for one in check_target(path, target, row | {"edges": edges})] for edges in ("L", "LT")}
    assert told["L"] == []
    assert len(told["LT"]) == 1
    assert "touches the edges LR" in told["LT"][0]


def test_a_damaged_object_costs_its_name_and_not_the_image(tmp_path: Path) -> None:
    damaged = [thing(18, {"size": [1, 1], "counts": [1]}), thing(18, [[1, 2, 3, 4, 5, 6, 7]]), thing(18, "x")]
    annotations = [person(1, box(0, 0, 20, 30)), *damaged, thing(37, box(20, 0, 30, 40))]
    path = coco_file(tmp_path / "a.json", [image(1)], annotations, categories=CATEGORIES)
    selection = select(make_recipe({"coco": [str(path)], "held": "include", "animals": "include"}))
    assert selection.kept["area"].to_list() == [1000 / 2400]
    assert selection.reads[0].labels.draw(0).touching == ("sports ball",)
