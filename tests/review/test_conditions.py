"""Conditions of photographs, on drawn ones whose conditions are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from curate.images import jpeg_quality
from curate.masks import IGNORE, Target
from review.conditions import Conditions, measure
from review.working_size import WORK_SIDE_PX
from tests.review.making import as_target, body, photograph

SIZE_HW = (360, 480)
PERSON = body(58, SIZE_HW)
TARGET = as_target(PERSON)
Rgb = NDArray[np.uint8]


def scene(person: int = 90, background: int = 170, grain: float = 3.0, smooth: float = 0.6) -> Rgb:
    """A grey person before a grey background, with fine texture."""
    rng = np.random.default_rng(0)
    flat = np.where(PERSON, float(person), float(background)) + cv2.GaussianBlur(
        rng.normal(0, 25, SIZE_HW), (0, 0), 2.0
    )
    pixels = cv2.GaussianBlur(flat, (0, 0), smooth) + rng.normal(0, grain, SIZE_HW)
    return np.repeat(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_light_is_that_of_all_of_the_person_and_of_what_is_around() -> None:
    found = measure(scene(person=30, background=200), TARGET)
    assert found.light == pytest.approx(200 / 255, abs=0.05)
    assert found.person_light == pytest.approx(30 / 255, abs=0.03)
    assert found.person_highlight is not None
    assert found.background_highlight is not None
    assert 30 / 255 < found.person_highlight < 0.25
    assert found.background_highlight > 200 / 255


def test_a_light_face_over_dark_clothes_is_no_light_from_behind() -> None:
    dark = scene(person=30, background=150)
    lit = dark.copy()
    rows, columns = np.nonzero(PERSON)
    top = rows < rows.min() + 0.2 * (rows.max() - rows.min())
    lit[rows[top], columns[top]] = 190
    against_light, face = measure(dark, TARGET), measure(lit, TARGET)
    assert against_light.person_light == pytest.approx(face.person_light, abs=0.03)
    assert difference(against_light) > 0.2
    assert difference(face) < 0


def difference(found: Conditions) -> float:
    assert found.background_highlight is not None
    assert found.person_highlight is not None
    return found.background_highlight - found.person_highlight


def test_the_outline_blends_where_both_sides_are_alike() -> None:
    apart, alike = measure(scene(60, 180), TARGET), measure(scene(120, 121), TARGET)
    assert apart.blending == 0
    assert alike.blending is not None
    assert alike.blending > 0.9
    half = scene(60, 180)
    half[:, : SIZE_HW[1] // 2 + 26] = scene(120, 121)[:, : SIZE_HW[1] // 2 + 26]
    found = measure(half, TARGET).blending
    assert found is not None
    assert 0.2 < found < 0.8


def test_what_is_not_counted_is_no_side_of_the_outline() -> None:
    ignored = np.where(PERSON, TARGET, np.uint8(IGNORE))
    found = measure(scene(), ignored)
    assert found.blending is None
    assert found.clutter is None
    assert found.background_highlight is None


@pytest.mark.parametrize("value", [0, 255])
def test_an_image_of_one_kind_alone_has_no_outline(value: int) -> None:
    target: Target = np.full(SIZE_HW, value, np.uint8)
    found = measure(scene(), target)
    assert found.blending is None
    assert (found.person_light is None) == (value == 0)
    assert 0 <= found.blur <= 1


def test_blur_grows_with_smoothing() -> None:
    found = [measure(scene(grain=0, smooth=sigma), TARGET).blur for sigma in (0.3, 1.5, 3.0, 6.0)]
    assert found == sorted(found)
    assert found[0] < 0.4 < found[-1]


def test_blur_is_the_persons_own() -> None:
    sharp, soft = scene(smooth=0.3), cv2.GaussianBlur(scene(smooth=0.3), (0, 0), 4)
    in_focus = np.where(cv2.dilate(PERSON.astype(np.uint8), np.ones((15, 15)))[..., None] > 0, sharp, soft)
    assert measure(in_focus.astype(np.uint8), TARGET).blur < measure(np.asarray(soft, np.uint8), TARGET).blur - 0.1


@pytest.mark.parametrize("sigma", [3.0, 8.0])
def test_noise_is_its_standard_deviation(sigma: float) -> None:
    rng = np.random.default_rng(1)
    smooth = np.linspace(60, 180, SIZE_HW[1])[None].repeat(SIZE_HW[0], axis=0)
    pixels = np.clip(np.rint(smooth + rng.normal(0, sigma, SIZE_HW)), 0, 255).astype(np.uint8)
    assert measure(np.repeat(pixels[..., None], 3, axis=2), TARGET).noise == pytest.approx(sigma, rel=0.15)


def test_texture_is_no_noise_where_part_of_the_image_is_smooth() -> None:
    rng = np.random.default_rng(1)
    pixels = np.full(SIZE_HW, 128.0)
    pixels[:, 200:] += rng.normal(0, 40, (SIZE_HW[0], SIZE_HW[1] - 200))
    textured = np.clip(pixels, 0, 255).astype(np.uint8)
    assert measure(np.repeat(textured[..., None], 3, axis=2), TARGET).noise < 1


def test_clutter_is_the_share_of_edges_behind_the_person() -> None:
    plain, striped = scene(), scene()
    striped[:, ::8] = 0
    striped[:, 1::8] = 0
    found = [measure(one, TARGET).clutter for one in (plain, striped)]
    assert found[0] == pytest.approx(0, abs=0.02)
    assert found[1] is not None
    assert found[1] > 0.4


def test_a_large_photograph_of_the_same_scene_is_told_alike() -> None:
    large = np.asarray(cv2.resize(scene(grain=0), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), np.uint8)
    target = np.asarray(cv2.resize(TARGET, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST), np.uint8)
    small, big = measure(scene(grain=0), TARGET), measure(large, target)
    for name in ("light", "person_light", "person_highlight", "background_highlight", "blending", "blur", "clutter"):
        assert getattr(big, name) == pytest.approx(getattr(small, name), abs=0.05), name
    assert max(TARGET.shape) == WORK_SIDE_PX


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 700), (700, 1), (2, 2), (15, 15)])
def test_a_tiny_photograph_is_no_trouble(size_hw: tuple[int, int]) -> None:
    image = np.zeros((*size_hw, 3), np.uint8)
    target: Target = np.zeros(size_hw, np.uint8)
    target[0, 0] = 255
    found = measure(image, target)
    assert (found.light, found.blur, found.noise) == (0, 0, 0)
    assert found.blending is None


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_the_one_it_was_stored_with(tmp_path: Path, quality: int) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(photograph(body())).save(path, quality=quality)
    assert jpeg_quality(path) == pytest.approx(quality, abs=1)


def test_other_files_have_no_quality(tmp_path: Path) -> None:
    Image.fromarray(photograph(body())).save(tmp_path / "a.png")
    assert jpeg_quality(tmp_path / "a.png") is None
