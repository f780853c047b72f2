"""`curate sheet` as a user meets it. The texts of `show` and `diff` are in test_show, test_explain and test_diff."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.commands.look import file_name
from curate.dataset import open_dataset
from tests.curate.conftest import Run
from tests.curate.scenes import box, coco_set, image, person, photo
from tests.curate.striking import run_here


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos and the dataset; never written to."""
    root = tmp_path_factory.mktemp("look")
    path = coco_set(root / "set", [0.05, 0.25, 0.3, 0.5, 0.9, 0.4])
    content = json.loads(path.read_text())
    content["images"] += [image(7), image(8)]
    content["annotations"] += [person(8, box(15 * part, 0, 15 * part + 15, 40)) for part in range(4)]
    path.write_text(json.dumps(content))
    for number in (7, 8):
        photo(root / f"set/val2017/{number:06d}.jpg", seed=number)
    words = ["build", "--coco", path.relative_to(root).as_posix(), "--min-area", "0.2", "--max-people", "2"]
    assert run_here(root, [*words, "--out", "people"]).code == 0
    return root


@pytest.fixture
def people(once: Path, run: Run) -> str:
    """A dataset of five photos of a person; one of four people, one of nobody and one small person were dropped."""
    shutil.copytree(once, ".", dirs_exist_ok=True)
    return "people"


def files(folder: str) -> dict[str, bytes]:
    """Every file below a folder but its own sheet."""
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*.*") if path.name != "sheet.png"}


def test_the_contact_sheet_is_redrawn_the_same(run: Run, people: str) -> None:
    assert run("sheet", people, "--out", "again.png") == (0, "again.png\n", "")
    assert Path("again.png").read_bytes() == Path("people/sheet.png").read_bytes()
    run("sheet", people, "--rows", "1", "--out", "short.png")
    assert Image.open("short.png").size <= Image.open("again.png").size


def test_without_out_the_datasets_own_sheet_is_drawn(run: Run, people: str) -> None:
    before = files(people)
    Path("people/sheet.png").unlink()
    assert run("sheet", people) == (0, "people/sheet.png\n", "")
    assert Path("people/sheet.png").is_file()
    assert files(people) == before
    assert run("check", people)[0] == 0


def test_a_sheet_without_its_sources_says_so(run: Run, people: str) -> None:
    Path("set").rename("moved")
    code, out, err = run("sheet", people)
    assert (code, out) == (0, "people/sheet.png\n")
    assert err.startswith("note: dropped images are shown without their pictures (set/annotations/")
    assert run("sheet", people, "--by", "area")[2] == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--by", "area"], "people-area-largest.png"),
        (["--by", "area", "--order", "smallest"], "people-area-smallest.png"),
        (["--by", "area", "--order", "random"], "people-area-random.png"),
        (["--by", "edges"], "people-edges-largest.png"),
        (["--order", "random", "--seed", "3"], "people-random.png"),
        (["--split", "train"], "people-train.png"),
        (["--dropped", "people"], "people-dropped-people.png"),
        (["--dropped", "area", "--by", "value"], "people-dropped-area-value-largest.png"),
        (["--join", "scores.parquet", "--by", "iou", "--order", "worst"], "people-iou-smallest.png"),
    ],
    ids=" ".join,
)
def test_a_choice_is_drawn_beside_the_dataset(run: Run, people: str, words: list[str], name: str) -> None:
    before = files(people) | {"sheet": Path("people/sheet.png").read_bytes()}
    open_dataset(Path(people)).samples.select("sample_id", iou="area").write_parquet("scores.parquet")
    assert run("sheet", people, *words) == (0, f"{name}\n", "")
    first = Path(name).read_bytes()
    assert first != before["sheet"]
    assert run("sheet", people, *words)[0] == 0
    assert Path(name).read_bytes() == first
    assert files(people) | {"sheet": Path("people/sheet.png").read_bytes()} == before


def test_the_order_changes_what_stands_where(run: Run, people: str) -> None:
    run("sheet", people, "--by", "area", "--order", "largest", "--out", "a.png")
    run("sheet", people, "--by", "area", "--order", "smallest", "--out", "b.png")
    pages = [np.asarray(Image.open(name)) for name in ("a.png", "b.png")]
    assert pages[0].shape == pages[1].shape
    assert (pages[0] != pages[1]).any()


