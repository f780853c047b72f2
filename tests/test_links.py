"""No link of the documentation is broken: as GitHub shows the pages, and on the site that `make site` builds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
INDENTED = re.compile(r"(?:^|\n)\n(?:    .*\n|\n)+")
CODE = re.compile(r"`[^`\n]*`")


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in re.findall(r"^#+ +(.*)$", FENCED.sub("", text), re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


def links_of(text: str) -> list[str]:
    """The targets of a page's links and pictures that lead to no other site."""
    prose = CODE.sub("", INDENTED.sub("\n\n", FENCED.sub("", text)))
    return [target for target in re.findall(r"\]\(([^) ]+)\)", prose) if "://" not in target]


def broken(page: Path) -> Iterator[str]:
    """Those that lead to no file or to no heading."""
    for link in links_of(page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / unquote(name) if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text())):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_headings_have_githubs_anchors() -> None:
    text = "# On a *bare* `GPU` box\n## See [more](x.md)!\n```\n# no heading\n```\n## See more\n"
    assert anchors_of(text) == {"on-a-bare-gpu-box", "see-more", "see-more-1"}


def test_what_is_code_or_leads_elsewhere_is_no_link_of_ours() -> None:
    text = "[a](b.md#c), `[d](e)`, ![f](g.png) and [h](https://i)\n\n    [j](k)\n\n```\n[l](m)\n```\n"
    assert links_of(text) == ["b.md#c", "g.png"]


def test_there_are_links_to_files_and_to_headings() -> None:
    links = [link for page in PAGES for link in links_of(page.read_text())]
    assert len(links) > 50
    assert any("#" in link for link in links)


@pytest.mark.parametrize("link", ["gone.md", "page.md#no-such-heading", "#no-such-heading", "images/gone.png"])
def test_a_broken_link_is_found(link: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A heading\n[sound](#a-heading), [broken]({link})\n\n    [code](gone.md)\n")
    assert list(broken(page)) == [link]


class Linked(HTMLParser):
    """What a page of the site links to, and what of it can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets, self.anchors = list[str](), {""}
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what leads somewhere, and what something can lead to."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and not re.match(r"[a-z]+:", value):
                self.targets.append(value)


def test_the_site_has_every_page_and_no_broken_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "tools/site", ".", str(tmp_path)]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    site = {path: Linked(path) for path in tmp_path.rglob("*.html")}
    shown = {path.relative_to(tmp_path).with_suffix(".md") for path in site}
    assert {page.relative_to(REPOSITORY) for page in PAGES} <= shown
    for page, linked in site.items():
        for link in linked.targets:
            name, _, anchor = re.sub(r"\?[^#]*", "", unquote(link)).partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.is_file(), f"{page.name}: {link}"
            assert target not in site or anchor in site[target].anchors, f"{page.name}: {link}"
    assert len(list((tmp_path / "_images").iterdir())) >= 7
