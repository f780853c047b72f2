"""What runs are held against is scored as they are, and is no run."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from curate import schema
from curate.cli import cli
from curate.dataset import Dataset, read_table
from curate.errors import CurateError, ExistsError, FormatError, MissingError, UsageError
from curate.images import read_grey
from curate.person_model import InputSpec, both_views, open_model
from review.failures import find_failures
from review.runs import open_run
from tests.onnx_models import brightness
from train.config import read_config
from train.inference.predict import to_bytes
from train.scoring.grabcut import CENTRE_HW, cut_person, first_guess
from train.scoring.metrics import score_image
from train.scoring.peers import GRABCUT, Peer, is_peer, open_peer, score_peer

UNIT = InputSpec(normalise="unit")


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """A model for which the brightness of a pixel is the probability of person."""
    return brightness(tmp_path / "bright.onnx", (1, 3, 48, 48))


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["train", *map(str, words)])


def portrait(height: int = 120, width: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """A reddish person, who stands on the lower edge, before a greenish ground; and the mask."""
    rng = np.random.default_rng(0)
    person = np.zeros((height, width), np.uint8)
    cv2.ellipse(person, (width // 2, height), (width // 4, height // 2), 0, 0, 360, 255, -1)
    cv2.circle(person, (width // 2, height // 2), width // 8, 255, -1)
    image = np.where((person > 0)[..., None], (190, 90, 80), (60, 120, 70)) + rng.integers(-25, 25, (height, width, 3))
    return image.astype(np.uint8), person > 0


def test_grabcut_finds_a_person_who_differs_from_the_ground() -> None:
    image, person = portrait()
    kept = image.copy()
    chances = cut_person(image)
    assert chances.shape == person.shape
    assert chances.dtype == np.float32
    found = chances >= 0.5
    assert np.count_nonzero(found & person) / np.count_nonzero(found | person) > 0.95
    assert (image == kept).all()


def test_grabcut_cuts_the_same_in_any_thread() -> None:
    images = [portrait()[0] ^ np.uint8(number) for number in range(8)]
    cv2.setRNGSeed(7)
    alone = [cut_person(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(cut_person, reversed(images)))
    assert all((one == other).all() for one, other in zip(alone, reversed(together), strict=True))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (9, 1), (2, 5), (3, 3), (5, 4), (300, 3), (700, 900)])
def test_grabcut_takes_images_of_any_size(size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    chances = cut_person(image)
    assert chances.shape == size_hw
    assert 0 <= chances.min() <= chances.max() <= 1


def test_the_first_guess_is_the_frame_and_the_centre() -> None:
    labels = first_guess((200, 100))
    assert (labels[:6] == cv2.GC_BGD).all()
    assert (labels[:, :6] == cv2.GC_BGD).all()
    assert (labels[:, -6:] == cv2.GC_BGD).all()
    assert (labels[6:, 6:-6] != cv2.GC_BGD).all()
    area = np.count_nonzero(labels == cv2.GC_PR_FGD) / labels.size
    assert area == pytest.approx(np.pi / 4 * CENTRE_HW[0] * CENTRE_HW[1], rel=0.02)


@pytest.mark.parametrize("flip", [False, True])
def test_every_score_of_a_peer_is_recomputed_from_its_predictions(
    flip: bool, drawn: Dataset, bright: Path, tmp_path: Path
) -> None:
    out = tmp_path / "far" / "out"
    scores = score_peer(open_peer(str(bright), UNIT), drawn, out, ("train", "test", "background"), flip=flip)
    assert scores.equals(read_table(out / "scores.parquet", schema.SCORES))
    predict = open_model(bright, UNIT).predict
    predict = both_views(predict) if flip else predict
    rows = drawn.rows("train", "test", "background")
    assert scores["sample_id"].to_list() == [row["sample_id"] for row in rows]
    for row, scored in zip(rows, scores.to_dicts(), strict=True):
        prediction = read_grey(out / "predictions" / f"{row['sample_id']}.png", (row["height"], row["width"]))
        assert (prediction == to_bytes(predict(drawn.image(row)))).all()
        place = {"sample_id": row["sample_id"], "split": row["split"], "fold": -1}
        assert scored == place | score_image(drawn.target(row), prediction)


def test_splits_of_one_peer_are_merged_and_another_is_refused(drawn: Dataset, bright: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score_peer(open_peer(str(bright), UNIT), drawn, out, ["val"])
    merged = score_peer(open_peer(str(bright), UNIT), drawn, out, ["test"])
    assert set(merged["split"]) == {"val", "test"}
    config = (out / "config.json").read_bytes()
    for other, flip in ((open_peer(GRABCUT, InputSpec()), False), (open_peer(str(bright), UNIT), True)):
        with pytest.raises(ExistsError, match=r"holds another run. Choose another --out"):
            score_peer(other, drawn, out, ["test"], flip=flip)
    assert (out / "config.json").read_bytes() == config


def test_a_folder_says_what_it_is(drawn: Dataset, bright: Path, tmp_path: Path) -> None:
    score_peer(open_peer(str(bright), UNIT), drawn, tmp_path / "onnx", ["test"], flip=True)
    told = json.loads((tmp_path / "onnx" / "config.json").read_bytes())
    assert (told["peer"], told["flip"], told["settings"]["normalise"]) == ("bright.onnx", True, "unit")
    assert len(told["settings"]["sha256"]) == 64
    assert (tmp_path / "onnx" / told["dataset"]).resolve() == drawn.root.resolve()
    assert told["digest"] == drawn.header.digest


def test_review_works_on_a_peers_folder_and_what_needs_a_model_refuses_it(
    drawn: Dataset, bright: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scores = score_peer(open_peer(str(bright), UNIT), drawn, out, ["train", "val"])
    assert find_failures(open_run(out)).height == scores.height
    with pytest.raises(UsageError, match=r"holds the scores of bright\.onnx, no trained model\. To score it: curate "):
        read_config(out)


def test_a_model_that_fails_leaves_the_table_as_it_was(drawn: Dataset, tmp_path: Path) -> None:
    broken = Peer("x.onnx", {}, lambda image: (_ for _ in ()).throw(FormatError("x.onnx", "fails on an image")))
    with pytest.raises(FormatError, match="fails on an image"):
        score_peer(broken, drawn, tmp_path / "out", ["test"])
    assert not (tmp_path / "out" / "scores.parquet").exists()


@pytest.mark.parametrize(
    ("word", "expected"), [("grabcut", True), ("m.onnx", True), ("M.ONNX", True), ("./grabcut", False), ("run", False)]
)
def test_what_is_a_peer(word: str, expected: bool) -> None:
    assert is_peer(word) == expected


def test_a_run_whose_folder_ends_like_a_model_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.onnx").mkdir()
    assert not is_peer(str(tmp_path / "run.onnx"))


def test_the_command_scores_peers(drawn: Dataset, bright: Path, tmp_path: Path) -> None:
    words = ["score", bright, drawn.root, "--normalise", "unit", "--split", "train", "--json", "--out"]
    printed = {}
    for name, more in (("plain", []), ("flip", ["--flip"])):
        result = run(*words, tmp_path / name, *more)
        assert result.exit_code == 0, result.exception
        assert "in-sample" not in result.stderr
        printed[name] = json.loads(result.stdout)["train"]
    scores = read_table(tmp_path / "plain" / "scores.parquet", schema.SCORES)
    assert printed["plain"]["mean_iou"] == pytest.approx(scores["iou"].mean())
    low, high = printed["plain"]["intervals"]["mean_iou"]
    assert low <= printed["plain"]["mean_iou"] <= high
    # The model looks at each pixel by itself: its mirror image changes nothing but rounding.
    assert printed["flip"]["mean_iou"] == pytest.approx(printed["plain"]["mean_iou"], abs=0.02)
    result = run("score", GRABCUT, drawn.root, "--split", "test", "--out", tmp_path / "cut")
    assert result.exit_code == 0, result.exception
    assert result.stdout.splitlines()[1].split() == ["images", "2"]
    assert pl.read_parquet(tmp_path / "cut" / "scores.parquet").height == 2


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["grabcut"], UsageError, "grabcut: DATASET is missing: what to score it on. For example: curate train score"),
        (["grabcut", "{data}"], UsageError, "grabcut: --out RUN is missing: its folder. For example: "),
        (["grabcut", "{data}", "--out", "o", "--layout", "nchw"], UsageError, "grabcut: is no ONNX model. Leave"),
        (["none.onnx", "{data}", "--out", "o"], MissingError, "none.onnx: no such model"),
        (["{bright}", "{data}", "--out", "o"], UsageError, "does not say how its input is normalised"),
        (["{bright}", "{data}", "--out", "o", "--input-size", "x"], UsageError, "--input-size x: is no size"),
        (["{run}", "--normalise", "unit"], UsageError, "is a run, no .onnx file. Leave --input-size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_line(
    words: list[str],
    error: type[CurateError],
    message: str,
    drawn: Dataset,
    bright: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("score", *(word.format(data=drawn.root, bright=bright, run=finished) for word in words))
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "o").exists()
