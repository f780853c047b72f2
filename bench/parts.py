"""The measurements: each returns rows, and raises BenchError where contenders disagree."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.contenders.sentence import OPTIONS
from bench.measure import BenchError, Cost, Outcome, contender, curate, in_turns, median_cost, run_fresh
from bench.rows import Row, faster, share

APART = ("reading photos", "finding duplicates", "drawing the contact sheet")
"""Stages of a build that its comparison leaves out: hand-written scripts neither check images, nor hash, nor look for
copies, nor show what they chose. Named as `build_dataset` tells its Watch; the first holds image checks, hashing and
perceptual signatures."""
START_UP_IMAGES = 100
"""Images of the build whose time counts as start-up."""
NOISE = 1.1
"""Growing no faster than the file means: per byte at most this many times what the smallest file takes."""


def generate(path: Path, images: int, photos: Path | None = None) -> Path:
    """A generated COCO file and, where wanted, its photographs, written by a process of its own."""
    if not path.exists():
        more = [] if photos is None else ["--photos", str(photos)]
        run_fresh([sys.executable, "-m", "bench.generate", str(path), "--images", str(images), *more])
    return path


def selecting(work: Path, images: int, runs: int) -> list[Row]:
    """Choosing by union area and people, against pycocotools and against the bare typed decode."""
    path = generate(work / f"coco-{images}.json", images)
    found = in_turns(
        {
            "curate": dry_run(path),
            "pycocotools": contender("pycocotools_select", path),
            "decode": contender("typed_decode", path),
        },
        runs,
    )
    check_same_choice(found, run_fresh(contender("curate_select", path)))
    ours, theirs, decode = (median_cost(found[name]) for name in ("curate", "pycocotools", "decode"))
    size = f"{images:,} images, {path.stat().st_size / 1e6:.0f} MB"
    return [
        faster(f"dry run of {size}: against pycocotools", ours.wall_s, theirs.wall_s, 10),
        faster("  the same in CPU seconds", ours.cpu_s, theirs.cpu_s, None),
        share("  against the bare typed decode", "s", ours.wall_s, decode.wall_s, 3),
        share("  the same in CPU seconds", "s", ours.cpu_s, decode.cpu_s, None),
        share("  peak memory against pycocotools", "MiB", ours.peak_mib, theirs.peak_mib, 1 / 3),
    ]


def dry_run(path: Path) -> list[str]:
    """The command that the project is known by."""
    return curate("build", "--coco", path, *OPTIONS, "--dry-run", "--json")


def check_same_choice(found: dict[str, list[Outcome]], named: Outcome) -> None:
    """Raise BenchError unless every run of either contender keeps the very same images."""
    ours, theirs = named.printed["kept"], found["pycocotools"][0].printed["kept"]
    if ours != theirs:
        odd = sorted({*ours} ^ {*theirs})
        raise BenchError(
            f"curate keeps {len(ours)} images, pycocotools {len(theirs)}; the first that differs: {odd[0]}"
        )
    for outcome in found["curate"]:
        if outcome.printed["kept"] != len(ours):
            raise BenchError(f"the dry run keeps {outcome.printed['kept']} images, pycocotools {len(ours)}")


def scaling(work: Path, images: int, runs: int, multiples: Sequence[int]) -> list[Row]:
    """How the dry run's time and memory grow with the file, per byte of it."""
    rows: list[Row] = []
    base: tuple[Cost, float] | None = None
    for multiple in multiples:
        if base is not None and (why := lacks(work, base, multiple / multiples[0])):
            print(f"left out from {multiple} times the file on: {why}", file=sys.stderr)
            break
        path = generate(work / f"coco-{images * multiple}.json", images * multiple)
        size_mb = path.stat().st_size / 1e6
        # Larger files are measured once: a single run of them is long enough for the machine to even out.
        cost = median_cost(in_turns({"curate": dry_run(path)}, runs if multiple <= 2 else 1)["curate"])
        target = NOISE if base is not None else None
        first, first_mb = base = base or (cost, size_mb)
        longer = size_mb / first_mb
        what = f"dry run of {images * multiple:,} images, {size_mb:.0f} MB"
        time, memory = cost.wall_s / first.wall_s / longer, cost.peak_mib / first.peak_mib / longer
        rows += [
            Row(what=f"{what}: time", unit="s", ours=cost.wall_s, ratio=time, target=target),
            Row(what="  memory", unit="MiB", ours=cost.peak_mib, ratio=memory, target=target),
        ]
    return rows


