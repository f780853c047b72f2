"""Guesses of a model: how sure it is of them, where they go, and that a person's label always wins."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from curate.checks.version import check_dataset
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.errors import ExistsError, UsageError
from curate.guesses import confidences, read_prelabels, returned
from curate.looking.examples import kept_strip
from curate.looking.show import describe_dataset
from curate.masks import PERSON, SizeHW, iou
from curate.person_model import InputSpec
from label.guessing import guess, guess_of
from label.importing import Request, import_labels
from label.options_cli import model_at
from label.prelabel import Model, prelabel
from label.tasks import chosen_rows, send
from label.undo import undo
from tests.drawing import mask
from tests.label.making import Photo, make_dataset, write_png
from tests.onnx_models import brightness

SIZE: SizeHW = (30, 40)
BLANK = np.full(SIZE, 128, np.uint8)
POOL = {"split": "pool", "people": 0, "area": 0.0, "edges": "", "origin": "none"}


def square(side: int, corner: int = 2) -> NDArray[np.bool_]:
    person = np.zeros(SIZE, bool)
    person[corner : corner + side, corner : corner + side] = True
    return person


def shot(path: Path, side: int, level: int, corner: int) -> Path:
    """A photograph of a square, as bright as the model shall be sure of it."""
    grey = np.where(square(side, corner), np.uint8(level), np.uint8(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.dstack([grey] * 3)).save(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model for which the brightness of a pixel is the probability of person."""
    return model_at(brightness(tmp_path / "bright.onnx", (1, 3, *SIZE)), InputSpec(normalise="unit"))


@pytest.fixture
def one(tmp_path: Path) -> Dataset:
    """A labelled image of each split, and of the pool: a sure one, a doubtful one, one without anybody, one tied."""
    label = np.where(square(10), np.uint8(PERSON), np.uint8(0))

    def pool(name: str, side: int, level: int, corner: int = 2, **changes: Any) -> Photo:
        return Photo(BLANK, shot(tmp_path / "photos" / f"{name}.png", side, level, corner), "pool", POOL | changes)

    photos = {
        "pairs-test": Photo(label, changes={"split": "test", "group": "held"}),
        "pairs-train": Photo(label, changes={"fold": 1}),
        "pairs-val": Photo(label, changes={"split": "val"}),
        "pool-doubt": pool("doubt", 12, 153),
        "pool-empty": pool("empty", 12, 60),
        "pool-sure": pool("sure", 14, 242),
        "pool-tied": pool("tied", 14, 250, 15, group="held"),
    }
    return make_dataset(tmp_path / "before", photos)


def rows_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in dataset.rows()}


def side_of(dataset: Dataset, name: str) -> int:
    """The pixels of the person in a mask, as the side of a square."""
    return round(np.count_nonzero(dataset.target(rows_of(dataset)[name]) == PERSON) ** 0.5)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hand_label(folder: Path, name: str, side: int) -> Path:
    return write_png(folder / f"{name}.png", np.where(square(side), np.uint8(255), np.uint8(0))).parent


def test_confidence_is_the_iou_to_be_expected() -> None:
    """Against draws of the truth: each pixel a person with its probability."""
    person = mask("..####....\n..####....\n..####....\n..........")
    probability = np.where(person, np.float32(0.9), np.float32(0.05))
    found = guess_of(probability)
    assert (found.person == person).all()
    assert found.confidence == pytest.approx(12 * 0.9 / (12 + 28 * 0.05))
    draws = np.random.default_rng(0).random((4000, *person.shape)) < probability
    assert found.confidence == pytest.approx(np.mean([iou(person, truth) for truth in draws]), abs=0.01)
    assert guess_of(person.astype(np.float32)).confidence == 1.0
    nobody = guess_of(np.full((4, 4), 0.49, np.float32))
    assert (nobody.person.any(), nobody.confidence, nobody.regions) == (False, 0.0, [])


