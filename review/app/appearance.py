"""How the App looks: colours, what the first screen shows, the order of the sidebar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import fiftyone as fo

from curate.masks import IGNORE, PERSON
from review.app.fields import LABEL_FIELDS, PHOTO_FIELDS, SAMPLE_FIELDS
from review.app.similarity import SIMILARITY_FIELDS
from review.layers import FALSE_NEGATIVE, FALSE_POSITIVE
from review.overlays import FALSE_NEGATIVE as MISSED_RGB
from review.overlays import FALSE_POSITIVE as FALSE_RGB
from review.overlays import RIGHT as PERSON_RGB

SCORES_SHOWN = ("iou", "dice", "boundary_iou", "bce", "label_quality")

PLAIN_COLOUR = "#4a5f78"
"""Of every tag whose colour means nothing; FiftyOne would give each number a colour of its own."""

TRIAGE_COLOURS = {"relabel": "#d9822b", "augment": "#7a5bc0", "ok": "#3a8f5a"}


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
    """A group for each run with the numbers a reviewer sorts by, then the label, the sample, the photograph."""
    per_run = ("errors", "prediction", "failure", "severity", "triage", *SCORES_SHOWN)
    paths = {prefix: [f"{prefix}_{name}" for name in per_run] for prefix in prefixes}
    label = ["ground_truth", "label_findings", *LABEL_FIELDS]
    metadata = [f"metadata.{name}" for name in ("size_bytes", "mime_type", "width", "height", "num_channels")]
    rest = ["id", "filepath", "created_at", "last_modified_at"]
    return [
        fo.SidebarGroupDocument(name="tags", paths=["tags"], expanded=True),
        *(
            fo.SidebarGroupDocument(name=prefix, paths=paths[prefix], expanded=place < expanded)
            for place, prefix in enumerate(prefixes)
        ),
        fo.SidebarGroupDocument(name="label", paths=label, expanded=True),
        fo.SidebarGroupDocument(name="sample", paths=[*SAMPLE_FIELDS], expanded=True),
        fo.SidebarGroupDocument(name="photograph", paths=["slices", *PHOTO_FIELDS, *SIMILARITY_FIELDS], expanded=True),
        fo.SidebarGroupDocument(name="metadata", paths=metadata, expanded=False),
        fo.SidebarGroupDocument(name="other", paths=rest, expanded=False),
    ]


def first_screen(prefixes: Sequence[str]) -> list[str]:
    """The fields whose boxes are ticked: the label, and for each run what is wrong, what kind it is, how bad.

    Without a run it is what the label check found.

    Drawn over the label, errors leave green what the prediction has right: the colours of the report.
    """
    shown = [f"{prefix}_{name}" for prefix in prefixes for name in ("errors", "failure", "triage", "iou")]
    return ["ground_truth", *(shown or ["label_findings", "label_severity"])]
