"""Predictions of single photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.dataset import Dataset
from curate.errors import CurateError, MissingError, UsageError
from curate.files import sha256_file
from curate.person_model import InputSpec
from label.prelabel_cli import model_at
from train.models import load
from train.predict import cutout_png, listed_images, predict_files, predict_image, to_bytes, to_native


def test_probability_to_bytes_rounds() -> None:
    chances = np.array([[0.0, 0.5, 1.0, 0.1 / 255, 127.6 / 255]], np.float32)
    assert to_bytes(chances).tolist() == [[0, 128, 255, 0, 128]]


def test_native_size_is_bilinear_with_pixel_centres() -> None:
    small = np.array([[0.0, 1.0]], np.float32)
    assert to_native(small, (1, 4)).tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert to_native(small, (3, 2)).tolist() == [[0.0, 1.0]] * 3


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 200), (300, 40)])
def test_any_image_size(finished: Path, size_hw: tuple[int, int]) -> None:
    chances = predict_image(load(finished), np.zeros((*size_hw, 3), np.uint8))
    assert chances.shape == size_hw
    assert chances.min() >= 0
    assert chances.max() <= 1


def test_files_and_folders_are_predicted(finished: Path, drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    listed = listed_images([drawn.root / "images", tmp_path / "broken.jpg"], tmp_path / "out")
    outcomes = dict(predict_files(load(finished), listed, tmp_path / "out", cutout=True))
    problems = {path.name: problem for path, problem in outcomes.items() if problem}
    assert list(problems) == ["broken.jpg"]
    assert isinstance(problems["broken.jpg"], CurateError)
    for row in drawn.rows():
        with Image.open(tmp_path / "out" / f"{row['sample_id']}.png") as mask:
            assert (mask.mode, mask.size) == ("L", (row["width"], row["height"]))
            values = np.array(mask)
        with Image.open(tmp_path / "out" / f"{row['sample_id']}-cutout.png") as cutout:
            assert cutout.mode == "RGBA"
            assert np.array_equal(np.array(cutout), np.dstack([drawn.image(row), values]))


def test_a_run_is_opened_to_guess_masks(finished: Path, drawn: Dataset) -> None:
    model, image = model_at(finished, InputSpec()), drawn.image(drawn.rows()[0])
    assert np.array_equal(model.predict(image), predict_image(load(finished), image))
    assert (model.name, model.sha256) == (finished.name, sha256_file(finished / "best.safetensors"))


def test_a_cutout_is_the_photo_with_alpha() -> None:
    assert cutout_png(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)).startswith(b"\x89PNG")


def test_a_mask_never_replaces_a_photo(drawn: Dataset) -> None:
    with pytest.raises(UsageError, match=r"is one of the images and would be replaced"):
        listed_images([drawn.root / "images"], drawn.root / "images")


def test_two_photos_of_one_stem(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"has the stem of .*a\.jpg"):
        listed_images([tmp_path], tmp_path / "out")


def test_places_that_hold_no_photo(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"holds no image"):
        listed_images([tmp_path], tmp_path / "out")
    with pytest.raises(MissingError, match=r"no such file or folder"):
        listed_images([tmp_path / "none.jpg"], tmp_path / "out")
