"""`curate diff`: what is in, out, relabelled and moved, against small versions whose every row is known."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import schema
from curate.dataset import Dataset, Header, Source, open_dataset
from curate.errors import FormatError
from curate.files import sha256_bytes
from curate.images import png_bytes
from curate.looking.diff import MaskChange, changed_options, compare, compare_masks, leaks
from curate.looking.diff_text import MOST, difference_json, difference_sections, mask_words
from tests.curate.conftest import Run
from tests.curate.versions import drop, many_rows, person_target, row, write_pictures, write_version
from tests.drawing import target

A_ROWS = [
    row("coco-1"),
    row("coco-2", fold=1, tags=["crowd"]),
    row("coco-3", "val"),
    row("coco-4", "test"),
    row("coco-5", "test", area=0.3),
]
A_DROPS = [drop("coco-6", "area", "people cover 12 %, less than 20 %"), drop("coco-7", "people", "shows nobody")]
B_ROWS = [
    row("coco-1", "test", image_sha256="another photograph"),
    row("coco-2", fold=0, weight=2.0, tags=["crowd", "hard"]),
    row("coco-5", "test", area=0.4, mask_sha256="another mask", edges="L"),
    row("coco-6", "val"),
    row("coco-8", "train", image_sha256="image of coco-4"),
]
B_DROPS = [drop("coco-3", "decision", "blurred"), drop("coco-7", "crowd", "shows a crowd")]

GOLDEN = """\
A and B differ
A  a  people, version 1  5 images  A_DIGEST
B  b  people, version 2  5 images  B_DIGEST
B was made from A

Summary
only in B                  2  dropped in A by area 1; 1 not looked at in A
only in A                  2  dropped in B by decision 1; 1 not looked at in B
another mask               1  area +10.00 points on average
another photograph         1
another split              1  train -> test 1
another fold               1
another edges              1
another weight             1
another tags               1
same photograph, other id  1
other rule                 1

! LEAK      1 train -> test: a model trained on A has seen them, so do not score
            it on the test split of B
! LEAK      1 test -> train: a model trained on B has seen them, so do not score
            it on the test split of A

Options
min-area   0.2 -> 0.1
from       none -> a
decisions  none -> seen.jsonl
left out   folds, voc

Annotation files
coco  coco.json  changed

Only in B: 2
coco-6  val    dropped in A by area: people cover 12 %, less than 20 %
coco-8  train  not looked at in A

Only in A: 2
coco-3  val   dropped in B by decision: blurred
coco-4  test  not looked at in B

Another mask: 1
coco-5  test  30.0 %  ->  40.0 %  cannot be compared: coco-5.png: cannot be...

Another photograph under the same id: 1
coco-1  test

Another split: 1
coco-1  train -> test

Another fold: 1
coco-2  1 -> 0

Another edges: 1
coco-5  none -> L

Another weight: 1
coco-2  1 -> 2

Another tags: 1
coco-2  crowd -> crowd, hard

The same photograph under another id: 1
coco-4  test  ->  coco-8  train

