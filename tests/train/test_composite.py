"""The person before something else: colours of the rim, backgrounds, and nothing left of what was behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from curate.errors import CurateError, FormatError, MissingError, UsageError
from train.inference.composite import blurred, composed, cut_out, open_background, person_colours

RED, GREEN = np.array([200, 40, 30], np.uint8), np.array([30, 160, 60], np.uint8)


def soft_scene() -> tuple[np.ndarray, np.ndarray]:
    """A red person on the right of a green ground, mixed over a soft rim; and the alpha it was mixed with."""
    share = np.clip((np.arange(96) - 40) / 16, 0, 1)[None].repeat(64, 0)
    image = np.rint(share[..., None] * RED + (1 - share[..., None]) * GREEN)
    return image.astype(np.uint8), np.rint(share * 255).astype(np.uint8)


def test_the_rim_gets_the_persons_own_colours() -> None:
    image, alpha = soft_scene()
    colours = person_colours(image, alpha)
    rim = (alpha > 60) & (alpha < 255)
    assert np.abs(image[rim].astype(int) - RED).max() > 80
    assert np.abs(colours[rim].astype(int) - RED).max() <= 8
    assert (colours[alpha == 255] == image[alpha == 255]).all()
    assert (colours[alpha == 0] == 0).all()


def test_a_soft_rim_before_white_holds_nothing_of_the_old_background() -> None:
    image, alpha = soft_scene()
    found = composed(image, alpha, np.full_like(image, 255))
    share = alpha[..., None] / 255
    assert np.abs(found - (share * RED + (1 - share) * 255)).max() < 8


def test_a_cut_out_is_the_person_with_alpha_and_nothing_else() -> None:
    image, alpha = soft_scene()
    found = cut_out(image, alpha)
    assert found.shape == (64, 96, 4)
    assert (found[..., 3] == alpha).all()
    assert (found[alpha == 0] == 0).all()
    assert (found[alpha == 255, :3] == image[alpha == 255]).all()


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_any_alpha_composes(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    image, other = data.draw(arrays(np.uint8, (height, width, 3))), data.draw(arrays(np.uint8, (height, width, 3)))
    alpha = data.draw(arrays(np.uint8, (height, width)))
    before = image.copy(), alpha.copy()
    found = composed(image, alpha, other)
    assert (found[alpha == 255] == image[alpha == 255]).all()
    assert (found[alpha == 0] == other[alpha == 0]).all()
    assert blurred(image, alpha).shape == image.shape
    assert (image == before[0]).all()
    assert (alpha == before[1]).all()


def test_a_hard_mask_is_pasted_as_it_is() -> None:
    image, alpha = soft_scene()
    hard = np.where(alpha > 127, 255, 0).astype(np.uint8)
    assert (composed(image, hard, np.zeros_like(image)) == np.where(hard[..., None], image, 0)).all()


def test_the_blur_takes_nothing_from_the_person() -> None:
    image, alpha = soft_scene()
    outside = alpha == 0
    assert np.abs(blurred(image, alpha)[outside].astype(int) - GREEN).max() <= 12


def test_the_blur_of_an_empty_photograph_is_smooth() -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    found = blurred(image, np.zeros((300, 400), np.uint8))
    assert found.std() < image.std() / 5
    assert found.mean() == pytest.approx(image.mean(), abs=2)


@pytest.mark.parametrize(
    ("word", "rgb"),
    [("white", (255, 255, 255)), ("#00ff00", (0, 255, 0)), ("rgb(1, 2, 3)", (1, 2, 3)), ("#abc", (170, 187, 204))],
)
def test_colours(word: str, rgb: tuple[int, int, int]) -> None:
    image, alpha = soft_scene()
    behind = open_background(word)(image, alpha)
    assert behind.shape == image.shape
    assert (behind == rgb).all()


def test_a_picture_covers_the_photo_and_is_cropped_in_the_middle(tmp_path: Path) -> None:
    picture = np.zeros((30, 90, 3), np.uint8)
    picture[:, :30], picture[:, 30:60], picture[:, 60:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "three.png")
    behind = open_background(str(tmp_path / "three.png"))(np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60), np.uint8))
    assert behind.shape == (60, 60, 3)
    assert (behind[:, 5:55] == (0, 255, 0)).all()


def test_a_picture_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:10] = 255
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    behind = open_background(str(tmp_path / "turned.png"))(
        np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)
    )
    assert (behind[:8] == 0).all()
    assert (behind[12:] == 255).all()


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("beech.jpg", MissingError, "--background beech.jpg: no such picture"),
        ("whitish", UsageError, "--background whitish: expected a picture's file, blur, or a colour such as"),
        ("", UsageError, "expected a picture's file"),
        ("broken.png", FormatError, "is not an image Pillow can read"),
    ],
)
def test_what_is_no_background(
    word: str, error: type[CurateError], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(error) as caught:
        open_background(word)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
