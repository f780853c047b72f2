"""The labels of VOC images: who is a person, who counts, what touches them, and the target that follows.

A label is a raster of classes, with a raster of objects where there is one. All of it is worked out at the size of the
masks; a target of another size than its image is resized last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from curate import masks
from curate.classes import class_png, draw_classes
from curate.errors import CurateError, FormatError, MismatchError, MissingError
from curate.foreground import Foreground, paint
from curate.images import fit_mask, read_indices
from curate.masks import Mask, SizeHW, Target, value_counts
from curate.sources import Label, Limits, Measure, Note, measure_target
from curate.sources.fitting import fit_target
from curate.sources.lookup import Inside
from curate.sources.sbd import read_sbd_classes, read_sbd_objects
from curate.sources.voc_xml import VocObject

VOID = 255
BORDER_PX, CONTACT_PX = 5, 2
"""Objects that touch are parted by a void border of 5 px; over it, and without it, contact reaches 2 px."""
HEAD = "head"
SIDES = {"frontal": "front", "rear": "rear"}
"""What a pose is called in the `tags` column."""
MOST_VALUES = 2**16


@dataclass(frozen=True)
class VocImage:
    """The files of one photograph; those that are not there are None.

    Attributes:
        key: Its stem.
        image: The photograph.
        class_mask: PNG of palette indices, or SBD's `cls/*.mat`.
        object_mask: The same of object numbers, or SBD's `inst/*.mat`.
        xml: Its annotation.
        objects: What that names; None where there is none.
        size_hw: Of the photograph; None where it cannot be told.
        problem: Why it cannot be used, or None.
    """

    key: str
    image: Path
    class_mask: Path | None = None
    object_mask: Path | None = None
    xml: Path | None = None
    objects: tuple[VocObject, ...] | None = None
    size_hw: SizeHW | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Scene:
    """The rasters of one label.

    Attributes:
        classes: (H, W) class of each pixel, 255 for void.
        objects: (H, W) number of the object at each pixel, 0 and 255 for none; None where nobody told them apart.
        class_of: Object number -> its class.
    """

    classes: NDArray[np.integer]
    objects: NDArray[np.integer] | None = None
    class_of: Mapping[int, int] = field(default_factory=dict)


class VocLabels:
    """The labels of a VOC or SBD source, read from its mask files when asked for.

    Args:
        images: By row.
        names: Class -> name.
        people: The classes that are a person.
        foreground: What counts as foreground.
        inside: Holds photographs to the source's folder.
    """

    def __init__(
        self,
        images: Sequence[VocImage],
        names: Mapping[int, str],
        people: Mapping[int, str],
        foreground: Foreground,
        inside: Inside,
    ) -> None:
        self._images, self._names, self._people = images, names, people
        self._foreground, self._inside = foreground, inside

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._inside.check(self._images[row].image)

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show, each measured by itself."""
        return [self.measure(row, limits) for row in rows]

    def measure(self, row: int, limits: Limits) -> Measure:
        """People from the object mask, else from the XML; area from the class mask."""
        image = self._images[row]
        stated = stated_people(image, self._people)
        settled = stated is not None and self._foreground.min_person_area == 0
        if settled and stated and limits.most_people is not None and stated > limits.most_people:
            return Measure(stated)
        try:
            scene = read_scene(image, self._names)
            person = self._person(scene)
            regions = self._regions(scene, person) if self._foreground.paints else []
            target, resized = self._target(image, scene, person, regions)
        except CurateError as error:
            return Measure(unreadable=str(error))
        people, notes = count_people(image, scene, person, self._people, self._least_px(person))
        return measure_target(target, people, (*notes, *resized), image.key)

    def draw(self, row: int) -> Label:
        """The target: person classes 255, void 128, held objects and animals as the recipe says."""
        image = self._images[row]
        scene = read_scene(image, self._names)
        person = self._person(scene)
        regions = self._regions(scene, person)
        target, resized = self._target(image, scene, person, regions)
        counted = counted_objects(image.objects or (), person, self._people, self._least_px(person))
        origin = "hand" if is_matrix(image.class_mask) else "palette"
        touching = tuple(sorted({name for name, _ in regions}))
        tags = tags_of(counted) + ("resized",) * bool(resized)
        alone = self._target(image, scene, person, [])[0] if self._foreground.paints else target
        edges = masks.touched_edges(alone == masks.PERSON)
        classes = self._classes(image, scene, regions, target)
        return Label(target, origin, touching, head_of(counted), tags=tags, edges=edges, classes=classes)

    def _person(self, scene: Scene) -> Mask:
        return np.isin(scene.classes, list(self._people))

    def _least_px(self, person: Mask) -> float:
        return self._foreground.min_person_area * person.size

    def _regions(self, scene: Scene, person: Mask) -> list[tuple[str, Mask]]:
        others = {value: name for value, name in self._names.items() if value not in self._people}
        return list(touching_regions(scene, person, others))

    def _target(
        self, image: VocImage, scene: Scene, person: Mask, regions: Sequence[tuple[str, Mask]]
    ) -> tuple[Target, tuple[Note, ...]]:
        target = masks.target_of(person, scene.classes == VOID)
        target = paint(target, [(region, self._foreground.policy_of(name)) for name, region in regions])
        if image.size_hw is None or image.class_mask is None:
            return target, ()
        return fit_target(target, image.size_hw, image.class_mask, image.image)

    def _classes(
        self, image: VocImage, scene: Scene, regions: Sequence[tuple[str, Mask]], target: Target
    ) -> bytes | None:
        """The class mask as a file, at the size of the target; None where none is drawn or the source knows none."""
        class_of = self._foreground.class_of
        if image.class_mask is None or not self._foreground.can_name(self._names.values()):
            return None
        animals = [value for value, name in self._names.items() if class_of(name) == "animal"]
        objects = [(region, "held") for name, region in regions if class_of(name) == "held"]
        objects.append((np.isin(scene.classes, animals), "animal"))
        classes = draw_classes(scene.classes.shape, objects)
        return class_png(fit_mask(classes, target.shape, image.class_mask), target)


