"""The commands as a user meets them: stdout word for word, stderr, exit codes."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.cli import USUAL, cli, fail, main
from curate.dataset import open_dataset
from tests.curate.scenes import box, coco_set, image, mask_png, person, photo

Run = Any


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([*words])
        out, err = capfd.readouterr()
        return int(stop.value.code or 0), out, err

    return call


@pytest.fixture
def coco(tmp_path: Path) -> str:
    """Six photos of a person and one of nobody, one of them with four people."""
    root = tmp_path / "set"
    path = coco_set(root, [0.05, 0.25, 0.3, 0.5, 0.9, 0.4])
    content = json.loads(path.read_text())
    content["images"] += [image(7), image(8)]
    content["annotations"] += [person(8, box(15 * part, 0, 15 * part + 15, 40)) for part in range(4)]
    path.write_text(json.dumps(content))
    for number in (7, 8):
        photo(root / "val2017" / f"{number:06d}.jpg", seed=number)
    return "set/annotations/instances_val2017.json"


FUNNEL = """\
looked at           8
with a person       7  -1
at most 2 people    6  -1
area 20 % to 100 %  5  -1
kept                5
"""


def test_build_prints_the_funnel_word_for_word(run: Run, coco: str) -> None:
    code, out, _ = run("build", "--coco", coco, "--min-area", "0.2", "--max-people", "2", "--out", "out")
    header = open_dataset(Path("out")).header
    splits = ", ".join(f"{count} {split}" for split, count in header.counts.items() if split != "images")
    assert code == 0
    assert out == f"{FUNNEL}\n{splits}\nout ({header.digest[:12]}), contact sheet out/sheet.png\n"


def test_an_empty_split_is_said(run: Run) -> None:
    coco_set(Path("one"), [0.5])
    code, _, err = run("build", "--coco", "one/annotations/instances_val2017.json", "--out", "out")
    counts = open_dataset(Path("out")).header.counts
    empty = [split for split in ("train", "val", "test") if split not in counts]
    assert code == 0
    told = f"too few images for every split: {', '.join(empty)} have none; count them out (--split 20/5/5)"
    assert err == f"note: {told}\n"


def test_a_second_run_says_that_it_is_done(run: Run, coco: str) -> None:
    words = ("build", "--coco", coco, "--out", "out")
    first = run(*words)
    code, out, err = run(*words)
    assert (code, out) == (0, first[1])
    assert "out: holds this recipe with these inputs already, nothing to do" in err


def test_a_dry_run_needs_no_images_and_says_what_it_cannot_know(run: Run, coco: str) -> None:
    for path in Path("set/val2017").iterdir():
        path.unlink()
    code, out, err = run("build", "--coco", coco, "--min-area", "0.2", "--max-people", "2", "--dry-run")
    assert (code, out) == (0, FUNNEL)
    assert err == "nothing written; missing or unreadable photos, duplicates and leaks are found by the build itself\n"
    assert sorted(path.name for path in Path().iterdir()) == ["set"]


def test_unreadable_images_show_in_the_funnel(run: Run, coco: str) -> None:
    Path("set/val2017/000003.jpg").unlink()
    code, out, err = run("build", "--coco", coco, "--min-area", "0.2", "--max-people", "2", "--out", "out")
    assert code == 0
    assert "note: 1 images are unreadable and were dropped; the first: 000003.jpg: not found under" in err
    assert "readable image      4  -1\nkept                4\n" in out


def test_json_is_one_object_with_kept_and_funnel(run: Run, coco: str) -> None:
    code, out, _ = run("build", "--coco", coco, "--max-people", "2", "--out", "out", "--json")
    said = json.loads(out)
    header = open_dataset(Path("out")).header
    assert code == 0
    assert (said["kept"], said["dataset"], said["digest"]) == (6, "out", header.digest)
    assert said["funnel"][0] == {"rule": "looked at", "label": "looked at", "remaining": 8}
    assert said["funnel"][-1] == {"rule": "kept", "label": "kept", "remaining": 6}
    assert said["counts"] == header.counts
    code, out, _ = run("build", "--coco", coco, "--max-people", "2", "--dry-run", "--json")
    assert json.loads(out)["kept"] == 6


def test_nothing_left_shows_where_it_went(run: Run, coco: str) -> None:
    code, out, err = run("build", "--coco", coco, "--min-area", "0.95", "--max-people", "1", "--out", "out")
    assert code == 1
    assert out.endswith("kept                0\n")
    assert (
        err == "error: out: not written, no image is left: the rule 'area 95 % to 100 %' took the last 6. Loosen it\n"
    )
    assert not Path("out").exists()


def test_without_a_source_the_usual_folders_are_used(run: Run) -> None:
    coco_set(Path("datasets/coco"), [0.5])
    code, out, err = run("build", "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "looked at          1")
    assert err.splitlines()[0] == "no source named: using datasets/coco/annotations/instances_val2017.json"


def test_without_anything_the_sample_is_used_and_said(run: Run) -> None:
    code, out, err = run("build", "--min-area", "0.2", "--max-people", "2", "--dry-run")
    assert code == 0
    assert int(out.split()[-1]) > 100
    assert err.splitlines()[0].startswith("no source named and none under datasets/: using the embedded sample")


def test_the_default_folder_is_named_after_the_recipe(run: Run, coco: str) -> None:
    code, out, _ = run("build", "--coco", coco, "--recipe", "greenscreen")
    assert code == 0
    assert open_dataset(Path("datasets/built/greenscreen")).header.name == "greenscreen"
    assert "area 20 % to 70 %" in out


def test_options_win_over_the_recipe(run: Run, coco: str) -> None:
    code, out, _ = run("build", "--coco", coco, "--recipe", "greenscreen", "--max-area", "0.45", "--dry-run")
    assert code == 0
    assert "at most 2 people" in out
    assert "area 20 % to 45 %" in out


def test_person_takes_names_and_values(run: Run, coco: str) -> None:
    code, out, _ = run("build", "--coco", coco, "--person", "Dog,person", "--dry-run")
    assert (code, out.splitlines()[-1].split()) == (0, ["kept", "7"])
    code, _, err = run("build", "--coco", coco, "--person", "cat", "--dry-run")
    assert code == 1
    assert "has no category 'cat'; it has: dog, person" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--min-area", "20"], 2, "error: --min-area 20: an area is a fraction of the image, 0 to 1; 20 % is 0.2"),
        (["--min-area", "x"], 2, "'x' is not a valid float"),
        (["--coco", "none.json"], 1, "error: none.json: no such file or folder. Check the path"),
        (["--voc", "none"], 1, "error: none: does not exist"),
        (["--pairs", "a", "b"], 1, "error: a: is not a folder"),
        (["--from", "none"], 1, "error: none: is not a dataset"),
        (["--from", "none", "--voc", "v"], 2, "error: --from starts from a dataset's own images"),
        (["--recipe", "none"], 1, "error: none: is neither a file nor a shipped recipe"),
        (["--decisions", "none.jsonl"], 1, "error: none.jsonl: no such file"),
        (["--person", ","], 2, "error: --person: names or values are missing"),
        (["--folds", "1"], 2, "error: --folds 1: 2 or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_an_exit_code(run: Run, words: list[str], code: int, message: str) -> None:
    found, out, err = run("build", *words, "--out", "out")
    assert (found, out) == (code, "")
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err
    assert not Path("out").exists()


def test_an_error_that_quotes_a_long_value_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail(f"people: {'x' * 10_000} is no name. Build it again", 1)
    err = capsys.readouterr().err
    assert len(err) < 2100
    assert err.startswith("error: people: xxx")
    assert err.endswith("xxx is no name. Build it again\n")


def test_a_truncated_file_is_named_with_its_byte(run: Run, coco: str) -> None:
    data = Path(coco).read_bytes()[:300]
    Path("cut.json").write_bytes(data)
    code, _, err = run("build", "--coco", "cut.json", "--out", "out")
    assert code == 1
    assert err.startswith("error: cut.json at byte 300: Input data was truncated. Expected a whole COCO instance JSON")


def test_an_unknown_key_of_a_recipe_is_named(run: Run) -> None:
    Path("mine.toml").write_text("min-aera = 0.2")
    code, _, err = run("build", "--recipe", "mine.toml", "--dry-run")
    assert code == 2
    assert "recipe mine.toml: Object contains unknown field `min-aera`" in err


def test_check_finds_what_was_changed(run: Run, coco: str) -> None:
    run("build", "--coco", coco, "--out", "out")
    digest = open_dataset(Path("out")).header.digest[:12]
    assert run("check", "out") == (0, f"out: sound, 7 images, digest {digest}\n", "")
    mask = Path("out/masks/coco-000003.png")
    data = bytearray(mask.read_bytes())
    data[-20] ^= 1
    mask.write_bytes(data)
    Path("out/images/coco-000004.jpg").unlink()
    Path("out/masks/stray.png").write_bytes(b"")
    code, out, _ = run("check", "out")
    assert code == 1
    assert [re.sub(r"[:].*", "", line) for line in out.splitlines()] == [
        "out/masks/coco-000003.png",
        "out/masks/coco-000003.png",
        "out/images/coco-000004.jpg",
        "out/masks/stray.png",
        "out",
    ]
    assert out.splitlines()[-1] == f"out: 4 findings, 7 images, digest {digest}"


def test_check_of_what_is_no_dataset_is_an_error(run: Run) -> None:
    code, _, err = run("check", "none")
    assert code == 1
    assert err == "error: none: is not a dataset (no dataset.json in it). Build one with: curate build --out none\n"


def test_notes_are_summed_up(run: Run) -> None:
    for number in range(3):
        photo(Path(f"images/{number}.jpg"), seed=number)
        mask_png(Path(f"masks/{number}.png"), np.eye(20, 30, dtype=bool))
    code, _, err = run("build", "--pairs", "images", "masks", "--out", "out")
    assert code == 0
    assert "note: 3 masks were resized to their image (nearest); the first: masks/0.png\n" in err


def test_a_take_of_no_source_is_refused_on_the_command_line_and_said_of_a_recipe(run: Run, coco: str) -> None:
    code, out, err = run("build", "--coco", coco, "--take", "cocoa=3", "--dry-run")
    assert (code, out) == (2, "")
    assert err == "error: --take cocoa=3: there is no such source. There are: coco\n"
    Path("mine.toml").write_text("take = {cocoa = 3}\n")
    code, out, err = run("build", "--coco", coco, "--recipe", "mine.toml", "--dry-run")
    assert code == 0
    assert "sources of --take are not there; there are: coco; the first: cocoa" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--where", "area > 0.3", "--where", "people = 1"],
            "--where: is given 2 times (area > 0.3, people = 1), and takes one value. Join the conditions with `and`",
        ),
        (["--seed", "1", "--seed", "1"], "--seed: is given 2 times (1, 1), and takes one value. Leave all but one out"),
        (["--recipe", "a", "--recipe", "b"], "--recipe: is given 2 times (a, b), and takes one value. "),
        (["--out", "a", "--out", "b"], "--out: is given 2 times (a, b), and takes one value. "),
    ],
)
def test_an_option_of_one_value_is_refused_twice(run: Run, coco: str, words: list[str], told: str) -> None:
    code, out, err = run("build", "--coco", coco, *words, "--dry-run")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {told}")
    assert err.count("\n") == 1


def test_the_funnel_names_what_it_counts_beside_people(run: Run, coco: str, tmp_path: Path) -> None:
    photo(tmp_path / "more" / "one.jpg", seed=99)
    words = ("build", "--coco", coco, "--dry-run")
    assert "with a person (and empty scenes)" in run(*words, "--backgrounds", "1")[1]
    assert "with a person (and empty scenes and the pool)  9" in run(*words, "--backgrounds", "1", "--pool", "more")[1]
    assert "at least 2 people (and the pool)  2  -7" in run(*words, "--min-people", "2", "--pool", "more")[1]


def test_a_recipe_of_relative_paths_says_where_they_are_looked_up(
    run: Run, coco: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("build", "--coco", coco, "--out", "out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, _, err = run("build", "--recipe", "../out/dataset.json", "--out", "again")
    assert code == 1
    assert f"The recipe's relative paths are looked up from the current folder, {tmp_path / 'elsewhere'}. Run" in err
    assert "relative paths" not in run("build", "--recipe", "../out/dataset.json", "--coco", "b.json", "--out", "c")[2]


def test_a_category_that_no_source_has_is_said(run: Run, coco: str) -> None:
    words = ("build", "--coco", coco, "--dry-run", "--held", "include")
    err = run(*words, "--held-categories", "umbrela,Dog,cup", "--animal-categories", "wolf")[2]
    assert "note: 1 names in --held-categories are categories of no source; the first: umbrela\n" in err
    assert "note: 1 names in --animal-categories are categories of no source; the first: wolf\n" in err
    assert "categories of no source" not in run(*words)[2]


class Interrupting:
    """A sequence in which a signal comes while torch reads it."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: int) -> int:
        if place:
            raise IndexError
        signal.raise_signal(self.number)
        return 0


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_that_a_library_makes_an_error_of_its_own_of_is_no_fault_of_ours(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int, word: str
) -> None:
    import torch

    def lost(*words: object, **options: object) -> None:
        with pytest.raises(ValueError, match="could not determine the shape"):
            torch.tensor(Interrupting(number))
        raise ValueError("could not determine the shape")

    monkeypatch.setattr(cli, "main", lost)
    before = signal.signal(number, USUAL[number])  # who runs tests in the background may have them ignore Ctrl-C
    try:
        assert run("check", "people") == (code, "", f"error: {word}\n")
    finally:
        signal.signal(number, before)
