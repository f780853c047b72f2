"""The loop's report and what a terminal is told of a round."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import msgspec
import polars as pl
import pytest
from markdown_it import MarkdownIt

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.terminal import counted
from review.loop.card import CARD, write_card
from review.loop.cli import round_text
from review.loop.gate import FEWEST_IN_SLICE, TWO_CHANCES, Check
from review.loop.mine import Mining
from review.loop.report import (
    changed_splits,
    chapters_of,
    evidence_words,
    rare_rows,
    suspect_gallery,
    validated_run,
    write_report,
)
from review.loop.round import RoundResult
from review.loop.run import read_loop, run_loop
from review.loop.status import loop_status, run_state
from review.loop.steps import versions_of
from review.loop.times import best_epoch, run_times, runs_of
from tests.review.loop.making import configure, of_split, quiet, write_labels
from train.config import encode_config, read_config
from train.monitoring.log import read_log


@pytest.fixture(scope="module")
def corrected(pooled: Dataset, run: Path) -> Path:
    """A loop of two rounds with an ensemble; between them came labels of one image of each split."""
    out, names = run.parent / "told", [of_split(pooled, split)[0] for split in ("train", "val", "test", "pool")]
    run_loop(pooled, out, configure(pooled, out, start=run, ensemble=True), quiet)
    labels = write_labels(pooled, run.parent / "labels", names)
    config = configure(pooled, out, start=run, ensemble=True, rounds=2)
    run_loop(pooled, out, config, quiet, labels=labels, verdicts={names[0]: "ok"})
    return out


def again(corrected: Path) -> Path:
    """A copy to change, beside it: its paths are relative."""
    out = corrected.parent / "changed"
    shutil.rmtree(out, ignore_errors=True)
    return Path(shutil.copytree(corrected, out))


def rewrite(out: Path, number: int, **changes: object) -> RoundResult:
    """Change a round's verdict.json."""
    path = out / f"round-{number}/verdict.json"
    result = msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=RoundResult), **changes)
    path.write_bytes(msgspec.json.encode(result))
    return result


def text_of(path: Path) -> str:
    """The words of a page, its markup and pictures left out."""
    body = path.read_text().split("<body>", 1)[1]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", body)).replace("&#39;", "'")


def spread_apart(out: Path) -> RoundResult:
    """Give each run of the second round figures of its own."""
    _, (_, last) = read_loop(out)
    table = {
        name: msgspec.structs.replace(summary, mean_iou=0.5 + place / 10, worst_tenth_iou=0.1 + place / 10)
        for place, (name, summary) in enumerate(last.table.items())
    }
    return rewrite(out, 2, table=table)


def test_a_report_begins_with_what_to_use_and_what_to_label(pooled: Dataset, corrected: Path) -> None:
    out = again(corrected)
    last = spread_apart(out)
    top = text_of(write_report(pooled, out)).split("Round 1: before and after")[0]
    assert "None of 2 rounds was promoted." in top
    assert "Use now: ../first, which the loop began with" in top
    assert f"Image mean IoU 0.500, worst tenth 0.100, on the {last.test_images} test images of round 2." in top
    assert f"Label next: {last.offered} image" in top
    assert "in round-2/to-label.zip for cvat." in top


def test_a_report_says_to_use_what_was_promoted(pooled: Dataset, corrected: Path) -> None:
    out = again(corrected)
    spread_apart(out)
    rewrite(out, 2, promoted=True, promotes="round-2/labels", proposed="labels")
    (out / "round-2/to-label.zip").unlink()
    top = text_of(write_report(pooled, out)).split("Round 1: before and after")[0]
    assert "1 of 2 rounds was promoted." in top
    assert "Use now: round-2/labels. Image mean IoU 0.700," in top
    assert "Label next: nothing is waiting." in top


def test_both_that_had_a_chance_are_told_of(pooled: Dataset, corrected: Path) -> None:
    _, (first, second) = read_loop(corrected)
    assert (list(first.checks), list(second.checks)) == (["after"], ["after", "labels"])
    assert second.reasons == [check.words for check in second.checks["after"]]
    shown = text_of(write_report(pooled, corrected))
    assert shown.count(TWO_CHANCES) == 1
    told = round_text(second)
    assert TWO_CHANCES not in round_text(first)
    assert TWO_CHANCES in told
    for check in (*second.checks["after"], *second.checks["labels"]):
        assert f"{'✓' if check.holds else '✗'}{check.words}" in shown
        assert f"  {'holds' if check.holds else 'fails'}  {check.words}\n" in told


