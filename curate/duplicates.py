"""Interim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def signature(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(thumbnail[::4, ::4]).ravel()


def near_pairs(signatures: NDArray[np.uint8]) -> NDArray[np.int64]:
    first: dict[bytes, int] = {}
    pairs = []
    for index, row in enumerate(signatures):
        other = first.setdefault(row.tobytes(), index)
        if other != index:
            pairs.append((other, index))
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)
