"""A recipe: every option that decides what a dataset holds, from the command line, a TOML file or a built dataset."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from curate import schema
from curate.choosing.rules import parse_where
from curate.choosing.splits import parse_split
from curate.errors import JSON_ERRORS, FormatError, MissingError, UsageError
from curate.files import readable_faults
from curate.foreground import ANIMALS, HELD, Foreground, Policy
from curate.packaged import shipped_file, shipped_names
from curate.storage.copies import source_at


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
    """Instance, keypoint and panoptic JSON files, `[NAME=]PATH`."""
    images: list[str] = []
    """Folders with the photographs of the COCO files."""
    voc: list[str] = []
    """VOC or SBD folders, `[NAME=]PATH`."""
    pairs: list[tuple[str, str]] = []
    """Folders of images and of their masks; `[NAME=]PATH` the first."""
    pool: list[str] = []
    """Folders of photographs without labels, `[NAME=]PATH`."""
    zoo: list[str] = []
    """Data sets of FiftyOne's zoo."""
    from_: str | None = None
    """A dataset whose rows are the candidates."""
    merge: str | None = None
    """A second dataset, joined to that of `from`."""
    person: list[str] = msgspec.field(default_factory=lambda: ["person"])
    min_person_area: float = 0.0
    held: Policy = "exclude"
    animals: Policy = "exclude"
    held_categories: list[str] = msgspec.field(default_factory=lambda: list(HELD))
    animal_categories: list[str] = msgspec.field(default_factory=lambda: list(ANIMALS))
    min_people: int = 1
    max_people: int | None = None
    min_area: float = 0.0
    max_area: float = 1.0
    min_side: int = 0
    intact: int | None = None
    """Most image edges that may cut the person; heads visible where keypoints tell."""
    min_keypoints: int = 0
    max_parts: int | None = None
    max_spacing: float | None = None
    max_stairs: float | None = None
    duplicates: Literal["keep", "exact", "near"] = "keep"
    where: str | None = None
    take: dict[str, int] = {}
    """Source -> most images kept of it."""
    backgrounds: int = 0
    decisions: str | None = None
    split: str | None = None
    """None: 70/20/10, and with `from` the splits stay as they are."""
    test_from: str | None = None
    group_by: str | None = None
    folds: int = 0
    seed: int | None = None
    """None: 0, and with `from` the splits stay as they are."""

    def __post_init__(self) -> None:
        """Raise UsageError where a value is out of range or two contradict each other."""
        check_ranges(self)

    def sources(self) -> int:
        """Number of sources named."""
        return len(self.coco) + len(self.voc) + len(self.pairs) + len(self.pool) + len(self.zoo)

    @property
    def foreground(self) -> Foreground:
        """What is painted as foreground, and who is counted."""
        return Foreground(
            tuple(self.person),
            self.min_person_area,
            self.held,
            self.animals,
            tuple(self.held_categories),
            tuple(self.animal_categories),
        )

    @property
    def resplits(self) -> bool:
        """Whether the splits are made anew although an earlier version has some."""
        return self.from_ is None or any(
            value is not None for value in (self.seed, self.split, self.test_from, self.group_by)
        )


def load_recipe(name: str) -> dict[str, Any]:
    """The options of a recipe: a shipped one by its name, a TOML file, or a built dataset's `dataset.json`.

    Raises:
        MissingError: There is none of this name; the message lists those there are.
        FormatError: The file is not TOML or JSON.
        UsageError: It is of a dataset that was not built but made by another command.
    """
    path = find_recipe(name)
    with readable_faults(path):
        data = path.read_bytes()
    try:
        if path.suffix == ".json":
            header = msgspec.json.decode(data, type=dict[str, Any])
            check_built(path, header["recipe"])
            return {"name": header["name"], **header["recipe"]}
        return {"name": path.stem, **tomllib.loads(data.decode("utf-8"))}
    except (tomllib.TOMLDecodeError, *JSON_ERRORS, KeyError, TypeError) as error:
        raise FormatError(path, f"is not a recipe ({error}). Expected TOML such as: min-area = 0.2") from error