def lacks(work: Path, base: tuple[Cost, float], longer: float) -> str | None:
    """What this machine has too little of for a file so many times longer than the first one, or None.

    Args:
        work: Where it would be written.
        base: What the first one cost, and its size in MB.
        longer: How many times longer it is.
    """
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    peak_mib, size_mb = base[0].peak_mib * longer, base[1] * longer
    if peak_mib > 0.9 * memory_mib:
        return f"it would take {peak_mib:.0f} MiB of memory, there are {memory_mib:.0f}"
    free_mb = shutil.disk_usage(work).free / 1e6
    if size_mb > 0.9 * free_mb:
        return f"it would take {size_mb:.0f} MB of disk, {free_mb:.0f} are free"
    return None


def opening(work: Path, rows: int, runs: int) -> list[Row]:
    """CPU seconds that opening a dataset and filtering it costs beyond importing polars."""
    folder = work / f"version-{rows}"
    shutil.rmtree(folder, ignore_errors=True)
    expected = run_fresh(contender("write_version", folder, "--rows", rows)).printed["kept"]
    commands = {"open": contender("open_and_filter", folder), "polars": contender("import_polars")}
    in_turns(commands, 1)  # the first import of a package compiles it
    found = in_turns(commands, runs)
    for outcome in found["open"]:
        if outcome.printed["kept"] != expected:
            raise BenchError(f"filtering keeps {outcome.printed['kept']} rows of {folder}, expected {expected}")
    opened, polars = median_cost(found["open"]), median_cost(found["polars"])
    beyond = opened.cpu_s - polars.cpu_s
    what = f"open and filter {rows:,} rows: CPU beyond importing polars"
    return [
        Row(what=what, unit="s", ours=beyond, target=0.3),
        Row(what="  the whole process, and importing polars", unit="s", ours=opened.cpu_s, theirs=polars.cpu_s),
    ]


def building(work: Path, sizes: Sequence[int], runs: int) -> list[Row]:
    """Full builds against a hand-written script with the same outputs, and how the cost per image grows."""
    photos = work / "photos"
    generate(work / f"build-{max(sizes)}.json", max(sizes), photos)
    start_s = build_seconds(build_both(work, START_UP_IMAGES, photos, runs)["curate"])[0]
    rows, per_image = [], {}
    for images in sizes:
        found = build_both(work, images, photos, runs)
        ours_s, stages = build_seconds(found["curate"])
        theirs_s = median_cost(found["pycocotools"]).wall_s
        apart = {name: stages[name] for name in APART if name in stages}
        compared_s = ours_s - sum(apart.values())
        per_image[images] = 1000 * (ours_s - start_s) / (images - START_UP_IMAGES)
        kept = found["curate"][0].printed["kept"]
        rows += [
            # Starting up is most of a small build, on either side: the promise is about large ones.
            faster(
                f"build of {images:,} images, {kept:,} kept: what both do",
                compared_s,
                theirs_s,
                5 if images == max(sizes) else None,
            ),
            faster("  everything", ours_s, theirs_s, None),
            *stage_rows(stages),
        ]
    base = min(sizes)
    rows += [
        Row(what=f"build, per image of {images:,}, after start-up", unit="ms", ours=cost, ratio=cost / per_image[base],
            target=None if images == base else 1.1)
        for images, cost in per_image.items()
    ]  # fmt: skip
    return rows


def stage_rows(stages: dict[str, float]) -> list[Row]:
    """A row for each stage of a build; the last one goes on to the end of it."""
    *names, last = stages
    labels = [f"  stage: {name}" for name in names] + [f"  stage: {last}, and all that follows"]
    return [Row(what=label, unit="s", ours=seconds) for label, seconds in zip(labels, stages.values(), strict=True)]


def build_both(work: Path, images: int, photos: Path, runs: int) -> dict[str, list[Outcome]]:
    """Builds by both contenders, each into a new folder; BenchError where they differ."""
    path = generate(work / f"build-{images}.json", images)
    found: dict[str, list[Outcome]] = {"curate": [], "pycocotools": []}
    for run in range(runs):
        outs = {name: work / f"built-{name}-{images}" for name in found}
        for name, out in outs.items():
            shutil.rmtree(out, ignore_errors=True)
            found[name].append(run_fresh(contender(f"{name}_build", path, photos, out)))
        if run == 0:
            check_same_build(outs["curate"], outs["pycocotools"])
        for out in outs.values():
            shutil.rmtree(out)
    return found


