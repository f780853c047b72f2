"""The labels that are to be checked, with their photographs: those of a dataset version, or those of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, overload

from curate import images
from curate.dataset import Dataset
from curate.errors import CurateError, MissingError
from curate.masks import SizeHW
from curate.rows import Row, Rows
from curate.schema import LABELLED
from label.archive import unpacked
from label.formats import FORMATS, detect_format, read_labels
from label.formats.record import Drawing, HandLabel, Options, Refusal, printable
from label.importing import told_of
from label.photographs import Photographs


@dataclass(frozen=True)
class Label:
    """A label of a picture.

    Attributes:
        where: Its file, and the place in it.
        size: The size in px of the raster it was drawn on; None where it says none. Raises CurateError.
        draw: The label at a given size. Raises CurateError.
    """

    where: str
    size: Callable[[], SizeHW | None]
    draw: Callable[[SizeHW], Drawing]


@dataclass(frozen=True)
class Picture:
    """A photograph and its labels, one for each annotator.

    Attributes:
        name: The sample_id, or its name in an export.
        image: Its file; None where it is not at hand.
        size: Its size in px; None where only the labels tell it. Raises CurateError.
        labels: In the order of the file.
        group: Pictures of one group show the same, so that their masks may be alike.
    """

    name: str
    image: Path | None
    size: Callable[[], SizeHW | None]
    labels: Sequence[Label]
    group: str


class Gathered(NamedTuple):
    """What is to be checked.

    Attributes:
        folder: Where it lies: the place the user named, or where a zip is unpacked.
        pictures: Each with all labels of it.
        refusals: Labels of which nothing can be read.
    """

    folder: Path
    pictures: Sequence[Picture]
    refusals: list[Refusal]


@dataclass(frozen=True)
class Export:
    """Where labels lie and how they are read; the fields are the command's options."""

    path: Path
    format: str = "auto"
    options: Options = field(default_factory=Options)
    images: tuple[Path, ...] = ()


class PicturesOfRows(Sequence[Picture]):
    """Rows of a dataset as pictures, each made when it is asked for: so a million take no more than their table."""

    def __init__(self, root: Path, rows: Rows) -> None:
        self._root, self._rows = root, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Picture]:
        return (picture_of(self._root, row) for row in self._rows)

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> PicturesOfRows: ...
    def __getitem__(self, place: int | slice) -> Picture | PicturesOfRows:
        if isinstance(place, slice):
            return PicturesOfRows(self._root, self._rows[place])
        return picture_of(self._root, self._rows[place])


def pictures_of(dataset: Dataset, *splits: str) -> PicturesOfRows:
    """The labelled pictures of a dataset version, or those of the named splits."""
    return PicturesOfRows(dataset.root, dataset.rows(*(splits or LABELLED)))


def picture_of(root: Path, row: Row) -> Picture:
    """One row of the dataset at `root` as a picture."""
    path, size_hw = root / row["mask"], (row["height"], row["width"])
    label = Label(str(path), lambda: images.read_size_hw(path), lambda size_hw: drawing_at(path, size_hw))
    return Picture(row["sample_id"], root / row["image"], lambda: size_hw, [label], row["group"])


def drawing_at(path: Path, size_hw: SizeHW) -> Drawing:
    """What a mask file shows at the size of its image."""
    return Drawing(images.fit_mask(images.read_target(path), size_hw, path), None, "")


@contextmanager
def pictures_in(export: Export) -> Iterator[Gathered]:
    """The pictures of an export; a zip is unpacked as long.

    Raises:
        MissingError: A folder of photographs is none.
        FormatError: Nothing at the path is of a format known.
        UsageError: An option is not what the format can select by.
    """
    for folder in export.images:
        if not folder.is_dir():
            raise MissingError(f"--images {folder}: is not a folder. Name the folder that holds the photographs")
    with TemporaryDirectory(prefix="curate-photographs-") as temporary:
        spool = Path(temporary)
        path = unpacked(export.path, spool)
        with told_of(path, export.path):
            name = detect_format(path) if export.format == "auto" else export.format
            photographs = Photographs(path, export.images, FORMATS[name].SUFFIXES, spool)
            yield Gathered(path, *by_picture(list(read_labels(path, name, export.options)), photographs))


def by_picture(labels: Sequence[HandLabel | Refusal], photographs: Photographs) -> tuple[list[Picture], list[Refusal]]:
    """Labels by the photograph they are of, or by its name where it is not at hand; and those of which that is open."""
    pictures: dict[str, Picture] = {}
    refusals = [label for label in labels if isinstance(label, Refusal)]
    for number, label in enumerate(labels):
        if isinstance(label, Refusal):
            continue
        try:
            picture = picture_in_export(label, number, photographs)
        except CurateError as error:
            refusals.append(Refusal(label.file, str(error)))
            continue
        held = pictures.get(picture.group)
        both = (
            picture
            if held is None
            else Picture(held.name, held.image, held.size, [*held.labels, *picture.labels], held.group)
        )
        pictures[picture.group] = both
    return list(pictures.values()), refusals


def picture_in_export(label: HandLabel, number: int, photographs: Photographs) -> Picture:
    """A picture with one label; raises CurateError where its photograph is not known for certain."""
    photo = photographs.of(label, number)
    one = Label(label.where, lambda: label.size_hw, label.draw)
    if photo is None:
        name = printable(label.names[0]) if label.names else label.where
        return Picture(name, None, lambda: None, [one], name)
    return Picture(printable(photo.name), photo.file, lambda: images.read_size_hw(photo.file), [one], photo.sha256)
