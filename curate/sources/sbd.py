"""The masks of the Semantic Boundaries Dataset (Hariharan et al. 2011): VOC's photos, labelled in MATLAB structures.

`cls/NAME.mat` holds `GTcls`, `inst/NAME.mat` holds `GTinst`. Both have a matrix `Segmentation`: of VOC's classes, or of
objects numbered from 1, whose classes `Categories` lists. `Boundaries`, cells of sparse matrices, are not read. SBD
marks no void; where a matrix holds VOC's 255, it means the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.sources.matlab import Matrix, read_structure

VOID = 255


def read_sbd_classes(path: Path) -> NDArray[np.uint8]:
    """The class of each pixel (H, W), 0 for none.

    Raises:
        MissingError, FormatError: As `read_structure`; also where it holds no such matrix.
    """
    return segmentation_of(path, "GTcls", read_structure(path, "GTcls"))


def read_sbd_objects(path: Path) -> tuple[NDArray[np.uint8], dict[int, int]]:
    """The number of the object at each pixel (H, W), 0 for none, and the class of each object.

    Raises:
        MissingError, FormatError: As `read_structure`; also where an object has no class.
    """
    fields = read_structure(path, "GTinst")
    objects = segmentation_of(path, "GTinst", fields)
    categories = fields.get("Categories", np.zeros((0, 0)))
    classes = whole_numbers(path, "GTinst.Categories", categories).ravel()
    highest = int(objects.max(where=objects != VOID, initial=0))
    if highest > classes.size:
        raise FormatError(path, f"shows object {highest}, but Categories lists {classes.size}", "GTinst")
    return objects, {number: int(value) for number, value in enumerate(classes, 1)}


def segmentation_of(path: Path, name: str, fields: dict[str, Matrix]) -> NDArray[np.uint8]:
    """The matrix `Segmentation` of a structure's fields, with at least one value."""
    matrix = fields.get("Segmentation", np.zeros((0, 0)))
    if not matrix.size:
        raise FormatError(path, "holds no matrix Segmentation", name)
    return np.ascontiguousarray(whole_numbers(path, f"{name}.Segmentation", matrix))


def whole_numbers(path: Path, place: str, matrix: Matrix) -> NDArray[np.uint8]:
    """The matrix as whole numbers from 0 to 255; FormatError where a value is none."""
    with np.errstate(invalid="ignore"):
        whole = matrix.astype(np.uint8)
    if (whole != matrix).any():
        strange = matrix[whole != matrix].flat[0]
        raise FormatError(path, f"holds {strange}; expected whole numbers from 0 to 255", place)
    return whole
