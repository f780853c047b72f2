"""What the operators do, apart from their forms."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import fiftyone as fo
import polars as pl
from fiftyone import ViewField as F

from curate import schema
from curate.dataset import open_dataset
from curate.errors import MachineError, UsageError
from curate.looking.card import plain
from review.app.known import Known
from review.compare import compare_runs, gain_words, verdict
from review.runs import open_run
from review.slices import conditions_of, figures_by_slice, figures_of, is_worse, slices_of
from train.scoring.figures import TABLE_ROWS, groups_of, number, summaries, with_interval

CURATE = (sys.executable, "-m", "curate")
OPENED_IN = "CURATE_OPENED_IN"
"""The environment variable with the folder that the App was opened in."""
START_S = 5.0
"""Within so many seconds a loop has looked at its options."""


def chosen_words(count: int) -> str:
    """So many images."""
    return f"{count} image{'s' if count != 1 else ''}"


def mark(shown: fo.Dataset, ids: Sequence[str], verdict: str, note: str | None) -> None:
    """Give samples a verdict, in place of the one they have, and a note where there is one.

    Args:
        shown: Our FiftyOne dataset.
        ids: FiftyOne's ids of the samples.
        verdict: One of schema.VERDICTS.
        note: What a reviewer says of them; None leaves the notes that are there.
    """
    chosen = shown.select(list(ids))
    chosen.untag_samples([other for other in schema.VERDICTS if other != verdict])
    chosen.tag_samples(verdict)
    if note is not None:
        chosen.set_values("note", [note] * len(chosen), progress=False)


def next_worst(shown: fo.Dataset, lead: str, current: str | None) -> str | None:
    """FiftyOne's id of the worst image without a verdict; of the next one where such an image is open.

    Args:
        shown: Our FiftyOne dataset.
        lead: The prefix of the run that leads.
        current: The id of the sample that is open.
    """
    severity = f"{lead}_severity"
    wrong = shown.match(F(severity) > 0).sort_by(severity, reverse=True)
    ids, tags = wrong.values(["id", "tags"])
    begin = ids.index(current) + 1 if current in ids else 0
    undecided = [one for one, given in zip(ids, tags, strict=True) if not set(given) & set(schema.VERDICTS)]
    later = set(ids[begin:])
    return next((one for one in undecided if one in later), next(iter(undecided), None) if begin == 0 else None)


def beside_each_other(sample: fo.Sample, pair: Sequence[str]) -> str:
    """The figures of two runs on a sample, as a Markdown table."""
    lines = [f"**{plain(sample.sample_id)}**", "", f"| | {pair[0]} | {pair[1]} |", "| --- | ---: | ---: |"]
    for name in ("iou", "dice", "boundary_iou", "bce", "label_quality", "failure", "triage"):
        cells = [sample.get_field(f"{prefix}_{name}") for prefix in pair]
        shown = [f"{cell:.3f}" if isinstance(cell, float) else cell or "-" for cell in cells]
        lines.append(f"| {name.replace('_', ' ')} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)


def placed(text: str) -> Path:
    """A path that a reviewer typed, from the folder the App was opened in: FiftyOne's server runs elsewhere."""
    return Path(os.environ.get(OPENED_IN, ".")).resolve() / Path(text).expanduser()


