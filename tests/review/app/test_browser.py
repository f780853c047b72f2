"""The App as a reviewer meets it: `curate review open` in one process, Chromium in another."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

from bench.database import free_port
from curate import schema
from curate.dataset import open_dataset, read_table
from curate.decisions import Decision, read_decisions
from curate.images import read_image, read_indices
from curate.masks import grow
from tests.review.conftest import CHROMIUM_ARGUMENTS
from tests.review.making import Drawn, as_target, make_dataset, make_run, sure_of

pytestmark = [pytest.mark.browser, pytest.mark.database]
CURATE = [sys.executable, "-c", "from curate.cli import main; main()"]
PATIENCE_MS = 60_000
IMAGES = 12


@pytest.fixture(scope="module")
def run(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over some of the embedded sample's scenes: it swells every person, and misses that of two images."""
    root = tmp_path_factory.mktemp("browser")
    drawn = [scene(path, number) for number, path in enumerate(labelled(sample)[:IMAGES])]
    return make_run(root / "first", make_dataset(root / "people", drawn, "sample"), drawn)


def labelled(sample: Path) -> list[Path]:
    masks = sorted((sample / "VOC2012" / "SegmentationClass").glob("*.png"))
    return [path for path in masks if (read_indices(path) == 15).mean() > 0.1]


def scene(path: Path, number: int) -> Drawn:
    person = read_indices(path) == 15
    seen = np.zeros_like(person) if number in (3, 7) else grow(person, 1 + number // 2)
    image = read_image(path.parents[1] / "JPEGImages" / f"{path.stem}.jpg")
    return Drawn(path.stem, as_target(person), sure_of(seen), image, split="train" if number % 2 else "val")


@pytest.fixture(scope="module")
def address(run: Path, database: str) -> Iterator[str]:
    """The address the command prints; at the end it is interrupted as a user does it, and must end well."""
    port, said = free_port(), run.parent / "stderr.txt"
    command = [*CURATE, "review", "open", str(run), "--port", str(port)]
    with said.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True)
    try:
        url = first_line(process.stdout, 90)
        assert url.startswith(f"http://127.0.0.1:{port}/datasets/silhouette-sample-"), said.read_text()
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0, said.read_text()
        assert said.read_text().splitlines()[-1] == f"Take the tags back with: curate review pull {run}"
    finally:
        process.kill()
        process.wait()


def first_line(stream: IO[str] | None, seconds: float) -> str:
    """The first line of a stream, or nothing where none comes in time."""
    assert stream is not None
    lines: Queue[str] = Queue()
    threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=seconds).strip()
    except Empty:
        return ""


def test_the_app_listens_to_this_machine_alone(address: str) -> None:
    port = int(address.split(":")[2].partition("/")[0])
    sockets = [
        line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]
    ]
    listening = [place for _, place, _, state, *_ in sockets if state == "0A" and place.endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"], "127.0.0.1, as the kernel writes it"


def test_a_reviewer_sees_the_worst_images_picks_a_view_and_tags(address: str, run: Path, chromium: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    expect = playwright.expect
    expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(PATIENCE_MS)
        advertisement = page.get_by_text("Dismiss", exact=True)  # FiftyOne lays it over a newcomer's first page
        page.add_locator_handler(advertisement, lambda: advertisement.click())
        page.goto(address)

        expect(page.locator("[data-cy=saved-views-selection]")).to_have_text("worst tenth")
        expect(page.locator("[data-cy=entry-counts]")).to_have_text(re.compile("^2 samples"))
        expect(page.locator("[data-cy=looker]")).to_have_count(2)
        expect(page.locator("[data-cy=tag-first_failure]").first).to_have_text("missed-person")

        tag_first_image(page, "relabel")
        choose_view(page, "ragged boundary")
        expect(page).to_have_url(re.compile("view=ragged-boundary"))
        expect(page.locator("[data-cy=tag-first_failure]").first).to_have_text("ragged-boundary")

        mark_first_image(page, "hard", "at night")
        page.locator("[title='New panel']").first.click()
        page.get_by_text("Silhouette", exact=True).click()
        expect(page.get_by_text("Kinds of photograph, first")).to_be_visible()
        expect(page.get_by_text("image mean IoU")).to_be_visible()
        browser.close()

    done = subprocess.run([*CURATE, "review", "pull", str(run)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("relabel       1\nexclude       0\nhard          1\n")
    ids = sorted(row["sample_id"] for row in open_dataset(run.parent / "people").rows())
    relabel, hard = sorted(read_decisions(run / "decisions.jsonl").values(), key=lambda one: one.verdict, reverse=True)
    assert relabel == Decision(ids[3], "relabel", "", "first")
    failures = read_table(run / "failures.parquet", schema.FAILURES).filter(kind="ragged-boundary")
    assert hard == Decision(failures.sort("severity")["sample_id"][-1], "hard", "at night", "first")


def tag_first_image(page: Page, tag: str) -> None:
    """Select the first image and give it a tag, as a reviewer does it with the mouse and the keyboard."""
    page.locator("[data-cy=looker]").first.hover()
    page.locator("[data-cy=looker] input[type=checkbox]").first.dispatch_event("click")
    page.locator("[data-cy=action-tag-sample-labels]").click()
    page.get_by_placeholder("+ tag selected sample").fill(tag)
    page.keyboard.press("Enter")
    page.get_by_text("Apply", exact=True).click()
    page.locator("[data-cy=looker]").first.wait_for()


def mark_first_image(page: Page, verdict: str, note: str) -> None:
    """Select the first image and give it a verdict and a note by the plugin's operator."""
    page.locator("[data-cy=looker]").first.hover()
    page.locator("[data-cy=looker] input[type=checkbox]").first.dispatch_event("click")
    page.keyboard.press("`")
    page.keyboard.type("Mark images")
    page.keyboard.press("Enter")
    form = page.get_by_role("dialog")
    form.locator(f"input[type=radio][value={verdict}]").check()
    form.get_by_role("textbox").fill(note)
    form.get_by_role("button", name="Execute").click()
    page.get_by_text("1 image marked").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("1 image marked").wait_for(state="hidden")


def choose_view(page: Page, name: str) -> None:
    """Pick a saved view from the list above the sidebar."""
    page.locator("[data-cy=saved-views-selection]").click()
    page.get_by_text(name, exact=True).click()
