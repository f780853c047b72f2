"""Decode a COCO file into typed records and do nothing with them: the least that reading it can cost."""

import sys
from pathlib import Path

import msgspec

from curate.sources.coco_json import CocoFile


def main(path: Path) -> None:
    """Decode the file and print how many annotations it holds."""
    file = msgspec.json.decode(path.read_bytes(), type=CocoFile)
    sys.stdout.buffer.write(msgspec.json.encode({"annotations": len(file.annotations)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
