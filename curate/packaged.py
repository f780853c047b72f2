"""Where recipes, presets and the embedded sample lie: inside the wheel, or in the checkout's `datasets/`."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def data_folder() -> Path:
    """The folder that holds `recipes/`, `presets/` and `sample/`."""
    packed = _HERE / "_data"
    return packed if packed.is_dir() else _HERE.parent / "datasets"


def shipped_file(kind: str, name: str) -> Path | None:
    """The shipped TOML file of a name in `recipes` or `presets`; None where there is none."""
    path = data_folder() / kind / f"{name}.toml"
    return path if path.is_file() else None


def shipped_names(kind: str) -> list[str]:
    """What is shipped in `recipes` or `presets`, in alphabetical order."""
    return sorted(path.stem for path in (data_folder() / kind).glob("*.toml"))
