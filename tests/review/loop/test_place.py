"""Where a loop stands: what is another loop's, a stranger's or its dataset's is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from curate.dataset import Dataset
from curate.errors import ExistsError, FormatError, MissingError, UsageError
from review.loop.config import loop_config
from review.loop.report import write_report
from review.loop.run import _claim, encoded, run_loop
from tests.review.loop.making import FIT, SPLITS, configure, quiet
from tests.train.making import make_dataset


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("people") / "people", SPLITS)


@pytest.mark.parametrize(
    ("moved", "changes", "told"),
    [
        (True, {"budget": "2"}, "--budget 1, not 2"),
        (False, {"to": "labelme", "repeats": 3}, "--repeats 1, not 3"),
        (False, {"start": "../run"}, "a base of its own, not --from ../run"),
        (False, {"digest": "d" * 64}, r"another dataset .*\(people, [0-9a-f]{12}\)\. .*later version with --labels"),
    ],
)
def test_what_may_change_is_not_called_the_difference(
    people: Dataset, tmp_path: Path, moved: bool, changes: dict[str, Any], told: str
) -> None:
    begun = msgspec.structs.replace(configure(people, tmp_path), dataset="people")
    (tmp_path / "loop.json").write_bytes(encoded(begun))
    (tmp_path / "round-1").mkdir()
    dataset = "../people" if moved else "people"
    with pytest.raises(ExistsError, match=f"holds a loop begun with {told}"):
        run_loop(people, tmp_path, msgspec.structs.replace(begun, dataset=dataset, **changes), quiet)


def test_a_difference_that_no_option_makes_is_told(people: Dataset, tmp_path: Path) -> None:
    wanted = configure(people, tmp_path)
    odd = msgspec.structs.replace(wanted, fit=msgspec.structs.replace(wanted.fit, digest="of another one"))
    (tmp_path / "loop.json").write_bytes(encoded(odd))
    (tmp_path / "round-1").mkdir()
    with pytest.raises(ExistsError, match="holds a loop begun with options that no command gives"):
        run_loop(people, tmp_path, wanted, quiet)


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_folder_is_not_touched(people: Dataset, tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ExistsError, match=r"holds thesis.txt, which is no part of a loop"):
        run_loop(people, tmp_path, configure(people, tmp_path), quiet, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["base", "round-7", "report.html"])
def test_what_only_looks_like_a_loop_is_not_touched(people: Dataset, tmp_path: Path, name: str, force: bool) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("mine")
    with pytest.raises(ExistsError, match=f"holds {name}, which is no part of a loop"):
        run_loop(people, tmp_path, configure(people, tmp_path), quiet, force=force)
    assert (tmp_path / name / "thesis.txt").read_text() == "mine"


def test_hidden_files_are_left_alone(people: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "loop"
    (out / ".git").mkdir(parents=True)
    (out / ".git" / "config").write_text("mine")
    (out / "loop.json").write_text("{")
    (out / "base").mkdir()
    typo = loop_config(people, out, FIT | {"weights": "typo.safetensors"}, rounds=1, budget="1")
    with pytest.raises(MissingError, match="no such weights"):
        run_loop(people, out, typo, quiet, force=True)
    assert (out / ".git" / "config").read_text() == "mine"


@pytest.mark.parametrize("place", [".", "..", "inside"])
def test_a_loop_never_stands_in_or_around_its_dataset(people: Dataset, place: str) -> None:
    before = sorted(people.root.rglob("*"))
    with pytest.raises(UsageError, match="lies in or around the dataset"):
        run_loop(people, people.root / place, configure(people, people.root / place), quiet, force=True)
    assert sorted(people.root.rglob("*")) == before


@pytest.mark.parametrize("weights", ["typo.safetensors", "typos.safetensors"])
def test_a_loop_that_failed_before_its_first_epoch_can_be_called_with_other_options(
    people: Dataset, weights: str
) -> None:
    out = people.root.parent / "failed"
    typo = loop_config(people, out, FIT | {"weights": weights}, rounds=1, budget="1")
    with pytest.raises(MissingError, match=rf"^{weights}: no such weights"):
        run_loop(people, out, typo, quiet)


def test_force_mends_a_damaged_loop_and_a_missing_prediction_is_an_empty_one(people: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "loop"
    (out / "base").mkdir(parents=True)
    (out / "base" / "config.json").write_text("{")
    (out / "loop.json").write_bytes(msgspec.json.format(msgspec.json.encode(configure(people, out)), indent=2))
    with pytest.raises(FormatError, match=r"base/config.json: is damaged"):
        run_loop(people, out, configure(people, out), quiet)
    (result,) = run_loop(people, out, configure(people, out), quiet, force=True)
    assert result.test_images == 3
    for path in (out / "round-1" / "candidate" / "predictions").glob("*.png"):
        path.unlink()
    assert write_report(people, out).is_file()


def test_an_offer_that_was_not_decided_on_is_written_anew_for_another_tool(people: Dataset, tmp_path: Path) -> None:
    (tmp_path / "loop.json").write_bytes(encoded(configure(people, tmp_path)))
    for name in ("round-1", "round-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "to-label.zip").write_text("for cvat")
    (tmp_path / "round-1/verdict.json").write_text("{}")
    _claim(tmp_path, configure(people, tmp_path, to="labelme", rounds=2), force=False)
    assert [(tmp_path / name / "to-label.zip").exists() for name in ("round-1", "round-2")] == [True, False]