def read_scene(image: VocImage, names: Mapping[int, str]) -> Scene:
    """The rasters of an image's label.

    Raises:
        MissingError, FormatError: A mask is not there, damaged, has colours instead of indices, or a class that is
            none of `names`.
        MismatchError: The two masks differ in size.
    """
    if image.class_mask is None:
        raise MissingError(f"{image.key}: {image.problem or 'no mask'}")
    classes = read_classes(image.class_mask)
    check_classes(image.class_mask, classes, names)
    if image.object_mask is None:
        return Scene(classes)
    if is_matrix(image.object_mask):
        numbers, class_of = read_sbd_objects(image.object_mask)
        return Scene(classes, of_size(image.object_mask, numbers, classes), class_of)
    objects = of_size(image.object_mask, read_label_image(image.object_mask), classes)
    return Scene(classes, objects, classes_of_objects(objects, classes))


def read_classes(path: Path) -> NDArray[np.integer]:
    """The class of each pixel (H, W) of a mask of either kind."""
    return read_sbd_classes(path) if is_matrix(path) else read_label_image(path)


def check_classes(path: Path, classes: NDArray[np.integer], names: Mapping[int, str]) -> None:
    """Raise FormatError where a class mask holds a value that is no class: its classes are others than we think."""
    strange = value_counts(classes).keys() - names.keys() - {0, VOID}
    if strange:
        most = max(names)
        raise FormatError(
            path, f"holds the class {min(strange)}; known are 1 to {most}. List the classes in class_names.txt"
        )


def of_size(path: Path, objects: NDArray[np.integer], classes: NDArray[np.integer]) -> NDArray[np.integer]:
    """The objects; MismatchError where their raster has another size than that of the classes."""
    if objects.shape != classes.shape:
        raise MismatchError(path, f"the size of its class mask {classes.shape}", objects.shape)
    return objects


def is_matrix(path: Path | None) -> bool:
    """Whether a mask is one of SBD's."""
    return path is not None and path.suffix.lower() == ".mat"


def read_label_image(path: Path) -> NDArray[np.integer]:
    """A palette or grey label image (H, W); FormatError where it has colours instead of indices."""
    indices = read_indices(path)
    if indices.ndim != 2:
        raise FormatError(path, "is a colour image; expected palette indices. Save it as a palette PNG")
    return indices.view(np.uint8) if indices.dtype == bool else indices


def classes_of_objects(objects: NDArray[np.integer], classes: NDArray[np.integer]) -> dict[int, int]:
    """The class of each object: that of more than half of its pixels; objects without such a class are left out.

    >>> classes_of_objects(np.array([[1, 1, 1, 2, 2, 255]]), np.array([[15, 15, 12, 12, 15, 255]]))
    {1: 15}
    """
    sizes = value_counts(objects)
    pairs = value_counts(objects.astype(np.int64) * MOST_VALUES + classes)
    return {
        pair // MOST_VALUES: pair % MOST_VALUES
        for pair, count in pairs.items()
        if pair // MOST_VALUES not in (0, VOID) and 2 * count > sizes[pair // MOST_VALUES]
    }


