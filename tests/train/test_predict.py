"""Predictions of single photos."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock
from time import monotonic, sleep

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import train.inference.predict
import train.scoring.peers
from curate.cli import cli
from curate.dataset import Dataset
from curate.errors import CurateError, MachineError, MissingError, UsageError
from curate.files import sha256_file
from curate.images import IMAGE_SUFFIXES, read_grey
from curate.person_model import InputSpec
from label.options_cli import model_at
from tests.onnx_models import brightness
from train.inference.composite import cut_out, open_background
from train.inference.predict import listed_images, predict_batch, predict_files, predict_image, to_bytes, to_native
from train.models import load
from train.scoring.peers import open_predict


def test_probability_to_bytes_rounds() -> None:
    chances = np.array([[0.0, 0.5, 1.0, 0.1 / 255, 127.6 / 255]], np.float32)
    assert to_bytes(chances).tolist() == [[0, 128, 255, 0, 128]]


def test_native_size_is_bilinear_with_pixel_centres() -> None:
    small = np.array([[0.0, 1.0]], np.float32)
    assert to_native(small, (1, 4)).tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert to_native(small, (3, 2)).tolist() == [[0.0, 1.0]] * 3


class Crowded(torch.nn.Module):
    """A model on a device whose memory holds no more than so many images at a time."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, list[int]()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images[:, :1] * self.weight


def test_images_that_do_not_fit_together_are_taken_in_halves() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    roomy, crowded = Crowded(7), Crowded(2)
    assert (predict_batch(crowded, images) == predict_batch(roomy, images)).all()
    assert crowded.seen == [7, 3, 1, 2, 4, 2, 2]


def test_an_image_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(
        MachineError, match=r"^an image of 8 px does not fit into the GPU's memory\. Free some of it, or"
    ):
        predict_batch(Crowded(0), np.zeros((3, 8, 8, 3), np.uint8))


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 200), (300, 40)])
def test_any_image_size(finished: Path, size_hw: tuple[int, int]) -> None:
    chances = predict_image(load(finished), np.zeros((*size_hw, 3), np.uint8))
    assert chances.shape == size_hw
    assert chances.min() >= 0
    assert chances.max() <= 1


def test_files_and_folders_are_predicted(finished: Path, drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    listed = listed_images([drawn.root / "images", tmp_path / "broken.jpg"], tmp_path / "out")
    predict = open_predict(str(finished), InputSpec())
    outcomes = dict(predict_files(predict, listed, tmp_path / "out", cutout=True))
    problems = {path.name: problem for path, problem in outcomes.items() if problem}
    assert list(problems) == ["broken.jpg"]
    assert isinstance(problems["broken.jpg"], CurateError)
    loaded = load(finished)
    for row in drawn.rows():
        values = read_grey(tmp_path / "out" / f"{row['sample_id']}.png", (row["height"], row["width"]))
        assert np.array_equal(values, to_bytes(predict_image(loaded, drawn.image(row))))
        with Image.open(tmp_path / "out" / f"{row['sample_id']}-cutout.png") as cutout:
            assert np.array_equal(np.array(cutout), cut_out(drawn.image(row), values))


def write_photos(folder: Path, number: int) -> None:
    folder.mkdir()
    for place in range(number):
        Image.fromarray(np.full((4, 6, 3), 10 * place, np.uint8)).save(folder / f"{place:03}.png")


def test_several_photos_are_worked_on_at_once_and_told_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.inference.predict, "THREADS", 2)
    write_photos(tmp_path / "photos", 8)
    (tmp_path / "photos/004-broken.png").write_bytes(b"no image")
    meeting = Barrier(2)
    working, most = 0, 0

    def predict(image: np.ndarray) -> np.ndarray:
        nonlocal working, most
        working += 1
        most = max(most, working)
        meeting.wait(20)  # where photos came one by one, the first would wait in vain
        working -= 1
        return np.full(image.shape[:2], image[0, 0, 0] / 255, np.float32)

    listed = listed_images([tmp_path / "photos"], tmp_path / "out")
    outcomes = list(predict_files(predict, listed, tmp_path / "out"))
    assert [path for path, _ in outcomes] == list(listed)
    assert [path.name for path, problem in outcomes if problem] == ["004-broken.png"]
    assert most == 2
    for place in range(8):
        assert (read_grey(tmp_path / f"out/{place:03}.png", (4, 6)) == 10 * place).all()


def test_who_stops_listening_stops_the_work(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 20)
    asked = list[int]()

    def predict(image: np.ndarray) -> np.ndarray:
        asked.append(int(image[0, 0, 0]))
        sleep(0.02)
        return np.zeros(image.shape[:2], np.float32)

    outcomes = predict_files(predict, listed_images([tmp_path / "photos"], tmp_path / "out"), tmp_path / "out")
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(asked) < 20


