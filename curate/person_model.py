"""Person models in ONNX files, as a second opinion: a photograph in, the probability of person out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError, MissingError, UsageError
from curate.masks import SizeHW

if TYPE_CHECKING:
    import onnxruntime

NORMALISATIONS = {
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "signed": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "raw": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""What is taken off RGB values of 0 to 255, and what they are then divided by, by name."""

Photo: TypeAlias = NDArray[np.uint8]
Probability: TypeAlias = NDArray[np.float32]
Predict: TypeAlias = Callable[[Photo], Probability]
"""From an image (H, W, 3) uint8 RGB to the probability of person (H, W) in [0, 1]."""


@dataclass(frozen=True)
class InputSpec:
    """What a model's input looks like; None: read from the file.

    Attributes:
        size_hw: Height and width in px of what it is given.
        channels_first: Whether it is (N, 3, H, W), else (N, H, W, 3).
        normalise: One of NORMALISATIONS.
    """

    size_hw: SizeHW | None = None
    channels_first: bool | None = None
    normalise: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What it says, for a record of how a model was asked."""
        size = None if self.size_hw is None else list(self.size_hw)
        return {"input_size_hw": size, "channels_first": self.channels_first, "normalise": self.normalise}


@dataclass(frozen=True)
class PersonModel:
    """An opened ONNX model.

    Attributes:
        path: Its file.
        session: onnxruntime's, on the CPU.
        input_name: Of its one input.
        size_hw: Height and width in px of what it is given.
        channels_first: Whether its input is (N, 3, H, W), else (N, H, W, 3).
        stretched: Whether an image is stretched to the size, as `curate train` does it; else it is padded to its shape.
        mean, std: Of its normalisation, in values of 0 to 255, (3,) float32.
    """

    path: Path
    session: onnxruntime.InferenceSession
    input_name: str
    size_hw: SizeHW
    channels_first: bool
    stretched: bool
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __reduce__(self) -> tuple[Callable[..., PersonModel], tuple[Any, ...]]:
        """What goes to another process, which opens the file for itself."""
        settings = (self.input_name, self.size_hw, self.channels_first, self.stretched, self.mean, self.std)
        return reopened, (self.path, *settings)

    def predict(self, image: Photo) -> Probability:
        """The probability of person (H, W) in [0, 1] of an image (H, W, 3) uint8 RGB, at the image's own size.

        Raises:
            FormatError: The model fails, or gives something else than a map of persons.
        """
        padded, (top, left) = (image, (0, 0)) if self.stretched else padded_to_shape(image, self.size_hw)
        grows = self.stretched and image.shape[0] * image.shape[1] <= self.size_hw[0] * self.size_hw[1]
        method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
        small = cv2.resize(padded, self.size_hw[::-1], interpolation=method)
        given = (small.astype(np.float32) - self.mean) / self.std
        batch = (given.transpose(2, 0, 1) if self.channels_first else given)[None]
        try:
            outputs = self.session.run(None, {self.input_name: np.ascontiguousarray(batch)})
        except Exception as error:  # onnxruntime's errors have no common class
            raise FormatError(self.path, f"fails on an image ({first_line(error)})") from error
        chances = person_map(outputs, self.path)
        native: Probability = np.asarray(cv2.resize(chances, padded.shape[1::-1]), np.float32)
        return native[top : top + image.shape[0], left : left + image.shape[1]]


def both_views(predict: Predict) -> Predict:
    """What gives the mean of a model's probabilities for an image and for its mirror image.

    On real photographs that is about one point of IoU better than the image alone (docs/results.md).
    """

    def mean(image: Photo) -> Probability:
        mirrored = predict(np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
        return np.asarray((predict(image) + mirrored) / 2, np.float32)

    return mean


def padded_to_shape(image: Photo, size_hw: SizeHW) -> tuple[Photo, tuple[int, int]]:
    """An image with grey around it so that it has the shape of `size_hw`, and its top and left px in that.

    A person who is squeezed into another shape is not recognised as well: on real photographs the wide
    PP-HumanSeg keeps six to eight points of IoU more this way.
    """
    height, width = image.shape[:2]
    high = max(height, round(width * size_hw[0] / size_hw[1]))
    wide = max(width, round(height * size_hw[1] / size_hw[0]))
    top, left = (high - height) // 2, (wide - width) // 2
    sides = top, high - height - top, left, wide - width - left
    padded = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    return np.asarray(padded, np.uint8), (top, left)


def open_model(path: Path, spec: InputSpec = InputSpec()) -> PersonModel:
    """The model in an ONNX file.

    What `spec` leaves open is read from the shape of the model's input and from its metadata (`size`, `normalise`,
    `fit`), where it was written by `curate train export`.

    Raises:
        MissingError: No such file.
        FormatError: It is damaged, or no model of one image.
        UsageError: Neither `spec` nor the file says what its input looks like.
    """
    session = session_of(path)
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        raise FormatError(path, f"takes {found}; expected one image of floats, (N, 3, H, W) or (N, H, W, 3)")
    metadata = session.get_modelmeta().custom_metadata_map
    channels_first, size_hw = layout_of(inputs[0].shape, spec, path, size_told(metadata.get("size", "")))
    mean, std = normalisation_of(spec.normalise or metadata.get("normalise"), path)
    stretched = metadata.get("fit") == "stretch"
    return PersonModel(path, session, inputs[0].name, size_hw, channels_first, stretched, mean, std)


def session_of(path: Path) -> onnxruntime.InferenceSession:
    """A file's model, ready to run on the CPU.

    Raises:
        MissingError: No such file.
        FormatError: It is damaged.
    """
    import onnxruntime

    if not path.is_file():
        raise MissingError(f"{path}: no such model. Name an .onnx file")
    onnxruntime.set_default_logger_severity(4)
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise FormatError(path, f"is no ONNX model that can be run ({first_line(error)})") from error


def reopened(path: Path, *settings: Any) -> PersonModel:
    """A model that was opened elsewhere, its file opened again."""
    return PersonModel(path, session_of(path), *settings)


def size_told(text: str) -> SizeHW | None:
    """Height and width of `224x398` in a file's metadata; None where there is no such text."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    return None if found is None else (int(found[1]), int(found[2]))


