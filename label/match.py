"""Which sample a hand label belongs to. Never guessed: every clue that says anything must say the same."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

import polars as pl

from curate.images import IMAGE_SUFFIXES
from curate.sources.names import safe_name
from label.formats.record import HandLabel

Found = frozenset[str]
Key = TypeVar("Key", str, int)
UPLOADED = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a file that was uploaded; of eight digits alone it may be a date."""
ROBOFLOW = re.compile(r"(.+)_(jpe?g|png|bmp|webp|tiff?)\.rf\.[0-9A-Za-z]{16,}", re.IGNORECASE)
"""What Roboflow calls its copy of a file: `photo_jpg.rf.` and a digest."""
NUMBER = re.compile(r"[0-9]{1,18}$")
NOTHING: Found = frozenset()


@dataclass(frozen=True)
class SampleIndex:
    """What a dataset's samples may be called, each name with the ids it may mean.

    Attributes:
        ids: Every sample_id.
        by_name: Keys (the sample_id without its source) with and without the image's suffix.
        by_path: Keys and sample_ids; a path is looked up in it as `sample_keys` writes one.
        by_hash: The digest of the image's bytes.
        by_number: The number a key ends in, leading zeros aside.
    """

    ids: Found
    by_name: Mapping[str, Found]
    by_path: Mapping[str, Found]
    by_hash: Mapping[str, Found]
    by_number: Mapping[int, Found]


@dataclass(frozen=True)
class NoMatch:
    """Why a label has no sample: none is known by its names (`candidates` empty), or several may be meant."""

    candidates: tuple[str, ...]


def index_samples(samples: pl.DataFrame) -> SampleIndex:
    """The index of a table with the columns of schema.SAMPLES."""
    by_name: dict[str, set[str]] = defaultdict(set)
    by_path: dict[str, set[str]] = defaultdict(set)
    by_hash: dict[str, set[str]] = defaultdict(set)
    by_number: dict[int, set[str]] = defaultdict(set)
    for sample_id, source, image, digest in samples.select("sample_id", "source", "image", "image_sha256").iter_rows():
        key, suffix = sample_id.removeprefix(f"{source}-"), PurePosixPath(image).suffix
        for name in (key, key + suffix):
            by_name[name].add(sample_id)
        for name in (key, sample_id):
            by_path[name].add(sample_id)
        by_hash[digest].add(sample_id)
        if number := NUMBER.search(key):
            by_number[int(number[0])].add(sample_id)
    ids = frozenset(samples["sample_id"])
    return SampleIndex(ids, _frozen(by_name), _frozen(by_path), _frozen(by_hash), _frozen(by_number))


def _frozen(sets: Mapping[Key, set[str]]) -> dict[Key, Found]:
    return {key: frozenset(ids) for key, ids in sets.items()}


def match(label: HandLabel, index: SampleIndex) -> str | NoMatch:
    """The sample_id a label belongs to, by sample_id, file name, relative path, then the content of its image.

    A sample_id stands for itself. Else each name gives the samples it may mean by file name and by path; they must
    have one sample in common. The image's content decides where the names say nothing, or leave more than one. A label
    that says only which number its image's name ends in means the samples whose name does.
    """
    exact = frozenset(one for name in label.names for one in ids_in(name, index))
    clues = [exact] if exact else [clue for name in label.names for clue in clues_of(name, index)]
    if label.ends_in is not None:
        clues.append(index.by_number.get(label.ends_in, NOTHING))
    named = frozenset[str]().union(*clues)
    common = frozenset.intersection(*clues) if clues else named
    candidates = common or named
    if len(common) != 1 and (digest := label.image_sha256()) is not None:
        same_image = index.by_hash.get(digest, NOTHING)
        common = candidates = (same_image & candidates if candidates else same_image) or candidates
    return next(iter(common)) if len(common) == 1 else NoMatch(tuple(sorted(candidates)))


def ids_in(name: str, index: SampleIndex) -> Found:
    """The sample_id a name is, with or without an image's suffix; empty where it is none."""
    return next((ids for one in origins_of(base(name)) if (ids := index.ids & {one, without_suffix(one)})), NOTHING)


def clues_of(name: str, index: SampleIndex) -> list[Found]:
    """The samples a name may mean, by its last part and by its path of two parts or more; without the empty ones."""
    plain = [without_suffix(one) for one in origins_of(name)]
    last = [*map(base, (*origins_of(name), *plain)), *(safe_name(base(one)) for one in plain)]
    by_name = next((index.by_name[spelling] for spelling in last if spelling in index.by_name), NOTHING)
    by_path = next((found for one in plain if (found := _by_path(one, index))), NOTHING)
    return [clue for clue in (by_name, by_path) if clue]


def origins_of(path: str) -> tuple[str, ...]:
    """The path, and those of the files that Roboflow and Label Studio made it from, where it is called so.

    >>> origins_of("set/0123abcd-photo.jpg"), origins_of("photo_png.rf.0123456789abcdef0123.jpg")
    (('set/0123abcd-photo.jpg', 'set/photo.jpg'), ('photo_png.rf.0123456789abcdef0123.jpg', 'photo.png'))
    """
    folder, slash, name = path.rpartition("/")
    copied = ROBOFLOW.fullmatch(without_suffix(name))
    original = f"{copied[1]}.{copied[2]}" if copied else name
    uploaded = UPLOADED.match(original)
    names = (name, original, original[uploaded.end() :] if uploaded else original)
    return tuple(dict.fromkeys(f"{folder}{slash}{one}" for one in names))


def _by_path(name: str, index: SampleIndex) -> Found:
    """The samples whose key or id is the end of the path, which has no suffix; the longest such end counts."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts) - 1):
        if found := index.by_path.get(safe_name("-".join(parts[start:]))):
            return found
    return NOTHING


def base(name: str) -> str:
    """The last part of a POSIX path."""
    return name.rsplit("/", 1)[-1]


def without_suffix(name: str) -> str:
    """The name without the suffix of an image file, if it has one.

    >>> without_suffix("a/img.001"), without_suffix("a/1.JPG")
    ('a/img.001', 'a/1')
    """
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name
