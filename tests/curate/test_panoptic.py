"""Panoptic PNGs of COCO: alone they are the label, beside instances they add what those have no categories for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from curate.checks.version import verify
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.choosing.selection import select
from curate.dataset import open_dataset
from curate.errors import CurateError, FormatError
from curate.foreground import Foreground
from curate.sources import Limits, Read
from curate.sources.coco import read_coco
from curate.sources.panoptic import WITHOUT, read_segment_ids, run_lengths
from tests.curate.scenes import SIZE_HW, box, coco_file, image, person, photo

HEIGHT, WIDTH = SIZE_HW
PIXELS = HEIGHT * WIDTH
CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 18, "name": "dog", "isthing": 1},
    {"id": 88, "name": "teddy bear", "isthing": 1},
    {"id": 193, "name": "grass-merged", "isthing": 0},
]
ANYTHING = Limits()


def segment(number: int, category: int = 1, iscrowd: int = 0, **more: Any) -> dict[str, Any]:
    """A segment that states an area nobody should believe."""
    return {"id": number, "category_id": category, "iscrowd": iscrowd, "area": 1, "bbox": [0, 0, 1, 1], **more}


def segment_png(path: Path, ids: NDArray[np.int64], mode: str = "RGB") -> Path:
    """A PNG of ids, as panoptic files have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    Image.fromarray(colours).convert(mode).save(path)
    return path


def areas(*found: tuple[int, tuple[int, int, int, int]], size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.int64]:
    """Ids of boxes (left, top, right, bottom) on unlabelled ground, the later over the earlier."""
    ids = np.zeros(size_hw, np.int64)
    for number, (left, top, right, bottom) in found:
        ids[top:bottom, left:right] = number
    return ids


def panoptic_file(root: Path, labels: dict[int, tuple[Any, list[Any]]], **more: Any) -> Path:
    """A panoptic file under `root/annotations`; image id -> its ids, None for no PNG, and its segments."""
    annotations = []
    for number, (ids, segments) in labels.items():
        annotations.append({"image_id": number, "file_name": f"{number:06d}.png", "segments_info": segments})
        if ids is not None:
            segment_png(root / "annotations" / "panoptic_val2017" / f"{number:06d}.png", ids)
    content = {"images": [image(number) for number in labels], "annotations": annotations, "categories": CATEGORIES}
    path = root / "annotations" / "panoptic_val2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **more}))
    return path


def instances_file(root: Path, annotations: list[Any], images: int = 1) -> Path:
    """An instances file beside it, which has the categories person and dog."""
    return coco_file(
        root / "annotations" / "instances_val2017.json", [image(number + 1) for number in range(images)], annotations
    )


def read(*paths: Path, images: tuple[Path, ...] = (), **options: Any) -> Read:
    """The files as one source."""
    [source] = read_coco({"coco": paths}, images, Foreground(**options))
    return source


def whats(source: Read, row: int = 0) -> list[str]:
    """The notes of measuring an image."""
    return [note.what for note in source.labels.measure(row, ANYTHING).notes]


PERSON, CROWD, DOG, GRASS = 70_000, 258, 255, 65_536
"""Ids that use one, two and three of the colours."""
SCENE = areas((GRASS, (0, 20, 60, 40)), (CROWD, (40, 0, 60, 20)), (PERSON, (10, 0, 30, 40)), (DOG, (30, 30, 34, 40)))
SEGMENTS = [segment(PERSON), segment(CROWD, iscrowd=1), segment(DOG, 18), segment(GRASS, 193)]


def test_alone_its_segments_are_the_people_the_crowds_and_what_touches_them(tmp_path: Path) -> None:
    source = read(panoptic_file(tmp_path, {1: (SCENE, SEGMENTS)}))
    assert source.candidates["people"].to_list() == [1]
    found, label = source.labels.measure(0, ANYTHING), source.labels.draw(0)
    assert (found.people, found.crowd, found.notes) == (1, True, ())
    assert found.area == 20 * 40 / (PIXELS - 20 * 20)
    assert ((label.target == 255) == (SCENE == PERSON)).all()
    assert ((label.target == 128) == (SCENE == CROWD)).all()
    assert (label.origin, label.touching) == ("palette", ("dog", "grass-merged"))
    assert (label.head_visible, label.outlines_px, label.tags) == (None, None, ())


