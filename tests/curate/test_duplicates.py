"""Near duplicates: which copies are found, which likenesses are not copies, and what is returned of crowds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from curate.choosing import duplicates
from curate.choosing.duplicates import (
    BAND_BITS,
    HASH_BITS,
    HASH_BYTES,
    MOST_FLIPS,
    are_near,
    near_pairs,
    signature,
)
from curate.images import examine_image
from tools.sample import SEED
from tools.sample.plan import make_plan

Signatures = NDArray[np.uint8]
Change = Callable[[Image.Image], Image.Image]


def scene(seed: int, person: int | None = None, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A drawn backdrop of clouds and boxes, and one of nine people in front of it, a fifth of the image."""
    rng = np.random.default_rng(seed)
    clouds = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(clouds)
    for _ in range(12):
        left, top = rng.integers(0, size[0]), rng.integers(0, size[1])
        width, height = rng.integers(10, 80, 2)
        pen.rectangle((left, top, left + width, top + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    stands = seed if person is None else person
    middle, shade = size[0] * (2 + stands % 3) // 6, (10, 130, 250)[stands // 3 % 3]
    pen.rectangle((middle - 45, 110, middle + 45, size[1]), fill=(shade, shade, shade // 2))
    pen.ellipse((middle - 30, 30, middle + 30, 110), fill=(250 - shade, 220 - shade // 2, 120))
    return clouds


def cropped(left: float, top: float, right: float, bottom: float) -> Change:
    """A change that takes shares of the sides away."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (round(width * left), round(height * top), width - round(width * right), height - round(height * bottom))
        )

    return change


def saved(image: Image.Image, path: Path, **options: int) -> Signatures:
    """The signature of an image as it stands in a file."""
    image.save(path, **options)
    return signature(examine_image(path, (image.height, image.width)))


def noise(seed: int, count: int, spread: float = 4) -> Signatures:
    """Signatures of one picture with other noise each."""
    rng = np.random.default_rng(seed)
    picture = np.asarray(scene(seed).convert("L").resize((32, 32)), np.float64)
    noisy = picture + rng.normal(0, spread, (count, 32, 32))
    return np.stack([signature(np.clip(one, 0, 255).astype(np.uint8)) for one in noisy])


def hashes_of(signatures: Signatures) -> list[int]:
    """The hashes as numbers."""
    return [int.from_bytes(row[:HASH_BYTES].tobytes(), "little") for row in signatures]


def share_a_band(one: int, other: int) -> bool:
    """Whether two hashes agree in all bits of a band, looked at bit by bit."""
    differs = [(one ^ other) >> bit & 1 for bit in range(HASH_BITS)]
    for stride in duplicates.STRIDES:
        turned = [differs[place * stride % HASH_BITS] for place in range(HASH_BITS)]
        if any(not any(turned[start : start + BAND_BITS]) for start in range(0, HASH_BITS, BAND_BITS)):
            return True
    return False


def brute_force(signatures: Signatures) -> list[list[int]]:
    """What `near_pairs` promises where there is no crowd, image by image."""
    hashes, rows = hashes_of(signatures), [row.tobytes() for row in signatures]
    found = []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            if rows.index(rows[i]) < i:
                continue
            alike = hashes[i] and hashes[j] and (hashes[i] ^ hashes[j]).bit_count() <= MOST_FLIPS
            pictures = signatures[i : i + 1, HASH_BYTES:], signatures[j : j + 1, HASH_BYTES:]
            if rows[i] == rows[j] or (alike and share_a_band(hashes[i], hashes[j]) and are_near(*pictures)[0]):
                found.append([i, j])
    return found


def kept_in_order(pairs: NDArray[np.int64], total: int) -> list[int]:
    """The images left when each that is near an earlier kept one goes."""
    kept = np.ones(total, np.bool_)
    for i, j in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))].tolist():
        kept[j] &= not kept[i]
    return np.flatnonzero(kept).tolist()


CHANGES: dict[str, tuple[str, dict[str, int], Change]] = {
    "quality 30": ("jpg", {"quality": 30}, lambda image: image),
    "quality 50": ("jpg", {"quality": 50}, lambda image: image),
    "quality 95": ("jpg", {"quality": 95}, lambda image: image),
    "png": ("png", {}, lambda image: image),
    "webp": ("webp", {"quality": 60}, lambda image: image),
    "alpha": ("png", {}, lambda image: image.convert("RGBA")),
    "palette": ("png", {}, lambda image: image.quantize(128, Image.Quantize.FASTOCTREE)),
    "grey": ("jpg", {}, lambda image: image.convert("L")),
    "x0.3": ("jpg", {}, lambda image: image.resize((96, 72))),
    "x0.5": ("png", {}, lambda image: image.resize((160, 120), Image.Resampling.BILINEAR)),
    "x2": ("jpg", {}, lambda image: image.resize((640, 480))),
    "brighter": ("jpg", {}, lambda image: ImageEnhance.Brightness(image).enhance(1.15)),
    "darker": ("jpg", {}, lambda image: ImageEnhance.Brightness(image).enhance(0.8)),
    "contrast": ("jpg", {}, lambda image: ImageEnhance.Contrast(image).enhance(1.15)),
    "2 % off each side": ("jpg", {}, cropped(0.02, 0.02, 0.02, 0.02)),
    "3 % off the left": ("jpg", {}, cropped(0.03, 0, 0, 0)),
    "3 % off top and right": ("jpg", {}, cropped(0, 0.03, 0.03, 0)),
    "cropped, smaller, worse": (
        "jpg",
        {"quality": 60},
        lambda image: cropped(0, 0.02, 0.02, 0.01)(image).resize((200, 150)),
    ),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Signatures:
    """signatures of 24 scenes saved as JPEG."""
    folder = tmp_path_factory.mktemp("scenes")
    return np.stack([saved(scene(seed), folder / "a.jpg", quality=90) for seed in range(24)])


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found_and_nothing_else(tmp_path: Path, originals: Signatures, change: str) -> None:
    suffix, options, changed = CHANGES[change]
    copies = np.stack([saved(changed(scene(seed)), tmp_path / f"a.{suffix}", **options) for seed in range(24)])
    pairs = near_pairs(np.concatenate([originals, copies]))
    assert pairs.tolist() == [[seed, seed + 24] for seed in range(24)]


@pytest.mark.parametrize(
    "changed",
    [ImageOps.mirror, ImageOps.flip, lambda image: image.rotate(90, expand=True), cropped(0.2, 0.2, 0.2, 0.2)],
    ids=["mirrored", "upside down", "turned", "a detail"],
)
def test_other_pictures_of_one_scene_are_no_copies(tmp_path: Path, originals: Signatures, changed: Change) -> None:
    others = np.stack([saved(changed(scene(seed)), tmp_path / "a.jpg") for seed in range(24)])
    assert near_pairs(np.concatenate([originals, others])).tolist() == []


def test_another_person_before_the_same_backdrop_is_no_copy(tmp_path: Path) -> None:
    stand = [saved(scene(seed, person), tmp_path / "a.jpg") for seed in range(10) for person in range(9)]
    assert near_pairs(np.stack(stand)).tolist() == []


def test_skies_and_studios_are_no_copies(tmp_path: Path) -> None:
    """A soft gradient behind something small: where that stands decides."""
    sky = np.linspace(120, 230, 240)[:, None, None].repeat(320, 1).repeat(3, 2).astype(np.uint8)
    found = []
    for left in range(40, 240, 32):
        for top in range(30, 180, 32):
            picture = Image.fromarray(sky)
            ImageDraw.Draw(picture).ellipse((left, top, left + 50, top + 25), fill=(40, 30, 20))
            found.append(saved(picture, tmp_path / "a.jpg"))
    assert near_pairs(np.stack(found)).tolist() == []


def test_an_image_without_a_picture_is_near_its_equals_only(tmp_path: Path) -> None:
    white, grey = Image.new("RGB", (60, 40), "white"), Image.new("RGB", (60, 40), (90, 90, 90))
    stained = np.full((40, 60, 3), 90, np.uint8)
    stained[:3, :3] = 95
    found = [
        saved(white, tmp_path / "a.png"),
        saved(grey, tmp_path / "b.png"),
        saved(white.resize((30, 20)), tmp_path / "c.jpg"),
        saved(Image.fromarray(stained), tmp_path / "d.png"),
        saved(scene(1), tmp_path / "e.png"),
    ]
    assert hashes_of(np.stack(found))[:4] == [0, 0, 0, 0]
    assert near_pairs(np.stack(found)).tolist() == [[0, 2]]


def test_a_faint_picture_has_copies_too(tmp_path: Path) -> None:
    faint = [
        Image.fromarray((128 + (np.asarray(scene(seed), float) - 128) / 25).astype(np.uint8)) for seed in range(20)
    ]
    found = [saved(picture, tmp_path / "a.jpg", quality=quality) for quality in (90, 75) for picture in faint]
    assert near_pairs(np.stack(found)).tolist() == [[seed, seed + 20] for seed in range(20)]


def test_a_signature_is_short_and_its_thumbnail_unchanged() -> None:
    thumbnail = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    thumbnail.setflags(write=False)
    found = signature(thumbnail)
    assert (found.shape, found.dtype) == ((duplicates.SIGNATURE_BYTES,), np.uint8)
    assert found.size <= 300
    assert (found == signature(thumbnail.copy())).all()
    assert abs(found[HASH_BYTES:].mean() - 128) < 1
    assert hashes_of(found[None])[0] >> HASH_BITS == 1


def flipped(one: Signatures, bits: NDArray[np.int64]) -> Signatures:
    """A signature with bits of its hash flipped."""
    word = hashes_of(one[None])[0] ^ sum(1 << int(bit) for bit in bits)
    return np.concatenate([np.frombuffer(word.to_bytes(HASH_BYTES, "little"), np.uint8), one[HASH_BYTES:]])


def adversarial(seed: int) -> Signatures:
    """Signatures at the limits: few and many bits flipped, one hash with other pictures, equal ones, plain ones."""
    rng = np.random.default_rng(seed)
    found = [*noise(seed, 6), *noise(seed + 100, 4, spread=25)]
    for count in (1, 4, 5, MOST_FLIPS - 1, MOST_FLIPS, MOST_FLIPS, MOST_FLIPS + 1, 30):
        found.append(flipped(found[0], rng.choice(HASH_BITS, count, replace=False)))
    found += [np.concatenate([found[0][:HASH_BYTES], rng.integers(0, 256, 256, np.uint8)]) for _ in range(4)]
    found += [signature(np.full((32, 32), level, np.uint8)) for level in (0, 0, 9, 255)]
    found += [signature(rng.integers(0, 256, (32, 32), np.uint8)) for _ in range(6)]
    found += [found[int(index)] for index in rng.integers(0, len(found), 12)]
    return np.stack(found)[rng.permutation(len(found))]


@pytest.mark.parametrize("seed", range(8))
def test_pairs_are_those_of_a_double_loop(seed: int) -> None:
    signatures = adversarial(seed)
    assert near_pairs(signatures).tolist() == brute_force(signatures)


def test_pairs_of_random_hashes_are_those_of_a_double_loop() -> None:
    rng = np.random.default_rng(0)
    pictures = noise(3, 60)
    signatures = np.stack([flipped(one, rng.choice(HASH_BITS, rng.integers(0, 20), replace=False)) for one in pictures])
    found = near_pairs(signatures)
    assert found.tolist() == brute_force(signatures)
    assert len(found) > 100


def test_what_is_near_is_what_the_limits_say() -> None:
    """The comparison written out for one pair, by numpy's own least squares."""
    rng = np.random.default_rng(5)
    thumbnails = [np.asarray(scene(seed).convert("L").resize((32, 32))) for seed in range(40)]
    base = np.stack([signature(thumbnail)[HASH_BYTES:] for thumbnail in thumbnails])
    pictures = base.reshape(-1, 16, 16).astype(np.int64)
    moved, grain = rng.random((40, 1, 1)), rng.uniform(0, 9, (40, 1, 1))
    other = pictures * (1 - moved) + np.roll(pictures, 1, axis=2) * moved + grain * rng.normal(0, 1, pictures.shape)
    other = np.clip(np.round(other), 0, 255).astype(np.uint8).reshape(40, 256)
    expected = [near_by_hand(one, two) for one, two in zip(base, other, strict=True)]
    assert are_near(base, other).tolist() == expected
    assert 5 < sum(expected) < 35


def near_by_hand(one: Signatures, other: Signatures) -> bool:
    """`are_near` of one pair."""
    a, b = ((row.reshape(16, 16).astype(float) - 128) / duplicates.LEVELS for row in (one, other))
    mean, difference = (a + b) / 2, a - b
    down, right = np.gradient(mean)
    place = np.linspace(-1, 1, 16)
    parts = np.stack([down, right, down * place[:, None], right * place]).reshape(4, -1).T
    steady = np.vstack([parts, 0.1 * np.eye(4)])
    amounts = np.linalg.lstsq(steady, np.append(difference.ravel(), np.zeros(4)), rcond=None)[0]
    left = difference - (parts @ amounts).reshape(16, 16)
    return small_by_hand(difference, mean) or ((difference**2).mean() <= duplicates.CLOSE and small_by_hand(left, mean))


def small_by_hand(difference: NDArray[np.float64], mean: NDArray[np.float64]) -> bool:
    """Whether a difference is within both limits."""
    blocks = [(difference[i : i + 4, j : j + 4] ** 2).mean() for i in range(0, 16, 4) for j in range(0, 16, 4)]
    details = [(one - blurred_by_hand(one)) for one in (difference, mean)]
    return max(blocks) <= duplicates.LOCAL and (details[0] ** 2).sum() <= duplicates.DETAIL * (details[1] ** 2).sum()


def blurred_by_hand(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value and its neighbours, weighted 1 2 1."""
    weights = {-1: 0.25, 0: 0.5, 1: 0.25}
    return sum(
        weights[i] * weights[j] * values[np.clip(np.arange(16) + i, 0, 15)][:, np.clip(np.arange(16) + j, 0, 15)]
        for i in weights
        for j in weights
    )


def test_images_that_are_added_change_no_earlier_pair_and_inputs_stay() -> None:
    signatures = adversarial(1)
    signatures.setflags(write=False)
    pairs = near_pairs(signatures)
    for count in (0, 1, 7, 30):
        assert near_pairs(signatures[:count]).tolist() == pairs[pairs[:, 1] < count].tolist()
    assert (near_pairs(signatures) == pairs).all()


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_have_no_pairs(count: int) -> None:
    pairs = near_pairs(noise(0, 1)[:count])
    assert (pairs.shape, pairs.dtype) == ((0, 2), np.int64)


def test_thousands_of_equal_images_give_a_pair_each() -> None:
    signatures = np.repeat(noise(0, 2, spread=1), 5000, axis=0)
    pairs = near_pairs(signatures)
    assert pairs[:, 0].tolist() == [0] * 9999 + [5000] * 4999
    assert [0, 5000] in pairs.tolist()


def groups_of(pairs: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """For each image the first one it is connected with by pairs, itself where there is none."""
    first = np.arange(total)
    while (first[pairs[:, 0]] != first[pairs[:, 1]]).any():
        least = first[pairs].min(axis=1)
        for end in pairs.T:
            np.minimum.at(first, end, least)
    return first


def passing(steps: int) -> Signatures:
    """Signatures of frames of a camera that moves past a wide scene by 0.3 px each."""
    wide = scene(7, size=(1600, 240)).convert("L")
    boxes = [(0.3 * step, 0, 0.3 * step + 320, 240) for step in range(steps)]
    views = [wide.resize((32, 32), Image.Resampling.BILINEAR, box) for box in boxes]
    return np.stack([signature(np.asarray(view)) for view in views])


@pytest.mark.parametrize("order", ["one scene", "in passing", "in passing, shuffled"])
def test_of_a_crowd_the_leaders_are_enough(order: str) -> None:
    """Hundreds of nearly the same picture: fewer pairs, all near, in the same group; who goes by them keeps no two."""
    signatures = noise(7, 400) if order == "one scene" else passing(400)
    if order.endswith("shuffled"):
        signatures = signatures[np.random.default_rng(0).permutation(len(signatures))]
    pairs = near_pairs(signatures)
    kept = kept_in_order(pairs, len(signatures))
    assert are_near(signatures[pairs[:, 0], HASH_BYTES:], signatures[pairs[:, 1], HASH_BYTES:]).all()
    assert len(pairs) <= len(signatures) * (duplicates.CROWD + len(kept))
    assert groups_of(pairs, len(signatures)).max() == 0
    assert brute_force(signatures[kept]) == []
    assert len(kept) == 1 if order == "one scene" else 1 < len(kept) < 100


def test_an_image_outside_a_crowd_is_paired_with_all_it_is_near_to() -> None:
    """It comes first; what looks like it has met too many others, which do not, before its turn to meet it."""
    outside, *crowd = noise(7, 90, spread=2)
    base = crowd[0]
    hidden = [flipped(np.concatenate([base[:HASH_BYTES], one[HASH_BYTES:]]), np.arange(20, 24)) for one in crowd[:79]]
    alike = [np.concatenate([base[:HASH_BYTES], one[HASH_BYTES:]]) for one in crowd[79:]]
    outside = flipped(np.concatenate([base[:HASH_BYTES], outside[HASH_BYTES:]]), np.arange(30, 30 + MOST_FLIPS))
    pairs = near_pairs(np.stack([outside, *hidden, *alike]))
    assert pairs[pairs[:, 0] == 0, 1].tolist() == list(range(80, 90))


def test_the_sample_has_the_planted_twins_and_no_others(sample: Path) -> None:
    plan = make_plan(SEED)
    file_of = {spec.key: spec.file for spec in plan}
    files = sorted(file_of.values())
    signatures = []
    for file in files:
        with Image.open(sample / file) as image:
            size_hw = image.height, image.width
        signatures.append(signature(examine_image(sample / file, size_hw)))
    found = {frozenset((files[i], files[j])) for i, j in near_pairs(np.stack(signatures))}
    assert found == {frozenset((spec.file, file_of[spec.twin_of])) for spec in plan if spec.twin_of}


@pytest.mark.real
def test_photographs_have_their_copies_and_no_others(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "coco-mini" / "val2017").glob("*.jpg"))[:60]
    found: list[list[Signatures]] = [[], [], []]
    for file in files:
        with Image.open(file) as image:
            photo = image.convert("RGB")
        found[0].append(signature(examine_image(file, (photo.height, photo.width))))
        smaller = photo.resize((photo.width * 2 // 5, photo.height * 2 // 5))
        found[1].append(saved(smaller, tmp_path / "a.jpg", quality=40))
        found[2].append(saved(cropped(0.02, 0.01, 0, 0.02)(photo), tmp_path / "a.png"))
    groups = groups_of(near_pairs(np.concatenate([*found])), 3 * len(files)).reshape(3, -1)
    alone, own = np.arange(3 * len(files)).reshape(3, -1), np.arange(len(files))
    assert ((groups == own) | (groups == alone)).all()
    assert (groups == own).mean(axis=1).tolist() == [1, 1, pytest.approx(1, abs=0.02)]


@pytest.mark.long
def test_a_hundred_thousand_are_searched_in_seconds() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 1, (100_000, 6, 6)).astype(np.float32)
    weights = np.clip(1 - np.abs(np.linspace(0, 5, 32)[:, None] - np.arange(6)), 0, 1)
    pictures = np.clip(weights @ coarse @ weights.T * 50 + 128 + rng.normal(0, 9, (100_000, 32, 32)), 0, 255)
    signatures = np.stack([signature(picture) for picture in pictures.astype(np.uint8)])
    started = time.process_time()
    near_pairs(signatures)
    assert time.process_time() - started < 30
