"""`curate train augment-sheet`: what each recipe does, on a dataset's own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from curate.cli import cli
from curate.dataset import Dataset
from tests.train.making import make_dataset
from train.augment.sheet import SAYS
from train.config import RECIPES


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["train", "augment-sheet", *map(str, words)])


def test_every_recipe_is_shown(drawn: Dataset, tmp_path: Path) -> None:
    assert set(SAYS) == set(RECIPES)
    heights = []
    for number, chosen in enumerate(([], ["--augment", "dark"], ["--augment", "dark", "--augment", "none"])):
        out = tmp_path / f"{number}.png"
        result = run(drawn.root, "--out", out, "--size", 64, "--images", 3, *chosen)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"{out}\n"
        heights.append(Image.open(out).height)
    strip = heights[2] - heights[1]
    assert heights[0] == heights[1] + (len(RECIPES) - 1) * strip


def test_the_same_seed_shows_the_same(drawn: Dataset, tmp_path: Path) -> None:
    pages = []
    for number, seed in enumerate((0, 0, 1)):
        run(drawn.root, "--out", tmp_path / f"{number}.png", "--size", 32, "--images", 2, "--seed", seed)
        pages.append(np.asarray(Image.open(tmp_path / f"{number}.png")))
    assert np.array_equal(pages[0], pages[1])
    assert not np.array_equal(pages[0], pages[2])


def test_what_cannot_be_shown_is_said(drawn: Dataset, tmp_path: Path) -> None:
    nobody = make_dataset(tmp_path / "nobody", ("test", "background"))
    for words, told in [
        ((nobody.root, "--out", tmp_path / "a.png"), "has no training image with a person"),
        ((drawn.root, "--out", tmp_path / "a.gif"), "a sheet is a .png or a .jpg"),
        ((drawn.root, "--out", tmp_path / "a.png", "--size", 0), "--size 0: expected 1 to 4096 px"),
        ((tmp_path / "none", "--out", tmp_path / "a.png"), "none"),
    ]:
        result = run(*words)
        assert result.exit_code
        assert told in str(result.exception) + result.output
    assert not (tmp_path / "a.png").exists()
