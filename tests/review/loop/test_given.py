"""What people give a loop: a run to begin with, corrected labels and verdicts between rounds."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table
from curate.errors import ExistsError, FormatError, MissingError, UsageError, VersionError
from curate.files import sha256_file
from curate.masks import PERSON
from label.importing import Request, import_labels
from review.loop.config import RETRAIN_LR, arm_config, configured
from review.loop.given import other_labels, read_given, replaced_labels
from review.loop.report import write_report
from review.loop.run import read_loop, run_loop
from review.loop.status import loop_status
from tests.review.loop.making import FIT, configure, of_split, quiet, write_labels
from tests.train.making import make_dataset
from train.config import encode_config, read_config, relative
from train.scoring.metrics import score_image, summarise
from train.scoring.score import check_unlearnt, score


def test_a_finished_run_is_the_base(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "loop"
    (result,) = run_loop(pooled, out, configure(pooled, out, start=run), quiet)
    assert not (out / "base").exists()
    assert (out / result.base).resolve() == run.resolve()
    control = read_config(out / "round-1/control")
    assert (out / "round-1/control" / control.weights).resolve() == (run / "best.safetensors").resolve()
    assert (control.encoder, control.size, control.folds, control.seed) == ("mobilenet_v2", 32, 0, 1)
    assert result.out_of_fold
    assert dict(loop_status(out))["base"] == "done"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet18"}, "--encoder resnet18: .*first has mobilenet_v2, and its weights fit no other"),
        ({"folds": 3}, "--folds: is about the base, and --from .*first is one. Leave either out"),
        ({"epochs": 3}, "--epochs: is about the base"),
    ],
)
def test_options_that_contradict_the_run(
    pooled: Dataset, run: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    from review.loop.config import loop_config

    with pytest.raises(UsageError, match=message):
        loop_config(pooled, tmp_path, options, rounds=1, budget="1", start=run)


def test_a_run_that_is_not_finished_is_no_base(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half/config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(MissingError, match=r"--from .*half: is not finished. Finish it with: curate train fit"):
        configure(pooled, tmp_path / "loop", start=tmp_path / "half")
    with pytest.raises(MissingError, match=r"--from .*people: is no run \(no config.json in it\)"):
        configure(pooled, tmp_path / "loop", start=pooled.root)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/loop.json").write_text("{}")
    with pytest.raises(MissingError, match=r"--from .*other: is a loop, no run. Name a run of it: curate loop status"):
        configure(pooled, tmp_path / "loop", start=tmp_path / "other")


def test_an_ensemble_needs_fold_models(pooled: Dataset, tmp_path: Path) -> None:
    from review.loop.config import loop_config

    with pytest.raises(
        UsageError, match=r"--ensemble: is the mean of fold models, and there are none\. Pass --folds 3"
    ):
        loop_config(pooled, tmp_path, {**FIT, "folds": 0}, rounds=1, budget="1", ensemble=True)


@pytest.fixture(scope="module")
def corrected(pooled: Dataset, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop of two rounds; between them came labels of a training, a validation, a test and a pool image."""
    place = tmp_path_factory.mktemp("corrected")
    out, names = place / "loop", [of_split(pooled, split)[0] for split in ("train", "val", "test", "pool")]
    run_loop(pooled, out, configure(pooled, out, start=run), quiet)
    labels = write_labels(pooled, place / "labels", names)
    verdicts = {of_split(pooled, "train")[1]: "exclude"}
    run_loop(pooled, out, configure(pooled, out, start=run, rounds=2), quiet, labels=labels, verdicts=verdicts)
    return out


def test_labels_come_in_between_rounds(pooled: Dataset, corrected: Path) -> None:
    version = open_dataset(corrected / "round-2/dataset")
    assert version.header.parent == pooled.header.digest
    digests = {arm: read_config(corrected / "round-2" / arm).digest for arm in ("control", "labels", "candidate")}
    learnt = open_dataset(corrected / "round-2/control-dataset")
    new = version.header.digest
    assert digests == {"control": learnt.header.digest, "labels": new, "candidate": new}
    _, (first, second) = read_loop(corrected)
    assert (first.corrected, second.corrected) == (0, 4)
    assert list(second.table) == ["before", "control", "labels", "after"]
    mined = read_table(corrected / "round-2/mined.parquet", schema.MINED)
    excluded = mined.filter(pl.col("reason") == "a reviewer said exclude")
    assert excluded["sample_id"].to_list() == [of_split(pooled, "train")[1]]
    assert (
        read_table(corrected / "round-1/mined.parquet", schema.MINED)
        .filter(pl.col("reason").str.contains("reviewer"))
        .is_empty()
    )


