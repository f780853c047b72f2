"""Recipes: where they come from, what wins, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.checks.version import verify
from curate.choosing.build import build_dataset
from curate.choosing.recipe import Recipe, load_recipe, make_recipe, put_on_top, recipe_options
from curate.cli import main
from curate.dataset import open_dataset
from curate.decisions import read_decisions
from curate.errors import CurateError, FormatError, MissingError, UsageError
from curate.packaged import data_folder
from tests.curate.pictures import build, coco_of, column, numbered, pairs_of, picture


@pytest.mark.parametrize("path", sorted((data_folder() / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_sound_and_named_after_its_file(path: Path) -> None:
    assert make_recipe(load_recipe(path.stem)).name == path.stem


def test_the_shipped_recipes_select_what_their_documents_did() -> None:
    first, second = make_recipe(load_recipe("greenscreen")), make_recipe(load_recipe("go-selfies"))
    assert (first.min_area, first.max_area, first.min_people, first.max_people) == (0.2, 0.7, 1, 2)
    assert (second.min_area, second.max_area, second.max_people) == (0.3, 1.0, 2)


@pytest.mark.parametrize("name", ["../../people", "/etc/people", "", ".."])
def test_a_recipe_is_not_called_like_another_folder(tmp_path: Path, name: str) -> None:
    """What is built from a stranger's recipe goes to datasets/built/<name> where no --out says otherwise."""
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "{name}"')
    with pytest.raises(UsageError, match="is that of another folder"):
        make_recipe(load_recipe(str(path)))


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
        ({"merge": "d"}, "--merge d: joins a dataset to another one; name that with --from"),
        ({"min-keypoints": 18}, "--min-keypoints 18: a person has 17"),
        ({"max-stairs": 2}, "--max-stairs 2: a fraction is wanted, 0 to 1"),
        ({"max-parts": 0}, "--max-parts 0: at least 1"),
        ({"intact": -1}, "--intact -1: at least 0"),
        ({"backgrounds": -1}, "--backgrounds -1"),
        ({"take": {"coco": -1}}, "--take coco=-1"),
        ({"group-by": "colour"}, "--group-by colour: is no column. Columns: folder, sample_id"),
        ({"split": "most"}, "--split most: is no list of numbers"),
        ({"where": "area >"}, "--where 'area >'"),
        ({"held": "maybe"}, "held"),
        ({"duplicates": "some"}, "duplicates"),
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