def test_a_verdict_of_before_has_its_reasons_alone(pooled: Dataset, corrected: Path) -> None:
    out = again(corrected)
    path = out / "round-1/verdict.json"
    old = {key: value for key, value in json.loads(path.read_bytes()).items() if key != "checks"}
    path.write_text(json.dumps(old | {"reasons": ["for old reasons"]}))
    _, (first, _) = read_loop(out)
    assert first.checks == {}
    assert "·for old reasons" in text_of(write_report(pooled, out))
    assert "  for old reasons\n" in round_text(first)


def test_other_images_in_a_round_are_told(pooled: Dataset, corrected: Path) -> None:
    shown = text_of(write_report(pooled, corrected))
    told = "The validation and test images, or labels of them, are others than in the round before"
    first, second = shown.split("Round 2: before and after")
    assert told not in first
    assert told in second
    assert shown.count("scored once per round, used for no choice") == 2
    assert 'alt="loss and validation IoU by epoch"' in (html := (corrected / "report.html").read_text())
    assert html.count("loss and validation IoU by epoch") == 2, "on axes of their own"
    assert shown.count("Round 2, judged by other validation images than the curves above") == 1


def test_only_splits_that_changed_are_named(pooled: Dataset, corrected: Path) -> None:
    versions = versions_of(pooled, corrected, [1, 2])
    assert changed_splits(*versions[:2]) == []
    assert changed_splits(*versions[1:]) == ["val", "test"]
    control = open_dataset(corrected / "round-2/control-dataset")
    assert changed_splits(versions[2], control) == [], "training labels alone"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [((), [[1, 2, 3]]), ((2,), [[1], [2, 3]]), ((1, 3), [[], [1, 2], [3]])],
)
def test_curves_begin_anew_where_the_validation_images_change(
    changed: tuple[int, ...], expected: list[list[int]]
) -> None:
    results = [SimpleNamespace(round=number) for number in (1, 2, 3)]
    found = chapters_of(results, changed)  # type: ignore[arg-type]
    assert [[one.round for one in chapter] for chapter in found] == expected


def test_no_test_image_is_shown(pooled: Dataset, corrected: Path) -> None:
    out = again(corrected)
    path = out / "round-2/candidate/scores.parquet"
    scores = read_table(path, schema.SCORES)
    write_table(path, scores.with_columns(iou=pl.col("iou") + 0.1))
    shown = text_of(write_report(pooled, out))
    gallery = shown.split("Round 2: the validation images that changed most")[1]
    assert "No test image is shown" in gallery
    assert f"{scores.filter(pl.col('split') == 'val')['iou'].count()} gained more than 0.01 IoU" in gallery
    assert {name for name in scores["sample_id"] if f"{name} +0.100" in gallery} == set(
        scores.filter((pl.col("split") == "val") & pl.col("iou").is_not_null())["sample_id"]
    )


def test_validation_pictures_are_by_the_rounds_own_labels(corrected: Path) -> None:
    _, (first, second) = read_loop(corrected)
    assert validated_run(corrected, first, "before").resolve() == (corrected.parent / "first").resolve()
    assert validated_run(corrected, second, "before") == corrected / "round-2/judged/before"
    assert validated_run(corrected, second, "after") == corrected / "round-2/candidate"


def test_every_slice_is_shown_and_small_ones_are_not_judged(pooled: Dataset, corrected: Path) -> None:
    _, (first, _) = read_loop(corrected)
    assert first.slices
    assert all(one.images < FEWEST_IN_SLICE for one in first.slices)
    shown = text_of(write_report(pooled, corrected))
    for one in first.slices:
        assert f"{one.slice} {one.images}" in re.sub(r"([a-z])(\d)", r"\1 \2", shown)
    page = (corrected / "report.html").read_text()
    assert page.count('<tr class="unjudged"><td>') >= len(first.slices)
    assert "in grey, are too small to tell and not judged" in shown


