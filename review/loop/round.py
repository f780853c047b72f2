"""One round: mine failures, offer what should be labelled, train the arms, decide on validation, test once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.errors import FormatError
from curate.files import write_atomic
from curate.terminal import counted
from label.prelabel import prelabel
from label.tasks import send
from review.compare import SliceDifference
from review.failures import bring_up_to_date
from review.loop.config import arm_config
from review.loop.gate import decide
from review.loop.given import Given
from review.loop.mine import mine
from review.loop.pool import ACCEPT_ABOVE, POOL, guesser, search_pool
from review.loop.steps import Told, epochs_of, judged, scores_of, train
from review.paired import Difference, differences
from review.runs import open_run
from review.slices import conditions_of, slices_of
from train.config import read_config, relative
from train.data import material
from train.data.folds import training_ids
from train.scoring.figures import groups_of
from train.scoring.metrics import Summary, summarise

TO_LABEL = "to-label.zip"
"""What a round offers for labelling, in the round's folder."""


class RoundResult(msgspec.Struct, frozen=True):
    """`round-N/verdict.json`: the decision, and apart from it what the test split says."""

    round: int
    base: str
    """The run that the arms start from, relative to the loop's folder."""
    promoted: bool
    reasons: list[str]
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
    earned: dict[str, list[Difference]]
    """Of the test split, where corrected labels came in: what they earned over the control, and mining over them."""
    mined: dict[str, int]
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
    given: Given

    def folder(self, out: Path) -> Path:
        """Where all of it lies."""
        return round_folder(out, self.number)


@dataclass(frozen=True)
class Arms:
    """The runs of a round by their names, where their scores by its labels are."""

    before: Path
    control: Path
    labels: Path | None
    """Learnt the corrected labels without mining; None where there are none."""
    after: Path
    ensemble: Path | None

    def items(self) -> list[tuple[str, Path]]:
        """(name, folder) of those that are there."""
        named = {name: getattr(self, name) for name in ("before", "control", "labels", "after", "ensemble")}
        return [(name, folder) for name, folder in named.items() if folder is not None]


def round_folder(out: Path, number: int) -> Path:
    """Where a round lies."""
    return out / f"round-{number}"


def run_round(begun: Round, told: Told) -> RoundResult:
    """Make what is not there yet of a round; returns its result."""
    out, config, say, number, dataset = told.out, told.config, told.say, begun.number, begun.dataset
    folder = begun.folder(out)
    say(f"round {number}: score the training images and find what fails")
    evidence = _evidence(begun, told)
    mined, learnt = _mined(begun, evidence, told)
    offered = _offer(begun, evidence, mined, told)
    epochs = epochs_of(config.budget, config.base_of(out))
    trained = config.fit if config.start else read_config(out / "base")
    images = trained.epoch_images or material.counted(begun.before, training_ids(begun.before))
    again = arm_config(trained, begun.base, epochs, number, images)
    say(f"round {number}: control, {epochs} epochs without mining")
    train(begun.before, folder / "control", again, None, told)
    if begun.given.dataset:
        say(f"round {number}: {epochs} epochs with {counted(begun.given.corrected, 'corrected label')}, without mining")
        train(dataset, folder / "labels", again, None, told)
    say(f"round {number}: candidate, {epochs} epochs with {in_words(mined)}")
    train(learnt, folder / "candidate", again, mined, told)
    judging = _judged_arms(begun, told, "val")
    groups, slices = groups_of(dataset), slices_of(dataset.samples, conditions_of(dataset))
    verdict = decide(
        scores_of(judging.control, "val"), scores_of(judging.after, "val"), slices, groups, config.fit.seed
    )
    say(f"round {number}: {'promoted' if verdict.promoted else 'not promoted'} on validation; now the test split, once")
    arms = _judged_arms(begun, told, "test")
    for _, run in arms.items():
        bring_up_to_date(open_run(run))
    test = {name: scores_of(run, "test") for name, run in arms.items()}
    pairs = {"labels": ("control", "labels"), "mining": ("labels", "after")} if arms.labels else {}
    result = RoundResult(
        round=number,
        base=relative(begun.base, out),
        promoted=verdict.promoted,
        reasons=verdict.reasons,
        epochs=epochs,
        validation=verdict.figures,
        validation_images=verdict.images,
        slices=verdict.slices,
        test=differences(test["control"], test["after"], groups, config.fit.seed),
        test_images=test["after"].height,
        table={name: summarise(frame) for name, frame in test.items()},
        runs={name: relative(run, out) for name, run in arms.items()},
        earned={
            name: differences(test[first], test[second], groups, config.fit.seed)
            for name, (first, second) in pairs.items()
        },
        mined=mined_counts(mined),
        out_of_fold=scores_of(evidence, "train")["fold"].min() != -1,
        corrected=begun.given.corrected,
        offered=offered,
        guessed=len(learnt.rows("train")) - len(dataset.rows("train")),
    )
    write_atomic(folder / "verdict.json", msgspec.json.format(msgspec.json.encode(result), indent=2))
    return result


