"""Several processes that train one model together, as torchrun starts them; a run of one process is a team of one.

Every process holds the whole model and learns from its share of each batch; gradients are added up over all, so that
each takes the same step. The lead alone reads and writes the run's folder, and speaks.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, TCPStore, rendezvous  # type: ignore[attr-defined]  # exported, not by name

from curate.errors import MachineError, UsageError

Made = TypeVar("Made")

LONGEST_WAIT = timedelta(hours=1)
"""So long a process waits for the others: the lead may read all images, or judge an epoch, before they hear from it."""

FAULTS = "curate/faults/{attempt}"
"""How many processes have met a fault since torchrun started them, again where some failed. The first tells of it; the
others end without a word."""


@dataclass(frozen=True)
class Team:
    """The processes of a run. What all of them have to call, in the same order, is said to be for all."""

    rank: int = 0
    """This process's number."""
    size: int = 1
    local_rank: int = 0
    """Its number among those of its machine, and so of its GPU."""

    @property
    def is_lead(self) -> bool:
        """Whether this is the process that reads and writes the run."""
        return self.rank == 0

    def share(self, begin: int, end: int) -> tuple[int, int]:
        """This process's part of what lies from `begin` to before `end`; parts are equal to within one.

        >>> Team(0, 2).share(10, 15), Team(1, 2).share(10, 15)
        ((10, 12), (12, 15))
        """
        length = end - begin
        return begin + length * self.rank // self.size, begin + length * (self.rank + 1) // self.size

    def total(self, own: Tensor) -> Tensor:
        """The sum of every process's tensor, all of one shape; `own` is not changed. For all."""
        if self.size == 1:
            return own
        summed = own.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def any_of(self, own: bool) -> bool:
        """Whether it is so for any of the processes. For all."""
        return bool(self.total(torch.tensor(int(own))))

    def joined(self, own: Tensor) -> Tensor:
        """Every process's rows, one below the other, on the CPU; their number may differ. For all."""
        if self.size == 1:
            return own.cpu()
        parts: list[Tensor] = [own] * self.size
        distributed.all_gather_object(parts, own.cpu())
        return torch.cat(parts)

    def from_lead(self, make: Callable[[], Made]) -> Made:
        """What the lead makes; the others make nothing and wait for it. For all."""
        if self.size == 1:
            return make()
        made = [make() if self.is_lead else None]
        distributed.broadcast_object_list(made)
        return made[0]  # type: ignore[return-value]  # the others' None has been replaced

    def first_on_each_machine(self, make: Callable[[], Made]) -> Made:
        """What this process makes, once the first one of its machine has: for what later ones find made. For all."""
        if self.local_rank == 0:
            made = make()
        if self.size > 1:
            distributed.barrier()
        return made if self.local_rank == 0 else make()

    def take_leads_state(self, model: nn.Module) -> None:
        """Make the model's weights and buffers those of the lead's. For all."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, 0)


ALONE = Team()


BUCKET_VALUES = 2**22
"""So many gradients go around together, 16 MiB: each message costs time of its own, and a model has hundreds."""


class GradientSum:
    """Adds the gradients of a model up over a team, while backward is still making the next ones.

    Written out, since DistributedDataParallel divides by the number of processes, which is right for equal shares
    alone, and settles what learns when it is made, which --freeze-epochs changes.
    """

    def __init__(self, model: nn.Module, team: Team) -> None:
        self.complete = True
        """Whether the backward that comes is a batch's last: of several, each process adds up its own first."""
        self._ready: list[Tensor] = []
        self._coming: list[tuple[list[Tensor], Tensor, distributed.Work]] = []
        if team.size > 1:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(self._add)  # type: ignore[no-untyped-call]

    def _add(self, parameter: Tensor) -> None:
        if not self.complete:
            return
        assert parameter.grad is not None  # the hook is called once it is there
        self._ready.append(parameter.grad)
        if sum(gradient.numel() for gradient in self._ready) >= BUCKET_VALUES:
            self._send()

    def _send(self) -> None:
        """Begin to add up the gradients that are ready, which every process has in the same order."""
        bucket = torch.cat([gradient.flatten() for gradient in self._ready])
        work = distributed.all_reduce(bucket, async_op=True)
        assert work is not None  # this process is one of the team
        self._coming.append((self._ready, bucket, work))
        self._ready = []

    def wait(self) -> None:
        """After backward: go on when every gradient is that of all processes."""
        if self._ready:
            self._send()
        for gradients, bucket, work in self._coming:
            work.wait()
            for gradient, summed in zip(
                gradients, torch.split(bucket, [one.numel() for one in gradients]), strict=True
            ):
                gradient.copy_(summed.view(gradient.shape))
        self._coming.clear()


