"""MATLAB files: parity with scipy, and damage that ends scipy's interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import FormatError, MissingError
from curate.sources.matlab import read_matrix
from tests.curate.scenes import matrix_file

KINDS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "int64", "uint64", "bool"]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_hw", [(1, 1), (3, 5), (40, 60)], ids=str)
def test_every_numeric_kind_equals_scipy(tmp_path: Path, kind: str, size_hw: tuple[int, int], compressed: bool) -> None:
    values = (np.arange(size_hw[0] * size_hw[1]).reshape(size_hw) % 100).astype(kind)
    scipy.io.savemat(tmp_path / "a.mat", {"text": "x", "labels": values}, do_compression=compressed)
    matrix = read_matrix(tmp_path / "a.mat")
    assert (matrix == scipy.io.loadmat(tmp_path / "a.mat")["labels"]).all()
    assert (matrix == values).all()


@pytest.mark.real
def test_real_matrices_equal_scipy(real_data: Path) -> None:
    paths = sorted((real_data / "ccp" / "pixel-level").glob("*.mat"))
    for path in paths[::5]:
        assert (read_matrix(path) == scipy.io.loadmat(path)["groundtruth"]).all()
    assert len(paths) == 400


def test_a_big_endian_file_is_read(tmp_path: Path) -> None:
    def part(kind: int, data: bytes) -> bytes:
        return kind.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data + bytes(-len(data) % 8)

    flags, sizes = (9).to_bytes(4, "big") + bytes(4), (1).to_bytes(4, "big") + (3).to_bytes(4, "big")
    small_name = (1).to_bytes(2, "big") + (1).to_bytes(2, "big") + b"a\0\0\0"
    matrix = part(6, flags) + part(5, sizes) + small_name + part(4, b"\x00\x01\x01\x02\x00\x03")
    (tmp_path / "a.mat").write_bytes(b"MATLAB".ljust(124) + b"\x01\x00MI" + part(14, matrix))
    assert read_matrix(tmp_path / "a.mat").tolist() == [[1, 258, 3]]


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.data())
def test_random_damage_is_refused_or_read_as_a_matrix(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.mat"
    compressed = data.draw(st.booleans())
    scipy.io.savemat(path, {"groundtruth": np.eye(20, dtype=np.uint8), "b": [[1.5]]}, do_compression=compressed)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(116, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        matrix = read_matrix(path)
    except FormatError:
        return
    assert matrix.ndim == 2
    assert matrix.size > 0


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"a": np.zeros((500, 500))}, do_compression=True)
    monkeypatch.setattr("curate.sources.matlab.MOST_BYTES", 10_000)
    with pytest.raises(FormatError, match="cut off or too long"):
        read_matrix(path)


@pytest.mark.parametrize(
    ("matrices", "words"),
    [
        ({"a": np.eye(3), "b": np.eye(3)}, "found 2: a, b"),
        ({"text": "hello"}, "found 0: none"),
        ({"cube": np.zeros((2, 2, 2))}, "found 0: none"),
        ({"parts": np.array([[1, "x"]], dtype=object)}, "found 0: none"),
        ({"hidden": {"field": np.eye(2)}}, "found 0: none"),
        ({"empty": np.zeros((0, 0))}, "0x0"),
        ({"complex": np.eye(2) * 1j}, "found 0: none"),
    ],
    ids=["two", "text", "cube", "cell", "struct", "empty", "complex"],
)
def test_a_matrix_file_without_one_matrix_is_refused(tmp_path: Path, matrices: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_matrix(matrix_file(tmp_path / "a.mat", **matrices))


@pytest.mark.parametrize("keep", [0, 60, 130, 150, 200])
def test_a_cut_off_matrix_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = matrix_file(tmp_path / "a.mat", groundtruth=np.ones((20, 20)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError, match=r"a\.mat"):
        read_matrix(path)


def test_a_version_7_3_matrix_file_says_how_to_save_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header + b"\x89HDF\r\n\x1a\n".ljust(600, b"\0"))
    with pytest.raises(FormatError, match="-v7"):
        read_matrix(path)


def test_a_matrix_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="not a regular file"):
        read_matrix(tmp_path)
