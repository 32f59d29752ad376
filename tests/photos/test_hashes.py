"""The perceptual hashes of photos are those of imagehash, to the bit, and those of a turned photo follow from them."""

from contextlib import suppress
from itertools import islice

import imagehash
import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.curation import synthetic
from depixel.photos import archives, hashes
from depixel.photos.decoding import UnreadableError, decode, square
from depixel.photos.rules import MOST_BYTES


def phash(picture):
    bits = imagehash.phash(picture, hash_size=8).hash
    return np.packbits(bits).view(np.uint64)[0]


def by_imagehash(image):
    """Each cut and flip made and hashed by itself."""
    picture, size = Image.fromarray(image), len(image)
    codes = []
    for x, y, share in hashes.CUTS:
        left, top, side = x * (size - share * size), y * (size - share * size), share * size
        box = (left, top, left + side, top + side)
        codes.append(phash(picture.resize((32, 32), Image.Resampling.BOX, box=box)))
    whole = picture.resize((32, 32), Image.Resampling.BOX)
    for horizontal, vertical in hashes.FLIPS[1:]:
        flipped = whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if horizontal else whole
        codes.append(phash(flipped.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if vertical else flipped))
    return codes


def pictures():
    """Photos, noise, and pictures whose frequencies lie at the median, where rounding decides."""
    random = np.random.default_rng(0)
    yield "photo", square(decode(synthetic.photo(3, 1, 1)).resize((320, 320)), 128)
    for size in (8, 31, 32, 33, 64, 100):
        half = np.zeros((size, size), np.uint8)
        half[: size // 2] = 200
        yield f"noise {size}", random.integers(0, 256, (size, size), np.uint8)
        yield f"black and white {size}", random.integers(0, 2, (size, size), np.uint8) * np.uint8(255)
        yield f"half {size}", half
        yield f"flat {size}", np.full((size, size), 7, np.uint8)
        yield f"ramp {size}", np.repeat(np.arange(size, dtype=np.uint8)[None], size, axis=0)
        yield f"checks {size}", (np.indices((size, size)).sum(axis=0) % 2 * 255).astype(np.uint8)


@pytest.mark.parametrize(("name", "image"), [pytest.param(*each, id=each[0]) for each in pictures()])
def test_hashes_are_those_of_imagehash(name, image):
    assert hashes.hashes(image).tolist() == by_imagehash(image)


def test_hashes_of_real_photos_are_those_of_imagehash(shared):
    compared = 0
    for entry in islice(archives.Entries(shared / "photos"), 0, 5000, 100):
        with suppress(UnreadableError):  # two of the 31 700
            image = square(decode(archives.read(entry, MOST_BYTES)), 64)
            assert hashes.hashes(image).tolist() == by_imagehash(image)
            compared += 1
    assert compared >= 48


@pytest.mark.parametrize("turn", range(8))
def test_turns_of_hashes_are_hashes_of_turns(turn):
    image = square(decode(synthetic.photo(3, 0, 1)), 64)
    expected = hashes.hashes(np.ascontiguousarray(hashes.turned(image, turn)))[0]
    assert np.bitwise_count(hashes.turns(hashes.hashes(image)[None])[0, turn] ^ expected) <= 2
    np.testing.assert_array_equal(hashes.turned(hashes.turned(image, turn), hashes.INVERSE[turn]), image)


def test_other_arrays_are_refused(tmp_path):
    np.save(tmp_path / "hashes.npy", np.zeros((3, hashes.HASHES), np.uint64))
    assert hashes.load_hashes(tmp_path / "hashes.npy", 3).shape == (3, hashes.HASHES)
    with pytest.raises(DepixelError, match=r"hashes.npy: .*stages/prepare.py"):
        hashes.load_hashes(tmp_path / "hashes.npy", 4)
