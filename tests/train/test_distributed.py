"""A team of two processes: what they say to each other, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.database import free_port
from curate.dataset import Dataset, open_dataset
from curate.errors import CurateError, MachineError, MissingError, UsageError
from tests.conftest import REPOSITORY
from tests.train.making import one_thread, quick
from tests.train.together import together
from train.config import FitConfig, read_config
from train.engine import distributed as engine
from train.engine.distributed import ALONE, GradientSum, Team, take_gpu
from train.fit import fit, is_finished
from train.monitoring.log import EpochLine, read_log


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


def talk(team: Team) -> tuple[list[float], list[float], str, list[float]]:
    own = torch.arange(team.rank + 1.0)
    model = nn.Linear(1, 2, bias=False)
    nn.init.constant_(model.weight, 5.0 + team.rank)
    team.take_leads_state(model)
    made = team.from_lead(lambda: f"made by {team.rank}")
    summed = team.total(torch.tensor([1.0 + team.rank]))
    return summed.tolist(), team.joined(own).tolist(), made, model.weight.flatten().tolist()


def test_what_two_say_to_each_other() -> None:
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


def gradients_together(images: Tensor, bucket_values: int, team: Team) -> list[Tensor | None]:
    engine.BUCKET_VALUES = bucket_values  # of this process alone
    model = network()
    total = GradientSum(model, team)
    gradients_of(model, images[slice(*team.share(0, len(images)))])
    total.wait()
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("bucket_values", [1, 8, 10**6], ids=["one by one", "some", "all at once"])
def test_gradients_are_those_of_the_whole_batch(bucket_values: int) -> None:
    torch.manual_seed(1)
    images = torch.randn(5, 3, 8, 8)
    alone = gradients_of(network(), images)
    for ending in together(partial(gradients_together, images, bucket_values)):
        for own, expected in zip(ending.result, alone, strict=True):
            assert (own is None) == (expected is None)
            assert own is None or torch.allclose(own, expected, atol=1e-4)


SAME = quick(model="unet", epochs=2, freeze_batch_norm=True, precision="fp32")
"""Without dropout, and with batch norms that see no batch: the number of processes changes nothing but rounding."""


@pytest.fixture(scope="module")
def alone(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    with one_thread():
        return fit(drawn, tmp_path_factory.mktemp("alone") / "run", SAME)


def check_same(run: Path, other: Path, files: Sequence[str] = ("best.safetensors",)) -> None:
    for name in files:
        one, two = (safetensors.torch.load_file(place / name) for place in (run, other))
        assert one.keys() == two.keys()
        for tensor in one:
            assert torch.allclose(one[tensor], two[tensor], rtol=1e-3, atol=1e-4), tensor
    for own, expected in zip(read_log(run), read_log(other), strict=True):
        assert own.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
        assert own.val_loss == pytest.approx(expected.val_loss, rel=1e-3)
        assert own.train_iou == pytest.approx(expected.train_iou, abs=1e-3)
        assert (own.best, own.images) == (expected.best, expected.images)


def test_two_processes_make_the_run_that_one_makes(drawn: Dataset, alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    reports = together(partial(fitted, drawn.root, run, SAME))
    assert [ending.error for ending in reports] == [None, None]
    assert [len(ending.result) for ending in reports] == [2, 0]  # the lead alone reports
    check_same(run, alone)
    assert {path.name for path in run.iterdir()} == {path.name for path in alone.iterdir()}
    assert is_finished(run)


def fitted(root: Path, run: Path, config: FitConfig, team: Team, **options: Any) -> list[EpochLine]:
    lines: list[EpochLine] = []
    fit(open_dataset(root), run, config, report=lines.append, team=team, **options)
    return lines


@pytest.mark.long
def test_options_that_look_at_the_whole_run(drawn: Dataset, tmp_path: Path) -> None:
    """Folds, an average, a frozen start, two sizes, a norm of all gradients and batches in parts: by one and by two."""
    config = msgspec.structs.replace(
        SAME, folds=2, ema=0.9, freeze_epochs=1, size=64, earlier_sizes=(32,), clip_norm=1.0, micro_batch=1
    )
    fit(drawn, tmp_path / "one", config)
    endings = together(partial(fitted, drawn.root, tmp_path / "two", config))
    assert [ending.error for ending in endings] == [None, None]
    for part in (".", "fold-0", "fold-1"):
        check_same(tmp_path / "two" / part, tmp_path / "one" / part)


@pytest.mark.long
def test_two_processes_look_for_a_rate_together(drawn: Dataset, tmp_path: Path) -> None:
    """Which one they find hangs on rounding, where the loss is about to be lost; both take the same."""
    endings = together(partial(fitted, drawn.root, tmp_path / "run", msgspec.structs.replace(SAME, lr="auto")))
    assert [ending.error for ending in endings] == [None, None]
    assert read_config(tmp_path / "run").lr_from.startswith("range test")
    assert (tmp_path / "run" / "plots" / "lr-find.png").is_file()


def fitted_until_killed(root: Path, run: Path, team: Team) -> None:
    def watch(what: str, total: int) -> Callable[[int], None]:
        def tick(steps: int) -> None:
            if what.startswith("epoch 2") and team.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)

        return tick

    fit(open_dataset(root), run, SAME, team=team, watch=watch)


def test_a_run_of_two_goes_on_after_a_kill(drawn: Dataset, alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    lead, other = together(partial(fitted_until_killed, drawn.root, run))
    assert isinstance(lead.error, MachineError)
    assert other.code == -signal.SIGKILL
    assert len(read_log(run)) == 1
    assert [ending.error for ending in together(partial(fitted, drawn.root, run, SAME, resume=True))] == [None, None]
    check_same(run, alone, ("best.safetensors", "last.ckpt"))


REFUSED = {
    "images": (
        quick(batch_size=1, freeze_batch_norm=True),
        UsageError,
        r"--batch-size 1: 2 processes share .* of 1 images, .* 2",
    ),
    "norms": (quick(), UsageError, r"--batch-size 4: 2 processes share batches of 3 images, which need 4 at least"),
    "rate": (
        quick(lr=1e30, schedule="constant", batch_size=5),
        UsageError,
        r"no longer a number in epoch 1, first for a batch of",
    ),
    "resume": (quick(), MissingError, r"nothing to resume"),
}


@pytest.mark.parametrize(("config", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_two_processes_refuse_is_told_once(
    drawn: Dataset, tmp_path: Path, config: FitConfig, error: type[CurateError], message: str
) -> None:
    endings = together(partial(fitted, drawn.root, tmp_path / "run", config, resume=error is MissingError))
    told = [ending.error for ending in endings if ending.error is not None]
    assert len(told) == 1
    with pytest.raises(error, match=message):
        raise told[0]


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


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(UsageError, match=r"^torchrun: this machine has 4 GPUs. Pass --nproc-per-node 4, or fewer$"):
        take_gpu(Team(rank=4, size=8, local_rank=4))


@pytest.mark.long
def test_torchrun_starts_it(drawn: Dataset, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "curate", "train"]
    tiny = ["--encoder", "mobilenet_v2", "--weights", "none", "--size", "32", "--epochs", "1", "--batch-size", "5"]
    tiny += ["--lr", "0.001"]
    fit_it = [*torchrun, "fit", str(drawn.root), "--out", str(tmp_path / "run"), *tiny]
    done = subprocess.run(fit_it, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best epoch 1") == 1
    assert done.stderr.count("one of 2 processes") == done.stderr.count("SyncBatchNorm needs GPUs") == 1
    again = subprocess.run(fit_it, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240)
    assert again.stderr.count("error: ") == again.stderr.count("holds a finished run") == 1
    other = [*torchrun, "score", str(tmp_path / "run")]
    refused = subprocess.run(other, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240)
    assert refused.stderr.count("error: torchrun: several processes train together with fit alone, not score") == 1


@pytest.mark.long
def test_a_machine_that_is_lost_is_replaced_and_the_run_goes_on(drawn: Dataset, tmp_path: Path) -> None:
    """Two agents of torchrun stand for two machines; the one that keeps no store is killed with all it has started."""
    run = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    torchrun += ["--max-restarts", "3", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}"]
    told = ["--encoder", "mobilenet_v2", "--weights", "none", "--size", "32", "--epochs", "6", "--batch-size", "4"]
    told += ["--lr", "0.001", "--freeze-batch-norm", "--precision", "fp32", "--augment", "none"]
    one = [sys.executable, "-m", "curate", "train", "fit", str(drawn.root), "--out", str(tmp_path / "alone"), *told]
    subprocess.run(one, cwd=REPOSITORY, check=True, capture_output=True)
    words = [*torchrun, "-m", "curate", "train", "fit", str(drawn.root), "--out", str(run), *told]
    environ = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    agents: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        agents.append(subprocess.Popen(words, cwd=REPOSITORY, env=environ, start_new_session=True))
        return agents[-1]

    try:
        first = start()
        time.sleep(3)  # it keeps what the others meet at
        second = start()
        deadline = time.monotonic() + 240
        while not (run / "last.ckpt").is_file():
            assert first.poll() is second.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(second.pid, signal.SIGKILL)
        third = start()
        assert [first.wait(timeout=240), third.wait(timeout=60)] == [0, 0]
    finally:
        for agent in agents:
            with suppress(ProcessLookupError):
                os.killpg(agent.pid, signal.SIGKILL)
            agent.wait()
    assert len(read_log(run)) == 6
    check_same(run, tmp_path / "alone")


@pytest.mark.long
def test_torchrun_restarts_one_process_alone(drawn: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "--max-restarts", "3"]
    words += ["--standalone", "-m", "curate", "train", "fit", str(drawn.root), "--out", str(run), "--size", "32"]
    words += ["--encoder", "mobilenet_v2", "--weights", "none", "--epochs", "6", "--batch-size", "4", "--lr", "0.001"]
    with subprocess.Popen(words, cwd=REPOSITORY) as started:
        deadline = time.monotonic() + 240
        while not (run / "last.ckpt").is_file():
            assert started.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        psutil.Process(started.pid).children()[-1].kill()
        assert started.wait(timeout=240) == 0
    assert [line.epoch for line in read_log(run)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.long
def test_torchrun_restarts_what_was_killed_and_it_goes_on(drawn: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "3"]
    torchrun += ["--standalone", "-m", "curate", "train"]
    told = ["--encoder", "mobilenet_v2", "--weights", "none", "--size", "32", "--epochs", "6", "--batch-size", "4"]
    told += ["--lr", "0.001", "--freeze-batch-norm", "--precision", "fp32", "--augment", "none"]
    one = [sys.executable, "-m", "curate", "train", "fit", str(drawn.root), "--out", str(tmp_path / "alone"), *told]
    subprocess.run(one, cwd=REPOSITORY, check=True, capture_output=True)
    with subprocess.Popen([*torchrun, "fit", str(drawn.root), "--out", str(run), *told], cwd=REPOSITORY) as started:
        deadline = time.monotonic() + 240
        while not (run / "last.ckpt").is_file():
            assert started.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        processes = psutil.Process(started.pid).children()
        processes[-1].kill()
        try:
            assert started.wait(timeout=240) == 0
        except subprocess.TimeoutExpired:
            for process in [*psutil.Process(started.pid).children(), started]:
                process.kill()
            raise
    assert len(read_log(run)) == 6
    check_same(run, tmp_path / "alone")
