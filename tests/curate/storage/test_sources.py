"""Sources by URL: the same dataset as by path, and no photograph fetched that is not wanted."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from curate.dataset import open_dataset
from curate.files import cache_folder
from curate.storage import mirrors, remote
from curate.storage.urls import mirror_path, parse_url
from curate.threads import unwatched
from tests.curate.conftest import Run
from tests.curate.scenes import box, coco_file, image, person, photo
from tests.curate.storage.buckets import Bucket
from tests.curate.storage.machines import move_to
from tests.curate.test_panoptic import PERSON, areas, panoptic_file, segment

SMALL, LARGE = 0.1, 0.5


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Eight photographs of COCO, of every second one the person is small; in the usual layout, and pairs."""
    root = tmp_path / "scenes"
    images, annotations = [], []
    for number in range(1, 9):
        images.append(image(number))
        annotations.append(person(number, box(0, 0, 60, 40 * (SMALL if number % 2 else LARGE))))
        photo(root / "val2017" / f"{number:06d}.jpg", seed=number)
    coco_file(root / "annotations" / "instances_val2017.json", images, annotations)
    return root


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the objects that are fetched from now on."""
    names: list[str] = []
    plain = remote.fetch
    monkeypatch.setattr(remote, "fetch", lambda url, *told: (names.append(url.name), plain(url, *told))[1])
    return names


def built(run: Run, *words: str) -> str:
    """The digest of the dataset that is built with these words."""
    code, _, err = run("build", *words)
    assert code == 0, err
    return open_dataset(Path(words[words.index("--out") + 1])).header.digest


def test_coco_by_url_is_coco_by_path_and_fetches_what_is_kept(
    bucket: Bucket, run: Run, scenes: Path, fetched: list[str], tmp_path: Path
) -> None:
    bucket.upload(scenes, "coco")
    url, file = bucket.url("coco"), "annotations/instances_val2017.json"
    here = built(run, "--coco", f"{scenes}/{file}", "--min-area", "0.3", "--out", "here")
    there = built(run, "--coco", f"{url}/{file}", "--min-area", "0.3", "--out", "there")
    assert there == here
    assert sorted(fetched) == ["000002.jpg", "000004.jpg", "000006.jpg", "000008.jpg", "instances_val2017.json"]
    header = json.loads(Path("there/dataset.json").read_text())
    assert header["recipe"]["coco"] == [f"{url}/{file}"], "as the user gave it"
    assert "cache" not in Path("there/dataset.json").read_text()
    fetched.clear()
    named = built(
        run, "--coco", f"coco={url}/{file}", "--images", f"{url}/val2017", "--min-area", "0.3", "--out", "named"
    )
    assert (named, fetched) == (here, []), "they are here already"


def test_a_dry_run_fetches_no_photograph(bucket: Bucket, run: Run, scenes: Path, fetched: list[str]) -> None:
    bucket.upload(scenes, "coco")
    code, _, err = run("build", "--coco", bucket.url("coco/annotations/instances_val2017.json"), "--dry-run")
    assert code == 0, err
    assert fetched == ["instances_val2017.json"]


def test_photographs_are_looked_for_wherever_they_lie_below_images(bucket: Bucket, run: Run, scenes: Path) -> None:
    bucket.upload(scenes / "annotations", "labels")
    bucket.upload(scenes / "val2017", "photos/of/2017")
    bucket.remove("photos/of/2017/000002.jpg")
    words = ("--coco", bucket.url("labels/instances_val2017.json"), "--images", bucket.url("photos"))
    built(run, *words, "--out", "people")
    people = open_dataset(Path("people"))
    assert people.samples.height == 7
    lost = people.drops.row(0, named=True)
    assert lost["rule"] == "unreadable"
    assert lost["detail"].startswith(f"000002.jpg: not found under {bucket.url('photos')}.")


def test_only_what_changed_is_fetched_again(bucket: Bucket, run: Run, scenes: Path, fetched: list[str]) -> None:
    bucket.upload(scenes, "coco")
    words = ("--coco", bucket.url("coco/annotations/instances_val2017.json"), "--out", "people")
    before = built(run, *words)
    fetched.clear()
    photo(scenes / "val2017" / "000003.jpg", seed=99)
    data = (scenes / "val2017" / "000003.jpg").read_bytes()
    bucket.write("coco/val2017/000003.jpg", data)
    assert built(run, *words, "--force") != before
    assert fetched == ["000003.jpg"]
    bucket.write("coco/val2017/000003.jpg", bytes(reversed(data)))
    fetched.clear()
    run("build", *words, "--force")
    assert fetched == ["000003.jpg"], "of the same size, in the same second"


@pytest.mark.parametrize("named", [False, True])
def test_a_photograph_that_is_gone_there_is_not_used_here(bucket: Bucket, run: Run, scenes: Path, named: bool) -> None:
    bucket.upload(scenes, "coco")
    more = ("--images", bucket.url("coco/val2017")) if named else ()
    words = ("--coco", bucket.url("coco/annotations/instances_val2017.json"), *more, "--out", "people", "--force")
    run("build", *words)
    assert open_dataset(Path("people")).drops.is_empty()
    bucket.remove("coco/val2017/000003.jpg")
    run("build", *words)
    assert open_dataset(Path("people")).drops["rule"].to_list() == ["unreadable"]


def test_what_another_process_fetches_is_left_to_it(bucket: Bucket, run: Run, sample: Path) -> None:
    bucket.upload(sample / "coco/train2017", "pool")
    place = mirror_path(parse_url(bucket.url("pool")))
    place.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as another:
        theirs, left = place / f".0.{another.pid}.partial", place / ".0.1000000000.partial"
        for path in (theirs, left):
            path.touch()
        mirrors.mirror(parse_url(bucket.url("pool")), unwatched)
        another.kill()
    assert theirs.exists()
    assert not left.exists(), "nobody fetches it any more"


def test_many_objects_are_told_apart_by_size_in_no_time() -> None:
    sizes = [remote.MOST_IN_MEMORY if number % 1000 == 7 else 10 for number in range(200_000)]
    begun = time.process_time()
    small, *large = remote.small_then_large(range(200_000), sizes)
    assert time.process_time() - begun < 1
    assert len(small) == 199_800
    assert large == [[number] for number in range(7, 200_000, 1000)]


def test_weights_are_read_by_url(bucket: Bucket, run: Run, made: Path) -> None:
    bucket.write("weights/mine.safetensors", b"no weights")
    told = ("train", "fit", str(made), "--out", "run", "--encoder", "mobilenet_v2", "--size", "32", "--epochs", "1")
    _, _, err = run(*told, "--weights", bucket.url("weights/mine.safetensors"))
    assert "mine.safetensors" in err
    assert "no such weights" not in err
    assert "no such file or folder in the bucket" in run(*told, "--weights", bucket.url("weights/none"))[2]


def test_voc_and_pool_by_url_are_those_by_path(
    bucket: Bucket, run: Run, sample: Path, fetched: list[str], tmp_path: Path
) -> None:
    for name in ("ImageSets", "SegmentationClass", "SegmentationObject", "Annotations"):
        shutil.copytree(sample / "VOC2012" / name, tmp_path / "voc" / name)
    (tmp_path / "voc" / "JPEGImages").mkdir()
    (tmp_path / "voc" / "ImageSets" / "Segmentation" / "trainval.txt").unlink()
    (tmp_path / "voc" / "ImageSets" / "Segmentation" / "train.txt").unlink()
    names = (tmp_path / "voc" / "ImageSets" / "Segmentation" / "val.txt").read_text().split()[:6]
    (tmp_path / "voc" / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(names))
    for name in names:
        shutil.copy(sample / "VOC2012" / "JPEGImages" / f"{name}.jpg", tmp_path / "voc" / "JPEGImages")
    photo(tmp_path / "pool" / "a" / "1.jpg", seed=1)
    photo(tmp_path / "pool" / "b.jpg", seed=2)
    bucket.upload(tmp_path / "voc", "voc")
    bucket.upload(tmp_path / "pool", "pool")
    here = built(run, "--voc", str(tmp_path / "voc"), "--pool", str(tmp_path / "pool"), "--out", "here")
    there = built(run, "--voc", bucket.url("voc"), "--pool", bucket.url("pool"), "--out", "there")
    assert there == here
    assert (tmp_path / "here" / "drops.parquet").read_bytes() == (tmp_path / "there" / "drops.parquet").read_bytes()
    bucket.remove("pool/b.jpg")
    built(run, "--pool", bucket.url("pool"), "--out", "less")
    assert open_dataset(Path("less")).samples.height == 1
    assert not (mirror_path(parse_url(bucket.url("pool"))) / "b.jpg").exists(), "what is gone there goes here"


def test_pairs_by_url_are_those_by_path(bucket: Bucket, run: Run, made: Path) -> None:
    for name in ("images", "masks"):
        bucket.upload(made / name, f"own/{name}")
    here = built(run, "--pairs", str(made / "images"), str(made / "masks"), "--out", "here")
    there = built(run, "--pairs", bucket.url("own/images"), bucket.url("own/masks"), "--out", "there")
    assert there == here


def test_panoptic_pngs_come_with_their_file(bucket: Bucket, run: Run, tmp_path: Path) -> None:
    labels = {number: (areas((PERSON, (0, 0, 30, 20 + number))), [segment(PERSON)]) for number in (1, 2)}
    path = panoptic_file(tmp_path / "scenes", labels)
    for number in labels:
        photo(tmp_path / "scenes" / "val2017" / f"{number:06d}.jpg", seed=number)
    bucket.upload(tmp_path / "scenes", "coco")
    here = built(run, "--coco", str(path), "--out", "here")
    url = bucket.url(f"coco/{path.relative_to(tmp_path / 'scenes').as_posix()}")
    assert built(run, "--coco", url, "--out", "there") == here


def test_a_recipe_and_decisions_by_url(people: str, bucket: Bucket, run: Run, made: Path) -> None:
    bucket.write("recipes/alone.toml", f'from = "{people}"\nmax-people = 1\n'.encode())
    built(run, "--recipe", bucket.url("recipes/alone.toml"), "--out", "alone")
    first = open_dataset(Path("alone")).rows()[0]["sample_id"]
    decision = {"sample_id": first, "verdict": "exclude", "note": "", "run": "first"}
    bucket.write("decisions.jsonl", json.dumps(decision).encode() + b"\n")
    built(run, "--from", people, "--decisions", bucket.url("decisions.jsonl"), "--out", "less")
    assert open_dataset(Path("less")).samples.height == 9
    code, _, err = run("build", "--recipe", people, "--dry-run")
    assert code == 0, err


def test_versions_by_url(people: str, run: Run, made: Path, elsewhere: Path) -> None:
    by_url = built(run, "--from", people, "--merge", people, "--test-from", people, "--seed", "1", "--out", "there")
    by_path = built(
        run, "--from", str(made), "--merge", str(made), "--test-from", str(made), "--seed", "1", "--out", "here"
    )
    assert by_url == by_path


def test_dropped_images_are_shown_as_far_as_they_were_fetched(
    bucket: Bucket, run: Run, scenes: Path, fetched: list[str]
) -> None:
    bucket.upload(scenes, "coco")
    built(run, "--coco", bucket.url("coco/annotations/instances_val2017.json"), "--min-area", "0.3", "--out", "people")
    fetched.clear()
    code, _, err = run("sheet", "people", "--dropped", "area", "--out", "dropped.png")
    assert (code, fetched) == (0, []), err


def test_a_stranger_who_names_a_url_has_nothing_fetched(
    bucket: Bucket, run: Run, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.upload(scenes, "coco")
    built(run, "--coco", bucket.url("coco/annotations/instances_val2017.json"), "--min-area", "0.3", "--out", "people")
    move_to(tmp_path / "other cache", monkeypatch)
    for name in ("look_up", "objects_below", "objects_in", "fetch"):
        monkeypatch.setattr(remote, name, None)
    code, _, err = run("sheet", "people", "--dropped", "area", "--out", "dropped.png")
    assert code == 0, err
    assert "note: dropped images are shown without their pictures" in err
    assert not (cache_folder() / "mirrors").exists()


def test_labels_are_taken_in_by_url(people: str, bucket: Bucket, run: Run, made: Path, tmp_path: Path) -> None:
    code, _, err = run("label", "export", str(made), "--to", "labelme", "--ids", all_ids(made), "--out", "labels")
    assert code == 0, err
    bucket.upload(tmp_path / "labels", "labels")
    code, out, err = run("label", "import", people, bucket.url("labels"), "--out", bucket.url("people-2"))
    assert code == 0, err
    here = run("label", "import", str(made), "labels", "--out", "people-2")
    assert here[0] == 0
    assert "sent to" in err or "unchanged" in out + err


def all_ids(made: Path) -> str:
    """The sample_ids of a dataset, with commas."""
    return ",".join(open_dataset(made).samples["sample_id"])
