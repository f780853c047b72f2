"""Refinements follow the photograph, keep what they are given, and stay probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import train.inference.refine
from curate.cli import cli
from curate.dataset import Dataset
from curate.errors import UsageError
from curate.images import read_grey
from curate.masks import iou
from curate.person_model import InputSpec
from tests.drawing import mask
from tests.onnx_models import brightness
from train.inference.predict import predict_image, to_bytes
from train.inference.refine import (
    REFINEMENTS,
    box_mean,
    filter_guided,
    keep_large_parts,
    local_lines,
    nearest_part,
    refine,
    solve_matting,
    split_names,
    trimap_of,
    working_size,
)
from train.models import load
from train.scoring.metrics import score_image
from train.scoring.peers import open_peer, score_peer
from train.scoring.score import score


def scene(height: int = 120, width: int = 160) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph of a reddish disc on a greenish ground, what a coarse model says of it, and the truth."""
    truth = np.zeros((height, width), np.uint8)
    cv2.circle(truth, (width // 2, height // 2), height // 4, 1, -1)
    noise = np.random.default_rng(0).integers(-12, 13, (height, width, 3))
    image = (np.where(truth[..., None] > 0, (190, 80, 70), (70, 130, 80)) + noise).astype(np.uint8)
    coarse = cv2.resize(cv2.resize(truth.astype(np.float32), (20, 15), interpolation=cv2.INTER_AREA), (width, height))
    moved = np.roll(coarse, 2, axis=1)
    return image, moved, truth > 0


@pytest.mark.parametrize("name", ["guided", "matting"])
def test_the_outline_moves_to_the_edge_of_the_photograph(name: str) -> None:
    image, coarse, truth = scene()
    kept = image.copy(), coarse.copy()
    found = refine(image, coarse, [name])
    before, after = iou(coarse >= 0.5, truth), iou(found >= 0.5, truth)
    assert before is not None
    assert before < 0.92
    assert after is not None
    assert after > 0.97
    assert (image == kept[0]).all()
    assert (coarse == kept[1]).all()


@pytest.mark.parametrize("name", ["guided", "matting"])
def test_a_large_photograph_is_refined_at_a_working_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image, coarse, truth = scene(240, 320)
    monkeypatch.setattr(train.inference.refine, "WORKING_PX", 20_000)
    after = iou(refine(image, coarse, [name]) >= 0.5, truth)
    assert after is not None
    assert after > 0.96


@pytest.mark.parametrize("name", REFINEMENTS)
@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_any_image_gives_a_probability(name: str, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    image = data.draw(arrays(np.uint8, (height, width, 3)))
    levels = data.draw(arrays(np.uint8, (height, width)))
    chances = (levels / np.float32(255)).astype(np.float32)
    before = image.copy(), chances.copy()
    found = refine(image, chances, [name])
    assert (found.shape, found.dtype) == (chances.shape, np.float32)
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1
    assert (image == before[0]).all()
    assert (chances == before[1]).all()


@pytest.mark.parametrize("name", REFINEMENTS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_or_nothing_is_person_it_stays_so(name: str, value: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    assert np.allclose(refine(image, np.full((30, 20), value, np.float32), [name]), value, atol=1e-6)


def test_small_parts_go_with_what_is_nearest_to_them() -> None:
    chances = np.array([[0.9, 0.9, 0.9, 0.3, 0.0, 0.2, 0.8]] * 5, np.float32)
    chances[1:, 5:] = 0.1
    assert keep_large_parts(np.zeros((5, 7, 3), np.uint8), chances)[:, :4] == pytest.approx(chances[:, :4])
    assert (keep_large_parts(np.zeros((5, 7, 3), np.uint8), chances)[:2, 5:] == 0).all()


def test_parts_of_a_size_are_all_kept() -> None:
    people = mask("###...##\n###...##\n###...##").astype(np.float32)
    assert (keep_large_parts(np.zeros((3, 8, 3), np.uint8), people) == people).all()


def test_parts_touch_at_corners() -> None:
    labels = nearest_part(mask("#...\n.#..\n...#"))
    assert labels[0, 0] == labels[1, 1] != labels[2, 3]


@pytest.mark.parametrize("radius", [1, 3])
def test_a_box_mean_is_the_mean_over_a_square(radius: int) -> None:
    values = np.random.default_rng(0).random((9, 11, 7))
    found, side = box_mean(values, radius), 2 * radius + 1
    assert found[4, 5] == pytest.approx(values[4 - radius :, 5 - radius :][:side, :side].mean(axis=(0, 1)))


def test_local_lines_are_the_least_squares_of_equation_19() -> None:
    rng, radius, epsilon = np.random.default_rng(0), 2, 1e-3
    image, values = rng.integers(0, 256, (21, 21, 3), dtype=np.uint8), rng.random((21, 21), np.float32)

    def fit(row: int, column: int) -> np.ndarray:
        window = np.s_[row - radius : row + radius + 1, column - radius : column + radius + 1]
        colours, wanted = image[window].reshape(-1, 3) / 255, values[window].ravel().astype(np.float64)
        left = np.cov(colours.T, bias=True) + epsilon * np.eye(3)
        right = ((colours - colours.mean(0)) * (wanted - wanted.mean())[:, None]).mean(0)
        slope = np.linalg.solve(left, right)
        return np.append(slope, wanted.mean() - slope @ colours.mean(0))

    expected = np.mean([fit(row, column) for row in range(8, 13) for column in range(8, 13)], axis=0)
    slope, offset = local_lines(image, values, radius, epsilon)
    assert np.append(slope[10, 10], offset[10, 10]) == pytest.approx(expected)


def test_the_guided_filter_of_a_flat_image_is_two_box_means() -> None:
    chances = np.random.default_rng(0).random((40, 30), np.float32)
    found = filter_guided(np.full((40, 30, 3), 99, np.uint8), chances)
    radius = round(train.inference.refine.GUIDED_RADIUS * float(np.hypot(40, 30)))
    assert found == pytest.approx(box_mean(box_mean(chances.astype(np.float64), radius), radius), abs=1e-5)


def test_matting_leaves_all_but_a_band_to_0_and_1() -> None:
    image, coarse, _ = scene()
    found = solve_matting(image, coarse)
    width_px = round(train.inference.refine.BAND * float(np.hypot(120, 160)))
    known = trimap_of(coarse >= 0.5, width_px)
    assert (found[known != 0.5] == known[known != 0.5]).all()


def test_matting_tells_how_much_of_a_pixel_is_hair() -> None:
    """A rim whose colours lie half way between person and ground comes out half way."""
    chances = np.zeros((80, 80), np.float32)
    chances[:, 40:] = 1
    share = np.zeros((80, 80), np.float32)
    share[:, 39], share[:, 40], share[:, 41:] = 1 / 3, 2 / 3, 1
    image = np.rint(share[..., None] * (220, 60, 50) + (1 - share[..., None]) * (40, 90, 200)).astype(np.uint8)
    assert solve_matting(image, chances)[40, 38:42] == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=0.04)


def test_a_thin_part_keeps_its_middle() -> None:
    thin = mask("........\n########\n########\n########\n........")
    trimap = trimap_of(thin, 4)
    assert (trimap[2] == 1).all()
    assert (trimap[[0, 1, 3, 4]] == 0.5).all()


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [((300, 400), (300, 400)), ((3000, 4000), (548, 730)), ((1, 10**7), (1, 2 * 10**6)), ((1, 1), (1, 1))],
)
def test_the_working_size(size_hw: tuple[int, int], expected: tuple[int, int]) -> None:
    assert working_size(size_hw) == expected


@pytest.mark.parametrize(
    ("text", "names"), [(None, ()), ("matting", ("matting",)), ("guided, largest-parts", ("guided", "largest-parts"))]
)
def test_names(text: str | None, names: tuple[str, ...]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize("text", ["", "crf", "matting,", "Matting"])
def test_what_is_no_refinement(text: str) -> None:
    with pytest.raises(UsageError, match=r"--refine .*: expected one or more of largest-parts, guided, matting"):
        split_names(text)


def test_a_run_is_scored_refined_and_not_mixed_with_what_is_not(finished: Path, drawn: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refined = score(finished, drawn, ["test"], out, refinements=["guided"])
    with pytest.raises(UsageError, match=r"2 rows of test, made with --refine guided, would go"):
        score(finished, drawn, ["val"], out)
    loaded = load(finished)
    for row, scored in zip(drawn.rows("test"), refined.to_dicts(), strict=True):
        chances = filter_guided(drawn.image(row), predict_image(loaded, drawn.image(row)))
        prediction = read_grey(out / "predictions" / f"{row['sample_id']}.png", (row["height"], row["width"]))
        assert np.abs(prediction.astype(int) - to_bytes(chances)).max() <= 1
        place = {"sample_id": row["sample_id"], "split": "test", "fold": -1}
        assert scored == place | score_image(drawn.target(row), prediction)


def test_a_peers_folder_says_how_it_was_refined(drawn: Dataset, tmp_path: Path) -> None:
    peer = open_peer(str(brightness(tmp_path / "bright.onnx", (1, 3, 48, 48))), InputSpec(normalise="unit"))
    score_peer(peer, drawn, tmp_path / "out", ["test"], refinements=["largest-parts", "guided"])
    told = json.loads((tmp_path / "out" / "config.json").read_bytes())
    assert told["settings"]["refine"] == ["largest-parts", "guided"]


def test_the_commands_refuse_what_is_no_refinement(finished: Path, tmp_path: Path) -> None:
    for words in (["score", str(finished)], ["predict", str(finished), "a.jpg", "--out", str(tmp_path)]):
        result = CliRunner().invoke(cli, ["train", *words, "--refine", "sharpen"])
        assert isinstance(result.exception, UsageError)
