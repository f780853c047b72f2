"""Opening runs in FiftyOne and looking at what stands there."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from curate import schema
from curate.cli import main
from curate.dataset import open_dataset
from review.label_check import findings_of
from review.runs import open_run
from review.slices import SLICES, conditions_of

RUN_VIEWS = ["worst tenth", *(kind.replace("-", " ") for kind in schema.FAILURE_KINDS), "suspected labels"]
VIEWS = [*RUN_VIEWS, *SLICES, "label check", "near duplicates"]


def ids_of(shown: object, view: str) -> list[str]:
    return shown.load_saved_view(view).values("sample_id")  # type: ignore[attr-defined, no-any-return]


def opened(app: ModuleType, place: Path, *names: str) -> object:
    runs = [open_run(place / "runs" / name) for name in names]
    dataset = open_dataset(place / "people")
    return app.open_review(runs, dataset, conditions_of(dataset), findings_of(dataset))


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    printed = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, printed.out, printed.err
