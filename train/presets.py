"""Presets: options of `curate train fit` from a TOML file, shipped by name or a user's own. Imports no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from curate.errors import JSON_ERRORS, CurateError, FormatError, MissingError
from curate.files import readable_faults
from curate.packaged import shipped_file, shipped_names
from train.config import FitConfig

TABLE1 = "table1"
"""The preset of `train sweep` alone; train.sweeps.grid says what it is."""

NOT_OPTIONS = ("format", "dataset", "digest", "lr_from", "earlier_sizes", "earlier_batch_sizes")
"""Fields of a FitConfig that no option sets by itself."""
OPTIONS = tuple(name for name in FitConfig.__struct_fields__ if name not in NOT_OPTIONS)
"""fit's options, by the fields they set."""

TYPES = {field.name: field.type for field in msgspec.structs.fields(FitConfig)}
"""The type of each field."""

PLAIN = FitConfig(dataset="", digest="")
"""Every option at its default."""

GOES_WITH = {"schedule": ("lr_min", "lr_decay", "cycle_epochs"), "model": ("encoder",)}
"""What a preset says of these belongs to its own schedule or model, and falls away where another one is given."""


class ByWeights(msgspec.Struct, forbid_unknown_fields=True):
    """A number of frozen epochs for an encoder that starts from weights, and for a random one."""

    pretrained: int = 0
    none: int = 0


def option_name(field: str) -> str:
    """A field as it is called in files and, after `--`, on the command line.

    >>> option_name("batch_size")
    'batch-size'
    """
    return field.replace("_", "-")


def load_preset(name: str) -> dict[str, Any]:
    """A preset's options by their fields, as its file has them: `combine` makes fit's options of them.

    Raises:
        MissingError: It is neither a file nor shipped; the message lists those that are.
        FormatError: The file is no TOML, or an option is unknown or has a value that fit would refuse.
    """
    path = find_preset(name)
    with readable_faults(path):
        data = path.read_bytes()
    try:
        preset = {key.replace("-", "_"): value for key, value in tomllib.loads(data.decode("utf-8")).items()}
        unknown = [key for key in preset if key not in OPTIONS]
        if unknown:
            known = ", ".join(map(option_name, OPTIONS))
            raise FormatError(path, f"{option_name(unknown[0])} is no option of train fit. There are: {known}")
        make_config(combine(preset, {})[0])
    except (tomllib.TOMLDecodeError, *JSON_ERRORS) as error:
        raise FormatError(path, f"is not a preset ({error}). Expected TOML such as: epochs = 20") from error
    except CurateError as error:
        raise error if isinstance(error, FormatError) else FormatError(path, str(error)) from error
    return preset


def find_preset(name: str) -> Path:
    """The file of a preset, by its path or by the name of a shipped one."""
    path = Path(name)
    if path.is_file():
        return path
    if shipped := shipped_file("presets", name):
        return shipped
    names = f"{', '.join(shipped_names('presets'))}; for train sweep {TABLE1}"
    raise MissingError(f"--preset {name}: is neither a file nor a preset. There are: {names}")


def make_config(options: Mapping[str, Any]) -> FitConfig:
    """A checked configuration from options as their fields, its dataset left open.

    Raises:
        UsageError: A value is out of range.
        msgspec.ValidationError: A value has another type.
    """
    return msgspec.convert({"dataset": "", "digest": "", **options}, FitConfig)


def combine(preset: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """fit's options: a preset's, and on top of them those that were given, with what that changed of the preset.

    Args:
        preset: Options by field, as a file has them: `size` and `batch_size` may be lists, one for each stage,
            `batch_size` a table by image side in px, and `freeze_epochs` one by whether the encoder is pretrained.
        given: Options by field, as FitConfig has them.

    Returns:
        The options, and one line for each of the preset's that does not stay as it was.

    >>> combine({"size": 512, "batch_size": {"128": 64, "512": 16}}, {"size": 128})
    ({'size': 128, 'batch_size': 64}, [])
    >>> combine({"epochs": 50, "freeze_epochs": 5}, {"epochs": 20})
    ({'epochs': 20, 'freeze_epochs': 2}, ['freeze-epochs 5 of 50 epochs becomes 2 of 20'])
    """
    kept, notes = _without_what_went_with(preset, given)
    size, batch_size, frozen = (kept.pop(name, None) for name in ("size", "batch_size", "freeze_epochs"))
    typed = {name: _typed(name, value) for name, value in kept.items()}
    options = {**_staged("size", size), **typed, **given}
    if isinstance(batch_size, Mapping):
        sizes = (*options.get("earlier_sizes", ()), options.get("size", PLAIN.size))
        batch_size = _by_size(batch_size, sizes)
    options |= _staged("batch_size", batch_size)
    if frozen is not None:
        random = options.get("weights", PLAIN.weights) == "none"
        options["freeze_epochs"] = frozen = _by_weights(frozen, random=random)
        if "epochs" in given and "epochs" in preset and frozen:
            share = frozen * given["epochs"] // preset["epochs"]
            options["freeze_epochs"] = share
            if share != frozen:
                epochs = f"{frozen} of {preset['epochs']} epochs becomes {share} of {given['epochs']}"
                notes.append(f"freeze-epochs {epochs}")
    return options, notes


def _without_what_went_with(preset: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The preset's options that are not given, without those that go with another schedule or model."""
    kept, notes = {name: value for name, value in preset.items() if name not in given}, []
    for owner, owned in GOES_WITH.items():
        if owner in given and given[owner] != preset.get(owner):
            for name in owned:
                if name in kept:
                    value = f"{option_name(name)} {kept.pop(name)}"
                    notes.append(f"{value} falls away: it goes with {owner} {preset.get(owner, getattr(PLAIN, owner))}")
    return kept, notes


def _typed(name: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, TYPES[name])
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{option_name(name)}: {error}") from error


def _staged(name: str, value: Any) -> dict[str, Any]:
    """An option of one value, or of one a stage, as the two fields that hold it; nothing of None."""
    if value is None:
        return {}
    if not isinstance(value, Sequence):
        return {name: value}
    *earlier, last = value
    return {f"earlier_{name}s": tuple(earlier), name: last}


def _by_size(table: Mapping[str, Any], sizes: Sequence[int]) -> list[int] | int:
    """The table's number for each image side: that of the next larger side in it, else of the largest."""
    numbers = msgspec.convert(table, dict[int, int], strict=False)
    sides = sorted(numbers)
    found = [numbers[next((side for side in sides if side >= size), sides[-1])] for size in sizes]
    return found if len(found) > 1 else found[0]


def _by_weights(frozen: Any, *, random: bool) -> int:
    """Frozen epochs for an encoder that starts from weights, or from random ones."""
    if not isinstance(frozen, Mapping):
        return msgspec.convert(frozen, int)
    found = msgspec.convert(frozen, ByWeights)
    return found.none if random else found.pretrained