Dropped by another rule: 1
coco-7  people -> crowd
"""


@pytest.fixture
def pair(run: Run) -> tuple[Dataset, Dataset]:
    """Two versions without files, `a` and `b`, in the current folder."""
    a = write_version(Path("a"), A_ROWS, A_DROPS, recipe={"min-area": 0.2, "images": [], "folds": 3, "voc": ["x"]})
    recipe = {"from": "a", "min-area": 0.1, "decisions": "seen.jsonl", "voc": [], "images": None}
    sources = [Source("coco", "coco", None, {"coco.json": "digest of another"})]
    b = write_version(Path("b"), B_ROWS, B_DROPS, recipe=recipe, sources=sources, parent=a.header.digest, version=2)
    return a, b


def dataset_of(samples: pl.DataFrame, digest: str = "") -> Dataset:
    """A version in memory, without drops."""
    return Dataset(
        Path("x"), Header(1, "x", 1, None, digest, {}, [], [], {}), samples.lazy(), schema.DROPS.to_frame().lazy()
    )


def test_it_prints_the_difference_word_for_word(run: Run, pair: tuple[Dataset, Dataset]) -> None:
    code, out, err = run("diff", "a", "b")
    digests = {"A_DIGEST": pair[0].header.digest[:12], "B_DIGEST": pair[1].header.digest[:12]}
    golden = GOLDEN
    for name, digest in digests.items():
        golden = golden.replace(name, digest)
    assert (code, err) == (0, "")
    assert out == golden


def test_json_lists_everything_as_one_object(run: Run, pair: tuple[Dataset, Dataset]) -> None:
    code, out, _ = run("diff", "a", "b", "--json")
    said = json.loads(out)
    assert code == 0
    assert said["counts"] == {
        "only_in_b": 2, "only_in_a": 2, "another_mask": 1, "another_photograph": 1, "another_split": 1,
        "renamed": 1, "dropped_by_another_rule": 1,
    }  # fmt: skip
    assert (said["equal"], said["same_samples"], said["kinship"]) == (False, False, "B was made from A")
    assert said["a"]["digest"] == said["b"]["parent"] == pair[0].header.digest
    assert said["leaks"] == {"train -> test": 1, "test -> train": 1}
    assert said["only_in_a"][0] == {
        "sample_id": "coco-3", "split": "val", "source": "coco", "rule": "decision", "detail": "blurred"
    }  # fmt: skip
    assert said["changed"]["tags"] == [{"sample_id": "coco-2", "from": ["crowd"], "to": ["crowd", "hard"]}]
    assert said["options"][0] == {"option": "min-area", "from": 0.2, "to": 0.1}
    assert said["another_mask"][0]["iou"] is None
    assert "cannot be opened" in said["another_mask"][0]["problem"]


@pytest.mark.parametrize("flags", [[], ["--all"]], ids=["", "--all"])
def test_equal_versions_are_said_to_be_equal(run: Run, pair: tuple[Dataset, Dataset], flags: list[str]) -> None:
    digest = pair[0].header.digest[:12]
    code, out, _ = run("diff", "a", "a", *flags)
    line = f"a  people, version 1  5 images  {digest}"
    assert code == 0
    assert out == (
        "A and B are equal: the same samples, drops, options and sources\n"
        f"A  {line}\nB  {line}\nA and B hold the same samples\n"
    )
    assert json.loads(run("diff", "a", "a", "--json")[1])["equal"] is True


def test_the_same_samples_with_other_options_are_told_apart(run: Run) -> None:
    write_version(Path("a"), A_ROWS, A_DROPS, recipe={"min-area": 0.2})
    write_version(Path("b"), A_ROWS, A_DROPS, recipe={"min-area": 0.1})
    _, out, _ = run("diff", "a", "b")
    assert out.startswith("A and B hold the same samples, and differ otherwise\n")
    assert out.endswith("Options\nmin-area  0.2 -> 0.1\n")


def test_options_are_compared_as_they_are_stated() -> None:
    a = {"seed": None, "folds": 0, "voc": [], "take": {}, "where": "", "min-area": 0.2}
    b = {"seed": 0, "min-area": 0.2, "person": ["rider"]}
    assert changed_options(a, b) == [
        ("seed", None, 0), ("folds", 0, None), ("where", "", None), ("person", None, ["rider"])
    ]  # fmt: skip


def test_lists_are_cut_and_all_shows_everything(run: Run) -> None:
    write_version(Path("a"), [row("coco-0")])
    write_version(Path("b"), [row(f"coco-{number:02d}") for number in range(MOST + 3)])
    _, out, _ = run("diff", "a", "b")
    assert "... and 3 more (--all)\n" in out
    _, out, _ = run("diff", "a", "b", "--all")
    assert out.count("not looked at in A\n") == MOST + 4  # each once, and the summary
    assert "more" not in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a"], 2, "Missing argument 'B'"),
        (["a", "none"], 1, "error: none: is not a dataset"),
        (["a", "b", "--al"], 2, "No such option"),
    ],
    ids=["one dataset", "no dataset", "unknown option"],
)
def test_bad_input_is_one_line_and_an_exit_code(
    run: Run, pair: tuple[Dataset, Dataset], words: list[str], code: int, message: str
) -> None:
    found, out, err = run("diff", *words)
    assert (found, out) == (code, "")
    assert message in err


@pytest.mark.parametrize(
    ("parents", "said"),
    [
        ((None, "A"), "B was made from A"),
        (("B", None), "A was made from B"),
        (("P", "P"), "A and B were made from the same version (P)"),
        ((None, None), "neither was made from the other"),
        (("P", "Q"), "neither was made from the other"),
    ],
    ids=["child", "parent", "siblings", "strangers", "cousins"],
)
def test_kinship_follows_the_parents_digests(parents: tuple[str | None, str | None], said: str) -> None:
    empty, drops = schema.SAMPLES.to_frame().lazy(), schema.DROPS.to_frame().lazy()
    a, b = (
        Dataset(Path("x"), Header(1, "x", 1, parent, digest, {}, [], [], {}), empty, drops)
        for digest, parent in zip("AB", parents, strict=True)
    )
    assert compare(a, b).kinship == said


def test_masks_are_compared_by_their_pixels(tmp_path: Path) -> None:
    names = ["moved", "same", "crowd", "nobody", "large"]
    rows = [row(f"coco-{name}") for name in names]
    drawn_a = {
        "coco-moved": target("##..\n##.."),
        "coco-same": target("##..\n##.."),
        "coco-crowd": target("##.o\n##.o"),
        "coco-nobody": target("...."),
        "coco-large": target("#"),
    }
    drawn_b = drawn_a | {
        "coco-moved": target(".##.\n.##."),
        "coco-crowd": target("##..\n##.."),
        "coco-nobody": target("...o"),
        "coco-large": target("##"),
    }
    a = write_version(tmp_path / "a", write_pictures(tmp_path / "a", rows, drawn_a))
    b = write_version(tmp_path / "b", write_pictures(tmp_path / "b", rows, drawn_b))
    changes = compare_masks(a, b, [f"coco-{name}" for name in names])
    assert changes == {
        "coco-moved": MaskChange(pytest.approx(1 / 3), 4),  # type: ignore[arg-type]
        "coco-same": MaskChange(1.0, 0),
        "coco-crowd": MaskChange(1.0, 2),
        "coco-nobody": MaskChange(None, 1),
        "coco-large": MaskChange(None, None, "the image was 1x1, is 1x2 (HxW)"),
    }
    assert [mask_words(change) for change in changes.values()] == [
        "IoU 0.333",
        "the same pixels, encoded otherwise",
        "IoU 1.000, only what is not counted differs",
        "nobody in either, 1 px differ",
        "cannot be compared: the image was 1x1, is 1x2 (HxW)",
    ]


def test_a_relabelled_image_is_listed_with_its_iou(run: Run) -> None:
    rows = [row("coco-1"), row("coco-2"), row("coco-3")]
    write_version(Path("a"), write_pictures(Path("a"), rows, {}))
    drawn = {"coco-1": person_target(0.5), "coco-2": person_target(0.275)}
    write_version(Path("b"), write_pictures(Path("b"), rows, drawn))
    _, out, _ = run("diff", "a", "b")
    assert "another mask        2  area +13.75 points on average\n" in out
    assert (
        "Another mask: 2\ncoco-1  train  25.0 %  ->  50.0 %  IoU 0.500\ncoco-2  train  25.0 %  ->  27.5 %  IoU 0.909\n"
    ) in out


def test_a_mask_written_by_another_encoder_is_told(run: Run) -> None:
    rows = write_pictures(Path("a"), [row("coco-1")], {})
    write_version(Path("a"), rows)
    Path("b/masks").mkdir(parents=True)
    data = png_bytes(person_target(0.25)) + b"behind the end"
    Path("b/masks/coco-1.png").write_bytes(data)
    write_version(Path("b"), [{**rows[0], "mask_sha256": sha256_bytes(data)}])
    assert "25.0 %  ->  25.0 %  the same pixels, encoded otherwise\n" in run("diff", "a", "b")[1]


def test_what_moved_between_train_and_test_comes_first() -> None:
    splits = [("val", "train"), ("train", "test"), ("val", "test"), ("test", "train")]
    a = schema.table([row(f"coco-{at}", old) for at, (old, _) in enumerate(splits)], schema.SAMPLES)
    b = schema.table([row(f"coco-{at}", new) for at, (_, new) in enumerate(splits)], schema.SAMPLES)
    difference = compare(dataset_of(a, "A"), dataset_of(b, "B"))
    assert difference.moved["sample_id"].to_list() == ["coco-1", "coco-3", "coco-0", "coco-2"]
    assert leaks(difference) == {"train -> test": 1, "test -> train": 1}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_it_agrees_with_a_comparison_row_by_row(data: st.DataObject) -> None:
    ids = st.sampled_from([f"coco-{number}" for number in range(6)])
    values = st.fixed_dictionaries(
        {
            "split": st.sampled_from(["train", "val", "test"]),
            "mask_sha256": st.sampled_from(["m", "n"]),
            "licence": st.sampled_from([None, "CC"]),
            "tags": st.sampled_from([[], ["hard"]]),
            "weight": st.sampled_from([0.0, 1.0]),
        }
    )
    one, other = (data.draw(st.dictionaries(ids, values)) for _ in range(2))
    difference = compare(*(dataset_of(table_of(rows), str(index)) for index, rows in enumerate((one, other))))
    both = sorted(one.keys() & other.keys())
    assert difference.came["sample_id"].to_list() == sorted(other.keys() - one.keys())
    assert difference.left["sample_id"].to_list() == sorted(one.keys() - other.keys())
    assert sorted(difference.relabelled["sample_id"]) == [
        name for name in both if differ(one, other, name, "mask_sha256")
    ]
    assert sorted(difference.moved["sample_id"]) == [name for name in both if differ(one, other, name, "split")]
    for column in ("licence", "tags", "weight"):
        found = difference.changed.get(column, pl.DataFrame({"sample_id": []}))["sample_id"].to_list()
        assert found == [name for name in both if differ(one, other, name, column)]


def table_of(rows: dict[str, dict[str, Any]]) -> pl.DataFrame:
    """Rows by sample_id as a table."""
    return schema.table([row(name, **values) for name, values in rows.items()], schema.SAMPLES)


def differ(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]], name: str, column: str) -> bool:
    """Whether a sample's value is another."""
    return bool(one[name][column] != other[name][column])