def test_all_arms_are_judged_by_the_corrected_labels(pooled: Dataset, corrected: Path) -> None:
    from curate.images import read_grey

    version = open_dataset(corrected / "round-2/dataset")
    _, (_, second) = read_loop(corrected)
    for name, place in second.runs.items():
        scores = read_table(corrected / place / "scores.parquet", schema.SCORES).filter(split="test")
        assert second.table[name] == summarise(scores)
        for row in version.rows("test"):
            grey = read_grey(
                corrected / place / "predictions" / f"{row['sample_id']}.png", (row["height"], row["width"])
            )
            expected = score_image(version.target(row), grey)["fn"]
            assert scores.filter(sample_id=row["sample_id"])["fn"][0] == expected, (name, row["sample_id"])


def test_the_control_learns_the_labels_as_they_were_and_is_judged_by_the_new_ones(
    pooled: Dataset, corrected: Path
) -> None:
    learnt, version = (open_dataset(corrected / "round-2" / name) for name in ("control-dataset", "dataset"))

    def masks(dataset: Dataset, *splits: str) -> dict[str, str]:
        return {row["sample_id"]: row["mask_sha256"] for row in dataset.rows(*splits)}

    assert masks(learnt, "train", "background") == masks(pooled, "train", "background")
    assert masks(learnt, "val", "test") == masks(version, "val", "test") != masks(pooled, "val", "test")
    for row in learnt.rows("train"):
        assert sha256_file(learnt.root / row["mask"]) == row["mask_sha256"]


def test_the_report_tells_labels_from_mining(pooled: Dataset, corrected: Path) -> None:
    _, (_, second) = read_loop(corrected)
    means = {name: summary.mean_iou for name, summary in second.table.items()}
    by_labels, by_mining = (
        next(one for one in second.earned[name] if one.name == "image mean IoU") for name in ("labels", "mining")
    )
    assert by_labels.difference == pytest.approx(means["labels"] - means["control"])  # type: ignore[operator]
    assert by_mining.difference == pytest.approx(means["after"] - means["labels"])  # type: ignore[operator]
    html = write_report(pooled, corrected).read_text()
    for words in ("What earned it", "the labels (labels − control)", "4 new or corrected labels", "What to label next"):
        assert words in html


