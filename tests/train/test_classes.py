"""Held objects and animals as classes of their own, beside the person whose scores count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from curate.cli import cli
from curate.dataset import Dataset
from curate.errors import MissingError, UsageError
from curate.threads import unwatched
from tests.train.making import make_dataset, quick
from train import load
from train.augment import augment
from train.config import LOSSES, RECIPES, FitConfig, read_config
from train.data.cache import open_cache
from train.data.targets import ANIMAL, HELD, UNNAMED, resize_target
from train.engine.losses import segmentation_loss
from train.fit import fit
from train.inference.export import WholeModel
from train.inference.predict import predict_batch
from train.scoring.score import score


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset that tells of held objects and animals in two of three images."""
    return make_dataset(tmp_path_factory.mktemp("named") / "people", classes=True)


def test_the_cache_holds_what_each_image_names(named: Dataset) -> None:
    cache = open_cache(named, 64, unwatched)
    values = {
        row["sample_id"]: set(np.unique(cache.targets[cache.place[row["sample_id"]]])) for row in named.rows("train")
    }
    known = {row["sample_id"] for row in named.rows("train") if named.classes(row) is not None}
    assert 0 < len(known) < len(values)
    assert all(({HELD, ANIMAL} & own) and UNNAMED not in own for name, own in values.items() if name in known)
    assert all(not ({HELD, ANIMAL, 0} & own) for name, own in values.items() if name not in known)


def test_a_dataset_without_classes_has_the_three_values_alone(drawn: Dataset) -> None:
    assert set(np.unique(open_cache(drawn, 32, unwatched).targets)) <= {0, 128, 255}


def test_a_person_wins_over_what_is_held_and_what_is_not_counted_over_both() -> None:
    target, classes = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    classes[:32], classes[32:] = 1, 2
    target[:, :16], target[:, 48:] = 255, 128
    resized = resize_target(target, 32, classes, named=True)
    assert (resized[:, :8] == 255).all()
    assert (resized[:, 24:] == 128).all()
    assert (resized[:16, 8:24] == HELD).all()
    assert (resized[16:, 8:24] == ANIMAL).all()
    assert set(np.unique(resize_target(target, 32, None, named=True))) == {UNNAMED, 128, 255}


def some_targets() -> torch.Tensor:
    values = torch.tensor([0, UNNAMED, HELD, 128, ANIMAL, 255], dtype=torch.uint8)
    return values[torch.randint(6, (4, 8, 8), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("name", LOSSES)
def test_a_person_is_learnt_as_without_the_classes(name: str) -> None:
    logits, targets = torch.randn((4, 1, 8, 8), generator=torch.Generator().manual_seed(1)), some_targets()
    plain = torch.where((targets == 255) | (targets == 128), targets, 0).to(torch.uint8)
    assert segmentation_loss(name, logits, targets) == segmentation_loss(name, logits, plain)


@pytest.mark.parametrize("name", LOSSES)
def test_a_class_is_learnt_where_it_is_labelled_alone(name: str) -> None:
    logits, targets = torch.randn((4, 3, 8, 8), generator=torch.Generator().manual_seed(1)), some_targets()
    logits.requires_grad_()
    classes = ("person", "held", "animal")
    loss = segmentation_loss(name, logits, targets, classes)
    loss.backward()
    assert logits.grad is not None
    unnamed, uncounted = targets == UNNAMED, targets == 128
    assert not logits.grad[:, 1:].permute(1, 0, 2, 3)[:, unnamed].any()
    assert not logits.grad.permute(1, 0, 2, 3)[:, uncounted].any()
    assert logits.grad[:, 0][unnamed].any()
    alone = [
        segmentation_loss(name, logits[:, channel : channel + 1], as_person(targets, value))
        for channel, value in enumerate((255, HELD, ANIMAL))
    ]
    assert float(loss.detach()) == pytest.approx(sum(float(one.detach()) for one in alone) / 3, rel=1e-5)


def as_person(targets: torch.Tensor, value: int) -> torch.Tensor:
    """Targets of 0, 128, 255 in which another value is what 255 stands for."""
    left_out = (targets == 128) | ((targets == UNNAMED) & (value != 255))
    return torch.where(left_out, 128, torch.where(targets == value, 255, 0)).to(torch.uint8)


@pytest.mark.parametrize("recipe", RECIPES)
def test_augmentations_keep_what_is_named(recipe: str) -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (16, 3, 64, 64), dtype=np.uint8))
    targets = torch.zeros((16, 64, 64), dtype=torch.uint8)
    targets[:, 8:60, 10:30], targets[:, 8:30, 40:60], targets[:, 35:60, 40:60] = 255, HELD, ANIMAL
    others = images.flip(0), torch.full_like(targets, UNNAMED)
    seeds = [(0, number) for number in range(16)]
    _, changed = augment((images, targets), others, [recipe] * 16, seeds, held=HELD)
    assert set(changed.unique().tolist()) <= {0, UNNAMED, HELD, 128, ANIMAL, 255}
    assert HELD in changed or recipe in ("copy-paste", "low-contrast"), "these put people before the other image"
    if recipe == "held-object":
        assert ((changed == HELD).sum((1, 2)) > 22 * 20).any(), "and what is pasted is held too"


@pytest.mark.parametrize("model", ["pspnet", "fcn16s", "tiramisu56"])
@pytest.mark.usefixtures("narrow_fcn")
def test_a_model_has_a_channel_for_each_class_and_scores_are_the_persons(
    model: str, named: Dataset, tmp_path: Path
) -> None:
    run = fit(named, tmp_path / "run", quick(model=model, classes=("person", "held", "animal")))
    loaded = load(run)
    assert read_config(run).classes == ("person", "held", "animal")
    images = np.stack([named.image(row)[:32, :32] for row in named.rows("val")])
    with torch.inference_mode():
        image = torch.zeros((1, 3, 32, 32))
        assert loaded.model(image).shape == (1, 3, 32, 32)
        assert WholeModel(loaded.model)(image).shape == (1, 1, 32, 32), "an exported model tells of the person alone"
    assert predict_batch(loaded.model, images).shape == (3, 32, 32)
    assert score(run, named, ("test",)).filter(split="test").height == 2


def test_what_is_not_labelled_cannot_be_learnt(drawn: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"--classes held: .* does not label it. Build it with --held class"):
        fit(drawn, tmp_path / "run", quick(classes=("person", "held")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        ((), "expected person first"),
        (("held", "person"), "expected person first"),
        (("person", "person"), "each once"),
        (("person", "dog"), "--classes dog: expected one of person, held, animal"),
    ],
)
def test_classes_that_make_no_sense_are_refused(classes: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        FitConfig(dataset="", digest="", classes=classes)


def test_the_command_takes_classes_and_resumes_with_them(named: Dataset, tmp_path: Path) -> None:
    words = ["train", "fit", str(named.root), "--out", str(tmp_path / "run"), "--model", "pspnet", "--encoder"]
    words += ["mobilenet_v2", "--weights", "none", "--lr", "0.001", "--size", "32", "--epochs", "1"]
    words += ["--classes", "person,animal"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(cli, [*words, "--resume"]).exit_code == 0
    other = CliRunner().invoke(cli, [*words[:-1], "person,held", "--resume"])
    assert "--classes person,animal, not person,held" in str(other.exception)
