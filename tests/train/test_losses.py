"""Losses against their formulas, and what is not counted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.config import LOSSES
from train.losses import count_pixels, mean_overlaps, segmentation_loss


def some(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((3, 1, 5, 6), generator=generator) * 3
    targets = torch.tensor([0, 128, 255], dtype=torch.uint8)[torch.randint(3, (3, 5, 6), generator=generator)]
    return logits, targets


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula(name: str) -> None:
    logits, targets = some(0)
    chances, labels, counted = torch.sigmoid(logits[:, 0]), targets == 255, targets != 128
    of_label = torch.where(labels, chances, 1 - chances)[counted]
    expected = -of_label.log().mean()
    if name == "bce-dice":
        dices = []
        for chance, label, counts in zip(chances, labels, counted, strict=True):
            shared = (chance * label)[counts].sum()
            dices.append((2 * shared + 1) / (chance[counts].sum() + label[counts].sum() + 1))
        expected += 1 - torch.stack(dices).mean()
    assert float(segmentation_loss(name, logits, targets)) == pytest.approx(float(expected), rel=1e-5)


@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(LOSSES))
def test_pixels_that_do_not_count_get_no_gradient_and_change_nothing(seed: int, name: str) -> None:
    logits, targets = some(seed)
    logits.requires_grad_()
    loss = segmentation_loss(name, logits, targets)
    loss.backward()
    ignored = (targets == 128)[:, None]
    assert logits.grad is not None
    assert not logits.grad[ignored].any()
    changed = torch.where(ignored, 99.0, logits.detach())
    assert float(segmentation_loss(name, changed, targets)) == pytest.approx(float(loss.detach()), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_a_counted_pixel_costs_nothing(name: str) -> None:
    logits, targets = some(1)
    assert float(segmentation_loss(name, logits, torch.full_like(targets, 128))) == 0.0


def test_counts_and_means() -> None:
    targets = torch.tensor([[[255, 255, 0, 128]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]], dtype=torch.uint8)
    logits = torch.tensor([[[[1.0, -1.0, 1.0, 1.0]]], [[[-1.0, -1, -1, -1]]], [[[-1.0, -1, -1, 1]]]])
    counts = count_pixels(logits, targets)
    assert counts.tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 0]]
    assert mean_overlaps(counts) == (pytest.approx((1 / 3 + 0) / 2), pytest.approx((1 / 2 + 0) / 2))
    assert mean_overlaps(counts[1:2]) == (None, None)
