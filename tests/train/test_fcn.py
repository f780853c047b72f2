"""Fully convolutional networks: how they start, and that finer ones carry on from coarser ones."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import torch
from segmentation_models_pytorch.encoders import encoders, get_encoder
from torch import Tensor, nn
from torch.nn import functional

from curate.errors import MismatchError
from tests.train.making import NARROW, quick
from train.models import build_model
from train.models.fcn import FCN, STRIDES, VGG16, convolutional_classifier

pytestmark = pytest.mark.usefixtures("narrow_fcn")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def vgg16() -> dict[str, Tensor]:
    """Weights of a VGG16 under torchvision's names, its classifier as narrow as `narrow_fcn`."""
    random = torch.Generator().manual_seed(2)
    encoder = {name: torch.rand(tensor.shape, generator=random) for name, tensor in VGG16().state_dict().items()}
    shapes = {"0.weight": (NARROW, 25088), "0.bias": (NARROW,), "3.weight": (NARROW, NARROW), "3.bias": (NARROW,)}
    classifier = {f"classifier.{name}": torch.rand(shape, generator=random) for name, shape in shapes.items()}
    return encoder | classifier | {"classifier.6.weight": torch.zeros(1000, NARROW)}


@pytest.mark.parametrize("name", STRIDES)
def test_scores_start_at_zero_and_have_the_size_of_the_image(name: str, images: Tensor) -> None:
    with torch.no_grad():
        logits = build_model(quick(model=name))(images)
    assert logits.shape == (2, 1, 64, 96)
    assert not logits.any()


def test_the_body_is_the_vgg16_whose_weights_are_downloaded(images: Tensor) -> None:
    body, theirs = VGG16(), get_encoder("vgg16")
    theirs.load_state_dict(body.state_dict())
    with torch.no_grad():
        ours, features = body(images), theirs(images)
        assert [each.shape[1:] for each in ours] == [
            (64, 32, 48),
            (128, 16, 24),
            (256, 8, 12),
            (512, 4, 6),
            (512, 2, 3),
        ]
        assert torch.allclose(ours[-1], features[-1])
        assert torch.allclose(ours[2], functional.max_pool2d(features[2], 2))


def test_upsampling_between_scores_starts_bilinear_and_is_learnt() -> None:
    upsample = FCN(8).upsample_fc7
    scores = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    expected = functional.interpolate(scores, scale_factor=2, mode="bilinear")
    # At the rim a transposed convolution sees zeros outside, interpolation the rim itself.
    assert torch.allclose(upsample(scores)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-6)
    assert upsample.weight.requires_grad


def test_the_last_upsampling_is_the_bilinear_transposed_convolution_of_the_paper() -> None:
    ramp = (torch.arange(64) + 0.5) / 32
    row = torch.minimum(ramp, 2 - ramp)
    fixed = nn.ConvTranspose2d(1, 1, 64, stride=32, padding=16, bias=False)
    fixed.weight.data.copy_(torch.outer(row, row))
    scores = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    ours = functional.interpolate(scores, scale_factor=32, mode="bilinear")
    assert torch.allclose(fixed(scores)[..., 16:-16, 16:-16], ours[..., 16:-16, 16:-16], atol=1e-6)


@pytest.mark.parametrize(("coarse", "fine"), [("fcn32s", "fcn16s"), ("fcn16s", "fcn8s"), ("fcn32s", "fcn8s")])
def test_a_finer_network_starts_from_the_scores_of_the_coarser_one(coarse: str, fine: str, tmp_path: Path) -> None:
    trained = build_model(quick(model=coarse)).eval()
    nn.init.normal_(trained.score_fc7.weight, generator=torch.Generator().manual_seed(3))  # type: ignore[arg-type, union-attr]
    path = tmp_path / "best.safetensors"
    safetensors.torch.save_file({name: each.contiguous() for name, each in trained.state_dict().items()}, path)
    refined = build_model(quick(model=fine, seed=9, weights=str(path))).eval()
    assert all(torch.equal(refined.state_dict()[name], each) for name, each in trained.state_dict().items())
    scores: list[Tensor] = []
    trained.get_submodule("score_fc7").register_forward_hook(lambda module, inputs, output: scores.append(output))
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        trained(images)
        logits = refined(images)
    expected = scores[0]
    for factor in {"fcn16s": (2, 16), "fcn8s": (2, 2, 8)}[fine]:
        expected = functional.interpolate(expected, scale_factor=factor, mode="bilinear")
    inside = (..., slice(32, -32), slice(32, -32))  # at the rim, what is learnt sees zeros outside
    assert float(expected[inside].std()) > 0.1
    assert torch.allclose(logits[inside], expected[inside], atol=1e-5)


def test_a_coarser_network_does_not_start_from_a_finer_one(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    fine = build_model(quick(model="fcn8s")).state_dict()
    safetensors.torch.save_file({name: each.contiguous() for name, each in fine.items()}, path)
    with pytest.raises(MismatchError, match=r"got score_pool3\.bias"):
        build_model(quick(model="fcn16s", weights=str(path)))


def test_the_classifier_as_convolutions_classifies(vgg16: dict[str, Tensor]) -> None:
    """On an image of 224 px, pool5 has 7 x 7 px, and the middle of fc6 sees all of it."""
    layers = convolutional_classifier(vgg16)
    pool5 = torch.rand(1, 512, 7, 7, generator=torch.Generator().manual_seed(1))
    connected = functional.linear(pool5.flatten(1), vgg16["classifier.0.weight"], vgg16["classifier.0.bias"])
    convolved = functional.conv2d(pool5, layers["fc6.weight"], layers["fc6.bias"], padding=3)[..., 3, 3]
    assert torch.allclose(connected, convolved, rtol=1e-4)
    connected = functional.linear(convolved, vgg16["classifier.3.weight"], vgg16["classifier.3.bias"])
    convolved = functional.conv2d(convolved[..., None, None], layers["fc7.weight"], layers["fc7.bias"])
    assert torch.allclose(connected, convolved[..., 0, 0], rtol=1e-4)


def starts_from(model: nn.Module, vgg16: dict[str, Tensor]) -> bool:
    state = model.state_dict()
    expected = {f"encoder.{name}": each for name, each in vgg16.items() if name.startswith("features.")}
    return all(torch.equal(state[name], each) for name, each in (expected | convolutional_classifier(vgg16)).items())


def test_a_file_of_vgg16_gives_its_classifier_too(vgg16: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vgg16.safetensors"
    safetensors.torch.save_file(vgg16, path)
    model = build_model(quick(model="fcn8s", weights=str(path)))
    assert starts_from(model, vgg16)
    assert not model.get_submodule("score_fc7").weight.any()  # type: ignore[union-attr, operator]


def test_a_file_without_the_classifier_leaves_fc6_and_fc7_random(vgg16: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vgg16.safetensors"
    body = {name: each for name, each in vgg16.items() if name.startswith("features.")}
    safetensors.torch.save_file(body, path)
    model, random = build_model(quick(model="fcn32s", weights=str(path))), build_model(quick(model="fcn32s"))
    assert starts_from(model, body)
    assert torch.equal(model.state_dict()["fc6.weight"], random.state_dict()["fc6.weight"])


def test_imagenet_weights_that_were_downloaded_before_need_no_network(
    vgg16: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = encoders["vgg16"]["pretrained_settings"]["imagenet"]
    snapshot = tmp_path / "models--smp-hub--vgg16.imagenet" / "snapshots" / settings["revision"]
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    safetensors.torch.save_file(vgg16, snapshot / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert starts_from(build_model(quick(model="fcn16s", weights="imagenet")), vgg16)
