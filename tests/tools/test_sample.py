"""The embedded sample: redrawn bytes, sound labels, the promised counts. Read with pycocotools and Pillow alone."""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from tests.drawing import mask
from tools.sample import SEED
from tools.sample.__main__ import draw_all
from tools.sample.coco import annotation
from tools.sample.drawing import draw
from tools.sample.errors import KINDS
from tools.sample.labels import Mask, fill_polygons, run_lengths, trace
from tools.sample.plan import make_plan
from tools.sample.voc import palette
from tools.sample.writing import voc_photo_files, write_files

SPLITS = ("train2017", "val2017")
FOLDER = Path(__file__).resolve().parents[2] / "datasets" / "sample"
PLAN = {spec.file: spec for spec in make_plan(SEED)}


@cache
def coco() -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Image record and annotations of each COCO photo, by its path inside the sample."""
    photos = {}
    for split in SPLITS:
        document = json.loads((FOLDER / f"coco/annotations/instances_{split}.json").read_text())
        annotations = defaultdict(list)
        for row in document["annotations"]:
            annotations[row["image_id"]].append(row)
        for image in document["images"]:
            photos[f"coco/{split}/{image['file_name']}"] = (image, annotations[image["id"]])
    return photos


@cache
def planted() -> dict[str, dict[str, Any]]:
    """The planted label errors by photo."""
    return {row["file"]: row for row in json.loads((FOLDER / "planted.json").read_text())}


def filled(segmentation: Any, image: dict[str, Any]) -> Mask:
    """Pixels (H, W) of an annotation, as COCO fills them."""
    encoded = rle.frPyObjects(segmentation, image["height"], image["width"])
    return np.asarray(rle.decode(rle.merge(encoded) if isinstance(encoded, list) else encoded) > 0)


def people(file: str) -> list[dict[str, Any]]:
    return [row for row in coco()[file][1] if row["category_id"] == 1]


def coco_union(file: str) -> Mask:
    image, _ = coco()[file]
    masks = [filled(row["segmentation"], image) for row in people(file) if not row["iscrowd"]]
    return np.any([np.zeros((image["height"], image["width"]), bool), *masks], axis=0)


def read_indices(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)


def voc_keys(name: str) -> list[str]:
    return (FOLDER / f"VOC2012/ImageSets/Segmentation/{name}.txt").read_text().split()


def fate(share: float, counted: int, crowd: bool) -> str:
    """What the funnel does with an image at --min-area 0.2 --max-area 0.7 --min-people 1 --max-people 2."""
    if not counted:
        return "crowd" if crowd else "nobody"
    if counted > 2:
        return "many"
    if crowd:
        return "crowd"
    return "small" if share < 0.2 else "large" if share > 0.7 else "kept"


def coco_fate(file: str) -> str:
    crowd = any(row["iscrowd"] for row in people(file))
    return fate(float(coco_union(file).mean()), sum(not row["iscrowd"] for row in people(file)), crowd)


def voc_fate(key: str) -> str:
    classes = read_indices(FOLDER / f"VOC2012/SegmentationClass/{key}.png")
    numbers = read_indices(FOLDER / f"VOC2012/SegmentationObject/{key}.png")
    share = float((classes == 15).sum() / (classes != 255).sum())
    return fate(share, np.unique(numbers[classes == 15]).size, crowd=False)


@cache
def fates() -> dict[str, str]:
    found = {file: coco_fate(file) for file in coco()}
    return found | {f"VOC2012/JPEGImages/{key}.jpg": voc_fate(key) for key in voc_keys("trainval")}


def first(**wanted: Any) -> str:
    """The first photo of the plan with these properties and true labels."""
    for file, spec in PLAN.items():
        held = {"intent": spec.recipe.intent, "grey": spec.recipe.grey, "source": spec.source, "change": spec.change}
        if file not in planted() and all(held[key] == value for key, value in wanted.items()):
            return file
    raise LookupError(wanted)


REDRAWN = [
    first(intent="fit", source="coco"),
    first(intent="crowd"),
    first(intent="nobody"),
    first(grey=True),
    first(source="voc", intent="fit"),
    first(change="brighter"),
]


@pytest.mark.parametrize("file", REDRAWN)
def test_redrawn_scenes_are_the_committed_bytes(file: str) -> None:
    drawn = draw(PLAN[file], SEED)
    assert drawn.jpeg == (FOLDER / file).read_bytes()
    if PLAN[file].source == "voc":
        for path, content in voc_photo_files(drawn):
            assert content == (FOLDER / path).read_bytes(), path
        return
    image_id = int(PLAN[file].key)
    redrawn = [annotation(label, image_id, image_id * 100 + n) for n, label in enumerate(drawn.labels)]
    assert json.loads(json.dumps(redrawn)) == coco()[file][1]


def test_workers_do_not_change_what_is_drawn() -> None:
    specs = [PLAN[file] for file in REDRAWN[2:4]]
    assert [d.jpeg for d in draw_all(specs, SEED, 2)] == [d.jpeg for d in draw_all(specs, SEED, 1)]


def test_the_folder_is_at_most_six_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 6_000_000


def test_every_planned_photo_is_there_and_no_other() -> None:
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.jpg")} == PLAN.keys()
    assert coco().keys() == {file for file, spec in PLAN.items() if spec.source == "coco"}


def test_sizes_in_the_json_are_those_of_the_photos() -> None:
    for file, (image, _) in coco().items():
        with Image.open(FOLDER / file) as photo:
            assert photo.size == (image["width"], image["height"]), file


def test_stated_areas_are_those_of_the_polygons() -> None:
    off = [
        (file, row["id"], row["area"])
        for file, (image, _) in coco().items()
        for row in people(file)
        if file not in planted()
        and abs(int(filled(row["segmentation"], image).sum()) - row["area"]) > 0.02 * row["area"]
    ]
    assert not off


def test_boxes_hold_their_polygons_inside_the_photo() -> None:
    for file, (image, rows) in coco().items():
        for row in rows:
            x, y, w, h = row["bbox"]
            assert min(x, y) >= 0, file
            assert x + w <= image["width"] + 1e-6, file
            assert y + h <= image["height"] + 1e-6, file
            if not row["iscrowd"]:
                points = np.concatenate([np.reshape(part, (-1, 2)) for part in row["segmentation"]])
                assert np.allclose([points.min(0), points.max(0)], [(x, y), (x + w, y + h)], atol=0.011), file


def test_crowds_are_run_lengths_and_nothing_else_is() -> None:
    for image, rows in coco().values():
        for row in rows:
            if row["iscrowd"]:
                assert sum(row["segmentation"]["counts"]) == image["height"] * image["width"]
            assert isinstance(row["segmentation"], dict) == bool(row["iscrowd"])


def test_some_people_are_in_several_parts() -> None:
    assert sum(len(row["segmentation"]) > 1 for file in coco() for row in people(file) if not row["iscrowd"]) >= 20


def test_the_funnel_bites_as_promised() -> None:
    shares = {kind: count / len(PLAN) for kind, count in Counter(fates().values()).items()}
    limits = {
        "kept": (0.60, 0.66),
        "nobody": (0.06, 0.10),
        "many": (0.06, 0.10),
        "crowd": (0.03, 0.05),
        "small": (0.09, 0.14),
        "large": (0.03, 0.05),
    }
    assert shares.keys() == limits.keys()
    assert {kind: share for kind, share in shares.items() if not limits[kind][0] <= share <= limits[kind][1]} == {}


def test_one_image_in_twenty_has_a_planted_error_of_a_known_kind() -> None:
    assert len(planted()) * 20 == len(PLAN)
    assert {row["kind"] for row in planted().values()} == set(KINDS)
    assert all((FOLDER / file).is_file() for file in planted())
    assert sum(file.startswith("VOC2012/") for file in planted()) == 3


def test_planted_errors_stay_in_the_usual_selection() -> None:
    assert {file: fates()[file] for file in planted() if fates()[file] != "kept"} == {}


def test_swapped_labels_name_each_other() -> None:
    swapped = {file: row["other"] for file, row in planted().items() if row["kind"] == "swap"}
    assert len(swapped) == 2
    assert all(swapped[other] == file for file, other in swapped.items())


def corrected(path: Path) -> tuple[str, Mask]:
    """Photo and people's pixels of a LabelMe file."""
    document = json.loads(path.read_text())
    photo = (path.parent / document["imagePath"]).resolve().relative_to(FOLDER).as_posix()
    polygons = [[(x, y) for x, y in shape["points"]] for shape in document["shapes"]]
    return photo, fill_polygons(polygons, (document["imageHeight"], document["imageWidth"]))


