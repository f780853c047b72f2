"""The README as a package index shows it: there, no path into the repository leads anywhere, so it is told in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"!\[([^]]*)\]\((?!https?:)([^)]*)\)")
LINK = re.compile(r"\[([^]]*)\]\((?!https?:)[^)]*\)")


class IndexReadme(MetadataHookInterface):
    """hatchling's hook for `dynamic = ["readme"]`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the README in: of a picture its words and place, of a link its words."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        told = LINK.sub(r"\1", PICTURE.sub(r"*\1* (\2)", text))
        metadata["readme"] = {"content-type": "text/markdown", "text": told}
