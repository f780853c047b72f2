"""One round: mine failures, offer what should be labelled, train the arms, decide on validation, test once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table, write_table
from curate.errors import JSON_ERRORS, FormatError
from curate.files import json_bytes, write_atomic
from curate.formats import check_format
from curate.terminal import counted
from review.compare import SliceDifference
from review.failures import bring_up_to_date
from review.loop.config import arm_config, arm_images
from review.loop.first import FirstResult
from review.loop.folders import repeat_of, round_folder
from review.loop.gate import Check, Verdict, choose, typical
from review.loop.given import learnt_before
from review.loop.mine import RARE, SUSPECT_FACTORS, mine
from review.loop.offer import TO_LABEL, offer, with_guesses
from review.loop.steps import Round, judged, scores_of, train
from review.paired import Difference, differences
from review.runs import open_run
from review.slices import conditions_of, slices_of
from train.config import FitConfig, placed, relative
from train.monitoring.log import is_finished
from train.scoring.figures import groups_of
from train.scoring.metrics import Summary, mean_summary, summarise

FOLDERS = {"after": "candidate", "labels": "labels"}
"""What may be promoted -> the folder of its run."""

Arms: TypeAlias = Mapping[str, Sequence[Path]]
"""The runs of a round, where their scores by its labels are: `before`, `control`, `labels` where there are corrected
ones, `after`, `ensemble` where it is asked for; of each arm all its trainings.
"""


class RoundResult(msgspec.Struct, frozen=True):
    """`round-N/verdict.json`: the decision, and apart from it what the test split says."""

    round: int
    base: str
    """The run that the arms start from, relative to the loop's folder."""
    promoted: bool
    promotes: str
    """The run that the next round starts from, relative to the loop's folder."""
    proposed: str
    """What the decision is about: `after`, or `labels` where that is promoted."""
    reasons: list[str]
    """For and against what is proposed."""
    epochs: int
    validation: list[Difference]
    """The control first, what is proposed second."""
    validation_images: int
    slices: list[SliceDifference]
    """Of the validation images: those that are judged first, then those of fewer than FEWEST_IN_SLICE images."""
    test: list[Difference]
    test_images: int
    table: dict[str, Summary]
    """A summary of the test split for each of Arms; of several trainings the mean."""
    runs: dict[str, str]
    """Where the test scores of each lie, relative to the loop's folder; of several trainings those of the `typical`."""
    evidence: str
    """Where the scores and failures lie that were mined, relative to the loop's folder."""
    earned: dict[str, list[Difference]]
    """Of the test split, where corrected labels came in: what they earned over the control (`labels`), and the recipe,
    mining and augmentation together, over them (`mining`); and what the `ensemble` has over the control."""
    mined: dict[str, int]
    recipes: dict[str, int]
    """Augmentation -> hard images that are given it."""
    out_of_fold: bool
    corrected: int = 0
    """Labels that people corrected or added before this round."""
    offered: int = 0
    """Images offered for labelling."""
    guessed: int = 0
    """Images of the pool that the candidate learnt from under the model's guesses, or the ensemble's."""
    checks: dict[str, list[Check]] = {}
    """For each that had a chance, `after` and where there is that `labels`: what the gate asked, what fails first."""
    repeats: int = 1
    """Trainings of each arm; its figures are means over them."""
    to: str = ""
    """The labelling tool that the offer was written for; empty in files of before."""
    format: int = schema.FORMAT

    @property
    def gains(self) -> list[Difference]:
        """By how much what is proposed exceeds the control on the test split."""
        return self.test if self.proposed == "after" else self.earned["labels"]