def test_a_finished_loop_says_that_labels_came_too_late(
    pooled: Dataset, run: Path, corrected: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    labels = write_labels(pooled, tmp_path / "late", of_split(pooled, "train")[:1])
    before = (corrected / "round-2/verdict.json").read_bytes()
    run_loop(pooled, corrected, configure(pooled, corrected, start=run, rounds=2), said.append, labels=labels)
    assert said[-1] == f"note: every round had begun without --labels {labels}. Go on: --rounds 3"
    assert (corrected / "round-2/verdict.json").read_bytes() == before


def test_a_loop_never_forgets_a_round(pooled: Dataset, run: Path, corrected: Path) -> None:
    with pytest.raises(UsageError, match=r"--rounds 1: .*loop has begun 2 rounds. Leave --rounds out"):
        run_loop(pooled, corrected, configure(pooled, corrected, start=run, rounds=1), quiet)
    plain, _ = configured(pooled, corrected, {"start": run, "budget": "1", "to": "cvat", "ensemble": False}, {}, None)
    assert plain.rounds == 2, "without --rounds it is as many as before"


def test_a_label_that_a_reviewer_asked_for_and_got_is_learnt_from(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    first, second = of_split(pooled, "train")[:2]
    out, labels = tmp_path / "loop", write_labels(pooled, tmp_path / "labels", [first])
    verdicts = {first: "relabel", second: "relabel"}
    (result,) = run_loop(pooled, out, configure(pooled, out, start=run), quiet, labels=labels, verdicts=verdicts)
    mined = read_table(out / "round-1/mined.parquet", schema.MINED)
    weights = dict(mined.select("sample_id", "weight").iter_rows())
    assert weights[first] > 0
    assert weights[second] == 0
    with zipfile.ZipFile(out / "round-1/to-label.zip") as archive:
        offered = {Path(name).stem for name in archive.namelist()}
    assert second in offered
    assert first not in offered
    assert result.mined["left out"] >= 1


def test_labels_never_hold_out_what_the_base_has_learnt_from(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    labels = write_labels(pooled, tmp_path / "labels", of_split(pooled, "train")[:1])
    import_labels(pooled, tmp_path / "people-2", Request(labels))
    version = open_dataset(tmp_path / "people-2")
    moved = pl.when(pl.col("sample_id") == of_split(pooled, "train")[1]).then(pl.lit("val")).otherwise("split")
    other = replace(version, scan=version.samples.with_columns(split=moved).lazy())
    with pytest.raises(UsageError, match=r"is in val, and .*first learnt from it or from one like it"):
        check_unlearnt(run, other)


@pytest.mark.long
def test_scores_made_in_another_manner_are_made_again_elsewhere(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    flipped = tmp_path / "flipped"
    shutil.copytree(run, flipped)
    config = msgspec.structs.replace(read_config(run), dataset=relative(pooled.root, flipped))
    (flipped / "config.json").write_bytes(encode_config(config))
    score(flipped, flip=True)
    before = (flipped / "scores.parquet").read_bytes()
    results = []
    for start in (run, flipped):
        out = tmp_path / f"loop-{start.name}"
        (result,) = run_loop(pooled, out, configure(pooled, out, start=start), quiet)
        results.append(result)
    assert results[0].table == results[1].table
    assert results[1].runs["before"] == "round-1/judged/before"
    assert (flipped / "scores.parquet").read_bytes() == before


@pytest.mark.long
def test_a_loop_from_an_arm_learns_as_the_arm_did(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run_loop(pooled, one, configure(pooled, one, start=run), quiet)
    arm = one / "round-1/candidate"
    config = configure(pooled, two, start=arm)
    again = arm_config(config.fit, config.retrain_lr, arm, epochs=1, number=1, images=12)
    assert again.lr == read_config(arm).lr == FIT["lr"] * RETRAIN_LR
    assert (config.fit.epoch_images, config.fit.folds) == (None, 0)


def test_a_version_is_as_good_as_an_export(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    labels = write_labels(pooled, tmp_path / "labels", of_split(pooled, "train")[:2])
    import_labels(pooled, tmp_path / "people-2", Request(labels))
    out = tmp_path / "loop"
    (result,) = run_loop(pooled, out, configure(pooled, out, start=run), quiet, labels=tmp_path / "people-2")
    assert result.corrected == 2
    assert read_config(out / "round-1/labels").digest == open_dataset(tmp_path / "people-2").header.digest


def test_labels_in_the_first_round_are_told_of_a_base_nobody_looked_at(
    pooled: Dataset, run: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(run, run.parent / "nobody-looked"))
    (base / "failures.parquet").unlink(missing_ok=True)
    names = [of_split(pooled, split)[0] for split in ("train", "test")]
    labels, out = write_labels(pooled, tmp_path / "labels", names), tmp_path / "loop"
    run_loop(pooled, out, configure(pooled, out, start=base), quiet, labels=labels)
    assert "What earned it" in write_report(pooled, out).read_text()
    assert not (base / "failures.parquet").exists()


def test_labels_that_are_there_already_change_nothing(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "loop", list[str]()
    (result,) = run_loop(pooled, out, configure(pooled, out, start=run), said.append, labels=pooled.root)
    assert result.corrected == 0
    assert "labels" not in result.table


def test_labels_that_fit_no_image_are_refused_and_a_mended_call_goes_on(
    pooled: Dataset, run: Path, tmp_path: Path
) -> None:
    out, config = tmp_path / "loop", configure(pooled, tmp_path / "loop", start=run)
    other = make_dataset(tmp_path / "other", ("train",) * 3)
    strange = write_labels(other, tmp_path / "strange", of_split(other, "train"))
    for path in strange.iterdir():
        path.rename(strange / f"nobody-{path.name}")
    with pytest.raises(FormatError, match=r"strange: none of its labels can be used: .*nobody-drawn-000.png"):
        run_loop(pooled, out, config, quiet, labels=strange)
    with pytest.raises(VersionError, match=r"is no later version of .*people: it lacks drawn-003"):
        run_loop(pooled, out, config, quiet, labels=other.root)
    assert not out.exists(), "nothing was begun"
    assert len(run_loop(pooled, out, config, quiet)) == 1
    with pytest.raises(ExistsError, match="holds a loop begun with --budget 1, not 2"):
        run_loop(pooled, out, configure(pooled, out, start=run, budget="2"), quiet)


def test_a_first_label_is_doubted_like_any_other(pooled: Dataset, tmp_path: Path) -> None:
    names = [of_split(pooled, split)[0] for split in ("train", "pool")]
    import_labels(pooled, tmp_path / "newer", Request(write_labels(pooled, tmp_path / "labels", names)))
    newer = open_dataset(tmp_path / "newer")
    assert other_labels(pooled, newer) == set(names)
    assert replaced_labels(pooled, newer) == {names[0]}, "at the other nobody has looked twice"


def test_decisions_stay_in_force(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    out, (gone, sound, asked, *_) = tmp_path / "loop", of_split(pooled, "train")
    first = {gone: "exclude", asked: "relabel"}
    run_loop(pooled, out, configure(pooled, out, start=run), quiet, verdicts=first)
    labels = write_labels(pooled, tmp_path / "labels", [asked])
    config, said = configure(pooled, out, start=run, rounds=2), list[str]()
    second = {sound: "ok", of_split(pooled, "test")[0]: "exclude"}
    run_loop(pooled, out, config, said.append, labels=labels, verdicts=second)
    assert read_given(out / "round-2").verdicts == first | second
    assert "round 2: 3 decisions in force" in said
    assert "Decisions of people in force: 1 exclude, 1 ok, 1 relabel." in write_report(pooled, out).read_text()
    for number, left_out in ((1, [gone, asked]), (2, [gone])):
        mined = read_table(out / f"round-{number}/mined.parquet", schema.MINED)
        assert mined.filter(pl.col("weight") == 0)["sample_id"].to_list() == sorted(left_out), "a label has come"


@pytest.fixture
def finished(pooled: Dataset, once: Path, tmp_path: Path) -> Path:
    """A loop of one round from the run `replaced` beside the dataset, which may be changed."""
    place = pooled.root.parent / tmp_path.name
    shutil.copytree(once, place)
    return place


@pytest.fixture(scope="module")
def once(pooled: Dataset, run: Path) -> Path:
    out, base = pooled.root.parent / "once", pooled.root.parent / "replaced"
    shutil.copytree(run, base)
    run_loop(pooled, out, configure(pooled, out, start=base), quiet)
    return out


def write_known(dataset: Dataset, folder: Path) -> Path:
    """A label that equals the mask that is there."""
    folder.mkdir()
    row = dataset.rows("train")[0]
    mask = np.where(dataset.target(row) == PERSON, 255, 0).astype(np.uint8)
    Image.fromarray(mask).save(folder / f"{row['sample_id']}.png")
    return folder


def zip_names(path: Path, suffix: str) -> list[str]:
    """The entries of a zip of one kind."""
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if name.endswith(suffix)]


def test_a_round_is_not_repeated_with_another_seed(pooled: Dataset, finished: Path, tmp_path: Path) -> None:
    said, base = list[str](), pooled.root.parent / "replaced"
    config = configure(pooled, finished, start=base, rounds=3, to="labelme")
    assert zip_names(finished / "round-1/to-label.zip", ".xml"), "for cvat"
    results = run_loop(pooled, finished, config, said.append, labels=write_known(pooled, tmp_path / "known"))
    assert results[0].to == "labelme"
    assert not zip_names(finished / "round-1/to-label.zip", ".xml")
    names = zip_names(finished / "round-1/to-label.zip", ".json")
    assert sum(name.startswith("images/") for name in names) == results[0].offered > 0
    assert read_loop(finished)[0] == config, "further rounds, and for another tool"
    assert [result.promoted for result in results] == [False], "four images of validation never are enough"
    (told,) = [line for line in said if "not begun" in line]
    assert "round 2 is not begun, for round 1 was not promoted and nothing has come in since" in told
    assert not (finished / "round-2").exists()
    steps = dict(loop_status(finished))
    assert steps["round 2"] == "not begun: nothing has come in since round 1, which was not promoted"
    write_report(pooled, finished)
    page = (finished / "report.html").read_text()
    assert "2 of 3 rounds are not begun: nothing has come in since round 1" in page
    assert "what was not promoted; what the base gets wrong stands below" in page
    assert "for labelme." in page
    copied = Path(shutil.copytree(finished, tmp_path / "copied", copy_function=shutil.copyfile))
    assert dict(loop_status(copied))["report"] == "done", "whatever the times of its files are"
    states = dict(loop_status(finished)).values()
    assert not [state for state in states if state.startswith(("next", "to do"))], "it is at its end"


def test_the_run_to_begin_with_is_only_read(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    """Its test images, scored there, would turn up in whoever reviews it; and two loops may begin with it at once."""
    base = pooled.root.parent / "read-only"
    shutil.copytree(run, base)
    (base / "scores.parquet").chmod(0o444)
    before = read_table(base / "scores.parquet", schema.SCORES)
    out = tmp_path / "loop"
    (result,) = run_loop(pooled, out, configure(pooled, out, start=base), quiet)
    assert read_table(base / "scores.parquet", schema.SCORES).equals(before)
    assert "test" not in before["split"]
    assert result.runs["before"] == "round-1/judged/before"
    assert result.table["before"].images == result.test_images


def test_an_older_version_would_lose_labels(pooled: Dataset, run: Path, corrected: Path, tmp_path: Path) -> None:
    out = tmp_path / "loop"
    shutil.copytree(corrected, out)
    config = configure(pooled, out, start=run, rounds=3)
    with pytest.raises(VersionError, match=r"is version 1, and the labels of version 2 .* would be lost"):
        run_loop(pooled, out, config, quiet, labels=pooled.root)
    assert not (out / "round-3").exists()


def test_a_dataset_may_have_moved(pooled: Dataset, finished: Path, tmp_path: Path) -> None:
    moved = open_dataset(Path(shutil.copytree(pooled.root, tmp_path / "elsewhere")))
    config = configure(moved, finished, start=pooled.root.parent / "replaced")
    assert len(run_loop(moved, finished, config, quiet)) == 1
    assert read_loop(finished)[0].dataset == config.dataset


def test_a_damaged_loop_json_costs_no_base(pooled: Dataset, finished: Path) -> None:
    (finished / "loop.json").write_text("{")
    with pytest.raises(FormatError, match=r"loop.json: is damaged .*begin another loop with --from .*base --out NEW"):
        run_loop(pooled, finished, configure(pooled, finished, start=pooled.root.parent / "replaced"), quiet)


def test_another_base_is_noticed(pooled: Dataset, finished: Path) -> None:
    base = pooled.root.parent / "replaced"
    config = configure(pooled, finished, start=base)
    (finished / "round-1/verdict.json").unlink()
    shutil.rmtree(finished / "round-1/candidate")
    shutil.copy(base / "fold-0/best.safetensors", base / "best.safetensors")
    with pytest.raises(VersionError, match=r"replaced: has other weights than when .*round-1 began.*--out NEW"):
        run_loop(pooled, finished, config, quiet)
    assert not (finished / "round-1/candidate").exists()
    (base / "fold-1/best.safetensors").unlink()
    with pytest.raises(MissingError, match=r"fold-1/best.safetensors: is missing, and the loop starts from it"):
        run_loop(pooled, finished, config, quiet)


@pytest.mark.parametrize("named", ["no.zip", "empty"])
def test_labels_that_cannot_be_used_are_refused_before_the_base(pooled: Dataset, tmp_path: Path, named: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises((MissingError, FormatError), match=named):
        run_loop(pooled, tmp_path / "loop", configure(pooled, tmp_path / "loop"), quiet, labels=tmp_path / named)
    assert not (tmp_path / "loop/base").exists()
