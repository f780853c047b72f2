"""ONNX person models: opened, fed as they ask, and their outputs read; tiny ones written here, and real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from curate.errors import CurateError, FormatError, MissingError, UsageError
from curate.images import read_image
from curate.masks import PERSON, iou
from curate.person_model import InputSpec, open_model, padded_to_shape, person_map, probability_of
from tests.onnx_models import INT64, Shape, brightness, node, value, write_model

UNIT = InputSpec(normalise="unit")


def photo(height: int = 60, width: int = 80, level: int = 204) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A bright square on black."""
    image = np.zeros((height, width, 3), np.uint8)
    image[10:40, 20:50] = level
    return image


@pytest.mark.parametrize(
    ("shape", "axis", "spec"),
    [
        ((1, 3, 60, 80), 1, UNIT),
        (("n", 3, 30, 40), 1, UNIT),
        ((1, 60, 80, 3), 3, UNIT),
        ((1, 3, "h", "w"), 1, InputSpec((60, 80), None, "unit")),
        (("n", "h", "w", 3), 3, InputSpec((60, 80), False, "unit")),
        ((1, "h", "w", "c"), 3, InputSpec((60, 80), False, "unit")),
        ((1, 3, 60, 3), 1, UNIT),
        ((1, 3, 60, 3), 3, InputSpec(None, False, "unit")),
    ],
    ids=["nchw", "smaller", "nhwc", "open size", "open nhwc", "open channels", "3 columns", "3 rows"],
)
def test_the_input_is_what_the_file_and_the_user_say(shape: Shape, axis: int, spec: InputSpec, tmp_path: Path) -> None:
    model = open_model(brightness(tmp_path / "model.onnx", shape, axis), spec)
    chances = model.predict(photo())
    assert chances.shape == (60, 80)
    assert chances.dtype == np.float32
    assert 0 <= chances.min() <= chances.max() <= 1
    if min(model.size_hw) >= 30:
        assert chances[15:35, 25:45] == pytest.approx(0.8, abs=0.01)
        assert iou(chances >= 0.4, photo()[:, :, 0] > 0) > 0.9  # type: ignore[operator]


def test_a_shape_of_its_own_is_met_by_grey_around_the_image() -> None:
    padded, (top, left) = padded_to_shape(photo(60, 80), (40, 100))
    assert (padded.shape, top, left) == ((60, 150, 3), 0, 35)
    assert (padded[:, left : left + 80] == photo(60, 80)).all()
    assert np.unique(padded[:, :left]).tolist() == [127]
    same, corner = padded_to_shape(photo(60, 80), (30, 40))
    assert (same.shape, corner) == ((60, 80, 3), (0, 0))


@pytest.mark.parametrize("size_hw", [(60, 20), (20, 60), (33, 47)])
def test_the_prediction_lies_where_the_person_is(size_hw: tuple[int, int], tmp_path: Path) -> None:
    model = open_model(brightness(tmp_path / "model.onnx", (1, 3, *size_hw)), UNIT)
    found = model.predict(photo(300, 400)[:, :] * 0 + np.kron(photo(60, 80), np.ones((5, 5, 1), np.uint8))) >= 0.6
    rows, columns = np.nonzero(found)
    assert abs(rows.mean() - 124.5) < 4
    assert abs(columns.mean() - 174.5) < 4


@pytest.mark.parametrize(("name", "expected"), [("unit", 0.8), ("raw", None), ("signed", None), ("imagenet", None)])
def test_values_are_normalised_as_is_said(name: str, expected: float | None, tmp_path: Path) -> None:
    path = brightness(tmp_path / "model.onnx", (1, 3, 60, 80))
    given = open_model(path, InputSpec(normalise=name)).predict(photo())[25, 35]
    grey = 204.0
    logits = {"raw": grey, "signed": grey / 127.5 - 1, "imagenet": None}
    if expected is None and logits[name] is not None:
        expected = 1 / (1 + np.exp(-logits[name]))
    if expected is None:
        bands = (grey - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
        expected = 1 / (1 + np.exp(-bands.mean()))
    assert given == pytest.approx(expected, abs=1e-3)


def test_the_file_says_how_its_input_is_normalised(tmp_path: Path) -> None:
    path = brightness(tmp_path / "model.onnx", metadata={"normalise": "signed"})
    assert open_model(path).mean.tolist() == [127.5] * 3
    assert open_model(path, UNIT).mean.tolist() == [0.0] * 3, "the user's word goes first"


@pytest.mark.parametrize(
    ("shape", "spec", "error", "told"),
    [
        (
            (1, 3, 32, 32),
            InputSpec(),
            UsageError,
            "does not say how its input is normalised. Say it: --normalise unit|",
        ),
        (
            (1, 3, "h", "w"),
            UNIT,
            UsageError,
            "takes images of any size. Say which it was trained for: --input-size HxW",
        ),
        ((1, 3, 32, 48), InputSpec((48, 32), None, "unit"), UsageError, "takes 32x48 (HxW) and nothing else"),
        ((1, 4, 32, 32), UNIT, FormatError, "takes images of 4 channels"),
        ((1, 3, 32), UNIT, FormatError, "expected one image of floats"),
    ],
    ids=["normalise", "size", "other size", "channels", "rank"],
)
def test_what_is_not_known_of_the_input_is_asked_for(
    shape: Shape, spec: InputSpec, error: type[CurateError], told: str, tmp_path: Path
) -> None:
    path = brightness(tmp_path / "model.onnx", shape)
    with pytest.raises(error) as raised:
        open_model(path, spec)
    assert told in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/passwd", "link.bin"])
def test_weights_outside_the_models_folder_are_not_read(place: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "secret.bin").write_bytes(np.ones(3, np.float32).tobytes())
    (tmp_path / "model" / "link.bin").symlink_to("../secret.bin")
    outside = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1, 3, 1, 1], data_location="EXTERNAL")
    outside.external_data.add(key="location", value=place)
    outside.external_data.add(key="length", value="12")
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, depth, 8, 8]) for name, depth in (("x", 3), ("y", 1))]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [outside]
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save_model(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "model" / "m.onnx")
    with pytest.raises(FormatError, match="External data path"):
        open_model(tmp_path / "model" / "m.onnx", UNIT)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no such model. Name an \.onnx file"):
        open_model(tmp_path / "none.onnx", UNIT)
    (tmp_path / "torn.onnx").write_bytes(brightness(tmp_path / "model.onnx").read_bytes()[:40])
    with pytest.raises(FormatError, match="is no ONNX model that can be run"):
        open_model(tmp_path / "torn.onnx", UNIT)
    two = [value(name, (1, 3, 8, 8)) for name in "ab"]
    write_model(tmp_path / "two.onnx", [node("Add", "ab", "c")], two, value("c", (1, 3, 8, 8)))
    with pytest.raises(FormatError, match=r"takes a tensor\(float\) .*, b tensor"):
        open_model(tmp_path / "two.onnx", UNIT)
    given = value("a", (1, 3, 8, 8), INT64)
    write_model(tmp_path / "whole.onnx", [node("Abs", "a", "c")], [given], value("c", (1, 3, 8, 8), INT64))
    with pytest.raises(FormatError, match=r"takes a tensor\(int64\)"):
        open_model(tmp_path / "whole.onnx", UNIT)


