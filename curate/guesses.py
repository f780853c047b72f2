"""A model's guesses in a dataset version: masks of origin `model`, which are no labels.

A guess lies in the split `pool`, where labelling may start from it, or, accepted as a pseudo-label, in `train` with the
tag `pseudo` and its confidence as its weight. It never lies in `val` or `test`.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table

MODEL = "model"
"""The origin of a mask that a model made."""
PSEUDO = "pseudo"
"""The tag of a guess that is trained on."""
RULE_TAG = "rule:"
"""What the tag for a rule that a mask breaks begins with."""
TABLE = "prelabels.parquet"
ALLOWED = ("pool", "train")
"""Splits a guess may lie in."""


def is_guessed() -> pl.Expr:
    """Whether a sample's mask is a model's guess."""
    return pl.col("origin") == MODEL


def is_unlabelled() -> pl.Expr:
    """Whether a sample still waits for a person's label: it lies in the pool, or its mask is a model's guess."""
    return (pl.col("split") == "pool") | is_guessed()


def returned(samples: pl.DataFrame) -> pl.DataFrame:
    """The samples with every guess that was accepted for training back in the pool."""
    back = is_guessed() & (pl.col("split") != "pool")
    kept = pl.element().filter((pl.element() != PSEUDO) & ~pl.element().str.starts_with(RULE_TAG))
    anew = {
        "split": pl.lit("pool"),
        "fold": pl.lit(-1, pl.Int8),
        "weight": pl.lit(1.0, pl.Float32),
        "tags": pl.col("tags").list.eval(kept),
    }
    return samples.with_columns(**{name: pl.when(back).then(new).otherwise(name) for name, new in anew.items()})


def read_prelabels(root: Path) -> pl.DataFrame:
    """The last guess for each sample of the version in folder `root`; no rows where no model made any.

    Raises:
        FormatError: The record is damaged.
    """
    path = root / TABLE
    return read_table(path, schema.PRELABELS) if path.is_file() else schema.PRELABELS.to_frame()


def confidences(dataset: Dataset) -> dict[str, float]:
    """How sure the model is of each guess that is the sample's mask now, by sample_id."""
    guessed = dataset.samples.filter(is_guessed())
    current = read_prelabels(dataset.root).join(guessed, on=["sample_id", "mask_sha256"], how="semi")
    return dict(current.select("sample_id", "confidence").iter_rows())


def handed_down(root: Path, samples: pl.DataFrame, new: pl.DataFrame | None = None) -> pl.DataFrame:
    """The record of guesses for a version made from the one in folder `root`: its own for samples that are left.

    Args:
        root: The version before.
        samples: Of the new version.
        new: Guesses that replace those of the same samples.
    """
    kept = read_prelabels(root).join(samples, on="sample_id", how="semi")
    if new is not None:
        kept = pl.concat([kept.join(new, on="sample_id", how="anti"), new])
    return kept.sort("sample_id")
