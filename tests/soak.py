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
from review.loop.folders import round_folder
from review.loop.given import read_given
from review.loop.status import DAMAGED, OPEN, loop_status
from review.loop.steps import versions_of
from tests import enduring
from tests.curate.striking import Ended
from tests.enduring import TRAINING, Running, is_hidden, one_error
from train.monitoring.log import is_finished

STRIKES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
"""Signals and what the command ends with."""
MOST_STRIKES = 5
"""Of one round; then it is let go."""
POLL_S, ORPHANED_S = 0.2, 20
BEGUN_S = 0.5
"""So long after it can speak, a command has seen to it that it ends well when it is asked to end."""
FLAT, FEWEST_LOOPS = 1.1, 8
"""The memory of the last quarter of all rounds may be so many times that of the first, from so many loops on."""


@dataclass
class Tally:
    """What has happened so far."""

    loops: int = 0
    rounds: int = 0
    strikes: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    peaks_mib: list[float] = field(default_factory=list)
    """Of each round that nobody disturbed."""

    @property
    def quarters_mib(self) -> tuple[float, float]:
        """Median peaks of the first and the last quarter."""
        quarter = max(1, len(self.peaks_mib) // 4)
        return median(self.peaks_mib[:quarter]), median(self.peaks_mib[-quarter:])

    @property
    def is_flat(self) -> bool:
        """Whether memory does not grow; of few loops nothing can be said."""
        first, last = self.quarters_mib
        return self.loops < FEWEST_LOOPS or last <= FLAT * first

    def __str__(self) -> str:
        first, last = self.quarters_mib
        struck = ", ".join(f"{count} {name}" for name, count in sorted(self.strikes.items()))
        return (
            f"{self.loops} loops, {self.rounds} rounds; struck {self.strikes.total()} times ({struck}); {self.twice} "
            f"times two at once; nothing lost; memory of the last quarter {last:.0f} MiB, {last / first:.2f} of the "
            "first"
        )


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
        self.usual_s, self.peak_mib = 15.0, 0.0

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
            self.tally.peaks_mib.append(self.peak_mib)
        same_results(self.work / out, self.work / twin)
        self.tally.loops += 1
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
        strikes = self.random.randint(1, most_strikes)
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
        """Run a command, and strike it some seconds after it has begun; whoever works for it ends with it."""
        running, begun, self.peak_mib = enduring.start(self.work, words), 0.0, 0.0
        pid = running.process.pid
        assert pid is not None
        while running.process.exitcode is None:
            if not begun and (running.told / "err").exists():
                begun = time.monotonic()
            if strike_s is not None and begun and time.monotonic() - begun >= BEGUN_S + strike_s:
                os.kill(pid, number)
                strike_s = None
            self.peak_mib = max(self.peak_mib, peak_of(pid))
            running.process.join(POLL_S)
        return ended_well(running)

    def twice(self, words: str) -> None:
        """Two calls at once: one of them does it; the other does nothing and says so, or finds it done."""
        calls = [enduring.start(self.work, words) for _ in range(2)]
        ended = [ended_well(running) for running in calls]
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
        strays = [path for path in out.rglob("*") if is_hidden(path.relative_to(out).as_posix())]
        assert not strays, strays


def mask_of(version: Dataset, sample_id: str) -> Path:
    """A label's file."""
    return version.root / version.named[sample_id]["mask"]


def ended_well(running: Running) -> Ended:
    """How a command ended, its processes too; AssertionError where it broke down."""
    ended = running.end()
    wait_for_group(running.process.pid or 0)
    for odd in ("Traceback", "internal error"):
        assert odd not in ended.err, ended
    shutil.rmtree(running.told)
    return ended


def files_of(out: Path) -> list[Path]:
    """All files below a loop, relative to it."""
    return sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())


def note_finished(out: Path, known: dict[str, str]) -> None:
    """Remember the weights of each run that is finished, and raise AssertionError where one has others than before."""
    for path in out.glob("round-*/*/config.json"):
        run = path.parent
        if run.relative_to(out).as_posix() in known or is_finished(run):
            digest = sha256_file(run / "best.safetensors")
            assert known.setdefault(run.relative_to(out).as_posix(), digest) == digest, run


def same_results(one: Path, other: Path) -> None:
    """Raise AssertionError where two loops came to different results."""
    assert files_of(one) == files_of(other)
    for path in files_of(one):
        if path.suffix in (".safetensors", ".parquet", ".png", ".zip") or path.name == "verdict.json":
            assert (one / path).read_bytes() == (other / path).read_bytes(), path


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
        print(soak.tally, flush=True)
        if time.monotonic() >= until:
            break
    assert soak.tally.is_flat, soak.tally


if __name__ == "__main__":
    main()