def test_options_go_on_top_of_a_recipe_one_by_one(tmp_path: Path) -> None:
    base = {"min-area": 0.3, "take": {"coco": 1000, "voc": 700}, "coco": ["a", "b"], "folds": 5}
    options = {"min_area": 0.2, "take": {"coco": 60}, "coco": ["c"]}
    recipe = make_recipe(put_on_top(base, options))
    assert (recipe.min_area, recipe.take, recipe.coco, recipe.folds) == (0.2, {"coco": 60, "voc": 700}, ["c"], 5)
    assert base["take"] == {"coco": 1000, "voc": 700}


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the program, which must succeed; returns its stderr."""

    def call(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main([*words])
        err = capfd.readouterr().err
        assert not stop.value.code, err
        return err

    return call


def test_a_recipe_without_a_seed_leaves_the_splits_of_a_version(tmp_path: Path, command: Callable[..., str]) -> None:
    build(tmp_path / "one", coco=[coco_of(tmp_path / "coco", numbered(30))], seed=7)
    (tmp_path / "mine.toml").write_text("min-area = 0.1\n")
    command("build", "--recipe", str(tmp_path / "mine.toml"), "--from", str(tmp_path / "one"),
            "--out", str(tmp_path / "two"))  # fmt: skip
    assert column(tmp_path / "two", "split") == column(tmp_path / "one", "split")


@pytest.mark.parametrize(("name", "options"), [("greenscreen", []), ("go-selfies", ["--take", "coco=40"])])
def test_the_shipped_recipes_build_on_the_sample_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., str], name: str, options: list[str]
) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    err = command("build", "--recipe", name, *options, "--out", "out")
    first = open_dataset("out")
    assert "the embedded sample" in err
    area = {"greenscreen": (0.2, 0.7), "go-selfies": (0.3, 1.0)}[name]
    assert first.samples["area"].is_between(*area).all()
    assert first.samples["people"].is_in([1, 2]).all()
    if name == "greenscreen":
        assert set(first.samples["split"]) == {"train", "val", "test"}
    else:
        assert first.samples.filter(pl.col("source") == "coco").height == 40
        assert set(first.samples.filter(pl.col("split") == "train")["fold"]) == {0, 1, 2, 3, 4}
        assert "--split 1700/300: too few images" in err
    monkeypatch.chdir(tmp_path / "there")
    command("build", "--recipe", "../here/out/dataset.json", "--out", "again")
    assert open_dataset("again").header == first.header


def test_a_version_with_everything_builds_again_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {**numbered(24), **numbered(6, 50, "n"), "j.png": (2, 1)}
    path = coco_of(tmp_path / "coco", files, {name: 0.0 if name[0] == "n" else 0.5 for name in files})
    pairs = pairs_of(tmp_path / "pairs", {f"p{number}": 100 + number for number in range(8)})
    picture(tmp_path / "pool" / "q.png", 200)
    (tmp_path / "d.jsonl").write_text('{"sample_id": "coco-i003", "verdict": "exclude"}')
    first = build(
        tmp_path / "one", name="mine", coco=[path], pairs=[pairs], pool=[str(tmp_path / "pool")], min_area=0.1,
        held="include", take={"coco": 18, "pairs": 6}, split="14/6", folds=3, backgrounds=2, duplicates="near",
        where="width > 10", decisions=str(tmp_path / "d.jsonl"), seed=5,
    )  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = build_dataset(make_recipe(load_recipe("../one/dataset.json")), Path("two"))
    assert again.header == first.header
    assert open_dataset("two").drops.equals(open_dataset(tmp_path / "one").drops)


@pytest.mark.real
def test_go_selfies_builds_on_real_photographs(tmp_path: Path, real_data: Path, command: Callable[..., str]) -> None:
    instances = [real_data / "coco-mini" / "annotations" / f"instances_{split}2017.json" for split in ("train", "val")]
    sources = [word for path in instances for word in ("--coco", f"coco={path}")]
    sources += ["--voc", str(real_data / "voc2012")]
    sources += ["--pairs", str(real_data / "humanseg" / "images"), str(real_data / "humanseg" / "masks")]
    command("build", "--recipe", "go-selfies", *sources, "--take", "pairs=50", "--out", str(tmp_path / "one"))
    one = open_dataset(tmp_path / "one")
    assert one.samples.group_by("source").len().filter(pl.col("source") == "pairs")["len"].to_list() == [50]
    assert one.samples.height + one.drops.height == one.header.funnel[0].remaining
    assert one.samples["area"].min() >= 0.3  # type: ignore[operator]
    assert list(verify(one)) == []
    command("build", "--recipe", str(tmp_path / "one" / "dataset.json"), "--out", str(tmp_path / "two"))
    assert open_dataset(tmp_path / "two").header == one.header


def test_a_dataset_made_by_another_command_has_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"name": "x", "recipe": {"command": "label import"}}')
    with pytest.raises(
        UsageError, match=r"dataset.json: was made by label import, not by a recipe\. Choose among .*--from"
    ):
        load_recipe(str(tmp_path))


def test_sources_that_lie_where_they_usually_do_are_named_in_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., str]
) -> None:
    folder = tmp_path / "datasets" / "coco"
    (folder / "annotations").mkdir(parents=True)
    Path(coco_of(folder, numbered(3))).rename(folder / "annotations" / "instances_a.json")
    monkeypatch.chdir(tmp_path)
    command("build", "--out", "out")
    first = open_dataset("out").header
    assert first.recipe["coco"] == ["coco=datasets/coco/annotations/instances_a.json"]
    assert "holds this recipe with these inputs already" in command("build", "--out", "out")
    Path(coco_of(folder, numbered(4))).rename(folder / "annotations" / "instances_b.json")
    command("build", "--recipe", "out", "--out", "again")
    assert open_dataset("again").header == first


def test_a_recipe_whose_sources_have_changed_is_said(tmp_path: Path, command: Callable[..., str]) -> None:
    path = coco_of(tmp_path / "coco", numbered(3))
    command("build", "--coco", path, "--out", str(tmp_path / "one"))
    again = ("build", "--recipe", str(tmp_path / "one" / "dataset.json"), "--out")
    assert "not what they were" not in command(*again, str(tmp_path / "two"))
    picture(tmp_path / "coco" / "images" / "i001.png", 77)
    assert "its sources are not what they were" in command(*again, str(tmp_path / "three"))
    assert "not what they were" not in command(*again, str(tmp_path / "four"), "--min-area", "0.1")
