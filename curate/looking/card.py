"""`DATASET_CARD.md` of a version: what a stranger has to know before using it. From its tables alone."""

from __future__ import annotations

import html
from collections.abc import Iterator

import polars as pl

from curate.dataset import Header
from curate.looking.funnel import funnel_table
from curate.looking.show import counted, source_figures, split_parts
from curate.terminal import percent, spelt

CARD = "DATASET_CARD.md"
FEINT = "'"
"""In place of the sign that begins and ends code."""

HEAD = """\
---
task_categories: [image-segmentation]
tags: [person-segmentation, background-removal]
---
"""

LABELS = """
## Labels

One mask for each photograph, 8-bit PNG of its size: 0 is background, 255 person, 128 not counted (crowds, borders that
nobody drew, what was to be ignored). All people of a photograph are one mask; nothing tells one from another. Images of
`pool` have no label, or a model's guess; those of `background` show nobody.
"""

LIMITS = """
## Limits

- Who is in the photographs, and whether they were asked, the sources do not say; nor does anything here tell their age,
  sex or colour of skin, so how well these are mixed is not known.
- Licences are as the sources state them, and bind whoever uses or passes on the photographs. Where none is stated, none
  is known.
- Labels are as good as their sources: `curate label check DATASET` looks at each, and a run's `suspects.parquet` says
  which a model doubts.
"""


def dataset_card(header: Header, samples: pl.DataFrame, drops: pl.DataFrame) -> str:
    """The card as Hugging Face's hub shows it: a YAML head, then Markdown. The same version has the same card.

    Args:
        header: Of the version.
        samples, drops: Its tables (schema.SAMPLES, schema.DROPS).
    """
    return "\n".join(
        [HEAD, *_what(header, samples), *_choice(header), LABELS, *_sources(header, samples, drops), LIMITS]
    )


def _what(header: Header, samples: pl.DataFrame) -> Iterator[str]:
    yield f"# Photographs of people with masks: {plain(header.name)}, version {header.version}\n"
    came = f" It was made from version `{plain(header.parent)}`." if header.parent else ""
    said = f"{samples.height} images for training and testing person segmentation. Digest `{plain(header.digest)}`."
    yield f"{said}{came}\n"
    yield "| split | images | share of the image that people cover |\n| --- | ---: | ---: |"
    for part in split_parts(samples):
        area = "-" if part.mean_area is None else percent(part.mean_area)
        yield f"| {part.name} | {part.images} | {area} |"
    yield "\nLook-alikes are in one split together. Silhouette's docs/formats.md says what stands in `samples.parquet`."


def _choice(header: Header) -> Iterator[str]:
    if not header.funnel:
        return
    yield "\n## How it was chosen\n\nImage by image, by rules; `drops.parquet` has every other one with its reason.\n"
    yield f"```\n{spelt(funnel_table(header.funnel)).replace('`', FEINT)}\n```"


def _sources(header: Header, samples: pl.DataFrame, drops: pl.DataFrame) -> Iterator[str]:
    yield "## Sources\n\n| source | kind | kept | dropped | licences as stated |\n| --- | --- | ---: | ---: | --- |"
    for one in source_figures(samples, drops, header):
        if not one.kept + one.dropped:  # labels that came later, of images that are here already
            continue
        licences = ", ".join(f"{name} ({count})" for name, count in one.licences.items())
        cells = [one.name, one.kind, str(one.kept), str(one.dropped), licences]
        yield f"| {' | '.join(map(plain, cells))} |"
    made = ", ".join(f"{plain(origin)} ({count})" for origin, count in counted(samples["origin"]).items())
    yield f"\nMasks were made from: {made}."


def plain(text: str) -> str:
    """What a dataset or a source calls itself, as one line of Markdown that stays in its cell: no HTML, link or code.

    >>> plain("a|b <i>`[c](d)")
    "a/b &lt;i&gt;'\\\\[c](d)"
    """
    one_line = " ".join(spelt(text).split())
    return html.escape(one_line.replace("|", "/").replace("`", FEINT), quote=False).replace("[", r"\[")
