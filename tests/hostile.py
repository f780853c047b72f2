"""Files that parse well and hold what no command wrote, through every command that reads them.

`python -m tests.hostile WORK --pairs N --seed S` takes a sample of N pairs of a harm and a command on the datasets, run
and loop in WORK, and ends at the first that is neither read nor refused in one line, takes more than SLOW_S or
MOST_BYTES, writes outside of WORK or steers the terminal. `make_small` makes a WORK without any training.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import re
import shlex
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curate import schema
from curate.cli import main
from curate.dataset import write_table
from curate.masks import PERSON
from curate.terminal import STEERING
from tests.enduring import ROWS
from tests.label.enduring import bounded, watch_writing
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, sure_of

STUCK_S = 120
TEXTS = (
    *("", ".", "../../outside", "/dev/zero", "\\\\host\\share", "s3://nobody/x", "a\0b", "x" * 10_000),
    *("\x1b[2J\x1b]0;title\x07", "a\nerror: forged", "\u202egpj.exe", "<script>", "((((a+)+)+)+)+$", "1e999"),
)
WHOLE = (-1, 0, 10**9, 2**31, 2**63 - 1, -(2**63), 2**64)
REAL = (-1.0, 0.0, 0.5, 1e308, -1e308, 5e-324)
NO_NUMBERS = (math.nan, math.inf, -math.inf)
OTHER_KINDS: tuple[Any, ...] = (None, True, [], {}, [[[]]], {text: text for text in TEXTS}, list(TEXTS))

SLOW_ROWS = ("completion", "train export", "train sweep", "train lr-find", "build")
"""Rows that take long undisturbed, or read nothing that is harmed."""
WITHOUT_WEIGHTS = (
    *("check", "show", "diff", "sheet", "export to coco", "export to voc", "label undo", "label check"),
    *("train runs", "review failures", "review slices", "review compare", "review report"),
    "loop status",
)
"""Rows that work where no model was trained."""


class Harm(NamedTuple):
    """What is done to a file, which is not there when `write` makes it anew."""

    path: str
    told: str
    write: Callable[[Path], object]


def harms(work: Path) -> Iterator[Harm]:
    """Every hostile value in every field and column, and what else may stand in the place of a file."""
    for name in ("people/dataset.json", "runs/first/config.json", "loops/first/loop.json"):
        yield from json_harms(work, name)
    for path in sorted(work.glob("loops/first/round-1/*.json")):
        yield from json_harms(work, path.relative_to(work).as_posix())
    yield from json_harms(work, "runs/first/log.jsonl")
    tables = ("people/samples", "people/drops", "people-2/edits", "runs/first/scores", "runs/first/failures")
    for name in (*tables, "runs/first/suspects", "loops/first/round-1/mined", "loops/first/round-1/pool"):
        if (work / f"{name}.parquet").is_file():
            yield from table_harms(work, f"{name}.parquet")
    folders = ("people", "people/images", "people/masks", "people-2/replaced", "runs/first", "runs/first/predictions")
    for folder in (*folders, "loops/first", "loops/first/round-1"):
        for path in sorted(path for path in (work / folder).iterdir() if path.is_file())[:8]:
            yield from file_harms(path.relative_to(work).as_posix())


def json_harms(work: Path, name: str) -> Iterator[Harm]:
    """Each value of a JSON file, of its first line where it has several, replaced by hostile ones of its kind."""
    first, *more = (work / name).read_text().splitlines() if name.endswith("l") else [(work / name).read_text()]
    document = json.loads(first)
    for keys, value in leaves(document):
        numbers = isinstance(value, int | float) and not isinstance(value, bool)
        for odd in (
            *(TEXTS if isinstance(value, str | None) else ()),
            *(WHOLE + REAL if numbers else ()),
            *OTHER_KINDS,
        ):
            lines = [json.dumps(replaced(document, keys, odd)), *more]
            yield Harm(name, f"{'.'.join(map(str, keys))} is {odd!r:.60}", partial(write_lines, lines=lines))


def write_lines(path: Path, lines: list[str]) -> None:
    """A text file."""
    path.write_text("\n".join(lines) + "\n")


def leaves(document: Any, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The values of a JSON document with the keys that lead to them; of a list that of its first."""
    inner = document.items() if isinstance(document, dict) else enumerate(document[:1])
    for key, value in inner:
        yield (*keys, key), value
        if isinstance(value, dict | list):
            yield from leaves(value, (*keys, key))