def test_an_image_of_stuff_alone_shows_nobody(tmp_path: Path) -> None:
    source = read(panoptic_file(tmp_path, {1: (areas((GRASS, (0, 0, 60, 40))), [segment(GRASS, 193)])}))
    assert source.candidates["people"].to_list() == [0]
    assert source.labels.draw(0).origin == "none"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["instances first", "panoptic first"])
def test_beside_instances_it_adds_objects_and_counts_nobody_twice(tmp_path: Path, order: tuple[int, int]) -> None:
    dog = {**person(1, box(30, 30, 34, 40), id=2), "category_id": 18}
    instances = instances_file(tmp_path, [person(1, box(11, 0, 29, 40), id=1), dog])
    files = [instances, panoptic_file(tmp_path, {1: (SCENE, SEGMENTS)})]
    both, alone = read(*(files[number] for number in order)), read(instances)
    assert both.candidates.select("sample_id", "people").rows() == [("coco-000001", 1)]
    assert both.labels.measure(0, ANYTHING) == alone.labels.measure(0, ANYTHING)
    found, expected = both.labels.draw(0), alone.labels.draw(0)
    assert (found.target == expected.target).all()
    assert (found.origin, found.outlines_px) == ("polygon", expected.outlines_px)
    assert (found.touching, expected.touching) == (("dog", "grass-merged"), ("dog",))
    assert sorted(both.source.sha256) == ["instances_val2017.json", "panoptic_val2017.json"]


def test_the_instances_may_be_those_of_another_source(tmp_path: Path) -> None:
    instances = instances_file(tmp_path, [person(1, box(11, 0, 29, 40), id=1)])
    panoptic = panoptic_file(tmp_path, {1: (SCENE, SEGMENTS), 2: (SCENE, SEGMENTS)})
    one, two = read_coco({"coco": [panoptic], "coco-2": [instances]}, [], Foreground())
    assert one.candidates["people"].to_list() == [1, 1]
    assert [one.labels.draw(row).origin for row in range(2)] == ["polygon", "palette"]
    assert two.candidates.is_empty()


def test_an_image_the_instances_list_without_anybody_shows_nobody(tmp_path: Path) -> None:
    source = read(panoptic_file(tmp_path, {1: (SCENE, SEGMENTS)}), instances_file(tmp_path, []))
    assert source.candidates["people"].to_list() == [0]


def test_instances_speak_for_their_own_categories_where_objects_are_painted(tmp_path: Path) -> None:
    """The dog is the instances' polygon, the bear, of which they know nothing, the PNG's."""
    dog = {**person(1, box(30, 30, 32, 40), id=2), "category_id": 18}
    ids = areas((PERSON, (10, 0, 30, 40)), (DOG, (30, 20, 36, 40)), (300, (5, 0, 10, 10)))
    files = [
        instances_file(tmp_path, [person(1, box(10, 0, 30, 40), id=1), dog]),
        panoptic_file(tmp_path, {1: (ids, [segment(PERSON), segment(DOG, 18), segment(300, 88)])}),
    ]
    source = read(*files, animals="ignore", held="include")
    label = source.labels.draw(0)
    assert ((label.target == 255) == ((ids == PERSON) | (ids == 300))).all()
    assert np.argwhere(label.target == 128).tolist() == [[row, column] for row in range(30, 40) for column in (30, 31)]
    assert source.labels.measure(0, ANYTHING).area == (20 * 40 + 5 * 10) / (PIXELS - 20)


def test_one_panoptic_label_an_image(tmp_path: Path) -> None:
    panoptic = panoptic_file(tmp_path, {1: (SCENE, SEGMENTS)})
    again = panoptic.with_name("again.json")
    again.write_bytes(panoptic.read_bytes())
    source = read(panoptic, again)
    assert source.labels.measure(0, ANYTHING).people == 1
    assert "panoptic annotations are the second of their image; left out" in [note.what for note in source.notes]


