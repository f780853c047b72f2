"""VOC exports: palette masks, XML, image sets, and that `curate build` gets masks and people back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.exports.voc import annotation_xml, class_png, colour_map, export_voc, image_sets
from curate.looking.funnel import sum_up
from curate.sources.voc_xml import read_objects
from tests.curate.exporting import BORDER, PEOPLE, small_dataset, tree
from tests.label.making import Photo, make_dataset, picture


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return small_dataset(tmp_path / "people")


def test_the_folder_is_laid_out_as_vocs(dataset: Dataset, tmp_path: Path) -> None:
    exported = export_voc(dataset, str(tmp_path / "out"))
    assert exported.images == {"train": 2, "val": 1, "pool": 1, "background": 1}
    names = ["coco-1", "coco-2", "empty-1", "own-1", "voc-1"]
    found = set(tree(tmp_path / "out")) - {"curate-export.json"}
    assert found == {
        *(f"JPEGImages/{name}.png" for name in names),
        *(f"Annotations/{name}.xml" for name in names),
        *(f"SegmentationClass/{name}.png" for name in names if name != "own-1"),
        *(f"ImageSets/Segmentation/{split}.txt" for split in ("train", "val", "trainval", "background")),
        "ImageSets/Main/pool.txt",
    }
    assert (tmp_path / "out/ImageSets/Segmentation/trainval.txt").read_text() == "coco-1\ncoco-2\nvoc-1\n"
    assert (tmp_path / "out/JPEGImages/coco-1.png").samefile(dataset.root / "images/coco-1.png")


def test_the_image_sets_are_those_of_the_splits() -> None:
    rows = [{"sample_id": "a"}, {"sample_id": "c"}]
    assert image_sets({"train": rows, "val": [{"sample_id": "b"}], "test": [{"sample_id": "d"}]}) == {
        "Segmentation/train.txt": "a\nc\n",
        "Segmentation/val.txt": "b\n",
        "Segmentation/test.txt": "d\n",
        "Segmentation/trainval.txt": "a\nb\nc\n",
    }
    assert image_sets({"test": rows}) == {"Segmentation/test.txt": "a\nc\n"}


def test_masks_are_palette_images_in_vocs_colours(dataset: Dataset, tmp_path: Path) -> None:
    export_voc(dataset, tmp_path / "out")
    with Image.open(tmp_path / "out/SegmentationClass/coco-1.png") as image:
        assert image.mode == "P"
        indices, colours = np.array(image), np.array(image.convert("RGB"))
    assert (indices == np.select([PEOPLE == 255, PEOPLE == 128], [15, 255], 0)).all()
    assert colours[0, 2].tolist() == [192, 128, 128]
    assert colours[1, 4].tolist() == [224, 224, 192]
    assert colours[0, 0].tolist() == [0, 0, 0]


def test_the_colours_are_those_of_the_development_kit() -> None:
    for index, colour in enumerate(colour_map().tolist()):
        red = green = blue = 0
        left = index
        for place in range(8):
            red |= (left & 1) << (7 - place)
            green |= (left >> 1 & 1) << (7 - place)
            blue |= (left >> 2 & 1) << (7 - place)
            left >>= 3
        assert colour == [red, green, blue]


@pytest.mark.real
def test_the_colours_are_those_of_a_real_mask(real_data: Path) -> None:
    path = min((real_data / "voc2012" / "SegmentationClass").glob("*.png"))
    with Image.open(path) as image:
        palette = image.getpalette()
    assert palette == colour_map().ravel().tolist()


def test_the_same_mask_gives_the_same_bytes() -> None:
    assert class_png(PEOPLE) == class_png(PEOPLE.copy())


XML = """\
<annotation>
	<folder>people</folder>
	<filename>coco-1.png</filename>
	<source>
		<database>people</database>
		<annotation>union of people</annotation>
		<image>pairs</image>
		<license>CC BY 4.0</license>
	</source>
	<size>
		<width>6</width>
		<height>4</height>
		<depth>3</depth>
	</size>
	<segmented>1</segmented>
	<object>
		<name>person</name>
		<people>2</people>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>2</xmin>
			<ymin>1</ymin>
			<xmax>4</xmax>
			<ymax>3</ymax>
		</bndbox>
	</object>
</annotation>
"""


def test_the_xml_says_what_is_known(dataset: Dataset, tmp_path: Path) -> None:
    export_voc(dataset, tmp_path / "out")
    annotations = tmp_path / "out/Annotations"
    assert (annotations / "coco-1.xml").read_text() == XML
    assert "<truncated>1</truncated>" in (annotations / "voc-1.xml").read_text()
    for name, segmented in (("own-1", 0), ("empty-1", 1)):
        text = (annotations / f"{name}.xml").read_text()
        assert f"<segmented>{segmented}</segmented>" in text
        assert "<object>" not in text


def test_words_xml_cannot_hold_are_made_harmless(tmp_path: Path, dataset: Dataset) -> None:
    row = {**dataset.rows("train")[0], "licence": "a\x00<b>&\uffff"}
    path = tmp_path / "a.xml"
    path.write_bytes(annotation_xml(row, PEOPLE, 3, "p"))
    assert "<license>a?&lt;b&gt;&amp;?</license>" in path.read_text()
    assert [(one.name, one.people) for one in read_objects(path)] == [("person", 2)]


def test_grey_photographs_have_one_channel(tmp_path: Path) -> None:
    Image.fromarray(picture("grey", (3, 4))[..., 0]).save(tmp_path / "grey.png")
    dataset = make_dataset(tmp_path / "people", {"a-1": Photo(BORDER, tmp_path / "grey.png")})
    export_voc(dataset, tmp_path / "out")
    assert "<depth>1</depth>" in (tmp_path / "out/Annotations/a-1.xml").read_text()


def test_build_gets_masks_and_people_back(dataset: Dataset, tmp_path: Path) -> None:
    export_voc(dataset, tmp_path / "out", ["val", "train"])
    build_dataset(make_recipe({"voc": [str(tmp_path / "out")]}), tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    rows = {f"voc-{row['sample_id']}": row for row in dataset.rows("train", "val")}
    assert sorted(rows) == back.samples["sample_id"].to_list()
    for row in back.rows():
        for column in ("mask_sha256", "image_sha256", "people"):
            assert row[column] == rows[row["sample_id"]][column]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif"])
def test_photographs_of_any_format_come_back(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(picture("a", (3, 4))).save(tmp_path / f"a{suffix}")
    dataset = make_dataset(tmp_path / "people", {"a-1": Photo(BORDER, tmp_path / f"a{suffix}")})
    exported = export_voc(dataset, tmp_path / "out")
    named = ".jpg" if suffix == ".jpeg" else suffix
    assert (tmp_path / f"out/JPEGImages/a-1{named}").read_bytes() == (tmp_path / f"a{suffix}").read_bytes()
    told = "1 photographs are no JPEG and keep their suffix; some tools look for .jpg alone; the first: a-1"
    assert sum_up(exported.notes) == ([] if named == ".jpg" else [told + named])
    shutil.rmtree(dataset.root)
    build_dataset(make_recipe({"voc": [str(tmp_path / "out")]}), tmp_path / "back")
    assert open_dataset(tmp_path / "back").samples.height == 1
