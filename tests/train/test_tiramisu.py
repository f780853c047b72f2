"""FC-DenseNet against the paper's tables and against its description, written once more."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from train.models.tiramisu import SIZES, FCDenseNet

CAMVID_CLASSES = 11


def network(name: str, classes: int = 1) -> FCDenseNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FCDenseNet(*SIZES[name], classes=classes)


def channels(model: FCDenseNet) -> list[int]:
    """Feature maps after the first convolution and after each dense block, its input beside it: table 2's `m`."""
    seen: list[int] = []
    model.first.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    for block in (*model.down, model.bottleneck, *model.up):
        block.register_forward_hook(lambda module, inputs, new: seen.append(inputs[0].shape[1] + new.shape[1]))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 32, 32))
    return seen


def test_the_channels_of_tiramisu103_are_those_of_table_2() -> None:
    # The paper prints 578 after the third block that goes up: 160 + 304 + 7 * 16 is 576, and only so does 384 follow.
    down, up = [48, 112, 192, 304, 464, 656], [1088, 816, 576, 384, 256]
    assert channels(network("tiramisu103")) == [*down, 896, *up]


@pytest.mark.parametrize(("name", "layers"), [("tiramisu56", 56), ("tiramisu67", 67), ("tiramisu103", 103)])
def test_the_number_of_a_tiramisu_is_that_of_its_convolutions(name: str, layers: int) -> None:
    assert sum(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in network(name).modules()) == layers


@pytest.mark.parametrize(
    ("name", "trained", "millions"), [("tiramisu67", 3_463_243, 3.5), ("tiramisu103", 9_322_091, 9.4)]
)
def test_the_parameters_are_those_of_table_3(name: str, trained: int, millions: float) -> None:
    """The authors' code counts the means and variances of batch normalisation among the parameters."""
    model = network(name, CAMVID_CLASSES)
    assert sum(tensor.numel() for tensor in model.parameters()) == trained
    averages = sum(2 * each.num_features for each in model.modules() if isinstance(each, nn.BatchNorm2d))
    assert round((trained + averages) / 1e6, 1) == millions


def test_the_smallest_has_what_its_description_makes_it() -> None:
    # Table 3 prints 1.5 million; four layers of growth 12 in each of eleven blocks make 1.4, in the authors' code too.
    assert sum(tensor.numel() for tensor in network("tiramisu56", CAMVID_CLASSES).parameters()) == 1_376_795


def described(model: FCDenseNet, images: Tensor) -> Tensor:
    """A forward pass as the authors' code makes it: one stack that grows, and a list of what to upsample."""
    stack, skips = model.first(images), []
    for block, transition in zip(model.down, model.transitions_down, strict=True):
        for layer in block.layers:  # type: ignore[union-attr]
            stack = torch.cat([stack, layer(stack)], 1)
        skips.append(stack)
        stack = transition(stack)
    upsampled = []
    for layer in model.bottleneck.layers:
        upsampled.append(layer(stack))
        stack = torch.cat([stack, upsampled[-1]], 1)
    for block, transition in zip(model.up, model.transitions_up, strict=True):
        larger = transition.convolution(torch.cat(upsampled, 1))[:, :, :-1, :-1]  # type: ignore[operator, union-attr]
        stack, upsampled = torch.cat([larger, skips.pop()], 1), []
        for layer in block.layers:  # type: ignore[union-attr]
            upsampled.append(layer(stack))
            stack = torch.cat([stack, upsampled[-1]], 1)
    return model.score(stack)  # type: ignore[no-any-return]


def test_it_computes_what_the_paper_describes() -> None:
    model = network("tiramisu56").eval()
    images = torch.randn(2, 3, 32, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(model(images), described(model, images), atol=1e-5)


def test_it_starts_as_he_uniform() -> None:
    convolution = network("tiramisu67").down[0].layers[0][2]  # type: ignore[index, union-attr]
    bound = (6 / (48 * 9)) ** 0.5
    assert 0.99 * bound < float(convolution.weight.detach().abs().max()) <= bound
    assert not convolution.bias.any()


def test_it_drops_out_in_training_alone() -> None:
    model = network("tiramisu56").eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    drops = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [drop.p for drop in drops] == [0.2] * (56 - 2 - 5)  # all but the first, the last and the transitions up
    with torch.no_grad():
        assert torch.equal(model(images), model(images))
        for drop in drops:
            drop.train()
        assert not torch.equal(model(images), model(images))
