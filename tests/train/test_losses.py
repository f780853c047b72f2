"""Losses against their formulas, and what is not counted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.config import LOSSES
from train.engine.losses import count_pixels, mean_overlaps, segmentation_loss, sizes_of


def some(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((3, 1, 5, 6), generator=generator) * 3
    targets = torch.tensor([0, 128, 255], dtype=torch.uint8)[torch.randint(3, (3, 5, 6), generator=generator)]
    return logits, targets


def brute_force(name: str, logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The loss from counted pixels alone, image by image, as the papers write it."""
    images = [
        (one[0][target != 128], target[target != 128] == 255) for one, target in zip(logits, targets, strict=True)
    ]
    of_label = torch.cat([torch.sigmoid(torch.where(person, one, -one)) for one, person in images])
    if name == "lovasz":
        return sum(lovasz_of_image(one, person) for one, person in images) / len(images)
    if name == "focal":
        return float((-((1 - of_label) ** 2) * of_label.log()).mean())
    loss = float(-of_label.log().mean())
    if name == "bce-dice":
        for one, person in images:
            chance = torch.sigmoid(one)
            dice = (2 * chance[person].sum() + 1) / (chance.sum() + person.sum() + 1)
            loss += float(1 - dice) / len(images)
    return loss


def lovasz_of_image(logits: torch.Tensor, person: torch.Tensor) -> float:
    """Definition 3 of Berman et al.: each error times the growth of the Jaccard loss as its pixel joins the wrong."""

    def jaccard_loss(wrong: set[int]) -> float:
        people = set(torch.nonzero(person)[:, 0].tolist())
        return len(wrong) / len(people | wrong) if people | wrong else 0.0

    errors = [1 - float(one) * (1 if own else -1) for one, own in zip(logits, person, strict=True)]
    order = sorted(range(len(errors)), key=lambda pixel: -errors[pixel])
    growth = [jaccard_loss(set(order[: k + 1])) - jaccard_loss(set(order[:k])) for k in range(len(order))]
    return sum(max(0.0, errors[pixel]) * step for pixel, step in zip(order, growth, strict=True))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_a_loss_is_its_formula(name: str, seed: int) -> None:
    logits, targets = some(seed)
    targets[0][targets[0] == 255] = 0  # an image without a person
    expected = brute_force(name, logits, targets)
    assert float(segmentation_loss(name, logits, targets)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_is_that_of_finite_differences(name: str) -> None:
    logits, targets = some(7)
    logits.requires_grad_()
    segmentation_loss(name, logits, targets).backward()
    assert logits.grad is not None
    for place in [(0, 0, 1, 1), (1, 0, 4, 5), (2, 0, 0, 3)]:
        moved = [logits.detach().clone() for _ in range(2)]
        for one, step in zip(moved, (-1e-2, 1e-2), strict=True):
            one[place] += step
        low, high = (float(segmentation_loss(name, one, targets)) for one in moved)
        assert float(logits.grad[place]) == pytest.approx((high - low) / 2e-2, abs=2e-4)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(LOSSES), there=st.sampled_from([99.0, -1e30, float("inf")]))
def test_pixels_that_do_not_count_change_neither_loss_nor_gradient(seed: int, name: str, there: float) -> None:
    logits, targets = some(seed)
    ignored = (targets == 128)[:, None]
    found = []
    for one in (logits, torch.where(ignored, there, logits)):
        one.requires_grad_()
        loss = segmentation_loss(name, one, targets)
        loss.backward()
        assert one.grad is not None
        found.append((float(loss.detach()), one.grad))
    assert not found[0][1][ignored].any()
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


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


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_a_batch_in_parts_add_up_to_its_loss(name: str) -> None:
    logits, targets = some(7)
    targets[0, :2] = 128  # the parts count pixels in another ratio than images
    person, whole = ("person",), sizes_of(targets, ("person",))
    losses = [
        segmentation_loss(name, logits[part], targets[part], person, sizes_of(targets[part], person) / whole)
        for part in (slice(0, 1), slice(1, 3))
    ]
    assert sum(map(float, losses)) == pytest.approx(float(segmentation_loss(name, logits, targets)), rel=1e-5)