def run_round(begun: Round) -> RoundResult:
    """Make what is not there yet of a round; returns its result."""
    begun.say("score the training images and find what fails")
    evidence = _evidence(begun)
    learnt = with_guesses(begun, evidence) if begun.told.config.mining.pool == "learn" else begun.dataset
    mined = _mined(begun, evidence, learnt)
    offered = offer(begun, evidence)
    epochs = begun.given.epochs or int(begun.told.config.budget)
    _train_arms(begun, epochs, mined, learnt)
    judging = {name: [scores_of(run, "val") for run in runs] for name, runs in _judged_arms(begun, "val").items()}
    slices = slices_of(begun.dataset.samples, conditions_of(begun.dataset))
    proposed, verdicts = choose(judging, slices, groups_of(begun.dataset), begun.told.config.fit.seed)
    told = "promoted" if verdicts[proposed].promoted else "not promoted"
    begun.say(f"{told} on validation; now the test split, once")
    arms, shown = _judged_arms(begun, "test"), {name: typical(scores) for name, scores in judging.items()}
    for name, runs in arms.items():
        bring_up_to_date(open_run(runs[shown.get(name, 0)]))
    result = _result(begun, evidence, mined, epochs, proposed, verdicts, arms, shown)
    result = msgspec.structs.replace(
        result, offered=offered, guessed=len(learnt.rows("train")) - len(begun.dataset.rows("train"))
    )
    return _decided(begun, result)


def _decided(begun: Round, result: RoundResult) -> RoundResult:
    """Write a round's verdict.json; its result."""
    result = msgspec.structs.replace(result, to=begun.told.config.to)
    write_atomic(begun.folder / "verdict.json", json_bytes(result))
    return result


def offered_anew(begun: Round, result: RoundResult) -> RoundResult:
    """Write what a finished round offers for the tool that is asked for now; its result."""
    (begun.folder / TO_LABEL).unlink(missing_ok=True)
    offer(begun, placed(result.evidence, begun.told.out))
    return _decided(begun, result)


def _evidence(begun: Round) -> Path:
    """The run whose errors are mined, scored and with its failures found.

    That is the loop's base where it has fold models, in every round: only they never saw what they are asked about.
    """
    run = begun.told.base if begun.told.base_config.folds else begun.base
    place = judged(begun, "evidence", run, ("train", "val"))
    bring_up_to_date(open_run(place))
    return place


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
        begun.verdicts,
        begun.settled,
        config.mining,
        config.fit.augment,
    )
    begun.folder.mkdir(parents=True, exist_ok=True)
    write_table(path, mined)
    return mined


def _train_arms(begun: Round, epochs: int, mined: pl.DataFrame, learnt: Dataset) -> None:
    """The control, with corrected labels these alone, and the candidate, as often as is asked for."""
    repeats, rate = begun.told.config.repeats, arm_of(begun, epochs, 0).lr
    length = f"{counted(epochs, 'epoch')} at a learning rate of {rate:.3g}"
    learns = learnt_before(begun.before, begun.dataset, begun.folder / "control-dataset")

    def learn(repeat: int, arm: str, dataset: Dataset, told: str, mined: pl.DataFrame | None = None) -> None:
        name = repeat_of(arm, repeat)
        if not is_finished(begun.folder / name):
            begun.say(told + (f", training {repeat + 1} of {repeats}" if repeats > 1 else ""))
            train(dataset, begun.folder / name, arm_of(begun, epochs, repeat), mined, begun.told)

    for repeat in range(repeats):
        learn(repeat, "control", learns, f"control, {length}, without mining")
        if begun.given.dataset:
            labels = counted(begun.given.corrected, "new or corrected label")
            learn(repeat, "labels", begun.dataset, f"{length} with {labels}, without mining")
        mining = in_words(mined, begun.told.config.mining.suspects)
        learn(repeat, "candidate", learnt, f"candidate, {length} with {mining}", mined)


def arm_of(begun: Round, epochs: int, repeat: int) -> FitConfig:
    """How all arms of a round are trained, each for the `repeat`-th time, from 0."""
    config = begun.told.config
    trained = config.fit if config.start else begun.told.base_config
    images = arm_images(begun.before, trained)
    return arm_config(trained, config.retrain_lr, begun.base, epochs, begun.number, images, repeat)


def _judged_arms(begun: Round, split: str) -> Arms:
    """The round's runs, once a split of theirs is scored by its labels."""

    def seen(name: str, run: Path, *, ensemble: bool = False) -> Path:
        return judged(begun, name, run, (split,), ensemble=ensemble)

    def trained(arm: str) -> list[Path]:
        names = [repeat_of(arm, repeat) for repeat in range(begun.told.config.repeats)]
        return [seen(name, begun.folder / name) for name in names]

    arms = {"before": [seen("before", begun.base)], "control": trained("control")}
    if begun.given.dataset:
        arms["labels"] = trained("labels")
    arms["after"] = trained("candidate")
    if begun.told.config.ensemble and split == "test":
        arms["ensemble"] = [seen("ensemble", begun.told.base, ensemble=True)]
    return arms


