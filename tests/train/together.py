"""Two processes as torchrun would start them, forked from one that has imported torch and done nothing else.

Forked from the test itself they would hang: polars' threads do not live on in a fork.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch
from torch.distributed import TCPStore

from train.engine.distributed import Team, meet


@dataclass(frozen=True)
class Ending:
    """How a process ended: with what its function returned, or the error that meet let out."""

    code: int
    result: Any = None
    error: BaseException | None = None


def together(function: Callable[[Team], Any], size: int = 2, wait_s: float = 60) -> list[Ending]:
    """Call a function of a module in each of `size` processes of one team; how each ended, by rank."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.warm", "train.fit", "tests.train.making"])
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # kept here, as torchrun keeps it
    pipes = [context.Pipe(duplex=False) for _ in range(size)]
    members = [
        context.Process(target=_member, args=(function, rank, size, store.port, pipes[rank][1])) for rank in range(size)
    ]
    for member in members:
        member.start()
    for _, sending in pipes:
        sending.close()
    said: list[tuple[Any, BaseException | None]] = []
    for receiving, _ in pipes:
        try:
            said.append(pickle.loads(receiving.recv_bytes()) if receiving.poll(wait_s) else (None, TimeoutError()))
        except EOFError:  # it ended without a word
            said.append((None, None))
    for member in members:
        member.join(5)
        member.kill()
        member.join()
    return [Ending(member.exitcode or 0, *own) for member, own in zip(members, said, strict=True)]


def _member(function: Callable[[Team], Any], rank: int, size: int, port: int, told: Any) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    torch.set_num_threads(1)
    try:
        with meet() as team:
            result, error = function(team), None
    except SystemExit:
        os._exit(1)
    except BaseException as caught:
        result, error = None, caught
    told.send_bytes(pickle.dumps((result, error)))
    told.close()
    os._exit(error is not None)
