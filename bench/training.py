"""Whether a model ever waits for its images: training as `fit` does it, beside the same steps on batches in memory."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from bench.measure import contender, median_cost, run_fresh
from bench.rows import Row

TARGET = 0.97
"""Of the throughput from memory, at least."""

ON_CPU = ("mobilenet_v2", 160, 16, 128)
ON_GPU = ("resnet34", 224, 64, 8192)
"""Encoder of the U-Net, side in px, images a step, images an epoch."""

AGREEMENT = 0.99
"""IoU between the masks that one model gives in fp32 and in bf16, at least."""


def training(work: Path, most: int, runs: int) -> list[Row]:
    """Throughput, waiting and memory on the CPU, and where there is a GPU, on it; epochs of no more images than given.

    The two take turns, an epoch each.
    """
    rows: list[Row] = []
    for device, (encoder, size, batch_size, usual) in {"cpu": ON_CPU, "cuda": ON_GPU}.items():
        images = min(usual, max(2 * batch_size, most))
        folder = work / f"train-{images}"
        if not folder.exists():
            run_fresh(contender("train_inputs", folder, images))
        outcome = run_fresh(contender("train_epochs", folder, device, encoder, size, batch_size, runs))
        found = outcome.printed
        if told := found.get("left_out"):
            print(f"skipped training on a GPU: {told}", file=sys.stderr)
            continue
        what = (
            f"train unet on {encoder}, {size} px, batches of {batch_size}, on {found['device']}, {found['precision']}"
        )
        ours, theirs = (images / median(found[name]) for name in ("fit_s", "memory_s"))
        rows += [
            rate(f"{what}: images per second, beside steps on batches in memory", ours, theirs),
            Row(what="  share of the time spent waiting for images", unit="", ours=median(found["waited"])),
            Row(what="  read from JPEG, resized and kept, once", unit="1/s", ours=images / found["cache_s"]),
            Row(what="  peak memory of its process", unit="MiB", ours=median_cost([outcome]).peak_mib),
        ]
        if device == "cuda":
            rows += gpu_rows(found)
    return rows


def rate(what: str, ours: float, theirs: float) -> Row:
    """Images a second as `fit` trains, and without anything to wait for."""
    ratio = ours / theirs
    return Row(what=what, unit="1/s", ours=ours, theirs=theirs, ratio=ratio, target=TARGET, bound="at least")


def gpu_rows(found: dict[str, float]) -> list[Row]:
    """What a GPU has beside: its own memory, fp32 for comparison, and whether the two precisions agree."""
    return [
        Row(what="  peak memory of the GPU", unit="MiB", ours=found["gpu_mib"]),
        Row(what="  the same in fp32: images per second from memory", unit="1/s", ours=found["fp32_rate"]),
        Row(what="  the same weights in fp32 and in bf16: IoU of their masks", unit="", ours=found["overlap"],
            target=AGREEMENT, bound="at least"),
        Row(what="    difference of their logits, as a share of their size", unit="", ours=found["difference"]),
        Row(what="  20 steps learnt in fp32 and in bf16: IoU of their masks", unit="", ours=found["overlap_apart"]),
    ]  # fmt: skip
