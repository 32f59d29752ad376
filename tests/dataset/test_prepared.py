from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.base.settings import read_section
from depixel.dataset.prepared import load_images, load_index
from depixel.photos.archives import Entries, read
from depixel.photos.decoding import grayscale
from depixel.photos.preparation import PrepareSettings, prepare
from depixel.photos.rules import valid_entries, validate


@pytest.fixture
def photos(raw):
    listed = Entries(raw)
    return list(valid_entries(listed, validate(listed, workers=1)))


def test_rows_are_the_valid_photos_in_order(photos, tmp_path):
    done = []
    prepare(photos, 61, tmp_path / "prepared", PrepareSettings(), workers=1, on_done=lambda: done.append(1))
    index = load_index(tmp_path / "prepared" / "index.csv")
    assert [tuple(row) for row in index] == [(entry.contributor, entry.name, sha256) for entry, sha256 in photos]
    assert len(done) == len(index) == 61
    images = load_images(tmp_path / "prepared/images.npy", len(index))
    assert (images.shape, images.dtype) == ((61, 64, 64), np.uint8)


def test_images_are_upright_resized_cropped_and_gray(photos, raw, tmp_path):
    prepare(photos, 61, tmp_path, PrepareSettings(size=60), workers=1)
    images = load_images(tmp_path / "images.npy", 61)
    with Image.open(raw / "loose" / "deep" / "photo.jpeg") as stored:  # stored 110 x 260, turned by 90 degrees
        image = stored.transpose(Image.Transpose.ROTATE_270).resize((141, 60), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images[-1], grayscale(np.asarray(image)[:, 40:100]))


def test_the_number_of_workers_changes_nothing(photos, tmp_path):
    for workers in (1, 3):
        prepare(photos, 61, tmp_path / str(workers), PrepareSettings(size=16), workers)
    for name in ("images.npy", "hashes.npy", "index.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


@pytest.mark.parametrize("change", ["gone", "new", "larger"])
def test_photos_that_were_not_validated_are_refused(raw, jpeg, change):
    verdicts = list(validate(Entries(raw), workers=1))
    path = raw / "loose" / "notes.txt"
    if change == "gone":
        path.unlink()
    elif change == "new":
        (raw / "loose" / "z.jpg").write_bytes(jpeg(1))
    else:
        path.write_bytes(bytes(99))
    with pytest.raises(DepixelError, match=r"loose/.*new, gone or changed.*stages/validate.py"):
        list(valid_entries(Entries(raw), verdicts))


def test_a_photo_of_other_content_is_refused_and_nothing_is_lost(photos, tmp_path):
    prepare(photos, 61, tmp_path / "prepared", PrepareSettings(size=16), workers=1)
    before = {path.name: path.read_bytes() for path in (tmp_path / "prepared").iterdir()}
    entry = photos[-1][0]
    with Path(entry.source).open("r+b") as file:
        file.seek(-20, 2)
        file.write(b"\0")
    with pytest.raises(DepixelError, match=r"^loose/deep/photo.jpeg: .*validate"):
        prepare(photos, 61, tmp_path / "prepared", PrepareSettings(), workers=1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "prepared").iterdir()} == before
    assert len(read(entry, 250_000)) == entry.size


@pytest.mark.parametrize("text", ["{size: 7}", "{size: 1025}", "{sizes: 64}"])
def test_settings_are_checked(tmp_path, text):
    (tmp_path / "params.yaml").write_text(f"prepare: {text}", encoding="utf-8")
    with pytest.raises(DepixelError, match="prepare"):
        read_section(tmp_path / "params.yaml", "prepare", PrepareSettings)


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 8, 8), np.uint8), np.zeros((4, 8, 9), np.uint8), np.zeros((4, 8, 8)), np.zeros(4, np.uint8)],
    ids=["other count", "not square", "not uint8", "not images"],
)
def test_arrays_that_do_not_fit_the_index_are_refused(tmp_path, array):
    np.save(tmp_path / "images.npy", array)
    with pytest.raises(DepixelError, match=r"images.npy: .*\(4, S, S\).*stages/prepare.py"):
        load_images(tmp_path / "images.npy", 4)


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_what_is_no_array_is_refused(tmp_path, content):
    path = tmp_path / "images.npy"
    if content is None:
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(content)
    with pytest.raises(DepixelError, match=r"images.npy: not an array .*stages/prepare.py"):
        load_images(path, 1)
    path.unlink()
    with pytest.raises(DepixelError, match=r"images.npy: no such file.*stages/prepare.py"):
        load_images(path, 1)
