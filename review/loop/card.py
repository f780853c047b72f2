"""`MODEL_CARD.md` of a promoted run: what a stranger has to know before using it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from curate import schema
from curate.dataset import Dataset, open_dataset
from curate.files import write_atomic
from curate.looking.show import source_figures, split_parts
from review.compare import table_rows
from review.loop.folders import round_folder
from review.loop.mine import Mining, options_of
from review.loop.round import RoundResult
from review.loop.steps import scores_of
from review.pages import page
from review.slices import conditions_of, figures_by_slice, figures_of, is_worse, slices_of
from train.config import placed, read_config
from train.scoring.figures import groups_of, number, with_interval
from train.scoring.metrics import summarise

CARD = "MODEL_CARD.md"


def write_card(dataset: Dataset, out: Path, result: RoundResult, mining: Mining) -> None:
    """Write the card of what a round promoted into that run's folder, unless one is there.

    It is what Hugging Face's hub shows of a model: a YAML head, then Markdown.

    Args:
        dataset: The version by which the round is judged.
        out: The loop.
        result: The round.
        mining: What it did with what it found.
    """
    run = placed(result.promotes, out)
    if not result.promoted or (run / CARD).is_file():
        return
    scores = scores_of(placed(result.runs[result.proposed], out), "test")
    own = summarise(scores)
    slices = slices_of(dataset.samples, conditions_of(dataset))
    groups = groups_of(dataset)
    whole = figures_of("all", scores, groups)
    weak = [one for one in figures_by_slice(scores, slices, groups) if is_worse(one, whole)]
    guessed = result.guessed if result.proposed == "after" else 0
    material = open_dataset(round_folder(out, result.round) / "guessed") if guessed else dataset
    learnt = material.samples.filter(pl.col("split").is_in(schema.LEARNT))
    text = page(
        "card.md",
        config=read_config(run),
        dataset=dataset,
        sources=source_figures(learnt, material.drops, material.header),
        splits=[one for one in split_parts(material.samples) if one.images],
        guessed=guessed,
        result=result,
        table=table_rows(result.table, result.gains),
        weak=[(one.slice, one.images, with_interval(one.iou, one.iou_interval)) for one in (*weak, whole)],
        mining=options_of(mining) if result.proposed == "after" else "",
        own=[number(figure) for figure in (own.mean_iou, own.worst_tenth_iou)],
    )
    write_atomic(run / CARD, text + b"\n")