def touching_regions(scene: Scene, person: Mask, others: Mapping[int, str]) -> Iterator[tuple[str, Mask]]:
    """Name of the class and pixels of the objects of `others` (class -> name) that are in contact with a person.

    An object is one of the object mask, where that tells all of a class apart, else a connected region (8 neighbours).
    All of an object touches where a part of it does; another of its class far away does not.
    """
    near = near_people(person, scene.classes == VOID)
    for value in sorted(value_counts(scene.classes[near]).keys() & others.keys()):
        numbers = region_numbers(scene, scene.classes == value)
        touched = value_counts(numbers[near]).keys() - {0}
        yield others[value], np.isin(numbers, list(touched))


def region_numbers(scene: Scene, of_class: Mask) -> NDArray[np.integer]:
    """The number of the object of a class at each pixel (H, W), 0 where there is none of the class."""
    if scene.objects is not None:
        told_apart = (scene.objects != 0) & (scene.objects != VOID)
        if told_apart[of_class].all():
            return np.where(of_class, scene.objects, 0)
    return cv2.connectedComponents(of_class.astype(np.uint8), connectivity=8)[1].astype(np.int32, copy=False)


def near_people(person: Mask, void: Mask) -> Mask:
    """The pixels in contact with a person: within CONTACT_PX of one, or of the void border around one."""
    border = void & masks.grow(person, BORDER_PX)
    return masks.grow(person | border, CONTACT_PX)


def stated_people(image: VocImage, people: Mapping[int, str]) -> int | None:
    """How many people the XML names; None where an object mask will tell, or where it names nobody.

    Nobody named is no proof that the mask shows nobody, so the mask is looked at.
    """
    if image.objects is None or image.object_mask is not None:
        return None
    return sum(one.people for one in people_of(image.objects, people)) or None


def people_of(objects: Sequence[VocObject], people: Mapping[int, str]) -> tuple[VocObject, ...]:
    """The objects that are people, difficult ones included."""
    wanted = {name.casefold() for name in people.values()}
    return tuple(one for one in objects if one.name.casefold() in wanted)


def count_people(
    image: VocImage, scene: Scene, person: Mask, people: Mapping[int, str], least_px: float
) -> tuple[int, tuple[Note, ...]]:
    """How many people of at least `least_px` an image shows: by its object mask, else its XML, else one if any."""
    if scene.objects is not None:
        return count_objects(scene, people, least_px), ()
    shown = int(np.count_nonzero(person))
    if image.objects is None:
        what = "images have neither object masks nor XML; their people count as one"
        return int(shown >= max(1, least_px)), (Note(what, image.key),)
    counted = sum(one.people for one in counted_objects(image.objects, person, people, least_px))
    if not people_of(image.objects, people) and shown >= max(1, least_px):
        return 1, (Note("masks show people that their XML does not name; they count as one", image.key),)
    return counted, ()


def count_objects(scene: Scene, people: Mapping[int, str], least_px: float) -> int:
    """Number of objects of at least `least_px` that are people."""
    if scene.objects is None:
        return 0
    sizes = value_counts(scene.objects)
    return sum(scene.class_of.get(number) in people and size >= least_px for number, size in sizes.items())


def counted_objects(
    objects: Sequence[VocObject], person: Mask, people: Mapping[int, str], least_px: float
) -> tuple[VocObject, ...]:
    """The people of an XML who count.

    A figure lies inside its box and inside the class mask: it is surely smaller than `least_px` where its box holds
    fewer of a person's pixels. A person without a box counts, and so does everyone where `least_px` is 0.
    """
    return tuple(one for one in people_of(objects, people) if one.box is None or pixels_in(one.box, person) >= least_px)


def pixels_in(box: tuple[int, int, int, int], mask: Mask) -> int:
    """Number of the mask's pixels in a box of left, top, right and bottom."""
    left, top, right, bottom = box
    return int(np.count_nonzero(mask[top : max(top, bottom), left : max(left, right)]))


def head_of(counted: Sequence[VocObject]) -> bool | None:
    """Whether all people whose parts are marked show a head; None where no parts are."""
    marked = [one.parts for one in counted if one.parts]
    return all(HEAD in parts for parts in marked) if marked else None


def tags_of(counted: Sequence[VocObject]) -> tuple[str, ...]:
    """The flags of anyone who counts and the sides they are seen from, as words for the `tags` column."""
    sides = {SIDES[pose] for one in counted if (pose := one.pose.casefold()) in SIDES}
    words = ("difficult",) * any(one.difficult for one in counted)
    return words + ("truncated",) * any(one.truncated for one in counted) + tuple(sorted(sides))
