"""What a reviewer can do from inside the App: the operators and the panel of the plugin in `plugin/`.

Each operator is a thin form over a function of this folder or a command of `curate`, which says in one line what is
wrong where it cannot do what it was asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from curate import schema
from curate.errors import CurateError
from curate.looking.card import plain
from review.app.actions import (
    beside_each_other,
    chosen_words,
    lead_of,
    mark,
    next_worst,
    placed,
    retrain,
    review_tables,
    send,
    take_back,
)
from review.app.known import Known, known_of

VERDICT_MEANINGS = {
    "relabel": "the label is wrong: it waits for a new one",
    "exclude": "the image is of no use: it leaves the dataset",
    "hard": "the label is right and the image is hard: it is drawn more often",
    "ok": "nothing is wrong with the label",
}
TOOLS = {
    "cvat": "CVAT: a zip to make a task of",
    "labelstudio": "Label Studio: tasks with masks to start from",
    "labelme": "LabelMe",
    "coco": "COCO",
    "png": "PNG masks",
}


def chosen_ids(ctx: Any) -> list[str]:
    """The samples that are selected, else the one that is open."""
    return list(ctx.selected) or ([ctx.current_sample] if ctx.current_sample else [])


def ask_for_images(ctx: Any, inputs: types.Object) -> None:
    """Say how many images are chosen; where none is, the form cannot be sent."""
    ids = chosen_ids(ctx)
    if ids:
        inputs.message("chosen", label=chosen_words(len(ids)))
    else:
        inputs.view("chosen", types.Warning(label="Select images first, or open one")).invalid = True


class _Operator(foo.Operator, ABC):  # type: ignore[misc]
    """An operator with its words as class attributes, which shows what it has to say as Markdown."""

    name, label, description, icon = "", "", "", ""
    place: types.Places | None = None
    dynamic = False

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name=self.name, label=self.label, description=self.description, icon=self.icon, dynamic=self.dynamic
        )

    def resolve_placement(self, ctx: Any) -> types.Placement | None:
        if self.place is None or not is_ours(ctx):
            return None
        return types.Placement(self.place, types.Button(label=self.label, icon=self.icon, prompt=True))

    def resolve_output(self, ctx: Any) -> types.Property:
        outputs = types.Object()
        outputs.str("said", view=types.MarkdownView())
        return types.Property(outputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, str]:
        try:
            return {"said": self.act(ctx, known_of(ctx.dataset))}
        except CurateError as error:
            return {"said": f"**Not done.** {plain(str(error))}"}

    @abstractmethod
    def act(self, ctx: Any, known: Known) -> str:
        """Do it, and say what was done."""


def is_ours(ctx: Any) -> bool:
    """Whether the dataset in the App is one of ours."""
    try:
        known_of(ctx.dataset)
    except CurateError:
        return False
    return True


class Mark(_Operator):
    """Give the chosen images a verdict and a note."""

    name, label, icon = "mark", "Mark images", "rate_review"
    description = "Say what is to be done with the selected images, with a note; `curate review pull` takes it back"
    place = types.Places.SAMPLES_GRID_SECONDARY_ACTIONS

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        ask_for_images(ctx, inputs)
        choices = types.RadioGroup()
        for verdict in schema.VERDICTS:
            choices.add_choice(verdict, label=verdict, description=VERDICT_MEANINGS[verdict])
        inputs.enum("verdict", choices.values(), label="Verdict", view=choices, required=True)
        inputs.str("note", label="Note", description="Why; it stands beside the verdict in decisions.jsonl")
        return types.Property(inputs, view=types.View(label=self.label))

    def act(self, ctx: Any, known: Known) -> str:
        ids = chosen_ids(ctx)
        mark(ctx.dataset, ids, ctx.params["verdict"], ctx.params.get("note") or None)
        ctx.ops.reload_samples()
        return f"{chosen_words(len(ids))} marked **{ctx.params['verdict']}**. Take it back with `curate review pull`."


class NextWorst(_Operator):
    """Open the worst image that nobody has decided on yet, or the one after the open one."""

    name, label, icon = "next_worst", "Next worst image", "skip_next"
    description = "Open the next of the worst images without a verdict"
    place = types.Places.SAMPLES_VIEWER_ACTIONS

    def resolve_placement(self, ctx: Any) -> types.Placement | None:
        if not is_ours(ctx):
            return None
        return types.Placement(self.place, types.Button(label=self.label, icon=self.icon, prompt=False))

    def act(self, ctx: Any, known: Known) -> str:
        found = next_worst(ctx.dataset, lead_of(known), ctx.current_sample)
        if found is None:
            return "Every scored image that is wrong has a verdict."
        ctx.ops.open_sample(id=found)
        return f"opened {plain(ctx.dataset[found].sample_id)}"


class Compare(_Operator):
    """Show two runs on the image at hand."""

    name, label, icon = "compare", "Compare two runs", "compare"
    description = "The errors of two runs over this image, and their figures beside each other"
    place = types.Places.SAMPLES_VIEWER_ACTIONS

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs, known = types.Object(), known_of(ctx.dataset)
        if len(known.runs) < 2:
            say = "Two runs are needed: curate review open RUN RUN2"
            inputs.view("runs", types.Warning(label=say)).invalid = True
        ask_for_images(ctx, inputs)
        names = [*known.runs]
        for letter, default in zip("ab", names[:2], strict=False):
            inputs.enum(letter, names, label=f"Run {letter.upper()}", default=default, required=True)
        return types.Property(inputs, view=types.View(label=self.label))

    def act(self, ctx: Any, known: Known) -> str:
        pair = ctx.params["a"], ctx.params["b"]
        ctx.ops.set_active_fields(["ground_truth", *(f"{prefix}_errors" for prefix in pair)])
        return "\n\n".join(beside_each_other(ctx.dataset[one], pair) for one in chosen_ids(ctx))


class Send(_Operator):
    """Write the chosen images for a labelling tool."""

    name, label, icon = "send", "Send to be labelled", "send"
    description = "Write the selected images, with masks to start from, for CVAT, Label Studio and other tools"
    place = types.Places.SAMPLES_GRID_SECONDARY_ACTIONS

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        ask_for_images(ctx, inputs)
        choices = types.Dropdown()
        for tool, meaning in TOOLS.items():
            choices.add_choice(tool, label=meaning)
        inputs.enum("tool", choices.values(), label="For", view=choices, default="cvat", required=True)
        inputs.str(
            "out", label="Write to", description="A folder or a .zip on the machine that runs the App", required=True
        )
        return types.Property(inputs, view=types.View(label=self.label))

    def act(self, ctx: Any, known: Known) -> str:
        ids = ctx.dataset.select(chosen_ids(ctx)).values("sample_id")
        return send(known, ids, ctx.params["tool"], placed(ctx.params["out"]))


class Import(_Operator):
    """Make a new dataset version of finished labels."""

    name, label, icon = "import_labels", "Take labels back", "move_to_inbox"
    description = "Make a new version of this dataset with the labels that a tool exported"
    place = types.Places.SAMPLES_GRID_SECONDARY_ACTIONS

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        inputs.str("path", label="Labels", description="The file, folder or zip as the tool exported it", required=True)
        inputs.str("out", label="New version", description="Its folder; the old version stays as it is", required=True)
        return types.Property(inputs, view=types.View(label=self.label))

    def act(self, ctx: Any, known: Known) -> str:
        out = placed(ctx.params["out"])
        said = take_back(known, placed(ctx.params["path"]), out)
        return f"{said}\n\nLook at it with `curate review open {out}`."


class Retrain(_Operator):
    """Start a round of the loop, which goes on when the App is closed."""

    name, label, icon = "retrain", "Retrain on what is hard", "autorenew"
    description = "Start `curate loop` in the background with the verdicts so far"
    place = types.Places.SAMPLES_GRID_SECONDARY_ACTIONS

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        inputs.str("out", label="Loop", description="A folder for it", required=True)
        budget = "Epochs (4) or minutes (30m) for each arm"
        inputs.str("budget", label="Budget", description=budget, default="4", required=True)
        return types.Property(inputs, view=types.View(label=self.label))

    def act(self, ctx: Any, known: Known) -> str:
        out = placed(ctx.params["out"])
        log = retrain(known, out, ctx.params["budget"])
        status = f"`curate loop status {out}` says how far it is"
        return f"Started; it goes on when the App is closed. {status}, and {log} what it prints."


class Figures(foo.Panel):  # type: ignore[misc]
    """The runs' scores, slices and what changed between them, beside the images."""

    @property
    def config(self) -> foo.PanelConfig:
        return foo.PanelConfig(
            name="figures", label="Silhouette", icon="insights", help_markdown="What the runs at hand score."
        )

    def on_load(self, ctx: Any) -> None:
        try:
            said = review_tables(known_of(ctx.dataset))
        except CurateError as error:
            said = plain(str(error))
        ctx.panel.set_state("said", said)

    def render(self, ctx: Any) -> types.Property:
        panel = types.Object()
        panel.md(ctx.panel.get_state("said", ""), name="tables")
        return types.Property(panel, view=types.GridView(align_x="left", padding=2))


OPERATORS: Sequence[type[foo.Operator]] = (Mark, NextWorst, Compare, Send, Import, Retrain)


def register(plugin: Any) -> None:
    """Called by FiftyOne: hands it the operators and the panel."""
    for operator in (*OPERATORS, Figures):
        plugin.register(operator)