def test_each_region_has_its_box_area_and_confidence() -> None:
    probability = np.zeros((20, 40), np.float32)
    probability[2:12, 1:11], probability[14:16, 30:35] = 0.9, 0.6
    probability[15, 38] = 0.4  # nearest to the small one
    found = guess_of(probability)
    assert [(one["bbox_xywh"], one["area_px"]) for one in found.regions] == [
        ([1, 2, 10, 10], 100),
        ([30, 14, 5, 2], 10),
    ]
    assert [one["confidence"] for one in found.regions] == pytest.approx([0.9, 6 / 10.4])
    assert found.confidence == pytest.approx(96 / 110.4)
    probability[19, 0] = 0.6
    assert len(guess_of(np.kron(probability, np.ones((3, 3), np.float32))).regions) == 2, "a crumb is not told"


def test_the_mean_of_an_image_and_its_mirror_image_counts() -> None:
    """Of a model that sees the left half alone, the mean of both is half sure of either."""

    def left_half(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        chances = image[:, :, 0].astype(np.float32) / 255
        chances[:, chances.shape[1] // 2 :] = 0
        return chances

    image = np.full((4, 6, 3), 255, np.uint8)
    found = guess(image, left_half)
    assert (found.person.all(), found.confidence) == (True, 0.5)


def test_guesses_stay_in_the_pool_and_are_no_labels(one: Dataset, model: Model, tmp_path: Path) -> None:
    before = contents(one.root)
    found = prelabel(one, tmp_path / "two", model)
    two = open_dataset(tmp_path / "two")
    assert (found.status, found.guessed, found.nobody) == (
        "written", ["pool-doubt", "pool-sure", "pool-tied"], ["pool-empty"],
    )  # fmt: skip
    assert (found.accepted, found.held_back, found.left_out) == ([], [], {})
    old, new = rows_of(one), rows_of(two)
    unchanged = [name for name in old if old[name] == new[name]]
    assert unchanged == ["pairs-test", "pairs-train", "pairs-val", "pool-empty"]
    sure = new["pool-sure"]
    assert {name for name in sure if sure[name] != old["pool-sure"][name]} == {
        "mask_sha256", "area", "people", "origin",
    }  # fmt: skip
    assert (sure["split"], sure["origin"], sure["people"], side_of(two, "pool-sure")) == ("pool", "model", 1, 14)
    assert contents(one.root) == before
    assert check_dataset(two.root).findings == []
    assert check_dataset(two.root).remarks == []
    captions = {tile.note: tile.caption for tile in kept_strip(two.root, two.samples).tiles}
    assert (captions["pool-sure"], captions["pool-empty"]) == ("16 %, a model's guess", "no label yet")
    overview = describe_dataset(two)
    assert (overview.labelled, overview.people["1"], overview.origins["model"]) == (3, 3, 3)
    assert two.header.recipe["rules"] == {"min_people": 1}
    assert (two.header.parent, two.header.version) == (one.header.digest, 2)


def test_the_record_tells_the_confidence_of_images_and_regions(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model)
    told = read_prelabels(tmp_path / "two")
    assert told["sample_id"].to_list() == ["pool-doubt", "pool-sure", "pool-tied"]
    assert told["confidence"].to_list() == pytest.approx([0.6, 242 / 255, 250 / 255])
    assert told["regions"].to_list()[1] == [
        {"bbox_xywh": [2, 2, 14, 14], "area_px": 196, "confidence": told["confidence"][1]}
    ]
    assert set(told["model"]) == {"bright.onnx"}
    assert confidences(open_dataset(tmp_path / "two")).keys() == {"pool-doubt", "pool-sure", "pool-tied"}


def test_sure_guesses_enter_training_and_nothing_else(one: Dataset, model: Model, tmp_path: Path) -> None:
    found = prelabel(one, tmp_path / "two", model, 0.9)
    two = open_dataset(tmp_path / "two")
    assert (found.accepted, found.held_back) == (["pool-sure"], ["pool-tied"])
    row = rows_of(two)["pool-sure"]
    assert (row["split"], row["origin"], row["tags"]) == ("train", "model", ["pseudo"])
    assert row["weight"] == pytest.approx(242 / 255)
    assert row["fold"] in (0, 1)
    assert rows_of(two)["pool-tied"]["split"] == "pool", "it looks like an image of the test split"
    assert {row["origin"] for row in two.rows("val", "test")} == {"polygon"}
    assert check_dataset(two.root).findings == []
    assert describe_dataset(two).labelled == 3


def test_whom_a_reviewer_wants_labelled_is_not_accepted(one: Dataset, model: Model, tmp_path: Path) -> None:
    wanted = pl.when(pl.col("sample_id") == "pool-sure").then(pl.lit(["relabel"])).otherwise("tags").alias("tags")
    tagged = dataclasses.replace(one, scan=one.samples.with_columns(wanted).lazy())
    found = prelabel(tagged, None, model, 0.9)
    assert (found.accepted, found.held_back) == ([], ["pool-sure", "pool-tied"])


def test_a_pseudo_label_that_breaks_a_rule_of_the_build_is_tagged(one: Dataset, model: Model, tmp_path: Path) -> None:
    path = one.root / "dataset.json"
    recipe = {"min-area": 0.2, "max-people": 1, "max-parts": 1, "where": "source = 'pairs'"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": recipe}))
    prelabel(open_dataset(one.root), tmp_path / "two", model, 0.9)
    two = open_dataset(tmp_path / "two")
    assert rows_of(two)["pool-sure"]["tags"] == ["pseudo", "rule:area", "rule:where"]
    findings = [finding for finding in check_dataset(two.root).findings if "pool" in finding.where]
    assert findings == []
    again = prelabel(two, None, model)
    assert again.samples.filter(sample_id="pool-sure")["tags"].to_list() == [[]]


def test_it_is_there_already_or_nothing_changes_or_something_else_is_there(
    one: Dataset, model: Model, tmp_path: Path
) -> None:
    first = prelabel(one, tmp_path / "two", model, 0.9)
    before = contents(tmp_path / "two")
    (tmp_path / ".two.masks").mkdir()  # of a process that was killed between the last step and the end
    second = prelabel(one, tmp_path / "two", model, 0.9)
    assert not (tmp_path / ".two.masks").exists()
    assert (second.status, second.header, second.guessed, second.accepted) == (
        "there already", first.header, first.guessed, first.accepted,
    )  # fmt: skip
    assert second.prelabels.equals(first.prelabels)
    assert contents(tmp_path / "two") == before
    with pytest.raises(ExistsError, match="--force"):
        prelabel(one, tmp_path / "two", model)
    prelabel(one, tmp_path / "three", model, 0.9)
    assert contents(tmp_path / "three") == before, "the same inputs give the same bytes"
    two = open_dataset(tmp_path / "two")
    assert prelabel(two, tmp_path / "four", model, 0.9).status == "unchanged"
    assert not (tmp_path / "four").exists()
    assert prelabel(one, None, model).status == "dry run"
    assert prelabel(one, tmp_path / "two", model, force=True).status == "written"
    with pytest.raises(UsageError, match=r"two: lies inside .*, and a version never changes"):
        prelabel(one, one.root / "two", model)


def test_what_was_accepted_is_decided_anew(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model, 0.9)
    prelabel(open_dataset(tmp_path / "two"), tmp_path / "three", model, 0.99)
    three = open_dataset(tmp_path / "three")
    row = rows_of(three)["pool-sure"]
    assert (row["split"], row["weight"], row["tags"], row["fold"], row["origin"]) == ("pool", 1.0, [], -1, "model")
    assert check_dataset(three.root).findings == []
    assert three.samples.equals(returned(open_dataset(tmp_path / "two").samples))


def test_a_later_guess_of_nobody_empties_the_mask(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model, 0.9)
    blind = Model(model.path, "0" * 64, {}, lambda image: np.zeros(image.shape[:2], np.float32))
    found = prelabel(open_dataset(tmp_path / "two"), tmp_path / "three", blind, 0.9)
    three = open_dataset(tmp_path / "three")
    assert (found.guessed, len(found.nobody), found.median_confidence) == ([], 4, None)
    assert three.samples.equals(one.samples)
    assert check_dataset(three.root).findings == []
    assert confidences(three) == {}


def test_an_image_that_cannot_be_read_is_left_out(one: Dataset, model: Model, tmp_path: Path) -> None:
    (one.root / "images" / "pool-sure.png").write_bytes(b"torn")
    found = prelabel(one, None, model)
    assert list(found.left_out) == ["pool-sure"]
    assert "pool-sure.png" in found.left_out["pool-sure"]
    assert (found.guessed, found.nobody) == (["pool-doubt", "pool-tied"], ["pool-empty"])


def test_a_dataset_without_such_images_is_told(one: Dataset, model: Model, tmp_path: Path) -> None:
    alone = dataclasses.replace(one, scan=one.samples.filter(pl.col("split") != "pool").lazy())
    with pytest.raises(UsageError, match="no image is without a label"):
        prelabel(alone, tmp_path / "two", model)


@pytest.mark.parametrize("policy", ["replace", "union", "intersect", "newest"])
def test_a_hand_label_wins_over_a_guess(policy: str, one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model, 0.9)
    two = open_dataset(tmp_path / "two")
    for name in ("pool-doubt", "pool-sure"):
        hand_label(tmp_path / "hand", name, 6)
    imported = import_labels(two, tmp_path / "three", Request(tmp_path / "hand", on_conflict=policy))
    three = open_dataset(tmp_path / "three")
    assert imported.intake.refusals == []
    for name in ("pool-doubt", "pool-sure"):
        row = rows_of(three)[name]
        assert (side_of(three, name), row["origin"], row["weight"], row["tags"]) == (6, "hand", 1.0, [])
    assert rows_of(three)["pool-sure"]["split"] == "train", "what was learned from is never held out"
    placed = import_labels(one, None, Request(tmp_path / "hand")).intake.changes["pool-doubt"].row
    assert rows_of(three)["pool-doubt"]["split"] == placed["split"], "as an image of the pool without a guess"
    edits = {change.edit["sample_id"]: change.edit for change in imported.intake.edited.values() if change.edit}
    assert edits["pool-doubt"]["iou_old_new"] == pytest.approx(36 / 144), "how far the guess was off"
    assert check_dataset(three.root).findings == []


@pytest.mark.parametrize("tool", ["cvat", "coco", "png", "labelme"])
def test_guesses_that_come_back_untouched_stay_guesses(tool: str, one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model, 0.9)
    two = open_dataset(tmp_path / "two")
    sent = send(two, tmp_path / "out", tool, ["pool-doubt", "pool-sure"], tolerance_px=0).out
    request = Request(sent / "masks" if tool == "png" else sent, tool)
    imported = import_labels(two, tmp_path / "three", request)
    assert (imported.status, sorted(imported.intake.changes)) == ("unchanged", ["pool-doubt", "pool-sure"])
    assert [note.partition(": ")[2] for note in imported.intake.notes] == [
        f"equals the model's guess of {name}; not taken for a label. Where it was looked at: --confirmed"
        for name in ("pool-doubt", "pool-sure")
    ]
    confirmed = import_labels(two, None, dataclasses.replace(request, confirmed=True)).intake
    assert (sorted(confirmed.edited), confirmed.notes) == (["pool-doubt", "pool-sure"], [])


def test_an_annotator_of_label_studio_has_looked_at_the_guess(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model)
    two = open_dataset(tmp_path / "two")
    path = send(two, tmp_path / "out", "labelstudio", ["pool-sure"]).out / "tasks.json"
    (task,) = json.loads(path.read_text())
    (guessed,) = task["predictions"]
    for by, taken in ({"completed_by": {"email": "a@b.c"}}, ["pool-sure"]), ({}, []):
        path.write_text(json.dumps([task | {"annotations": [{"result": guessed["result"], **by}]}]))
        assert list(import_labels(two, None, Request(path)).intake.edited) == taken


def test_a_confirmed_label_that_equals_the_guess_makes_it_a_label(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model, 0.9)
    path = hand_label(tmp_path / "hand", "pool-sure", 14)
    two = open_dataset(tmp_path / "two")
    assert import_labels(two, None, Request(path)).status == "unchanged"
    imported = import_labels(two, tmp_path / "three", Request(path, confirmed=True))
    row = rows_of(open_dataset(tmp_path / "three"))["pool-sure"]
    assert (list(imported.intake.edited), row["origin"], row["weight"], row["tags"]) == (["pool-sure"], "hand", 1.0, [])
    assert check_dataset(tmp_path / "three").findings == []


def test_nobody_is_asked_about_a_guess(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model)
    path = hand_label(tmp_path / "hand", "pool-sure", 6)

    def ask(*_: Any) -> str | None:
        raise AssertionError

    intake = import_labels(open_dataset(tmp_path / "two"), None, Request(path, on_conflict="ask"), ask=ask).intake
    assert list(intake.edited) == ["pool-sure"]


def test_guesses_and_labels_over_them_can_be_taken_back(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model, 0.9)
    two = open_dataset(tmp_path / "two")
    import_labels(two, tmp_path / "three", Request(hand_label(tmp_path / "hand", "pool-sure", 6)))
    undo(open_dataset(tmp_path / "three"), tmp_path / "four", ["pool-sure"])
    four = open_dataset(tmp_path / "four")
    assert four.samples.equals(two.samples)
    assert confidences(four) == confidences(two), "the guess that is back has its confidence"
    undo(two, tmp_path / "five", None)
    assert open_dataset(tmp_path / "five").samples.equals(one.samples)
    assert check_dataset(tmp_path / "five").findings == []


def test_labelling_starts_from_the_guesses_the_least_sure_first(one: Dataset, model: Model, tmp_path: Path) -> None:
    assert [row["sample_id"] for row in chosen_rows(one, None)] == [name for name in rows_of(one) if "pool" in name]
    prelabel(one, tmp_path / "two", model)
    two = open_dataset(tmp_path / "two")
    sent = send(two, tmp_path / "out", "png")
    assert (sent.names, sent.started) == (["pool-doubt", "pool-sure", "pool-tied", "pool-empty"], 3)
    drawn = np.asarray(Image.open(tmp_path / "out" / "masks" / "pool-sure.png")) == PERSON
    assert (drawn == square(14)).all()
    shutil.rmtree(tmp_path / "out" / "images")
    again = import_labels(two, None, Request(tmp_path / "out" / "masks", confirmed=True)).intake
    assert sorted(again.edited) == ["pool-doubt", "pool-sure", "pool-tied"], "a guess that was looked at is a label"


def test_a_guess_is_never_held_out_when_splits_are_made_anew(one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model, 0.9)

    def built(name: str, **options: Any) -> pl.DataFrame:
        build_dataset(make_recipe({"from": str(tmp_path / "two"), **options}), tmp_path / name)
        assert check_dataset(tmp_path / name).findings == []
        assert read_prelabels(tmp_path / name).height == 3
        return open_dataset(tmp_path / name).samples.filter(sample_id="pool-sure")

    kept = built("kept")
    assert kept.select("split", "tags").row(0) == ("train", ["pseudo"])
    for split in ("1/0/99", "3/0/3"):
        anew = built(f"anew-{split[0]}", split=split)
        assert anew.select("split", "origin", "tags", "weight").row(0) == ("pool", "model", [], 1.0)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "--out NEW is missing"),
        (["--dry-run", "--input-size", "64"], 2, "--input-size 64: is no size. Expected height and width in px"),
        (["--dry-run", "--input-size", "64x64"], 2, "takes 30x40 (HxW) and nothing else"),
        (["--dry-run", "--layout", "nhwc"], 1, "takes images of 40 channels"),
        (["--dry-run", "--model", "nothing.onnx"], 1, "nothing.onnx: no such model. Name an .onnx file"),
        (["--dry-run", "--model", "nothing"], 1, "nothing: no such run"),
        (["--dry-run", "--model", "."], 1, ".: is not a run"),
    ],
    ids=["out", "no size", "other size", "layout", "no file", "no run", "folder"],
)
def test_what_cannot_be_done_is_told(
    words: list[str], code: int, told: str, one: Dataset, model: Model, curate: Any
) -> None:
    normalise = [] if "nothing" in words else ["--normalise", "unit"]
    result = curate("label", "prelabel", "before", "--model", "bright.onnx", *normalise, *words)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("error: ")
    assert told in result.err


