"""A run's model as one ONNX file that anything can run, checked against the run and timed beside it."""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from curate.errors import ExistsError, MachineError, UsageError
from curate.files import readable_faults, sha256_file, write_atomic
from curate.person_model import first_line
from train.config import SIZE_STEP_PX, FitConfig
from train.data.batches import DEVIATION_RGB, MEAN_RGB
from train.models import load

TOLERANCE = 1e-3
"""Of a probability: how far the file may be off the run; a quarter of what a prediction's 8 bits can tell apart."""
TIMED_RUNS = 11
INPUT, OUTPUT = "image", "person"


class Exported(msgspec.Struct, frozen=True):
    """What was written, and how it compares with the run.

    Attributes:
        out: The file.
        bytes: Its size.
        parameters: Numbers that were learnt.
        size: Height and width in px that the run was trained at.
        free_size: Whether the file takes any height and width that are multiples of 32.
        difference: The largest between a probability of the file and of the run, over random images.
        threads: That both were timed with.
        torch_ms, onnx_ms: For one image of `size`, the median of TIMED_RUNS.
    """

    out: str
    bytes: int
    parameters: int
    size: int
    free_size: bool
    difference: float
    threads: int
    torch_ms: float
    onnx_ms: float


class WholeModel(nn.Module):
    """RGB (N, 3, H, W) in [0, 1] to the probability of person (N, 1, H, W): normalisation and sigmoid belong to it."""

    def __init__(self, model: nn.Module) -> None:
        """`model` takes normalised RGB and gives logits."""
        super().__init__()
        self.model = model
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION_RGB).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """The probability of person."""
        return torch.sigmoid(self.model((image - self.mean) / self.deviation)[:, :1])


def export_onnx(run: Path, out: Path, *, free_size: bool = False, force: bool = False) -> Exported:
    """Write the best model of a run as an ONNX file, once it gives what the run gives.

    The file says in its metadata all that is needed to use it, so `curate train score FILE.onnx` opens it as it is.

    Args:
        run: The run.
        out: The file; written whole or not at all.
        free_size: Let height and width be any multiple of 32, not the run's size alone. The number of images is free
            anyway.
        force: Replace a file that is there.

    Raises:
        UsageError: `out` does not end in .onnx, by which `score` and `predict` know such a file.
        ExistsError: `out` exists and `force` is false.
        MissingError, FormatError, MismatchError: As `train.models.load`.
        MachineError: The model cannot be written so, or gives something else then.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"--out {out}: expected a name that ends in .onnx")
    if out.exists() and not force:
        raise ExistsError(f"{out}: exists already. Choose another --out, or pass --force to replace it")
    loaded = load(run)
    model, size = WholeModel(loaded.model).eval(), loaded.config.size
    data = onnx_bytes(model, loaded.config, sha256_file(run / "best.safetensors"), free_size=free_size)
    session = _session(data)
    shapes = [(1, size, size), (3, size, size)]
    if free_size:
        shapes += [(2, size + SIZE_STEP_PX, size), (1, SIZE_STEP_PX, 2 * SIZE_STEP_PX)]
    try:
        difference = max(_difference(model, session, shape) for shape in shapes)
    except Exception as error:  # onnxruntime's errors have no common class
        raise _cannot(loaded.config, error, free_size=free_size) from error
    if not difference <= TOLERANCE:
        raise MachineError(
            f"{out}: not written. The file's probabilities are off those of {run} by {difference:.2g}, at most "
            f"{TOLERANCE:g} is allowed. This model cannot be exported with these versions of torch and onnx"
        )
    with readable_faults(out):
        write_atomic(out, data)
    image = _images((1, size, size))
    with torch.inference_mode():
        torch_ms = _median_ms(lambda: model(torch.from_numpy(image)))
    onnx_ms = _median_ms(lambda: session.run(None, {INPUT: image}))
    parameters = sum(weight.numel() for weight in loaded.model.parameters())
    threads = torch.get_num_threads()
    return Exported(str(out), len(data), parameters, size, free_size, difference, threads, torch_ms, onnx_ms)


def onnx_bytes(model: WholeModel, config: FitConfig, weights_sha256: str, *, free_size: bool) -> bytes:
    """A model as the bytes of an ONNX file, its weights and metadata in it.

    Raises:
        MachineError: torch cannot trace or translate it.
    """
    batch = torch.export.Dim("batch", min=1)
    axes: dict[int, Any] = {0: batch}
    if free_size:
        axes |= {
            2: SIZE_STEP_PX * torch.export.Dim("rows", min=1),
            3: SIZE_STEP_PX * torch.export.Dim("columns", min=1),
        }
    # A size that is one step, or the same as another, would pass for one that is fixed.
    sides = (2 * SIZE_STEP_PX, 3 * SIZE_STEP_PX) if free_size else (config.size, config.size)
    example = torch.from_numpy(_images((2, *sides)))
    try:
        with _hushed():
            program = torch.onnx.export(
                model,
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(axes,),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter has errors of many kinds, and lets those of tracing through
        raise _cannot(config, error, free_size=free_size) from error
    proto: Any = program.model_proto  # type: ignore[union-attr]  # None only where the old exporter writes a file
    onnx.helper.set_model_props(proto, metadata(config, weights_sha256))
    data: bytes = proto.SerializeToString()
    return data


def _cannot(config: FitConfig, error: Exception, *, free_size: bool) -> MachineError:
    told = f"--model {config.model} cannot be written as an ONNX file that runs ({first_line(error)})"
    return MachineError(f"--free-size: {told}. Leave it out" if free_size else told)


@contextmanager
def _hushed() -> Iterator[None]:
    """The exporter warns of its own insides, and logs pages where it fails; what counts of that is in its error."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def metadata(config: FitConfig, weights_sha256: str) -> dict[str, str]:
    """What the file says of itself; `curate.person_model` reads `normalise`, `size` and `fit`."""
    return {
        "normalise": "unit",
        "size": f"{config.size}x{config.size}",
        "fit": "stretch",
        "input": "RGB / 255, float32 (N, 3, H, W): the whole image stretched to size, by area mean where it shrinks",
        "output": "probability of person, float32 (N, 1, H, W)",
        "model": config.model,
        "encoder": config.encoder,
        "dataset_digest": config.digest,
        "weights_sha256": weights_sha256,
        "made_by": "curate train export",
    }


def _session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _difference(model: WholeModel, session: onnxruntime.InferenceSession, shape: tuple[int, int, int]) -> float:
    """The largest difference between two probabilities for random images."""
    images = _images(shape)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    found: NDArray[np.float32] = session.run(None, {INPUT: images})[0]
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else float("nan")


def _images(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Random images of (number, height, width) as (N, 3, H, W) in [0, 1]: smooth shades with noise on them."""
    count, height, width = shape
    rng = np.random.default_rng(0)
    shades = rng.random((count, 3, height // SIZE_STEP_PX, width // SIZE_STEP_PX)).repeat(SIZE_STEP_PX, 2)
    noise = rng.random((count, 3, height, width))
    return np.asarray(0.8 * shades.repeat(SIZE_STEP_PX, 3) + 0.2 * noise, np.float32)


def _median_ms(call: Callable[[], object]) -> float:
    """The median time of a call in ms, after one that warms up."""
    call()
    times = []
    for _ in range(TIMED_RUNS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)
