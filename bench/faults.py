"""How many planted label faults `label check` finds: `python -m bench.faults --data ../shared/data`.

One mask in ten of `humanseg` and `ccp` is spoiled, each by one of seven faults, drawn from a seed; several seeds, each
with other masks. Counted are the spoiled labels that the check finds likely wrong (severity 0.5 and above), and the
labels as they came that it flags so, faults of their own among them. Without a model and with one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.images import fit_mask
from curate.masks import PERSON, Mask, Target, target_of
from curate.person_model import InputSpec, open_model
from label.check import Opinion, check_labels
from label.findings.shape import parts_of
from label.formats.record import Drawing
from label.pictures import Label, Picture, picture_of

FAR = 0.03
"""Of the diagonal: how far a mask is moved or worn away."""
LEAST_PART = 0.08
"""Of the people: a smaller part is no person."""
SHARE = 10
"""One mask in so many is spoiled."""
KINDS = ("shift", "erode", "drop", "invert", "rotate", "hole", "swap")
EVERY_DROP = "drop: everybody who can be"


def spoiled(kind: str, mask: Mask, other: Mask, rng: np.random.Generator) -> Mask | None:
    """A mask (H, W) with a fault; None where it cannot have that one. A quarter turn changes its size to (W, H)."""
    height, width = mask.shape
    far = max(1, round(FAR * float(np.hypot(height, width))))
    if kind == "shift":
        angle = rng.uniform(0, 2 * np.pi)
        matrix = np.array([[1, 0, round(far * np.cos(angle))], [0, 1, round(far * np.sin(angle))]], np.float32)
        return np.asarray(cv2.warpAffine(mask.view(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST) > 0)
    if kind == "erode":
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * far + 1, 2 * far + 1))
        return np.asarray(cv2.erode(mask.view(np.uint8), disc) > 0)
    if kind == "drop":
        left = one_less(mask)
        return left[int(rng.integers(len(left)))] if left else None
    if kind == "rotate":
        return np.ascontiguousarray(np.rot90(mask, int(rng.integers(1, 4))))
    if kind == "hole":
        return with_hole(mask, rng)
    return ~mask if kind == "invert" else other


def one_less(mask: Mask) -> list[Mask]:
    """The mask without each of the people in it who touch nobody; empty where there are not several."""
    parts = parts_of(mask, 8)
    people = np.flatnonzero(parts.areas_px >= LEAST_PART * parts.areas_px.sum())
    return [mask & (parts.labels != index + 1) for index in people] if len(people) > 1 else []


def with_hole(mask: Mask, rng: np.random.Generator) -> Mask:
    """The mask with a round hole somewhere in its thicker parts."""
    depth = cv2.distanceTransform(np.pad(mask.view(np.uint8), 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= 0.5 * depth.max())
    at = int(rng.integers(len(rows)))
    centre = int(columns[at]), int(rows[at])
    canvas = mask.astype(np.uint8)
    return np.asarray(cv2.circle(canvas, centre, max(2, int(0.8 * depth[rows[at], columns[at]])), 0, -1) > 0)


def plant(dataset: Dataset, seed: int) -> Iterator[tuple[str, Picture]]:
    """One picture in SHARE with a spoiled label, and the kind of its fault; the kinds in turn."""
    rng = np.random.default_rng(seed)
    rows = dataset.rows()
    chosen = [rows[index] for index in rng.permutation(len(rows))[: len(rows) // SHARE]]
    turn = 0
    for row in chosen:
        target = dataset.target(row)
        other = rows[int(rng.integers(len(rows)))]
        swapped = fit_any(dataset.target(other), target)
        for _ in KINDS:
            kind = KINDS[turn % len(KINDS)]
            turn += 1
            mask = spoiled(kind, target == PERSON, swapped, rng)
            if mask is not None and mask.any() and row["sample_id"] != other["sample_id"]:
                yield kind, with_label(picture_of(dataset.root, row), target_of(mask))
                break


def drop_all(dataset: Dataset) -> Iterator[tuple[str, Picture]]:
    """Every person who can be dropped: in one mask of ten there are hardly any."""
    for row in dataset.rows():
        for mask in one_less(dataset.target(row) == PERSON):
            yield EVERY_DROP, with_label(picture_of(dataset.root, row), target_of(mask))


def fit_any(target: Target, like: Target) -> Mask:
    """Another picture's mask at this one's size, whatever its shape."""
    size = like.shape[1], like.shape[0]
    return np.asarray(cv2.resize(target, size, interpolation=cv2.INTER_NEAREST) == PERSON)


def with_label(picture: Picture, target: Target) -> Picture:
    """The picture with another label."""
    size_hw = target.shape[0], target.shape[1]
    label = Label(
        picture.labels[0].where,
        lambda: size_hw,
        lambda wanted: Drawing(fit_mask(target, wanted, picture.name), None, ""),
    )
    return Picture(picture.name, picture.image, picture.size, [label], picture.group)


def flagged(pictures: Sequence[Picture], opinion: Opinion | None) -> list[bool]:
    """Whether each picture's label is found likely wrong. Pictures may come more than once, with other labels."""
    numbered = [Picture(str(n), one.image, one.size, one.labels, str(n)) for n, one in enumerate(pictures)]
    suspects = check_labels(Path(), numbered, opinion=opinion).suspects
    return [one.name in suspects for one in numbered]


def table(dataset: Dataset, seeds: int, opinion: Opinion) -> Iterator[str]:
    """The lines of the table: each kind of fault, how many were planted, and how many were found."""
    planted = [*drop_all(dataset), *(one for seed in range(seeds) for one in plant(dataset, seed))]
    kinds, pictures = [kind for kind, _ in planted], [picture for _, picture in planted]
    clean = [picture_of(dataset.root, row) for row in dataset.rows()]
    hits: dict[str, list[Counter[str]]] = defaultdict(lambda: [Counter(), Counter()])
    wrong = []
    for column, asked in enumerate((None, opinion)):
        for kind, found in zip(kinds, flagged(pictures, asked), strict=True):
            sums = ["all"] * (kind != EVERY_DROP) + ["all but swap"] * (kind not in (EVERY_DROP, "swap"))
            for name in (kind, *sums):
                hits[name][column][str(found)] += 1
        wrong.append(sum(flagged(clean, asked)))
    yield "| planted | labels | found without a model | found with one |"
    yield "| --- | ---: | ---: | ---: |"
    for name in (*KINDS, "all but swap", "all", EVERY_DROP):
        shares = [found["True"] / max(1, found.total()) for found in hits[name]]
        yield f"| {name} | {hits[name][0].total()} | {shares[0]:.1%} | {shares[1]:.1%} |"
    yield f"| none: flagged as they came | {len(clean)} | {wrong[0] / len(clean):.1%} | {wrong[1] / len(clean):.1%} |"


def real_set(data: Path, out: Path) -> Dataset:
    """The dataset of `humanseg` and `ccp`."""
    pairs = [
        ["humanseg=" + str(data / "humanseg/images"), str(data / "humanseg/masks")],
        ["ccp=" + str(data / "ccp/photos"), str(data / "ccp/pixel-level")],
    ]
    build_dataset(make_recipe({"name": "faults", "pairs": pairs}), out)
    return open_dataset(out)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description="Count the planted faults found.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder with humanseg, ccp and models.")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="Plantings.  [default: %(default)s]")
    given = parser.parse_args()
    model = open_model(given.data / "models/pp-humanseg-lite.onnx", InputSpec(normalise="signed"))
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(table(real_set(given.data, Path(folder, "set")), given.seeds, model.predict)))


if __name__ == "__main__":
    main()
