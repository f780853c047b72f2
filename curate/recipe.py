"""A recipe: every option that decides what a dataset holds, from the command line, a TOML file or a built dataset."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from curate.errors import FormatError, MissingError, UsageError
from curate.files import readable_faults
from curate.packaged import data_folder


def option_name(field: str) -> str:
    """The name of a field on the command line and in files.

    >>> option_name("min_area"), option_name("from_")
    ('min-area', 'from')
    """
    return field.rstrip("_").replace("_", "-")


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=option_name):
    """What `curate build` builds. Paths stand as the user gave them; without any source, the usual folders are used."""

    name: str = "people"
    coco: list[str] = []
    """Instance JSON files, `[NAME=]PATH`."""
    images: list[str] = []
    """Folders with the photographs of the COCO files."""
    voc: list[str] = []
    """VOC folders, `[NAME=]PATH`."""
    pairs: list[tuple[str, str]] = []
    """Folders of images and of their masks; `[NAME=]PATH` the first."""
    from_: str | None = None
    """A dataset whose rows are the candidates."""
    min_area: float = 0.0
    max_area: float = 1.0
    min_people: int = 1
    max_people: int | None = None
    person: list[str] = msgspec.field(default_factory=lambda: ["person"])
    decisions: str | None = None
    folds: int = 0
    seed: int | None = None
    """None: 0, and with `from` the splits stay as they are."""

    def sources(self) -> int:
        """Number of sources named."""
        return len(self.coco) + len(self.voc) + len(self.pairs)


def load_recipe(name: str) -> dict[str, Any]:
    """The options of a recipe: a shipped one by its name, a TOML file, or a built dataset's `dataset.json`.

    Raises:
        MissingError: There is none of this name; the message lists those there are.
        FormatError: The file is not TOML or JSON.
    """
    path = find_recipe(name)
    with readable_faults(path):
        data = path.read_bytes()
    try:
        if path.suffix == ".json":
            header = msgspec.json.decode(data, type=dict[str, Any])
            return {"name": header["name"], **header["recipe"]}
        return {"name": path.stem, **tomllib.loads(data.decode("utf-8"))}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise FormatError(path, f"is not a recipe ({error}). Expected TOML such as: min-area = 0.2") from error


def find_recipe(name: str) -> Path:
    """The file of a recipe, by path or by the name of a shipped one."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = data_folder() / "recipes" / f"{name}.toml"
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(other.stem for other in shipped.parent.glob("*.toml")))
    raise MissingError(f"{name}: is neither a file nor a shipped recipe. There are: {names}")


def make_recipe(options: dict[str, Any], where: str = "recipe") -> Recipe:
    """A checked recipe from options by name (`min-area` or `min_area`).

    Raises:
        UsageError: A key is unknown, a value has the wrong type, is out of range or contradicts another.
    """
    named = {option_name(key): value for key, value in options.items()}
    if named.get("from") is None and named.get("seed") is None:
        named["seed"] = 0
    if isinstance(named.get("person"), str | int):
        named["person"] = [named["person"]]
    if isinstance(named.get("person"), list):
        named["person"] = [str(word) for word in named["person"]]
    try:
        recipe = msgspec.convert(named, Recipe)
    except msgspec.ValidationError as error:
        known = ", ".join(option_name(field) for field in Recipe.__struct_fields__)
        raise UsageError(f"{where}: {error}. Known keys: {known}") from error
    check_ranges(recipe)
    return recipe


def check_ranges(recipe: Recipe) -> None:
    """Raise UsageError where a value is out of range or two contradict each other."""
    for option, value in (("--min-area", recipe.min_area), ("--max-area", recipe.max_area)):
        if not 0 <= value <= 1:
            raise UsageError(f"{option} {value:g}: an area is a fraction of the image, 0 to 1; 20 % is 0.2")
    if recipe.min_area > recipe.max_area:
        raise UsageError(f"--min-area {recipe.min_area:g} is more than --max-area {recipe.max_area:g}")
    if recipe.min_people < 1:
        raise UsageError(f"--min-people {recipe.min_people}: at least 1")
    if recipe.max_people is not None and recipe.max_people < recipe.min_people:
        raise UsageError(f"--max-people {recipe.max_people} is fewer than --min-people {recipe.min_people}")
    if recipe.folds < 0 or recipe.folds == 1:
        raise UsageError(f"--folds {recipe.folds}: 2 or more, or 0 for none")
    if recipe.folds > 100:
        raise UsageError(f"--folds {recipe.folds}: at most 100")
    if recipe.from_ is not None and recipe.sources():
        raise UsageError("--from starts from a dataset's own images; leave --coco, --voc and --pairs out")


def recipe_options(recipe: Recipe) -> dict[str, Any]:
    """Every option with its value, exactly as it is read back from `dataset.json`."""
    options: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(recipe))
    del options["name"]
    return options
