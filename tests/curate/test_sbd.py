"""SBD's MATLAB structures: parity with scipy, and whatever else may stand in such a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from curate.errors import CurateError, FormatError
from curate.foreground import Foreground
from curate.sources import Limits, Read
from curate.sources.sbd import read_sbd_classes, read_sbd_objects
from curate.sources.voc import read_voc
from tests.curate.scenes import matrix_file, photo
from tests.curate.voc_scenes import blank, sbd_image, sbd_mat


def read(root: Path, **foreground: Any) -> Read:
    """The folder as a source."""
    return read_voc("voc", root, Foreground(**foreground))


def scene(root: Path, key: str = "2008_000001") -> None:
    """Two people (15) side by side, a dog (12) that touches the second, and a dog far away."""
    classes, objects = blank(), blank()
    classes[:, 5:15], classes[:, 15:30], classes[10:20, 30:40], classes[10:20, 50:] = 15, 15, 12, 12
    objects[:, 5:15], objects[:, 15:30], objects[10:20, 30:40], objects[10:20, 50:] = 1, 2, 3, 4
    sbd_image(root, key, classes, objects, {1: 15, 2: 15, 3: 12, 4: 12})


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_both_structures_equal_scipy(tmp_path: Path, kind: str, compressed: bool) -> None:
    values = (np.arange(70).reshape(7, 10) % 4).astype(kind)
    cls = sbd_mat(tmp_path / "cls.mat", "GTcls", values, compressed)
    inst = sbd_mat(tmp_path / "inst.mat", "GTinst", values, compressed, Categories=np.array([[15.0], [12.0], [15.0]]))
    assert (read_sbd_classes(cls) == scipy.io.loadmat(cls)["GTcls"]["Segmentation"][0, 0]).all()
    objects, class_of = read_sbd_objects(inst)
    assert (objects == scipy.io.loadmat(inst)["GTinst"]["Segmentation"][0, 0]).all()
    assert class_of == {1: 15, 2: 12, 3: 15}


def test_people_are_counted_by_their_categories_and_the_mask_has_no_void(tmp_path: Path) -> None:
    scene(tmp_path)
    source = read(tmp_path)
    assert source.candidates.select("sample_id", "people", "unreadable").row(0) == ("voc-2008_000001", None, None)
    found = source.labels.measure(0, Limits())
    assert (found.people, found.area) == (2, 25 / 60)
    label = source.labels.draw(0)
    assert sorted(np.unique(label.target)) == [0, 255]
    assert (label.origin, label.touching, label.tags, label.head_visible) == ("hand", ("dog",), (), None)
    assert sorted(source.source.sha256) == ["cls", "inst"]


def test_figures_count_from_a_share_of_the_image_on(tmp_path: Path) -> None:
    scene(tmp_path)
    for share, people in ((10 / 60, 2), (10 / 60 + 1e-6, 1), (15 / 60, 1), (0.3, 0)):
        found = read(tmp_path, min_person_area=share).labels.measure(0, Limits())
        assert (found.people, found.area) == (people, 25 / 60)


@pytest.mark.parametrize(("policy", "value"), [("include", 255), ("ignore", 128), ("exclude", 0)])
def test_only_the_animal_that_touches_is_painted(tmp_path: Path, policy: str, value: int) -> None:
    scene(tmp_path)
    labels = read(tmp_path, animals=policy).labels
    label = labels.draw(0)
    assert (label.target[10:20, 30:40] == value).all()
    assert not label.target[:, 50:].any()
    assert labels.measure(0, Limits()).area == (label.target == 255).sum() / (label.target != 128).sum()


def test_the_lists_beside_the_folders_say_what_is_looked_at(tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        scene(tmp_path, key)
    assert read(tmp_path).candidates["sample_id"].to_list() == ["voc-a", "voc-b", "voc-c"]
    (tmp_path / "train.txt").write_text("a\n")
    (tmp_path / "val.txt").write_text("b\n")
    (tmp_path / "README.txt").write_text("c is not in it\n")
    source = read(tmp_path)
    assert source.candidates["sample_id"].to_list() == ["voc-a", "voc-b"]
    assert [note.where for note in source.notes] == ["c"]


def test_the_folder_is_found_below_that_of_the_release(tmp_path: Path) -> None:
    scene(tmp_path / "benchmark_RELEASE" / "dataset")
    assert read(tmp_path).candidates.height == 1
    assert read(tmp_path / "benchmark_RELEASE").candidates.height == 1


def test_without_an_object_mask_people_count_as_one(tmp_path: Path) -> None:
    scene(tmp_path)
    (tmp_path / "inst" / "2008_000001.mat").unlink()
    found = read(tmp_path).labels.measure(0, Limits())
    assert found.people == 1
    assert "count as one" in found.notes[0].what


def test_a_photo_without_a_mask_is_unreadable(tmp_path: Path) -> None:
    scene(tmp_path)
    photo(tmp_path / "img" / "b.jpg")
    assert "b: has no mask: cls holds no b.mat" in read(tmp_path).candidates["unreadable"].to_list()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"segmentation": np.array([[0.5]])}, r"at GTinst\.Segmentation: holds 0\.5; expected whole numbers"),
        ({"segmentation": np.array([[np.nan]])}, r"at GTinst\.Segmentation: holds nan"),
        ({"segmentation": np.array([[-1, 1]])}, r"at GTinst\.Segmentation: holds -1"),
        ({"segmentation": np.array([[300]])}, r"at GTinst\.Segmentation: holds 300"),
        ({"segmentation": np.zeros((0, 0))}, "at GTinst: holds no matrix Segmentation"),
        ({"segmentation": "text"}, "at GTinst: holds no matrix Segmentation"),
        ({"segmentation": np.array([[0, 3]])}, "at GTinst: shows object 3, but Categories lists 2"),
        ({"segmentation": np.array([[0, 1]]), "Categories": "dog"}, "shows object 1, but Categories lists 0"),
    ],
    ids=["half", "nan", "negative", "large", "empty", "text", "unlisted", "no numbers"],
)
def test_structures_that_make_no_sense_are_refused(tmp_path: Path, fields: Any, words: str) -> None:
    path = sbd_mat(tmp_path / "a.mat", "GTinst", **{"Categories": np.array([[15.0], [12.0]]), **fields})
    with pytest.raises(FormatError, match=words):
        read_sbd_objects(path)


def test_void_is_no_object_of_the_list(tmp_path: Path) -> None:
    path = sbd_mat(tmp_path / "a.mat", "GTinst", np.array([[0, 1, 255]], np.uint8), Categories=np.array([[15.0]]))
    objects, class_of = read_sbd_objects(path)
    assert objects.tolist() == [[0, 1, 255]]
    assert class_of == {1: 15}


@pytest.mark.parametrize(
    "content", [b"", b"text", None, b"MATLAB".ljust(124) + b"\0\1IM"], ids=["empty", "text", "plain", "nothing in it"]
)
def test_damage_costs_one_image(tmp_path: Path, content: bytes | None) -> None:
    scene(tmp_path, "a")
    scene(tmp_path, "b")
    if content is None:
        matrix_file(tmp_path / "cls" / "a.mat", groundtruth=blank())
    else:
        (tmp_path / "cls" / "a.mat").write_bytes(content)
    labels = read(tmp_path).labels
    assert "a.mat" in (labels.measure(0, Limits()).unreadable or "")
    with pytest.raises(CurateError, match=r"a\.mat"):
        labels.draw(0)
    assert labels.measure(1, Limits()).people == 2


def test_masks_that_differ_in_size_are_refused(tmp_path: Path) -> None:
    scene(tmp_path)
    sbd_mat(tmp_path / "inst" / "2008_000001.mat", "GTinst", np.eye(4), Categories=np.array([[15.0]]))
    found = read(tmp_path).labels.measure(0, Limits())
    assert "expected the size of its class mask (40, 60), got (4, 4)" in (found.unreadable or "")
