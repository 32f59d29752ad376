"""The photos of benchmarks/scale_stages.py: more than there are, and none a copy of another."""

import zipfile

import numpy as np
import pytest

from benchmarks import scale_stages
from depixel.analysis import overview
from depixel.curation import synthetic
from depixel.dataset.prepared import load_images, load_index
from depixel.photos import preparation, rules
from depixel.photos.archives import Entries
from depixel.photos.hashes import load_hashes


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """23 photos, of three contributors with four each, as far as that takes whole contributors."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    (source / "raw").mkdir()
    for contributor in range(3):
        with zipfile.ZipFile(source / f"raw/k{contributor}.zip", "w") as archive:
            for number in range(4):
                archive.writestr(f"{number}.jpg", synthetic.photo(0, contributor, number))
    entries = Entries(source / "raw")
    rules.write_verdicts(rules.validate(entries, 1), source / "validated", source / "raw")
    valid = list(rules.valid_entries(entries, list(rules.load_manifest(source / "validated/manifest.csv"))))
    preparation.prepare(valid, len(valid), source / "prepared", preparation.PrepareSettings(size=64), 1)
    scale_stages.repeat(source, target, 23)
    return target


def test_raw_photos_manifest_and_prepared_photos_belong_together(repeated):
    photos = load_index(repeated / "prepared/index.csv")
    assert len(photos) == 24 and len({photo.sha256 for photo in photos}) == 24
    verdicts = list(rules.load_manifest(repeated / "validated/manifest.csv"))
    valid = rules.valid_entries(Entries(repeated / "raw"), verdicts)
    assert [(entry.contributor, entry.name, sha256) for entry, sha256 in valid] == [tuple(photo) for photo in photos]


def test_repetitions_look_alike_and_are_no_copies(repeated):
    images = load_images(repeated / "prepared/images.npy", 24)
    codes = np.asarray(load_hashes(repeated / "prepared/hashes.npy", 24))
    photos = load_index(repeated / "prepared/index.csv")
    one, other = (
        [row for row, photo in enumerate(photos) if photo.contributor == name] for name in ("k0r000", "k0r001")
    )
    assert (images[one] == images[other]).all()
    bits = np.unpackbits((codes[one] ^ codes[other]).view(np.uint8), axis=1).sum(axis=1)
    assert (bits == scale_stages.CHANGED_BITS * scale_stages.HASHES).all()
    assert overview.pairs(images, codes, np.full(24, "train"), 1) == []
