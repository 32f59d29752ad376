"""Photos that are the same picture are found whatever was done to one of them, and others are not."""

import io

import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.curation import synthetic
from depixel.dataset.splits import COPY, Assigned
from depixel.photos import hashes, near_duplicates
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
    codes = np.stack([hashes.hashes(image) for image in images])
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


def test_all_pairs_within_the_radii_are_candidates(monkeypatch):
    """Compared with the definition, pair by pair, where nothing fits into blocks."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 2**64, (60, hashes.HASHES), np.uint64)
    for copy, original in zip(range(30), range(30, 60), strict=True):
        flips = np.bitwise_or.reduce(
            np.uint64(1) << random.integers(0, 64, (random.integers(1, 12), hashes.HASHES)).astype(np.uint64)
        )
        codes[copy] = codes[original] ^ flips
    first, second = np.arange(40), np.arange(20, 60)
    turned = hashes.turns(codes)
    expected = set()
    for a in first:
        for b in second:
            for turn in range(8):
                far = int(codes[a, 0] ^ turned[b, turn]).bit_count()
                cuts = [int(cut ^ turned[b, turn]).bit_count() for cut in codes[a, : len(hashes.CUTS)]]
                cuts += [int(cut ^ turned[a, hashes.INVERSE[turn]]).bit_count() for cut in codes[b, : len(hashes.CUTS)]]
                if a != b and far <= near_duplicates.MOST_BITS and min(cuts) <= near_duplicates.MOST_BITS_CUT:
                    expected.add((int(a), int(b), turn))
    monkeypatch.setattr(near_duplicates, "QUERIES", 7)
    monkeypatch.setattr(near_duplicates, "STORED", 11)
    got = [
        (int(a), int(b), turn)
        for some, others, turn in near_duplicates._candidates(codes, turned, first, second)
        for a, b in zip(some, others, strict=True)
    ]
    assert len(expected) >= 10
    assert sorted(got) == sorted(expected)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_processes_and_blocks_change_nothing(six, workers, monkeypatch):
    rows, images, codes = six
    everyone = np.arange(len(rows))
    whole = near_duplicates.find(images, codes, everyone, everyone)
    assert whole
    monkeypatch.setattr(near_duplicates, "BLOCK", 2)
    tasks = [(everyone, everyone[:4]), (everyone, everyone[4:]), (everyone, everyone[:0])]
    assert near_duplicates.search(images, codes, tasks, workers) == whole


def rows_of(sides):
    return [Assigned(f"k{i}", "a.jpg", f"{i}", side) for i, side in enumerate(sides)]


@pytest.fixture(scope="module")
def six(photos):
    """Photo 0 is for training; 1 is the same, for test, 2 and 3 others; 4 for validation, the same as 2; 5 as 1."""
    pictures = [photos[0], photos[0].transpose(TURNS[0]), photos[1], photos[2], encoded(photos[1]), photos[0]]
    images = prepared(pictures)
    codes = np.stack([hashes.hashes(image) for image in images])
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
    searched, true = [], near_duplicates.search

    def search(images, codes, tasks):
        searched.extend(len(first) * len(second) for first, second in tasks)
        return true(images, codes, tasks)

    monkeypatch.setattr(near_duplicates, "search", search)
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
