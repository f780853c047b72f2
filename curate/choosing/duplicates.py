"""Which photographs are nearly the same picture: saved again, resized, brightened, converted or cropped a little.

A signature holds a picture twice. Its hash, the signs of 60 low frequencies of a cosine transform (pHash: Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1), finds look-alikes fast: a
copy differs in few bits, so it agrees in one of the bands the bits are cut into (Gionis, Indyk and Motwani,
"Similarity Search in High Dimensions via Hashing", 1999). Its picture, 16 x 16 values of mean 0 and variance 1, then
decides: a hash alone takes one sky, one studio or one street for another.

Two pictures are compared as they are and, since a crop of 3 % already moves every edge, after the small shift and
stretch that brings them closest. They are near where no block of them differs much (LOCAL: another person before one
backdrop is another picture) and most of their details agree (DETAIL: so they do not in two skies or portraits).

The limits were set on 1,118 photographs and 22,360 cut-outs of them. 99 of 100 copies cropped by up to 3 % on each
side lie below 0.24 (LOCAL) and 0.25 (DETAIL), 95 of 100 cropped by 3 % on every side are near, and all that are only
saved again, resized or a little brighter. Of the photographs' own 624,403 pairs the nearest that are no copies differ
in 0.89 of their details; of 250 million pairs of cut-outs none is near. What can be mistaken for a copy is plainer
than a photograph: two even areas with one edge between them.

Mirrored and turned copies, those cropped by more, and those with a frame are other pictures here. Colour is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
"""(P, 2) indices i < j of two images, sorted."""
Bits = NDArray[np.uint64]
"""(N,) hashes."""
Stack = NDArray[np.float32]
"""(P, H, W) pictures."""

NO_PAIRS: Pairs = np.zeros((0, 2), np.int64)

PICTURE_PX = 16
HASH_BYTES = 8
SIGNATURE_BYTES = HASH_BYTES + PICTURE_PX**2

FLAT = 1.0
"""Grey levels. A thumbnail of a lower standard deviation shows no picture: only an equal one is its copy."""
LEVELS = 40
"""Steps of a stored picture per standard deviation, so that uint8 reaches 3.2 of them to either side."""

HASH_BITS = 60
BAND_BITS = 12
STRIDES = (1, 7, 11, 13, 17, 19)
"""Each orders the bits anew, and each order is cut into 5 bands. 30 bands of 12 bits find all copies cropped by up to
3 % on each side, and 99 of 100 cropped by 3 % on every side, with 600 hashes compared per image among 100,000."""
MOST_FLIPS = 16
"""Bits in which look-alikes differ at most; only 1 pair in 3,000 of other photographs does not differ in more."""

BLOCK = 4
LOCAL = 0.3
"""Mean square that may differ in any block of BLOCK x BLOCK values, where the whole picture has the variance 1."""
DETAIL = 0.35
"""Share of the variance of the details that may differ."""

CLOSE = 0.4
"""Mean square difference of whole pictures above which registration is not tried."""

CROWD = 64
"""Look-alikes before it, in one band, from which on an image stands in a crowd and is not compared with each."""
_CHUNK = 4096


def _halving() -> NDArray[np.float64]:
    """(16, 32) weights that halve a side with a triangle filter: a plain mean of two would alias, and so move edges."""
    weights = np.zeros((PICTURE_PX, 2 * PICTURE_PX))
    for row in range(PICTURE_PX):
        for offset, weight in zip(range(-1, 3), (1, 3, 3, 1), strict=True):
            weights[row, min(max(2 * row + offset, 0), 2 * PICTURE_PX - 1)] += weight / 8
    return weights


def _lowest_frequencies() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(HASH_BITS,) vertical and horizontal frequencies of the hash, lowest first, without the mean."""
    side = np.arange(PICTURE_PX)
    vertical, horizontal = (axis.ravel() for axis in np.meshgrid(side, side, indexing="ij"))
    order = np.lexsort((horizontal, vertical, vertical**2 + horizontal**2))[1 : HASH_BITS + 1]
    return vertical[order], horizontal[order]


