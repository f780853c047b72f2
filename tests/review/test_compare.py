"""`curate review compare`: two runs on the same images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.cli import main
from review.compare import changes
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, photograph, sure_of

PERSON = body()


def seen(share: float) -> Drawn:
    """A person of whom the run sees the left part."""
    columns = np.flatnonzero(PERSON.any(axis=0))
    most = columns[0] + round(share * len(columns))
    return Drawn("", as_target(PERSON), sure_of(PERSON & (np.arange(160) < most)), split="val", edges="B")


def scenes(shares: list[float]) -> list[Drawn]:
    """Images of which so much is seen; every third shows a dog too."""
    return [
        replace(seen(share), sample_id=f"s{n:02}", image=photograph(PERSON, n), touching=["dog"] * (n % 3 == 0))
        for n, share in enumerate(shares)
    ]


RNG = np.random.default_rng(0)
FIRST = RNG.uniform(0.5, 0.9, 24)
BETTER = np.clip(FIRST + RNG.uniform(0.0, 0.1, 24), 0, 1)
BETTER[5] = FIRST[5] - 0.3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compare")
    dataset = make_dataset(root / "people", scenes(FIRST.tolist()))
    make_run(root / "runs/first", dataset, scenes(FIRST.tolist()))
    make_run(root / "runs/second", dataset, scenes(BETTER.tolist()))
    return root


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["review", "compare", *map(str, arguments)])
    printed = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, printed.out, printed.err


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    code, out, _ = command(capsys, *arguments, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_what_differs_is_told_with_its_chance(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (pl.read_parquet(made / f"runs/{name}/scores.parquet") for name in ("first", "second"))
    found = told(capsys, made / "runs/first", made / "runs/second")
    mean = found["figures"][0]
    assert mean["name"] == "image mean IoU"
    assert mean["first"] == pytest.approx(first["iou"].mean())
    assert mean["second"] == pytest.approx(second["iou"].mean())
    assert mean["difference"] == pytest.approx((second["iou"] - first["iou"]).mean())
    assert mean["low"] < mean["difference"] < mean["high"]
    assert 0 < mean["p"] <= 1
    change = second["iou"] - first["iou"]
    assert found["better"] == (change > 0.01).sum()
    assert found["worse"] == (change < -0.01).sum() >= 1
    assert found["better"] + found["worse"] + found["same"] == found["images"] == 24
    assert found["changes"][0]["sample_id"] == "s05"
    animal = next(one for one in found["slices"] if one["slice"] == "animal")
    assert animal["images"] == 8
    of_animals = change.gather(range(0, 24, 3)).mean()
    assert animal["iou"]["difference"] == pytest.approx(of_animals)


def test_the_table_reads_from_a_to_b(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, made / "runs/first", made / "runs/second")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[:2] == [f"A = {made}/runs/first", f"B = {made}/runs/second"]
    assert lines[2].startswith("on 24 val images: ")
    assert any(line.startswith("image mean IoU") and "[" in line for line in lines)
    assert any(line.startswith("animal") and line.endswith(" 8") for line in lines)
    place = lines.index("changed most")
    assert lines[place + 1].endswith("s05")
    assert lines[place + 1].startswith("  -0.")
    assert all(line.startswith("  +0.") for line in lines[place + 2 :])
    assert len(lines) == place + 7


def test_a_run_does_not_differ_from_itself(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = command(capsys, made / "runs/first", made / "runs/first")
    assert "no difference beyond chance in the image mean IoU (p 1.0000)" in out
    assert "0 images better by more than 0.01, 0 worse, 24 the same" in out


def test_a_run_that_is_better_everywhere_is_called_better(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(made, tmp_path / "copy")
    shutil.rmtree(place / "runs/second")
    from curate.dataset import open_dataset

    make_run(place / "runs/second", open_dataset(place / "people"), scenes([0.95] * 24))
    assert (
        "B has the better image mean IoU (p 0.0005)" in command(capsys, place / "runs/first", place / "runs/second")[1]
    )
    assert (
        "A has the better image mean IoU (p 0.0005)" in command(capsys, place / "runs/second", place / "runs/first")[1]
    )


def test_images_of_one_run_alone_are_left_out_and_that_is_said(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(made, tmp_path / "copy")
    scores = place / "runs/second/scores.parquet"
    pl.read_parquet(scores).tail(20).write_parquet(scores)
    code, out, err = command(capsys, place / "runs/first", place / "runs/second")
    assert code == 0
    assert err == "note: 4 images that one run alone is scored on are left out\n"
    assert "on 20 val images" in out


def test_runs_without_an_image_in_common_are_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(made, tmp_path / "copy")
    for name, part in (("first", slice(0, 10)), ("second", slice(10, 20))):
        scores = place / f"runs/{name}/scores.parquet"
        pl.read_parquet(scores)[part].write_parquet(scores)
    code, out, err = command(capsys, place / "runs/first", place / "runs/second")
    assert (code, out) == (2, "")
    assert "are scored on other images" in err


def test_runs_of_two_dataset_versions_are_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_dataset(tmp_path / "other", scenes([0.5] * 3))
    run = make_run(tmp_path / "run", other, scenes([0.5] * 3))
    code, _, err = command(capsys, made / "runs/first", run)
    assert code == 2
    assert f"{run} with {other.header.digest[:12]}: their labels may differ" in err


def test_every_image_that_both_scored_has_its_change() -> None:
    first = pl.DataFrame({"sample_id": ["a", "b", "c"], "iou": [0.5, None, 0.9]})
    second = pl.DataFrame({"sample_id": ["c", "b", "a"], "iou": [0.4, 0.2, 0.7]})
    nobody = [("b", 1.0, 0.2, pytest.approx(-0.8))]  # a person seen where nobody is
    moved = [("c", 0.9, 0.4, pytest.approx(-0.5)), ("a", 0.5, 0.7, pytest.approx(0.2))]
    assert changes(first, second).rows() == nobody + moved
    assert changes(first.filter(pl.col("sample_id") == "b"), first).is_empty()