def test_the_command_says_what_came_of_it(one: Dataset, model: Model, curate: Any, tmp_path: Path) -> None:
    words = ["label", "prelabel", "before", "--model", "bright.onnx", "--normalise", "unit", "--accept-above", "0.9"]
    told = (
        "guessed    3       median confidence 0.949\nnobody     1\naccepted   1       into train, tagged pseudo\n"
        "held back  1       as sure, but beside val or test, or awaiting a hand label\nleft out   0\n"
    )
    assert curate(*words, "--dry-run") == (0, told + "dry run: nothing was written\n", "")
    assert curate(*words, "--out", "two") == (0, told + "two: version 2 of people, 7 images\n", "")
    result = curate(*words, "--out", "two")
    assert result.out.endswith("left out   0\ntwo: holds these guesses already; nothing was written\n")
    found = json.loads(curate(*words, "--out", "two", "--json").out)
    header = open_dataset(tmp_path / "two").header
    assert found == {
        "status": "there already", "guessed": ["pool-doubt", "pool-sure", "pool-tied"], "nobody": ["pool-empty"],
        "accepted": ["pool-sure"], "held_back": [], "left_out": {}, "median_confidence": pytest.approx(242 / 255),
        "out": "two", "version": 2, "digest": header.digest, "parent": one.header.digest,
    }  # fmt: skip


