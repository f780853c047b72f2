"""What labels alone decide: as pycocotools would, whatever the segmentations, and the same with and without bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from curate.choosing.choose import preview
from curate.choosing.recipe import make_recipe
from curate.choosing.selection import Selection, select
from curate.threads import unwatched
from tests.curate.scenes import box, coco_file, image, mask_png, person, photo
from tests.curate.shapes import segmentations

SIZE_HW = (40, 60)
HEIGHT, WIDTH = SIZE_HW
often = settings(derandomize=True, deadline=None, max_examples=120)


def annotation(segmentation: Any, category: int, crowd: bool) -> dict[str, Any]:
    """An annotation of the image it will be given."""
    return {"image_id": 0, "category_id": category, "iscrowd": int(crowd), "segmentation": segmentation}


annotations = st.builds(
    annotation, segmentations(SIZE_HW), st.sampled_from([1, 1, 1, 18]), st.sampled_from([False] * 4 + [True])
)
files = st.lists(st.lists(annotations, max_size=5), min_size=1, max_size=5)


def drawn(segmentation: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A segmentation as pycocotools draws it; ValueError where it is damaged or left out."""
    listed = not isinstance(segmentation, dict)
    if listed and (not segmentation or any(len(polygon) < 6 for polygon in segmentation)):
        raise ValueError("no shape")
    if isinstance(segmentation, dict):
        if tuple(segmentation["size"]) != SIZE_HW:
            raise ValueError("another size")
        packed = segmentation
        if isinstance(segmentation["counts"], list):
            packed = coco_mask.frPyObjects(segmentation, *SIZE_HW)
        return coco_mask.decode(packed).astype(bool)  # type: ignore[no-any-return]
    if any(len(polygon) % 2 or max(map(abs, polygon)) > 1000 for polygon in segmentation):
        raise ValueError("damaged")
    found = [coco_mask.decode(coco_mask.frPyObjects([one], *SIZE_HW))[..., 0].astype(bool) for one in segmentation]
    return np.logical_or.reduce(found)


def expected(found: list[dict[str, Any]], least: float, most: int | None, figure: float) -> tuple[str, int, float]:
    """Rule that drops an image ("" for none), people and area, computed plainly."""
    people = [one for one in found if one["category_id"] == 1 and not one["iscrowd"]]
    if not people:
        return "people", 0, 0.0
    try:
        crowd = np.logical_or.reduce(
            [np.zeros(SIZE_HW, bool), *(drawn(one["segmentation"]) for one in found
                                        if one["category_id"] == 1 and one["iscrowd"])]
        )  # fmt: skip
        if most is not None and crowd.any():
            return "crowd", len(people), 0.0
        union, count = np.zeros(SIZE_HW, bool), 0
        for one in people:
            mask = drawn(one["segmentation"])
            union |= mask
            count += bool(mask.any()) and mask.sum() >= figure * HEIGHT * WIDTH
            if most is not None and count > most:
                return "crowd", len(people), 0.0
    except ValueError:
        return "unreadable", 0, 0.0
    counted = HEIGHT * WIDTH - int((crowd & ~union).sum())
    area = int(union.sum()) / counted if counted else 0.0
    return ("people" if not count else "area" if area < least else ""), count, area


