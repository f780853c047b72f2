"""What an epoch shows, and how images come to training size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dataset import Dataset
from curate.threads import unwatched
from train.data.batches import Draw, batch_bounds, batches, draw_epoch, to_input
from train.data.cache import open_cache
from train.data.targets import resize_target


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.25]), min_size=1, max_size=60),
    images=st.integers(1, 200),
    seed=st.integers(0, 10**6),
)
def test_images_are_drawn_as_often_as_they_weigh(weights: list[float], images: int, seed: int) -> None:
    if not any(weights):
        weights = [*weights, 1.0]
    drawn = draw_epoch(np.array(weights), images, np.random.default_rng(seed))
    assert len(drawn) == images
    for row, count in enumerate(np.bincount(drawn, minlength=len(weights))):
        assert abs(count - images * weights[row] / sum(weights)) < 1 + 1e-9
        assert weights[row] or not count


@pytest.mark.parametrize("count", [1, 2, 17, 1000])
def test_equal_weights_show_each_image_once(count: int) -> None:
    for seed in range(20):
        drawn = draw_epoch(np.full(count, 0.3), count, np.random.default_rng(seed))
        assert sorted(drawn) == list(range(count))


def test_the_order_differs_between_epochs() -> None:
    orders = {tuple(draw_epoch(np.ones(20), 20, np.random.default_rng([0, epoch]))) for epoch in range(5)}
    assert len(orders) == 5


@settings(derandomize=True, max_examples=60, deadline=None)
@given(images=st.integers(1, 300), size=st.integers(1, 40))
def test_batches_cover_everything_and_are_even(images: int, size: int) -> None:
    bounds = batch_bounds(images, size)
    lengths = [end - begin for begin, end in bounds]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == images
    assert sum(lengths) == images
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= (3 if size == 2 and images % 2 else size)
    assert min(lengths) > 1 or size == 1 or images == 1


def test_a_batch_holds_what_was_drawn(drawn: Dataset) -> None:
    cache = open_cache(drawn, 32, unwatched)
    draws = [Draw(row, "none", (0,), 0) for row in (3, 1, 1, 7, 0)]
    made = list(batches(cache, [draws[:2], draws[2:]], torch.device("cpu")))
    assert [len(images) for images, _ in made] == [2, 3]
    images, targets = (torch.cat([batch[part] for batch in made]) for part in (0, 1))
    for place, draw in enumerate(draws):
        assert np.array_equal(images[place].permute(1, 2, 0).numpy(), cache.images[draw.row])
        assert np.array_equal(targets[place].numpy(), cache.targets[draw.row])


def test_the_other_image_is_mixed_in(drawn: Dataset) -> None:
    cache = open_cache(drawn, 32, unwatched)
    one, other = (next(batches(cache, [[Draw(3, "occlusion", (0,), row)]], torch.device("cpu")))[0] for row in (3, 1))
    assert not torch.equal(one, other)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(8, 90), width=st.integers(8, 90))
def test_what_is_not_counted_stays_so_at_any_size(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.choice(np.array([0, 255], np.uint8), (height, width))
    row, column = int(rng.integers(height)), int(rng.integers(width))
    target[row, column] = 128
    resized = resize_target(target, 32)
    assert set(np.unique(resized)) <= {0, 128, 255}
    # Every output pixel that the ignored one covers, by exact arithmetic on the shrinking axes.
    if height >= 32 and width >= 32:
        rows = range(row * 32 // height, -(-(row + 1) * 32 // height))
        columns = range(column * 32 // width, -(-(column + 1) * 32 // width))
        shares = [[overlap(i, row, height) * overlap(j, column, width) for j in columns] for i in rows]
        for i, own in zip(rows, shares, strict=True):
            for j, share in zip(columns, own, strict=True):
                assert resized[i, j] == 128 or share < 2e-4


def overlap(small: int, large: int, size: int, side: int = 32) -> float:
    """Share of output pixel `small` that input pixel `large` covers, along one axis of `size` px."""
    begin, end = max(small * size / side, large), min((small + 1) * size / side, large + 1)
    return max(0.0, end - begin) * side / size


def test_a_resized_target_keeps_its_shape() -> None:
    target = np.zeros((96, 128), np.uint8)
    target[24:72, 32:96] = 255
    resized = resize_target(target, 32)
    assert (resized[8:24, 8:24] == 255).all()
    assert int((resized == 255).sum()) == 256


def test_an_empty_target_stays_empty() -> None:
    assert not resize_target(np.zeros((50, 70), np.uint8), 32).any()


def test_input_is_normalised() -> None:
    images = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    made = to_input(images, torch.device("cpu"))
    assert made.dtype == torch.float32
    assert made.shape == images.shape
    assert made[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