def with_shared_norms(model: nn.Module, team: Team) -> nn.Module:
    """The model with batch norms that normalise over the whole batch, not over a process's share; on GPUs alone."""
    if team.size == 1 or not next(model.parameters()).is_cuda:
        return model
    return synchronised(model)


def synchronised(model: nn.Module) -> nn.Module:
    """The model with every batch norm a SyncBatchNorm; torch's own way loses the activations that timm's hold."""
    from timm import layers

    converted: nn.Module = layers.convert_sync_batchnorm(model)  # type: ignore[attr-defined, no-untyped-call]
    return converted


@contextmanager
def meet() -> Iterator[Team]:
    """The team of the processes that torchrun started together with this one; inside, it works as one.

    A fault in one process ends all, and is told once: by the process that has met it, or, of one that was killed, by
    the first that misses it. Ctrl-C is the lead's to answer.

    Raises:
        MachineError: The processes do not find each other, or one of them is gone.
    """
    rank, size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    team = Team(rank, size, int(os.environ.get("LOCAL_RANK", "0")))  # a launcher of one process a machine sets none
    if not team.is_lead:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    backend = "gloo"
    if torch.cuda.is_available():
        take_gpu(team)
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, *place = next(rendezvous("env://", timeout=LONGEST_WAIT))
        own = PrefixStore(f"curate/{_attempt()}", store)  # else they look for those who failed before
        distributed.init_process_group(backend, store=own, rank=place[0], world_size=place[1], timeout=LONGEST_WAIT)
        faults = Faults(team)
    except (RuntimeError, ValueError) as error:
        raise MachineError(f"torchrun: the processes do not find each other ({str(error).splitlines()[0]})") from error
    try:
        yield team
    except BaseException as error:
        if not faults.is_first():
            raise SystemExit(1) from error  # another process tells
        if _is_loss(error):
            lost = "of the processes of this run one ended without a word: killed, or out of memory?"
            raise MachineError(f"{lost} Go on with --resume") from error
        raise
    distributed.destroy_process_group()


def take_gpu(team: Team) -> None:
    """Make the GPU of this process's number its own.

    Raises:
        UsageError: There are fewer GPUs than processes.
    """
    gpus = torch.cuda.device_count()
    if team.local_rank >= gpus:
        raise UsageError(f"torchrun: this machine has {gpus} GPUs. Pass --nproc-per-node {gpus}, or fewer")
    torch.cuda.set_device(team.local_rank)


class Faults:
    """Which process has met a fault first; a process that waits in vain for one that has is ended from here."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self._is_ours = threading.Event()
        self._key = FAULTS.format(attempt=_attempt())
        self._store = _connect()
        threading.Thread(target=self._watch, args=[_connect()], daemon=True).start()

    def is_first(self) -> bool:
        """Tell the others that this process has met a fault; whether it is the first to."""
        self._is_ours.set()
        try:
            return bool(self._store.add(self._key, 1) == 1)
        except RuntimeError:  # whoever keeps the store is gone
            return self._team.is_lead

    def _watch(self, store: TCPStore) -> None:
        with suppress(RuntimeError):  # whoever keeps the store is gone, which is a fault too
            store.wait([self._key], timedelta(days=365))
        time.sleep(1)  # the process that tells ends first, so that torchrun names it as the cause
        if not self._is_ours.is_set():
            os._exit(1)  # the main thread may be waiting for a process that is gone, where no exception reaches it


def _attempt() -> str:
    """What tells the processes of now from those before a restart (torchrun --max-restarts), where all share one store.

    Where torchrun keeps none for them, each restart has a store of its own; and machines that come later have counted
    fewer restarts.
    """
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if shared else "0"


def _connect() -> TCPStore:
    """A connection of its own to the store through which the processes found each other: one waits, others cannot."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=LONGEST_WAIT)


def _is_loss(error: BaseException) -> bool:
    """Whether an error is torch's way to say that another process does not answer."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