def test_every_run_is_listed_with_its_best_epoch_and_its_time(pooled: Dataset, corrected: Path, run: Path) -> None:
    config, _ = read_loop(corrected)
    times = run_times(corrected, config)
    assert list(times) == ["base", *(f"round 1: {arm}" for arm in ("control", "candidate"))] + [
        f"round 2: {arm}" for arm in ("control", "labels", "candidate")
    ]
    assert times["round 2: labels"] == sum(line.seconds for line in read_log(corrected / "round-2/labels"))
    shown = text_of(write_report(pooled, corrected))
    for step, seconds in times.items():
        best = best_epoch(runs_of(corrected, config)[step])
        assert re.fullmatch(r"[12] of [12]", best)
        assert f"{step}{' with its fold models' if step == 'base' else ''}{best}{seconds / 60:.1f}" in shown


def test_rare_slices_are_told_with_how_often_they_were_drawn(tmp_path: Path) -> None:
    reasons = ["hard: bite, IoU 0.100; rare: low light", "rare: low light", "rare: noisy", "hard: bite, IoU 0.200", ""]
    rows = [
        {"sample_id": f"s-{place}", "weight": weight, "recipe": "standard", "reason": reason}
        for place, (weight, reason) in enumerate(zip((3.0, 3.0, 1.5, 1.0, 1.0), reasons, strict=True))
    ]
    write_table(tmp_path / "mined.parquet", schema.table(rows, schema.MINED))
    assert rare_rows(tmp_path / "mined.parquet") == [("low light", 2, 3.0), ("noisy", 1, 1.5)]


def test_several_rounds_begin_with_a_line_each(pooled: Dataset, corrected: Path) -> None:
    _, results = read_loop(corrected)
    shown = text_of(write_report(pooled, corrected))
    for result in results:
        decision = "promoted" if result.promoted else "not promoted"
        with_labels = f", with {counted(result.corrected, 'label')}" if result.corrected else ""
        assert f"{result.round}{with_labels}{decision}{result.test_images}" in shown


def test_status_says_which_fold_is_trained(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, begun := tmp_path / "run")
    (begun / "scores.parquet").unlink()
    epochs = read_config(run).epochs
    assert run_state(begun) == f"begun, {epochs} of {epochs} epochs of fold 2 of 2"
    (begun / "fold-1" / "log.jsonl").write_text("")
    assert run_state(begun) == f"begun, {epochs} of {epochs} epochs of fold 1 of 2"


def test_status_says_what_was_given(corrected: Path) -> None:
    steps = dict(loop_status(corrected))
    assert steps["round 1: given"] == "nothing"
    assert steps["round 2: given"] == f"4 labels of {corrected.parent / 'labels'}, 1 decision"
    assert "round 1: guessed" not in steps


def test_status_says_how_many_were_guessed(corrected: Path) -> None:
    out = again(corrected)
    rewrite(out, 1, guessed=3)
    config = read_loop(out)[0]
    learning = msgspec.structs.replace(config, mining=Mining(pool="learn"))
    (out / "loop.json").write_bytes(msgspec.json.encode(learning))
    (out / "round-2/verdict.json").unlink()
    steps = dict(loop_status(out))
    assert (steps["round 1: guessed"], steps["round 2: guessed"]) == ("3 images", "done")


def test_the_ensemble_has_its_interval_and_guesses_of_it_are_distilled(pooled: Dataset, corrected: Path) -> None:
    _, (first, second) = read_loop(corrected)
    [mean] = [one for one in first.earned["ensemble"] if one.name == "image mean IoU"]
    assert (mean.first, mean.second) == (first.table["control"].mean_iou, first.table["ensemble"].mean_iou)
    assert list(second.earned) == ["labels", "mining", "ensemble"]
    out = again(corrected)
    rewrite(out, 1, guessed=2)
    shown = text_of(write_report(pooled, out))
    assert "the ensemble (ensemble − control)" in shown
    told = "2 images of the pool were learnt from under the mean of the guesses of the base and its fold models"
    assert f"{told}, which are so distilled into one." in shown
    assert "(ensemble - control): image mean IoU" in round_text(first)


def test_the_recipe_is_not_called_mining_alone(pooled: Dataset, corrected: Path) -> None:
    _, (_, second) = read_loop(corrected)
    shown = text_of(write_report(pooled, corrected))
    assert "the recipe (after − labels)" in shown
    assert "the recipe, which is the choice of hard images and their augmentation together" in shown
    assert "what the recipe, hard images and their augmentation together, earned beside them" in round_text(second)


