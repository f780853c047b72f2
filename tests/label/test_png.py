"""PNG masks: what their values mean, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import CurateError, FormatError, MismatchError, UsageError
from label.formats import png
from label.formats.record import Drawing, HandLabel, Options, Refusal
from tests.drawing import target
from tests.label.making import write_png

GREY = np.array([[0, 1], [2, 255]], np.uint8)


def draw(path: Path, person: tuple[str, ...] | None = None, ignore: tuple[str, ...] | None = None) -> Drawing:
    (label,) = png.read(path, Options(person, ignore))
    assert isinstance(label, HandLabel)
    assert label.size_hw is not None
    return label.draw(label.size_hw)


def stacked(*channels: list[list[int]]) -> np.ndarray:
    return np.dstack([np.array(channel, np.uint8) for channel in channels])


@pytest.mark.parametrize(
    ("values", "palette", "person", "ignore", "expected", "people"),
    [
        pytest.param([[0, 255]], False, None, None, ".#", None, id="binary-255"),
        pytest.param([[0, 1]], False, None, None, ".#", None, id="binary-1"),
        pytest.param([[255, 255]], False, None, None, "##", None, id="full"),
        pytest.param([[0, 128, 255]], False, None, None, ".o#", None, id="own-trimap"),
        pytest.param([[0, 1, 2]], True, None, None, ".##", 2, id="instances"),
        pytest.param([[0, 1, 2, 255]], True, None, None, ".##o", 2, id="instances-and-void"),
        pytest.param([[0, 15, 9, 255]], True, ("15",), None, ".#.o", None, id="voc-class"),
        pytest.param([[0, 15, 9, 7]], False, ("15", "9"), None, ".##.", None, id="two-classes"),
        pytest.param([[0, 15, 9]], False, ("15",), ("9",), ".#o", None, id="ignored-class"),
        pytest.param([[0, 255, 0]], False, None, ("0",), "o#o", None, id="ignored-background"),
    ],
)
def test_values_mean(
    values: list[list[int]],
    palette: bool,
    person: tuple[str, ...] | None,
    ignore: tuple[str, ...] | None,
    expected: str,
    people: int | None,
    tmp_path: Path,
) -> None:
    path = write_png(tmp_path / "a.png", np.array(values, np.uint8), palette)
    drawn = draw(path, person, ignore)
    np.testing.assert_array_equal(drawn.target, target(expected))
    assert drawn.people == people


def test_palette_is_read_by_index_not_by_colour(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 15]], np.uint8))
    image.putpalette([255, 255, 255] + [0, 0, 0] * 255)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(draw(tmp_path / "a.png", ("15",)).target, target(".#"))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(stacked([[9, 7]], [[1, 2]], [[3, 4]], [[127, 128]]), id="rgba"),
        pytest.param(stacked([[9, 7]], [[0, 255]]), id="grey-and-alpha"),
        pytest.param(stacked([[0, 255]], [[0, 255]], [[0, 255]]), id="grey-as-rgb"),
        pytest.param(stacked([[0, 255]], [[0, 255]], [[0, 255]], [[255, 255]]), id="opaque-grey-as-rgba"),
        pytest.param(np.array([[False, True]]), id="one-bit"),
    ],
)
def test_channels_mean(values: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_array_equal(draw(write_png(tmp_path / "a.png", values)).target, target(".#"))


def test_sixteen_bit_class_ids(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", np.array([[0, 1000, 2000]], np.uint16))
    np.testing.assert_array_equal(draw(path, ("1000",)).target, target(".#."))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param(np.array([[0, 15, 220]], np.uint8), ["0, 15, 220", "--person"], id="class-ids"),
        pytest.param(np.arange(256, dtype=np.uint8).reshape(16, 16) // 2 * 2, ["values 0, 2, 4", "..."], id="soft"),
        pytest.param(stacked([[9, 7]], [[1, 2]], [[3, 4]]), ["colour"], id="photograph"),
    ],
)
def test_values_that_do_not_say_what_is_person(values: np.ndarray, words: list[str], tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", values)
    with pytest.raises(FormatError) as caught:
        draw(path)
    assert str(path) in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_was_found_is_told_where_nobody_is(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", np.array([[0, 9, 15]], np.uint8))
    assert draw(path, ("7",)).found == "values 0, 9, 15"
    many = write_png(tmp_path / "b.png", np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert draw(many, ("200",)).found == "values 0, 1, 2, 3, 4, 5, ... (100 in all)"


def test_a_mask_of_another_size_is_resized_or_refused(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", target("##..\n##.."))
    (label,) = png.read(path, Options())
    assert isinstance(label, HandLabel)
    np.testing.assert_array_equal(label.draw((4, 8)).target, np.kron(target("##..\n##.."), np.ones((2, 2), np.uint8)))
    with pytest.raises(MismatchError, match="4x4"):
        label.draw((4, 4))


@pytest.mark.parametrize(
    ("person", "ignore", "message"),
    [
        (("person",), None, "--person person: PNG masks hold values from 0 to 65535 and no names"),
        (("70000",), None, "--person 70000"),
        (None, ("void",), "--ignore void"),
        (("15", "9"), ("9",), "the value 9 is both --person and --ignore"),
    ],
)
def test_options_that_do_not_fit(
    person: tuple[str, ...] | None, ignore: tuple[str, ...] | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        png.read(write_png(tmp_path / "a.png", GREY), Options(person, ignore))


def test_no_png_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no")
    with pytest.raises(FormatError, match=r"holds no \.png file"):
        png.read(tmp_path, Options())


def test_damaged_files_are_refused_and_the_others_read(tmp_path: Path) -> None:
    good = write_png(tmp_path / "masks" / "deep" / "good.png", target(".#"))
    (tmp_path / "masks" / "empty.png").write_bytes(b"")
    (tmp_path / "masks" / "text.png").write_text("not an image")
    (tmp_path / "masks" / "folder.png").mkdir()
    (tmp_path / "masks" / ".hidden.png").write_bytes(b"")
    read = {entry.file.name: entry for entry in png.read(tmp_path / "masks", Options())}
    assert sorted(read) == ["empty.png", "good.png", "text.png"]
    assert isinstance(read["good.png"], HandLabel)
    assert read["good.png"].file == good
    assert read["good.png"].names == ("deep/good",)
    for name in ("empty.png", "text.png"):
        refusal = read[name]
        assert isinstance(refusal, Refusal)
        assert "is not an image Pillow can read" in refusal.message
        assert "Export this mask again" in refusal.message


def test_pixels_that_are_cut_off(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8)
    path = write_png(tmp_path / "a.png", noise)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CurateError, match="cannot be decoded"):
        draw(path)


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (refusal,) = png.read(tmp_path, Options())
    assert isinstance(refusal, Refusal)
    assert "not a regular file" in refusal.message
    assert not png.detect(tmp_path)
