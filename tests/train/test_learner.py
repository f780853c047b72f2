"""What one optimiser step does: rates by depth, what is frozen, averages, clipping, precision."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from curate.errors import MachineError, UsageError
from curate.masks import IGNORE
from tests.train.making import quick
from train.config import LOSSES
from train.engine.ema import decay_at
from train.engine.execution import cpu_has_bf16, executing, make_scaler, precision_on
from train.engine.freezing import check_freezable, prepare_epoch
from train.engine.learner import Learner, make_learner
from train.engine.optimisers import make_optimizer, parameter_groups, set_rate
from train.models import build_model

CPU = torch.device("cpu")


def learner_of(**options: object) -> Learner:
    config = quick(model="unet", **options)
    return make_learner(build_model(config), config)


def a_batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (2, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return images, (images.float().mean(1) > 128).to(torch.uint8) * 255


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0", "mobilenet_v2"])
def test_rates_rise_with_depth_in_equal_ratios_and_every_weight_has_one(encoder: str) -> None:
    config = quick(model="unet", encoder=encoder, encoder_lr_scale=0.01)
    model = build_model(config)
    optimizer = make_optimizer(config, model)
    set_rate(optimizer, 2.0)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([2 * 0.01 ** (1 - number / 5) for number in range(5)] + [2.0])
    held = [weight for group in optimizer.param_groups for weight in group["params"]]
    assert len(held) == len({id(weight) for weight in held}) == len(list(model.parameters()))
    first, outside = ({id(weight) for weight in optimizer.param_groups[place]["params"]} for place in (0, -1))
    assert id(next(model.encoder.parameters())) in first
    assert outside == {id(weight) for name, weight in model.named_parameters() if not name.startswith("encoder.")}
    assert all(layer.training for layer in model.modules())


def test_depth_is_the_order_of_running_not_of_writing_down() -> None:
    model = build_model(quick(model="unet", encoder="mit_b0"))
    first, *_, last, _ = parameter_groups(model, quick(model="unet", encoder="mit_b0", encoder_lr_scale=0.5))
    ids = [{id(weight) for weight in group["params"]} for group in (first, last)]
    assert id(next(model.encoder.patch_embed4.parameters())) not in ids[0]
    assert id(next(model.encoder.block1.parameters())) in ids[0]
    assert id(next(model.encoder.norm4.parameters())) in ids[1]


def test_a_model_that_sees_positions_learns_by_depth_and_on_average() -> None:
    learner = learner_of(position_channels=True, encoder_lr_scale=0.1, ema=0.5, freeze_epochs=1, epochs=2)
    prepare_epoch(learner.model, learner.config, 2)
    loss, _ = learner.step(*a_batch(), 1e-3, 0)
    assert torch.isfinite(loss)
    assert learner.judged.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_one_rate_for_all_is_one_group() -> None:
    assert [group["scale"] for group in parameter_groups(build_model(quick()), quick())] == [1.0]


def test_a_frozen_encoder_stays_as_it_is_and_learns_afterwards() -> None:
    learner = learner_of(freeze_epochs=1, epochs=2)
    for epoch, expected in ((1, {"decoder", "segmentation_head"}), (2, {"encoder", "decoder", "segmentation_head"})):
        before = copy.deepcopy(learner.model.state_dict())
        prepare_epoch(learner.model, learner.config, epoch)
        learner.step(*a_batch(), 1e-2, 0)
        assert {name.split(".")[0] for name in changed(before, learner.model.state_dict())} == expected


def test_frozen_batch_norms_keep_their_statistics_alone() -> None:
    learner = learner_of(freeze_batch_norm=True)
    before = copy.deepcopy(learner.model.state_dict())
    prepare_epoch(learner.model, learner.config, 1)
    learner.step(*a_batch(), 1e-2, 0)
    names = changed(before, learner.model.state_dict())
    assert not any("running" in name or "num_batches" in name for name in names)
    assert sum(before[name].shape == before["encoder.features.0.1.weight"].shape for name in names) > 1
    assert "encoder.features.0.1.weight" in names


class Bare(nn.Module):
    """A model with neither encoder nor batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze_epochs": 1}, "--freeze-epochs 1: the model has no encoder"),
        ({"freeze_batch_norm": True}, "--freeze-batch-norm: the model has no batch norm"),
        ({"encoder_lr_scale": 0.5}, "--encoder-lr-scale 0.5: the model has no encoder"),
    ],
)
def test_what_a_model_does_not_have_cannot_be_frozen(options: dict[str, object], message: str) -> None:
    config = quick(**options)
    with pytest.raises(UsageError, match=message):  # noqa: PT012 (one of the two refuses)
        check_freezable(Bare(), config)
        parameter_groups(Bare(), config)


def test_the_average_follows_its_formula() -> None:
    learner = learner_of(ema=0.5)
    assert learner.average is not None
    mean = {name: tensor.clone() for name, tensor in learner.average.state_dict().items()}
    for number in range(3):
        learner.step(*a_batch(number), 1e-2, number)
        decay = decay_at(0.5, number)
        for name, latest in learner.model.state_dict().items():
            if latest.is_floating_point():
                mean[name] = decay * mean[name] + (1 - decay) * latest
    found = learner.average.state_dict()
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            assert torch.allclose(found[name], tensor, atol=1e-6)
        else:
            assert int(found[name]) == 3
    assert learner.judged is learner.average
    assert not learner.average.training