def send(known: Known, sample_ids: Sequence[str], tool: str, out: Path) -> str:
    """Write images for a labelling tool; what the command says. Raises what `run_curate` raises."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as ids:  # an argument cannot hold many of them
        ids.write("\n".join(sample_ids))
        ids.flush()
        return run_curate(["label", "export", known.root, "--ids", ids.name, "--to", tool, "--out", str(out)])


def take_back(known: Known, path: Path, out: Path) -> str:
    """Make a new version of finished labels; what the command says. Raises what `run_curate` raises."""
    return run_curate(["label", "import", known.root, str(path), "--out", str(out)])


def lead_of(known: Known) -> str:
    """The prefix of the run that leads; UsageError where none is shown."""
    if known.lead is None:
        raise UsageError("no run is shown. Open one with: curate review open RUN")
    return known.lead


def retrain(known: Known, out: Path, budget: str) -> Path:
    """Start a loop from the run that leads, by the verdicts set so far; the file that takes what it prints.

    Raises:
        UsageError: No run is shown, or the one that leads was not trained here.
        MachineError: The verdicts cannot be written, or the loop ends at once.
    """
    run = known.run(lead_of(known))
    if not (run / "best.safetensors").is_file():
        raise UsageError(f"{run}: was not trained here, so it has no weights to go on from. Start with: curate loop")
    run_curate(["review", "pull", str(run), "--dataset", known.root])
    given = ["--from", str(run), "--decisions", str(run / "decisions.jsonl")]
    return start_curate(["loop", known.root, "--out", str(out), "--budget", budget, *given], out)


def run_curate(words: Sequence[str]) -> str:
    """Run a command of curate to its end; what it says.

    Raises:
        MachineError: It ends with an error; the message is its own.
    """
    done = subprocess.run([*CURATE, *words], capture_output=True, text=True, check=False)
    said = "\n".join(part for part in (done.stdout.strip(), done.stderr.strip()) if part)
    if done.returncode:
        raise MachineError(last_line(done.stderr))
    return f"```\n{said}\n```"


def start_curate(words: Sequence[str], out: Path) -> Path:
    """Start a command of curate that outlives the App; the file that takes what it prints.

    Raises:
        MachineError: The file cannot be written, or the command ends with an error within START_S.
    """
    log = out.parent / f"{out.name}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as told:
            started = subprocess.Popen(
                [*CURATE, *words], stdin=subprocess.DEVNULL, stdout=told, stderr=told, start_new_session=True
            )
    except OSError as error:
        raise MachineError(f"{log}: {error.strerror}. Choose another folder") from error
    with suppress(subprocess.TimeoutExpired):
        if started.wait(START_S):
            raise MachineError(last_line(log.read_text(errors="replace")))
    return log


def last_line(said: str) -> str:
    """The error that a command ended with."""
    return (said.strip().splitlines() or ["it ended with an error"])[-1].removeprefix("error: ")


def review_tables(known: Known) -> str:
    """The runs' scores, slices, and what changed between the first two of them, as Markdown."""
    if known.lead is None:
        return "No run is shown. Open one with `curate review open RUN`."
    dataset = open_dataset(known.dataset, known.digest)
    groups, slices = groups_of(dataset), slices_of(dataset.samples, conditions_of(dataset))
    order = [known.lead, *(prefix for prefix in known.runs if prefix != known.lead)]
    runs = {prefix: open_run(known.run(prefix), known.dataset) for prefix in order[:2]}
    parts = [f"**{prefix}**\n\n{scores_table(run.scores, groups)}" for prefix, run in runs.items()]
    scores = [run.scores.filter(run.is_honest()) for run in runs.values()]
    if scores[0].height:
        parts.append(f"**Kinds of photograph, {known.lead}**\n\n{slices_table(scores[0], slices, groups)}")
    if len(runs) > 1:
        first, second = (one.join(other, on="sample_id", how="semi") for one, other in (scores, scores[::-1]))
        parts.append(f"**{' (A) and '.join(order[:2])} (B)**\n\n{changes_table(first, second, slices, groups)}")
    return "\n\n".join(parts)


Groups = Mapping[str, str]


def scores_table(scores: pl.DataFrame, groups: Groups) -> str:
    """The summary of each split."""
    found = summaries(scores, groups)
    rows = [["", *(f"{split}, {summary.images} images" for split, (summary, _, _) in found.items())]]
    for title, field in TABLE_ROWS.items():
        cells = [with_interval(getattr(summary, field), intervals[field]) for summary, _, intervals in found.values()]
        if set(cells) != {"-"}:
            rows.append([title.strip(), *cells])
    return table(rows)


def slices_table(scores: pl.DataFrame, slices: pl.DataFrame, groups: Groups) -> str:
    """How a run does on each slice, worst first."""
    whole = figures_of("all", scores, groups)
    rows = [["slice", "images", "IoU", "Boundary IoU"]]
    for one in (*figures_by_slice(scores, slices, groups), whole):
        name = f"**{one.slice}, worse**" if is_worse(one, whole) else one.slice
        figures = with_interval(one.iou, one.iou_interval), with_interval(one.boundary_iou, one.boundary_iou_interval)
        rows.append([name, str(one.images), *figures])
    return table(rows)


def changes_table(first: pl.DataFrame, second: pl.DataFrame, slices: pl.DataFrame, groups: Groups) -> str:
    """What differs between two runs, in all and by slice."""
    if not first.height:
        return "They are scored on no validation image in common; `curate review compare --split test` looks at others."
    found = compare_runs(first, second, slices, groups)
    figures = [*((one.name, one) for one in found.figures), *((one.slice, one.iou) for one in found.slices)]
    rows = [["", "A", "B", "B - A", "p"]]
    for name, one in figures:
        chance = "-" if one.p is None else f"{one.p:.4f}"
        rows.append([name, number(one.first), number(one.second), gain_words(one), chance])
    counts = f"{found.better} images better, {found.worse} worse, {found.same} the same."
    return f"{verdict(found)}. {counts}\n\n{table(rows)}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first of them its head, numbers to the right."""
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
