"""Recipes: where they come from, what wins, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.decisions import read_decisions
from curate.errors import CurateError, FormatError, MissingError, UsageError
from curate.packaged import data_folder
from curate.recipe import Recipe, load_recipe, make_recipe, recipe_options


@pytest.mark.parametrize("path", sorted((data_folder() / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_sound_and_named_after_its_file(path: Path) -> None:
    assert make_recipe(load_recipe(path.stem)).name == path.stem


def test_the_shipped_recipes_select_what_their_documents_did() -> None:
    first, second = make_recipe(load_recipe("greenscreen")), make_recipe(load_recipe("go-selfies"))
    assert (first.min_area, first.max_area, first.min_people, first.max_people) == (0.2, 0.7, 1, 2)
    assert (second.min_area, second.max_area, second.max_people) == (0.3, 1.0, 2)


def test_a_recipe_file_may_name_everything(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'coco = ["a.json"]\nimages = ["photos"]\npairs = [["i", "m"]]\nmin-area = 0.1\nmax_people = 3\nperson = "rider"'
    )
    recipe = make_recipe(load_recipe(str(path)))
    assert recipe == Recipe(
        name="mine", coco=["a.json"], images=["photos"], pairs=[("i", "m")], min_area=0.1, max_people=3,
        person=["rider"], seed=0,
    )  # fmt: skip


def test_a_built_dataset_is_its_own_recipe(tmp_path: Path) -> None:
    recipe = make_recipe({"name": "mine", "voc": ["v"], "folds": 3, "seed": 4, "pairs": [("i", "m")]})
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"name": "mine", "recipe": recipe_options(recipe), "digest": "d"}))
    assert make_recipe(load_recipe(str(path))) == recipe


def test_the_seed_is_zero_unless_splits_are_carried_over() -> None:
    assert make_recipe({}).seed == 0
    assert make_recipe({"from": "d"}).seed is None
    assert make_recipe({"from_": "d", "seed": 2}).seed == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min-aera": 0.2}, "unknown field `min-aera`.*Known keys: .*min-area"),
        ({"min-area": "big"}, "min-area"),
        ({"min-area": 20}, "--min-area 20: an area is a fraction of the image, 0 to 1; 20 % is 0.2"),
        ({"max-area": -0.1}, "--max-area -0.1"),
        ({"max-area": float("nan")}, "--max-area nan"),
        ({"min-area": 0.5, "max-area": 0.4}, "--min-area 0.5 is more than --max-area 0.4"),
        ({"min-people": 0}, "--min-people 0: at least 1"),
        ({"min-people": 3, "max-people": 2}, "--max-people 2 is fewer than --min-people 3"),
        ({"folds": 1}, "--folds 1: 2 or more"),
        ({"folds": -2}, "--folds -2"),
        ({"folds": 1000}, "--folds 1000: at most 100"),
        ({"from": "d", "voc": ["v"]}, "--from starts from a dataset's own images"),
        ({"coco": "a.json"}, "coco"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_makes_no_sense_is_a_usage_error(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        make_recipe(options)
    assert caught.value.exit_code == 2


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(
        MissingError, match=r"none: is neither a file nor a shipped recipe\. There are: .*go-selfies, greenscreen"
    ):
        load_recipe("none")


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.toml", b"min-area = "), ("a.toml", b"\xff"), ("a.json", b"{"), ("a.json", b"{}"), ("a.json", b"[]")],
)
def test_a_damaged_recipe_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match="is not a recipe"):
        load_recipe(str(tmp_path / name))


def test_the_last_decision_on_an_image_counts(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(
        '{"sample_id": "a", "verdict": "ok"}\n\n'
        '{"sample_id": "b", "verdict": "hard", "note": "dark", "run": "r"}\n'
        '{"sample_id": "a", "verdict": "exclude", "note": "blurred"}\n'
    )
    decisions = read_decisions(path)
    assert {key: (one.verdict, one.note) for key, one in decisions.items()} == {
        "a": ("exclude", "blurred"),
        "b": ("hard", "dark"),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            '{"sample_id": "a", "verdict": "bad"}',
            "line 2: verdict 'bad' is unknown; expected relabel, exclude, hard, ok",
        ),
        ('{"sample_id": "a"}', "line 2: .*missing required field `verdict`"),
        ("{", "line 2"),
        ("[]", "line 2"),
    ],
)
def test_a_damaged_decision_names_its_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"sample_id": "a", "verdict": "ok"}\n' + line)
    with pytest.raises(FormatError, match=words):
        read_decisions(path)


def test_missing_decisions_are_named(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"none\.jsonl: no such file"):
        read_decisions(tmp_path / "none.jsonl")
