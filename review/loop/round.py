"""One round: mine failures, offer what should be labelled, train the arms, decide on validation, test once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.errors import FormatError
from curate.files import write_atomic
from curate.terminal import counted
from curate.threads import map_threads
from label.guessing import guess_of
from label.prelabel import prelabel
from label.rules import build_recipe, split_ratios
from label.tasks import send
from review.compare import SliceDifference
from review.failures import bring_up_to_date
from review.loop.config import arm_config
from review.loop.gate import Verdict, decide
from review.loop.given import Given
from review.loop.mine import SUSPECT_FACTORS, doubted_labels, mine, open_verdicts, with_findings
from review.loop.pool import POOL, accept_above, guesser, search_pool
from review.loop.steps import Told, epochs_of, judged, scores_of, train
from review.paired import Difference, differences
from review.runs import open_run, read_prediction
from review.slices import conditions_of, slices_of
from train.config import FitConfig, relative
from train.data import material
from train.data.folds import training_ids
from train.scoring.figures import groups_of
from train.scoring.metrics import Summary, mean_of, summarise

TO_LABEL = "to-label.zip"
"""What a round offers for labelling, in the round's folder."""

PROPOSED = {"after": "candidate", "labels": "labels"}
"""What may be promoted -> the folder of its run."""


class RoundResult(msgspec.Struct, frozen=True):
    """`round-N/verdict.json`: the decision, and apart from it what the test split says."""

    round: int
    base: str
    """The run that the arms start from, relative to the loop's folder."""
    promoted: bool
    promotes: str
    """The run that the next round starts from, relative to the loop's folder."""
    reasons: list[str]
    """For and against the candidate."""
    epochs: int
    validation: list[Difference]
    """The control first, the candidate second."""
    validation_images: int
    slices: list[SliceDifference]
    """Of the validation images."""
    test: list[Difference]
    test_images: int
    table: dict[str, Summary]
    """A summary of the test split for each run: before, control, labels where corrected ones came in, after, ensemble
    where it is asked for."""
    runs: dict[str, str]
    """Where the test scores of each lie, relative to the loop's folder."""
    evidence: str
    """Where the scores and failures lie that were mined, relative to the loop's folder."""
    earned: dict[str, list[Difference]]
    """Of the test split, where corrected labels came in: what they earned over the control, and mining over them."""
    mined: dict[str, int]
    recipes: dict[str, int]
    """Augmentation -> hard images that are given it."""
    out_of_fold: bool
    corrected: int = 0
    """Labels that people corrected or added before this round."""
    offered: int = 0
    """Images offered for labelling."""
    guessed: int = 0
    """Images of the pool that the candidate learnt from under the model's guesses."""


@dataclass(frozen=True)
class Round:
    """What a round begins with."""

    number: int
    base: Path
    """The run that its arms start from."""
    before: Dataset
    """The version that the control learns from."""
    dataset: Dataset
    """The version with the corrected labels, by which all are judged."""
    corrected: frozenset[str]
    """The images whose label is another one than when the loop began."""
    given: Given
    told: Told

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return round_folder(self.told.out, self.number)

    def say(self, line: str) -> None:
        """Tell what the round is at."""
        self.told.say(f"round {self.number}: {line}")


@dataclass(frozen=True)
class Arms:
    """The runs of a round by their names, where their scores by its labels are."""

    before: Path
    control: Path
    labels: Path | None
    """Learnt the corrected labels without mining; None where there are none."""
    after: Path
    ensemble: Path | None = None

    def items(self) -> list[tuple[str, Path]]:
        """(name, folder) of those that are there."""
        named = {name: getattr(self, name) for name in ("before", "control", "labels", "after", "ensemble")}
        return [(name, folder) for name, folder in named.items() if folder is not None]


def round_folder(out: Path, number: int) -> Path:
    """Where a round lies."""
    return out / f"round-{number}"


def run_round(begun: Round) -> RoundResult:
    """Make what is not there yet of a round; returns its result."""
    begun.say("score the training images and find what fails")
    evidence = _evidence(begun)
    learnt = _guessed(begun, evidence) if begun.told.config.mining.pool == "learn" else begun.dataset
    mined = _mined(begun, evidence, learnt)
    offered = _offer(begun, evidence, mined)
    epochs = epochs_of(begun.told.config.budget, begun.told.base)
    _train_arms(begun, epochs, mined, learnt)
    promotes, verdict = _decided(begun, _judged_arms(begun, "val"))
    begun.say(f"{'promoted' if promotes else 'not promoted'} on validation; now the test split, once")
    arms = _judged_arms(begun, "test")
    for _, run in arms.items():
        bring_up_to_date(open_run(run))
    result = _result(begun, evidence, mined, epochs, promotes, verdict, arms)
    result = msgspec.structs.replace(
        result, offered=offered, guessed=len(learnt.rows("train")) - len(begun.dataset.rows("train"))
    )
    write_atomic(begun.folder / "verdict.json", msgspec.json.format(msgspec.json.encode(result), indent=2))
    return result