def test_suspects_are_of_the_run_that_saw_them_and_none_was_called_fine(corrected: Path) -> None:
    _, results = read_loop(corrected)
    assert evidence_words(results) == "fold models of the base"
    plain = msgspec.structs.replace(results[-1], out_of_fold=False, base="round-1/candidate")
    assert evidence_words([plain]) == "round-1/candidate"
    version, place = open_dataset(corrected / "round-2/dataset"), again(corrected) / "round-2/judged/evidence"
    names = of_split(version, "train")[:2]
    rows = [{"sample_id": name, "suspicion": 0.9, "reason": "odd"} for name in names]
    write_table(place / "suspects.parquet", schema.table(rows, schema.SUSPECTS))
    assert read_table(place / "suspects.parquet", schema.SUSPECTS).height == 2
    [row] = suspect_gallery(version, place, "some run", {names[0]: "ok", names[1]: "hard"}, {names[1]})
    assert row.heading == f"{names[1]}, left out"
    assert row.pictures[0].title.startswith("some run: IoU")


@pytest.mark.parametrize(
    ("suspects", "words"),
    [
        ("leave-out", "in doubt were left out"),
        ("halve", "in doubt were drawn half as often"),
        ("keep", "in doubt were learnt from all the same"),
    ],
)
def test_what_became_of_suspects_is_told_as_it_was(pooled: Dataset, corrected: Path, suspects: str, words: str) -> None:
    out = again(corrected)
    config = msgspec.structs.replace(read_loop(out)[0], mining=Mining(suspects=suspects))
    (out / "loop.json").write_bytes(msgspec.json.encode(config))
    rows = [{"sample_id": of_split(pooled, "train")[1], "suspicion": 0.9, "reason": "odd"}]
    write_table(out / "round-2/judged/evidence/suspects.parquet", schema.table(rows, schema.SUSPECTS))
    assert words in text_of(write_report(pooled, out))


def test_a_finished_loop_is_told_of_once(pooled: Dataset, run: Path, corrected: Path) -> None:
    config, written = configure(pooled, corrected, start=run, ensemble=True, rounds=2), list[int]()
    run_loop(pooled, corrected, config, quiet, finished=lambda: written.append(1))
    assert written == [1], "not once a round"


HOSTILE = "a`\n```\n# b <script>alert(1)</script> [c](https://example.org) ![](x) | \x1b[2J"
"""Opens a tag, a link or a line of its own, or steers the terminal that a card is read in."""


def test_nothing_that_a_stranger_calls_something_is_more_than_text(
    pooled: Dataset, corrected: Path, tmp_path: Path
) -> None:
    """Names of a dataset and an encoder, a tool, a slice, and the reason why an image is hard."""
    out = again(corrected)
    config, (_, last) = read_loop(out)
    hostile = dataclasses.replace(pooled, header=msgspec.structs.replace(pooled.header, name=HOSTILE))
    fit = msgspec.structs.replace(config.fit, encoder=HOSTILE)
    (out / "loop.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(config, fit=fit, to=HOSTILE)))
    slices = [msgspec.structs.replace(one, slice=HOSTILE) for one in last.slices]
    checks = {name: [Check(False, HOSTILE)] for name in last.checks}
    told = rewrite(out, 2, slices=slices, checks=checks, recipes={HOSTILE: 1}, promoted=True)
    mined = read_table(out / "round-2/mined.parquet", schema.MINED)
    write_table(out / "round-2/mined.parquet", mined.with_columns(reason=pl.lit(f"hard: {HOSTILE}")))
    html = write_report(hostile, out).read_text()
    assert "&lt;script&gt;" in html
    assert not re.search(r"<script>alert|<a href=.https|https://example.org[^)]*[\"'>]", html)
    candidate = out / "round-2/candidate"
    trained = msgspec.structs.replace(read_config(candidate), encoder=HOSTILE)
    (candidate / "config.json").write_bytes(encode_config(trained))
    write_card(hostile, out, msgspec.structs.replace(told, promotes="round-2/candidate"), config.mining)
    text = (candidate / CARD).read_text().split("---\n", 2)[2]
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "alert(1)" in shown
    assert not re.search("<script|<a |<img|\x1b", shown)
