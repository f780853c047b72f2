"""Learning rates against torch's own schedulers, and against their papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch

from tests.train.making import quick
from train.config import SCHEDULES
from train.engine.schedule import learning_rate


def rates(steps: int, epochs: int = 1, **options: object) -> list[float]:
    """The rate of every step."""
    config = quick(epochs=max(epochs, 8), **options)
    return [learning_rate(config, step, steps, epochs) for step in range(steps)]


@pytest.mark.parametrize("steps", [4, 10, 37, 200])
def test_one_cycle_is_torchs(steps: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.03, total_steps=steps, cycle_momentum=False)
    for step, rate in enumerate(rates(steps, schedule="one-cycle", lr=0.03)):
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        if step < steps - 1:
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_few_steps_stay_in_range(steps: int, name: str) -> None:
    found = rates(steps, schedule=name, lr=0.03)
    assert all(0 < rate <= 0.03 for rate in found)
    assert found[0] > 1e-4


def test_constant_stays() -> None:
    assert set(rates(9, schedule="constant", lr=0.5)) == {0.5}


def test_triangular_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, 1e-3, 2e-2, step_size_up=5, cycle_momentum=False)
    for rate in rates(40, 4, schedule="triangular", lr=2e-2, lr_min=1e-3):
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_triangular_without_a_lowest_rate_is_the_papers_and_may_last_epochs() -> None:
    found = rates(40, 4, schedule="triangular", lr=2e-2, cycle_epochs=2)
    assert min(found) == found[0] == found[20] == pytest.approx(1e-3)
    assert max(found) == found[10] == found[30] == pytest.approx(2e-2)


@pytest.mark.parametrize(("options", "factor"), [({}, 0.1), ({"lr_decay": 0.5}, 0.5)])
def test_step_falls_after_a_half_and_three_quarters(options: dict[str, object], factor: float) -> None:
    expected = [1.0] * 4 + [factor] * 2 + [factor**2] * 2
    assert rates(8, schedule="step", lr=1.0, **options) == pytest.approx(expected)


@pytest.mark.parametrize(("options", "lowest"), [({}, 0.0), ({"lr_min": 0.01}, 0.01)])
def test_polynomial_is_deeplabs(options: dict[str, object], lowest: float) -> None:
    expected = [lowest + (0.1 - lowest) * (1 - step / 7) ** 0.9 for step in range(7)]
    assert rates(7, schedule="polynomial", lr=0.1, **options) == pytest.approx(expected)


@pytest.mark.parametrize(("options", "factor"), [({}, 0.995), ({"lr_decay": 0.5}, 0.5)])
def test_exponential_falls_by_its_factor_in_each_epoch(options: dict[str, object], factor: float) -> None:
    found = rates(30, 3, schedule="exponential", lr=1e-3, **options)
    assert found[::10] == pytest.approx([1e-3, 1e-3 * factor, 1e-3 * factor**2])
    assert all(math.isclose(found[k + 1] / found[k], factor**0.1) for k in range(29))