def test_the_stated_area_is_not_believed_and_reading_opens_no_png(tmp_path: Path) -> None:
    source = read(panoptic_file(tmp_path, {1: (None, [segment(PERSON, area=1e9)])}))
    assert source.candidates["people"].to_list() == [1]
    segment_png(tmp_path / "annotations" / "panoptic_val2017" / "000001.png", SCENE)
    assert source.labels.measure(0, ANYTHING).area == 20 * 40 / PIXELS


def test_a_small_figure_does_not_count(tmp_path: Path) -> None:
    ids = areas((1, (0, 0, 30, 40)), (2, (40, 0, 45, 5)))
    source = read(panoptic_file(tmp_path, {1: (ids, [segment(1), segment(2)])}), min_person_area=0.1)
    assert source.labels.measure(0, ANYTHING).people == 1
    assert source.labels.measure(0, Limits(most_people=1)).area == (30 * 40 + 25) / PIXELS


@pytest.mark.parametrize(
    ("ids", "segments", "people", "what"),
    [
        (areas((5, (0, 0, 9, 9))), [segment(5), segment(6)], 1, "person annotations have an empty raster and count"),
        (areas((5, (0, 0, 9, 9))), [segment(5), segment(6, 193)], 1, "panoptic PNGs lack segments that are listed"),
        (areas((5, (0, 0, 9, 9)), (7, (20, 0, 30, 9))), [segment(5)], 1, "hold ids that no segment lists"),
        (areas((5, (0, 0, 9, 9))), [segment(5), segment(0)], 1, "have an empty raster"),
        (areas((5, (0, 0, 9, 9))), [segment(5), segment(10**20)], 1, "have an empty raster"),
        (areas((5, (0, 0, 9, 9))), [segment(5.0), segment(-5)], 1, "have an empty raster"),
        (areas(), [segment(5)], 0, "have an empty raster"),
    ],
    ids=["absent person", "absent stuff", "unlisted", "id of nothing", "huge id", "negative id", "nobody"],
)
def test_where_list_and_png_disagree_the_png_is_right_and_it_is_said(
    tmp_path: Path, ids: Any, segments: list[Any], people: int, what: str
) -> None:
    source = read(panoptic_file(tmp_path, {1: (ids, segments)}))
    assert source.labels.measure(0, ANYTHING).people == people
    assert any(what in note for note in whats(source))
    assert ((source.labels.draw(0).target == 255) == (ids == 5)).all()


def test_a_segment_that_is_listed_twice_is_one_person(tmp_path: Path) -> None:
    source = read(panoptic_file(tmp_path, {1: (areas((5, (0, 0, 9, 9))), [segment(5), segment(5)])}))
    assert source.candidates["people"].to_list() == [1]
    assert source.labels.measure(0, ANYTHING).people == 1
    assert [note.what for note in source.notes] == ["panoptic segments are listed twice; the first counts"]


def damage(path: Path, kind: str) -> None:
    """Do to a PNG what its name says."""
    if kind in ("missing", "folder"):
        path.unlink()
    if kind == "folder":
        path.mkdir()
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:70])
    if kind == "no image":
        path.write_bytes(b"nothing")
    if kind == "another size":
        segment_png(path, SCENE.T)
    if kind == "grey":
        segment_png(path, SCENE, "L")


