"""What a retraining should see more of, and what it should not see: pure functions from tables to a table."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import msgspec
import polars as pl

from curate import schema
from curate.errors import UsageError
from curate.guesses import is_guessed
from train.config import RECIPES
from train.presets import option_name

RECIPE_OF_KIND: Mapping[str, str] = {
    "missed-person": "scale",
    "bite": "low-contrast",
    "cut-part": "crop",
    "extension": "low-contrast",
    "extra-region": "occlusion",
    "merged-object": "held-object",
    "ragged-boundary": "blur-noise-jpeg",
}
"""The augmentation that shows a model more of what a kind of failure is made of; other kinds keep the run's own."""

SUSPECT_SHARE = 0.1
"""At most this share of the training images counts as suspects, so that a weak model cannot empty its own data."""

RAISED_MOST, FEWEST_RAISED = 5.0, 3
"""An image of a rare slice is drawn at most so many times as often, and a slice of fewer images is not raised."""

BY_KIND, OWN = "by-kind", "own"
SUSPECT_FACTORS: Mapping[str, float] = {"leave-out": 0.0, "halve": 0.5, "keep": 1.0}


class Mining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a round does with what it finds.

    Raises:
        UsageError: A value is out of range; the message names the option.
    """

    hard_share: float = 0.5
    """The share of the training images that counts as hard: the worst by IoU, labels in doubt aside."""
    hard_weight: float = 1.0
    """How many times as often a hard image is drawn."""
    hard_augment: str = "copy-paste"
    """How hard images are augmented: `by-kind`, by RECIPE_OF_KIND; `own`, as the others; or one of train's recipes.
    What is default here earned most where it was measured (docs/results.md)."""
    other_augment: str = "own"
    """How all other images are augmented: `own`, as in the base; or one of train's recipes."""
    suspects: str = "leave-out"
    """What becomes of labels in doubt: `leave-out`, `halve` (drawn half as often) or `keep`."""
    rare_share: float = 0.2
    """Slices that do worse than the whole and make less than this share of what is drawn are raised to it."""
    pool: str = "offer"
    """What becomes of the unlabelled pool: `offer`, the images most like failures are offered for labelling; `learn`,
    what the model is sure of is learnt from besides, under its own guesses."""
    offer: int = 50
    """How many images of the pool are offered for labelling."""

    def __post_init__(self) -> None:
        allowed = {
            "hard_share": (0 <= self.hard_share <= 1, "a share from 0 to 1"),
            "hard_weight": (0 <= self.hard_weight <= 1000, "a number from 0 to 1000"),
            "hard_augment": (self.hard_augment in (BY_KIND, OWN, *RECIPES), f"{BY_KIND}, {OWN} or an augmentation"),
            "other_augment": (self.other_augment in (OWN, *RECIPES), f"{OWN} or an augmentation"),
            "suspects": (self.suspects in SUSPECT_FACTORS, ", ".join(SUSPECT_FACTORS)),
            "rare_share": (0 <= self.rare_share < 1, "a share from 0 to less than 1"),
            "pool": (self.pool in POOL_USES, ", ".join(POOL_USES)),
            "offer": (self.offer >= 0, "0 or more"),
        }
        for name, (fits, expected) in allowed.items():
            if not fits:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected {expected}")


RARE = "rare: "
"""How the reason of an image begins that is drawn more often for its slice, or what follows after its own."""
POOL_USES = ("offer", "learn")


def options_of(mining: Mining) -> str:
    """What mining was told beside its defaults, as on the command line."""
    told = msgspec.structs.asdict(mining).items()
    changed = [(name, value) for name, value in told if value != getattr(Mining(), name)]
    return " ".join(f"--{option_name(name)} {value}" for name, value in changed)


def mine(
    samples: pl.DataFrame,
    scores: pl.DataFrame,
    failures: pl.DataFrame,
    suspects: pl.DataFrame,
    slices: pl.DataFrame,
    verdicts: Mapping[str, str],
    settled: Collection[str],
    mining: Mining,
    augment: str,
) -> pl.DataFrame:
    """A weight, an augmentation and a reason for every training image.

    A person's verdict goes before the program's: `exclude` and `relabel` leave the training set, `hard` is drawn
    more often, `ok` is never taken for a wrong label. Then suspected labels leave, hard images and rare slices are
    weighted up.

    Args:
        samples: The dataset's rows (schema.SAMPLES).
        scores: Scores of the training split (schema.SCORES), out-of-fold where there are folds.
        failures: schema.FAILURES of the same run.
        suspects: schema.SUSPECTS of the same run, most suspect first.
        slices: Which image is in which slice, as review.slices.slices_of gives it.
        verdicts: sample_id -> one of schema.VERDICTS, those that are still open.
        settled: Images whose label people looked at again since the loop began, and replaced: it is not doubted.
        mining: What to do with what is found.
        augment: The run's own augmentation, for images that need no other.

    Returns:
        schema.MINED with one row per training image, sorted by sample_id. Weight 0 leaves an image out.
    """
    known = with_findings(samples, scores, failures)
    doubted = doubted_labels(known, suspects, verdicts, settled) if mining.suspects != "keep" else {}
    hard = hard_images(known, doubted, verdicts, mining.hard_share)
    most = most_suspect(doubted, known)
    rows = [_mined_row(row, most, hard, verdicts, mining, augment) for row in known.iter_rows(named=True)]
    return raise_rare(schema.table(rows, schema.MINED), known, slices, mining.rare_share)


