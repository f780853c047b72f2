"""The sources a recipe names, read; or, where it names none, those that lie where they usually lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from curate.choosing.recipe import Recipe, as_drawn
from curate.choosing.zoo import ZooSet, parse_zoo, read_zoo
from curate.dataset import read_header
from curate.errors import MissingError, UsageError
from curate.packaged import data_folder
from curate.sources import Read
from curate.sources.coco import read_coco
from curate.sources.names import check_unique, source_names, split_name
from curate.sources.pairs import read_pairs
from curate.sources.panoptic import png_folders
from curate.sources.pool import read_pool
from curate.sources.voc import read_voc
from curate.storage.copies import located, photos_at, source_at
from curate.storage.mirrors import mirror_if_there
from curate.storage.urls import mirrored_url
from curate.threads import Watch, unwatched

USUAL_FOLDER = Path("datasets")
"""Below the current folder, where data sets lie that nobody names."""


@dataclass(frozen=True)
class Named:
    """The sources to read: name -> its paths.

    Attributes:
        photos: The folder with the photographs of a COCO file, where it is known.
    """

    coco: dict[str, list[Path]] = field(default_factory=dict)
    voc: dict[str, Path] = field(default_factory=dict)
    pairs: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    pool: dict[str, Path] = field(default_factory=dict)
    photos: dict[Path, Path] = field(default_factory=dict)


def read_sources(
    recipe: Recipe, watch: Watch = unwatched, *, download: bool = True, mapped: bool = False
) -> list[Read]:
    """Every source of the recipe, in the order COCO, VOC, pairs, pool.

    Args:
        recipe: Names the sources.
        watch: Told of progress.
        download: Whether a data set of the zoo that is not there is downloaded.
    """
    roots, foreground = [photos_at(folder) for folder in recipe.images], recipe.foreground
    for root in roots:
        if not root.is_dir():
            raise MissingError(f"--images {root}: is not a folder. Name the folder that holds the photographs")
    named = named_sources(recipe, watch, download=download) if recipe.sources() else usual_sources()
    if roots and not named.coco:
        raise UsageError("--images: says where the photographs of --coco lie, and no --coco is given")
    tick = watch("reading", len(named.coco))
    reads = read_coco(named.coco, roots, foreground, named.photos, mapped=mapped)
    tick(len(named.coco))
    reads += [read_voc(name, root, foreground, watch) for name, root in named.voc.items()]
    reads += [read_pairs(name, images, masks, foreground, watch) for name, (images, masks) in named.pairs.items()]
    reads += [read_pool(name, folder, watch) for name, folder in named.pool.items()]
    return reads


def named_sources(recipe: Recipe, watch: Watch = unwatched, *, download: bool = True) -> Named:
    """The recipe's sources by name; COCO files of one given name are one source. Those named by URL are mirrored.

    Raises:
        UsageError: Two sources have one name, or the zoo has no such data set.
        MachineError: A data set of the zoo cannot be downloaded.
        MissingError: It lacks what is needed.
    """
    for text in recipe.zoo:
        parse_zoo(text)  # all of them, before any is downloaded
    zoo = [read_zoo(text, download=download) for text in recipe.zoo]
    coco: dict[str, list[Path]] = {}
    for name, path in named_paths("coco", recipe.coco, watch):
        coco.setdefault(name, []).append(path)
        urls = [url for folder in png_folders(path) if (url := mirrored_url(folder)) is not None]
        for url in urls if download else ():
            mirror_if_there(url, watch)
    for name, found in named_zoo("coco", recipe.coco, zoo):
        coco.setdefault(name, []).extend(found.paths)
    voc = named_paths("voc", recipe.voc, watch)
    voc += [(name, path) for name, found in named_zoo("voc", recipe.voc, zoo) for path in found.paths]
    pairs = named_paths("pairs", [images for images, _ in recipe.pairs], watch)
    pool = named_paths("pool", recipe.pool, watch)
    check_unique([*coco, *(name for paths in (voc, pairs, pool) for name, _ in paths)])
    masks = [source_at(folder, watch) for _, folder in recipe.pairs]
    folders = {name: (images, folder) for (name, images), folder in zip(pairs, masks, strict=True)}
    photos = {path: folder for found in zoo for path, folder in zip(found.paths, found.photos, strict=False)}
    return Named(coco, dict(voc), folders, dict(pool), photos)


def named_paths(kind: str, texts: Sequence[str], watch: Watch = unwatched) -> list[tuple[str, Path]]:
    """`[NAME=]PATH` arguments of a kind as (name, path)."""
    split = [split_name(text) for text in texts]
    names = source_names(kind, [name for name, _ in split])
    return [(name, source_at(path, watch)) for name, (_, path) in zip(names, split, strict=True)]


def named_zoo(kind: str, texts: Sequence[str], zoo: Sequence[ZooSet]) -> list[tuple[str, ZooSet]]:
    """The data sets of a kind with their names, which go on counting after the sources named by path."""
    mine = [found for found in zoo if found.kind == kind]
    given = [*(split_name(text)[0] for text in texts), *(found.name for found in mine)]
    return list(zip(source_names(kind, given)[len(texts) :], mine, strict=True))


def usual_sources() -> Named:
    """What lies under `datasets/` of the current folder, else the embedded sample.

    Raises:
        MissingError: Not even the sample is there.
    """
    for folder in (USUAL_FOLDER, data_folder() / "sample"):
        named = find_sources(folder)
        if named.coco or named.voc:
            return named
    raise MissingError(
        f"{folder}: the embedded sample is missing. Install again, or name a source with --coco or --voc"
    )


def find_sources(folder: Path) -> Named:
    """COCO and VOC below a folder in their usual layouts."""
    files = sorted((folder / "coco" / "annotations").glob("instances_*.json"))
    places = (folder / "VOC2012", folder / "VOCdevkit" / "VOC2012", folder / "voc" / "VOCdevkit" / "VOC2012")
    voc = next((place for place in places if (place / "JPEGImages").is_dir()), None)
    return Named({"coco": files} if files else {}, {"voc": voc} if voc else {})


def with_usual_sources(recipe: Recipe) -> Recipe:
    """The recipe with the sources under `datasets/` named, where it names none, so that it means the same elsewhere.

    The embedded sample is part of the program and has no name: there it stays without sources. With `from`, it is the
    recipe with what decided how the masks there were drawn.
    """
    if recipe.from_ is not None:
        return as_drawn(recipe, read_header(located(recipe.from_)).built_by)
    if recipe.sources():
        return recipe
    named = find_sources(USUAL_FOLDER)
    coco = [f"{name}={path}" for name, paths in named.coco.items() for path in paths]
    return msgspec.structs.replace(recipe, coco=coco, voc=[f"{name}={path}" for name, path in named.voc.items()])


def describe_usual_sources() -> str:
    """Which sources are used when none is named, for the user."""
    named = usual_sources()
    paths = [*(str(path) for paths in named.coco.values() for path in paths), *map(str, named.voc.values())]
    if data_folder() / "sample" in [parent for path in paths for parent in Path(path).parents]:
        return "no source named and none under datasets/: using the embedded sample (drawn scenes)"
    return f"no source named: using {', '.join(paths)}"
