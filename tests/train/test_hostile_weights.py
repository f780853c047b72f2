"""Weights, checkpoints and caches from a stranger: nothing in them is run, and no length is believed."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from curate.errors import FormatError
from train.data.cache import _Header, _opened
from train.engine.checkpoint import read_checkpoint
from train.models import read_weights


class Runs:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def pickled(path: Path, proof: Path) -> None:
    path.write_bytes(pickle.dumps(Runs(proof)))


def zipped(path: Path, proof: Path) -> None:
    torch.save({"weights": Runs(proof)}, path)


def as_objects(path: Path, proof: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Runs(proof)], object), allow_pickle=True)


@pytest.mark.parametrize("write", [pickled, zipped, as_objects])
def test_a_pickle_is_never_run(tmp_path: Path, write: Callable[[Path, Path], None]) -> None:
    proof = tmp_path / "was run"
    for name in ("best.safetensors", "last.ckpt", "images.npy", "targets.npy"):
        write(tmp_path / name, proof)
    header = _Header(1, "d", 32, [])
    (tmp_path / "header.json").write_text(json.dumps({"made_by": 1, "digest": "d", "size": 32, "sample_ids": []}))
    assert _opened(tmp_path, header) is None
    with pytest.raises(FormatError):
        read_weights(tmp_path / "best.safetensors")
    with pytest.raises(FormatError):
        read_checkpoint(tmp_path)
    assert not proof.exists()


@pytest.mark.parametrize(
    "said",
    [
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {
            "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        },
        None,
    ],
    ids=["endless", "short", "overlapping", "header of exabytes"],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, said: dict[str, object] | None) -> None:
    head = json.dumps(said).encode()
    length = struct.pack("<Q", 2**62 if said is None else len(head))
    for name in ("best.safetensors", "last.ckpt"):
        (tmp_path / name).write_bytes(length + head + bytes(8))
    with pytest.raises(FormatError):
        read_weights(tmp_path / "best.safetensors")
    with pytest.raises(FormatError):
        read_checkpoint(tmp_path)