def layout_of(shape: list[Any], spec: InputSpec, path: Path, told: SizeHW | None = None) -> tuple[bool, SizeHW]:
    """Whether the channels come first, and height and width.

    From an input's shape, what the user says of it, and the size that the file tells where it takes any.
    """
    first = spec.channels_first
    if first is None:
        first = shape[1] == 3 or shape[3] != 3
    channels, (height, width) = (shape[1], shape[2:]) if first else (shape[3], shape[1:3])
    if channels not in (3, None) and not isinstance(channels, str):
        raise FormatError(path, f"takes images of {channels} channels, shape {shape}; expected 3, RGB")
    fixed = isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0
    if fixed and spec.size_hw not in (None, (height, width)):
        raise UsageError(f"--input-size: {path} takes {height}x{width} (HxW) and nothing else. Leave the option out")
    wanted = spec.size_hw or told
    if not fixed and wanted is None:
        raise UsageError(f"{path}: takes images of any size. Say which it was trained for: --input-size HxW")
    return first, (height, width) if fixed else wanted or (0, 0)


def normalisation_of(name: str | None, path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation by the name of a normalisation."""
    if name not in NORMALISATIONS:
        raise UsageError(
            f"{path}: does not say how its input is normalised. Say it: --normalise {'|'.join(NORMALISATIONS)}"
        )
    mean, std = NORMALISATIONS[name]
    return np.asarray(mean, np.float32), np.asarray(std, np.float32)


def person_map(outputs: list[Any], path: Path) -> Probability:
    """The probability of person (h, w) in the outputs of a model: the first that is a map of one or two classes.

    Of two classes the second is the person. Values outside [0, 1] are logits.

    Raises:
        FormatError: None is such a map, or it holds NaN.
    """
    for output in outputs:
        values = np.asarray(output)
        if values.ndim == 4 and values.shape[0] == 1 and min(values.shape) > 0:
            planes = values[0] if values.shape[1] in (1, 2) else values[0].transpose(2, 0, 1)
        elif values.ndim == 3 and values.shape[0] == 1:
            planes = values
        else:
            continue
        if planes.shape[0] in (1, 2):
            return probability_of(planes.astype(np.float32), path)
    shapes = ", ".join(str(list(np.shape(output))) for output in outputs)
    raise FormatError(path, f"gives {shapes}; expected a map of person, (1, 1, h, w) or (1, 2, h, w)")


def probability_of(planes: NDArray[np.float32], path: Path) -> Probability:
    """One plane of person, or two of background and person, (C, h, w), as the probability of person (h, w)."""
    if not np.isfinite(planes).all():
        raise FormatError(path, "gives values that are no numbers (NaN or infinity). Check --normalise")
    person: Probability = planes[-1]
    if planes.min() >= 0 and planes.max() <= 1:
        return person
    logits = person if len(planes) == 1 else person - planes[0]
    return np.asarray(1 / (1 + np.exp(-logits.clip(-60, 60))), np.float32)


def first_line(error: Exception) -> str:
    """The first line of what another library says."""
    return (str(error).splitlines() or [type(error).__name__])[0]