def test_a_turned_photograph_is_predicted_upright_and_its_mask_is_as_stored(tmp_path: Path) -> None:
    """The model takes the upper half for the person: of a photo that lies on its side, that is its left or right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(tmp_path / "turned.png", exif=exif)

    def upper_half(image: np.ndarray) -> np.ndarray:
        chances = np.zeros(image.shape[:2], np.float32)
        chances[: len(chances) // 2] = 1
        return chances

    listed = listed_images([tmp_path / "turned.png"], tmp_path / "out")
    black = open_background("black")
    assert [one for _, one in predict_files(upper_half, listed, tmp_path / "out", background=black)] == [None]
    assert np.array_equal(read_grey(tmp_path / "out/turned.png") > 0, np.arange(6)[None].repeat(4, 0) < 3)
    with Image.open(tmp_path / "out/turned-composite.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (4, 6))
        assert np.array_equal(np.array(picture)[..., 0] == 200, np.arange(6)[:, None].repeat(4, 1) < 3)


@pytest.mark.parametrize("background", ["white", "blur", "{beach}"])
def test_the_command_composes_refines_and_leaves_out(
    background: str, finished: Path, drawn: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    Image.fromarray(np.full((9, 9, 3), 77, np.uint8)).save(tmp_path / "beach.png")
    photos = [drawn.root / row["image"] for row in drawn.rows("val")]
    words = [finished, *photos, tmp_path / "broken.jpg", "--out", tmp_path / "out", "--flip", "--cutout"]
    words += ["--refine", "largest-parts,guided", "--background", background.format(beach=tmp_path / "beach.png")]
    result = CliRunner().invoke(cli, ["train", "predict", *map(str, words)])
    assert result.exit_code == 1
    assert result.stdout == f"3 of 4 masks written to {tmp_path / 'out'}\n"
    assert result.stderr.startswith(f"left out: {tmp_path / 'broken.jpg'}: is not an image")
    names = {f"{photo.stem}{ending}.png" for photo in photos for ending in ("", "-cutout", "-composite")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_any_person_model_predicts_photos(drawn: Dataset, tmp_path: Path) -> None:
    model = brightness(tmp_path / "bright.onnx", (1, 3, 48, 48))
    photo = drawn.root / drawn.rows()[0]["image"]
    words = ["train", "predict", str(model), str(photo), "--out", str(tmp_path / "out")]
    assert isinstance(CliRunner().invoke(cli, words).exception, UsageError)
    result = CliRunner().invoke(cli, [*words, "--normalise", "unit"])
    assert result.exit_code == 0, result.exception
    expected = to_bytes(open_predict(str(model), InputSpec(normalise="unit"))(drawn.image(drawn.rows()[0])))
    assert np.array_equal(read_grey(tmp_path / "out" / f"{photo.stem}.png"), expected)


def test_a_run_knows_its_input(finished: Path) -> None:
    with pytest.raises(UsageError, match=r"is a run, no \.onnx file\. Leave --input-size"):
        open_predict(str(finished), InputSpec(normalise="unit"))


def test_a_run_is_opened_to_guess_masks(finished: Path, drawn: Dataset) -> None:
    model, image = model_at(finished, InputSpec()), drawn.image(drawn.rows()[0])
    assert np.array_equal(model.predict(image), predict_image(load(finished), image))
    assert (model.name, model.sha256) == (finished.name, sha256_file(finished / "best.safetensors"))


def test_threads_ask_a_run_one_after_the_other(finished: Path, drawn: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    busy, image = Lock(), drawn.image(drawn.rows()[0])

    def alone(*_: object) -> bool:
        free = busy.acquire(blocking=False)
        sleep(0.01)
        if free:
            busy.release()
        return free

    for module in (train.inference.predict, train.scoring.peers):
        monkeypatch.setattr(module, "predict_image", alone)
    model = model_at(finished, InputSpec())
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(model.predict, [image] * 8))


def test_a_mask_never_replaces_a_photo(drawn: Dataset) -> None:
    with pytest.raises(UsageError, match=r"is one of the images and would be replaced"):
        listed_images([drawn.root / "images"], drawn.root / "images")


def test_many_photos_are_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for place in range(600):
        (tmp_path / f"{place}.jpg").write_bytes(b"")
        (tmp_path / "out" / f"{place}.png").write_bytes(b"")
    began = monotonic()
    assert len(listed_images([tmp_path], tmp_path / "out")) == 600
    assert monotonic() - began < 3, "each mask held against each photo would take ten seconds"
    (tmp_path / "out/77.png").unlink()
    (tmp_path / "out/77.png").hardlink_to(tmp_path / "5.jpg")
    with pytest.raises(UsageError, match=r"77\.png: is one of the images"):
        listed_images([tmp_path], tmp_path / "out")


def test_two_photos_of_one_stem(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"has the stem of .*a\.jpg"):
        listed_images([tmp_path], tmp_path / "out")


def test_a_photo_named_as_another_ones_cutout(tmp_path: Path) -> None:
    for name in ("a.jpg", "a-cutout.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"both would write a-cutout\.png"):
        listed_images([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("suffix", [*sorted(IMAGE_SUFFIXES), ".JPG"])
def test_every_kind_of_photo_in_a_folder_is_predicted(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (6, 4), "red").save(tmp_path / "photos" / f"a{suffix}")
    listed = listed_images([tmp_path / "photos"], tmp_path / "out")
    outcomes = predict_files(lambda image: np.zeros(image.shape[:2], np.float32), listed, tmp_path / "out")
    assert [error for _, error in outcomes] == [None]
    assert read_grey(tmp_path / "out" / "a.png").shape == (4, 6)


def test_places_that_hold_no_photo(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"holds no image"):
        listed_images([tmp_path], tmp_path / "out")
    with pytest.raises(MissingError, match=r"no such file or folder"):
        listed_images([tmp_path / "none.jpg"], tmp_path / "out")
