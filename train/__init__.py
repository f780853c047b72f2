"""train: models on a dataset version, scored image by image. `train.load(RUN)` opens a trained one."""

import os
from typing import TYPE_CHECKING

__all__ = ["load"]

if TYPE_CHECKING:
    from train.models import load
else:  # imported when it is first asked for: `curate train --help` waits for no torch

    def __getattr__(name):
        if name != "load":
            raise AttributeError(f"module 'train' has no attribute {name!r}")
        from train.models import load

        return load


# Read when torch is first imported. Torch's threads wait for each other hundreds of times a step. By default they spin,
# which on cores that other processes keep busy costs as much again as the work itself; told to sleep, they do not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "WORLD_SIZE" in os.environ:  # started by torchrun: what one process says of another's end is ours to put in words
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