def test_corrections_differ_from_planted_labels_and_agree_with_innocent_ones() -> None:
    paths = sorted((FOLDER / "labels").glob("*.json"))
    assert len(paths) == 20
    seen = set()
    for path in paths:
        photo, truth = corrected(path)
        labelled = coco_union(photo)
        iou = float((truth & labelled).sum() / (truth | labelled).sum())
        assert (iou < 0.9) == (photo in planted()), (photo, iou)
        if photo in planted():
            assert iou == pytest.approx(planted()[photo]["iou"], abs=0.02)
        else:
            assert iou == 1.0, photo
        seen.add(photo)
    assert {file for file in planted() if file.startswith("coco/")} <= seen


def test_parts_of_one_person_share_a_group() -> None:
    groups = [
        Counter(shape["group_id"] for shape in json.loads(path.read_text())["shapes"] if shape["group_id"] is not None)
        for path in (FOLDER / "labels").glob("*.json")
    ]
    assert any(groups)
    assert all(count > 1 for group in groups for count in group.values())


def test_voc_masks_have_the_palette_and_only_known_indices() -> None:
    for key in voc_keys("trainval"):
        path = FOLDER / f"VOC2012/SegmentationClass/{key}.png"
        with Image.open(path) as image:
            assert image.getpalette() == palette()
        assert set(np.unique(read_indices(path)).tolist()) <= {0, 3, 8, 9, 11, 12, 13, 15, 16, 255}
    assert palette()[45:48] == [192, 128, 128]


