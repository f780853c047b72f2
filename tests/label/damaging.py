"""Ways to damage the export of any tool."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tests.curate.damaging import HOSTILE, Random, damaged_bytes, damaged_structure
from tests.label.rich import HEIGHT, RICH, WIDTH, Files

ENTITIES = "".join(f'<!ENTITY {chr(n + 1)} "{f"&{chr(n)};" * 10}">' for n in range(97, 107))
BOMB = f'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">{ENTITIES}]>'
TEXTS = (
    *(
        "",
        "0",
        "-1",
        "0.5",
        "1e308",
        "-1e400",
        "nan",
        "inf",
        "NaN,NaN;1,2",
        "9" * 30,
        "9" * 5000,
        "1_0",
        "１２",
        "0x10",
    ),
    *("../../etc/passwd", "/etc/passwd", "\n", "a\nb", "\u2028", "x" * 100_000, "1,2;3,4;5,6", "1,2," * 999, "person"),
    *("12000", "16000", "40", "-0.0", "true", "null", "0,1200", "1200", "1" * 400),
)
YAML = (
    *("names: [", "names: !!bool x", "names: !!timestamp x", "names: !!int ''", "? [a]\n: b", "names: {1.5: a}"),
    *("names: !!python/object/apply:os.system ['true']", "names: &a [*a]", "names: 7", "names:\n  - [1]", "- 1"),
    *("names: {true: person}", "names: {-1: person}", "names: {0: null}", "names: person", "\x00", "names: 2026-99-99"),
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(n + 1)}: &{chr(n + 1)} [{','.join([f'*{chr(n)}'] * 9)}]\n" for n in range(97, 107))
    + "names: {0: *k, 1: person}\n",
    "a: &a {x: 1, y: 2}\n"
    + "".join(f"{chr(n + 1)}: &{chr(n + 1)} {{<<: [{','.join([f'*{chr(n)}'] * 9)}]}}\n" for n in range(97, 105))
    + "names: {<<: *i}\n",
    "names: " + "[" * 3000 + "]" * 3000,
)


def structure_of(name: str, data: bytes, random: Random) -> bytes:
    """A file whose content is no longer what its tool writes, though its form may be sound."""
    suffix = Path(name).suffix
    if random.random() < 0.1 and suffix in (".json", ".xml"):  # the aspect ratio stays, so that it is looked at
        return enlarged(data, int(random.choice([50, 200, 400])))
    if suffix == ".json" and data[:1] == b"{":
        return damaged_structure(json.loads(data), random)
    if suffix == ".json":  # a list has no key of its own to lose
        return damaged_structure({"list": json.loads(data)}, random)[len(b'{"list": ') : -1]
    if suffix == ".xml":
        return damaged_xml(data, random)
    if suffix == ".png":
        return damaged_png(data, random)
    if suffix == ".yaml":
        return YAML[random.integers(len(YAML))].encode()
    return damaged_words(data, random) if suffix == ".txt" else damaged_bytes(data or b"0", random)


def enlarged(data: bytes, times: int) -> bytes:
    """The stated size so many times as high and wide."""
    return re.sub(rb"(?<![\d.])(30|40)(?![\d.])", lambda found: b"%d" % (int(found[0]) * times), data)


def damaged_xml(data: bytes, random: Random) -> bytes:
    """Attributes replaced and removed, elements renamed, doubled, moved and nested; now and then a bomb."""
    root = ElementTree.fromstring(data)
    for _ in range(random.choice([1, 1, 3])):
        everything = list(root.iter())
        element = everything[random.integers(len(everything))]
        keys = list(element.attrib)
        way = random.random()
        if way < 0.6 and keys:
            key = keys[random.integers(len(keys))]
            element.set(key, TEXTS[random.integers(len(TEXTS))].replace("\0", ""))
        elif way < 0.7 and keys:
            del element.attrib[keys[random.integers(len(keys))]]
        elif way < 0.8:
            element.tag = ["polygon", "mask", "box", "track", "image", "a", "ellipse"][random.integers(7)]
        elif way < 0.9:
            element.append(ElementTree.fromstring(ElementTree.tostring(everything[random.integers(len(everything))])))
        else:
            element.text = TEXTS[random.integers(len(TEXTS))]
    text = ElementTree.tostring(root)
    way = random.random()
    if way < 0.03:
        return BOMB.encode() + text.replace(b"person", b"&k;")
    if way < 0.06:
        depth = int(random.choice([100, 10_000, 200_000]))
        return b"<annotations>" + b"<a>" * depth + b"</a>" * depth + b"</annotations>"
    if way < 0.1:
        return (
            b'<?xml version="1.0" encoding="' + random.choice([b"utf-16", b"latin-1", b"x", b"utf-7"]) + b'"?>' + text
        )
    return text


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG's chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def damaged_png(data: bytes, random: Random) -> bytes:
    """A header that says something else, with a right checksum; other kinds of images; text that swells."""
    width, height, *rest = struct.unpack(">IIBBBBB", data[16:29])
    way = random.integers(6)
    if way == 0:
        sizes = [0, 1, 31, 300, 12000, 16000, 2**31 - 1]
        width, height = (int(random.choice([one, *sizes])) for one in (width, height))
    elif way == 1:
        rest = [
            int(random.choice([1, 2, 4, 8, 16, 3])),
            int(random.choice([0, 2, 3, 4, 6, 5])),
            0,
            0,
            int(random.choice(2)),
        ]
    elif way == 2:
        swollen = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))
        return data[:33] + swollen + data[33:]
    elif way == 3:
        return bomb_png(int(random.choice([0, 2, 3, 6])), int(random.choice([50, 200, 400])))
    elif way == 4:
        from PIL import Image

        buffer = io.BytesIO()
        kind = str(random.choice(["JPEG", "GIF", "TIFF", "BMP", "WEBP"]))
        Image.open(io.BytesIO(data)).convert("RGB").save(buffer, kind)
        return damaged_bytes(buffer.getvalue(), random) if random.random() < 0.5 else buffer.getvalue()
    header = struct.pack(">IIBBBBB", width, height, *rest)
    return data[:8] + chunk(b"IHDR", header) + data[33:]


def bomb_png(colour: int, times: int) -> bytes:
    """A mask so many times as high and wide as the photographs: up to 192 million pixels in a few MB."""
    height, width = HEIGHT * times, WIDTH * times
    size = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    squeeze = zlib.compressobj(1)
    row = b"\0" + b"\xff" * (width * size)
    body = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + palette + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def damaged_words(data: bytes, random: Random) -> bytes:
    """Words of a text exchanged for others."""
    words = re.split(r"(\s+)", data.decode())
    for _ in range(random.choice([1, 1, 3])):
        words[random.integers(len(words))] = TEXTS[random.integers(len(TEXTS))]
    return "".join(words).encode("utf-8", "replace")


def recoded(data: bytes, random: Random) -> bytes:
    """The text in another encoding."""
    text = data.decode("latin-1").replace("person", "pérson" if random.random() < 0.5 else "person")
    return text.encode(["utf-16", "utf-8-sig", "latin-1", "utf-32", "utf-7"][random.integers(5)])


Edit = Callable[[Path, Random], None]


def replaced_by_link(file: Path, random: Random) -> None:
    """A link to a file outside, to a device, to itself, or to nothing."""
    file.unlink()
    targets = ["/etc/passwd", "/dev/zero", "/dev/full", file.name, "nowhere", "..", "/proc/self/mem"]
    file.symlink_to(targets[random.integers(len(targets))])


def replaced_by_pipe(file: Path, random: Random) -> None:
    """A pipe nobody writes into."""
    file.unlink()
    os.mkfifo(file)


def replaced_by_folder(file: Path, random: Random) -> None:
    """A folder of its name."""
    file.unlink()
    file.mkdir()


def renamed(file: Path, random: Random) -> None:
    """An odd name."""
    stems = ["a\nb", "\udcff", "x" * 240, "a\u202eb", " ", "a'b\"", "-", "~", "%s%n", "a\\b", "..a"]
    file.rename(file.with_name(stems[random.integers(len(stems))] + file.suffix))


def doubled(file: Path, random: Random) -> None:
    """A copy beside it, and one deeper."""
    (file.parent / "sub").mkdir(exist_ok=True)
    shutil.copyfile(file, file.parent / "sub" / file.name)
    shutil.copyfile(file, file.with_name(f"copy of {file.name}"))


def filled(file: Path, random: Random) -> None:
    """Other content altogether."""
    hostile = [one.encode("utf-8", "replace") for one in (*HOSTILE, *TEXTS)]
    contents = [b"", bytes(2**20), b"\xff" * 1000, b"\x1f\x8b\x08", b"PK\x03\x04", b"{" * 9999, b"<" * 9999, *hostile]
    file.write_bytes(contents[random.integers(len(contents))])


EDITS: tuple[Edit, ...] = (replaced_by_link, replaced_by_pipe, replaced_by_folder, renamed, doubled, filled)


def damaged_folder(files: Files, folder: Path, random: Random) -> Path:
    """The export in a folder, one to three of its files damaged."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for _ in range(random.choice([1, 1, 1, 3])):
        name = list(files)[random.integers(len(files))]
        file, way = folder / name, random.random()
        if not file.is_file() or file.is_symlink():
            continue
        if way < 0.4:
            file.write_bytes(structure_of(name, files[name], random))
        elif way < 0.75:
            file.write_bytes(damaged_bytes(files[name] or b"0", random))
        elif way < 0.8:
            file.write_bytes(recoded(files[name], random))
        else:
            EDITS[random.integers(len(EDITS))](file, random)
    return folder


