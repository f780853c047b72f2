"""FiftyOne's zoo as it is: what is there is read, what is not is downloaded, and what fails is one clear line."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.choosing.selection import select
from curate.choosing.zoo import read_zoo
from curate.dataset import open_dataset
from curate.errors import MachineError, MissingError, UsageError
from curate.files import held_folder
from curate.sources.reading import named_sources, read_sources
from tests.conftest import REPOSITORY
from tests.curate.scenes import box, coco_file, image, palette_png, person, photo, voc_xml
from tests.curate.zoo_server import Server, addresses, serving

KEYPOINTS = [5, 5, 2] * 17
FULL_SIZE = 5000
"""Images of COCO's validation split; FiftyOne counts them before it calls them downloaded."""


def annotation_files(folder: Path, name: str, number: int) -> None:
    """An instances and a keypoints file of one image, as they lie in COCO's archive."""
    one = person(number, box(0, 0, 30, 40), id=number)
    coco_file(folder / f"instances_{name}.json", [image(number)], [one])
    coco_file(folder / f"person_keypoints_{name}.json", [image(number)], [{**one, "keypoints": KEYPOINTS}])


def downloaded_coco(zoo: Path) -> Path:
    """The validation split of COCO as FiftyOne leaves it in its zoo: two photographs, and 4998 more to count."""
    root = zoo / "coco-2017"
    annotation_files(root / "raw", "val2017", 1)
    data = root / "validation" / "data"
    first = photo(data / "000001.jpg")
    for number in range(2, FULL_SIZE + 1):
        os.link(first, data / f"{number:06d}.jpg")
    (root / "validation" / "labels.json").write_bytes((root / "raw" / "instances_val2017.json").read_bytes())
    zoo_info(root, "fiftyone.zoo.datasets.base.COCO2017Dataset", "COCODetectionDataset", "validation", FULL_SIZE)
    return root


def zoo_info(root: Path, dataset: str, kind: str, split: str, number: int) -> None:
    """The `info.json` FiftyOne writes when a split is whole."""
    info = {
        "name": root.name,
        "zoo_dataset": dataset,
        "dataset_type": f"fiftyone.types.dataset_types.{kind}",
        "num_samples": number,
        "downloaded_splits": {split: {"split": split, "num_samples": number}},
        "classes": ["person"],
    }
    (root / "info.json").write_text(json.dumps(info))


def coco_archives(folder: Path) -> None:
    """COCO's three archives, with one image a split."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "annotations_trainval2017.zip", "w") as archive:
        for name, number in (("train2017", 1), ("val2017", 2)):
            annotation_files(folder / "annotations", name, number)
            for part in ("instances", "person_keypoints"):
                archive.write(folder / "annotations" / f"{part}_{name}.json", f"annotations/{part}_{name}.json")
            with zipfile.ZipFile(folder / f"{name}.zip", "w") as photos:
                photos.write(photo(folder / f"{number:06d}.jpg", seed=number), f"{name}/{number:06d}.jpg")


def voc_archive(folder: Path) -> str:
    """VOC's archive with a photograph a set; returns its MD5."""
    root = folder / "VOCdevkit" / "VOC2012"
    for key, part in (("2007_000001", "train"), ("2007_000002", "val")):
        photo(root / "JPEGImages" / f"{key}.jpg", seed=len(part))
        classes = np.zeros((40, 60), np.uint8)
        classes[5:30, 5:30] = 15
        palette_png(root / "SegmentationClass" / f"{key}.png", classes)
        palette_png(root / "SegmentationObject" / f"{key}.png", (classes > 0).astype(np.uint8))
        xml = voc_xml(root / "Annotations" / f"{key}.xml", ["person"]).read_text()
        bounds = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object>"
        (root / "Annotations" / f"{key}.xml").write_text(xml.replace("</object>", bounds))
        for sets in ("Main", "Segmentation"):
            (root / "ImageSets" / sets).mkdir(parents=True, exist_ok=True)
            (root / "ImageSets" / sets / f"{part}.txt").write_text(f"{key}\n")
    with tarfile.open(folder / "voc.tar", "w") as archive:
        archive.add(folder / "VOCdevkit", "VOCdevkit")
    return hashlib.md5((folder / "voc.tar").read_bytes()).hexdigest()


