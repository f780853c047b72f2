"""What the commands import, for processes that are forked from one that has it already; torch alone takes seconds."""

from __future__ import annotations

import importlib

MODULES = (
    "matplotlib.pyplot",
    "torch._dynamo",
    "curate.choosing.build",
    "curate.looking.sheet",
    "label.importing",
    "label.prelabel",
    "label.tasks",
    "review.cli",
    "review.loop.run",
    "train.augment.sheet",
    "train.fit",
    "train.inference.export",
    "train.inference.predict",
    "train.scoring.peers",
    "train.sweeps.sweep",
)

for module in MODULES:
    importlib.import_module(module)
