"""`curate show DATASET`: the figures, word for word and against a count by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import schema
from curate.dataset import Dataset, Header
from curate.looking.show import area_bins, counted, describe_dataset, group_figures, people_bins, side_bins
from curate.looking.show_text import group_words, option_words, overview_sections
from tests.conftest import REPOSITORY
from tests.curate.conftest import Run
from tests.curate.versions import drop, many_rows, row, write_version

RECIPE = {"min-area": 0.2, "max-area": 0.7, "max-people": 2, "coco": ["a.json"], "seed": 0}
ROWS = [
    row("coco-1", area=0.2, fold=0, licence="CC BY 4.0", edges="B", touching=["dog", "cup"]),
    row("coco-2", area=0.3, fold=1, people=2, licence="CC BY 4.0", edges="LB", tags=["hard"], weight=2.0),
    row("coco-3", area=0.55, fold=0, people=5, group="group of coco-2", touching=["dog"]),
    row("coco-4", "val", area=0.3, width=1300, height=800),
    row("pool-1", "pool", area=0.0, people=0, origin="none", width=2048, height=3000),
    row("voc-1", "background", area=0.0, people=0, origin="none", width=300, height=300),
]
DROPS = [
    drop("coco-5", "area", "people cover 12.3 %, less than 20 %", value=0.123, limit=0.2),
    drop("coco-6", "people", "shows nobody", value=0.0, limit=1.0),
    drop("coco-7", "people", "shows nobody", value=0.0, limit=1.0),
    drop("voc-2", "crowd", "shows a crowd", value=float("inf"), limit=2.0),
]
GOLDEN = """\
out: people, version 1 (DIGEST)
kept        6 of 10 images, 4 dropped
options     min-area 0.2, max-area 0.7, max-people 2

Funnel
looked at          10      100.0 %
with a person       8  -2   80.0 %
at most 2 people    7  -1   70.0 %
area 20 % to 70 %   6  -1   60.0 %
kept                6       60.0 %

Splits
            images   share  mean area   nobody  1 person        2      3      4+
train            3  50.0 %     35.0 %    0.0 %    33.3 %   33.3 %  0.0 %  33.3 %
  fold 0         2  33.3 %     37.5 %    0.0 %    50.0 %    0.0 %  0.0 %  50.0 %
  fold 1         1  16.7 %     30.0 %    0.0 %     0.0 %  100.0 %  0.0 %   0.0 %
val              1  16.7 %     30.0 %    0.0 %   100.0 %    0.0 %  0.0 %   0.0 %
test             0   0.0 %          -        -         -        -      -       -
pool             1  16.7 %          -        -         -        -      -       -
background       1  16.7 %      0.0 %  100.0 %     0.0 %    0.0 %  0.0 %   0.0 %

Area people cover (of 4 labelled)         People
  0 - 10 %  0                              1  2  ████████████████████
 10 - 20 %  0                              2  1  ██████████
 20 - 30 %  1  ██████████                  3  0
 30 - 40 %  2  ████████████████████       4+  1  ██████████
 40 - 50 %  0
 50 - 60 %  1  ██████████                 Image edges the person touches
 60 - 70 %  0                             0  2  ████████████████████
 70 - 80 %  0                             1  1  ██████████
 80 - 90 %  0                             2  1  ██████████
90 - 100 %  0                             3  0
                                          4  0

Shorter side, px                          Longer side, px
  under 256  3  ████████████████████        under 256  3  ████████████████████
  256 - 383  1  ██████▋                     256 - 383  1  ██████▋
  384 - 511  0                              384 - 511  0
  512 - 767  0                              512 - 767  0
 768 - 1023  1  ██████▋                    768 - 1023  0
1024 - 2047  0                            1024 - 2047  1  ██████▋
  from 2048  1  ██████▋                     from 2048  1  ██████▋

shape       landscape 4, portrait 1, square 1
edges       left 1, top 0, right 0, bottom 2

Sources
      kind  kept  dropped  licence
coco  coco     4        3  2 CC BY 4.0
                           2 not stated
pool  coco     1        0  1 not stated
voc   coco     1        1  1 not stated

Labels
origin      polygon 4, none 2
touching    dog 2, cup 1
tags        hard 1
weights     5 of weight 1, 1 of weight 2
duplicates  2 of 6 images (33.3 %) share their group with another; 5 groups, the
            largest of 2

