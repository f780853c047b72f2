"""A run folder from a stranger: nothing outside it is read into a page, written or removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from curate import schema
from curate.cli import main
from curate.dataset import read_table, write_table
from curate.errors import FormatError
from review.loop.config import read_config_of_loop
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, photograph, sure_of
from train.config import read_config
from train.monitoring.log import read_log

PERSON = body()
DRAWN = [Drawn(f"d-{n}", as_target(PERSON), sure_of(PERSON), photograph(PERSON, n), "val") for n in range(2)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that nothing is wrong with yet."""
    return make_run(tmp_path / "box" / "run", make_dataset(tmp_path / "box" / "people", DRAWN), DRAWN)


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The error of a command that is refused."""
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words)])
    assert stop.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["failures", "report"])
def test_a_score_of_a_file_outside_is_refused(run: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Of scores that other weights made the predictions are removed: of any name that stands in the table."""
    name = pl.col("sample_id").replace("d-0", "../../../mine")
    scores = read_table(run / "scores.parquet", schema.SCORES).with_columns(name)
    write_table(run / "scores.parquet", scores)
    assert "the sample_id '../../../mine' is no file name" in refusal(capsys, "review", command, run)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("dice", -float("inf"), "dice of d-0 is -inf, expected 0 to 1"),
        ("iou", float("nan"), "iou of d-0 is NaN, expected 0 to 1"),
        ("label_quality", 1e308, "label_quality of d-0 is 1e+308, expected 0 to 1"),
        ("bce", -1.0, "bce of d-0 is -1.0, expected 0 or more"),
        ("tp", 2**63 - 1, "tp of d-0 is 9223372036854775807, expected 0 or more"),
        ("fn", None, "fn of d-0 is None, expected 0 or more"),
        ("sample_id", "d-1", "d-1 stands in several rows, expected one"),
        ("sample_id", "nobody", "expected images of"),
    ],
)
@pytest.mark.parametrize("command", ["slices", "report"])
def test_a_score_that_no_image_has_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], command: str, column: str, value: object, told: str
) -> None:
    scores = read_table(run / "scores.parquet", schema.SCORES)
    damaged = pl.Series(column, [value, *scores[column][1:]], dtype=schema.SCORES[column])
    write_table(run / "scores.parquet", scores.with_columns(damaged))
    said = refusal(capsys, "review", command, run)
    assert f"{run}/scores.parquet: " in said
    assert told.lower() in said.lower()


@pytest.mark.parametrize("folder", ["predictions", "overlays"])
def test_a_folder_that_leads_out_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    (tmp_path / "photographs").mkdir()
    if (run / folder).exists():
        (run / folder).rename(run / "away")
    (run / folder).symlink_to("../../photographs")
    assert f"{run}/{folder}: is a link that leads out of {run}" in refusal(capsys, "review", "failures", run)
    assert list((tmp_path / "photographs").iterdir()) == []


def test_a_prediction_that_leads_out_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = run / "predictions" / "d-0.png"
    place.rename(tmp_path / "mine.png")
    place.symlink_to(tmp_path / "mine.png")
    assert f"{place}: is a link that leads out of {run}" in refusal(capsys, "review", "failures", run)


def test_a_dataset_elsewhere_is_read_only_where_it_has_the_digest_of_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "mine", DRAWN[:1])
    config = run / "config.json"
    config.write_bytes(config.read_bytes().replace(b"../people", b"../../mine"))
    assert "mine: has digest " in refusal(capsys, "review", "report", run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("read", [read_config, read_log, read_config_of_loop])
def test_brackets_are_no_configuration(tmp_path: Path, read: Callable[[Path], object]) -> None:
    for name in ("config.json", "log.jsonl", "loop.json"):
        (tmp_path / name).write_text('{"a": ' + "[" * 100_000)
    with pytest.raises(FormatError, match="is damaged"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("config.json", ("review", "failures")),
        ("log.jsonl", ("review", "report")),
        ("decisions.jsonl", ("build", "--dry-run", "--from")),
        ("loop.json", ("loop", "status")),
        ("mine.toml", ("build", "--dry-run", "--recipe")),
        ("mine.toml", ("loop", "--recipe")),
    ],
    ids=lambda words: words if isinstance(words, str) else " ".join(words),
)
def test_a_hundred_thousand_brackets_are_one_error(
    run: Path, capsys: pytest.CaptureFixture[str], name: str, command: tuple[str, ...]
) -> None:
    brackets = "[" * 100_000
    path = run / name
    path.write_text(f"a = {brackets}" if name == "mine.toml" else f'{{"a": {brackets}\n')
    dataset, out = str(run.parent / "people"), str(run.parent / "out")
    words = {
        "decisions.jsonl": [dataset, "--decisions", str(path)],
        "mine.toml": [str(path)] if command[0] == "build" else [str(path), dataset, "--out", out],
    }.get(name, [str(run)])
    with pytest.raises(SystemExit) as stop:
        main([*command, *words])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stop.value.code in (1, 2)
    assert len(errors) == 1
    assert "internal error" not in errors[0]
    assert str(run) in errors[0]
