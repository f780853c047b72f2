"""How far a guess's confidence tells its real IoU, on photographs with hand-made masks; `-s` shows the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.masks import IGNORE, PERSON, Mask, Target, band_width_px, grow, iou
from curate.person_model import InputSpec, PersonModel, Probability, open_model
from label.guessing import HALF, guess_of

pytestmark = [pytest.mark.real, pytest.mark.long]
Values = NDArray[np.float64]
MODELS = {"pp-humanseg-lite": "signed", "portrait-prisma": "unit"}


@pytest.fixture(scope="module")
def photographs(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """humanseg and ccp."""
    pairs = [
        [f"humanseg={real_data / 'humanseg' / 'images'}", str(real_data / "humanseg" / "masks")],
        [f"ccp={real_data / 'ccp' / 'photos'}", str(real_data / "ccp" / "pixel-level")],
    ]
    out = tmp_path_factory.mktemp("real") / "people"
    build_dataset(make_recipe({"pairs": pairs}), out)
    return open_dataset(out)


def agreement(person: Mask, target: Target) -> float:
    counted = target != IGNORE
    return iou(person & counted, (target == PERSON) & counted) or 0.0


def decidedness(probability: Probability) -> float:
    """Mean of |2 p - 1| over the mask and a band around it: how far from undecided the model is."""
    person = probability >= HALF
    return float(np.abs(2 * probability - 1)[grow(person, band_width_px(person.shape))].mean())


def figures(dataset: Dataset, row: dict[str, Any], model: PersonModel) -> tuple[float, ...] | None:
    """IoU of image and mirror image together and of the image alone; confidence and its two rivals. None for nobody."""
    image, target = dataset.image(row), dataset.target(row)
    plain = model.predict(image)
    mirrored = model.predict(np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
    both = np.asarray((plain + mirrored) / 2, np.float32)
    found = guess_of(both)
    if not found.person.any():
        return None
    same = iou(plain >= HALF, mirrored >= HALF) or 0.0
    real = agreement(found.person, target), agreement(plain >= HALF, target)
    return *real, found.confidence, decidedness(both), same


def interval(one: Values, other: Values, real: Values) -> NDArray[np.float64]:
    """95 % of how much better `one` ranks than `other`, by bootstrap over the images."""
    draws = np.random.default_rng(0).integers(0, real.size, (500, real.size))
    return np.percentile(
        [spearmanr(one[at], real[at])[0] - spearmanr(other[at], real[at])[0] for at in draws], [2.5, 97.5]
    )


@pytest.mark.parametrize("name", MODELS)
def test_confidence_follows_the_real_iou(name: str, photographs: Dataset, real_data: Path) -> None:
    model = open_model(real_data / "models" / f"{name}.onnx", InputSpec(normalise=MODELS[name]))
    rows = [figures(photographs, row, model) for row in photographs.rows("train", "val", "test")]
    table = [row for row in rows if row is not None]
    real, alone, confidence, decided, same = np.array(table).T
    ranks = [spearmanr(one, real)[0] for one in (confidence, decided, same)]
    off = [float(np.abs(one - real).mean()) for one in (confidence, decided, same)]
    sure = real[confidence > 0.9]
    print(f"\n{name}: {len(table)} images, IoU {real.mean():.3f} (the image alone {alone.mean():.3f})")
    for what, rank, distance in zip(("expected IoU", "mean |2 p - 1|", "mirror images' IoU"), ranks, off, strict=True):
        print(f"  {what:<20} rank correlation {rank:.3f}, off by {distance:.3f} on average")
    low, high = interval(decided, confidence, real)
    print(f"  mean |2 p - 1| ranks better by {ranks[1] - ranks[0]:.3f} [{low:+.3f}, {high:+.3f}]")
    for least in (0.7, 0.8, 0.85, 0.9):
        above = real[confidence > least]
        print(f"  above {least}: {len(above)} images, IoU {above.mean():.3f}, {np.mean(above >= 0.9):.0%} of them good")
    assert real.mean() > alone.mean()
    assert ranks[0] > 0.65
    assert off[0] < 0.06
    assert sure.mean() > 0.9