def test_a_model_that_gives_no_map_or_fails_is_told(tmp_path: Path) -> None:
    given, path = value("a", (1, 3, 8, 8)), tmp_path / "model.onnx"
    write_model(path, [node("Abs", "a", "c")], [given], value("c", (1, 3, 8, 8)))
    with pytest.raises(FormatError, match=r"gives \[1, 3, 8, 8\]; expected a map of person"):
        open_model(path, UNIT).predict(photo())
    write_model(path, [node("Squeeze", "a", "c", axes=[2])], [value("a", (1, 3, "h", 8))], value("c", (1, 3, 8)))
    with pytest.raises(FormatError, match="fails on an image"):
        open_model(path, InputSpec((8, 8), None, "unit")).predict(photo())
    write_model(
        path,
        [node("Log", "a", "c"), node("ReduceMean", "c", "d", axes=[1], keepdims=1)],
        [given],
        value("d", (1, 1, 8, 8)),
    )
    with pytest.raises(FormatError, match="NaN or infinity"):
        open_model(path, UNIT).predict(photo())
    write_model(path, [node("Concat", "ab", "c", axis=1)], [given], value("c", (1, 1, 8, 8)))
    with pytest.raises(FormatError, match="is no ONNX model that can be run"):
        open_model(path, UNIT)


P = np.array([[0.1, 0.9, 0.3, 0.0], [0.4, 0.6, 0.7, 1.0], [0.2, 0.8, 0.5, 0.5]], np.float32)


@pytest.mark.parametrize(
    "output",
    [P[None, None], np.stack([1 - P, P])[None], P[None, :, :, None], np.stack([1 - P, P], 2)[None], P[None]],
    ids=["1 plane", "2 planes", "1 plane last", "2 planes last", "no planes"],
)
def test_the_person_is_the_last_plane_of_a_map(output: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    other = np.zeros((1, 5), np.float32)
    assert person_map([other, output], Path("model.onnx")) == pytest.approx(P)


def test_values_outside_0_to_1_are_logits() -> None:
    path = Path("model.onnx")
    logits = np.array([[-2.0, 0.0], [2.0, 90.0]], np.float32)
    expected = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert probability_of(logits[None], path) == pytest.approx(expected)
    assert probability_of(np.stack([-logits, logits]), path)[0, 0] == pytest.approx(1 / (1 + np.exp(4)))
    with pytest.raises(FormatError, match="NaN or infinity"):
        probability_of(np.full((1, 2, 2), np.nan, np.float32), path)


@pytest.mark.real
@pytest.mark.parametrize(("name", "normalise"), [("pp-humanseg-lite", "signed"), ("portrait-prisma", "unit")])
def test_real_models_find_the_people_of_real_photographs(name: str, normalise: str, real_data: Path) -> None:
    model = open_model(real_data / "models" / f"{name}.onnx", InputSpec(normalise=normalise))
    found = []
    for number in range(1, 41):
        image = real_data / "humanseg" / "images" / f"{number}.jpg"
        mask = real_data / "humanseg" / "masks" / f"{number}.png"
        if image.is_file() and mask.is_file():
            photograph, label = read_image(image), read_image(mask)[:, :, 0] >= 128
            if photograph.shape[:2] == label.shape:
                found.append(iou(model.predict(photograph) >= PERSON / 510, label))
    assert len(found) > 5
    assert np.median([one for one in found if one is not None]) > 0.8
