"""Overlays: each colour where it belongs, nothing painted where nothing is counted."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from review.overlays import FALSE_NEGATIVE, FALSE_POSITIVE, RIGHT, data_uri, error_overlay


def test_each_kind_of_pixel_has_its_colour() -> None:
    grey = np.full((40, 40, 3), 100, np.uint8)
    target = np.zeros((40, 40), np.uint8)
    target[:, 20:] = 255
    target[:10, :10] = 128
    predicted = np.zeros((40, 40), bool)
    predicted[:20] = True
    shown = error_overlay(grey, target, predicted, width_px=40)

    def mixed(colour: tuple[int, int, int], strength: float) -> list[int]:
        return [round(100 * (1 - strength) + channel * strength) for channel in colour]

    assert shown[5, 30].tolist() == mixed(RIGHT, 0.35)
    assert shown[30, 30].tolist() == mixed(FALSE_NEGATIVE, 0.6)
    assert shown[15, 5].tolist() == mixed(FALSE_POSITIVE, 0.6)
    assert shown[5, 5].tolist() == [100, 100, 100], "not counted, so not painted"
    assert shown[30, 5].tolist() == [100, 100, 100]
    assert shown[30, 20].tolist() == [255, 255, 255], "outline of the label"
    assert (grey == 100).all(), "the input is left alone"


def test_width_is_asked_for_and_height_follows() -> None:
    shown = error_overlay(
        np.zeros((300, 200, 3), np.uint8), np.zeros((300, 200), np.uint8), np.zeros((300, 200), bool), 100
    )
    assert shown.shape == (150, 100, 3)


def test_data_uri_holds_the_picture() -> None:
    uri = data_uri(np.full((8, 6, 3), 200, np.uint8))
    head, encoded = uri.split(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.size == (6, 8)
