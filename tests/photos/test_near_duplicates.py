"""Photos that are the same picture are found whatever was done to one of them, and others are not."""

import io

import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.curation import synthetic
from depixel.dataset.splits import COPY, Assigned
from depixel.photos import near_duplicates
from depixel.photos.decoding import decode, square

TURNS = [Image.Transpose(i) for i in range(7)]


@pytest.fixture(scope="module")
def photos():
    """Eight photos of eight contributors, RGB."""
    return [decode(synthetic.photo(3, contributor, 1)).resize((320, 320)) for contributor in range(8)]


def encoded(image, quality=50):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return decode(file.getvalue())


def prepared(images):
    return np.stack([square(image, 64) for image in images])


def found(first, second):
    images = prepared([*first, *second])
    codes = np.stack([near_duplicates.hashes(image) for image in images])
    rows = np.arange(len(images))
    pairs = near_duplicates.find(images, codes, rows[: len(first)], rows[len(first) :])
    return {(pair.first, pair.second - len(first)) for pair in pairs}


@pytest.mark.parametrize(
    "change",
    [
        encoded,
        lambda image: encoded(image.resize((160, 160))),
        lambda image: encoded(image.resize((640, 640))),
        *(lambda image, turn=turn: encoded(image.transpose(turn), 80) for turn in TURNS),
        lambda image: encoded(image.crop((0, 0, 300, 300)), 80),
        lambda image: encoded(image.crop((32, 0, 320, 288)), 80),
        lambda image: encoded(image.crop((16, 16, 304, 304)).transpose(TURNS[3]), 80),
    ],
    ids=["encoded", "half", "double", *(turn.name for turn in TURNS), "cut 6 %", "cut 10 %", "cut and turned"],
)
def test_a_changed_copy_is_found(photos, change):
    expected = {(i, i) for i in range(len(photos))}
    assert found(photos, [change(photo) for photo in photos]) == expected
    assert found([change(photo) for photo in photos], photos) == expected


def test_other_photos_are_no_copies(photos):
    assert found(photos[:4], photos[4:]) == set()


def test_flat_pictures_are_no_copies():
    ramp = np.repeat(np.arange(0, 128, dtype=np.uint8)[None], 128, axis=0)
    pictures = [Image.fromarray(ramp + shift) for shift in (0, 40)]
    assert found(pictures[:1], pictures[1:]) in (set(), {(0, 0)})  # a ramp is a ramp: either is right, no error is


@pytest.mark.parametrize("turn", range(8))
def test_turns_of_hashes_are_hashes_of_turns(photos, turn):
    image = prepared(photos[:1])[0]
    expected = near_duplicates.hashes(np.ascontiguousarray(near_duplicates._turned(image, turn)))[0]
    assert np.bitwise_count(near_duplicates._turns(near_duplicates.hashes(image)[None])[0, turn] ^ expected) <= 2
    np.testing.assert_array_equal(
        near_duplicates._turned(near_duplicates._turned(image, turn), near_duplicates._INVERSE[turn]), image
    )


def rows_of(sides):
    return [Assigned(f"k{i}", "a.jpg", f"{i}", side) for i, side in enumerate(sides)]


@pytest.fixture(scope="module")
def six(photos):
    """Photo 0 is for training; 1 is the same, for test, 2 and 3 others; 4 for validation, the same as 2; 5 as 1."""
    pictures = [photos[0], photos[0].transpose(TURNS[0]), photos[1], photos[2], encoded(photos[1]), photos[0]]
    images = prepared(pictures)
    codes = np.stack([near_duplicates.hashes(image) for image in images])
    return rows_of(["train", "test", "train", "train", "validation", "test"]), images, codes


def test_copies_between_sides(six):
    table = near_duplicates.between_sides(*six, [], [])
    assert [(copy.contributor, copy.of_contributor) for copy in table] == [("k0", "k1"), ("k0", "k5"), ("k2", "k4")]
    assert all(0.88 <= float(copy.similarity) <= 1 for copy in table)
    rows = near_duplicates.left_out(six[0], table)
    assert [row.split for row in rows] == [COPY, "test", COPY, "train", "validation", "test"]


def test_only_new_photos_are_searched_for(six, monkeypatch):
    rows, images, codes = six
    whole = near_duplicates.between_sides(rows, images, codes, [], [])
    searched, true = [], near_duplicates.find
    monkeypatch.setattr(
        near_duplicates, "find", lambda i, c, a, b: searched.append(len(a) * len(b)) or true(i, c, a, b)
    )
    assert near_duplicates.between_sides(rows, images, codes, near_duplicates.left_out(rows, whole), whole) == whole
    assert sum(searched) == 0
    for missing in range(6):  # each as if it were new, or replaced
        earlier = [row for i, row in enumerate(rows) if i != missing]
        others = [*earlier[:missing], rows[missing]._replace(sha256="other"), *earlier[missing:]]
        for before in (earlier, others):
            known = [copy for copy in whole if f"k{missing}" not in (copy.contributor, copy.of_contributor)]
            assert near_duplicates.between_sides(rows, images, codes, before, known) == whole


def test_nothing_left_to_train_on(six):
    rows, images, codes = six
    rows = [rows[0], rows[1]]
    table = near_duplicates.between_sides(rows, images[:2], codes[:2], [], [])
    with pytest.raises(DepixelError, match=r"every training photo .*split.by: contributor"):
        near_duplicates.left_out(rows, table)


def test_other_arrays_are_refused(tmp_path):
    np.save(tmp_path / "hashes.npy", np.zeros((3, near_duplicates.HASHES), np.uint64))
    assert near_duplicates.load_hashes(tmp_path / "hashes.npy", 3).shape == (3, near_duplicates.HASHES)
    with pytest.raises(DepixelError, match=r"hashes.npy: .*stages/prepare.py"):
        near_duplicates.load_hashes(tmp_path / "hashes.npy", 4)