DAMAGES = {
    "missing": r"000001\.png: not found under",
    "folder": "is not a regular file",
    "cut": r"the pixels cannot be decoded|is not an image",
    "no image": "is not an image",
    "another size": r"expected 40x60 \(HxW\) from the annotation, got 60x40",
    "grey": "has mode L; expected the colours of a panoptic PNG",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_png_that_cannot_be_read_drops_the_image_it_alone_labels_and_no_other(tmp_path: Path, kind: str) -> None:
    panoptic = panoptic_file(tmp_path, {1: (SCENE, SEGMENTS), 2: (SCENE, SEGMENTS)})
    damage(tmp_path / "annotations" / "panoptic_val2017" / "000001.png", kind)
    selection = select(make_recipe({"coco": [str(panoptic)]}))
    [drop] = selection.drops.to_dicts()
    assert (drop["sample_id"], drop["rule"]) == ("coco-000001", "unreadable")
    assert selection.kept["sample_id"].to_list() == ["coco-000002"]
    with pytest.raises(CurateError, match=DAMAGES[kind]):
        selection.reads[0].labels.draw(0)


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("painted", ["exclude", "include"])
def test_beside_instances_it_costs_only_what_it_would_have_added(tmp_path: Path, kind: str, painted: str) -> None:
    files = [
        instances_file(tmp_path, [person(1, box(10, 0, 30, 40), id=1)]),
        panoptic_file(tmp_path, {1: (SCENE, SEGMENTS)}),
    ]
    damage(tmp_path / "annotations" / "panoptic_val2017" / "000001.png", kind)
    source = read(*files, held=painted)
    label, found = source.labels.draw(0), source.labels.measure(0, ANYTHING)
    assert (found.people, found.area, label.touching, label.tags) == (1, 20 * 40 / PIXELS, (), (WITHOUT,))
    told = kind != "cut" or painted == "include"  # the header is whole, and measuring reads no more without need
    assert whats(source) == ["panoptic PNGs cannot be read; their images are used without"] * told


def test_a_png_may_have_alpha_or_a_palette_of_its_ids(tmp_path: Path) -> None:
    assert (read_segment_ids(segment_png(tmp_path / "a.png", SCENE, "RGBA"), SIZE_HW) == SCENE).all()
    palette = Image.fromarray(np.zeros(SIZE_HW, np.uint8)).convert("P")
    palette.putpalette([3, 2, 1] * 256)
    palette.save(tmp_path / "p.png")
    assert (read_segment_ids(tmp_path / "p.png", SIZE_HW) == 3 + 2 * 256 + 65536).all()


@pytest.mark.parametrize(
    "place",
    [
        "annotations/panoptic_val2017/000001.png",
        "panoptic_val2017/000001.png",
        "named/panoptic_val2017/000001.png",
        "named/000001.png",
        "annotations/000001.png",
    ],
)
def test_pngs_are_found_where_they_usually_lie(tmp_path: Path, place: str) -> None:
    panoptic = panoptic_file(tmp_path, {1: (None, SEGMENTS)})
    segment_png(tmp_path / place, SCENE)
    assert read(panoptic, images=(tmp_path / "named",)).labels.measure(0, ANYTHING).people == 1


def test_a_photograph_of_the_pngs_name_is_not_taken_for_it(tmp_path: Path) -> None:
    panoptic = panoptic_file(tmp_path, {1: (SCENE, SEGMENTS)}, images=[image(1, "000001.png")])
    photo(tmp_path / "val2017" / "000001.png")
    source = read(panoptic, images=(tmp_path / "val2017",))
    assert source.labels.measure(0, ANYTHING).people == 1
    assert source.labels.image(0) == tmp_path / "val2017" / "000001.png"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../secret.png", "not found under"),
        ("/etc/hostname", "not found under"),
        ("link.png", "is a link that leads out of"),
    ],
    ids=["above", "absolute", "link"],
)
def test_a_png_outside_the_folders_is_not_read(tmp_path: Path, name: str, words: str) -> None:
    segment_png(tmp_path / "secret.png", SCENE)
    one = {"image_id": 1, "file_name": name, "segments_info": SEGMENTS}
    panoptic = panoptic_file(tmp_path / "set", {}, images=[image(1)], annotations=[one])
    (panoptic.parent / "link.png").symlink_to(tmp_path / "secret.png")
    assert words in str(read(panoptic).labels.measure(0, ANYTHING).unreadable)


