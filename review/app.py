"""All of FiftyOne: one persistent dataset over a dataset version's own images, brought up to date in place.

FiftyOne is the viewer. Scores are computed elsewhere (its own per-sample figures are of another kind, see
ARCHITECTURE.md) and stand here as plain fields; masks stay on disk. Importing this module imports FiftyOne, which
takes seconds and needs its database: import it through `review.cli`, which looks for the database first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F
from fiftyone.core.service import ServiceException
from fiftyone.core.utils import to_slug

from curate import schema
from curate.dataset import Dataset, read_table
from curate.decisions import Decision, read_decisions
from curate.errors import ExistsError, MachineError, MissingError, UsageError
from curate.masks import IGNORE, PERSON
from review.layers import FALSE_NEGATIVE, FALSE_POSITIVE, errors_path, prediction_path
from review.overlays import FALSE_NEGATIVE as MISSED_RGB
from review.overlays import FALSE_POSITIVE as FALSE_RGB
from review.overlays import RIGHT as PERSON_RGB
from review.runs import Run

INFO_KEY = "silhouette"
"""Key in the FiftyOne dataset's `info` that marks it as ours."""

WORST, SUSPECTED = "worst tenth", "suspected labels"
SCORES_SHOWN = ("iou", "dice", "boundary_iou", "bce", "label_quality")
RUN_NUMBERS = {
    "iou": "IoU of prediction and label",
    "dice": "Dice of prediction and label",
    "boundary_iou": "Boundary IoU (Cheng et al. 2021)",
    "bce": "binary cross-entropy, mean over the counted pixels",
    "label_quality": "how well the prediction supports the label, [0, 1]; low = label in doubt",
    "severity": "1 - IoU",
}
RUN_WORDS = {"failure": "what kind of failure this is", "triage": "augment = hard image, relabel = label in doubt"}
SAMPLE_FIELDS: Mapping[str, tuple[Any, str]] = {
    "sample_id": (fo.StringField, "the sample's name in the dataset"),
    "split": (fo.StringField, "train, val or test"),
    "source": (fo.StringField, "the data set the photograph comes from"),
    "people": (fo.IntField, "number of people"),
    "area": (fo.FloatField, "person pixels / counted pixels"),
    "suspicion": (fo.FloatField, "how likely the label is wrong; training images only"),
    "suspicion_reason": (fo.StringField, "why the label is in doubt"),
}


PLAIN_COLOUR = "#4a5f78"
"""Of every tag whose colour means nothing; FiftyOne would give each number a colour of its own."""

TRIAGE_COLOURS = {"relabel": "#d9822b", "augment": "#7a5bc0", "ok": "#3a8f5a"}
VIEW_MEANINGS = {
    WORST: "the tenth of the images with the lowest IoU, worst first",
    SUSPECTED: "training images whose label is more likely wrong than the model, most suspect first",
}


def open_review(runs: Sequence[Run], dataset: Dataset) -> fo.Dataset:
    """The FiftyOne dataset of a dataset version, brought up to date with the runs; the first run leads the views.

    Samples are added once and then only updated: tags a reviewer set stay. On the samples' first day the decisions
    in a run's `decisions.jsonl` become tags, so that a lost database loses none.

    Args:
        runs: Scored runs of this dataset with failures and layers made; none shows the dataset alone.
        dataset: The dataset version.

    Returns:
        The dataset, persistent, with the saved views WORST, SUSPECTED and one per failure kind.

    Raises:
        ExistsError: FiftyOne has a dataset of this name that is not ours.
    """
    shown = load_or_create(dataset)
    add_samples(shown, dataset, [run.root / "decisions.jsonl" for run in runs])
    prefixes = run_prefixes([run.root for run in runs])
    for prefix, run in zip(prefixes, runs, strict=True):
        update_run(shown, prefix, run)
    if runs:
        update_suspicion(shown, runs[0])
    remember(shown, dataset, dict(zip(prefixes, runs, strict=True)))
    forget_lost_runs(shown)
    ordered = [*prefixes, *(prefix for prefix in shown.info[INFO_KEY]["runs"] if prefix not in prefixes)]
    arrange(shown, ordered, prefixes or ordered[:1])
    save_views(shown, ordered[0] if ordered else None)
    return shown


def fiftyone_name(dataset: Dataset) -> str:
    """The name of the dataset version in FiftyOne: `silhouette-<name>-<first 8 of the digest>`."""
    name = re.sub(r"[^a-z0-9]+", "-", dataset.header.name.lower()).strip("-") or "dataset"
    return f"silhouette-{name}-{dataset.header.digest[:8]}"


