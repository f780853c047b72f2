"""A run's embeddings of all images of its dataset, kept beside the run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from curate.dataset import Dataset
from curate.errors import MachineError
from curate.files import is_outdated, readable_faults, write_atomic
from curate.rows import Rows
from curate.threads import Tick, Watch, map_threads, unwatched
from review.runs import Run

BATCH = 32


def embeddings_of(run: Run, watch: Watch = unwatched) -> NDArray[np.float32] | None:
    """The embeddings (n, D) of every image of the run's dataset, in the order of its rows; None of a run that has no
    model of its own, as ready-made ones.

    They are computed once, on the GPU if there is one, and kept in `embeddings.npy` until the weights change.

    Raises:
        CurateError: The weights or a photograph cannot be read.
    """
    weights, path, rows = run.root / "best.safetensors", run.root / "embeddings.npy", run.dataset.rows()
    if not weights.is_file():
        return None
    if not is_outdated(path, weights):
        with suppress(ValueError, OSError, EOFError):
            kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
            if len(kept) == len(rows):
                return kept
    found = embedded(run, rows, watch("embeddings", len(rows)))
    buffer = io.BytesIO()
    np.save(buffer, found)
    with readable_faults(path):
        write_atomic(path, buffer.getvalue())
    return found


def embedded(run: Run, rows: Rows, tick: Tick) -> NDArray[np.float32]:
    """The embeddings (n, D) of some rows, computed now."""
    import torch

    from train.inference.embed import embed
    from train.models import device, load

    loaded = load(run.root)
    try:
        loaded.model.to(device())
        return embed(loaded, batches(run.dataset, rows, loaded.config.size, tick))
    except torch.OutOfMemoryError as error:
        advice = "Free some of it, or leave them out: --no-embeddings"
        raise MachineError(f"{run.root}: the GPU's memory does not hold what embeddings need. {advice}") from error


def batches(dataset: Dataset, rows: Rows, size: int, tick: Tick) -> Iterator[NDArray[np.uint8]]:
    """The images of some rows at training size, (n, S, S, 3)."""
    from train.data.cache import resize_image

    for begin in range(0, len(rows), BATCH):
        part = rows[begin : begin + BATCH]
        yield np.stack(map_threads(lambda row: resize_image(dataset.image(row), size), part))
        tick(len(part))
