"""A team of two processes: what they say to each other, and how they end."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from curate.errors import MachineError, UsageError
from tests.train.together import together
from train.distributed import ALONE, GradientSum, Team


@given(st.integers(1, 9), st.integers(0, 100), st.integers(0, 50))
def test_shares_are_equal_to_within_one_and_leave_nothing_out(size: int, begin: int, length: int) -> None:
    shares = [Team(rank, size).share(begin, begin + length) for rank in range(size)]
    assert [place for share in shares for place in range(*share)] == list(range(begin, begin + length))
    lengths = [end - start for start, end in shares]
    assert max(lengths) - min(lengths) <= 1


def test_alone_nothing_is_said() -> None:
    own = torch.tensor([1.0, 2.0])
    assert ALONE.is_lead
    assert ALONE.share(3, 8) == (3, 8)
    assert ALONE.total(own) is own
    assert ALONE.joined(own) is own
    assert ALONE.from_lead(lambda: "made") == "made"


def test_what_two_say_to_each_other() -> None:
    def talk(team: Team) -> tuple[list[float], list[float], str, list[float]]:
        own = torch.arange(team.rank + 1.0)
        model = nn.Linear(1, 2, bias=False)
        nn.init.constant_(model.weight, 5.0 + team.rank)
        team.take_leads_state(model)
        made = team.from_lead(lambda: f"made by {team.rank}")
        summed = team.total(torch.tensor([1.0 + team.rank]))
        return summed.tolist(), team.joined(own).tolist(), made, model.weight.flatten().tolist()

    for ending in together(talk):
        assert ending.error is None
        assert ending.result == ([3.0], [0.0, 0.0, 1.0], "made by 0", [5.0, 5.0])


def network() -> nn.Module:
    """Convolutions, the last of which learns nothing, with channels innermost as in training."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 1), nn.Conv2d(1, 1, 1, bias=False))
    layers[3].requires_grad_(False)
    return layers.to(memory_format=torch.channels_last)


def gradients_of(model: nn.Module, images: Tensor) -> list[Tensor | None]:
    model(images.contiguous(memory_format=torch.channels_last)).sum().backward()
    return [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()]


def test_gradients_are_those_of_the_whole_batch() -> None:
    torch.manual_seed(1)
    images = torch.randn(5, 3, 8, 8)

    def learn(team: Team) -> list[Tensor | None]:
        model = network()
        total = GradientSum(model, team)
        gradients_of(model, images[slice(*team.share(0, 5))])
        total.wait()
        return [parameter.grad for parameter in model.parameters()]

    alone = gradients_of(network(), images)
    for ending in together(learn):
        for own, expected in zip(ending.result, alone, strict=True):
            assert (own is None) == (expected is None)
            assert own is None or torch.allclose(own, expected, atol=1e-4)


def refuse(team: Team) -> None:
    raise UsageError("--lr 1e+30: is too high")


def fail_alone(team: Team) -> None:
    if team.rank == 1:
        raise UsageError("people/images/1.jpg: is not there")
    team.total(torch.ones(1))


def be_killed(team: Team) -> None:
    if team.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    team.total(torch.ones(1))


def be_interrupted(team: Team) -> None:
    os.kill(os.getpid(), signal.SIGINT)  # as a terminal does, to all of them
    team.total(torch.ones(1))


def fail_while_the_lead_is_busy(team: Team) -> None:
    if team.rank == 1:
        raise UsageError("people/images/1.jpg: is not there")
    time.sleep(60)


ENDS = {
    "all fail alike": (refuse, UsageError, r"--lr 1e\+30: is too high"),
    "one fails": (fail_alone, UsageError, r"people/images/1\.jpg: is not there"),
    "one is killed": (
        be_killed,
        MachineError,
        r"one ended without a word: killed, or out of memory\? Go on with --resume",
    ),
    "interrupted": (be_interrupted, KeyboardInterrupt, "^$"),
    "one fails, the other is busy": (fail_while_the_lead_is_busy, UsageError, r"people/images/1\.jpg: is not there"),
}


@pytest.mark.parametrize(("member", "error", "message"), ENDS.values(), ids=ENDS)
def test_a_fault_ends_all_and_is_told_once(member: object, error: type[BaseException], message: str) -> None:
    endings = together(member, wait_s=20)  # type: ignore[arg-type]
    told = [ending.error for ending in endings if ending.error is not None]
    assert len(told) == 1
    with pytest.raises(error, match=message):
        raise told[0]
    assert all(ending.code for ending in endings)
