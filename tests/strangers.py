"""What a stranger may send, reader by reader: sound files to begin with, and how each is read.

A file is the number of its name in `names` as one byte, and then its content; the other files of its folder are sound.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import polars as pl
import scipy.io
from PIL import Image

from curate import schema
from curate.checks.version import check_dataset
from curate.choosing.recipe import load_recipe, make_recipe
from curate.cli import main
from curate.dataset import open_dataset, read_table, write_table
from curate.decisions import read_decisions
from curate.errors import CurateError
from curate.files import json_bytes
from curate.images import examine_image, read_image, read_indices, read_size_hw, read_target
from curate.sources.matlab import read_matrix, read_structure
from curate.sources.voc_xml import read_objects
from curate.storage.listing import File, decode_table, encode_table
from curate.storage.urls import parse_url
from label.archive import unpacked
from label.formats import detect_format, read_labels
from label.formats.record import HandLabel, Options
from review.loop.config import read_config_of_loop, read_recipe
from review.loop.folders import round_folder
from review.loop.given import Given, begin, read_given
from review.loop.round import RoundResult, finished_round
from review.paired import Difference
from review.runs import open_run
from tests.curate.damaging import write_set
from tests.curate.voc_scenes import an_object, xml_file
from tests.label.making import Photo
from tests.label.making import make_dataset as make_version
from tests.label.rich import HEIGHT, RICH, WIDTH
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, sure_of
from train.config import FitConfig, encode_config, read_config
from train.monitoring.log import read_log
from train.presets import load_preset
from train.scoring.metrics import summarise

PERSONS = {"matlab": ("1", "2")}


@dataclass(frozen=True)
class Reader:
    """How a folder with one damaged file in it is read.

    Attributes:
        folder: The sound folder; the one that is damaged is put back after each time.
        names: Its files that are damaged.
        read: Reads it; whatever is no CurateError is a finding.
    """

    folder: Path
    names: Sequence[str]
    read: Callable[[Path], None]

    def seeds(self) -> Iterator[bytes]:
        """The sound files."""
        for number, name in enumerate(self.names):
            yield bytes([number]) + (self.folder / name).read_bytes()

    def feed(self, data: bytes) -> None:
        """Read the folder with this file in it."""
        path = self.folder / self.names[data[0] % len(self.names) if data else 0]
        sound = path.read_bytes()
        try:
            path.write_bytes(data[1:])
            with suppress(CurateError):
                self.read(self.folder)
        finally:
            path.write_bytes(sound)


def image_reader(folder: Path, *kinds: str) -> Reader:
    """PNG, JPEG and the other formats of photographs and masks."""
    grey = np.add.outer(np.arange(30), np.arange(40)).astype(np.uint8)
    names = [f"a.{kind}" for kind in kinds]
    for name in names:
        Image.fromarray(np.dstack([grey] * 3) if "jp" in name else grey).save(folder / name)
    return Reader(folder, names, partial(read_images, names=names))


def read_images(folder: Path, names: Sequence[str]) -> None:
    """Every image as photograph, label and target."""
    for name in names:
        path = folder / name
        for read in (read_image, read_indices, read_target, lambda path: examine_image(path, read_size_hw(path))):
            with suppress(CurateError):
                read(path)


def matlab_reader(folder: Path) -> Reader:
    """Matrices, plain and compressed, and structures."""
    labels = np.eye(12, dtype=np.uint8)
    scipy.io.savemat(folder / "plain.mat", {"groundtruth": labels})
    scipy.io.savemat(folder / "packed.mat", {"groundtruth": labels.astype(float)}, do_compression=True)
    scipy.io.savemat(folder / "struct.mat", {"GTcls": {"Segmentation": labels, "Boundaries": labels}})
    names = ["plain.mat", "packed.mat", "struct.mat"]
    return Reader(folder, names, partial(read_matrices, names=names))


def read_matrices(folder: Path, names: Sequence[str]) -> None:
    """Every file as a matrix and as a structure."""
    for name in names:
        with suppress(CurateError):
            read_matrix(folder / name)
        with suppress(CurateError):
            read_structure(folder / name, "GTcls")


def coco_reader(folder: Path) -> Reader:
    """A file of instances with every form of a segmentation, as a dry run reads it."""
    path = write_set(folder)
    words = ["build", "--dry-run", "--json", "--seed", "1", "--coco"]
    return Reader(folder, [path.relative_to(folder).as_posix()], lambda _: run([*words, str(path)]))


def run(words: list[str]) -> None:
    """The program; it may refuse, but not break."""
    with suppress(SystemExit):  # of a run that ends well; with --debug all others raise what they stumble over
        main(["--debug", *words])


def voc_reader(folder: Path) -> Reader:
    """Annotations of VOC."""
    found = an_object("person", (1, 2, 30, 20), difficult=True, parts=["head", "hand"], pose="Rear")
    xml_file(folder / "a.xml", found, an_object("dog", (3, 3, 9, 9), truncated=True))
    return Reader(folder, ["a.xml"], lambda folder: [read_objects(folder / "a.xml")].clear())


def label_reader(tool: str, folder: Path) -> Reader:
    """The export of a labelling tool, each of whose labels is drawn."""
    files = RICH[tool]()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    photographs = (".jpg", ".jpeg")
    names = sorted(name for name in files if not name.endswith(photographs))
    return Reader(folder, names, partial(draw_labels, tool=tool))


def draw_labels(folder: Path, tool: str) -> None:
    """Every label, drawn; and the format, told."""
    with suppress(CurateError):
        detect_format(folder)
    for label in read_labels(folder, tool, Options(PERSONS.get(tool))):
        if isinstance(label, HandLabel):
            with suppress(CurateError):
                label.draw((HEIGHT, WIDTH))


def zip_reader(folder: Path) -> Reader:
    """A zip that stands for a folder."""
    for name, content in RICH["labelme"]().items():
        (folder / "export").mkdir(exist_ok=True)
        (folder / "export" / Path(name).name).write_bytes(content)
    shutil.make_archive(str(folder / "export"), "zip", folder / "export")

    def read(folder: Path) -> None:
        with TemporaryDirectory(dir=folder) as spool:
            unpacked(folder / "export.zip", Path(spool))

    return Reader(folder, ["export.zip"], read)


def dataset_reader(folder: Path) -> Reader:
    """A dataset version with edits: opened, checked, its masks read."""
    root = make_version(folder / "people", {"a-1": Photo(as_target(body())[:30, :40])}).root
    schema.table([], schema.EDITS).write_parquet(root / "edits.parquet")
    names = ["dataset.json", "samples.parquet", "drops.parquet", "edits.parquet", "masks/a-1.png"]

    def read(folder: Path) -> None:
        for finding in check_dataset(folder / "people").findings:
            assert str(finding).isprintable()
        dataset = open_dataset(folder / "people")
        _ = dataset.drops
        for row in dataset.rows():
            dataset.target(row)

    return Reader(folder, [f"people/{name}" for name in names], read)


def run_reader(folder: Path) -> Reader:
    """A scored run of a loop with a reviewer's decisions."""
    drawn = [Drawn(f"d-{number}", as_target(body()), sure_of(body()), split="val") for number in range(2)]
    dataset = make_dataset(folder / "people", drawn)
    root = make_run(folder / "run", dataset, drawn)
    (root / "config.json").write_bytes(encode_config(FitConfig(dataset="../people", digest=dataset.header.digest)))
    line = {"epoch": 1, "fold": -1, "train_loss": 1.0, "train_iou": 0.5, "train_dice": 0.5, "val_loss": 1.0}
    line |= {"val_iou": 0.5, "val_dice": 0.5, "lr": 0.1, "best": True, "images": 2, "seconds": 0.1}
    (root / "log.jsonl").write_text(json.dumps(line))
    (root / "decisions.jsonl").write_text('{"sample_id": "d-0", "verdict": "hard", "note": "at night"}\n')
    loop = {
        "dataset": "../people",
        "digest": "d",
        "rounds": 1,
        "budget": "4",
        "fit": msgspec.to_builtins(read_config(root)),
    }
    (root / "loop.json").write_text(json.dumps(loop))

    def read(folder: Path) -> None:
        root = folder / "run"
        for one in (read_config, read_log, read_config_of_loop, open_run):
            with suppress(CurateError):
                one(root)
        with suppress(CurateError):
            read_decisions(root / "decisions.jsonl")

    names = ["config.json", "scores.parquet", "log.jsonl", "decisions.jsonl", "loop.json"]
    return Reader(folder, [f"run/{name}" for name in names], read)


