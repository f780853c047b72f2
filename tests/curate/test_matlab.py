"""MATLAB files: parity with scipy, and damage that ends scipy's interpreter."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import FormatError, MissingError
from curate.sources.matlab import arrays_of, fields_of, read_bytes, read_matrix, read_structure, values_of
from tests.curate.scenes import matrix_file
from tests.curate.voc_scenes import damaged, sbd_mat

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


def part(kind: int, data: bytes, order: Any = "big") -> bytes:
    """A data element with its tag, padded to eight bytes."""
    return kind.to_bytes(4, order) + len(data).to_bytes(4, order) + data + bytes(-len(data) % 8)


def test_a_big_endian_file_is_read(tmp_path: Path) -> None:
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
    monkeypatch.setattr("curate.sources.matlab.MOST_OF_SMALL", 10_000)
    with pytest.raises(FormatError, match=r"\d+ bytes that unfold to 2000048, which looks like a bomb"):
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


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_matrices_of_a_structure_equal_scipys(tmp_path: Path, kind: str, compressed: bool) -> None:
    path = tmp_path / "a.mat"
    cells = np.empty((2, 1), dtype=object)
    cells[0, 0], cells[1, 0] = scipy.sparse.csc_matrix(np.eye(5, dtype=bool)), np.zeros((0, 0))
    structure = {
        "Segmentation": (np.arange(35).reshape(5, 7) % 3).astype(kind),
        "Boundaries": cells,
        "a_name_of_thirty_letters_in_all": np.array([[7.0]]),
        "Text": "words",
        "Inner": {"Segmentation": np.ones((2, 2))},
        "Nothing": np.zeros((0, 0)),
        "Complex": np.array([[1j]]),
    }
    scipy.io.savemat(path, {"other": np.eye(2), "GT": structure}, do_compression=compressed)
    found = read_structure(path, "GT")
    assert sorted(found) == ["Nothing", "Segmentation", "a_name_of_thirty_letters_in_all"]
    expected = scipy.io.loadmat(path)["GT"][0, 0]
    for field, matrix in found.items():
        assert matrix.shape == expected[field].shape
        assert (matrix == expected[field]).all()


def matlab_structure(order: Any) -> bytes:
    """`GT.ab = uint8([1 2]); GT.c = {}` as MATLAB writes it: names of 32 bytes, small elements, an empty one."""

    def small(kind: int, data: bytes) -> bytes:
        word = (len(data) << 16 | kind).to_bytes(4, order)
        return word + data.ljust(4, b"\0")

    def ints(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, order) for number in numbers)

    def head(kind: int, name: bytes, *sizes: int) -> bytes:
        named = small(1, name) if name else part(1, b"", order)
        return part(6, ints(kind, 0), order) + part(5, ints(*sizes), order) + named

    matrix = part(14, head(9, b"", 1, 2) + small(2, b"\1\2"), order)
    names = b"ab".ljust(32, b"\0") + b"c".ljust(32, b"\0") + b"d".ljust(32, b"\0")
    fields = matrix + part(14, head(1, b"", 0, 0), order) + part(14, b"", order)
    return part(14, head(2, b"GT", 1, 1) + small(5, ints(32)) + part(1, names, order) + fields, order)


@pytest.mark.parametrize(("order", "mark"), [("little", b"\x00\x01IM"), ("big", b"\x01\x00MI")])
def test_a_structure_as_the_format_describes_it_is_read(tmp_path: Path, order: str, mark: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + mark + matlab_structure(order))
    found = read_structure(tmp_path / "a.mat", "GT")
    assert {field: matrix.tolist() for field, matrix in found.items()} == {"ab": [[1, 2]]}
    assert scipy.io.loadmat(tmp_path / "a.mat")["GT"]["ab"][0, 0].tolist() == [[1, 2]]


def test_files_that_matlab_itself_wrote_equal_scipy() -> None:
    folder = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
    paths = [path for path in sorted(folder.glob("test*_[67]*.mat")) if "hdf5" not in path.name]
    if not paths:
        pytest.skip("this scipy comes without the files its own tests read")
    compared = 0
    for path in paths:
        data, order = read_bytes(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = scipy.io.loadmat(path)
        for array in arrays_of(data, order):
            matrices = {(): array} if array.is_matrix else {}
            if array.kind == 2 and array.sizes == (1, 1):
                matrices = {(0, 0, field): one for field, one in fields_of(array, order) if one.is_matrix}
            for place, one in matrices.items():
                value = expected[array.name]
                for step in (place[:2], *place[2:]) if place else ():
                    value = value[step]
                assert (values_of(one, order) == value).all(), (path.name, place)
                compared += 1
    assert compared >= 20


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"other": {"Segmentation": np.eye(2)}}, "holds no structure GT"),
        ({"GT": np.eye(2)}, "holds no structure GT"),
        ({"GT": np.zeros((1, 2), dtype=[("Segmentation", object)])}, "holds no structure GT"),
    ],
    ids=["another name", "a matrix", "two elements"],
)
def test_what_is_no_single_structure_of_the_name_is_refused(tmp_path: Path, variables: Any, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_structure(matrix_file(tmp_path / "a.mat", **variables), "GT")


def test_a_file_of_sbd_in_place_of_a_matrix_says_what_to_do(tmp_path: Path) -> None:
    path = matrix_file(tmp_path / "a.mat", GTcls={"Segmentation": np.eye(2)})
    with pytest.raises(FormatError, match=r"Semantic Boundaries Dataset.*--voc ROOT"):
        read_matrix(path)


def test_what_function_handles_refer_to_is_no_matrix(tmp_path: Path) -> None:
    path = matrix_file(tmp_path / "a.mat", labels=np.eye(2))
    other = matrix_file(tmp_path / "b.mat", x=np.eye(3)).read_bytes()[128:]
    assert b"\1\0\1\0x" in other
    path.write_bytes(path.read_bytes() + other.replace(b"\1\0\1\0x", b"\1\0\0\0\0"))
    assert read_matrix(path).shape == (2, 2)


def damage_and_read(content: bytes, seed: int, path: Path) -> None:
    """Damage a file of structures; it reads as matrices, or is refused with one line."""
    path.write_bytes(damaged(content, random.Random(seed)))
    for name in ("GTinst", "b"):
        try:
            found = read_structure(path, name)
        except FormatError:
            continue
        assert all(matrix.ndim == 2 for matrix in found.values())


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_damaged_structures_are_refused_or_read(tmp_path: Path, compressed: bool) -> None:
    content = sbd_mat(
        tmp_path / "a.mat", "GTinst", np.eye(9, dtype=np.uint8), compressed, Categories=np.array([[15.0]])
    ).read_bytes()
    for seed in range(300):
        damage_and_read(content, seed, tmp_path / "b.mat")


@pytest.mark.long
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_much_damage_to_structures_is_refused_or_read(tmp_path: Path, compressed: bool) -> None:
    content = sbd_mat(
        tmp_path / "a.mat", "GTinst", np.eye(9, dtype=np.uint8), compressed, Categories=np.array([[15.0]])
    )
    for seed in range(25_000):
        damage_and_read(content.read_bytes(), seed, tmp_path / "b.mat")


def test_a_small_element_of_more_than_four_bytes_and_endless_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(header + (9 << 16 | 14).to_bytes(4, "little") + bytes(40))
    with pytest.raises(FormatError, match="a small element of 9 bytes"):
        read_matrix(tmp_path / "a.mat")
    monkeypatch.setattr("curate.sources.matlab.MOST_BYTES", 100)
    with pytest.raises(FormatError, match="more than 100 bytes"):
        read_matrix(tmp_path / "a.mat")
