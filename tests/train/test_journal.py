"""What a person looks at while a model trains: steps, curves, the same images after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate.dataset import Dataset
from curate.errors import FormatError
from tests.train.making import make_dataset, one_thread, quick
from train.engine.schedule import learning_rate
from train.fit import fit, is_finished
from train.models import load_weights
from train.monitoring import journal
from train.monitoring.fixed import (
    CAPTION,
    COUNT,
    TILE,
    covered,
    draw_epoch,
    end_of,
    fixed_rows,
    read_fixed,
    shown_epochs,
    strip_path,
)
from train.monitoring.log import read_log
from train.monitoring.plots import curves_png, epochs_of
from train.monitoring.steps import LINES_AN_EPOCH, StepLine, Steps, read_steps, step_lines

GROWING = quick(epochs=4, size=64, earlier_sizes=(32,), batch_size=3, earlier_batch_sizes=(4,), ema=0.5)


def stopping(name: str, act: Callable[[], None]) -> Callable[[str, int], Callable[[int], None]]:
    """A watch that does something in the step it is told about."""

    def watch(what: str, total: int) -> Callable[[int], None]:
        return lambda steps: act() if what == name else None

    return watch


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module", autouse=True)
def _curves_of_each_run() -> Iterator[None]:
    """Here curves are looked at; elsewhere those of one run stand for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "curves_png", curves_png)
        yield


