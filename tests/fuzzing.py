"""Damage to all that a stranger may send: `python -m tests.fuzzing READER --runs N [--seed S] [--keep FOLDER]`.

Guided by coverage where atheris is installed (`pip install atheris`), else blind. It ends at the first input that is
neither read nor refused in one line, or that takes more than SLOW_S or MOST_BYTES, or writes outside its folder; that
input is kept in FOLDER. Without `--runs` an input of FOLDER is read once more.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib
import importlib.util
import io
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

STUCK_S = 60
LONGEST = 1 << 16
INSTRUMENTED = ["curate", "label", "review", "train", "yaml", "zipfile", "tomllib"]


def main(arguments: list[str] | None = None) -> None:
    """Read damaged input after damaged input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader")
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path("found"))
    asked = parser.parse_args(arguments)
    keep = asked.keep.resolve()
    guided = importlib.util.find_spec("atheris") is not None and not asked.blind
    atheris: Any = importlib.import_module("atheris") if guided else None
    with atheris.instrument_imports(include=INSTRUMENTED) if guided else nullcontext():
        strangers = importlib.import_module("tests.strangers")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        tempfile.tempdir = str(root)
        (root / "read").mkdir()
        reader = strangers.READERS[asked.reader](root / "read")
        feed = held(reader, root, keep / asked.reader)
        if not asked.runs:
            for path in sorted((keep / asked.reader).iterdir()):
                feed(path.read_bytes())
        elif guided:
            guide(atheris, reader, feed, asked.runs, asked.seed, root)
        else:
            damage(reader, feed, asked.runs, asked.seed)


def held(reader: Any, root: Path, keep: Path) -> Callable[[bytes], None]:
    """What feeds the reader and holds what must hold of every input; an input that breaks it is kept."""
    from tests.label.enduring import bounded, watch_writing

    warnings.simplefilter("ignore")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for sound in reader.seeds():  # loads what is loaded late
            reader.feed(sound)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.enable()
    keep.mkdir(parents=True, exist_ok=True)
    last = keep / "last"  # of a process that is killed this remains
    descriptor = os.open(last, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    watch_writing(root)

    def feed(data: bytes) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)
        signal.alarm(STUCK_S)
        try:
            with bounded(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                reader.feed(data)
        except BaseException:
            print(f"kept: {last} ({hashlib.sha256(data).hexdigest()[:12]})", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)

    return feed


def damage(reader: Any, feed: Callable[[bytes], None], runs: int, seed: int) -> None:
    """Feed inputs that are damaged without looking."""
    import numpy as np

    from tests.curate.damaging import damaged_bytes

    sound = list(reader.seeds())
    begun = time.monotonic()
    for number in range(seed, seed + runs):
        random = np.random.default_rng(number)
        chosen = sound[random.integers(len(sound))]
        content = damaged_bytes(chosen[1:], random) if len(chosen) > 1 else b""
        feed(chosen[:1] + content[:LONGEST])
    print(f"{runs} inputs in {time.monotonic() - begun:.0f} s")


def guide(atheris: Any, reader: Any, feed: Callable[[bytes], None], runs: int, seed: int, root: Path) -> None:
    """Feed inputs that atheris makes of those which reached new code."""
    corpus = root / "corpus"
    corpus.mkdir()
    for number, data in enumerate(reader.seeds()):
        (corpus / f"{number}").write_bytes(data)
    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={LONGEST}", "-rss_limit_mb=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={root}/", str(corpus)], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
