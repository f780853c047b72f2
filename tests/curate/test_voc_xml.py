"""VOC annotations: what is read of them, and that no entity of theirs is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from curate.errors import FormatError
from curate.sources.voc_xml import VocObject, read_objects
from tests.curate.voc_scenes import an_object, damaged, xml_file


def test_objects_are_read_with_flags_boxes_and_parts(tmp_path: Path) -> None:
    path = xml_file(
        tmp_path / "a.xml",
        an_object(" person ", (2, 3, 10, 12), difficult=True, parts=("Head", "hand")),
        an_object("dog", truncated=True, pose="Left"),
        "<object><name/></object>",
    )
    assert read_objects(path) == (
        VocObject("person", True, False, (2, 3, 10, 12), ("head", "hand")),
        VocObject("dog", False, True, pose="Left"),
        VocObject(""),
    )


@pytest.mark.parametrize(
    ("sides", "box"),
    [
        ("<xmin>1.6</xmin><ymin>1</ymin><xmax>3.2</xmax><ymax>4</ymax>", (0, 0, 4, 4)),
        ("<xmin>0</xmin><ymin>-5</ymin><xmax>3</xmax><ymax>4</ymax>", (0, 0, 3, 4)),
        ("<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax>", None),
        ("<xmin>one</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax>", None),
        ("<xmin>nan</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax>", None),
        ("<xmin>1</xmin><ymin>1</ymin><xmax>inf</xmax><ymax>4</ymax>", None),
    ],
    ids=["fractions", "outside", "a side missing", "words", "nan", "endless"],
)
def test_boxes_count_pixels_from_one(tmp_path: Path, sides: str, box: tuple[int, ...] | None) -> None:
    path = xml_file(tmp_path / "a.xml", f"<object><name>person</name><bndbox>{sides}</bndbox></object>")
    assert read_objects(path) == (VocObject("person", box=box),)  # type: ignore[arg-type]


@pytest.mark.parametrize(("people", "count"), [("3", 3), (" 0\n", 0), ("32766", 32766)])
def test_an_object_may_say_how_many_people_it_is(tmp_path: Path, people: str, count: int) -> None:
    stated = f"<object><name>person</name><people>{people}</people></object>"
    path = xml_file(tmp_path / "a.xml", stated, an_object())
    assert [one.people for one in read_objects(path)] == [count, 1]


@pytest.mark.parametrize("people", ["", "two", "-1", "1.5", "999999", "\u0663", "32767"])
def test_a_number_of_people_that_is_none_is_damage(tmp_path: Path, people: str) -> None:
    stated = f"<object><name>person</name><people>{people}</people></object>"
    with pytest.raises(FormatError, match=r"a\.xml: (has an object of .* people|names 32768 people); expected"):
        read_objects(xml_file(tmp_path / "a.xml", stated, an_object()))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_any_encoding_that_the_file_names_is_read(tmp_path: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><a><object><name>Fußgänger</name></object></a>'
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    assert read_objects(tmp_path / "a.xml")[0].name == "Fußgänger"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a [<!ENTITY x "person">]>',
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">',
        '<!DOCTYPE a [<!ENTITY y "yyyyyyyyyy"><!ENTITY x "&y;&y;&y;&y;&y;&y;&y;&y;">]>',
        "<!DOCTYPE a>",
    ],
    ids=["external", "internal", "outside", "nested", "bare"],
)
def test_a_document_type_is_refused_in_every_encoding(tmp_path: Path, doctype: str, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>{doctype}<a><object><name>&x;</name></object></a>'
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    with pytest.raises(FormatError, match="declares a document type"):
        read_objects(tmp_path / "a.xml")


def test_an_entity_nobody_declared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="undefined entity"):
        read_objects(xml_file(tmp_path / "a.xml", "<object><name>&x;</name></object>"))


def test_deep_and_endless_files_neither_hang_nor_end_the_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<a>" * 50_000 + b"</a>" * 50_000)
    assert read_objects(path) == ()
    path.write_bytes(b"<a>" * 50_000)
    with pytest.raises(FormatError, match="no element found"):
        read_objects(path)
    path.write_bytes(b" " * (2**22 + 1))
    with pytest.raises(FormatError, match="no more than 4194304 are read"):
        read_objects(path)


def damage(tmp_path: Path, seeds: range) -> None:
    """A file damaged at random is refused with a line, or read as objects."""
    objects = an_object(box=(2, 3, 10, 12), parts=("head",)), an_object("dog", (1, 1, 4, 4), truncated=True)
    content = xml_file(tmp_path / "a.xml", *objects).read_bytes()
    for seed in seeds:
        (tmp_path / "a.xml").write_bytes(damaged(content, random.Random(seed)))
        try:
            found = read_objects(tmp_path / "a.xml")
        except FormatError:
            continue
        assert all(isinstance(one, VocObject) for one in found)


def test_random_damage_is_refused_or_read(tmp_path: Path) -> None:
    damage(tmp_path, range(500))


@pytest.mark.long
def test_much_random_damage_is_refused_or_read(tmp_path: Path) -> None:
    damage(tmp_path, range(500, 50_000))
