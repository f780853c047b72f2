"""PASCAL VOC and SBD folders: which photographs are looked at, and the files of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from curate import dataset
from curate.errors import CurateError, FormatError, MissingError
from curate.files import check_regular, readable_faults, sha256_files
from curate.foreground import Foreground
from curate.images import IMAGE_SUFFIXES, read_size_hw
from curate.sources import CANDIDATES, Note, Read
from curate.sources.folders import files_in, name_problem, printable, read_lines
from curate.sources.lookup import Inside
from curate.sources.names import person_classes, sample_keys
from curate.sources.voc_labels import VocImage, VocLabels, stated_people
from curate.sources.voc_xml import read_objects
from curate.threads import Watch, map_threads, unwatched

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The 20 classes of VOC 2007-2012 and the background, by palette index."""
OUTSIDE = "photos stand in no image set and were not looked at"


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps its files.

    Attributes:
        photos: Folder of the photographs.
        classes: Folder of the class masks.
        objects: Folder of the object masks.
        annotations: Folder of the XML files.
        mask_suffix: Ending of the masks.
        lists: Patterns of the image sets, which say what is looked at.
    """

    photos: str
    classes: str
    objects: str
    annotations: str
    mask_suffix: str
    lists: tuple[str, ...]


VOC = Layout(
    photos="JPEGImages",
    classes="SegmentationClass",
    objects="SegmentationObject",
    annotations="Annotations",
    mask_suffix=".png",
    lists=("ImageSets/Segmentation/*.txt",),
)
SBD = Layout(
    photos="img",
    classes="cls",
    objects="inst",
    annotations="Annotations",
    mask_suffix=".mat",
    lists=("train*.txt", "val*.txt"),
)


@dataclass(frozen=True)
class Folder:
    """A data set's folder: its image sets, and the names of its photos, masks and XML files by their stem."""

    path: Path
    layout: Layout
    lists: list[Path]
    photos: dict[str, list[str]]
    classes: dict[str, list[str]]
    objects: dict[str, list[str]]
    annotations: dict[str, list[str]]


def read_voc(name: str, root: Path, foreground: Foreground, watch: Watch = unwatched) -> Read:
    """A VOC or SBD folder as candidates: the union of its image sets, or every photo where it has none.

    Args:
        name: The source's name.
        root: The folder with `JPEGImages` (VOC) or with `img` and `cls` (SBD), or one above it (`VOCdevkit`).
            Links are followed inside it only.
        foreground: What counts as foreground; class names and palette indices are a person.
        watch: Told of progress.

    Raises:
        MissingError: There is no such folder.
        FormatError: None of the classes is a person.
    """
    with readable_faults(root):
        inside = Inside([root])
        folder = list_folder(*find_folder(root), inside)
        names = class_names(folder.path, inside)
        people = person_classes(foreground.person, names)
        if not people:
            listed = ", ".join(names.values())
            raise FormatError(folder.path, f"has no class {', '.join(foreground.person)!r}; it has: {listed}")
        keys = image_keys(folder)
        tick = watch(f"reading {name}", len(keys))
        images = map_threads(partial(look_up, folder, inside), keys, tick)
        source = dataset.Source("voc", name, None, sha256_files(folder.path, annotation_files(folder, images)))
    notes = [Note(OUTSIDE, printable(stem)) for stem in sorted(folder.photos.keys() - keys)]
    labels = VocLabels(images, names, people, foreground, inside)
    return Read(source, candidates_of(name, images, people), labels, notes, categories=frozenset(names.values()))