def check_built(path: Path, options: dict[str, Any]) -> None:
    """Raise UsageError where a dataset has no recipe to build it by."""
    if "command" in options:
        told = f"was made by {options['command']}, not by a recipe"
        raise UsageError(f"{path}: {told}. Choose among its images with --from {path.parent}")


def find_recipe(name: str) -> Path:
    """The file of a recipe, by path, by the folder of a built dataset, or by the name of a shipped one."""
    path = source_at(name)
    if (path / "dataset.json").is_file():
        return path / "dataset.json"
    if path.is_file():
        return path
    if shipped := shipped_file("recipes", name):
        return shipped
    raise MissingError(
        f"{name}: is neither a file nor a shipped recipe. There are: {', '.join(shipped_names('recipes'))}"
    )


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
    return recipe


FRACTIONS = ("min_area", "max_area", "min_person_area", "max_spacing", "max_stairs")
"""Options that are a share of the image or of its diagonal."""
LEAST = {
    **{"min_people": 1, "max_people": 1, "min_side": 0, "intact": 0, "min_keypoints": 0, "max_parts": 1},
    **{"backgrounds": 0, "folds": 0},
}
"""Whole numbers and the least each can be."""
KEYPOINTS = 17
"""Of a person, in COCO."""


def check_ranges(recipe: Recipe) -> None:
    """Raise UsageError where a value is out of range or two contradict each other."""
    if recipe.name in ("", "..") or Path(recipe.name).name != recipe.name:
        raise UsageError(f"name {recipe.name!r}: is that of another folder. Call it by a word, such as people")
    for field in FRACTIONS:
        value = getattr(recipe, field)
        if value is not None and not 0 <= value <= 1:
            what = "an area is a fraction of the image" if field.endswith("area") else "a fraction is wanted"
            raise UsageError(f"--{option_name(field)} {value:g}: {what}, 0 to 1; 20 % is 0.2")
    for field, least in LEAST.items():
        value = getattr(recipe, field)
        if value is not None and value < least:
            raise UsageError(f"--{option_name(field)} {value}: at least {least}")
    if recipe.min_area > recipe.max_area:
        raise UsageError(f"--min-area {recipe.min_area:g} is more than --max-area {recipe.max_area:g}")
    if recipe.max_people is not None and recipe.max_people < recipe.min_people:
        raise UsageError(f"--max-people {recipe.max_people} is fewer than --min-people {recipe.min_people}")
    if recipe.folds == 1:
        raise UsageError("--folds 1: 2 or more, or 0 for none")
    if recipe.folds > 100:
        raise UsageError(f"--folds {recipe.folds}: at most 100")
    if recipe.min_keypoints > KEYPOINTS:
        raise UsageError(f"--min-keypoints {recipe.min_keypoints}: a person has {KEYPOINTS}")
    for name, most in recipe.take.items():
        if most < 0:
            raise UsageError(f"--take {name}={most}: a number of images is wanted")
    check_versions(recipe)
    check_group_by(recipe)
    check_counts(recipe)


FIXED_IN_MASKS = ("person", "min_person_area", "held", "animals", "held_categories", "animal_categories")
"""Options that decide how a mask is drawn, which a finished version has behind it."""
ANEW = "Build it anew from its sources"
NOT_STORED = ("min_keypoints", "max_spacing")
"""Options that ask for what annotations know and a finished version does not hold."""


