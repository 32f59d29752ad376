import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from depixel.base.errors import DepixelError
from depixel.curation.synthetic import write_sample

CONTRIBUTORS, PHOTOS = 3, 20  # the least that shows everything


def members(folder: Path) -> dict[str, dict[str, bytes]]:
    """Archive -> name -> content."""
    found = {}
    for path in sorted(folder.iterdir()):
        with zipfile.ZipFile(path) as archive:
            found[path.name] = {name: archive.read(name) for name in sorted(archive.namelist())}
    return found


def verdict(name: str, content: bytes, seen: set[bytes]) -> int:
    """The code of the first rule broken, 0 for a valid photo: the six rules written down once more, plainly."""
    if not name.endswith((".jpg", ".JPG", ".jpeg", ".JPEG")):
        return 1
    if len(content) > 250_000:
        return 2
    try:
        pixels = np.asarray(Image.open(io.BytesIO(content)))
    except OSError:
        return 3
    if min(pixels.shape[:2]) < 100 or pixels.shape[2:] not in ((), (3,)):
        return 4
    if pixels.var() == 0:
        return 5
    if content in seen:
        return 6
    seen.add(content)
    return 0


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("sample")  # there, but empty: allowed
    write_sample(folder, contributors=CONTRIBUTORS, photos=PHOTOS)
    return members(folder)


@pytest.fixture(scope="module")
def valid(archives) -> list[Image.Image]:
    seen: set[bytes] = set()
    files = [(name, content) for archive in archives.values() for name, content in archive.items()]
    return [Image.open(io.BytesIO(content)) for name, content in files if verdict(name, content, seen) == 0]


def test_every_contributor_has_an_archive_of_so_many_files(archives):
    assert list(archives) == ["k10000001.zip", "k10000002.zip", "k10000003.zip"]
    assert [len(archive) for archive in archives.values()] == [PHOTOS] * CONTRIBUTORS


def test_each_rule_is_broken_once(archives):
    seen: set[bytes] = set()
    codes = [verdict(name, content, seen) for archive in archives.values() for name, content in archive.items()]
    assert sorted(code for code in codes if code) == [1, 2, 3, 4, 5, 6]


def test_valid_photos_have_the_promised_sizes(valid):
    assert all(110 <= min(photo.size) <= 260 for photo in valid)
    assert len({photo.size for photo in valid}) > 5
    assert {photo.mode for photo in valid} <= {"RGB", "L"}


def test_some_photos_are_stored_turned(valid):
    orientations = [photo.getexif().get(ExifTags.Base.Orientation, 1) for photo in valid]
    assert 1 <= sum(orientation != 1 for orientation in orientations) <= len(valid) // 8


def test_photos_are_as_hard_as_real_ones(valid):
    """RMSE of block means and kurtosis of gradients (normal: 3) at 64 x 64, around what photos have."""
    pictures = np.array([np.asarray(photo.convert("L").resize((64, 64)), float) for photo in valid])
    blocks = pictures.reshape(-1, 8, 8, 8, 8)
    rmse = np.sqrt((blocks - blocks.mean(axis=(2, 4), keepdims=True)).var())
    steps = np.diff(pictures, axis=2)
    assert 20 < rmse < 40
    assert (steps**4).mean() / (steps**2).mean() ** 2 > 6


def test_bytes_follow_from_the_seed_alone(tmp_path):
    write_sample(tmp_path / "a", seed=5, contributors=2, photos=4, workers=2)
    write_sample(tmp_path / "b", seed=5, contributors=3, photos=4, workers=1)
    write_sample(tmp_path / "c", seed=6, contributors=1, photos=4)
    a, b, c = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc")
    assert a == {name: b[name] for name in a}
    assert a["k10000001.zip"] != a["k10000002.zip"]
    assert a["k10000001.zip"] != c["k10000001.zip"]


def test_more_photos_leave_the_earlier_ones_as_they_are(tmp_path, archives):
    write_sample(tmp_path / "few", contributors=1, photos=8)
    few = members(tmp_path / "few")["k10000001.zip"]
    assert few.items() <= archives["k10000001.zip"].items()


def test_progress_is_told_per_contributor(tmp_path):
    done = []
    write_sample(tmp_path / "new" / "raw", contributors=2, photos=1, on_done=lambda: done.append(1))
    assert len(done) == 2


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(DepixelError, match="Name a new folder"):
        write_sample(tmp_path, contributors=1, photos=1)
    with pytest.raises(DepixelError, match="Name a new folder"):
        write_sample(tmp_path / "mine.jpg", contributors=1, photos=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jpg"]
    assert (tmp_path / "mine.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("numbers", [{"seed": -1}, {"contributors": 0}, {"photos": 0}])
def test_numbers_out_of_range_are_named(tmp_path, numbers):
    [(name, value)] = numbers.items()
    with pytest.raises(DepixelError, match=f"{name} = {value}"):
        write_sample(tmp_path / "raw", **numbers)
    assert not (tmp_path / "raw").exists()