def test_gaps_of_a_joined_table_are_said(run: Run, people: str) -> None:
    samples = open_dataset(Path(people)).samples
    samples.head(2).select("sample_id", iou="area").write_parquet("scores.parquet")
    code, _, err = run("sheet", people, "--join", "scores.parquet", "--by", "iou")
    assert (code, err) == (0, "note: 3 of 5 images are not in scores.parquet; they have no value\n")


def test_dropped_images_of_a_child_are_shown_from_its_parent(run: Run, people: str) -> None:
    run("build", "--from", people, "--min-area", "0.35", "--out", "large")
    assert run("sheet", "large", "--dropped", "area") == (0, "large-dropped-area.png\n", "")
    shown = np.asarray(Image.open("large-dropped-area.png"))
    Path("people").rename("moved")
    code, _, err = run("sheet", "large", "--dropped", "area", "--out", "bare.png")
    assert code == 0
    assert err.startswith("note: dropped images are shown without their pictures (people: is not a dataset")
    assert (
        shown.shape != np.asarray(Image.open("bare.png")).shape or (shown != np.asarray(Image.open("bare.png"))).any()
    )


def test_a_version_made_by_label_import_says_where_to_look(run: Run, people: str) -> None:
    header = json.loads(Path("people/dataset.json").read_text())
    header["recipe"] = {"command": "label import", "labels": "x"}
    Path("people/dataset.json").write_text(json.dumps(header))
    code, _, err = run("sheet", people, "--dropped", "people")
    assert code == 0
    assert err == (
        "note: dropped images are shown without their pictures: this version was made by `curate label import`; "
        "draw the sheet of the version it was made from\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--by", "nothing"], 2, "error: --by nothing: samples.parquet has no such column. It has: sample_id"),
        (["--order", "worst"], 2, "error: --order worst: of which column?"),
        (["--order", "best"], 2, "'best' is not one of"),
        (["--split", "pool"], 1, "error: people: has no image in pool. It has: 5 images"),
        (
            ["--dropped", "coarse"],
            1,
            "error: people: no image was dropped by coarse. Dropped were: area 1, crowd 1, people 1",
        ),
        (["--join", "none.parquet", "--by", "iou"], 1, "error: none.parquet: no such file"),
        (["--rows", "0"], 2, "0 is not in the range"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_an_exit_code(
    run: Run, people: str, words: list[str], code: int, message: str
) -> None:
    before = sorted(Path().iterdir())
    found, out, err = run("sheet", people, *words)
    assert (found, out) == (code, "")
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err
    assert sorted(Path().iterdir()) == before


def test_a_damaged_picture_spoils_only_its_own_tile(run: Run, people: str) -> None:
    Path("people/images/coco-000003.jpg").write_bytes(b"\xff\xd8 cut")
    Path("people/masks/coco-000004.png").unlink()
    assert run("sheet", people, "--by", "area", "--out", "a.png")[0] == 0


def test_where_nothing_can_be_written_it_is_one_line(run: Run, people: str) -> None:
    Path("file").write_text("")
    code, _, err = run("sheet", people, "--out", "file/sheet.png")
    assert code == 1
    assert err.startswith("error: file")


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_show_and_diff_read_a_real_build(run: Run, people: str, flags: list[str]) -> None:
    run("build", "--from", people, "--min-area", "0.35", "--out", "large")
    for words in (
        ["show", people],
        ["show", people, "coco-000001"],
        ["show", people, "coco-000003"],
        ["diff", people, "large"],
    ):
        code, out, err = run(*words, *flags)
        assert (code, err) == (0, "")
        assert out
    said = json.loads(run("diff", people, "large", "--json")[1])
    assert said["counts"]["only_in_a"] == 2
    assert {one["rule"] for one in said["only_in_a"]} == {"area"}


def test_a_file_is_named_after_its_choice() -> None:
    assert file_name(["people", "a/b c"]) == "people-a_b_c.png"


def test_the_name_of_a_sheet_says_its_format(run: Run, people: str) -> None:
    assert run("sheet", people, "--out", "a.jpg")[0] == run("sheet", people, "--out", "b.PNG")[0] == 0
    assert [Image.open(name).format for name in ("a.jpg", "b.PNG")] == ["JPEG", "PNG"]
    told = "error: --out a.gif: a sheet is a .png or a .jpg. Give it a name that ends so\n"
    assert run("sheet", people, "--out", "a.gif") == (2, "", told)