def test_a_model_that_fails_ends_it_in_one_line(one: Dataset, curate: Any, tmp_path: Path) -> None:
    (tmp_path / "bright.onnx").write_bytes(b"torn")
    result = curate("label", "prelabel", "before", "--model", "bright.onnx", "--normalise", "unit", "--out", "two")
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda table: table.with_columns(confidence=pl.lit(1.5)), "confidence"),
        (lambda table: table.with_columns(pl.col("sample_id") + "z"), "guess of nothing"),
        (lambda table: table.reverse(), "order"),
        (lambda table: table.drop("model"), "damaged"),
    ],
    ids=["confidence", "no sample", "order", "column"],
)
def test_a_damaged_record_is_found(damage: Any, kind: str, one: Dataset, model: Model, tmp_path: Path) -> None:
    prelabel(one, tmp_path / "two", model)
    path = tmp_path / "two" / "prelabels.parquet"
    damage(pl.read_parquet(path)).write_parquet(path)
    assert {finding.kind for finding in check_dataset(tmp_path / "two").findings} == {kind}


def test_a_guess_that_is_held_out_is_found(one: Dataset, tmp_path: Path) -> None:
    changes = {"split": "val", "origin": "model"}
    photo = Photo(np.where(square(9), np.uint8(255), np.uint8(0)), changes=changes)
    make_dataset(tmp_path / "two", {"pairs-1": photo})
    assert [finding.kind for finding in check_dataset(tmp_path / "two").findings] == ["guess held out"]