def test_a_hundred_thousand_rows_take_no_time() -> None:
    a, b = dataset_of(many_rows(100_000, 1), "A"), dataset_of(many_rows(100_000, 2), "B")
    difference_sections(compare(a, b), {})
    begin = time.process_time()
    difference = compare(a, b)
    difference_sections(difference, {})
    assert time.process_time() - begin < 0.9
    assert difference.relabelled.height == 99_000
    assert difference_json(difference, {})["counts"]["another_mask"] == 99_000


def test_nothing_given_is_changed() -> None:
    a, b = (schema.table(rows, schema.SAMPLES) for rows in (A_ROWS, B_ROWS))
    before = a.clone(), b.clone()
    compare(dataset_of(a, "A"), dataset_of(b, "B"))
    assert a.equals(before[0])
    assert b.equals(before[1])


@pytest.mark.parametrize("damaged", ["a", "b"])
def test_the_version_that_is_damaged_is_named(tmp_path: Path, damaged: str) -> None:
    for name in "ab":
        write_version(tmp_path / name, A_ROWS)
    path = tmp_path / damaged / "samples.parquet"
    rows = pl.read_parquet(path)
    rows.write_parquet(path, compression="uncompressed", statistics=False)
    digest = rows["mask_sha256"][0].encode()
    path.write_bytes(path.read_bytes().replace(digest, b"\xff" * len(digest)))
    a, b = (open_dataset(tmp_path / name) for name in "ab")
    with pytest.raises(FormatError, match=rf"/{damaged}/samples\.parquet: is not a readable Parquet table"):
        compare(a, b)