def replaced(document: Any, keys: tuple[str | int, ...], value: Any) -> Any:
    """A copy of a JSON document with another value at these keys."""
    copy = json.loads(json.dumps(document))
    at = copy
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    return copy


def table_harms(work: Path, name: str) -> Iterator[Harm]:
    """Each column of a table with hostile values of its own kind in the first row or in all, and odd sets of rows."""
    table = pl.read_parquet(work / name)
    for column, kind in table.schema.items():
        for value in values_of(kind):
            for rows in (1, table.height) if table.height > 1 else (table.height,):
                cells = [value] * rows + table[column].to_list()[rows:]
                harmed = table.with_columns(pl.Series(column, cells, dtype=kind, strict=False))
                yield Harm(name, f"{column} of {rows} rows is {value!r:.60}", harmed.write_parquet)
    nobody = table.with_columns(sample_id=pl.lit("nobody-") + pl.int_range(pl.len()).cast(pl.String))
    sets = {
        "no rows": table.clear(),
        "all twice": pl.concat([table, table]),
        "strange": nobody,
        "back": table.reverse(),
    }
    for told, harmed in sets.items():
        yield Harm(name, told, harmed.write_parquet)


def values_of(kind: Any) -> tuple[Any, ...]:
    """Hostile values that a column of this kind can hold."""
    if isinstance(kind, pl.List):
        inner = [value for value in values_of(kind.inner) if value is not None]
        return (None, [], [None], inner, inner * 1000, *([value] for value in inner))
    if kind.is_float():
        return (None, *REAL, *NO_NUMBERS)
    if kind.is_integer():
        bits = {pl.Int8: 8, pl.Int16: 16, pl.Int32: 32}.get(kind, 64)
        return (
            None,
            *(value for value in (*WHOLE, 2 ** (bits - 1) - 1) if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)),
        )
    return (None, *TEXTS) if kind == pl.String else (None,)


def file_harms(name: str) -> Iterator[Harm]:
    """What may stand in the place of a file."""
    yield Harm(name, "a pipe", os.mkfifo)
    yield Harm(name, "a folder", Path.mkdir)
    yield Harm(name, "empty", Path.touch)
    yield Harm(name, "a device", lambda path: path.symlink_to("/dev/zero"))
    yield Harm(name, "a link out", lambda path: path.symlink_to("../" * len(Path(name).parts) + "outside/secret"))
    yield Harm(name, "a link to itself", lambda path: path.symlink_to(path.name))


def rows_reading(harm: Harm, rows: tuple[str, ...]) -> list[str]:
    """The rows that read a file: of `people` all do."""
    place = Path(harm.path).parts[0]
    return [row for row in rows if place == "people" or place in re.split(r"[ /]", ROWS[row])]


def hold(material: Path, root: Path, harm: Harm, row: str) -> None:
    """Run one command on harmed files, and raise AssertionError where it does what it must not."""
    work = root / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(material, work, copy_function=os.link)
    (work / harm.path).unlink()
    harm.write(work / harm.path)
    os.chdir(work)
    out, err, code = io.StringIO(), io.StringIO(), None
    signal.alarm(STUCK_S)
    with bounded(loaded=True), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(shlex.split(ROWS[row]))
        except SystemExit as end:
            code = end.code
    signal.alarm(0)
    said, lines = out.getvalue() + err.getvalue(), err.getvalue().strip().splitlines()
    errors = [line for line in lines if line.lower().startswith("error: ")]
    assert code in (None, 0, 1, 2), code
    assert not re.search(r"Traceback|internal error|Exception ignored|Warning", err.getvalue()), lines[-1]
    assert len(errors) <= 1, errors
    assert errors or code != 2, lines
    assert all(len(line) < 2100 for line in errors), "a line without end"
    assert not STEERING.search(re.sub("\r", "", said)), said[-500:]
    assert "what is secret" not in said, said[-500:]


