"""`curate review report`: what stands in the page, that it is one file, and that it is walked through by keyboard."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate import schema
from curate.cli import main
from curate.dataset import open_dataset, read_table
from review.run_report import STEPS, histogram
from tests.review.conftest import CHROMIUM_ARGUMENTS
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, photograph, sure_of
from tests.review.test_compare import scenes

if TYPE_CHECKING:
    from playwright.sync_api import Page

PERSON, NOBODY = body(), np.zeros((120, 160), bool)
HOLE = PERSON.copy()
HOLE[70:96, 60:86] = False

MARKUP = "<img src=x onerror=alert(1)>"


def drawn() -> list[Drawn]:
    """Ten images with a part missed, two with a hole, one missed whole, one exact; the split is val."""
    images = [replace(one, touching=[*one.touching, MARKUP]) for one in scenes([0.3 + 0.06 * n for n in range(10)])]
    images += [
        Drawn(f"t{n}", as_target(PERSON), sure_of(HOLE), photograph(PERSON, n), "val", people=2) for n in range(2)
    ]
    images.append(Drawn("u", as_target(PERSON), sure_of(NOBODY), photograph(PERSON, 3), "val"))
    images.append(Drawn("v", as_target(PERSON), as_target(PERSON), photograph(PERSON, 4), "val"))
    return images


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one dataset and the reports of the first, and of both."""
    root = tmp_path_factory.mktemp("report")
    dataset = make_dataset(root / "people", drawn(), name="<people>")
    make_run(root / "runs/first", dataset, drawn())
    exact = [replace(one, prediction=as_target(PERSON)) if one.sample_id == "u" else one for one in drawn()]
    make_run(root / "runs/second", dataset, exact)
    assert report(root / "runs/first") == 0
    assert report(root / "runs/first", root / "runs/second", "--out", root / "both.html") == 0
    return root


def test_each_image_is_in_the_step_that_begins_at_its_iou() -> None:
    ious = [0.0, 0.049, *(step / STEPS for step in range(1, STEPS)), 1.0, None]
    steps = histogram([pl.DataFrame({"iou": ious}), pl.DataFrame({"iou": [None]}, {"iou": pl.Float64})])
    assert [bars[0][0] for _, bars in steps] == [2, *[1] * (STEPS - 2), 2]
    assert all(bars[1] == (0, 0.0) for _, bars in steps)
    assert (steps[3][0], steps[3][1][0]) == ("0.15 to 0.20", (1, 0.5))


def report(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["review", "report", *map(str, arguments)])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize("page", ["runs/first/report.html", "both.html"])
def test_a_report_is_one_file_that_asks_for_nothing(made: Path, page: str) -> None:
    html = (made / page).read_text()
    assert not re.findall(
        r"""(?:src|href)\s*=\s*["']?(?!["']?data:)[^\s"'>]""", html.replace("&#34;", "").replace("&lt;", "")
    )
    assert "url(" not in html
    assert "http" not in html
    assert MARKUP not in html
    assert "<people>" not in html


def test_pictures_carry_nothing_but_pixels(made: Path) -> None:
    pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", (made / "runs/first/report.html").read_text())
    assert len(pictures) == 13
    for encoded in pictures:
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            assert not image.getexif()
            assert image.width == 320


def test_the_page_says_what_the_tables_hold(made: Path) -> None:
    html = (made / "runs/first/report.html").read_text()
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))
    scores = read_table(made / "runs/first/scores.parquet", schema.SCORES)
    assert f"image mean IoU {scores['iou'].mean():.3f} [" in words
    assert "bite" in words
    assert "more than one person" in words
    tp, fp, fn, tn = (int(scores[name].sum()) for name in ("tp", "fp", "fn", "tn"))
    assert f"person {100 * tp / (tp + fp + fn + tn):.2f} % {100 * fn / (tp + fp + fn + tn):.2f} %" in words
    order = re.findall(r"<span>(\w+)</span><span>IoU ([\d.]+)</span>", html)
    assert order[0] == ("u", "0.000")
    assert [float(iou) for _, iou in order] == sorted(float(iou) for _, iou in order)


def test_two_runs_are_set_beside_each_other(made: Path) -> None:
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", (made / "both.html").read_text()))
    assert "A: first and B: second" in words
    assert "1 images are better by more than 0.01 IoU, 0 worse, 13 the same" in words
    assert "What improved most from A to B" in words
    assert "A: IoU 0.000, B: IoU 1.000" in words
    assert "What got worse" not in words


def test_a_run_without_a_failure_is_reported_too(tmp_path: Path) -> None:
    exact = [replace(one, prediction=as_target(PERSON)) for one in drawn()[:3]]
    run = make_run(tmp_path / "run", make_dataset(tmp_path / "people", exact), exact)
    assert report(run) == 0
    assert "Nothing is wrong in any image." in (run / "report.html").read_text()


def test_labels_in_doubt_are_shown_with_the_reason(tmp_path: Path) -> None:
    headless = as_target(PERSON & (np.arange(120) >= 46)[:, None])
    doubted = Drawn("wrong", headless, sure_of(PERSON), photograph(PERSON, 9), "val")
    scenes = [*drawn(), doubted]
    assert report(make_run(tmp_path / "run", make_dataset(tmp_path / "people", scenes), scenes)) == 0
    gallery = (tmp_path / "run/report.html").read_text().partition("<h2>Labels in doubt</h2>")[2].partition("<h2>")[0]
    assert "<span>wrong</span>" in gallery
    assert "label in doubt: the model is sure of a person where the label has none" in gallery


def test_a_folder_is_no_file_to_write(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(made / "runs/first", "--out", made) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"Name the file to write: --out {made}/report.html")


def test_a_report_that_cannot_be_written_is_one_line(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(made / "runs/first", "--out", made / "people/dataset.json/report.html") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {made}/people/dataset.json: ")


def test_the_dataset_is_not_written_to(made: Path) -> None:
    assert not list((made / "people").glob("*.html"))
    open_dataset(made / "people")


@contextmanager
def opened(chromium: str, file: Path, width: int = 1200) -> Iterator[Page]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(file.as_uri())
        yield page
        assert not errors
        browser.close()


@pytest.mark.browser
def test_a_reader_filters_and_walks_by_keyboard(made: Path, chromium: str) -> None:
    with opened(chromium, made / "runs/first/report.html") as page:
        shown = page.locator("#worst .tile:visible")
        assert shown.count() == 13
        page.get_by_label("kind of failure").select_option("bite")
        assert 2 <= shown.count() < 13
        assert page.locator("#count").inner_text() == f"{shown.count()} images"
        page.get_by_label("slice", exact=True).select_option("more than one person")
        assert shown.count() == 2
        page.locator("h1").click()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.textContent").strip().startswith("t0")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert page.locator("dialog p").inner_text().startswith("t1 · IoU 0.")
        page.keyboard.press("ArrowLeft")
        assert page.locator("dialog p").inner_text().startswith("t0 · IoU 0.")
        page.keyboard.press("Escape")
        page.wait_for_function("document.activeElement.textContent.trim().startsWith('t0')")
        assert not page.locator("dialog").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("page", ["runs/first/report.html", "both.html"])
def test_it_fits_a_phone(made: Path, chromium: str, page: str) -> None:
    with opened(chromium, made / page, width=360) as phone:
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360