def _result(
    begun: Round,
    evidence: Path,
    mined: pl.DataFrame,
    epochs: int,
    proposed: str,
    verdicts: Mapping[str, Verdict],
    arms: Arms,
    shown: Mapping[str, int],
) -> RoundResult:
    verdict = verdicts[proposed]
    out, groups, seed = begun.told.out, groups_of(begun.dataset), begun.told.config.fit.seed
    test = {name: [scores_of(run, "test") for run in runs] for name, runs in arms.items()}
    pairs = {"labels": ("control", "labels"), "mining": ("labels", "after")} if "labels" in arms else {}
    pairs |= {"ensemble": ("control", "ensemble")} if "ensemble" in arms else {}
    hard = mined.filter(pl.col("reason").str.starts_with("hard"))
    return RoundResult(
        round=begun.number,
        base=relative(begun.base, out),
        promoted=verdict.promoted,
        promotes=relative(
            begun.folder / repeat_of(FOLDERS[proposed], shown[proposed]) if verdict.promoted else begun.base, out
        ),
        proposed=proposed,
        reasons=verdict.reasons,
        epochs=epochs,
        validation=verdict.figures,
        validation_images=verdict.images,
        slices=verdict.slices,
        test=differences(test["control"], test["after"], groups, seed),
        test_images=test["after"][0].height,
        table={name: mean_summary([summarise(run) for run in runs]) for name, runs in test.items()},
        runs={name: relative(runs[shown.get(name, 0)], out) for name, runs in arms.items()},
        evidence=relative(evidence, out),
        earned={name: differences(test[one], test[other], groups, seed) for name, (one, other) in pairs.items()},
        mined=mined_counts(mined),
        recipes=dict(hard.group_by("recipe").len().sort("len", "recipe", descending=[True, False]).iter_rows()),
        out_of_fold=scores_of(evidence, "train")["fold"].min() != -1,
        corrected=begun.given.corrected,
        checks={name: verdict.checks for name, verdict in verdicts.items()},
        repeats=begun.told.config.repeats,
    )


def mined_counts(mined: pl.DataFrame) -> dict[str, int]:
    """How many training images a round treats as hard, weights up, leaves out and leaves alone."""
    reason = pl.col("reason")
    return {
        "hard": mined.filter(reason.str.starts_with("hard")).height,
        "rare": mined.filter(reason.str.contains(RARE)).height,
        "suspected": mined.filter(reason.str.starts_with("suspected label")).height,
        "left out": mined.filter(pl.col("weight") == 0).height,
        "as before": mined.filter((reason == "") & (pl.col("weight") > 0)).height,
    }


def in_words(mined: pl.DataFrame, suspects: str) -> str:
    """What mining did, for a line of progress; `suspects` says what becomes of labels in doubt."""
    counts = mined_counts(mined)
    told = [f"{counted(counts['hard'], 'hard image')} augmented or drawn otherwise"]
    if counts["rare"]:
        told.append(f"{counts['rare']} of rare slices")
    if counts["suspected"] and SUSPECT_FACTORS[suspects]:
        told.append(f"{counted(counts['suspected'], 'suspected label')} drawn half as often")
    return ", ".join(told) + f" and {counts['left out']} left out"


def finished_round(out: Path, number: int) -> RoundResult | None:
    """The result of a round that is finished, else None.

    Raises:
        FormatError: The file is damaged.
        VersionError: It is of a newer format.
    """
    path = round_folder(out, number) / "verdict.json"
    if not path.is_file():
        return None
    content = path.read_bytes()
    check_format(path, content)
    try:
        return msgspec.json.decode(content, type=RoundResult)
    except JSON_ERRORS as error:
        with suppress(*JSON_ERRORS):
            return RoundResult(**msgspec.json.decode(content, type=FirstResult).today())
        raise FormatError(path, f"is damaged ({error}). Delete it and run the loop again") from error