def test_voc_objects_are_those_of_the_xml() -> None:
    for key in voc_keys("trainval"):
        tree = ElementTree.parse(FOLDER / f"VOC2012/Annotations/{key}.xml").getroot()
        numbers = read_indices(FOLDER / f"VOC2012/SegmentationObject/{key}.png")
        names = [node.findtext("name") for node in tree.iter("object")]
        assert set(np.unique(numbers).tolist()) - {0, 255} <= set(range(1, len(names) + 1)), key
        with Image.open(FOLDER / f"VOC2012/JPEGImages/{key}.jpg") as photo:
            assert (tree.findtext("size/width"), tree.findtext("size/height")) == tuple(map(str, photo.size))
            assert photo.size == numbers.shape[::-1]


def test_voc_sets_leave_some_photos_out() -> None:
    listed = voc_keys("trainval")
    photos = {path.stem for path in (FOLDER / "VOC2012/JPEGImages").glob("*.jpg")}
    masks = {path.stem for path in (FOLDER / "VOC2012/SegmentationClass").glob("*.png")}
    assert sorted(voc_keys("train") + voc_keys("val")) == listed
    assert masks == set(listed)
    assert len(photos - masks) == 6
    assert sum((FOLDER / f"VOC2012/Annotations/{key}.xml").is_file() for key in photos - masks) == 3


def test_twins_and_grey_photos_are_there() -> None:
    copies = Counter(hashlib.sha256((FOLDER / file).read_bytes()).hexdigest() for file in PLAN)
    assert sorted(copies.values())[-3:] == [1, 2, 2]
    assert sum(spec.change == "brighter" for spec in PLAN.values()) == 2
    greys = 0
    for file in PLAN:
        with Image.open(FOLDER / file) as photo:
            greys += photo.mode == "L"
    assert greys == 2


def test_writing_replaces_only_what_the_program_owns(tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/stale.jpg").touch()
    (tmp_path / "README.md").write_text("kept")
    assert write_files(tmp_path, iter([("coco/new.jpg", b"12"), ("planted.json", b"[]")])) == 4
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "README.md",
        "new.jpg",
        "planted.json",
    ]


@pytest.mark.parametrize(
    "drawing",
    ["....\n.##.\n.##.\n....", "#.\n##", "########\n###..###\n###..###\n########", "##.##\n##.##\n##.##"],
    ids=["square", "corner", "hole", "gap of one px"],
)
def test_traced_outlines_fill_to_the_same_pixels(drawing: str) -> None:
    wide = np.kron(mask(drawing), np.ones((3, 3), bool))
    assert np.array_equal(fill_polygons(trace(wide, 1.0, 0.0), wide.shape), wide)


@pytest.mark.parametrize("drawing", ["#.\n.#", "..\n..", "##\n##", ".##\n#.#"])
def test_run_lengths_are_cocos(drawing: str) -> None:
    pixels = mask(drawing)
    h, w = pixels.shape
    encoded = rle.frPyObjects({"counts": run_lengths(pixels), "size": [h, w]}, h, w)
    assert np.array_equal(rle.decode(encoded) > 0, pixels)
