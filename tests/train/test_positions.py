"""Position channels: what they hold, and that a model with them starts as the one without."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from segmentation_models_pytorch.encoders import encoders, get_encoder
from torch import Tensor, nn
from torch.nn import functional

from curate.errors import MismatchError
from tests.train.making import quick
from train.config import MODELS
from train.models import build_model
from train.models.fcn import STRIDES
from train.models.positions import append_positions

pytestmark = pytest.mark.usefixtures("narrow_fcn")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def save(model: nn.Module, path: Path) -> str:
    safetensors.torch.save_file({name: each.contiguous() for name, each in model.state_dict().items()}, path)
    return str(path)


def test_positions_are_those_of_the_middles_of_pixels() -> None:
    images = torch.rand(3, 3, 2, 4, generator=torch.Generator().manual_seed(1))
    wide = append_positions(images)
    assert torch.equal(wide[:, :3], images)
    for x, y in wide[:, 3:]:
        assert x.tolist() == [[-0.75, -0.25, 0.25, 0.75]] * 2
        assert y.tolist() == [[-0.5] * 4, [0.5] * 4]


def test_a_resized_image_has_resized_positions() -> None:
    small, large = append_positions(torch.zeros(1, 3, 4, 4)), append_positions(torch.zeros(1, 3, 8, 8))
    assert torch.allclose(functional.avg_pool2d(large, 2), small)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_starts_as_the_one_without(name: str, images: Tensor) -> None:
    plain, wide = build_model(quick(model=name)), build_model(quick(model=name, position_channels=True))
    if name in STRIDES:
        for model in (plain, wide):
            nn.init.ones_(model.get_submodule("score_fc7").weight)  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.allclose(plain.eval()(images), wide.eval()(images), atol=1e-5)
    extra = sum(each.numel() for each in wide.parameters()) - sum(each.numel() for each in plain.parameters())
    first = next(module for module in wide.modules() if isinstance(module, nn.Conv2d))
    assert extra == first.out_channels * 2 * first.kernel_size[0] * first.kernel_size[1]


@pytest.mark.filterwarnings("ignore:`timm-` encoders are deprecated")
@pytest.mark.parametrize("name", sorted(encoders.keys() - {f"mit_b{size}" for size in range(1, 6)}))
def test_only_what_looks_at_the_image_has_three_channels(name: str) -> None:
    with torch.device("cpu" if name.startswith("mit_") else "meta"):  # they compute with numbers as they are built
        encoder = get_encoder(name)
    found = [path for path, each in encoder.named_modules() if isinstance(each, nn.Conv2d) and each.in_channels == 3]
    assert len(found) == (2 if name.startswith("mobileone") else 1)  # MobileOne looks at it with two in parallel


def test_the_new_weights_are_learnt(images: Tensor) -> None:
    model = build_model(quick(model="unet", position_channels=True))
    weight = model.get_parameter("encoder.features.0.0.weight")
    assert not weight[:, 3:].any()
    model(images).square().mean().backward()
    assert weight.grad is not None
    assert (weight.grad[:, 3:] != 0).any(0).all(-1).all()


def test_weights_of_a_model_without_positions_fit_one_with_them(images: Tensor, tmp_path: Path) -> None:
    plain = build_model(quick(model="unet", seed=5)).eval()
    whole = save(plain, tmp_path / "whole.safetensors")
    encoder = save(plain.get_submodule("encoder"), tmp_path / "encoder.safetensors")
    with torch.no_grad():
        wide = build_model(quick(model="unet", weights=whole, position_channels=True)).eval()
        assert torch.allclose(wide(images), plain(images), atol=1e-5)
        wide = build_model(quick(model="unet", weights=encoder, position_channels=True)).eval()
        same = build_model(quick(model="unet", weights=encoder)).eval()
        assert torch.allclose(wide(images), same(images), atol=1e-5)


def test_weights_of_a_model_with_positions_do_not_fit_one_without(tmp_path: Path) -> None:
    wide = build_model(quick(model="unet", position_channels=True))
    again = build_model(
        quick(model="unet", seed=5, weights=save(wide, tmp_path / "w.safetensors"), position_channels=True)
    )
    assert all(torch.equal(again.state_dict()[name], each) for name, each in wide.state_dict().items())
    with pytest.raises(MismatchError, match=r"weight of shape \[32, 3, 3, 3\], got \[32, 5, 3, 3\]"):
        build_model(quick(model="unet", weights=str(tmp_path / "w.safetensors")))


def test_the_positions_travel_with_an_exported_model(images: Tensor) -> None:
    model = build_model(quick(model="unet", position_channels=True)).eval()
    with torch.no_grad():
        model.get_parameter("encoder.features.0.0.weight")[:, 3:] = 1
        exported = torch.export.export(model, (images,)).module()
        assert torch.allclose(exported(images), model(images), atol=1e-5)