def load_or_create(dataset: Dataset) -> fo.Dataset:
    """Our FiftyOne dataset of this version, made where it is not there; ExistsError where another has its name."""
    name = fiftyone_name(dataset)
    if not fo.dataset_exists(name):
        shown = fo.Dataset(name, persistent=True)
        remember(shown, dataset, {})
        return shown
    shown = fo.load_dataset(name)
    if shown.info.get(INFO_KEY, {}).get("digest") != dataset.header.digest:
        mend = f"fiftyone datasets rename {name} OTHER"
        raise ExistsError(f"FiftyOne has a dataset {name} that is not of this program. Rename it: {mend}")
    return shown


def remember(shown: fo.Dataset, dataset: Dataset, runs: Mapping[str, Run]) -> None:
    """Write into the FiftyOne dataset whose it is and which runs it shows."""
    before = shown.info.get(INFO_KEY, {}).get("runs", {})
    latest = {prefix: str(run.root.resolve()) for prefix, run in runs.items()}
    root = str(dataset.root.resolve())
    shown.info[INFO_KEY] = {"digest": dataset.header.digest, "root": root, "runs": before | latest}
    shown.save()


def add_samples(shown: fo.Dataset, dataset: Dataset, decisions: Sequence[Path]) -> None:
    """Add the samples that are not there yet, and follow the dataset's files where they have moved."""
    declare(shown, dict(SAMPLE_FIELDS))
    if not shown.has_sample_field("ground_truth"):
        shown.add_sample_field("ground_truth", fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
        shown.create_index("sample_id", unique=True)
    there = set(shown.values("sample_id"))
    tags = tags_of(decision for path in decisions if path.is_file() for decision in read_decisions(path).values())
    new = [new_sample(dataset, row, tags) for row in dataset.rows() if row["sample_id"] not in there]
    if new:
        shown.add_samples(new, progress=False)
    root = dataset.root.resolve()
    rows = {row["sample_id"]: row for row in dataset.rows()}
    update(shown, "filepath", {sample_id: str(root / row["image"]) for sample_id, row in rows.items()})
    update_masks(shown, "ground_truth", {sample_id: root / row["mask"] for sample_id, row in rows.items()})


def new_sample(dataset: Dataset, row: Mapping[str, Any], tags: Mapping[str, list[str]]) -> fo.Sample:
    """A sample as the dataset version describes it, without anything a run says."""
    return fo.Sample(
        filepath=str(dataset.root.resolve() / row["image"]),
        tags=tags.get(row["sample_id"], []),
        metadata=fo.ImageMetadata(width=row["width"], height=row["height"]),
        **{name: row[name] for name in ("sample_id", "split", "source", "people", "area")},
    )


def tags_of(decisions: Iterable[Decision]) -> dict[str, list[str]]:
    """sample_id -> its verdict as the one tag; of several decisions the last counts."""
    return {decision.sample_id: [decision.verdict] for decision in decisions}


def declare(shown: fo.Dataset, fields: Mapping[str, tuple[Any, str]]) -> None:
    """Add typed fields with what they mean, those that are not there yet."""
    for name, (kind, meaning) in fields.items():
        if not shown.has_sample_field(name):
            shown.add_sample_field(name, kind, description=meaning)


def update(shown: fo.Dataset, field: str, values: Mapping[str, Any]) -> None:
    """Set a field of every sample, by sample_id; a sample without a value gets None. Only what differs is written."""
    ids, before = shown.values(["sample_id", field])
    changed = {one: values.get(one) for one, old in zip(ids, before, strict=True) if old != values.get(one)}
    if changed:
        shown.set_values(field, changed, key_field="sample_id", progress=False)


def update_masks(shown: fo.Dataset, field: str, paths: Mapping[str, Path]) -> None:
    """Set a field's masks on disk, by sample_id; a label whose path is the same is left as it is, tags and all."""
    ids, before = shown.values(["sample_id", f"{field}.mask_path"])
    wanted = {sample_id: str(path) for sample_id, path in paths.items()}
    changed = {one: wanted.get(one) for one, old in zip(ids, before, strict=True) if old != wanted.get(one)}
    labels = {one: fo.Segmentation(mask_path=path) if path else None for one, path in changed.items()}
    if labels:
        shown.set_values(field, labels, key_field="sample_id", progress=False)


def run_prefixes(roots: Sequence[Path]) -> list[str]:
    """A field prefix for each run: its folder's name, with as many parent folders before it as tell the runs apart."""
    for depth in range(1, max((len(root.resolve().parts) for root in roots), default=1) + 1):
        names = [sanitised("_".join(root.resolve().parts[-depth:])) for root in roots]
        if len(set(names)) == len(names):
            return names
    raise UsageError("the same run is given twice. Name each run once")


def sanitised(name: str) -> str:
    """A folder name as the start of a field name: letters, digits and underscores, a letter first."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "run"
    return plain if plain[0].isalpha() else f"run_{plain}"


def update_run(shown: fo.Dataset, prefix: str, run: Run) -> None:
    """Bring a run's fields up to date: two masks, the scores, the failure and its triage."""
    numbers = {f"{prefix}_{name}": (fo.FloatField, meaning) for name, meaning in RUN_NUMBERS.items()}
    words = {f"{prefix}_{name}": (fo.StringField, meaning) for name, meaning in RUN_WORDS.items()}
    declare(shown, numbers | words)
    for name, path_of in (("prediction", prediction_path), ("errors", errors_path)):
        field = f"{prefix}_{name}"
        if not shown.has_sample_field(field):
            shown.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
        scored = run.scores["sample_id"]
        update_masks(shown, field, {one: path_of(run.root.resolve(), one) for one in scored})
    failures = read_table(run.root / "failures.parquet", schema.FAILURES).rename({"kind": "failure"})
    said = run.scores.join(failures.drop("area"), on="sample_id", how="left")
    for name in (*RUN_NUMBERS, *RUN_WORDS):
        update(shown, f"{prefix}_{name}", dict(said.select("sample_id", name).iter_rows()))
    for name in ("iou", "severity", "failure", "triage"):
        shown.create_index(f"{prefix}_{name}")


def update_suspicion(shown: fo.Dataset, run: Run) -> None:
    """How doubtful each training label is, and why, as the leading run sees it."""
    suspects = read_table(run.root / "suspects.parquet", schema.SUSPECTS)
    update(shown, "suspicion", dict(suspects.select("sample_id", "suspicion").iter_rows()))
    update(shown, "suspicion_reason", dict(suspects.select("sample_id", "reason").iter_rows()))
    shown.create_index("suspicion")


def forget_lost_runs(shown: fo.Dataset) -> None:
    """Drop the fields of runs whose folder is gone: their masks could not be shown any more."""
    runs = shown.info[INFO_KEY]["runs"]
    for prefix in [prefix for prefix, root in runs.items() if not Path(root).is_dir()]:
        names = ("prediction", "errors", *RUN_NUMBERS, *RUN_WORDS)
        fields = [f"{prefix}_{name}" for name in names]
        shown.delete_sample_fields([field for field in fields if shown.has_sample_field(field)])
        del runs[prefix]
    shown.save()


def arrange(shown: fo.Dataset, ordered: Sequence[str], at_hand: Sequence[str]) -> None:
    """Colours, what the first screen shows, and a sidebar with one group for each run, those at hand unfolded."""
    targets = {"ground_truth": {PERSON: "person", IGNORE: "not counted"}}
    for prefix in ordered:
        targets[f"{prefix}_prediction"] = {PERSON: "person"}
        targets[f"{prefix}_errors"] = {FALSE_POSITIVE: "false positive", FALSE_NEGATIVE: "false negative"}
    shown.mask_targets = targets
    shown.app_config.color_scheme = colours(targets, ordered)
    shown.app_config.sidebar_groups = sidebar(ordered, len(at_hand))
    shown.app_config.active_fields = fo.ActiveFields(paths=first_screen(at_hand))
    shown.save()


def colours(targets: Mapping[str, Mapping[int, str]], prefixes: Sequence[str]) -> fo.ColorScheme:
    """The colours of review/overlays.py, so that the App and the report agree, and one for each verdict of triage."""
    of_name = {
        "person": hexed(PERSON_RGB),
        "not counted": "#969696",
        "false positive": hexed(FALSE_RGB),
        "false negative": hexed(MISSED_RGB),
    }
    masks = [
        {
            "path": path,
            "maskTargetsColors": [{"intTarget": value, "color": of_name[name]} for value, name in of.items()],
        }
        for path, of in targets.items()
    ]
    triage = [{"value": value, "color": colour} for value, colour in TRIAGE_COLOURS.items()]
    words = [{"path": f"{prefix}_triage", "colorByAttribute": "value", "valueColors": triage} for prefix in prefixes]
    return fo.ColorScheme(color_by="value", color_pool=[PLAIN_COLOUR], fields=[*masks, *words], opacity=0.5)


def hexed(rgb: tuple[int, int, int]) -> str:
    """An RGB colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def sidebar(prefixes: Sequence[str], expanded: int) -> list[fo.SidebarGroupDocument]:
    """A group for each run with the numbers a reviewer sorts by, then one for the label and one for the sample."""
    per_run = ("errors", "prediction", "failure", "severity", "triage", *SCORES_SHOWN)
    paths = {prefix: [f"{prefix}_{name}" for name in per_run] for prefix in prefixes}
    label = ["ground_truth", "suspicion", "suspicion_reason"]
    sample = ["sample_id", "split", "source", "people", "area"]
    metadata = [f"metadata.{name}" for name in ("size_bytes", "mime_type", "width", "height", "num_channels")]
    rest = ["id", "filepath", "created_at", "last_modified_at"]
    return [
        fo.SidebarGroupDocument(name="tags", paths=["tags"], expanded=True),
        *(
            fo.SidebarGroupDocument(name=prefix, paths=paths[prefix], expanded=place < expanded)
            for place, prefix in enumerate(prefixes)
        ),
        fo.SidebarGroupDocument(name="label", paths=label, expanded=True),
        fo.SidebarGroupDocument(name="sample", paths=sample, expanded=True),
        fo.SidebarGroupDocument(name="metadata", paths=metadata, expanded=False),
        fo.SidebarGroupDocument(name="other", paths=rest, expanded=False),
    ]


def first_screen(prefixes: Sequence[str]) -> list[str]:
    """The fields whose boxes are ticked: the label, and for each run what is wrong, what kind it is, how bad.

    Drawn over the label, errors leave green what the prediction has right: the colours of the report.
    """
    shown = [f"{prefix}_{name}" for prefix in prefixes for name in ("errors", "failure", "triage", "iou")]
    return ["ground_truth", *shown]


def save_views(shown: fo.Dataset, prefix: str | None) -> None:
    """Save every view by its fixed name, worst first; without a run they are there and empty."""
    nothing = shown.match(F("sample_id") == "")
    kinds = {kind: kind.replace("-", " ") for kind in schema.FAILURE_KINDS}
    if prefix is None:
        views = dict.fromkeys((WORST, *kinds.values(), SUSPECTED), nothing)
    else:
        worst = shown.exists(f"{prefix}_iou").sort_by(f"{prefix}_iou").limit(tenth_of(shown, prefix))
        doubted = shown.match((F(f"{prefix}_triage") == "relabel") & (F("suspicion") > 0))
        views = {WORST: worst}
        for kind, name in kinds.items():
            failing = (F(f"{prefix}_failure") == kind) & (F(f"{prefix}_severity") > 0)
            views[name] = shown.match(failing).sort_by(f"{prefix}_severity", reverse=True)
        views[SUSPECTED] = doubted.sort_by("suspicion", reverse=True)
    for name, view in views.items():
        shown.save_view(name, view, description=VIEW_MEANINGS.get(name), overwrite=shown.has_saved_view(name))


def tenth_of(shown: fo.Dataset, prefix: str) -> int:
    """How many images the worst tenth of a run holds: ceil(n / 10) of those with an IoU, at least one."""
    scored: int = shown.count(f"{prefix}_iou")
    return max(1, math.ceil(scored / 10))


def read_tags(dataset: Dataset) -> dict[str, list[str]]:
    """sample_id -> the verdicts among its tags, for every sample that has any.

    Raises:
        MissingError: The dataset version was never opened in FiftyOne (or its database is gone).
        ExistsError: FiftyOne has a dataset of this name that is not ours.
    """
    name = fiftyone_name(dataset)
    if not fo.dataset_exists(name):
        raise MissingError(f"FiftyOne has no dataset {name} yet. Open it first: curate review open {dataset.root}")
    ids, tags = load_or_create(dataset).values(["sample_id", "tags"])
    verdicts = {one: [tag for tag in schema.VERDICTS if tag in those] for one, those in zip(ids, tags, strict=True)}
    return {one: verdicts[one] for one in sorted(verdicts) if verdicts[one]}


def launch(shown: fo.Dataset, view: str | None, port: int) -> fo.Session:
    """The App on 127.0.0.1 (it has no authentication), on the named saved view or on the whole dataset.

    Raises:
        MachineError: FiftyOne's server does not come up.
    """
    opened = shown.load_saved_view(view) if view else shown.view()
    try:
        return fo.launch_app(opened, address="127.0.0.1", port=port, remote=True)
    except ServiceException as error:
        raise MachineError(
            f"the App did not start on port {port} within a minute. Try again, or another --port"
        ) from error


def address_of(shown: fo.Dataset, view: str | None, port: int) -> str:
    """The App's address, on the named saved view where there is one."""
    query = f"?view={to_slug(view)}" if view else ""
    return f"http://127.0.0.1:{port}/datasets/{shown.name}{query}"
