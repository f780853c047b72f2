"""The dataset card says what the tables say, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from markdown_it import MarkdownIt

from curate.checks.version import verify
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import FunnelStep, open_dataset
from curate.looking.card import CARD
from tests.curate.scenes import coco_set
from tests.curate.versions import row, write_version


def test_the_card_tells_splits_choice_sources_and_licences(tmp_path: Path) -> None:
    source = coco_set(tmp_path / "coco", [0.05, 0.3, 0.4, 0.5])
    build_dataset(make_recipe({"coco": [str(source)], "min_area": 0.2}), tmp_path / "people")
    dataset = open_dataset(tmp_path / "people")
    assert list(verify(dataset)) == [], "the card belongs there"
    _, head, text = (dataset.root / CARD).read_text().split("---\n", 2)
    assert yaml.safe_load(head)["task_categories"] == ["image-segmentation"]
    assert "3 images for training and testing" in text
    assert dataset.header.digest in text
    assert "area 20 % to 100 %  3  -1" in text
    [licences] = [line for line in text.splitlines() if line.startswith("| coco | coco |")]
    assert licences.startswith("| coco | coco | 3 | 1 | ")
    assert str(tmp_path) not in text, "no path of this machine"
    for split, images in dataset.header.counts.items():
        assert split == "images" or f"| {split} | {images} | " in text


def test_a_version_of_nothing_known_has_a_card(tmp_path: Path) -> None:
    version = write_version(tmp_path / "people", [], funnel=[], parent="0" * 64)
    text = (version.root / CARD).read_text()
    assert "How it was chosen" not in text
    assert f"It was made from version `{'0' * 64}`." in text


def test_a_hostile_licence_stays_in_its_cell(tmp_path: Path) -> None:
    hostile = row("coco-1", licence="CC | BY\n<script>alert(1)</script>")
    text = (write_version(tmp_path / "people", [hostile]).root / CARD).read_text()
    assert "<script>" not in text
    assert "| CC / BY &lt;script&gt;alert(1)&lt;/script&gt; (1) |" in text


def test_nothing_that_a_dataset_calls_itself_is_more_than_text(tmp_path: Path) -> None:
    """Each of these opened a tag, a link or a line of its own, or steered the terminal that the card is read in."""
    hostile = "a`\n```\n# b <script>alert(1)</script> [c](https://example.org) ![](x) | \x1b[2J"
    said = {"name": hostile, "parent": hostile, "funnel": [FunnelStep("looked at", hostile, 1)]}
    sample = row("coco-1", origin=hostile, source=hostile, licence=hostile)
    shown = shown_by(write_version(tmp_path / "people", [sample], **said).root)
    assert not re.search("<script|<a |<img|\x1b", shown)
    tame = shown_by(write_version(tmp_path / "tame", [row("coco-1")], parent="0" * 64).root)
    for tag in ("<h1", "<h2", "<pre", "<code", "<table", "<tr", "<td"):
        assert shown.count(tag) == tame.count(tag)


def shown_by(root: Path) -> str:
    """The card of a version as HTML, as a reader of Markdown that lets HTML through makes it."""
    text = (root / CARD).read_text().split("---\n", 2)[2]
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