def use(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the environment; returns the zoo's folder."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Path(environment["FIFTYONE_DATASET_ZOO_DIR"])


def message(caught: pytest.ExceptionInfo[Any]) -> str:
    """The error's text, which is one line of bearable length."""
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    return text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("coco-2014", "there are coco-2017 and voc-2012. Download others with FiftyOne"),
        ("", "there are coco-2017 and voc-2012"),
        ("coco-2017:test", "has no such split with masks. There are: coco-2017, voc-2012, coco-2017:train"),
        ("coco-2017:", "has no such split"),
        ("voc-2012:train", "has no such split"),
    ],
    ids=["unknown", "empty", "unlabelled split", "empty split", "whole only"],
)
def test_an_unknown_data_set_is_named_before_anything_is_downloaded(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_sources(make_recipe({"zoo": ["coco-2017", text]}))
    assert words in message(caught)
    assert f"--zoo {text}: " in message(caught)


def test_what_fiftyone_has_downloaded_is_read_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FiftyOne itself, with no address changed, finds its own layout complete."""
    monkeypatch.setenv("FIFTYONE_DATASET_ZOO_DIR", str(tmp_path / "zoo"))
    root = downloaded_coco(tmp_path / "zoo")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    own = coco_file(tmp_path / "own" / "a.json", [image(9)], [person(9, box(0, 0, 30, 40), id=1)])
    photo(tmp_path / "photos" / "000009.jpg", seed=9)
    recipe = make_recipe(
        {"zoo": ["coco-2017:validation"], "coco": [str(own)], "images": [str(tmp_path / "photos")], "intact": 4}
    )
    build_dataset(recipe, tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    rows = {row["sample_id"]: row for row in dataset.samples.to_dicts()}
    assert rows.keys() == {"coco-000009", "coco-2-000001"}
    assert [rows[name]["head_visible"] for name in sorted(rows)] == [None, True]
    assert [source.sha256.keys() for source in dataset.header.sources] == [
        {"a.json"},
        {"instances_val2017.json", "person_keypoints_val2017.json"},
    ]
    assert dataset.header.recipe["zoo"] == ["coco-2017:validation"]
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert after == before


def lacking_python(tmp_path: Path) -> str:
    """An interpreter that has no FiftyOne."""
    venv.create(tmp_path / "bare", with_pip=False)
    return str(tmp_path / "bare" / "bin" / "python")


def test_a_missing_fiftyone_is_named_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", lacking_python(tmp_path))
    with pytest.raises(MachineError) as caught:
        read_zoo("voc-2012")
    assert "Run: pip install fiftyone" in message(caught)
    assert "tar xf VOCtrainval_11-May-2012.tar; --voc VOCdevkit/VOC2012" in message(caught)


def test_without_network_the_archives_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(addresses(tmp_path, "coco-2017", "http://images.cocodataset.invalid", images=1), monkeypatch)
    with pytest.raises(MachineError) as caught:
        read_zoo("coco-2017:validation")
    assert "--zoo coco-2017:validation: the server cannot be reached (" in message(caught)
    assert "Check the network. Or get the files without it: curl -LO" in message(caught)


def test_an_interrupt_ends_the_download_and_nothing_counts_as_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "www") as server:
        server.silent = True
        zoo = use(addresses(tmp_path, "coco-2017", server.address, images=1), monkeypatch)
        command = [sys.executable, "-c", "from curate.cli import main; main()", "build", "--dry-run"]
        running = subprocess.Popen(
            [*command, "--zoo", "coco-2017:validation"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ["PYTHONPATH"]])},
        )
        assert server.waited.wait(120)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=20)
        assert (running.returncode, errors.strip()) == (130, "error: interrupted")
        assert server.left.wait(20), "FiftyOne's process ended as well"
    assert [path for path in zoo.rglob("*") if path.is_file()] == []


@pytest.mark.long
def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path / "www") as server:
        server.silent = True
        use(addresses(tmp_path, "coco-2017", server.address, images=1), monkeypatch)
        with pytest.raises(MachineError, match=r"the server cannot be reached \(timed out\)"):
            read_zoo("coco-2017:validation", patience_s=0.5)


@pytest.mark.long
def test_coco_is_downloaded_once_and_a_broken_download_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coco_archives(tmp_path / "whole")
    with serving(tmp_path / "www") as server:
        zoo = use(addresses(tmp_path, "coco-2017", server.address, images=1), monkeypatch)
        serve_a_part(server, tmp_path / "whole", "val2017.zip")
        with pytest.raises(MachineError) as caught:
            read_zoo("coco-2017")
        assert f"FiftyOne cannot download it to {zoo / 'coco-2017'} (BadZipFile" in message(caught)
        serve_a_part(server, tmp_path / "whole")
        selection = select(make_recipe({"zoo": ["coco-2017"]}))
        assert selection.kept["sample_id"].to_list() == ["coco-000001", "coco-000002"]
        photos = [selection.reads[0].labels.image(row) for row in range(2)]
        assert photos == [zoo / "coco-2017" / part for part in ("train/data/000001.jpg", "validation/data/000002.jpg")]
        server.asked.clear()
        assert select(make_recipe({"zoo": ["coco-2017:train"]})).kept["sample_id"].to_list() == ["coco-000001"]
        assert server.asked == []


def serve_a_part(server: Server, whole: Path, cut: str = "") -> None:
    """Lay the archives where the server finds them; of `cut` only its first half."""
    for path in whole.glob("*.zip"):
        data = path.read_bytes()
        (server.folder / path.name).write_bytes(data[: len(data) // 2] if path.name == cut else data)


@pytest.mark.long
def test_vocs_masks_outlive_fiftyones_tidying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path / "www") as server:
        md5 = voc_archive(server.folder)
        zoo = use(addresses(tmp_path, "voc-2012", server.address, md5=md5), monkeypatch)
        selection = select(make_recipe({"zoo": ["selfies=voc-2012"]}))
        assert selection.kept["sample_id"].to_list() == ["selfies-2007_000001", "selfies-2007_000002"]
        assert selection.kept["area"].to_list() == [625 / 2400] * 2
        assert sorted(path.name for path in (zoo / "voc-2012").iterdir()) == ["info.json", "raw", "train"]
        server.asked.clear()
        assert read_zoo("voc-2012").paths == [zoo / "voc-2012" / "raw" / "VOCdevkit" / "VOC2012"]
        assert server.asked == []


@pytest.mark.long
def test_a_voc_that_was_tidied_before_lacks_its_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FiftyOne calls it downloaded, with boxes and renumbered photographs alone."""
    monkeypatch.setenv("FIFTYONE_DATASET_ZOO_DIR", str(tmp_path / "zoo"))
    root = tmp_path / "zoo" / "voc-2012"
    photo(root / "train" / "data" / "000001.jpg")
    (root / "train" / "labels.json").write_text('{"classes": ["person"], "labels": {"000001": []}}')
    zoo_info(root, "fiftyone.zoo.datasets.torch.VOC2012Dataset", "FiftyOneImageDetectionDataset", "train", 1)
    with pytest.raises(MissingError) as caught:
        read_zoo("voc-2012")
    assert f"FiftyOne's zoo has no {root / 'raw' / 'VOCdevkit' / 'VOC2012'}. Get the archive: curl" in message(caught)


@pytest.mark.long
def test_a_data_set_that_is_being_downloaded_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = use(addresses(tmp_path, "coco-2017", "http://images.cocodataset.invalid", images=1), monkeypatch)
    (zoo / "coco-2017").mkdir(parents=True)
    with held_folder(zoo / "coco-2017"), pytest.raises(MachineError) as caught:
        read_zoo("coco-2017")
    assert f"another process is downloading it to {zoo / 'coco-2017'}. Wait" in message(caught)


def test_nothing_is_downloaded_where_it_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = use(addresses(tmp_path, "coco-2017", "http://images.cocodataset.invalid"), monkeypatch)
    with pytest.raises(MissingError, match=r"has no .*instances_train2017\.json"):
        read_sources(make_recipe({"zoo": ["coco-2017"]}), download=False)
    assert not zoo.exists()
