"""Names: of sources on the command line, of samples on disk, and of the category that is a person."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from curate.errors import UsageError

Value = TypeVar("Value", int, int | float)

_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_LONGEST_KEY = 120
_SAFE = re.compile(r"[A-Za-z0-9._-]{1,120}")
"""Bytes of UTF-8: with the source's name and a suffix it stays below the 255 that file systems allow."""


def split_name(text: str) -> tuple[str | None, str]:
    """`NAME=PATH` as (NAME, PATH); a plain path, or one that exists as it stands, as (None, path).

    >>> split_name("street=data/a.json")
    ('street', 'data/a.json')
    >>> split_name("s3://bucket/k=v/a.json")
    (None, 's3://bucket/k=v/a.json')
    >>> split_name("data/k=v/a.json")
    (None, 'data/k=v/a.json')
    """
    name, separator, path = text.partition("=")
    if not separator or not _SOURCE_NAME.fullmatch(name) or Path(text).exists():
        return None, text
    return name, path


def source_names(kind: str, given: Sequence[str | None]) -> list[str]:
    """A name for each source of a kind: the given one, else the kind, from the second on with its number.

    >>> source_names("coco", [None, "street", None])
    ['coco', 'street', 'coco-3']
    """
    return [
        name if name is not None else kind if number == 1 else f"{kind}-{number}"
        for number, name in enumerate(given, 1)
    ]


def safe_name(text: str) -> str:
    """The text as part of a file name on any system; where that changes it, six hex digits of its hash tell it apart.

    >>> safe_name("000000397133")
    '000000397133'
    """
    if _SAFE.fullmatch(text):
        return text
    normal = unicodedata.normalize("NFC", text)
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in normal)
    safe = safe.encode("utf-8", "ignore")[:_LONGEST_KEY].decode("utf-8", "ignore")
    return safe if safe == text else f"{safe}-{short_hash(text)}"


def short_hash(text: str) -> str:
    """Six hex digits that tell texts apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def sample_keys(file_names: Sequence[str]) -> list[str]:
    """A key for each image of a source: its file stem, or its relative path where the source holds the stem twice.

    >>> sample_keys(["a/1.jpg", "a/2.jpg", "b/1.jpg"])
    ['a-1', '2', 'b-1']
    """
    paths = [without_suffix(name) for name in file_names]
    stems = [path.rpartition("/")[2] for path in paths]
    often = Counter(stems)
    keys = [
        safe_name(stem if often[stem] == 1 else path.replace("/", "-")) for stem, path in zip(stems, paths, strict=True)
    ]
    return _told_apart(keys, file_names)


def without_suffix(file_name: str) -> str:
    """A relative path without its file's ending and without slashes at its ends.

    >>> without_suffix("a.b/photo.1.jpg"), without_suffix(".hidden")
    ('a.b/photo.1', '.hidden')
    """
    path = file_name.strip("/")
    dot = path.rfind(".")
    return path[:dot] if dot > path.rfind("/") + 1 else path


def _told_apart(keys: Sequence[str], file_names: Sequence[str]) -> list[str]:
    """The keys; those that stand twice with six digits of their file name's hash, equal file names with a number."""
    if len(set(keys)) == len(keys):
        return list(keys)
    often = Counter(keys)
    keys = [key if often[key] == 1 else f"{key}-{short_hash(name)}" for key, name in zip(keys, file_names, strict=True)]
    counted: Counter[str] = Counter()
    numbered = []
    for key in keys:
        counted[key] += 1
        numbered.append(key if counted[key] == 1 else f"{key}-{counted[key]}")
    return numbered


def person_classes(person: Sequence[str], names: Mapping[Value, str]) -> dict[Value, str]:
    """The classes of a source that are a person: value -> name, from `--person` names and values.

    Args:
        person: Names (compared case-insensitively) and values ("15").
        names: The source's classes, value -> name.
    """
    values = {int(word) for word in person if word.isdecimal()}
    wanted = {word.casefold() for word in person if not word.isdecimal()}
    return {value: name for value, name in names.items() if value in values or name.casefold() in wanted}


def person_values(person: Sequence[str]) -> frozenset[int]:
    """The values among `--person`; empty where only names were given.

    >>> sorted(person_values(("person", "15")))
    [15]
    """
    return frozenset(int(word) for word in person if word.isdecimal())


def split_words(text: str, option: str = "--person") -> list[str]:
    """A comma-separated list without blanks; UsageError where nothing is left.

    >>> split_words("person, Rider")
    ['person', 'Rider']
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError(f"{option}: names or values are missing, for example: {option} person,rider")
    return words


def split_take(text: str) -> tuple[str, int]:
    """`SOURCE=N` as (source, number); UsageError where it is something else.

    >>> split_take("coco=1000")
    ('coco', 1000)
    """
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal():
        raise UsageError(f"--take {text}: expected a source and a number of images, for example: --take coco=1000")
    return name, int(number)


def check_unique(names: Iterable[str]) -> None:
    """Raise UsageError where two sources have one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(
                f"{count} sources are called {name!r}. Give each its own, for example: --voc {name}-b=ROOT"
            )
