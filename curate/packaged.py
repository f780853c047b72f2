"""Where recipes, presets and the embedded sample lie: inside the wheel, or in the checkout's `datasets/`."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def data_folder() -> Path:
    """The folder that holds `recipes/`, `presets/` and `sample/`."""
    packed = _HERE / "_data"
    return packed if packed.is_dir() else _HERE.parent / "datasets"