def make_small(work: Path) -> None:
    """Datasets, a run and a loop, drawn by hand: what WITHOUT_WEIGHTS works on."""
    person = body()
    drawn = [
        Drawn(f"d-{number}", as_target(person), sure_of(person), split=split, group=f"g-{number}")
        for number, split in enumerate(("train", "val", "test", "train"))
    ]
    dataset = make_dataset(work / "people", drawn)
    write_table(work / "people" / "drops.parquet", schema.table([a_drop()], schema.DROPS))
    shutil.copytree(work / "people", work / "people-2")
    (work / "people-2" / "replaced").mkdir()
    shutil.copy(work / "people" / "masks" / "d-0.png", work / "people-2" / "replaced")
    edit = an_edit(next(iter(dataset.rows())))
    write_table(work / "people-2" / "edits.parquet", schema.table([edit], schema.EDITS))
    for name in ("first", "cut"):
        run = make_run(work / "runs" / name, dataset, drawn)
        (run / "config.json").write_text(json.dumps(a_config(dataset.header.digest)))
    line = {"epoch": 1, "fold": -1, "train_loss": 1.0, "train_iou": 0.5, "train_dice": 0.5, "val_loss": 1.0}
    line |= {"val_iou": 0.5, "val_dice": 0.5, "lr": 0.1, "best": True, "images": 2, "seconds": 0.1}
    write_lines(work / "runs" / "first" / "log.jsonl", [json.dumps(line)] * 2)
    (work / "loops" / "first" / "round-1").mkdir(parents=True)
    loop = {"dataset": "../../people", "digest": dataset.header.digest, "rounds": 1, "budget": "4"}
    loop |= {"fit": a_config(dataset.header.digest), "start": "../../runs/first"}
    (work / "loops" / "first" / "loop.json").write_text(json.dumps(loop))
    given = {"labels": "", "dataset": "", "digest": "", "corrected": 1, "verdicts": {"d-0": "hard"}, "weights": ""}
    (work / "loops" / "first" / "round-1" / "given.json").write_text(json.dumps(given))


def a_config(digest: str) -> dict[str, Any]:
    """How a run of two epochs was trained."""
    return {"dataset": "../../people", "digest": digest, "model": "pspnet", "size": 32, "epochs": 2, "lr": 0.001}


def a_drop() -> dict[str, object]:
    """A row of drops.parquet."""
    return {"sample_id": "x-1", "source": "drawn", "rule": "area", "value": 0.1, "limit": 0.2, "detail": "is small"}


def an_edit(row: dict[str, Any]) -> dict[str, object]:
    """A row of edits.parquet, of an import that changed nothing."""
    from label.merge import Maker, edit_row

    target = np.full((row["height"], row["width"]), PERSON, np.uint8)
    return edit_row(row, target, target, Maker("png"), 1, row["mask_sha256"])


def run(material: Path, count: int, seed: int) -> int:
    """A sample of pairs; how many there are."""
    trained = (material / "runs" / "first" / "best.safetensors").is_file()
    rows = tuple(row for row in ROWS if row not in SLOW_ROWS) if trained else WITHOUT_WEIGHTS
    pairs = [(harm, row) for harm in harms(material) for row in rows_reading(harm, rows)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        tempfile.tempdir = str(root)
        os.environ["CURATE_CACHE"] = str(root / "cache")
        (root / "outside").mkdir()
        (root / "outside" / "secret").write_text("what is secret")
        (root / "work").mkdir()
        loaded(material, root, rows)
        watch_writing(root)
        for harm, row in random.Random(seed).sample(pairs, min(count, len(pairs))):
            try:
                hold(material, root, harm, row)
            except BaseException:
                print(f"{row}: {harm.path}: {harm.told}", file=sys.stderr)
                raise
    return len(pairs)


def loaded(material: Path, root: Path, rows: tuple[str, ...]) -> None:
    """Run every command on sound files: what is loaded late is then there, and what cannot work is no test."""
    content = (material / "people" / "dataset.json").read_bytes()
    sound = Harm("people/dataset.json", "sound", lambda path: path.write_bytes(content))
    warnings.simplefilter("error", RuntimeWarning)
    for row in rows:
        with contextlib.suppress(AssertionError):  # of time and memory that loading takes
            hold(material, root, sound, row)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(f"{asked.pairs} of {run(asked.work.resolve(), asked.pairs, asked.seed)} pairs")