def _evidence(begun: Round) -> Path:
    """The run whose errors are mined, scored and with its failures found.

    That is the loop's base where it has fold models, in every round: only they never saw what they are asked about.
    """
    run = begun.told.base if begun.told.base_config.folds else begun.base
    place = judged(begun.dataset, run, ("train", "val"), begun.folder / "judged" / "evidence")
    bring_up_to_date(open_run(place))
    return place


def _guessed(begun: Round, evidence: Path) -> Dataset:
    """The version in which what the model is sure of in the pool is learnt from; the round's own without a pool.

    No image is learnt from that its label, when it comes, would hold out.
    """
    dataset, out = begun.dataset, begun.folder / "guessed"
    if not dataset.rows("pool"):
        begun.say(f"note: --pool learn: {dataset.root} has no pool. Build it with some: curate build --pool DIR")
        return dataset
    threshold = accept_above(*_confidences(dataset, evidence))
    if threshold is None:
        begun.say(
            "note: --pool learn: on training images the model is not right where it is sure; no guess is learnt from"
        )
        return dataset
    model = guesser(begun.told.base, begun.told.base_config, ensemble=begun.told.config.ensemble)
    found = prelabel(dataset, out, model, threshold, ratios=split_ratios(build_recipe(dataset.header)))
    begun.say(f"{counted(len(found.accepted), 'guessed mask')} of the pool to learn from, surer than {threshold:.3f}")
    return dataset if found.status == "unchanged" else open_dataset(out)


def _confidences(dataset: Dataset, evidence: Path) -> tuple[Sequence[float], Sequence[float]]:
    """How sure the model was of each training image, out-of-fold where there are folds, and its IoU."""
    scores = scores_of(evidence, "train").drop_nulls("iou")
    rows = {row["sample_id"]: row for row in dataset.rows("train")}

    def sure(name: str) -> float:
        prediction = read_prediction(evidence, name, (rows[name]["height"], rows[name]["width"]))
        return guess_of(np.asarray(prediction / 255, np.float32)).confidence

    return map_threads(sure, scores["sample_id"].to_list()), scores["iou"].to_list()


def _mined(begun: Round, evidence: Path, learnt: Dataset) -> pl.DataFrame:
    """The round's mined.parquet, made where it is not there yet."""
    path, config = begun.folder / "mined.parquet", begun.told.config
    if path.is_file():
        return read_table(path, schema.MINED)
    mined = mine(
        learnt.samples,
        scores_of(evidence, "train"),
        read_table(evidence / "failures.parquet", schema.FAILURES),
        read_table(evidence / "suspects.parquet", schema.SUSPECTS),
        slices_of(begun.dataset.samples, conditions_of(begun.dataset)),
        begun.given.verdicts,
        begun.corrected,
        config.mining,
        config.fit.augment,
    )
    begun.folder.mkdir(parents=True, exist_ok=True)
    write_table(path, mined)
    return mined


def _offer(begun: Round, evidence: Path, mined: pl.DataFrame) -> int:
    """Write what should be labelled next for the labelling tool; how many images that is.

    First what a reviewer asked for and the labels in doubt, then what of the pool is most worth a label.
    """
    told, path, place = begun.told, begun.folder / "pool.parquet", begun.folder / TO_LABEL
    offer = told.config.mining.offer
    if not path.is_file():
        hard = mined.filter(pl.col("reason").str.starts_with("hard"))["sample_id"].to_list()
        wanted = offer and begun.dataset.rows("pool")
        found = search_pool(begun.dataset, told.base, told.base_config, hard, offer) if wanted else POOL.to_frame()
        write_table(path, found)
    failures, suspects = (
        read_table(evidence / f"{name}.parquet", columns)
        for name, columns in (("failures", schema.FAILURES), ("suspects", schema.SUSPECTS))
    )
    verdicts = open_verdicts(begun.given.verdicts, begun.corrected)
    known = with_findings(begun.dataset.samples, scores_of(evidence, "train"), failures)
    asked = [name for name, verdict in verdicts.items() if verdict == "relabel" and name in set(known["sample_id"])]
    doubted = doubted_labels(known, suspects, verdicts, begun.corrected)
    names = [*dict.fromkeys([*asked, *doubted]), *read_table(path, POOL)["sample_id"].head(offer)]
    if names and not place.is_file():
        begun.say(f"write {counted(len(names), 'image')} to be labelled to {place}")
        send(begun.dataset, place, told.config.to, names)
    return len(names)


def _train_arms(begun: Round, epochs: int, mined: pl.DataFrame, learnt: Dataset) -> None:
    """The control, with corrected labels these alone, and the candidate."""
    length, arm = counted(epochs, "epoch"), arm_of(begun, epochs)
    begun.say(f"control, {length} without mining")
    train(begun.before, begun.folder / "control", arm, None, begun.told)
    if begun.given.dataset:
        begun.say(f"{length} with {counted(begun.given.corrected, 'corrected label')}, without mining")
        train(begun.dataset, begun.folder / "labels", arm, None, begun.told)
    begun.say(f"candidate, {length} with {in_words(mined, begun.told.config.mining.suspects)}")
    train(learnt, begun.folder / "candidate", arm, mined, begun.told)


