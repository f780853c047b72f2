"""Loops under random strikes, for hours: `python -m tests.soak --minutes 120 --work DIR [--seed S]`.

People hand in labels and verdicts before each round of a loop. The command is struck at random moments (kill -9,
SIGTERM, Ctrl-C), or called twice at once, and called again until it ends by itself. Each time it must hold that no
label, verdict or finished run is lost, and at the end of a loop that it went as one that nobody disturbed. The first
loss ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from curate.dataset import Dataset, open_dataset
from curate.files import sha256_file
from curate.images import read_target
from curate.masks import PERSON
from review.loop.given import read_given
from review.loop.status import DAMAGED, OPEN, loop_status
from review.loop.steps import round_folder, versions_of
from tests import enduring
from tests.curate.striking import Ended
from tests.enduring import TRAINING, is_hidden, one_error
from train.monitoring.log import is_finished

STRIKES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
"""Signals and what the command ends with."""
MOST_STRIKES = 5
"""Of one round; then it is let go."""
POLL_S, ORPHANED_S = 0.2, 20
FLAT = 1.1
"""The memory of a round may be so many times that of the first ones."""


@dataclass
class Tally:
    """What has happened so far."""

    rounds: int = 0
    strikes: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    peaks_mib: list[float] = field(default_factory=list)
    """Of each call that ended by itself."""

    def __str__(self) -> str:
        quarter = max(1, len(self.peaks_mib) // 4)
        first, last = (median(some) for some in (self.peaks_mib[:quarter], self.peaks_mib[-quarter:]))
        struck = ", ".join(f"{count} {name}" for name, count in sorted(self.strikes.items()))
        return (
            f"{self.rounds} rounds; struck: {struck or 'never'}; {self.twice} times two at once; nothing lost; "
            f"memory of the last quarter {last:.0f} MiB, of the first {first:.0f}, {last / first:.2f} times"
        )

    @property
    def is_flat(self) -> bool:
        """Whether memory does not grow."""
        quarter = max(1, len(self.peaks_mib) // 4)
        return median(self.peaks_mib[-quarter:]) <= FLAT * median(self.peaks_mib[:quarter])


@dataclass
class Handed:
    """What people have handed in for a loop so far."""

    verdicts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)


class Soak:
    """A folder with a dataset and a base, and the loops that are run from it."""

    def __init__(self, work: Path, seed: int) -> None:
        self.work, self.random, self.tally = work, random.Random(seed), Tally()
        enduring.warm_up()
        if not (work / "runs" / "first").is_dir():
            work.mkdir(parents=True)
            enduring.make_plain(work)
            enduring.make(work, f"train fit people --out runs/first {TRAINING} --epochs 1 --folds 2")
        for place in ("loops", "given"):
            shutil.rmtree(work / place, ignore_errors=True)
        self.dataset = open_dataset(work / "people")
        self.usual_s = 15.0

    def loop(self, name: str, rounds: int, most_strikes: int = MOST_STRIKES) -> None:
        """A loop under strikes, and the same one undisturbed."""
        out, twin, handed = Path("loops") / name, Path("loops") / f"{name}-undisturbed", Handed()
        known: dict[str, str] = {}
        for number in range(1, rounds + 1):
            self.hand_in(handed, name, number)
            self.until_done(self.words(out, name, number), self.work / out, known, most_strikes)
            self.check(self.work / out, number, handed, known)
            self.tally.rounds += 1
        for number in range(1, rounds + 1):
            words = self.words(twin, name, number)
            begun = time.monotonic()
            ended = self.call(words)
            assert ended.code == 0, (words, ended)
            self.usual_s = time.monotonic() - begun
        same_results(self.work / out, self.work / twin)
        for place in ("loops", "given"):
            shutil.rmtree(self.work / place)

    def words(self, out: Path, name: str, number: int) -> str:
        """The command for a round."""
        given = f"--labels given/{name}-{number} --decisions given/{name}.jsonl"
        return f"loop people --out {out} --from runs/first --budget 1 --offer 2 --rounds {number} {given}-{number}"

    def hand_in(self, handed: Handed, name: str, number: int) -> None:
        """Masks of one image that is learnt from and one of the pool, and a verdict on another."""
        folder = self.work / "given" / f"{name}-{number}"
        folder.mkdir(parents=True)
        learnt, pool = (self.dataset.rows(split) for split in ("train", "pool"))
        for row in (self.random.choice(learnt), self.random.choice(pool)):
            mask = np.zeros((row["height"], row["width"]), np.uint8)
            centre = [int(self.random.uniform(0.3, 0.7) * side) for side in mask.shape[::-1]]
            axes = [max(2, int(self.random.uniform(0.1, 0.3) * side)) for side in mask.shape[::-1]]
            cv2.ellipse(mask, centre, axes, self.random.uniform(0, 180), 0, 360, 255, -1)
            cv2.imwrite(str(folder / f"{row['sample_id']}.png"), mask)
            handed.labels[row["sample_id"]] = mask > 0
        handed.verdicts[self.random.choice(learnt)["sample_id"]] = self.random.choice(["hard", "exclude", "ok"])
        lines = [json.dumps({"sample_id": image, "verdict": word}) for image, word in handed.verdicts.items()]
        (folder.parent / f"{name}.jsonl-{number}").write_text("\n".join(lines))

    def until_done(self, words: str, out: Path, known: dict[str, str], most_strikes: int) -> None:
        """Call a command until it ends by itself."""
        strikes = self.random.randint(0, most_strikes)
        for _ in range(strikes):
            number = self.random.choices([*STRIKES], [3, 1, 1])[0]
            ended = self.call(words, self.random.uniform(0, 1.1 * self.usual_s), number)
            note_finished(out, known)
            if ended.code == 0:
                return
            assert ended.code == STRIKES[number], (words, ended)
            self.tally.strikes[number.name] += 1
        if self.random.random() < 0.2:
            self.twice(words)
            return
        ended = self.call(words)
        assert ended.code == 0, (words, ended)

    def call(self, words: str, strike_s: float | None = None, number: int = 0) -> Ended:
        """Run a command, and strike it after some seconds; whoever works for it ends with it."""
        running, begun, peak_mib, struck = enduring.start(self.work, words), time.monotonic(), 0.0, False
        pid = running.process.pid
        assert pid is not None
        while running.process.exitcode is None:
            if strike_s is not None and not struck and time.monotonic() - begun >= strike_s:
                os.kill(pid, number)
                struck = True
            peak_mib = max(peak_mib, peak_of(pid))
            running.process.join(POLL_S)
        ended = running.end()
        wait_for_group(pid)
        for odd in ("Traceback", "internal error"):
            assert odd not in ended.err, (words, ended)
        if not struck:
            self.tally.peaks_mib.append(peak_mib)
        shutil.rmtree(running.told)
        return ended

    def twice(self, words: str) -> None:
        """Two calls at once: one does it, the other does nothing, says so, and is called again."""
        first, second = enduring.start(self.work, words), enduring.start(self.work, words)
        ended = [first.end(), second.end()]
        self.tally.twice += 1
        assert 0 in [one.code for one in ended], (words, ended)
        for one in ended:
            if one.code:
                assert "another process" in one_error(one), (words, one)

    def check(self, out: Path, number: int, handed: Handed, known: dict[str, str]) -> None:
        """Raise AssertionError where anything is lost that was handed in, or was finished before."""
        given = read_given(round_folder(out, number))
        assert given is not None
        assert given.verdicts == handed.verdicts, (out, number, given.verdicts, handed.verdicts)
        version = versions_of(self.dataset, out, range(1, number + 1))[-1]
        for sample_id, mask in handed.labels.items():
            assert (read_target(mask_of(version, sample_id)) == PERSON).tolist() == mask.tolist(), (out, sample_id)
        unlike = (*OPEN, DAMAGED, "next", "running")
        undone = [f"{step}: {state}" for step, state in loop_status(out) if state.startswith(unlike)]
        assert not undone, (out, undone)
        note_finished(out, known)
        strays = [path for path in files_of(out) if is_hidden(path.relative_to(out).as_posix())]
        assert not strays, strays


def mask_of(version: Dataset, sample_id: str) -> Path:
    """A label's file."""
    return version.root / version.named[sample_id]["mask"]


