"""Photographs that become samples: chosen by the rules of the dataset's build, and placed beside what is there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from curate import schema
from curate.choosing.join import choose_beside, join_funnels
from curate.dataset import Dataset, FunnelStep
from curate.sources.version import read_version
from curate.threads import Watch
from label.intake import Intake
from label.rules import build_recipe


@dataclass(frozen=True)
class Addition:
    """What a version looks like with the photographs that its rules keep.

    Attributes:
        samples: Its rows, the new ones among them.
        images, masks: The files of the new ones, by sample_id.
        drops: The images dropped, now and before.
        dropped: Those of them that were dropped now.
        funnel: Of all of them.
    """

    samples: pl.DataFrame
    images: dict[str, Path]
    masks: dict[str, Path]
    drops: pl.DataFrame
    dropped: pl.DataFrame
    funnel: list[FunnelStep]

    def told_of(self, folder: Path, path: Path) -> Addition:
        """The same with every drop's detail about `folder` telling of `path`, the zip it was unpacked from."""
        mended = pl.col("detail").str.replace_all(str(folder), str(path), literal=True)
        return replace(self, drops=self.drops.with_columns(mended), dropped=self.dropped.with_columns(mended))


def no_addition(parent: Dataset, samples: pl.DataFrame) -> Addition:
    """Nothing added to a version whose rows are `samples` now."""
    return Addition(samples, {}, {}, parent.drops, parent.drops.clear(), parent.header.funnel)


def add_photographs(parent: Dataset, samples: pl.DataFrame, intake: Intake, spool: Path, watch: Watch) -> Addition:
    """What becomes of the photographs that an import would add.

    One that was dropped before is looked at again: its label may have been mended.

    Args:
        parent: The version before.
        samples: Its rows as the import's labels leave them.
        intake: The import; its `added` are looked at.
        spool: A folder that masks are written into.
        watch: Told of progress.

    Raises:
        CurateError: A photograph of the version cannot be read.
    """
    changes = intake.added
    if not changes:
        return no_addition(parent, samples)
    rows: list[dict[str, Any]] = [changes[name].row for name in sorted(changes)]
    newcomers = replace(parent, root=Path(), scan=schema.table(rows, schema.SAMPLES).lazy())
    folder = spool / "added"
    (folder / "masks").mkdir(parents=True)
    read = read_version(newcomers, newcomers.samples)
    chosen = choose_beside(replace(parent, scan=samples.lazy()), read, build_recipe(parent.header), folder, watch)
    kept = chosen.kept.select(schema.SAMPLES.names()).cast(schema.SAMPLES)
    again, others = split_by(parent.drops, changes)
    return Addition(
        pl.concat([samples, kept]).sort("sample_id"),
        {name: Path(path) for name, path in chosen.kept.select("sample_id", "path").iter_rows()},
        {name: folder / "masks" / f"{name}.png" for name in kept["sample_id"]},
        pl.concat([others, chosen.drops]).sort("sample_id", "rule"),
        chosen.drops,
        join_funnels(parent.header.funnel, chosen.funnel, dict(again.group_by("rule").len().iter_rows())),
    )


def split_by(drops: pl.DataFrame, names: Collection[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows about some images, and the others."""
    mine = pl.col("sample_id").is_in(list(names))
    return drops.filter(mine), drops.filter(~mine)