def test_an_image_without_an_annotation_is_unlabelled_not_empty(tmp_path: Path) -> None:
    """A damaged record must not turn a street full of people into an empty scene."""
    records: list[Any] = [
        {"image_id": 1, "file_name": "000001.png", "segments_info": SEGMENTS},
        {"image_id": 2, "file_name": "000002.png", "segments_info": [{"id": "five", "category_id": 1}]},
        {"image_id": 9, "file_name": "000009.png", "segments_info": []},
        {"image_id": 4, "file_name": "000004.png", "segments_info": [segment(3, 999)]},
    ]
    images = [image(number) for number in (1, 2, 3, 4)]
    source = read(panoptic_file(tmp_path, {}, images=images, annotations=records))
    problems = dict(source.candidates.select("sample_id", "unreadable").rows())
    assert [name for name, problem in problems.items() if problem] == ["coco-000002", "coco-000003"]
    assert "no annotation of the image" in problems["coco-000003"]
    assert sorted(note.what for note in source.notes) == [
        "annotations name a category that is not there; left out",
        "annotations name an image that is not there; left out",
        "records of `annotations` are damaged and were left out",
    ]


def test_a_file_of_damaged_annotations_alone_labels_nothing(tmp_path: Path) -> None:
    panoptic = panoptic_file(tmp_path, {}, images=[image(1)], annotations=[{"image_id": 1, "segments_info": []}])
    assert read(panoptic).candidates["unreadable"].null_count() == 0


def test_a_file_without_the_category_says_which_it_has(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="has no category 'person'; it has: grass-merged"):
        read(panoptic_file(tmp_path, {1: (SCENE, SEGMENTS)}, categories=CATEGORIES[-1:]))


def test_a_build_from_both_files_passes_its_check(tmp_path: Path) -> None:
    files = [
        panoptic_file(tmp_path, dict.fromkeys((1, 2, 3), (SCENE, SEGMENTS))),
        instances_file(tmp_path, [person(1, box(10, 0, 30, 40), id=1), person(2, box(10, 0, 30, 40), id=2)], images=2),
    ]
    damage(tmp_path / "annotations" / "panoptic_val2017" / "000002.png", "cut")
    for number in (1, 2, 3):
        photo(tmp_path / "val2017" / f"{number:06d}.jpg", seed=number)
    build_dataset(make_recipe({"coco": [f"coco={path}" for path in files]}), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert list(verify(dataset)) == []
    columns = dataset.samples.select("sample_id", "people", "origin", "tags").rows()
    assert columns == [
        ("coco-000001", 1, "polygon", []),
        ("coco-000002", 1, "polygon", [WITHOUT]),
        ("coco-000003", 1, "palette", ["crowd"]),
    ]


small_ids = st.lists(st.lists(st.sampled_from([0, 1, 2, 256, 65_536]), min_size=4, max_size=4), min_size=3, max_size=3)
listed = st.dictionaries(st.sampled_from([1, 2, 256, 65_536]), st.tuples(st.sampled_from([1, 193]), st.booleans()))


@settings(max_examples=60, deadline=None)
@given(ids=small_ids, segments=listed)
def test_masks_are_those_of_the_five_line_way(
    tmp_path_factory: pytest.TempPathFactory, ids: list[list[int]], segments: dict[int, tuple[int, bool]]
) -> None:
    root, array = tmp_path_factory.mktemp("panoptic"), np.array(ids)
    infos = [segment(number, category, int(crowd)) for number, (category, crowd) in segments.items()]
    source = read(panoptic_file(root, {1: (array, infos)}, images=[image(1, size_hw=(3, 4))]))
    expected = np.zeros((3, 4), np.uint8)
    for wanted_crowd, value in ((True, 128), (False, 255)):
        for number, (category, crowd) in segments.items():
            expected[(array == number) & (category == 1) & (crowd == wanted_crowd)] = value
    people = {n for n, (category, crowd) in segments.items() if category == 1 and not crowd and (array == n).any()}
    found = source.labels.measure(0, ANYTHING)
    assert (source.labels.draw(0).target == expected).all()
    assert found.people == len(people)
    counted = (expected != 128).sum()
    assert found.area == ((expected == 255).sum() / counted if counted else 0)


@given(rows=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_run_lengths_are_those_of_a_walk_down_the_columns(rows: list[list[bool]]) -> None:
    mask = np.array(rows)
    runs, value = [0], False
    for one in mask.ravel(order="F"):
        if one != value:
            runs, value = [*runs, 0], bool(one)
        runs[-1] += 1
    assert run_lengths(mask) == runs