def _evidence(begun: Round, told: Told) -> Path:
    """The run whose errors are mined, scored and with its failures found.

    That is the loop's base where it has fold models, in every round: only they never saw what they are asked about.
    """
    first = told.config.base_of(told.out)
    run = first if read_config(first).folds else begun.base
    place = judged(begun.dataset, run, ("train", "val"), begun.folder(told.out) / "judged" / "evidence")
    bring_up_to_date(open_run(place))
    return place


def _mined(begun: Round, evidence: Path, told: Told) -> tuple[pl.DataFrame, Dataset]:
    """The round's mined.parquet, made where it is not there yet, and the version that the candidate learns from."""
    folder, mining = begun.folder(told.out), told.config.mining
    learnt = _guessed(begun, told) if mining.pool == "learn" else begun.dataset
    path = folder / "mined.parquet"
    if path.is_file():
        return read_table(path, schema.MINED), learnt
    mined = mine(
        learnt.samples,
        scores_of(evidence, "train"),
        read_table(evidence / "failures.parquet", schema.FAILURES),
        read_table(evidence / "suspects.parquet", schema.SUSPECTS),
        slices_of(begun.dataset.samples, conditions_of(begun.dataset)),
        begun.given.verdicts,
        mining,
        told.config.fit.augment,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_table(path, mined)
    return mined, learnt


def _guessed(begun: Round, told: Told) -> Dataset:
    """The version in which what the model is sure of in the pool is learnt from; the round's own without a pool."""
    if not begun.dataset.rows("pool"):
        told.say(f"note: --pool learn: {begun.dataset.root} has no pool. Build it with some: curate build --pool DIR")
        return begun.dataset
    out, first = begun.folder(told.out) / "guessed", told.config.base_of(told.out)
    model = guesser(first, read_config(first), ensemble=told.config.ensemble)
    found = prelabel(begun.dataset, out, model, ACCEPT_ABOVE)
    told.say(f"round {begun.number}: {counted(len(found.accepted), 'guessed mask')} of the pool to learn from")
    return begun.dataset if found.status == "unchanged" else open_dataset(out)


def _offer(begun: Round, evidence: Path, mined: pl.DataFrame, told: Told) -> int:
    """Write what should be labelled next for the labelling tool; how many images that is.

    First the labels in doubt, then what of the pool is most worth a label.
    """
    folder, mining, first = begun.folder(told.out), told.config.mining, told.config.base_of(told.out)
    path = folder / "pool.parquet"
    if not path.is_file():
        hard = mined.filter(pl.col("reason").str.starts_with("hard"))["sample_id"].to_list()
        found = (
            search_pool(begun.dataset, first, read_config(first), hard, mining.offer)
            if mining.offer
            else POOL.to_frame()
        )
        write_table(path, found)
    suspects = read_table(evidence / "suspects.parquet", schema.SUSPECTS)["sample_id"].to_list()
    doubted = set(mined.filter(pl.col("reason").str.contains("^suspected label|said relabel"))["sample_id"])
    asked = [name for name in suspects if name in doubted]
    names = asked + read_table(path, POOL)["sample_id"].head(mining.offer).to_list()
    place = folder / TO_LABEL
    if names and not place.is_file():
        told.say(f"round {begun.number}: write {counted(len(names), 'image')} to be labelled to {place}")
        send(begun.dataset, place, told.config.to, names)
    return len(names)


def _judged_arms(begun: Round, told: Told, split: str) -> Arms:
    """The round's runs, once a split of theirs is scored by its labels."""
    folder, first = begun.folder(told.out), told.config.base_of(told.out)

    def seen(name: str, run: Path, *, ensemble: bool = False) -> Path:
        return judged(begun.dataset, run, (split,), folder / "judged" / name, ensemble=ensemble)

    return Arms(
        before=seen("before", begun.base),
        control=seen("control", folder / "control"),
        labels=seen("labels", folder / "labels") if begun.given.dataset else None,
        after=seen("candidate", folder / "candidate"),
        ensemble=seen("ensemble", first, ensemble=True) if told.config.ensemble else None,
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


def in_words(mined: pl.DataFrame) -> str:
    """What mining did, for a line of progress."""
    counts = mined_counts(mined)
    rare = f", {counts['rare']} of rare slices" if counts["rare"] else ""
    return f"{counts['hard']} hard images drawn more often{rare} and {counts['suspected']} suspected labels left out"


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