def arm_of(begun: Round, epochs: int) -> FitConfig:
    """How all arms of a round are trained."""
    config = begun.told.config
    trained = config.fit if config.start else begun.told.base_config
    images = trained.epoch_images or material.counted(begun.before, training_ids(begun.before))
    return arm_config(trained, begun.base, epochs, begun.number, images)


def _judged_arms(begun: Round, split: str) -> Arms:
    """The round's runs, once a split of theirs is scored by its labels."""

    def seen(name: str, run: Path, *, ensemble: bool = False) -> Path:
        return judged(begun.dataset, run, (split,), begun.folder / "judged" / name, ensemble=ensemble)

    together = begun.told.config.ensemble and split == "test"
    return Arms(
        before=seen("before", begun.base),
        control=seen("control", begun.folder / "control"),
        labels=seen("labels", begun.folder / "labels") if begun.given.dataset else None,
        after=seen("candidate", begun.folder / "candidate"),
        ensemble=seen("ensemble", begun.told.base, ensemble=True) if together else None,
    )


def _decided(begun: Round, arms: Arms) -> tuple[str, Verdict]:
    """What is promoted, `after`, `labels` or nothing, and the verdict on the candidate.

    Of two arms that both pass the gate it is the one with the higher image mean on the validation split.
    """
    dataset, seed = begun.dataset, begun.told.config.fit.seed
    groups, slices = groups_of(dataset), slices_of(dataset.samples, conditions_of(dataset))
    scores = {name: scores_of(run, "val") for name, run in arms.items()}
    verdicts = {
        name: decide(scores["before"], scores["control"], scores[name], slices, groups, seed)
        for name in PROPOSED
        if name in scores
    }
    passed = [name for name, verdict in verdicts.items() if verdict.promoted]
    return max(passed, key=lambda name: mean_of(scores[name]["iou"]) or 0.0, default=""), verdicts["after"]


def _result(
    begun: Round, evidence: Path, mined: pl.DataFrame, epochs: int, promotes: str, verdict: Verdict, arms: Arms
) -> RoundResult:
    out, groups, seed = begun.told.out, groups_of(begun.dataset), begun.told.config.fit.seed
    test = {name: scores_of(run, "test") for name, run in arms.items()}
    pairs = {"labels": ("control", "labels"), "mining": ("labels", "after")} if arms.labels else {}
    hard = mined.filter(pl.col("reason").str.starts_with("hard"))
    reasons = verdict.reasons
    if promotes == "labels":
        reasons = [*reasons, "the corrected labels alone pass, and are promoted without mining"]
    return RoundResult(
        round=begun.number,
        base=relative(begun.base, out),
        promoted=bool(promotes),
        promotes=relative(begun.folder / PROPOSED[promotes] if promotes else begun.base, out),
        reasons=reasons,
        epochs=epochs,
        validation=verdict.figures,
        validation_images=verdict.images,
        slices=verdict.slices,
        test=differences(test["control"], test["after"], groups, seed),
        test_images=test["after"].height,
        table={name: summarise(frame) for name, frame in test.items()},
        runs={name: relative(run, out) for name, run in arms.items()},
        evidence=relative(evidence, out),
        earned={name: differences(test[one], test[other], groups, seed) for name, (one, other) in pairs.items()},
        mined=mined_counts(mined),
        recipes=dict(hard.group_by("recipe").len().sort("len", "recipe", descending=[True, False]).iter_rows()),
        out_of_fold=scores_of(evidence, "train")["fold"].min() != -1,
        corrected=begun.given.corrected,
    )


def mined_counts(mined: pl.DataFrame) -> dict[str, int]:
    """How many training images a round weights up, leaves out and leaves alone."""
    reason = pl.col("reason")
    return {
        "hard": mined.filter(reason.str.starts_with("hard")).height,
        "rare": mined.filter(reason.str.contains("rare: ")).height,
        "suspected": mined.filter(reason.str.starts_with("suspected label")).height,
        "left out": mined.filter(pl.col("weight") == 0).height,
        "as before": mined.filter((reason == "") & (pl.col("weight") > 0)).height,
    }


def in_words(mined: pl.DataFrame, suspects: str) -> str:
    """What mining did, for a line of progress; `suspects` says what becomes of labels in doubt."""
    counts = mined_counts(mined)
    told = [f"{counted(counts['hard'], 'hard image')} drawn more often"]
    if counts["rare"]:
        told.append(f"{counts['rare']} of rare slices")
    if counts["suspected"] and SUSPECT_FACTORS[suspects]:
        told.append(f"{counted(counts['suspected'], 'suspected label')} drawn half as often")
    return ", ".join(told) + f" and {counts['left out']} left out"


def finished_round(out: Path, number: int) -> RoundResult | None:
    """The result of a round that is finished, else None.

    Raises:
        FormatError: The file is damaged.
    """
    path = round_folder(out, number) / "verdict.json"
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=RoundResult)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(path, f"is damaged ({error}). Delete it and run the loop again") from error
