"""Dataset versions written row by row, so that a test knows every value in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import schema
from curate.dataset import Dataset, FunnelStep, Source, open_dataset
from curate.files import sha256_bytes, sha256_file
from curate.finish import finish_dataset
from curate.images import png_bytes
from curate.masks import SizeHW, Target, area_fraction
from tests.curate.scenes import photo

LABELS = {"people": "with a person", "crowd": "at most 2 people", "area": "area 20 % to 70 %"}


def person_target(share: float, size_hw: SizeHW = (30, 40)) -> Target:
    """A target of which the left part is person."""
    target = np.zeros(size_hw, np.uint8)
    target[:, : round(share * size_hw[1])] = 255
    return target


def row(sample_id: str, split: str = "train", **more: Any) -> dict[str, Any]:
    """A row of samples.parquet; the hashes are words, not digests."""
    return {
        "sample_id": sample_id,
        "image": f"images/{sample_id}.png",
        "mask": f"masks/{sample_id}.png",
        "width": 40,
        "height": 30,
        "people": 1,
        "area": 0.25,
        "split": split,
        "fold": -1,
        "group": f"group of {sample_id}",
        "source": sample_id.rpartition("-")[0],
        "licence": None,
        "origin": "polygon",
        "edges": "",
        "touching": [],
        "head_visible": None,
        "image_sha256": f"image of {sample_id}",
        "mask_sha256": f"mask of {sample_id}",
        "weight": 1.0,
        "tags": [],
    } | more


def drop(sample_id: str, rule: str, detail: str = "", **more: Any) -> dict[str, Any]:
    """A row of drops.parquet."""
    found = {"sample_id": sample_id, "source": sample_id.rpartition("-")[0], "rule": rule}
    return {**found, "value": None, "limit": None, "detail": detail} | more


def funnel_of(kept: int, drops: Iterable[dict[str, Any]]) -> list[FunnelStep]:
    """A funnel in which each rule of LABELS took its drops."""
    rules = [one["rule"] for one in drops]
    remaining = kept + len(rules)
    steps = [FunnelStep("looked at", "looked at", remaining)]
    for rule, label in LABELS.items():
        remaining -= rules.count(rule)
        steps.append(FunnelStep(rule, label, remaining))
    return [*steps, FunnelStep("kept", "kept", kept)]


def write_version(
    root: Path, rows: Iterable[dict[str, Any]], drops: Iterable[dict[str, Any]] = (), **header: Any
) -> Dataset:
    """A version on disk of these rows; images and masks are not written."""
    samples, dropped = schema.table([*rows], schema.SAMPLES), schema.table([*drops], schema.DROPS)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    names = sorted({*samples["source"], *dropped["source"]})
    given = {
        "name": "people",
        "version": 1,
        "parent": None,
        "recipe": {},
        "sources": [Source("coco", name, None, {f"{name}.json": f"digest of {name}"}) for name in names],
        "funnel": funnel_of(samples.height, dropped.iter_rows(named=True)),
    }
    finish_dataset(root, samples=samples, drops=dropped, **(given | header))
    return open_dataset(root)


def write_pictures(root: Path, rows: Iterable[dict[str, Any]], targets: dict[str, Target]) -> list[dict[str, Any]]:
    """Photographs and masks of these rows on disk; the rows with the hashes, sizes and areas that follow."""
    done = []
    for number, one in enumerate(rows):
        target = targets.get(one["sample_id"], person_target(one["area"]))
        image = photo(root / one["image"], target.shape, seed=number)
        encoded = png_bytes(target)
        (root / "masks").mkdir(parents=True, exist_ok=True)
        (root / one["mask"]).write_bytes(encoded)
        sizes = {"height": target.shape[0], "width": target.shape[1], "area": area_fraction(target)}
        done.append({**one, **sizes, "image_sha256": sha256_file(image), "mask_sha256": sha256_bytes(encoded)})
    return done


def many_rows(count: int, seed: int) -> pl.DataFrame:
    """So many rows of random values, without files."""
    random = np.random.default_rng(seed)
    ids = [f"coco-{number:012d}" for number in range(count)]
    varied = {
        "sample_id": ids,
        "image": [f"images/{one}.jpg" for one in ids],
        "mask": [f"masks/{one}.png" for one in ids],
        "width": random.integers(100, 3000, count),
        "height": random.integers(100, 3000, count),
        "people": random.integers(1, 7, count),
        "area": random.random(count),
        "split": random.choice(["train", "val", "test"], count, p=[0.7, 0.2, 0.1]),
        "fold": random.integers(-1, 5, count),
        "group": [f"{number // 3:016d}" for number in range(count)],
        "edges": random.choice(["", "L", "LB", "LTRB"], count),
        "touching": [["dog"] if number % 3 else [] for number in range(count)],
        "image_sha256": [f"image {one}" for one in ids],
        "mask_sha256": [f"mask {one} {number % 100 and seed}" for number, one in enumerate(ids)],
    }
    same = {key: value for key, value in row("coco-0").items() if key not in varied and not isinstance(value, list)}
    columns = [pl.lit(value).alias(key) for key, value in same.items()]
    frame = pl.DataFrame(varied).with_columns(*columns, pl.lit([], pl.List(pl.String)).alias("tags"))
    return frame.select(*schema.SAMPLES).cast(dict(schema.SAMPLES))  # type: ignore[arg-type]
