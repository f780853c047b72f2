"""Embeddings of a run's images: what they are, that they are kept, and what the App makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from curate.cli import main
from curate.dataset import Dataset
from review import cli, embeddings
from review.embeddings import embeddings_of
from review.label_check import findings_of
from review.runs import Run, open_run
from review.slices import conditions_of
from tests.review.making import Drawn, as_target, body, make_dataset, photograph
from tests.train.making import quick
from train.inference.embed import deepest_layer, embed
from train.models import Loaded, build_model

PERSON = body()
SIZE = 64


def scenes() -> list[Drawn]:
    """Photographs; the last two show the same, bright as no other."""
    found = [Drawn(f"s{n:02}", as_target(PERSON), None, photograph(PERSON, n)) for n in range(22)]
    bright = np.full((120, 160, 3), 240, np.uint8)
    bright[PERSON] = (40, 200, 40)
    splits = ["train"] * 20 + ["val"] * 2
    found = [Drawn(one.sample_id, one.target, None, one.image, split) for one, split in zip(found, splits, strict=True)]
    return [*found, Drawn("t0", as_target(PERSON), None, bright), Drawn("t1", as_target(PERSON), None, bright)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and a scored run of one short epoch."""
    root = tmp_path_factory.mktemp("embeddings")
    make_dataset(root / "people", scenes())
    options = f"--encoder resnet18 --weights none --size {SIZE} --batch-size 4 --epochs 1 --lr 0.001".split()
    for words in (["fit", str(root / "people"), "--out", str(root / "run"), *options], ["score", str(root / "run")]):
        with pytest.raises(SystemExit, match="0"):
            main(["train", *words])
    cli.prepare(open_run(root / "run"))
    return root


@pytest.fixture
def run(trained: Path) -> Run:
    (trained / "run/embeddings.npy").unlink(missing_ok=True)
    return open_run(trained / "run")


def test_an_embedding_is_the_mean_of_the_encoders_last_features() -> None:
    config = quick(model="unet", encoder="resnet18", size=SIZE)
    model = build_model(config).eval()
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    found = embed(Loaded(model, config), [images[:3], images[3:]])
    from train.data.batches import to_input

    with torch.inference_mode():
        features = model.encoder(to_input(torch.from_numpy(images).permute(0, 3, 1, 2), torch.device("cpu")))[-1]
    np.testing.assert_allclose(found, features.mean((2, 3)).numpy(), atol=1e-5)


@pytest.mark.parametrize("model", ["unet", "fcn32s", "tiramisu56", "fpn"])
def test_every_model_has_a_deepest_layer(model: str) -> None:
    encoder = {"encoder": "resnet18"} if model in ("unet", "fpn") else {}
    config = quick(model=model, size=SIZE, **encoder)
    built = build_model(config).eval()
    found = embed(Loaded(built, config), [np.zeros((2, SIZE, SIZE, 3), np.uint8)])
    assert found.shape[0] == 2
    assert found.shape[1] >= 48
    assert np.isfinite(found).all()
    assert not deepest_layer(built, SIZE)._forward_hooks


def test_images_that_are_alike_have_embeddings_that_are(run: Run) -> None:
    found = embeddings_of(run)
    assert found is not None
    assert len(found) == 24
    distances = np.linalg.norm(found - found[-1], axis=1)
    assert distances[-2] == pytest.approx(0, abs=1e-4)
    assert (distances[:-2] > 100 * max(distances[-2], 1e-4)).all()


def test_they_are_computed_once_and_again_where_they_are_damaged(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = embeddings_of(run)
    assert found is not None
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "embedded", None)
        assert (embeddings_of(run) == found).all()  # type: ignore[attr-defined]
    (run.root / "embeddings.npy").write_bytes(b"\x93NUMPY damaged")
    assert (embeddings_of(run) == found).all()  # type: ignore[attr-defined]


def test_a_ready_made_model_has_none(run: Run, tmp_path: Path) -> None:
    assert embeddings_of(Run(tmp_path, run.dataset, run.scores)) is None


@pytest.fixture
def shown(database: str, run: Run) -> Iterator[tuple[ModuleType, Any, Dataset]]:
    app = cli.load_app()
    dataset = run.dataset
    found = app.open_review([run], dataset, conditions_of(dataset), findings_of(dataset), embeddings_of(run))
    yield app, found, dataset
    found.delete()


@pytest.mark.database
def test_the_app_has_a_map_a_search_and_how_unique_each_image_is(
    shown: tuple[ModuleType, Any, Dataset], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, found, dataset = shown
    assert {"run_like", "run_map"} <= set(found.list_brain_runs())
    twin = found.one(app.views.F("sample_id") == "t0")
    nearest = found.sort_by_similarity(twin.id, k=2, brain_key="run_like").values("sample_id")
    assert sorted(nearest) == ["t0", "t1"]
    unique = dict(zip(*found.values(["sample_id", "uniqueness"]), strict=True))
    assert sorted(unique, key=unique.__getitem__)[-2:] == ["t0", "t1"]  # far from all but each other
    assert all(0 <= value <= 1 for value in found.values("representativeness"))
    points = found.load_brain_results("run_map").points
    assert points.shape == (24, 2)
    monkeypatch.setattr(app.similarity, "fob", None)  # nothing is computed again
    app.open_review([run], dataset, conditions_of(dataset), findings_of(dataset), embeddings_of(run))
