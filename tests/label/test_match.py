"""Whose label it is: by id, name, path, then content; and never a guess."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from curate.files import sha256_bytes
from curate.sources.names import sample_keys
from label.formats.record import HandLabel
from label.match import NoMatch, index_samples, match

SAMPLES = [  # sample_id, source, suffix, content
    ("coco-000000000139", "coco", ".jpg", "A"),
    ("coco-7", "coco", ".jpg", "B"),
    ("pairs-7", "pairs", ".png", "C"),
    ("pairs-a-1", "pairs", ".jpg", "D"),
    ("pairs-b-1", "pairs", ".jpg", "E"),
    ("pairs-img.001", "pairs", ".jpg", "F"),
    ("voc-8", "voc", ".jpg", "G"),
    ("voc-9", "voc", ".jpg", "G"),
    ("web-coco-7", "web", ".jpg", "H"),
    (f"web-{sample_keys(['my photo.jpg'])[0]}", "web", ".jpg", "I"),
]
INDEX = index_samples(
    pl.DataFrame(
        [
            (name, source, f"images/{name}{suffix}", sha256_bytes(content.encode()))
            for name, source, suffix, content in SAMPLES
        ],
        schema=["sample_id", "source", "image", "image_sha256"],
        orient="row",
    )
)


def label(*names: str, content: str | None = None) -> HandLabel:
    def never(_: tuple[int, int]) -> None:
        raise AssertionError("matching draws nothing")

    return HandLabel(Path("label"), names, "png", None, never, lambda: content and content.encode())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "content", "sample_id"),
    [
        pytest.param(["coco-7"], None, "coco-7", id="sample-id-goes-first"),
        pytest.param(["coco-7.jpg"], None, "coco-7", id="sample-id-as-image"),
        pytest.param(["masks/pairs-7"], None, "pairs-7", id="sample-id-in-a-folder"),
        pytest.param(["000000000139"], None, "coco-000000000139", id="stem"),
        pytest.param(["../train2017/000000000139.jpg"], None, "coco-000000000139", id="file-name"),
        pytest.param(["000000000139.JPG"], None, "coco-000000000139", id="other-suffix"),
        pytest.param(["img.001"], None, "pairs-img.001", id="dot-in-the-stem"),
        pytest.param(["img.001.jpg"], None, "pairs-img.001", id="dot-in-the-stem-and-suffix"),
        pytest.param(["my photo.jpg"], None, "web-" + sample_keys(["my photo.jpg"])[0], id="blank-in-the-name"),
        pytest.param(["a/1"], None, "pairs-a-1", id="path"),
        pytest.param(["export/masks/b/1"], None, "pairs-b-1", id="end-of-a-path"),
        pytest.param(["7.png"], None, "pairs-7", id="suffix-tells-apart"),
        pytest.param(["pairs/7"], None, "pairs-7", id="path-narrows-the-stem"),
        pytest.param(["set/0123abcd-coco-7.jpg"], None, "coco-7", id="upload-of-a-sample-id"),
        pytest.param(["0123abcd-000000000139.jpg"], None, "coco-000000000139", id="upload"),
        pytest.param(
            ["train/img.001_jpg.rf.0123456789abcdef0123456789abcdef.jpg"], None, "pairs-img.001", id="roboflow"
        ),
        pytest.param(["0123abcd-7_png.rf.0123456789abcdef0123.jpg"], None, "pairs-7", id="roboflow-of-an-upload"),
        pytest.param(["unknown.jpg"], "D", "pairs-a-1", id="content-of-an-unknown-name"),
        pytest.param(["7"], "B", "coco-7", id="content-narrows-the-stem"),
        pytest.param(["7.jpg", "000000000139"], "A", "coco-000000000139", id="content-decides-between-names"),
        pytest.param(["gone.jpg", "000000000139"], None, "coco-000000000139", id="the-name-that-is-known"),
    ],
)
def test_found(names: list[str], content: str | None, sample_id: str) -> None:
    assert match(label(*names, content=content), INDEX) == sample_id


@pytest.mark.parametrize(
    ("names", "content", "candidates"),
    [
        pytest.param(["unknown"], None, [], id="unknown"),
        pytest.param(["unknown"], "Z", [], id="unknown-content"),
        pytest.param(["img"], None, [], id="a-part-of-a-stem"),
        pytest.param(["7"], None, ["coco-7", "pairs-7"], id="stem-in-two-sources"),
        pytest.param(["7"], "Z", ["coco-7", "pairs-7"], id="content-of-none-of-them"),
        pytest.param(["7"], "A", ["coco-7", "pairs-7"], id="content-of-another-name"),
        pytest.param(["1"], None, [], id="stem-that-stands-twice-in-a-source"),
        pytest.param(["unknown"], "G", ["voc-8", "voc-9"], id="content-that-stands-twice"),
        pytest.param(["7.jpg", "000000000139"], None, ["coco-000000000139", "coco-7"], id="names-that-disagree"),
        pytest.param(["coco-7", "pairs-7"], None, ["coco-7", "pairs-7"], id="two-sample-ids"),
        pytest.param(["", "/", "..", "../.."], None, [], id="no-name-in-it"),
    ],
)
def test_not_found(names: list[str], content: str | None, candidates: list[str]) -> None:
    assert match(label(*names, content=content), INDEX) == NoMatch(tuple(candidates))


def test_content_is_not_hashed_where_the_name_says_it() -> None:
    def never() -> str:
        raise AssertionError("hashed")

    assert match(HandLabel(Path("x"), ("coco-7",), "png", None, lambda _: None, never), INDEX) == "coco-7"  # type: ignore[arg-type, return-value]


def test_a_date_before_a_name_is_part_of_it() -> None:
    assert match(label("20240101-000000000139.jpg"), INDEX) == NoMatch(())
