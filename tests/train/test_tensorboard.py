"""Events for TensorBoard, read back with its own reader."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from curate.dataset import Dataset
from curate.errors import MachineError
from tests.train.making import fit_until_killed, quick
from train.claim import EVENTS
from train.fit import fit, is_finished
from train.monitoring.log import read_log
from train.monitoring.steps import read_steps
from train.monitoring.tensorboard import EventLog

TWO = quick(epochs=2)


def events_of(folder: Path) -> Any:
    """All events below a folder, without leaving any out."""
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return read.Reload()


def check_events(folder: Path) -> None:
    """The events tell what log and steps tell, each once."""
    events, history, steps = events_of(folder), read_log(folder), read_steps(folder)
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    names = {f"{name}/{split}" for name in ("loss", "iou", "dice") for split in ("train", "val")}
    assert set(scalars) == names | {"step/loss", "step/lr"}
    assert scalars["step/lr"] == [(line.step, pytest.approx(line.lr)) for line in steps]
    assert scalars["step/loss"] == [(line.step, pytest.approx(line.loss)) for line in steps]
    ends = [[line.step for line in steps if line.epoch == epoch.epoch][-1] for epoch in history]
    assert scalars["loss/val"] == [
        (end, pytest.approx(epoch.val_loss)) for end, epoch in zip(ends, history, strict=True)
    ]
    assert [event.step for event in events.Images("fixed images")] == ends


def test_a_killed_run_goes_on_without_an_epoch_told_twice(drawn: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    run = tmp_path / "run"
    fit_until_killed(drawn.root, run, epochs=2, tensorboard=True)
    check_events(run)
    looking_on = events_of(run)
    fit(drawn, run, TWO, resume=True)  # it was begun with events, so it goes on with them
    check_events(run)
    assert len(read_log(run)) == 2
    assert len(list((run / "tensorboard").iterdir())) == 2
    assert len(looking_on.Reload().Scalars("loss/val")) == 2, "one that was looking on forgets what it has read"


def test_events_can_be_asked_for_when_a_run_goes_on_and_fold_models_have_theirs(drawn: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    run = tmp_path / "run"

    def watch(what: str, total: int) -> Any:
        def tick(steps: int) -> None:
            if what == "epoch 2/2":
                raise KeyboardInterrupt

        return tick

    with pytest.raises(KeyboardInterrupt):
        fit(drawn, run, quick(epochs=2, folds=2), watch=watch)
    assert not (run / "tensorboard").exists()
    fit(drawn, run, quick(epochs=2, folds=2), resume=True, tensorboard=True)
    check_events(run)
    assert events_of(run / "fold-0").Tags()["images"] == []
    assert len(events_of(run / "fold-1").Scalars("loss/val")) == 2


def test_a_missing_package_is_said_before_anything_is_trained(
    drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MachineError, match=r"--tensorboard: .*tensorboard.* Install it with: pip install tensorboard"):
        fit(drawn, tmp_path / "run", quick(), tensorboard=True)
    assert not (tmp_path / "run").exists()
    assert is_finished(fit(drawn, tmp_path / "run", quick()))


@pytest.mark.parametrize("ahead_s", [0, 1000], ids=["the same second", "a clock that was ahead"])
def test_what_is_written_anew_is_read_last(ahead_s: int, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    place = tmp_path / EVENTS
    place.mkdir()
    # Readers go by the name: the second in which it was begun, the machine, the process.
    (place / f"events.out.tfevents.{int(time.time()) + ahead_s}.zzz.9999999.0").touch()
    before = set(place.iterdir())
    EventLog(tmp_path).close()
    (new,) = set(place.iterdir()) - before
    assert max(place.iterdir()) == new