_HALVING = _halving()
_COSINES = np.cos(np.pi * np.outer(np.arange(PICTURE_PX), 2 * np.arange(PICTURE_PX) + 1) / (2 * PICTURE_PX))
_FREQUENCIES = _lowest_frequencies()
_SIGN_BITS = np.uint64(1) << np.arange(HASH_BITS, dtype=np.uint64)
_PICTURED = np.uint64(1) << np.uint64(HASH_BITS)
"""The bit of a hash that says that there is a picture, so that no hash of one is 0."""


def signature(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(SIGNATURE_BYTES,) uint8 of a thumbnail by `images.examine_image`, (32, 32) uint8: its hash, then its picture.

    A thumbnail without a picture (see FLAT) has the hash 0 and its own grey levels in place of the picture.
    """
    small = _HALVING @ thumbnail @ _HALVING.T
    spread = small.std()
    if spread < FLAT:
        return np.concatenate([np.zeros(HASH_BYTES, np.uint8), np.round(small).astype(np.uint8).ravel()])
    scaled = (small - small.mean()) / spread
    # Not compared with 0: a symmetric picture has frequencies of nothing but rounding errors.
    positive = (_COSINES @ scaled @ _COSINES.T)[_FREQUENCIES] > 1e-6
    word = np.array([_SIGN_BITS[positive].sum() | _PICTURED], "<u8")
    picture = np.clip(np.round(128 + LEVELS * scaled), 0, 255).astype(np.uint8)
    return np.concatenate([word.view(np.uint8), picture.ravel()])


def near_pairs(signatures: NDArray[np.uint8]) -> Pairs:
    """Pairs of nearly the same picture, (P, 2) int64 indices i < j, sorted, each once.

    These are all near pairs (by `are_near`, of signatures that agree in a band and differ in at most MOST_FLIPS bits)
    whose `i` is the first of all images with its signature: 5,000 copies give 4,999 pairs, not 12 million, and whoever
    goes through the images in order, keeping those near none that is kept, keeps the same.

    A crowd of images that are near but not equal is bounded too, by its leaders: the images near no leader before
    them, taken in order. Of an image in it (see CROWD) the pairs with every leader, and with every image that is in no
    crowd, are there, the others may not be.

    Args:
        signatures: (N, SIGNATURE_BYTES), by `signature`; N may be 0.
    """
    firsts, number = _firsts(signatures)
    distinct = signatures if len(firsts) == len(signatures) else signatures[firsts]
    hashes: Bits = np.ascontiguousarray(distinct[:, :HASH_BYTES]).view("<u8").ravel().astype(np.uint64)
    pictures = distinct[:, HASH_BYTES:]
    crowded = np.zeros(len(hashes), np.bool_)
    pairs = [NO_PAIRS, *(_confirmed(found, pictures) for found in _lookalikes(hashes, crowded))]
    if crowded.any():
        again = _lookalikes(hashes, np.zeros_like(crowded))  # of a million images they are too many to keep
        partners = [found[crowded[found[:, 1]]].ravel() for found in again]
        members = np.unique(np.concatenate([*partners, np.flatnonzero(crowded)]))
        pairs += _crowd_pairs(members, hashes, pictures)
        pairs.append(_confirmed(_lookalikes_outside(members, hashes), pictures))
    return _expanded(_sorted(np.concatenate(pairs), len(distinct)), firsts, number)


def are_near(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether pictures of signatures, both (P, 256) uint8, are nearly the same; (P,)."""
    first, second = _unpacked(one), _unpacked(other)
    near = np.zeros(len(first), np.bool_)
    close = np.flatnonzero(_power(first - second) <= CLOSE)
    first, second = first[close], second[close]
    mean, difference = (first + second) / np.float32(2), first - second
    small = _is_small(difference, mean)
    unsure = np.flatnonzero(~small)
    small[unsure] = _is_small(_after_registration(mean[unsure], difference[unsure]), mean[unsure])
    near[close] = small
    return near


def _unpacked(stored: NDArray[np.uint8]) -> Stack:
    """Stored pictures (P, 256) as (P, 16, 16) values of mean 0 and variance 1."""
    return (stored.reshape(-1, PICTURE_PX, PICTURE_PX) - np.float32(128)) / np.float32(LEVELS)


def _is_small(difference: Stack, mean: Stack) -> NDArray[np.bool_]:
    """Whether differences of pictures of this mean, both (P, 16, 16), are within the limits; (P,)."""
    blocks = np.square(difference).reshape(-1, PICTURE_PX // BLOCK, BLOCK, PICTURE_PX // BLOCK, BLOCK).mean((2, 4))
    local: NDArray[np.bool_] = blocks.max((1, 2)) <= LOCAL
    return local & (_power(_details(difference)) <= DETAIL * _power(_details(mean)))


def _power(values: Stack) -> NDArray[np.float32]:
    """(P,) mean squares of (P, H, W) values."""
    power: NDArray[np.float32] = np.square(values).mean((1, 2))
    return power


def _details(pictures: Stack) -> Stack:
    """What a blur over 3 x 3 values takes away, (P, H, W)."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), "edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    blurred: Stack = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    return pictures - blurred


def _after_registration(mean: Stack, difference: Stack) -> Stack:
    """The difference without what a small shift and stretch of the pictures explains, (P, H, W).

    To first order, a shift changes a picture by its gradient, and a stretch by its gradient times the place; taken on
    the mean of both pictures the order is the second (Malis, "Improving Vision-based Control using Efficient
    Second-order Minimization Techniques", 2004). The four amounts are found by least squares.
    """
    place = np.linspace(-1, 1, PICTURE_PX, dtype=np.float32)
    down, right = np.gradient(mean, axis=(1, 2))
    parts = np.stack([down, right, down * place[:, None], right * place], 1).reshape(len(mean), 4, PICTURE_PX**2)
    flat = difference.reshape(len(mean), PICTURE_PX**2, 1)
    normal = parts @ parts.transpose(0, 2, 1) + np.eye(4, dtype=np.float32) * 1e-2  # a plain stripe has one gradient
    amounts = np.linalg.solve(normal, parts @ flat)
    explained = (parts.transpose(0, 2, 1) @ amounts).reshape(mean.shape)
    return np.asarray(difference - explained, np.float32)


def _firsts(signatures: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The index of each distinct signature's first image, ascending; and each image's place in that list."""
    places: dict[bytes, int] = {}
    digests = (blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(signatures))
    number = np.fromiter((places.setdefault(digest, len(places)) for digest in digests), np.int64, len(signatures))
    return np.unique(number, return_index=True)[1], number


def _lookalikes(hashes: Bits, crowded: NDArray[np.bool_]) -> Iterator[Pairs]:
    """Pairs that agree in a band and differ in few bits, band by band.

    Each pair is among those of the first band it agrees in: an image that has met too many there gets no more later.

    Args:
        hashes: (N,).
        crowded: (N,), none at first; those that have too many look-alikes to go through them all are set.
    """
    pictured, seen = np.flatnonzero(hashes), list[np.uint64]()
    for band in bands():
        keys = _band_keys(hashes[pictured], band)
        order = np.argsort(keys, kind="stable")
        images = pictured[order]
        met = np.where(crowded[images], CROWD, 0)
        pairs = images[_within_buckets(hashes[images], _ranks(keys[order]), met)]
        crowded[images[met >= CROWD]] = True
        differing, new = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]], np.ones(len(pairs), np.bool_)
        for bits in seen:
            new &= differing & bits != 0
        yield pairs[new]
        seen.append((np.uint64(1) << band).sum(dtype=np.uint64))


def bands() -> Iterator[NDArray[np.uint64]]:
    """The bits of each band, (BAND_BITS,)."""
    for stride in STRIDES:
        bits = (np.arange(HASH_BITS) * stride % HASH_BITS).astype(np.uint64)
        yield from bits.reshape(-1, BAND_BITS)


def _band_keys(hashes: Bits, band: NDArray[np.uint64]) -> Bits:
    """The bits of one band, as (N,) numbers."""
    keys = np.zeros(len(hashes), np.uint64)
    for bit in band:
        keys = keys << np.uint64(1) | hashes >> bit & np.uint64(1)
    return keys


def _ranks(keys: Bits) -> NDArray[np.int64]:
    """The place of each of the (N,) sorted keys among its equals, from 0."""
    index = np.arange(len(keys))
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
    return index - np.maximum.accumulate(np.where(begins, index, 0))


def _within_buckets(hashes: Bits, ranks: NDArray[np.int64], met: NDArray[np.int64]) -> Pairs:
    """Pairs of places in one bucket that differ in few bits, and not too many of one later place.

    Args:
        hashes: (N,) in the order of the band's keys.
        ranks: (N,) places in the bucket.
        met: (N,) how many look-alikes each has met; counted up here.
    """
    found = [NO_PAIRS]
    rest = np.flatnonzero((ranks > 0) & (met < CROWD))
    step = 1
    while rest.size:
        alike = rest[np.bitwise_count(hashes[rest] ^ hashes[rest - step]) <= MOST_FLIPS]
        met[alike] += 1
        found.append(np.stack([alike - step, alike], axis=1))
        step += 1
        rest = rest[(ranks[rest] >= step) & (met[rest] < CROWD)]
    return np.concatenate(found)


def _confirmed(pairs: Pairs, pictures: NDArray[np.uint8]) -> Pairs:
    """Those of the pairs whose pictures are near."""
    chunks = np.split(pairs, range(_CHUNK, len(pairs), _CHUNK))
    return np.concatenate([chunk[are_near(pictures[chunk[:, 0]], pictures[chunk[:, 1]])] for chunk in chunks])


def _crowd_pairs(members: NDArray[np.int64], hashes: Bits, pictures: NDArray[np.uint8]) -> list[Pairs]:
    """Near pairs of every leader of a crowd with the other members, (M,) indices in order."""
    found = []
    leads = np.ones(len(members), np.bool_)
    for place, leader in enumerate(members):
        if leads[place]:
            alike = np.bitwise_count(hashes[members] ^ hashes[leader]) <= MOST_FLIPS
            alike[place] = False
            others = members[alike]
            pairs = _confirmed(np.stack([np.full(len(others), leader), others], axis=1), pictures)
            leads &= ~np.isin(members, pairs[:, 1])
            found.append(np.sort(pairs, axis=1))
    return found


def _lookalikes_outside(members: NDArray[np.int64], hashes: Bits) -> Pairs:
    """Pairs of a crowd's members with images that are not in it and differ in few bits."""
    others = np.setdiff1d(np.flatnonzero(hashes), members)
    found = [NO_PAIRS]
    for start in range(0, len(members), CROWD):
        some = members[start : start + CROWD]
        alike = np.bitwise_count(hashes[some][:, None] ^ hashes[others]) <= MOST_FLIPS
        member, other = np.nonzero(alike)
        found.append(np.sort(np.stack([some[member], others[other]], axis=1), axis=1))
    return np.concatenate(found)


def _sorted(pairs: Pairs, total: int) -> Pairs:
    """The pairs of `total` images in order, each once."""
    return np.stack(np.divmod(np.unique(pairs[:, 0] * total + pairs[:, 1]), max(total, 1)), axis=1)


def _expanded(pairs: Pairs, firsts: NDArray[np.int64], number: NDArray[np.int64]) -> Pairs:
    """Pairs of distinct signatures as pairs of images, whose first is the first of its signature.

    Args:
        pairs: Places in `firsts`.
        firsts: The first image of each distinct signature.
        number: (N,) each image's place in `firsts`.
    """
    members = np.argsort(number, kind="stable")
    sizes = np.bincount(number, minlength=len(firsts))
    own = np.arange(len(firsts))
    heads = np.concatenate([own, pairs[:, 0], pairs[:, 1]])
    tails = np.concatenate([own, pairs[:, 1], pairs[:, 0]])
    begins = (np.cumsum(sizes) - sizes)[tails]
    ends = np.cumsum(sizes[tails])
    offsets = np.arange(sizes[tails].sum()) - np.repeat(ends - sizes[tails], sizes[tails])
    others = members[np.repeat(begins, sizes[tails]) + offsets]
    found = np.stack([np.repeat(firsts[heads], sizes[tails]), others], axis=1)
    return _sorted(found[found[:, 0] < found[:, 1]], len(number))
