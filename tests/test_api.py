"""The Python API: light to import, complete in its page, and the page's examples are true."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import curate
from tests.conftest import REPOSITORY
from tests.test_architecture import run_python

PAGE = (REPOSITORY / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"^```pycon\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_examples_of_the_page_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestParser().get_doctest("\n".join(EXAMPLES), {}, "docs/api.md", None, None)
    said: list[str] = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=options, verbose=False).run(found, out=said.append)
    assert not result.failed, "".join(said)
    assert result.attempted > 30


def test_every_block_of_code_is_an_example_that_is_run() -> None:
    assert len(EXAMPLES) == PAGE.count("```") / 2


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = {"numpy", "polars", "msgspec", "PIL", "click"}
    code = f"import curate, sys; sys.exit(repr(sorted({heavy} & sys.modules.keys())))"
    result, _ = run_python(code)
    assert result.stderr.strip() == "[]"


@pytest.mark.parametrize("name", curate.__all__)
def test_every_name_is_there_and_stands_in_the_page(name: str) -> None:
    assert getattr(curate, name).__name__ == name
    assert re.search(rf"^\| `{name}\b", PAGE, re.M)
    assert name in dir(curate)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'curate' has no attribute 'bild_dataset'"):
        curate.bild_dataset  # noqa: B018