Dropped
rule    images  for example
people       2  coco-6: shows nobody
crowd        1  voc-2: shows a crowd
area         1  coco-5: people cover 12.3 %, less than 20 %
"""


def test_it_prints_the_figures_word_for_word(run: Run) -> None:
    dataset = write_version(Path("out"), ROWS, DROPS, recipe=RECIPE)
    code, out, err = run("show", "out")
    assert (code, err) == (0, "")
    assert out == GOLDEN.replace("DIGEST", dataset.header.digest[:12])


def test_no_line_is_wider_than_the_terminal(run: Run) -> None:
    write_version(Path("out"), ROWS, [*DROPS, drop("coco-9", "unreadable", f"/a/b/{'long ' * 40}")], recipe=RECIPE)
    _, out, _ = run("show", "out")
    assert max(map(len, out.splitlines())) <= 80


def test_json_holds_the_same_as_one_object(run: Run) -> None:
    dataset = write_version(Path("out"), ROWS, DROPS, recipe=RECIPE)
    code, out, _ = run("show", "out", "--json")
    said = json.loads(out)
    assert code == 0
    assert (said["name"], said["digest"], said["kept"], said["dropped"]) == ("people", dataset.header.digest, 6, 4)
    assert [step["taken"] for step in said["funnel"]] == [0, 2, 1, 1, 0]
    assert [(part["name"], part["images"]) for part in said["splits"]] == [
        ("train", 3), ("val", 1), ("test", 0), ("pool", 1), ("background", 1)
    ]  # fmt: skip
    assert said["splits"][2]["mean_area"] is None
    assert sum(said["area"].values()) == said["labelled"] == 4
    assert said["near_duplicates"] == {"images": 2, "share": pytest.approx(1 / 3), "groups": 5, "largest": 2}
    assert said["sources"][2] == {
        "name": "voc", "kind": "coco", "kept": 1, "dropped": 1, "licences": {"not stated": 1}
    }  # fmt: skip
    assert said["drops"][0] == {"rule": "people", "images": 2, "example": "coco-6", "detail": "shows nobody"}
    assert said["recipe"] == RECIPE


def test_piped_output_has_no_colour_codes(tmp_path: Path) -> None:
    write_version(tmp_path / "out", ROWS, DROPS)
    code = "from curate.cli import main; main(['show', 'out'])"
    assert "\x1b" not in run_python(code, tmp_path).stdout
    assert "####" in run_python(code, tmp_path, PYTHONIOENCODING="ascii").stdout


def run_python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter's output."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "dataset.json").unlink(), "out: is not a dataset (no dataset.json in it)"),
        (lambda root: (root / "dataset.json").write_text("{"), "out/dataset.json: is damaged"),
        (lambda root: (root / "drops.parquet").unlink(), "out/drops.parquet: is missing"),
        (lambda root: (root / "samples.parquet").write_bytes(b"PAR1"), "out/samples.parquet: is not a readable"),
    ],
    ids=["no header", "half a header", "no drops", "half a table"],
)
def test_a_damaged_dataset_is_one_clear_line(run: Run, damage: object, message: str) -> None:
    write_version(Path("out"), ROWS, DROPS)
    damage(Path("out"))  # type: ignore[operator]
    code, out, err = run("show", "out")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_dataset_without_anyone_labelled_is_shown() -> None:
    samples = schema.table([ROWS[4]], schema.SAMPLES)
    header = Header(1, "people", 2, "parent of it", "digest", {"from": "people"}, [], [], {})
    overview = describe_dataset(Dataset(Path("x"), header, samples.lazy(), schema.DROPS.to_frame().lazy()))
    text = "\n".join(line for section in overview_sections(overview) for line in (section.heading, *section.lines))
    assert "people, version 2 (digest, made from parent of it)" in text
    assert "(of 0 labelled)" in text
    assert [part.mean_area for part in overview.splits] == [None] * 4
    assert overview.sources[0].kind == ""
    assert "Dropped" not in text


def test_an_unreadable_step_is_shown_only_where_it_took_any(run: Run) -> None:
    from curate.dataset import FunnelStep

    steps = [("looked at", 3), ("unreadable", 3), ("people", 2), ("unreadable", 1), ("kept", 1)]
    funnel = [FunnelStep(rule, f"after {rule}", left) for rule, left in steps]
    write_version(Path("out"), ROWS[:1], DROPS[:2], funnel=funnel)
    _, out, _ = run("show", "out", "--json")
    assert [(step["rule"], step["taken"]) for step in json.loads(out)["funnel"]] == [
        ("looked at", 0), ("people", 1), ("unreadable", 1), ("kept", 0)
    ]  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.integers(1, 5000)), max_size=30))
def test_every_image_falls_into_exactly_one_bin(rows: list[tuple[float, int, int]]) -> None:
    areas, people, sides = zip(*rows, strict=True) if rows else ((), (), ())
    frame = pl.DataFrame(
        {"area": areas, "people": people, "width": sides},
        schema={"area": pl.Float64, "people": pl.Int16, "width": pl.Int32},
    )
    by_area = Counter(min(int(area * 10), 9) for area in areas)
    assert [*area_bins(frame).values()] == [by_area[number] for number in range(10)]
    assert sum(people_bins(frame).values()) == len(rows)
    assert people_bins(frame).get("4+", 0) == sum(number >= 4 for number in people)
    assert people_bins(frame).get("0", 0) == people.count(0)
    assert sum(side_bins(frame, pl.col("width")).values()) == len(rows)
    assert side_bins(frame, pl.col("width"))["384 - 511"] == sum(384 <= side < 512 for side in sides)


@pytest.mark.parametrize(
    ("groups", "found"),
    [([], (0, 0.0, 0, 0)), (["a", "b"], (0, 0.0, 2, 1)), (["a", "b", "a", "c", "a", "c"], (5, 5 / 6, 3, 3))],
    ids=["nothing", "all alone", "a trio and a pair"],
)
def test_near_duplicates_are_images_that_share_a_group(groups: list[str], found: tuple[int, float, int, int]) -> None:
    figures = group_figures(pl.DataFrame({"group": groups}, schema={"group": pl.String}))
    assert (figures.images, figures.share, figures.groups, figures.largest) == found
    assert group_words(figures, len(groups)).startswith("none" if not found[0] else f"{found[0]} of {len(groups)}")


def test_counts_put_the_most_frequent_first_and_null_in_words() -> None:
    assert list(counted(pl.Series(["b", "a", None, "a", None, "c"])).items()) == [
        ("a", 2), ("not stated", 2), ("b", 1), ("c", 1)
    ]  # fmt: skip


def test_a_drop_without_a_reason_is_an_id_alone(run: Run) -> None:
    write_version(Path("out"), ROWS, [drop("coco-9", "decision", "")])
    assert run("show", "out")[1].endswith("rule      images  for example\ndecision       1  coco-9\n")


def test_options_at_their_defaults_are_left_out() -> None:
    assert option_words({"min-area": 0.0, "seed": 0, "coco": ["x"]}) == "all at their defaults"
    assert option_words({"person": ["person", "rider"], "folds": 3}) == "person person,rider, folds 3"
    assert option_words({"command": "label import", "author": None}) == "command label import"


def test_a_hundred_thousand_rows_take_no_time() -> None:
    header = Header(1, "people", 1, None, "digest", {}, [], [], {})
    dataset = Dataset(Path("x"), header, many_rows(100_000, 1).lazy(), schema.DROPS.to_frame().lazy())
    overview_sections(describe_dataset(dataset))  # the first call loads what polars loads lazily
    begin = time.process_time()
    overview_sections(describe_dataset(dataset))
    assert time.process_time() - begin < 0.7


@pytest.mark.parametrize("words", [["show", "out"], ["show", "out", "coco-1"], ["diff", "out", "out"]], ids=" ".join)
def test_looking_at_tables_loads_nothing_that_decodes_pixels(words: list[str], tmp_path: Path) -> None:
    write_version(tmp_path / "out", ROWS, DROPS)
    code = (
        "import sys\nfrom curate.cli import main\n"
        f"try:\n    main({words})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(sorted({'cv2', 'PIL', 'pycocotools', 'torch'} & sys.modules.keys()), file=sys.stderr)"
    )
    assert run_python(code, tmp_path).stderr == "[]\n"
