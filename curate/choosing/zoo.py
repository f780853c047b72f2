"""Data sets of FiftyOne's zoo: downloaded by FiftyOne where they are not there yet, and where their labels then lie.

FiftyOne runs in a process of its own and is never imported here: that takes seconds, and its downloads wait forever
for a network that does not answer. What its zoo gives of each data set (FiftyOne 1.22):

- `coco-2017`: the photographs under `<split>/data`, and all annotation files of COCO's own archive under `raw`. They
  are what is read: instances, and the keypoints of the same people. `<split>/labels.json` is a copy, or a part where
  somebody downloaded a part before.
- `voc-2012`: the whole archive of VOC, of which FiftyOne keeps boxes and photographs it numbered and encoded anew,
  and throws the masks away. The archive's folder is moved to `raw/VOCdevkit` before that, and read there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from curate.errors import MachineError, MissingError, UsageError
from curate.sources.names import split_name

PATIENCE_S = 60.0
"""A server that is silent for so long is given up; a connection that is not made in 5 s as well."""

COCO_SPLITS = {"train": "train2017", "validation": "val2017"}
"""FiftyOne's name of a split -> COCO's own. The test split has no annotations."""
KINDS = {"coco-2017": "coco", "voc-2012": "voc"}
"""Data set -> the kind of source it is read as."""
BY_HAND = {
    "coco-2017": "curl -LO http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
    " -LO http://images.cocodataset.org/zips/val2017.zip; unzip both; --coco annotations/instances_val2017.json",
    "voc-2012": "curl -LO https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
    " && tar xf VOCtrainval_11-May-2012.tar; --voc VOCdevkit/VOC2012",
}
"""How to get at the files without FiftyOne."""

PROGRAM = """
import fcntl, json, os, shutil, signal, socket, sys, urllib.error

signal.signal(signal.SIGINT, signal.SIG_DFL)
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what FiftyOne prints is progress, not a result

def reply(**found):
    print(json.dumps(found), file=answer, flush=True)
    sys.exit()

name, patience_s, download, *splits = sys.argv[1:]
try:
    import requests, fiftyone as fo, fiftyone.zoo as zoo
except ImportError as error:
    reply(lacks=str(error))

folder = os.path.join(fo.config.dataset_zoo_dir, name)
raw, scratch = os.path.join(folder, "raw"), os.path.join(folder, "tmp-download")
devkit = os.path.join(raw, "VOCdevkit")
if download == "no" or name == "voc-2012" and os.path.isdir(devkit):
    reply(folder=folder)

send, socket_patience = requests.adapters.HTTPAdapter.send, float(patience_s)
socket.setdefaulttimeout(socket_patience)  # for urllib; requests does not ask it
def impatient(self, request, **options):
    return send(self, request, **{**options, "timeout": options.get("timeout") or (5, socket_patience)})
requests.adapters.HTTPAdapter.send = impatient