def files_of(out: Path) -> Iterator[Path]:
    """All files below a loop, but for the one that says who holds it."""
    return (path for path in sorted(out.rglob("*")) if path.is_file() and path.stat().st_size)


def note_finished(out: Path, known: dict[str, str]) -> None:
    """Remember the weights of each run that is finished, and raise AssertionError where one has others than before."""
    for path in out.glob("round-*/*/config.json"):
        run = path.parent
        if run.relative_to(out).as_posix() in known or is_finished(run):
            digest = sha256_file(run / "best.safetensors")
            assert known.setdefault(run.relative_to(out).as_posix(), digest) == digest, run


def same_results(one: Path, other: Path) -> None:
    """Raise AssertionError where two loops came to different results."""
    for path in files_of(one):
        if path.suffix in (".safetensors", ".parquet") or path.name == "verdict.json":
            rival = other / path.relative_to(one)
            assert rival.is_file(), rival
            assert path.read_bytes() == rival.read_bytes(), (path, rival)


def peak_of(pid: int) -> float:
    """The most memory a process has held so far, in MiB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def wait_for_group(pid: int) -> None:
    """Return when whoever worked for a process has ended too; AssertionError where somebody goes on."""
    until = time.monotonic() + ORPHANED_S
    while time.monotonic() < until:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(POLL_S)
    raise AssertionError(f"the processes of group {pid} go on without the one they work for")


def main() -> None:
    """Loop after loop until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--rounds", type=int, default=4, help="Of each loop.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    soak = Soak(asked.work.resolve(), asked.seed)
    until = time.monotonic() + 60 * asked.minutes
    for number in count(1):
        soak.loop(f"{number}", asked.rounds)
        print(f"{number} loops, {soak.tally}", flush=True)
        if time.monotonic() >= until:
            break
    assert soak.tally.is_flat, soak.tally


if __name__ == "__main__":
    main()
