"""What a run will take: what is left to do, the pace of its first steps, and room on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import train.monitoring.estimate
from curate.cli import cli
from curate.dataset import Dataset
from curate.errors import MachineError
from curate.files import cache_folder
from tests.train.making import quick
from train.config import FitConfig, read_config
from train.data.cache import is_cached
from train.fit import fit
from train.models import build_model
from train.monitoring.disk import model_bytes, run_bytes
from train.monitoring.estimate import STEPS, Pace, Work, fit_work, foretelling, pace_at, seconds_of
from train.monitoring.log import encode_lines, read_log


def test_what_is_to_do_is_counted_over_models_epochs_and_sizes(drawn: Dataset, finished: Path, tmp_path: Path) -> None:
    config = quick(epochs=5, size=64, earlier_sizes=(32,), folds=2)
    whole = fit_work(drawn, config, tmp_path)
    # 9 images in an epoch of the whole model, 10 in those of both fold models; 3 validation images for each of three
    assert (whole.learn, whole.judge) == ({32: 2 * 19, 64: 3 * 19}, {32: 2 * 9, 64: 3 * 9})
    assert whole.score == 3 + 8
    assert whole.score_px == sum(row["width"] * row["height"] for row in drawn.rows("val", "train"))
    (line, _) = read_log(finished)
    (tmp_path / "log.jsonl").write_bytes(encode_lines([line] * 3))
    rest = fit_work(drawn, config, tmp_path)
    assert (rest.learn, rest.judge) == ({32: 38 - 18, 64: 57 - 9}, {32: 18 - 6, 64: 27 - 3})
    (tmp_path / "log.jsonl").write_bytes(encode_lines([line] * 5))
    assert fit_work(drawn, config, tmp_path).learn == {32: 20, 64: 30}
    assert fit_work(drawn, quick(epochs=2, epoch_images=50), tmp_path / "none").learn == {32: 100}


def test_time_is_the_sum_over_sizes() -> None:
    work = Work({32: 10, 64: 5}, {64: 2}, score=3, score_px=1e8, seconds=7) + Work({}, {32: 1}, seconds=1)
    pace = Pace({32: 1.0, 64: 4.0}, {32: 0.5, 64: 2.0})
    assert seconds_of(work, pace) == pytest.approx(8 + 10 + 20 + 4 + 0.5 + 3 * 2 + 1.5)
    assert pace_at(32, 1.0, {32: 1, 64: 1}).learn == {32: 1.0, 64: 4.0}


def said_of(
    monkeypatch: pytest.MonkeyPatch, config: FitConfig, epochs: range, batches: int, images: float, disk: float | None
) -> list[str]:
    """What is said of epochs of so many batches of 4 images, half a second each, the first of an epoch ten seconds."""
    now, said = [0.0], list[str]()
    monkeypatch.setattr(train.monitoring.estimate, "time", SimpleNamespace(monotonic=lambda: now[0]))
    watch = foretelling(
        lambda what, total: lambda steps: None, said.append, lambda: Work({32: images}, {}), config, 6, disk
    )
    for epoch in epochs:
        watch("read images", 30)(1)
        tick = watch(f"epoch {epoch}/9", 4 * batches + 6)
        for step in range(batches + 2):
            now[0] += 0.5 if step else 10.0
            tick(4 if step < batches else 3)
    return said


@pytest.mark.parametrize("batches", [STEPS + 9, 3, 2])
def test_the_first_steps_tell_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    (line,) = said_of(monkeypatch, quick(epochs=9), range(1, 4), batches, images=1000, disk=5e6)
    assert line.startswith("about 2 min left, by the first steps; it takes ")  # 1000 images at 0.125 s
    assert line.endswith(" of RAM, 5 MB of disk")
    (line,) = said_of(monkeypatch, quick(epochs=9), range(3, 4), batches, images=1e6, disk=None)
    assert line.startswith("about 34 h 43 min left, ")
    assert "disk" not in line


def test_what_is_short_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_of(monkeypatch, quick(epochs=9), range(1, 4), 20, images=400, disk=None) == []
    assert said_of(monkeypatch, quick(epochs=9, freeze_epochs=3), range(1, 5), 20, images=400, disk=None) == []


def test_with_a_frozen_encoder_the_least_is_told_and_later_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = quick(epochs=9, freeze_epochs=3)
    (line,) = said_of(monkeypatch, frozen, range(1, 4), 20, images=1000, disk=None)
    assert line.startswith("at least 2 min left, by the first steps, with the encoder frozen; it takes ")
    least, whole = said_of(monkeypatch, frozen, range(1, 7), 20, images=1000, disk=None)
    assert least == line
    assert whole.startswith("about 2 min left, by the first steps; it takes ")
    assert len(said_of(monkeypatch, frozen, range(4, 7), 20, images=1000, disk=None)) == 1


def test_epochs_of_a_single_step_tell_it_in_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_of(monkeypatch, quick(epochs=9), range(1, 2), 1, images=1000, disk=None) == []
    (line,) = said_of(monkeypatch, quick(epochs=9), range(1, 4), 1, images=1000, disk=None)
    assert line.startswith("about 42 min left, ")  # 1000 images at 10 s for four


def test_a_run_says_it_itself_and_when_it_goes_on(
    drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.monitoring.estimate, "LONG_S", 0)
    said = list[str]()

    def watch(what: str, total: int) -> Callable[[int], None]:
        def tick(steps: int) -> None:
            if what == "epoch 2/2":
                raise KeyboardInterrupt

        return tick

    with pytest.raises(KeyboardInterrupt):
        fit(drawn, tmp_path / "run", quick(epochs=2), say=said.append, watch=watch)
    fit(drawn, tmp_path / "run", quick(epochs=2), say=said.append, resume=True)
    assert len(said) == 2
    assert all(line.startswith("about ") and "B of RAM" in line for line in said), said
    assert said[0].endswith("MB of disk")
    assert not said[1].endswith("disk")


OPTIMIZERS: dict[str, dict[str, object]] = {
    "adamw": {},
    "sgd, averaged": {"optimizer": "sgd", "ema": 0.9},
    "rmsprop": {"optimizer": "rmsprop"},
}


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_checkpoints_are_as_large_as_foretold(options: dict[str, object], drawn: Dataset, tmp_path: Path) -> None:
    config = quick(model="unet", **options)
    run = fit(drawn, tmp_path / "run", config)
    last, best = ((run / name).stat().st_size for name in ("last.ckpt", "best.safetensors"))
    assert model_bytes(build_model(config), config) == (pytest.approx(last, rel=0.02), pytest.approx(best, rel=0.02))


def test_a_whole_run_is_at_most_as_large_as_foretold(finished: Path, folded: Path, drawn: Dataset) -> None:
    for run in (finished, folded):  # the second is a PSPNet, half of whose encoder is never trained
        config = read_config(run)
        taken = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        foretold = run_bytes(build_model(config), config, drawn)
        assert taken <= foretold <= (1.1 if config.model == "unet" else 2.5) * taken


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 12 MB left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=12_000_000))


@pytest.mark.usefixtures("full")
def test_a_run_that_does_not_fit_is_refused_before_it_begins(drawn: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    told = rf"^{out}: \d+ MB of disk are needed, 12 MB are free\. Free some, or choose another --out$"
    with pytest.raises(MachineError, match=told):
        fit(drawn, out, quick())
    assert not out.exists()
    result = CliRunner().invoke(cli, ["train", "fit", str(drawn.root), "--out", str(out), *OPTIONS, "--estimate"])
    assert isinstance(result.exception, MachineError)


def test_what_force_replaces_counts_as_room(copied: Callable[[Path], object], finished: Path, tmp_path: Path) -> None:
    from train.monitoring.disk import check_room

    copied(finished)
    run = tmp_path / "copy" / "run"
    taken = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    free = shutil.disk_usage(run).free
    check_room(run, free + taken // 2)
    with pytest.raises(MachineError):
        check_room(tmp_path / "other", free + taken // 2)


OPTIONS = ["--model", "pspnet", "--encoder", "mobilenet_v2", "--weights", "none", "--batch-size", "4"]


def test_estimate_says_what_a_run_would_take_and_writes_nothing(drawn: Dataset, tmp_path: Path) -> None:
    out, before = tmp_path / "run", sorted(cache_folder().rglob("*"))
    command = ["train", "fit", str(drawn.root), "--out", str(out), *OPTIONS, "--size", "32,160", "--epochs", "500"]
    result = CliRunner().invoke(cli, [*command, "--folds", "2", "--estimate"])
    assert result.exit_code == 0, result.exception
    time, memory, disk = result.stdout.splitlines()
    assert time.startswith("time    ")
    assert " on " in time
    assert memory.startswith("memory  ")
    assert " of RAM" in memory
    assert not is_cached(drawn, 160)
    assert disk.endswith(f", and 1 MB of resized images in {cache_folder()}")
    assert not out.exists()
    assert sorted(cache_folder().rglob("*")) == before