def loop_reader(folder: Path) -> Reader:
    """What a round of a loop leaves behind, what is known of a run's failures, and a loop's recipe."""
    rounds = round_folder(folder, 1)
    rounds.mkdir()
    figures = [Difference("image mean IoU", 0.5, 0.6, 0.1, -0.1, 0.2, 0.3)]
    summary = summarise(schema.SCORES.to_frame())
    told: dict[str, Any] = {"promoted": False, "promotes": "base", "proposed": "after", "reasons": ["the mean falls"]}
    told |= {"validation": figures, "validation_images": 4, "slices": [], "test": figures, "test_images": 3}
    told |= {
        "table": {"before": summary},
        "runs": {"before": "base"},
        "evidence": "base",
        "earned": {"mining": figures},
    }
    told |= {"earned": {"mining": figures}, "mined": {"hard": 1}, "recipes": {"copy-paste": 1}, "out_of_fold": True}
    (rounds / "verdict.json").write_bytes(json_bytes(RoundResult(round=1, base="base", epochs=4, **told)))
    begin(rounds, Given(labels="../labels.zip", corrected=3, verdicts={"d-0": "hard"}, weights="0" * 64))
    mined = {"sample_id": "d-0", "weight": 2.0, "recipe": "strong", "reason": "hard: bite, IoU 0.5"}
    doubt = {"sample_id": "d-0", "suspicion": 0.9, "reason": "the label check"}
    failed = doubt | {"kind": "bite", "severity": 0.5, "area": 0.1, "bbox_xywh": [1, 2, 3, 4], "triage": "relabel"}
    tables = {
        "mined": (schema.MINED, mined),
        "suspects": (schema.SUSPECTS, doubt),
        "failures": (schema.FAILURES, failed),
    }
    for name, (columns, row) in tables.items():
        write_table(rounds / f"{name}.parquet", pl.DataFrame([row], columns))
    (folder / "weekly.toml").write_text(
        'rounds = 2\nbudget = "30m"\nhard-weight = 2.0\nsuspects = "halve"\nsize = 64\n'
    )

    def read(folder: Path) -> None:
        rounds = round_folder(folder, 1)
        with suppress(CurateError):
            finished_round(folder, 1)
        with suppress(CurateError):
            read_given(rounds)
        for name, (columns, _) in tables.items():
            with suppress(CurateError):
                read_table(rounds / f"{name}.parquet", columns)
        read_recipe(folder / "weekly.toml")

    names = ["verdict.json", "given.json", *(f"{name}.parquet" for name in tables)]
    return Reader(folder, [*(f"round-1/{name}" for name in names), "weekly.toml"], read)


