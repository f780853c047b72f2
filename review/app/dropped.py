"""A FiftyOne dataset of its own for what a dataset's rules dropped, so that it is never taken for data."""

from __future__ import annotations

import fiftyone as fo
import polars as pl
from fiftyone import ViewField as F

from curate.dataset import Dataset
from review.app.dataset import fiftyone_name, load_or_create
from review.app.fields import Fields, declare

ENDING = "-dropped"
FIELDS: Fields = {
    "sample_id": (fo.StringField, "the name it would have in the dataset"),
    "source": (fo.StringField, "the data set the photograph comes from"),
    "rule": (fo.StringField, "the rule that dropped it"),
    "reason": (fo.StringField, "what the rule found"),
    "value": (fo.FloatField, "the number that was compared with the limit"),
    "limit": (fo.FloatField, "the limit"),
}


def has_dropped(dataset: Dataset) -> bool:
    """Whether `show_dropped` was done for a dataset version before."""
    name = fiftyone_name(dataset, ENDING)
    return bool(fo.dataset_exists(name)) and len(fo.load_dataset(name)) > 0


def show_dropped(dataset: Dataset, dropped: pl.DataFrame) -> fo.Dataset:
    """The dataset of what was dropped, with a saved view for each rule; made once, since a version does not change.

    Args:
        dataset: The dataset version.
        dropped: review.dropped.DROPPED.

    Raises:
        ExistsError: FiftyOne has a dataset of this name that is not ours.
    """
    shown = load_or_create(dataset, ENDING)
    if len(shown):
        return shown
    declare(shown, FIELDS)
    rows = dropped.rename({"detail": "reason"}).iter_rows(named=True)
    shown.add_samples(
        [fo.Sample(filepath=row["path"], **{name: row[name] for name in FIELDS}) for row in rows], progress=False
    )
    shown.app_config.active_fields = fo.ActiveFields(paths=["rule", "reason"])
    shown.save()
    for rule in dropped["rule"].unique().sort():
        shown.save_view(f"dropped by {rule}", shown.match(F("rule") == rule).sort_by("value"))
    return shown
