"""Batch norms that follow dropout keep the averages of what they meet without it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from curate.dataset import Dataset
from tests.train.making import quick
from train.config import FitConfig
from train.engine.distributed import ALONE, GradientSum
from train.engine.execution import make_scaler
from train.engine.learner import Learner
from train.engine.norms import follow_dropout, settle_norms
from train.fit import fit
from train.models import build_model, load

CPU = torch.device("cpu")


def learner_of(model: nn.Module) -> Learner:
    """A learner of any model, which never takes a step."""
    config, optimizer = quick(precision="fp32"), torch.optim.SGD(model.parameters(), 1.0)
    scaler = make_scaler(CPU, "fp32")
    return Learner(config, model, model, optimizer, scaler, None, ALONE, GradientSum(model, ALONE))


def noise(batches: int = 8) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(4, 16, 16, dtype=torch.uint8)
    return [(torch.randint(256, (4, 3, 16, 16), generator=generator, dtype=torch.uint8), targets)] * batches


def test_averages_are_those_without_dropout() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1))
    inputs, norm = model[0], model[2]
    assert isinstance(norm, nn.BatchNorm2d)
    learner, momentum = learner_of(model.train()), norm.momentum
    settle_norms(learner, noise())
    seen: list[Tensor] = []
    inputs.register_forward_hook(lambda layer, given, made: seen.append(made))
    settle_norms(learner_of(model.train()), noise(1))
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, seen[0].transpose(0, 1).flatten(1).var(1))
    assert norm.momentum == momentum
    assert not model.training


def test_frozen_norms_keep_theirs() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)).train()
    model[0].eval()
    settle_norms(learner_of(model), noise())
    assert model[0].running_mean.tolist() == [0.0] * 3
    assert model[2].running_mean.tolist() != [0.0] * 3


@pytest.mark.parametrize(
    ("model", "encoder", "follows"),
    [("tiramisu56", "auto", True), ("deeplabv3plus", "resnet18", True), ("unet", "mobilenet_v2", False),
     ("pspnet", "resnet18", False), ("fpn", "resnet18", False)],
)  # fmt: skip
def test_which_models_have_them(model: str, encoder: str, follows: bool) -> None:
    config = FitConfig(dataset="", digest="", model=model, encoder=encoder, weights="none", lr=0.1)
    assert follow_dropout(build_model(config)) is follows
    assert not follow_dropout(nn.Sequential(nn.Dropout(0.0), nn.BatchNorm2d(3)))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_run_is_judged_and_saved_with_them(drawn: Dataset, tmp_path: Path, ema: float | None) -> None:
    """Of three epochs of three batches each, the averages are of the last epoch's three alone."""
    run = fit(drawn, tmp_path / "run", quick(model="tiramisu56", epochs=3, validation="none", ema=ema))
    state = load(run).model.state_dict()
    counts = [int(count) for name, count in state.items() if name.endswith("num_batches_tracked")]
    assert len(counts) > 40
    assert set(counts) == {3}
