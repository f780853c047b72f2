"""`curate check`: a sound dataset passes, and every way to be unsound is found, named and never followed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.checks import SHOWN, Finding, lines_of
from curate.checks.version import Report, check_dataset, verify
from curate.cli import main
from curate.dataset import open_dataset, read_header, read_table, write_table
from curate.errors import MissingError
from tests.curate.checking import (
    change_samples,
    kinds,
    only,
    replace_file,
    rewrite_header,
    row,
    snapshot,
)


def test_a_sound_dataset_passes_and_nothing_is_written(copy: Path) -> None:
    before = snapshot(copy.parent)
    report = check_dataset(copy)
    assert (report.findings, report.remarks) == ([], [])
    assert list(verify(open_dataset(copy))) == []
    assert {*open_dataset(copy).samples["split"]} >= {"train", "pool", "background"}
    assert snapshot(copy.parent) == before


def test_what_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a dataset"):
        check_dataset(tmp_path)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"people": -1}, {"people", "nobody there", "rule people"}),
        ({"people": 3}, {"rule crowd"}),
        ({"people": 0}, {"nobody there", "rule people"}),
        ({"people": pl.when(pl.col("split") == "pool").then(1).otherwise("people")}, {"somebody there"}),
        ({"area": 0.123}, {"mask area"}),
        ({"area": 7.0}, {"area", "rule area", "mask area"}),
        ({"area": float("nan")}, {"area", "rule area", "mask area"}),
        ({"width": 59}, {"image size", "mask size"}),
        ({"height": 0}, {"size", "image size", "mask size"}),
        ({"edges": "TL"}, {"edges", "mask edges"}),
        ({"edges": ""}, {"mask edges"}),
        ({"split": "exam"}, {"split", "fold outside train"}),
        ({"fold": -1}, {"fold"}),
        ({"fold": -7}, {"fold"}),
        ({"fold": 9}, {"fold"}),
        ({"fold": pl.lit(0)}, {"fold outside train"}),
        ({"weight": -1.0}, {"weight", "weight and verdict"}),
        ({"weight": float("inf")}, {"weight"}),
        ({"weight": 0.0}, {"weight and verdict"}),
        ({"tags": ["relabel"]}, {"weight and verdict"}),
        ({"tags": ["hard"]}, {"weight and verdict"}),
        ({"tags": ["hard"], "weight": 2.0}, set()),
        ({"tags": ["relabel"], "weight": 0.0}, set()),
        ({"tags": ["crowd"]}, {"rule crowd"}),
        ({"tags": ["exclude"]}, {"excluded"}),
        ({"group": ""}, {"group"}),
        ({"source": None}, {"empty cell", "source"}),
        ({"licence": None, "head_visible": None}, set()),
        ({"origin": ""}, {"origin"}),
        ({"image_sha256": "0" * 64}, {"image hash"}),
        ({"mask_sha256": "words"}, {"mask_sha256", "mask hash"}),
        ({"mask": "masks/other.png"}, {"mask path", "orphan"}),
        ({"image": "images/other.jpg"}, {"image path", "orphan"}),
        ({"image": "../secret.jpg"}, {"image path", "orphan"}),
        ({"image": "/etc/hostname"}, {"image path", "orphan"}),
        ({"sample_id": "../x", "image": "images/../x.jpg", "mask": "masks/../x.png"}, {"sample_id", "orphan"}),
        ({"sample_id": "a\0b"}, {"sample_id", "image path", "mask path", "orphan"}),
        ({"sample_id": ".."}, {"sample_id", "image path", "mask path", "orphan"}),
        ({"sample_id": None}, {"empty cell", "sample_id", "image path", "mask path", "orphan"}),
    ],
    ids=lambda value: "-".join(map(str, sorted(value))),
)
def test_a_row_that_is_not_as_it_should_be_is_found(copy: Path, columns: dict[str, Any], expected: set[str]) -> None:
    change_samples(copy, **columns)
    assert set(kinds(copy)) == expected


def test_a_finding_says_where_what_and_what_to_do(copy: Path) -> None:
    name = row(copy)["sample_id"]
    change_samples(copy, area=0.123)
    assert str(only(copy)) == (
        f"{copy}/masks/{name}.png: its area is 0.2; expected 0.123 as in samples.parquet. "
        "Put the old file back, or build again with --force"
    )


def test_a_group_over_splits_or_folds_is_found(copy: Path) -> None:
    samples = open_dataset(copy).samples
    twin = samples.filter(pl.col("image_sha256").is_duplicated())
    assert twin.height == 2
    change_samples(copy, group=pl.when(pl.col("split") == "pool").then("group").otherwise(pl.lit("g")))
    assert set(kinds(copy)) == {"group over splits", "group over folds"}


def test_an_empty_scene_counts_as_trained_on(copy: Path) -> None:
    scene, test = row(copy, "background"), open_dataset(copy).samples.filter(pl.col("split").is_in(["val", "test"]))
    group = test["group"][0]
    change_samples(
        copy, group=pl.when(pl.col("sample_id") == scene["sample_id"]).then(pl.lit(group)).otherwise("group")
    )
    assert "group over splits" in kinds(copy)


def test_rows_in_another_order_or_twice_are_found(copy: Path) -> None:
    path = copy / "samples.parquet"
    samples = read_table(path, schema.SAMPLES)
    write_table(path, samples.reverse())
    assert kinds(copy) == {"order": 1}
    write_table(path, pl.concat([samples.head(1), samples]))
    assert set(kinds(copy)) >= {"digest", "counts", "funnel", "twice"}


def test_a_table_changed_after_the_header_is_found(copy: Path) -> None:
    change_samples(copy, header=False, touching=pl.lit(["dog"], pl.List(pl.String)))
    finding = only(copy)
    assert (finding.kind, finding.where) == ("digest", f"{copy}/dataset.json")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"digest": "0" * 64}, {"digest": 1}),
        ({"counts": {"images": 3}}, {"counts": 1}),
        ({"version": 2}, {"version": 1}),
        ({"parent": "0" * 64}, {"version": 1}),
        ({"version": 0}, {"version": 1}),
        ({"funnel": []}, {"funnel": 3}),
        ({"recipe": {"min-area": 5}}, {"recipe": 1}),
        ({"recipe": {"colour": "blue"}}, {"recipe": 1}),
        ({"recipe": {"where": "secret > 1"}}, {"recipe": 1}),
    ],
    ids=str,
)
def test_a_header_that_disagrees_is_found(copy: Path, changes: dict[str, Any], expected: dict[str, int]) -> None:
    rewrite_header(copy, **changes)
    assert kinds(copy) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda left: [left[0] + 1, *left[1:]], "begins with"),
        (lambda left: [*left[:-1], left[-1] + 1], "ends with"),
        (lambda left: [left[0], left[1] - 9, *left[2:]], "rises"),
        (lambda left: [left[0], left[2], *left[2:]], "took"),
    ],
    ids=["begin", "end", "rise", "rule"],
)
def test_a_funnel_that_does_not_add_up_is_found(
    copy: Path, change: Callable[[list[int]], list[int]], words: str
) -> None:
    funnel = read_header(copy).funnel
    left = change([step.remaining for step in funnel])
    steps = [{"rule": step.rule, "label": step.label, "remaining": n} for step, n in zip(funnel, left, strict=True)]
    rewrite_header(copy, funnel=steps)
    findings = check_dataset(copy).findings
    assert {finding.kind for finding in findings} == {"funnel"}
    assert any(words in finding.found for finding in findings)


def test_drops_that_do_not_add_up_are_found(copy: Path) -> None:
    path = copy / "drops.parquet"
    drops = read_table(path, schema.DROPS)
    write_table(path, drops.head(1))
    assert set(kinds(copy)) == {"funnel"}
    write_table(path, drops.reverse())
    assert kinds(copy) == {"order": 1}
    write_table(path, drops.with_columns(rule=pl.lit("mood")))
    assert set(kinds(copy)) == {"funnel", "drop rule"}
    kept = row(copy)["sample_id"]
    write_table(path, drops.with_columns(sample_id=pl.lit(kept)))
    assert set(kinds(copy)) == {"twice", "dropped and kept"}


@pytest.mark.parametrize("name", ["dataset.json", "samples.parquet", "drops.parquet"])
@pytest.mark.parametrize("stand_in", [os.mkdir, os.mkfifo])
def test_what_stands_in_for_a_file_is_named_once(copy: Path, name: str, stand_in: Callable[[Path], None]) -> None:
    (copy / name).unlink()
    stand_in(copy / name)
    [damaged] = [str(found) for found in check_dataset(copy).findings if found.kind == "damaged"]
    assert damaged.startswith(f"{copy / name}: is not a regular file; expected the file of the build. ")


@pytest.mark.parametrize("name", ["dataset.json", "samples.parquet", "drops.parquet"])
def test_damage_of_one_part_is_named_and_the_others_are_checked(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / "images" / "stray.jpg").write_bytes(b"")
    rest = {} if name == "samples.parquet" else {"orphan": 1}
    path = copy / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert kinds(copy) == {"damaged": 1} | rest
    path.unlink()
    path.symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "outside")
    assert kinds(copy) == {"damaged": 1} | rest
    path.unlink()
    if name != "dataset.json":
        assert kinds(copy) == {"damaged": 1} | rest


def test_findings_of_one_kind_are_summed_up_after_the_first() -> None:
    findings = [Finding("a", f"{number}", "x", "y", "z") for number in range(SHOWN + 1000)]
    findings.insert(5, Finding("b", "one", "x", "y", "z"))
    lines = lines_of(findings)
    assert len(lines) == SHOWN + 2
    assert lines[5] == "one: x; expected y. z"
    assert lines[-1] == "... and 1,000 more such findings (a)"
    assert len(lines_of(findings, None)) == len(findings)
    assert lines_of(findings[: SHOWN + 1]) == [str(finding) for finding in findings[: SHOWN + 1]]


def test_a_finding_is_one_line_whatever_a_table_holds(copy: Path) -> None:
    change_samples(copy, origin="", sample_id="a\nb\x1b[2J")
    findings = check_dataset(copy).findings
    assert findings
    assert all(str(finding).isprintable() for finding in findings)


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The program's exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as stop:
        main([*words])
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


def test_the_command_prints_a_line_per_finding(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    digest = open_dataset(copy).header.digest[:12]
    assert run(capfd, "check", str(copy)) == (0, f"{copy}: sound, 15 images, digest {digest}\n", "")
    for number in range(30):
        (copy / "images" / f"stray{number:02}.jpg").write_bytes(b"")
    (copy / "mine.txt").write_text("mine")
    code, out, err = run(capfd, "check", str(copy))
    assert (code, len(out.splitlines())) == (1, 22)
    assert out.splitlines()[-2:] == [
        "... and 10 more such findings (orphan)",
        f"{copy}: 30 findings, 15 images, digest {digest}",
    ]
    assert err == f"note: {copy}/mine.txt: is no part of a dataset and was not looked at\n"
    assert len(run(capfd, "check", str(copy), "--all")[1].splitlines()) == 31


def test_json_lists_every_finding(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        (copy / "images" / f"stray{number:02}.jpg").write_bytes(b"")
    code, out, err = run(capfd, "check", str(copy), "--json")
    said = json.loads(out)
    assert (code, err, said["sound"], said["counts"], said["images"]) == (1, "", False, {"orphan": 30}, 15)
    assert said["findings"][0] == {
        "kind": "orphan",
        "where": f"{copy}/images/stray00.jpg",
        "found": "stands in no row",
        "expected": "only files of samples",
        "advice": "Remove it, or build again with --force",
    }


def check_damaged(root: Path, seed: int) -> Report | None:
    """Damage one byte, or the end, of one file of a dataset; what the check says of it."""
    random = np.random.default_rng(seed)
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "sheet.png")
    path = paths[random.integers(len(paths))]
    data = bytearray(path.read_bytes())
    if random.random() < 0.3:
        data = data[: random.integers(len(data))]
    else:
        data[random.integers(len(data))] ^= 1 << random.integers(8)
    replace_file(path, bytes(data))
    report = check_dataset(root)
    if path.parent != root:
        assert report.findings, f"seed {seed}: damage to {path.name} was not found"
    return report


def check_damages(built: Path, tmp_path: Path, seeds: range) -> None:
    """No damage makes the check fail, and none to an image or a mask passes."""
    for seed in seeds:
        root = Path(shutil.copytree(built, tmp_path / str(seed)))
        for finding in check_damaged(root, seed).findings:
            assert str(finding).isprintable()
        shutil.rmtree(root)


def test_random_damage_is_found(built: Path, tmp_path: Path) -> None:
    check_damages(built, tmp_path, range(40))


@pytest.mark.long
def test_much_random_damage_is_found(built: Path, tmp_path: Path) -> None:
    check_damages(built, tmp_path, range(40, 3000))