def check_same_build(ours: Path, theirs: Path) -> None:
    """Raise BenchError unless both folders hold the same photographs and masks."""
    differences = run_fresh(contender("compare_builds", ours, theirs)).printed["differences"]
    if differences:
        raise BenchError(f"{ours} and {theirs} differ in {len(differences)} images; the first: {differences[0]}")


def build_seconds(outcomes: Sequence[Outcome]) -> tuple[float, dict[str, float]]:
    """Median seconds of whole builds, and of each of their stages."""
    stages = [outcome.printed["stages"] for outcome in outcomes]
    return median_cost(outcomes).wall_s, {name: median(one[name] for one in stages) for name in stages[0]}


def searching(images: int, runs: int) -> list[Row]:
    """The search for near duplicates by itself."""
    outcomes = in_turns({"search": contender("near_copies", images)}, runs)["search"]
    for outcome in outcomes:
        if outcome.printed["missed"]:
            raise BenchError(f"the search for copies missed {outcome.printed['missed']} that are the same to the pixel")
    wall_s, cpu_s = (median(outcome.printed[figure] for outcome in outcomes) for figure in ("wall_s", "cpu_s"))
    return [
        Row(what=f"search for copies among {images:,} images", unit="s", ours=wall_s),
        Row(what="  the same in CPU seconds", unit="s", ours=cpu_s),
        Row(what="  peak memory of its process", unit="MiB", ours=median_cost(outcomes).peak_mib),
    ]


def labelling(work: Path, sizes: Sequence[int], runs: int) -> list[Row]:
    """Taking in PNG masks, and how the memory it takes grows with them."""
    rows: list[Row] = []
    first_mib = 0.0
    for labels in sizes:
        folder = work / f"labels-{labels}"
        if not folder.exists():
            run_fresh(contender("label_inputs", folder, labels))
        outcomes = in_turns({"import": contender("label_import", folder)}, runs)["import"]
        for outcome in outcomes:
            if outcome.printed["imported"] < 0.9 * labels:
                raise BenchError(f"of {labels} masks {outcome.printed['imported']} came in")
        wall_s, peak_mib = median(one.printed["wall_s"] for one in outcomes), median_cost(outcomes).peak_mib
        first_mib = first_mib or peak_mib
        rows += [
            Row(
                what=f"import of {labels:,} PNG masks: masks per second",
                unit="1/s",
                ours=labels / wall_s,
                target=300,
                bound="at least",
            ),
            Row(what="  peak memory", unit="MiB", ours=peak_mib, ratio=peak_mib / first_mib),
        ]
    return rows


PIXELS = ("tp", "fp", "fn", "tn")


def scoring(work: Path, images: int, runs: int) -> list[Row]:
    """Scoring masks of 640x480 px, beside FiftyOne's `evaluate_segmentations`, and with all around the network."""
    folder = work / f"scores-{images}"
    if not folder.exists():
        run_fresh(contender("score_inputs", folder, images))
    names = {"stored": "score_stored", "around": "score_around", "fiftyone": "fiftyone_scores"}
    found = in_turns({name: contender(module, folder) for name, module in names.items()}, runs)
    seconds = {
        name: tuple(median(one.printed.get(figure, 0.0) for one in outcomes) for figure in ("wall_s", "cpu_s"))
        for name, outcomes in found.items()
    }
    rows = [
        rate(f"score {images:,} masks of 640x480: images per second", images / seconds["stored"][0], 350),
        rate("  the same per CPU second", images / seconds["stored"][1]),
        rate("  with photographs read and predictions written", images / seconds["around"][0]),
        rate("  the same per CPU second", images / seconds["around"][1]),
    ]
    if told := found["fiftyone"][0].printed.get("left_out"):
        print(f"skipped FiftyOne's evaluate_segmentations: {told}", file=sys.stderr)
        return rows
    check_same_pixels(found["stored"][0], found["fiftyone"][0])
    return [
        *rows,
        faster("  against FiftyOne's evaluate_segmentations", seconds["stored"][0], seconds["fiftyone"][0], 5),
        faster("  the same in CPU seconds", seconds["stored"][1], seconds["fiftyone"][1], None),
    ]


def rate(what: str, per_second: float, target: float | None = None) -> Row:
    """How many a second."""
    return Row(what=what, unit="1/s", ours=per_second, target=target, bound="at least")


def check_same_pixels(ours: Outcome, theirs: Outcome) -> None:
    """Raise BenchError unless both count the same pixels."""
    counted = [{name: outcome.printed[name] for name in PIXELS} for outcome in (ours, theirs)]
    if counted[0] != counted[1]:
        raise BenchError(f"curate counts {counted[0]}, FiftyOne {counted[1]}")