@pytest.fixture(scope="module")
def grown(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four epochs at two sizes, without a break."""
    with one_thread():
        return fit(drawn, tmp_path_factory.mktemp("grown") / "run", GROWING)


def test_every_step_has_its_loss_and_rate(grown: Path) -> None:
    lines, epochs = read_steps(grown), read_log(grown)
    assert [line.step for line in lines] == list(range(1, 13))  # 9 images: 3 steps an epoch at either size
    assert [line.epoch for line in lines] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [line.lr for line in lines] == [learning_rate(GROWING, step, 6, 2) for step in range(6)] * 2
    for epoch in epochs:
        own = [line.loss for line in lines if line.epoch == epoch.epoch]
        assert epoch.train_loss == pytest.approx(np.mean(own), rel=1e-6)  # batches of 3
        assert epoch.lr == lines[3 * epoch.epoch - 1].lr


def test_a_long_epoch_has_few_lines_and_loses_nothing() -> None:
    count = 7 * LINES_AN_EPOCH + 3
    images = [1 + number % 4 for number in range(count)]
    steps = Steps(before=10, losses=list(map(float, range(count))), images=images, rates=list(map(float, range(count))))
    lines = step_lines(2, steps)
    assert len(lines) == LINES_AN_EPOCH
    assert (lines[-1].step, lines[-1].lr) == (10 + count, count - 1)
    widths = np.diff([10, *(line.step for line in lines)])
    assert set(widths.tolist()) == {7, 8}
    first = slice(0, int(widths[0]))
    assert lines[0].loss == pytest.approx(np.average(steps.losses[first], weights=images[first]))


def test_a_stopped_run_ends_with_the_same_steps_and_pictures(
    drawn: Dataset, grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(journal, "DRAWING_S", 0.0)
    for epoch in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            fit(drawn, run, GROWING, resume=epoch > 2, watch=stopping(f"epoch {epoch}/4", interrupt))
        assert (run / "plots" / "curves.png").is_file()
    late = [*read_steps(run), StepLine(99, 4, 1.0, 1.0)]  # as if killed between its steps and its checkpoint
    (run / "steps.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in late))
    fit(drawn, run, GROWING, resume=True)
    made = ["steps.jsonl", "plots/curves.png", "plots/progress.png"]
    made += [f"plots/epochs/epoch-{epoch:03}.jpg" for epoch in range(1, 5)]
    assert {path for path in made if (run / path).read_bytes() != (grown / path).read_bytes()} == set()
    assert sorted(path.name for path in (run / "plots" / "epochs").iterdir()) == [name[-13:] for name in made[3:]]


def test_pictures_are_of_the_model_that_is_judged(drawn: Dataset, tmp_path: Path) -> None:
    config = quick(ema=0.2, lr=0.01)
    run = fit(drawn, tmp_path / "run", config)
    fixed = read_fixed(drawn, config, [row["sample_id"] for row in drawn.rows("val")])
    drawn_again = draw_epoch(fixed, load_weights(config, run / "best.safetensors").eval(), 32)
    with Image.open(strip_path(run, 1)) as strip:
        assert strip.size == drawn_again.size == (3 * (TILE + 6) - 6, TILE + CAPTION)
        assert np.abs(np.asarray(strip, int) - np.asarray(drawn_again, int)).mean() < 3  # a JPEG of it


def test_the_images_looked_at_are_the_same_in_every_run_and_never_of_the_test_split(tmp_path: Path) -> None:
    splits = ("val", "test", "train") * 14
    dataset = make_dataset(tmp_path / "people", splits, per_group=6)
    rows = fixed_rows(dataset.rows("val"))
    assert {row["split"] for row in rows} == {"val"}
    assert len(rows) == COUNT
    assert len({row["group"] for row in rows[:7]}) == 7, "every group before any comes again"
    more = make_dataset(tmp_path / "more", (*splits, "val", "val"), per_group=6)
    assert (
        len({row["sample_id"] for row in rows} & {row["sample_id"] for row in fixed_rows(more.rows("val"))})
        >= COUNT - 2
    )
    shuffled = replace(dataset, scan=dataset.samples.sort(pl.col("sample_id").hash()).lazy())
    assert fixed_rows(shuffled.rows("val")) == rows


def test_what_is_no_person_is_covered_and_what_does_not_count_is_striped() -> None:
    photo = np.full((4, 6, 3), 100, np.uint8)
    chances = np.zeros((4, 6), np.float32)
    chances[:, 3:] = 1
    shown = covered(photo, chances)
    assert (shown[:, 3:] == 100).all()
    assert (shown[:, :3] != 100).any(axis=-1).all()
    assert (photo == 100).all()
    striped = covered(photo, np.ones((4, 6), np.float32), 1 - chances)
    assert (striped[:, 3:] == 100).all()
    assert (striped[:, :3] != 100).any(axis=-1).all()


def test_the_progress_page_has_a_column_for_each_epoch(grown: Path, drawn: Dataset) -> None:
    with Image.open(grown / "plots" / "progress.png") as page:
        assert page.size[0] == 32 + 6 * (TILE + 6) - 6
    assert shown_epochs([1, 2, 3], best=2) == [1, 2, 3]
    assert shown_epochs([], best=None) == []
    assert shown_epochs(range(1, 301), best=17)[:2] == [1, 17]
    assert len(shown_epochs(range(1, 301), best=17)) == 11


def test_long_names_are_told_by_their_ends() -> None:
    assert end_of("pairs-12") == "pairs-12"
    assert end_of("coco-train2017_000000123456").startswith("...")
    assert end_of("coco-train2017_000000123456").endswith("0123456")
    assert end_of("") == ""


def test_fold_models_have_steps_and_curves_but_no_pictures(folded: Path) -> None:
    assert sorted(path.name for path in (folded / "fold-1" / "plots").iterdir()) == ["curves.png"]
    assert read_steps(folded / "fold-1")
    assert (folded / "plots" / "progress.png").is_file()


def test_without_validation_images_there_are_curves_alone(tmp_path: Path) -> None:
    run = fit(make_dataset(tmp_path / "people", ("train",) * 4), tmp_path / "run", quick(validation="none"))
    assert [path.name for path in (run / "plots").iterdir()] == ["curves.png"]


def test_what_cannot_be_drawn_is_said_and_training_goes_on(drawn: Dataset, tmp_path: Path) -> None:
    run, said = tmp_path / "run", list[str]()

    def block() -> None:
        if not (run / "plots").exists():
            (run / "plots").write_text("in the way")

    fit(drawn, run, quick(), watch=stopping("epoch 1/1", block), say=said.append)
    assert is_finished(run)
    assert len(said) == 2, "the epoch's pictures, and the plots when training ends"
    assert said[0].startswith(f"note: {run}: the pictures of epoch 1 could not be written (")
    assert said[1].startswith(f"note: {run}: the plots could not be written (")
    assert all(line.endswith("); training goes on") and "\n" not in line for line in said)


def test_damaged_steps_are_named(drawn: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(drawn, run, quick(epochs=2), watch=stopping("epoch 2/2", interrupt))
    (run / "steps.jsonl").write_text("{}\n")
    with pytest.raises(FormatError, match=r"steps\.jsonl: is damaged .* Delete it; only the curves of earlier epochs"):
        fit(drawn, run, quick(epochs=2), resume=True)
    (run / "steps.jsonl").unlink()
    fit(drawn, run, quick(epochs=2), resume=True)
    assert {line.epoch for line in read_steps(run)} == {2}
    assert epochs_of(read_steps(run))[-1] == 2


def test_the_loss_so_far_is_told_beside_a_bar(drawn: Dataset, tmp_path: Path) -> None:
    told = list[str]()

    class Bar:
        def __call__(self, steps: int) -> None:
            pass

        def tell(self, words: str) -> None:
            told.append(words)

    run = fit(drawn, tmp_path / "run", quick(), watch=lambda what, total: Bar())
    assert told[-1] == f"loss {read_log(run)[0].train_loss:.3f}"