def test_clipping_bounds_the_step_and_leaves_small_gradients_alone() -> None:
    moved = {}
    for norm in (None, 1e15, 1e-3):
        learner = learner_of(optimizer="sgd", clip_norm=norm)
        before = [weight.detach().clone() for weight in learner.model.parameters()]
        learner.step(*a_batch(), 1.0, 0)
        after = learner.model.parameters()
        moved[norm] = sum(float((new.detach() - old).square().sum()) for new, old in zip(after, before, strict=True))
    assert moved[1e15] == moved[None]
    assert moved[1e-3] ** 0.5 == pytest.approx(1.9e-3, rel=0.01)  # Nesterov's first step is 1 + momentum gradients


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_a_batch_in_parts_is_the_batch(loss: str, micro_batch: int) -> None:
    """Parts of unequal size, some pixels of which do not count; batch norms see no batch."""
    images, targets = (torch.cat(part) for part in zip(*(a_batch(seed) for seed in range(3)), strict=True))
    targets[0, :20] = IGNORE
    whole, parts = (
        learner_of(loss=loss, freeze_batch_norm=True, optimizer="sgd", micro_batch=most) for most in (None, micro_batch)
    )
    told = []
    for learner in (whole, parts):
        prepare_epoch(learner.model, learner.config, 1)
        told.append(learner.step(images[:5], targets[:5], 0.1, 0))
    assert float(told[1][0]) == pytest.approx(float(told[0][0]), rel=1e-5)
    assert torch.allclose(told[1][1], told[0][1], atol=1e-5)
    after = parts.model.state_dict()
    for name, tensor in whole.model.state_dict().items():
        assert torch.allclose(after[name], tensor, atol=1e-5), name


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_optimiser_learns(optimizer: str) -> None:
    learner = learner_of(optimizer=optimizer)
    rate = 0.05 if optimizer == "sgd" else 1e-3
    losses = [float(learner.step(*a_batch(), rate, number)[0]) for number in range(8)]
    assert losses[-1] < 0.9 * losses[0]


def test_bf16_on_the_cpu_is_nearly_fp32() -> None:
    losses = [float(learner_of(precision=name).step(*a_batch(), 1e-3, 0)[0]) for name in ("fp32", "bf16")]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_precision_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, expected in (("sse avx512_bf16", "bf16"), ("amx_bf16", "bf16"), ("avx512f", "fp32")):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda path, flags=flags: f"flags : {flags}\n")
            cpu_has_bf16.cache_clear()
            assert precision_on(CPU, "auto") == expected
    cpu_has_bf16.cache_clear()
    with pytest.raises(UsageError, match="--precision fp16: needs a GPU"):
        precision_on(CPU, "fp16")
    gpu = torch.device("cuda")
    for able, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, able=able: able)
        assert precision_on(gpu, "auto") == expected
    assert not make_scaler(CPU, "auto").is_enabled()


def test_deterministic_algorithms_are_for_the_gpu_and_only_while_it_trains() -> None:
    with executing(quick(deterministic=True), CPU):
        assert not torch.are_deterministic_algorithms_enabled()
    with executing(quick(deterministic=True), torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


class BackendError(RuntimeError):
    __module__ = "torch._dynamo.exc"


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        (
            {"deterministic": True},
            RuntimeError("adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but ..."),
            (UsageError, r"--deterministic: --model pspnet uses adaptive_avg_pool2d_backward_cuda, which cannot be"),
        ),
        (
            {"compile": True},
            BackendError("\nno C++ compiler\nhere"),
            (MachineError, r"^--compile: torch.compile failed \(no C\+\+ compiler\). Leave it out$"),
        ),
        (
            {"compile": True, "deterministic": True, "size": 64, "earlier_sizes": (32,), "epochs": 2},
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ..."),
            (
                UsageError,
                r"^--batch-size 4 at --size 32,64: does not fit into the GPU's memory. Halve --batch-size, or",
            ),
        ),
        ({"compile": True, "deterministic": True}, RuntimeError("out of memory"), (RuntimeError, "out of memory")),
    ],
    ids=["not repeatable", "not compilable", "too large", "another"],
)
def test_faults_of_execution_name_their_option(
    options: dict[str, object], error: RuntimeError, expected: tuple[type[Exception], str]
) -> None:
    with pytest.raises(expected[0], match=expected[1]), executing(quick(**options), CPU):
        raise error


@pytest.mark.long
def test_a_compiled_model_learns_the_same() -> None:
    # Over two images a batch norm has two values to a channel, whose rounding a step blows up.
    plain, compiled = (learner_of(compile=wanted, optimizer="sgd") for wanted in (False, True))
    for one in (plain, compiled):
        one.model.eval()
    for number in range(2):
        losses = [float(one.step(*a_batch(), 1e-3, number)[0]) for one in (plain, compiled)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_compiled_model_is_saved_as_it_was() -> None:
    plain, compiled = learner_of(), learner_of(compile=True)
    assert plain.model.state_dict().keys() == compiled.model.state_dict().keys()
    assert compiled.judged is compiled.model
    assert compiled.forward is not compiled.model
    assert plain.forward is plain.model
