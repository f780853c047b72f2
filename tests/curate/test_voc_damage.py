"""VOC folders from a stranger: links, folders and pipes in place of files, and damage to any file."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from curate.errors import CurateError, MissingError
from curate.sources import Limits
from tests.curate.scenes import palette_png, photo, voc_image
from tests.curate.voc_scenes import an_object, classes, damaged, image_set, read, xml_file


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    root = tmp_path / "VOC2012"
    photo(tmp_path / "secret.jpg")
    palette_png(tmp_path / "secret.png", classes())
    xml_file(tmp_path / "secret.xml", an_object())
    for key in "abcd":
        voc_image(root, key, classes(), ["person"])
    for part in ("JPEGImages/b.jpg", "SegmentationClass/c.png", "Annotations/d.xml"):
        (root / part).unlink()
        (root / part).symlink_to(tmp_path / f"secret{Path(part).suffix}")
    (root / "JPEGImages" / "e.jpg").symlink_to("a.jpg")
    (root / "SegmentationClass" / "e.png").symlink_to("a.png")
    source = read(root)
    unreadable = dict(source.candidates.select("sample_id", "unreadable").iter_rows())
    assert unreadable["voc-a"] is None
    assert unreadable["voc-e"] is None
    for key, kind in (("b", "jpg"), ("c", "png"), ("d", "xml")):
        leads = f"is a link that leads out of {root}, to {tmp_path / 'secret'}.{kind}"
        assert leads in (unreadable[f"voc-{key}"] or "")
    with pytest.raises(MissingError, match="leads out"):
        source.labels.image(source.candidates.filter(sample_id="voc-b")["row"].item())


def test_a_linked_folder_or_list_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "VOC2012"
    voc_image(root, "a", classes(), ["person"])
    (root / "SegmentationClass").rename(tmp_path / "elsewhere")
    (root / "SegmentationClass").symlink_to("../elsewhere")
    [problem] = read(root).candidates["unreadable"]
    assert f"leads out of {root}, to {tmp_path / 'elsewhere' / 'a.png'}" in problem
    (tmp_path / "list.txt").write_text("a\n")
    image_set(root, "b.txt", "")
    (root / "ImageSets" / "Segmentation" / "a.txt").symlink_to(tmp_path / "list.txt")
    with pytest.raises(MissingError, match=r"a\.txt: is a link that leads out"):
        read(root)


def test_folders_and_pipes_in_place_of_files_cost_one_image_each(tmp_path: Path) -> None:
    for key in "abcde":
        voc_image(tmp_path, key, classes(), ["person"])
    for number, part in enumerate(("JPEGImages/a.jpg", "SegmentationClass/b.png", "Annotations/c.xml")):
        (tmp_path / part).unlink()
        (tmp_path / part).mkdir() if number % 2 else os.mkfifo(tmp_path / part)
    (tmp_path / "SegmentationObject" / "d.png").mkdir(parents=True)
    unreadable = read(tmp_path).candidates["unreadable"].to_list()
    assert all("is not a regular file" in problem for problem in unreadable[:4])
    assert unreadable[4] is None


def damage_one_file(root: Path, part: str, content: bytes, seed: int) -> None:
    """Damage one file of image `a`: a row that says what is wrong, or a label of the image's size, as measured."""
    (root / part).write_bytes(damaged(content, random.Random(seed)))
    try:
        source = read(root, animals="include")
    except CurateError:
        assert part.endswith(".txt")
        return
    assert None in source.candidates["unreadable"].to_list(), "image b is untouched"
    row = source.candidates.filter(sample_id="voc-a")
    if row.height and row["unreadable"].item() is None:
        found = source.labels.measure(row["row"].item(), Limits())
        if found.unreadable is None:
            target = source.labels.draw(row["row"].item()).target
            assert target.shape == (row["height"].item(), row["width"].item())
            assert found.area == (target == 255).sum() / max(1, (target != 128).sum())


PARTS = (
    "JPEGImages/a.jpg",
    "SegmentationClass/a.png",
    "SegmentationObject/a.png",
    "Annotations/a.xml",
    "ImageSets/Segmentation/a.txt",
)


def damage(root: Path, seeds: range) -> None:
    """Each file of one image damaged in turn, beside an image that is whole."""
    for key in ("a", "b"):
        voc_image(root, key, classes(), ["person", "dog"])
        xml_file(root / "Annotations" / f"{key}.xml", an_object(box=(9, 0, 21, 40), parts=("head",)), an_object("dog"))
        palette_png(root / "SegmentationObject" / f"{key}.png", classes())
        image_set(root, f"{key}.txt", f"{key}\n")
    for part in PARTS:
        content = (root / part).read_bytes()
        for seed in seeds:
            damage_one_file(root, part, content, seed)
        (root / part).write_bytes(content)


def test_damage_to_any_file_costs_its_image_at_most(tmp_path: Path) -> None:
    damage(tmp_path, range(25))


@pytest.mark.long
def test_much_damage_to_any_file_costs_its_image_at_most(tmp_path: Path) -> None:
    damage(tmp_path, range(25, 1500))
