"""The documentation site: the pages as they lie in the repository, README first. `make site` builds it."""

from __future__ import annotations

import shutil
from pathlib import Path

from sphinx.application import Sphinx

from curate import __version__

project = "Silhouette"
version = release = __version__
html_title = f"Silhouette {__version__}"

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [".*", "bench", "build", "datasets", "demo", "dist", "loops", "runs", "site", "tests"]
myst_heading_anchors = 4  # GitHub's own anchors
highlight_language = "text"
smartquotes = False

html_theme = "furo"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False

NAVIGATION = """
```{toctree}
:hidden:
:caption: Use
docs/tutorial
docs/choosing
docs/training
docs/reviewing
docs/labelling
docs/looping
```
```{toctree}
:hidden:
:caption: Look up
docs/commands
docs/api
docs/formats
docs/scale
docs/results
```
```{toctree}
:hidden:
:caption: Work on it
ARCHITECTURE
CONTRIBUTING
SECURITY
CHANGELOG
```
"""


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Name all pages at the end of the README, where GitHub does not see it."""
    if page == root_doc:
        source[0] += NAVIGATION


def make_front_page(app: Sphinx, fault: Exception | None) -> None:
    """Web servers look for index.html."""
    if fault is None:
        shutil.copy(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app: Sphinx) -> None:
    """Sphinx's own hook."""
    app.connect("source-read", add_navigation)
    app.connect("build-finished", make_front_page)