try:
    os.makedirs(folder, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        known = zoo.load_zoo_dataset_info(name).downloaded_splits
    except ValueError:
        known = {}
    if name == "voc-2012":
        zoo.download_zoo_dataset(name, splits=splits, cleanup=False)
        if not known.keys() & set(splits) and os.path.isdir(os.path.join(scratch, "VOCdevkit")):
            os.makedirs(raw, exist_ok=True)
            os.rename(os.path.join(scratch, "VOCdevkit"), devkit)
            shutil.rmtree(scratch)
    else:
        zoo.download_zoo_dataset(name, splits=splits)
    reply(folder=folder)
except BlockingIOError:
    reply(busy=folder)
except Exception as error:  # whatever FiftyOne's download raises is the parent's to tell, with its first cause
    cause = error
    while cause.__context__ is not None:
        cause = cause.__context__
    network = (requests.RequestException, urllib.error.URLError, TimeoutError, ConnectionError)
    if isinstance(error, network):
        reply(network=getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)
    reply(folder=folder, error=f"{type(error).__name__}: {error}")
"""
"""What FiftyOne's interpreter runs; it answers with one line of JSON."""


class Answer(msgspec.Struct):
    """What PROGRAM found out; `folder` alone where all went well.

    Attributes:
        folder: The data set's folder in the zoo.
        lacks: The package that is not installed.
        network: Why the server was not reached.
        busy: The folder that another process writes.
        error: Anything else that went wrong.
    """

    folder: str = ""
    lacks: str | None = None
    network: str | None = None
    busy: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class ZooSet:
    """The files of a data set that are read.

    Attributes:
        name: The name the user gave the source, or None.
        kind: `coco` or `voc`.
        paths: Annotation files of COCO, or the one folder of VOC.
        photos: Folder with the photographs of each COCO file.
    """

    name: str | None
    kind: str
    paths: list[Path]
    photos: list[Path]


def read_zoo(text: str, *, download: bool = True, patience_s: float = PATIENCE_S) -> ZooSet:
    """The files of `[NAME=]DATASET[:SPLIT]`, downloaded by FiftyOne where they are not there yet.

    Args:
        text: The data set, such as `coco-2017` or `coco-2017:validation`.
        download: Whether what is not there is downloaded.
        patience_s: How long a silent server is waited for.

    Raises:
        UsageError: There is no such data set or split.
        MachineError: FiftyOne is not installed, or cannot download it.
        MissingError: The zoo has the data set without its masks, or not at all and `download` is false.
    """
    dataset, splits = parse_zoo(text)
    answer = ask_fiftyone([dataset, str(patience_s), "yes" if download else "no", *splits])
    check_answer(text, dataset, answer)
    found = find_files(split_name(text)[0], dataset, Path(answer.folder), splits)
    lost = [path for path in (*found.paths, *found.photos) if not path.exists()]
    if lost:
        raise MissingError(f"--zoo {text}: FiftyOne's zoo has no {lost[0]}. Get the archive: {BY_HAND[dataset]}")
    return found


def parse_zoo(text: str) -> tuple[str, list[str]]:
    """`[NAME=]DATASET[:SPLIT]` as (data set, FiftyOne's splits to download).

    >>> parse_zoo("coco-2017"), parse_zoo("street=coco-2017:validation")
    (('coco-2017', ['train', 'validation']), ('coco-2017', ['validation']))

    Raises:
        UsageError: There is no such data set or split; the message lists those there are.
    """
    dataset, colon, split = split_name(text)[1].partition(":")
    if dataset not in KINDS:
        names = " and ".join(KINDS)
        raise UsageError(f"--zoo {text}: there are {names}. Download others with FiftyOne and name their files")
    if not colon:
        return dataset, list(COCO_SPLITS) if dataset == "coco-2017" else ["train"]
    if dataset != "coco-2017" or split not in COCO_SPLITS:
        there = ", ".join([*KINDS, *(f"coco-2017:{one}" for one in COCO_SPLITS)])
        raise UsageError(f"--zoo {text}: has no such split with masks. There are: {there}")
    return dataset, [split]


def ask_fiftyone(arguments: Sequence[str]) -> Answer:
    """The answer of PROGRAM; its progress goes to a terminal, else it is only used to explain a crash.

    An interrupt ends it as well: FiftyOne writes into a scratch folder, which the next download starts over.
    """
    on_terminal = sys.stderr.isatty()
    environment = {**os.environ, "FIFTYONE_DISABLE_SERVICES": "1", "FIFTYONE_DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if on_terminal else subprocess.PIPE,
        env=environment,
        check=False,
    )
    try:
        return msgspec.json.decode(done.stdout, type=Answer)
    except msgspec.DecodeError:
        last = (done.stderr or b"").decode("utf-8", "replace").strip().splitlines()[-1:]
        return Answer(error=f"it ended with code {done.returncode}: {''.join(last)}")


def check_answer(text: str, dataset: str, answer: Answer) -> None:
    """Raise MachineError where FiftyOne could not do what it was asked for; the message says what to do."""
    by_hand = f"Or get the files without it: {BY_HAND[dataset]}"
    if answer.lacks is not None:
        raise MachineError(f"--zoo {text}: needs FiftyOne ({answer.lacks}). Run: pip install fiftyone. {by_hand}")
    if answer.busy is not None:
        raise MachineError(f"--zoo {text}: another process is downloading it to {answer.busy}. Wait for it to end")
    if answer.network is not None:
        raise MachineError(
            f"--zoo {text}: the server cannot be reached ({answer.network}). Check the network. {by_hand}"
        )
    if answer.error is not None:
        where = f" to {answer.folder}" if answer.folder else ""
        told = " ".join(answer.error.split())[:300]
        raise MachineError(f"--zoo {text}: FiftyOne cannot download it{where} ({told}). Run it again. {by_hand}")


def find_files(name: str | None, dataset: str, folder: Path, splits: Sequence[str]) -> ZooSet:
    """Where the files of a data set lie in its folder; of COCO's keypoints only those that are there."""
    if dataset == "voc-2012":
        return ZooSet(name, "voc", [folder / "raw" / "VOCdevkit" / "VOC2012"], [])
    paths, photos = [], []
    for split in splits:
        instances, keypoints = (
            folder / "raw" / f"{part}_{COCO_SPLITS[split]}.json" for part in ("instances", "person_keypoints")
        )
        files = [instances, *([keypoints] if keypoints.is_file() else [])]
        paths += files
        photos += [folder / split / "data"] * len(files)
    return ZooSet(name, "coco", paths, photos)
