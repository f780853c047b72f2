"""Learning rates against torch's own scheduler."""

from __future__ import annotations

import pytest
import torch

from train.schedule import learning_rate


@pytest.mark.parametrize("steps", [4, 10, 37, 200])
def test_one_cycle_is_torchs(steps: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.03, total_steps=steps, cycle_momentum=False)
    for step in range(steps):
        assert learning_rate("one-cycle", 0.03, step, steps) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        if step < steps - 1:
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_a_few_steps_stays_in_range(steps: int) -> None:
    rates = [learning_rate("one-cycle", 0.03, step, steps) for step in range(steps)]
    assert all(0 < rate <= 0.03 for rate in rates)
    assert rates[0] > 1e-4


def test_constant_stays() -> None:
    assert {learning_rate("constant", 0.5, step, 9) for step in range(9)} == {0.5}