def seen(selection: Selection) -> tuple[dict[str, tuple[int, float]], dict[str, str]]:
    """What is kept, with people and area, and which rule dropped the others."""
    kept = {name: (people, area) for name, people, area in selection.kept["sample_id", "people", "area"].iter_rows()}
    return kept, dict(selection.drops.select("sample_id", "rule").iter_rows())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for COCO files."""
    return tmp_path_factory.mktemp("files")


@often
@given(files, st.sampled_from([0.0, 0.05, 0.3]), st.sampled_from([None, 1, 2]), st.sampled_from([0.0, 0.0, 0.02]))
def test_the_choice_is_pycocotools_with_and_without_bounds(
    folder: Path, files: list[list[dict[str, Any]]], least: float, most: int | None, figure: float
) -> None:
    all_annotations = [one | {"image_id": number} for number, found in enumerate(files, 1) for one in found]
    path = coco_file(folder / "a.json", [image(number) for number in range(1, len(files) + 1)], all_annotations)
    options = {"coco": [str(path)], "min-area": least, "max-people": most, "min-person-area": figure}
    wanted = {f"coco-{number:06d}": expected(found, least, most, figure) for number, found in enumerate(files, 1)}
    kept = {name: (people, area) for name, (rule, people, area) in wanted.items() if not rule}
    drops = {name: rule for name, (rule, _, _) in wanted.items() if rule}
    assert seen(select(make_recipe(options))) == (kept, drops)
    assert seen(preview(select(make_recipe(options), exact_drops=False), unwatched)) == (kept, drops)


@often
@given(files, st.sampled_from(["include", "ignore", "exclude"]), st.sampled_from(["include", "ignore", "exclude"]))
def test_the_area_is_that_of_the_mask_that_is_drawn(
    folder: Path, files: list[list[dict[str, Any]]], held: str, animals: str
) -> None:
    all_annotations = [one | {"image_id": number} for number, found in enumerate(files, 1) for one in found]
    path = coco_file(folder / "b.json", [image(number) for number in range(1, len(files) + 1)], all_annotations)
    selection = select(make_recipe({"coco": [str(path)], "held": held, "animals": animals}))
    for row in selection.kept.iter_rows(named=True):
        target = selection.reads[row["read"]].labels.draw(row["row"]).target
        counted = int((target != 128).sum())
        assert row["area"] == ((target == 255).sum() / counted if counted else 0.0)


def write_empty_scenes(folder: Path) -> str:
    """Images without people: truly empty, a dog, a crowd, an outline without pixels, and one with a person."""
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, 240, 2160]}
    found = {
        2: [{"image_id": 2, "category_id": 18, "segmentation": box(0, 0, 9, 9)}],
        3: [person(3, crowd, iscrowd=1)],
        4: [person(4, [[10, 10, 20, 10, 30, 10]])],
        5: [person(5, box(0, 0, 30, 40))],
        7: [person(7, crowd, iscrowd=1, people=0)],
    }
    for number in range(1, 8):
        photo(folder / f"{number:06d}.jpg", seed=number)
    images = [image(number) for number in range(1, 8)]
    return str(coco_file(folder / "c.json", images, [one for listed in found.values() for one in listed]))


def test_only_truly_empty_scenes_are_backgrounds(tmp_path: Path) -> None:
    path = write_empty_scenes(tmp_path)
    chosen = select(make_recipe({"coco": [path], "backgrounds": 9})).kept.filter(pl.col("kind") == "background")
    assert chosen["sample_id"].to_list() == ["coco-000001", "coco-000002", "coco-000006"]


def test_a_mask_that_leaves_pixels_open_is_no_empty_scene(tmp_path: Path) -> None:
    for name, value in (("empty", 0), ("open", 128), ("person", 255)):
        photo(tmp_path / "images" / f"{name}.jpg")
        mask_png(tmp_path / "masks" / f"{name}.png", np.eye(*SIZE_HW, dtype=bool), value)
    options = {"pairs": [(str(tmp_path / "images"), str(tmp_path / "masks"))], "backgrounds": 9}
    chosen = select(make_recipe(options)).kept
    assert chosen.select("sample_id", "kind").rows() == [("pairs-empty", "background"), ("pairs-person", None)]


def test_the_pool_passes_rules_about_people_alone(tmp_path: Path) -> None:
    photo(tmp_path / "pool" / "large.jpg")
    photo(tmp_path / "pool" / "small.jpg", (20, 20))
    options = {"pool": [str(tmp_path / "pool")], "min-area": 0.5, "min-people": 2, "max-people": 2, "min-side": 30}
    selection = select(make_recipe(options))
    assert selection.kept["sample_id"].to_list() == ["pool-large"]
    assert selection.drops.select("sample_id", "rule", "value", "limit").rows() == [("pool-small", "side", 20.0, 30.0)]


def test_sources_of_take_that_are_not_there_are_said(tmp_path: Path) -> None:
    photo(tmp_path / "pool" / "a.jpg")
    selection = select(make_recipe({"pool": [str(tmp_path / "pool")], "take": {"coco": 3, "pool": 1}}))
    assert [(note.what, note.where) for note in selection.notes] == [
        ("sources of --take are not there; there are: pool", "coco")
    ]


@pytest.mark.parametrize(("share", "people"), [(0.0, 2), (0.01, 2), (0.02, 1), (0.5, 0)])
def test_small_figures_stay_in_the_mask_and_do_not_count(tmp_path: Path, share: float, people: int) -> None:
    figures = [person(1, box(0, 0, 20, 40)), person(1, box(30, 0, 36, 6))]
    path = coco_file(tmp_path / "a.json", [image(1)], figures)
    selection = select(make_recipe({"coco": [str(path)], "min-person-area": share}))
    if not people:
        assert selection.drops["rule"].to_list() == ["people"]
        return
    assert selection.kept.select("people", "area").rows() == [(people, (800 + 36) / 2400)]