def as_drawn(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """The recipe with what decided how the masks of its `from` were drawn: that is handed down to every version.

    Args:
        recipe: With `from`.
        options: Of the build that its `from` comes from.

    Raises:
        UsageError: The recipe asks for something else.
    """
    plain = Recipe()
    names = {field: option_name(field) for field in FIXED_IN_MASKS}
    stated = {name: options[name] for name in names.values() if name in options}
    drawn = make_recipe(stated, f"the recipe of {recipe.from_}")
    for field, name in names.items():
        if getattr(recipe, field) not in (getattr(plain, field), getattr(drawn, field)):
            told = f"the masks of {recipe.from_} are drawn already"
            raise UsageError(f"--{name}: {told}, with {option_words(name, getattr(drawn, field))}. {ANEW}")
    return msgspec.structs.replace(recipe, **{field: getattr(drawn, field) for field in names})


def check_versions(recipe: Recipe) -> None:
    """Raise UsageError where an option makes no sense with `--from`, or without it."""
    if recipe.from_ is None:
        if recipe.merge is not None:
            raise UsageError(f"--merge {recipe.merge}: joins a dataset to another one; name that with --from")
        return
    if recipe.sources() or recipe.images:
        raise UsageError(
            "--from starts from a dataset's own images; leave --coco, --images, --voc, --pairs, --pool and --zoo out"
        )
    if recipe.backgrounds:
        raise UsageError(
            f"--backgrounds: the empty scenes of {recipe.from_} are chosen already. Build it anew from its sources"
        )
    for field in NOT_STORED:
        if getattr(recipe, field):
            raise UsageError(
                f"--{option_name(field)}: {recipe.from_} holds masks, no keypoints and polygons. "
                "Build it anew from its sources"
            )
    if recipe.group_by == "folder":
        raise UsageError(f"--group-by folder: {recipe.from_} holds no folders. Build it anew from its sources")


def check_group_by(recipe: Recipe) -> None:
    """Raise UsageError where `--group-by` names no column that is known when groups are made."""
    unknown = {"image", "mask", "split", "fold", "mask_sha256"}
    known = ["folder", *(column for column in schema.SAMPLES if column not in unknown)]
    if recipe.group_by is not None and recipe.group_by not in known:
        raise UsageError(f"--group-by {recipe.group_by}: is no column. Columns: {', '.join(known)}")


def check_counts(recipe: Recipe) -> None:
    """Raise UsageError where `--split` or `--where` makes no sense, or asks for what is decided only after it."""
    counts = parse_split(recipe.split).counts
    if recipe.where is None:
        return
    asked = parse_where(recipe.where).meta.root_names()
    if "split" in asked and counts is not None:
        raise UsageError(f"--where {recipe.where!r}: images are counted out to splits last of all. Leave `split` out")
    if "fold" in asked and (recipe.resplits or recipe.folds):
        raise UsageError(f"--where {recipe.where!r}: folds are made last of all. Leave `fold` out")


def put_on_top(base: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """A recipe's options by name with further ones on top; a `take` of one source leaves those of the others.

    >>> put_on_top({"min-area": 0.3, "take": {"coco": 1000, "voc": 700}}, {"min_area": 0.2, "take": {"coco": 60}})
    {'min-area': 0.2, 'take': {'coco': 60, 'voc': 700}}
    """
    below = {option_name(key): value for key, value in base.items()}
    above = {option_name(key): value for key, value in options.items()}
    takes = [found["take"] for found in (below, above) if isinstance(found.get("take"), dict)]
    both = {"take": {**takes[0], **takes[1]}} if len(takes) == 2 else {}
    return {**below, **above, **both}


def recipe_options(recipe: Recipe) -> dict[str, Any]:
    """Every option with its value, exactly as it is read back from `dataset.json`."""
    options: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(recipe))
    del options["name"]
    return options


def option_words(name: str, value: Any) -> str:
    """An option as the command line has it.

    >>> print(option_words("take", {"coco": 5, "voc": 3}), option_words("min-area", 0.0), option_words("split", None))
    --take coco=5 --take voc=3 --min-area 0 no --split
    >>> print(option_words("held-categories", ["cup", "tie"]), option_words("pairs", [["own/a", "own/b"]]))
    --held-categories cup,tie --pairs own/a own/b
    """
    option = f"--{name}"
    if value is None or value in ([], {}):
        return f"no {option}"
    if name in ("person", "held-categories", "animal-categories"):
        value = ",".join(value)
    if isinstance(value, dict):
        value = [f"{key}={number}" for key, number in value.items()]
    given = [[one] if isinstance(one, str) else one for one in value] if isinstance(value, list) else [[value]]
    quoted = [[f"{word:g}" if isinstance(word, float) else shlex.quote(str(word)) for word in words] for words in given]
    return " ".join(" ".join([option, *words]) for words in quoted)
