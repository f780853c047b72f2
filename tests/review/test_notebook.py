"""`review.side_by_side`: one photograph as several models see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import review
from curate.errors import CurateError, MismatchError
from review import notebook
from review.notebook import CAPTION_PX, GAP_PX, WIDTH_PX
from review.overlays import FALSE_NEGATIVE, FALSE_POSITIVE, error_overlay
from tests.review.making import Drawn, as_target, body, make_dataset, photograph, sure_of

PERSON = body()
HALF = PERSON & (np.arange(160) < 72)
HEIGHT_PX = round(120 * WIDTH_PX / 160)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A photograph and its label."""
    root = make_dataset(tmp_path / "people", [Drawn("a", as_target(PERSON), None, photograph(PERSON))]).root
    return root / "images/a.png", root / "masks/a.png"


def part(picture: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """One of the pictures, without its caption."""
    top, left = row * (CAPTION_PX + HEIGHT_PX + GAP_PX) + CAPTION_PX, column * (WIDTH_PX + GAP_PX)
    return picture[top : top + HEIGHT_PX, left : left + WIDTH_PX]


def test_each_model_has_a_row_of_what_it_sees_and_what_is_wrong(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    half, whole = HALF.astype(np.float32), PERSON.astype(np.float32)
    seen = {"half.onnx": half, "runs/whole": whole}
    monkeypatch.setattr(notebook, "open_predict", lambda word, spec: lambda image: seen[word])
    picture = np.asarray(review.side_by_side(files[0], [*seen], files[1]))
    assert picture.shape == (3 * (CAPTION_PX + HEIGHT_PX + GAP_PX) - GAP_PX, 2 * WIDTH_PX + GAP_PX, 3)
    image = photograph(PERSON)
    assert (part(picture, 1, 1) == error_overlay(image, as_target(PERSON), HALF, WIDTH_PX)).all()
    assert (part(picture, 2, 1) == error_overlay(image, as_target(PERSON), PERSON, WIDTH_PX)).all()
    assert (part(picture, 0, 1) == part(picture, 2, 0)).all()
    assert (part(picture, 1, 0) != part(picture, 2, 0)).any()


def test_models_of_ones_own_are_functions_and_arrays_are_photographs(files: tuple[Path, Path]) -> None:
    half, whole = (lambda image, seen=seen: seen.astype(np.float32) for seen in (HALF, PERSON))
    image, target = photograph(PERSON), as_target(PERSON)
    given = np.asarray(review.side_by_side(image, {"half": half, "whole": whole}, target))
    assert (part(given, 1, 1) == error_overlay(image, target, HALF, WIDTH_PX)).all()
    assert (part(given, 2, 1) == error_overlay(image, target, PERSON, WIDTH_PX)).all()
    alone = np.asarray(review.side_by_side(files[0], half, files[1]))
    assert (part(alone, 1, 1) == part(given, 1, 1)).all()
    with pytest.raises(MismatchError, match="Pass the label of this photo"):
        review.side_by_side(image, half, target[:50])


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ("runs/first", ["first"]),
        (["runs/first", "other/first", "grabcut"], ["first 1", "first 2", "grabcut"]),
        ({"mine": "runs/first"}, ["mine"]),
    ],
)
def test_models_are_named(models: Any, names: list[str]) -> None:
    assert list(notebook.named(models)) == names


def test_a_photograph_without_a_label_shows_what_is_seen(files: tuple[Path, Path]) -> None:
    picture = review.side_by_side(files[0], ["grabcut"])
    assert picture.size == (WIDTH_PX, 2 * (CAPTION_PX + HEIGHT_PX) + GAP_PX)


def test_errors_have_their_colours(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = np.roll(sure_of(PERSON), 20, axis=1) / np.float32(255)
    monkeypatch.setattr(notebook, "open_predict", lambda word, spec: lambda image: shifted)
    errors = part(np.asarray(review.side_by_side(files[0], ["a"], files[1])), 1, 1).astype(int)
    scale = WIDTH_PX / 160
    for colour, left in ((FALSE_NEGATIVE, 54), (FALSE_POSITIVE, 108)):
        found = errors[round(80 * scale) : round(110 * scale), round(left * scale) : round((left + 6) * scale)].mean(
            (0, 1)
        )
        assert found.argmax() == np.argmax(colour)


def test_what_cannot_be_shown_is_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "other", [Drawn("b", as_target(body(size_hw=(60, 80))), None)]).root
    with pytest.raises(MismatchError):
        review.side_by_side(files[0], [], other / "masks/b.png")
    with pytest.raises(CurateError, match="nowhere"):
        review.side_by_side(files[0], ["nowhere"])
    with pytest.raises(CurateError, match=r"none\.jpg"):
        review.side_by_side(tmp_path / "none.jpg", [])