def with_findings(samples: pl.DataFrame, scores: pl.DataFrame, failures: pl.DataFrame) -> pl.DataFrame:
    """The training images with a run's IoU, kind of failure and triage; null where it was not asked."""
    training = samples.filter(pl.col("split").is_in(schema.LEARNT))
    return (
        training.select("sample_id", "weight", guessed=is_guessed())
        .join(scores.select("sample_id", "iou"), on="sample_id", how="left")
        .join(failures.select("sample_id", "kind", "triage"), on="sample_id", how="left")
        .sort("sample_id")
    )


def doubted_labels(
    known: pl.DataFrame, suspects: pl.DataFrame, verdicts: Mapping[str, str], settled: Collection[str]
) -> dict[str, str]:
    """sample_id -> reason, for the training images whose label is more likely wrong than the model, most suspect first.

    Those that triage sends to `relabel`, but for what a person has looked at.
    """
    doubted = set(known.filter(pl.col("triage") == "relabel")["sample_id"])
    trusted = {sample_id for sample_id, verdict in verdicts.items() if verdict in ("ok", "hard")} | set(settled)
    left = doubted - trusted
    return {row["sample_id"]: row["reason"] for row in suspects.iter_rows(named=True) if row["sample_id"] in left}


def most_suspect(doubted: Mapping[str, str], known: pl.DataFrame) -> dict[str, str]:
    """The first of the labels in doubt, at most SUSPECT_SHARE of the training images: those that leave the training."""
    return dict([*doubted.items()][: math.floor(SUSPECT_SHARE * known.height)])


def hard_images(known: pl.DataFrame, doubted: Mapping[str, str], verdicts: Mapping[str, str], share: float) -> set[str]:
    """The worst share of the training images by IoU, labels in doubt aside, and those that a person called hard.

    Where two models disagree about an image that nobody labelled, nothing says which is right: it is not hard.
    """
    gone = set(doubted) | {sample_id for sample_id, verdict in verdicts.items() if verdict in ("exclude", "relabel")}
    labelled = known.filter(~pl.col("guessed"))
    scored = labelled.filter(pl.col("iou").is_not_null() & ~pl.col("sample_id").is_in(sorted(gone)))
    worst = scored.sort("iou", "sample_id").head(math.ceil(share * scored.height))["sample_id"]
    called = {sample_id for sample_id, verdict in verdicts.items() if verdict == "hard"}
    return set(worst) | (called & set(known["sample_id"]))


def _mined_row(
    row: Mapping[str, object],
    doubted: Mapping[str, str],
    hard: set[str],
    verdicts: Mapping[str, str],
    mining: Mining,
    augment: str,
) -> dict[str, object]:
    sample_id, weight, kind = str(row["sample_id"]), float(str(row["weight"])), row["kind"]
    recipe, reason = augment if mining.other_augment == OWN else mining.other_augment, ""
    if verdicts.get(sample_id) in ("exclude", "relabel"):
        weight, reason = 0.0, f"a reviewer said {verdicts[sample_id]}"
    elif sample_id in doubted:
        weight, reason = weight * SUSPECT_FACTORS[mining.suspects], f"suspected label: {doubted[sample_id]}"
    elif sample_id in hard:
        weight, recipe = weight * mining.hard_weight, recipe_of(str(kind), mining.hard_augment, augment)
        scored = f", IoU {row['iou']:.3f}" if row["iou"] is not None else ""
        reason = f"hard: {kind}{scored}" + (", a reviewer said so" if verdicts.get(sample_id) == "hard" else "")
    return {"sample_id": sample_id, "weight": weight, "recipe": recipe, "reason": reason}


def recipe_of(kind: str, hard_augment: str, own: str) -> str:
    """The augmentation of a hard image that fails in some way."""
    return {BY_KIND: RECIPE_OF_KIND.get(kind, own), OWN: own}.get(hard_augment, hard_augment)


def raise_rare(mined: pl.DataFrame, known: pl.DataFrame, slices: pl.DataFrame, share: float) -> pl.DataFrame:
    """The table with the images of rare slices weighted up until each slice makes about this share of what is drawn.

    A slice is raised where the run does worse on it than on the whole, by at most RAISED_MOST. An image of several
    such slices is raised once, for the one that needs it most; what leaves the training set does not come back.

    Args:
        mined: schema.MINED.
        known: `sample_id` and `iou` of the same images.
        slices: `sample_id` and `slice`.
        share: Of all that is drawn; 0 raises nothing.
    """
    whole, mean = float(mined["weight"].sum()), known["iou"].mean()
    if not share or not whole or mean is None:
        return mined
    drawn = mined.filter(pl.col("weight") > 0).select("sample_id", "weight")
    members = slices.join(drawn, on="sample_id").join(known.select("sample_id", "iou"), on="sample_id")
    found = members.group_by("slice").agg(pl.len(), pl.col("weight").sum(), pl.col("iou").mean())
    rare = found.filter(
        (pl.col("len") >= FEWEST_RAISED) & (pl.col("weight") < share * whole) & (pl.col("iou") < mean)
    ).select("slice", factor=share * (whole - pl.col("weight")) / (pl.col("weight") * (1 - share)))
    raised = (
        members.join(rare, on="slice")
        .sort("factor", "slice", descending=[True, False])
        .unique("sample_id", keep="first", maintain_order=True)
        .select("sample_id", "slice", factor=pl.col("factor").clip(1.0, RAISED_MOST))
    )
    told = pl.concat_str(pl.lit(RARE), "slice")
    joined = mined.join(raised, on="sample_id", how="left", maintain_order="left")
    return joined.with_columns(
        weight=(pl.col("weight") * pl.col("factor").fill_null(1.0)).cast(schema.MINED["weight"]),
        reason=pl.when(pl.col("slice").is_null())
        .then("reason")
        .when(pl.col("reason") == "")
        .then(told)
        .otherwise(pl.concat_str("reason", pl.lit("; "), told)),
    ).select(*schema.MINED)