def recipe_reader(folder: Path) -> Reader:
    """Recipes of a build and presets of a training."""
    (folder / "recipe.toml").write_text(
        'coco = ["a.json"]\nmin-area = 0.2\nmax-people = 2\nperson = "person"\nwhere = "area > 0.3"\n[take]\ncoco = 5\n'
    )
    (folder / "preset.toml").write_text(
        'encoder = "resnet34"\nlr = 0.01\nsize = [64, 128]\nepochs = 4\nloss = "focal"\n'
    )

    def read(folder: Path) -> None:
        with suppress(CurateError):
            make_recipe(load_recipe(str(folder / "recipe.toml")))
        load_preset(str(folder / "preset.toml"))

    return Reader(folder, ["recipe.toml", "preset.toml"], read)


def table_reader(folder: Path) -> Reader:
    """Tables that are joined to a dataset by name."""
    from curate.looking.picks import read_values

    frame = pl.DataFrame({"sample_id": ["a-1", "a-2"], "iou": [0.5, None]})
    frame.write_csv(folder / "a.csv")
    frame.write_ndjson(folder / "a.jsonl")
    frame.write_parquet(folder / "a.parquet")
    names = ["a.csv", "a.jsonl", "a.parquet"]

    def read(folder: Path) -> None:
        for name in names:
            with suppress(CurateError):
                read_values(folder / name)

    return Reader(folder, names, read)


def bucket_reader(folder: Path) -> Reader:
    """The list of a folder in a bucket: whatever it names, each file is one below the folder."""
    listed = {
        name: File(f"{number:064x}", number, number) for number, name in enumerate(("dataset.json", "masks/a.png"))
    }
    (folder / "files.parquet").write_bytes(encode_table(listed, timeless=False))

    def read(folder: Path) -> None:
        for path in decode_table(folder / "files.parquet", parse_url("s3://bucket/people")):
            assert (folder / path).resolve().is_relative_to(folder.resolve())

    return Reader(folder, ["files.parquet"], read)


READERS: dict[str, Callable[[Path], Reader]] = {
    "coco": coco_reader,
    "voc": voc_reader,
    **{f"label-{tool}": partial(label_reader, tool) for tool in RICH},
    "zip": zip_reader,
    "png": lambda folder: image_reader(folder, "png"),
    "jpeg": lambda folder: image_reader(folder, "jpg"),
    "image": lambda folder: image_reader(folder, "webp", "bmp", "tif", "gif", "ppm"),
    "mat": matlab_reader,
    "dataset": dataset_reader,
    "run": run_reader,
    "loop": loop_reader,
    "recipe": recipe_reader,
    "table": table_reader,
    "bucket": bucket_reader,
}