def find_folder(root: Path) -> tuple[Path, Layout]:
    """The data set's folder at or below `root`, and its layout; MissingError where there is none, or more than one."""
    if not root.exists():
        raise MissingError(f"{root}: does not exist. Name the folder of a VOC or SBD data set")
    folders = [root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*"))]
    folders += [root / "dataset", root / "benchmark_RELEASE" / "dataset"]
    found = [(folder, VOC) for folder in folders if (folder / VOC.photos).is_dir()]
    found += [(folder, SBD) for folder in folders if (folder / SBD.photos).is_dir() and (folder / SBD.classes).is_dir()]
    if not found:
        raise MissingError(
            f"{root}: has no JPEGImages folder (VOC), and no img and cls (SBD). Name the folder of such a data set"
        )
    if len(found) > 1 and found[0][0] != root:
        places = ", ".join(str(folder) for folder, _ in found)
        raise MissingError(f"{root}: holds {len(found)} VOC data sets. Name one: {places}")
    return found[0]


def list_folder(path: Path, layout: Layout, inside: Inside) -> Folder:
    """The names of all files of a data set.

    Raises:
        MissingError: An image set is a link that leads out of the source.
    """
    masks = frozenset({layout.mask_suffix})
    found = sorted(name for pattern in layout.lists for name in path.glob(pattern) if not name.name.startswith("."))
    lists = [inside.check(name) for name in found]
    return Folder(
        path,
        layout,
        lists,
        files_in(path / layout.photos, IMAGE_SUFFIXES),
        files_in(path / layout.classes, masks),
        files_in(path / layout.objects, masks),
        files_in(path / layout.annotations, frozenset({".xml"})),
    )


def class_names(folder: Path, inside: Inside) -> dict[int, str]:
    """Palette index -> class: from `class_names.txt`, one a line, where there is one, else VOC's own."""
    path = folder / "class_names.txt"
    lines = read_lines(inside.check(path)) if path.exists() else CLASSES
    names = [line.strip() for line in lines if line.strip() and line.strip() != "__ignore__"]
    return {index: name for index, name in enumerate(names) if index}


def image_keys(folder: Folder) -> list[str]:
    """The stems of the images looked at, sorted: all that the image sets list, else those of all photos.

    A line of an image set is a stem, or begins with one and a blank.
    """
    if not folder.lists:
        return sorted(folder.photos)
    lines = {line.strip() for path in folder.lists for line in read_lines(path)}
    return sorted({line if line in folder.photos else line.split()[0] for line in lines if line})


def look_up(folder: Folder, inside: Inside, key: str) -> VocImage:
    """The files of one image, its size, and the objects its XML names."""
    layout, path = folder.layout, folder.path
    image = path / layout.photos / folder.photos.get(key, [f"{key}.jpg"])[0]
    size_hw = None
    try:
        photo = only(path / layout.photos, folder.photos, key, inside)
        size_hw = read_size_hw(photo) if photo else None
        problem = problem_of(folder, key)
        class_mask = only(path / layout.classes, folder.classes, key, inside)
        object_mask = only(path / layout.objects, folder.objects, key, inside)
        xml = only(path / layout.annotations, folder.annotations, key, inside)
        objects = read_objects(xml) if xml and not problem else None
    except CurateError as error:
        return VocImage(key, image, size_hw=size_hw, problem=printable(str(error)))
    return VocImage(key, image, class_mask, object_mask, xml, objects, size_hw, problem)


def only(folder: Path, found: dict[str, list[str]], stem: str, inside: Inside) -> Path | None:
    """The one regular file of a stem, or None where there is none.

    Raises:
        FormatError: There are two, and which is meant is a guess.
        MissingError: It is a folder, a pipe or a device, or a link that leads out.
    """
    names = found.get(stem, [])
    if len(names) > 1:
        raise FormatError(folder / stem, f"{names[0]} and {names[1]} could both be meant. Take one away")
    if not names:
        return None
    path = inside.check(folder / names[0])
    check_regular(path)
    return path


def problem_of(folder: Folder, key: str) -> str | None:
    """Why an image has no label, or None."""
    layout = folder.layout
    if name_problem(key):
        return name_problem(key)
    if "/" in key or "\\" in key:
        return f"{key}: the image set names a path, not a stem"
    if key not in folder.photos:
        return f"{key}: stands in an image set, but {layout.photos} holds no such photo"
    if key not in folder.classes:
        where = "stands in an image set, but has no mask" if folder.lists else "has no mask"
        return f"{key}: {where}: {layout.classes} holds no {key}{layout.mask_suffix}"
    return None


def annotation_files(folder: Folder, images: Sequence[VocImage]) -> list[Path]:
    """The files that say what is looked at and what it shows."""
    labels = [path for image in images for path in (image.class_mask, image.object_mask, image.xml) if path]
    names = folder.path / "class_names.txt"
    return [*labels, *folder.lists, *([names] if names.exists() else [])]


def candidates_of(name: str, images: Sequence[VocImage], people: dict[int, str]) -> pl.DataFrame:
    """The candidate table of a VOC source."""
    keys = sample_keys([f"{image.key}.jpg" for image in images])
    return pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in keys],
            "source": [name] * len(images),
            "row": range(len(images)),
            "folder": [""] * len(images),
            "width": [image.size_hw and image.size_hw[1] for image in images],
            "height": [image.size_hw and image.size_hw[0] for image in images],
            "people": [stated_people(image, people) for image in images],
            "licence": [None] * len(images),
            "unreadable": [image.problem for image in images],
        },
        schema=CANDIDATES,
    )
