"""Building, seeding and loading models; weights that cannot be had or do not fit."""

from __future__ import annotations

import re
import time
from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import torch

from curate.errors import FormatError, MachineError, MismatchError, MissingError, UsageError
from tests.conftest import REPOSITORY
from tests.train.making import quick
from train.config import ENCODER_MODELS, MODELS, POOLING_MODELS, TIRAMISU_MODELS, FitConfig
from train.engine.distributed import synchronised
from train.models import PROBE_SECONDS, build_model, load

pytestmark = pytest.mark.usefixtures("narrow_fcn")


def weights_of(config: FitConfig) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in build_model(config).state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_random_weights_follow_from_the_seed_alone() -> None:
    state = torch.random.get_rng_state()
    one = weights_of(quick())
    torch.manual_seed(99)
    assert same(one, weights_of(quick()))
    assert not same(one, weights_of(quick(seed=1)))
    torch.random.set_rng_state(state)


def test_building_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    build_model(quick())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_two_images_of_the_smallest_size(name: str) -> None:
    model = build_model(quick(model=name))
    with torch.no_grad():
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in POOLING_MODELS])
def test_the_others_take_a_single_image(name: str) -> None:
    with torch.no_grad():
        assert build_model(quick(model=name))(torch.randn(1, 3, 64, 64)).shape == (1, 1, 64, 64)


def test_a_file_of_the_whole_model(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    other = weights_of(quick(seed=5))
    safetensors.torch.save_file(other, path)
    assert same(other, weights_of(quick(weights=str(path))))


def test_a_file_of_an_encoder_with_its_classifier(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    other, random = weights_of(quick(seed=5)), weights_of(quick())
    encoder = {name.removeprefix("encoder."): each for name, each in other.items() if name.startswith("encoder.")}
    safetensors.torch.save_file(encoder | {"classifier.1.weight": torch.zeros(1000, 1280)}, path)
    built = weights_of(quick(weights=str(path)))
    assert same({name: (other if name.startswith("encoder.") else random)[name] for name in built}, built)


def test_a_file_of_another_architecture_names_the_first_difference(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(weights_of(quick()), path)
    with pytest.raises(
        MismatchError, match=r"expected a tensor encoder\.conv1\.weight, got none of that name"
    ) as caught:
        build_model(quick(encoder="resnet18", weights=str(path)))
    assert caught.value.where == str(path)


def test_a_file_with_another_shape_names_the_tensor(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    changed = weights_of(quick())
    name = next(reversed(changed))
    safetensors.torch.save_file(changed | {name: torch.zeros(7)}, path)
    with pytest.raises(MismatchError, match=rf"expected {re.escape(name)} of shape \[1\], got \[7\]"):
        build_model(quick(weights=str(path)))


def test_a_surplus_tensor_is_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(weights_of(quick()) | {"extra": torch.zeros(1)}, path)
    with pytest.raises(MismatchError, match=r"got extra"):
        build_model(quick(weights=str(path)))


def test_a_file_that_is_absent_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(MissingError, match=r"w\.safetensors: no such weights. Check the path$"):
        build_model(quick(weights=str(path)))
    path.write_bytes(b"not tensors at all")
    with pytest.raises(FormatError, match=r"not a readable \.safetensors file"):
        build_model(quick(weights=str(path)))


def test_an_unknown_encoder_gets_its_neighbours_named() -> None:
    with pytest.raises(UsageError, match=r"--encoder resnet43: .* closest: resnet34"):
        build_model(quick(encoder="resnet43"))


@pytest.mark.parametrize("model", ENCODER_MODELS)
def test_every_decoder_takes_an_encoder_of_timm(model: str) -> None:
    built = build_model(quick(model=model, encoder="tu-mobilenetv3_small_050"))
    assert built.training
    built(torch.randn(2, 3, 64, 64)).sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in built.encoder.parameters())


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ("tu-mobilenetv3_smal_050", r"timm has no such encoder; closest: tu-mobilenetv3_small_050, "),
        ("tu-vit_tiny_patch16_224", r"do not go together \(Unsupported model downsampling pattern\.\)"),
        ("tu-swin_tiny_patch4_window7_224", r"do not go together \(Input height \(\d+\) doesn't match model \(224\)"),
    ],
)
def test_an_encoder_of_timm_that_cannot_be_had(encoder: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"--encoder {encoder}: {told}"):
        build_model(quick(model="unet", encoder=encoder))


def test_activations_stay_where_batches_are_normalised_together() -> None:
    model = build_model(quick(model="unet", encoder="tu-mobilenetv3_small_050")).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(model(images), synchronised(model)(images))


def test_an_encoder_that_does_not_go_with_the_model() -> None:
    with pytest.raises(UsageError, match=r"--model unetplusplus --encoder mit_b0: do not go together"):
        build_model(quick(model="unetplusplus", encoder="mit_b0"))


def test_an_encoder_without_imagenet_weights() -> None:
    with pytest.raises(UsageError, match=r"--weights imagenet: encoder dpn107 has none"):
        build_model(quick(encoder="dpn107", weights="imagenet"))


@pytest.mark.parametrize(
    ("model", "encoder"), [("unet", {}), ("fcn8s", {}), ("unet", {"encoder": "tu-mobilenetv3_small_050"})]
)
def test_without_a_network_imagenet_fails_at_once(
    model: str, encoder: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(
        MachineError, match=r"--weights imagenet: .* Pass --weights none .* or --weights FILE"
    ) as caught:
        build_model(quick(model=model, weights="imagenet", **encoder))
    assert time.monotonic() - started < PROBE_SECONDS + 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TIRAMISU_MODELS)
def test_a_tiramisu_has_weights_of_its_own_alone(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"--weights imagenet: there are none of {name}. Pass --weights none, or a f"):
        quick(model=name, weights="imagenet")
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(weights_of(quick()), path)
    with pytest.raises(MismatchError, match=r"expected a tensor first\.weight, got none of that name"):
        build_model(quick(model=name, weights=str(path)))


def test_a_tiramisu_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    other = weights_of(quick(model="tiramisu56", seed=5))
    safetensors.torch.save_file(other, path)
    assert same(other, weights_of(quick(model="tiramisu56", weights=str(path))))


@pytest.mark.parametrize("model", ["unet", "fcn8s"])
def test_a_file_of_a_tiramisu_is_another_architecture(model: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(weights_of(quick(model="tiramisu56")), path)
    with pytest.raises(MismatchError, match=r"It holds another --model or --encoder"):
        build_model(quick(model=model, weights=str(path)))


SIZES = re.findall(
    r"^\| `(\w+)`(?:, `--encoder (\w+)`)? \|.*\| ([\d.]+) \|$", (REPOSITORY / "docs" / "training.md").read_text(), re.M
)


def test_the_page_tells_of_every_model() -> None:
    assert {name for name, _, _ in SIZES} == set(MODELS)


@pytest.mark.parametrize(("name", "encoder", "millions"), SIZES, ids=[" ".join(row[:2]) for row in SIZES])
def test_the_page_tells_the_parameters(name: str, encoder: str, millions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the FCN as wide as it is
    with torch.device("meta"):
        model = build_model(quick(model=name, encoder=encoder or "auto"))
    assert round(sum(tensor.numel() for tensor in model.parameters()) / 1e6, 1) == float(millions)


def test_load_gives_the_best_weights_for_use(finished: Path) -> None:
    loaded = load(finished)
    assert not loaded.model.training
    assert same(dict(loaded.model.state_dict()), safetensors.torch.load_file(finished / "best.safetensors"))
    assert loaded.config.model == "unet"
