"""curate: what a dataset is and how one is chosen. Nothing here imports torch or FiftyOne.

The names below are the Python API of docs/api.md. Each is imported when it is first asked for, so that `import curate`
and `curate --help` wait for nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Built",
    "CurateError",
    "Dataset",
    "Exported",
    "Recipe",
    "build_dataset",
    "export_coco",
    "export_voc",
    "load_recipe",
    "make_recipe",
    "open_dataset",
    "verify",
]

if TYPE_CHECKING:
    from curate.checks.version import verify
    from curate.choosing.build import Built, build_dataset
    from curate.choosing.recipe import Recipe, load_recipe, make_recipe
    from curate.dataset import Dataset, open_dataset
    from curate.errors import CurateError
    from curate.exports import Exported
    from curate.exports.coco import export_coco
    from curate.exports.voc import export_voc
else:  # a type checker that sees `__getattr__` takes every name for one of ours
    _HOMES = {
        "curate.choosing.build": ("Built", "build_dataset"),
        "curate.checks.version": ("verify",),
        "curate.dataset": ("Dataset", "open_dataset"),
        "curate.errors": ("CurateError",),
        "curate.exports": ("Exported",),
        "curate.exports.coco": ("export_coco",),
        "curate.exports.voc": ("export_voc",),
        "curate.choosing.recipe": ("Recipe", "load_recipe", "make_recipe"),
    }
    _HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

    def __getattr__(name):
        if name not in _HOME_OF:
            raise AttributeError(f"module 'curate' has no attribute {name!r}")
        return getattr(import_module(_HOME_OF[name]), name)

    def __dir__():
        return sorted([*globals(), *__all__])