OUTSIDE = (
    "../x.json",
    "/tmp/x.json",
    "C:\\x.json",
    "a/../../x.png",
    "..\\..\\x.xml",
    "a\0b.json",
    "\n.json",
    "x" * 300,
    "/",
)


def damaged_zip(files: Files, path: Path, random: Random) -> Path:
    """The export as a zip, damaged inside, or in its form."""
    entries = dict(files)
    if random.random() < 0.4:
        name = list(entries)[random.integers(len(entries))]
        entries[name] = structure_of(name, entries[name], random)
    method = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA][random.integers(4)]
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in entries.items():
            archive.writestr(name, data)
        way = random.random()
        if way < 0.15:
            archive.writestr(OUTSIDE[random.integers(len(OUTSIDE))], next(iter(files.values())))
        elif way < 0.25:
            info = zipfile.ZipInfo("link.json" if random.random() < 0.5 else next(iter(files)))
            info.external_attr = int(random.choice([0o120777, 0o010644, 0o020644, 0o040755, 0])) << 16
            archive.writestr(info, "/etc/passwd")
        elif way < 0.3:
            archive.writestr("big.json", bytes(3 * 10**7))
        elif way < 0.35:
            archive.writestr(f"{next(iter(files))}/below.json", b"{}")  # a file that is a folder too
        elif way < 0.4:
            archive.writestr("inner.zip", path.name * 9)
    if random.random() < 0.5:
        data = damaged_bytes(path.read_bytes(), random)
        path.write_bytes(data or b"PK")
    if random.random() < 0.1:  # the size that the directory states is not that of the data
        data = bytearray(path.read_bytes())
        at = data.rfind(b"PK\x01\x02")
        if at >= 0 and len(data) > at + 28:
            data[at + 24 : at + 28] = struct.pack("<I", int(random.choice([0, 1, 2**31, 2**32 - 1])))
            path.write_bytes(bytes(data))
    return path


def damaged_export(tool: str, folder: Path, seed: int) -> Path:
    """The export of `tool` as damaged by this seed, below a folder; what is to be imported."""
    random, files = np.random.default_rng(seed), RICH[tool]()
    return (
        damaged_zip(files, folder / "in.zip", random) if seed % 4 == 3 else damaged_folder(files, folder / "in", random)
    )
