import io

import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.photos import rules
from depixel.photos.archives import Entries
from depixel.photos.rules import Verdict, check_copies, load_manifest, validate, write_verdicts


@pytest.fixture
def verdict_on(tmp_path):
    """Validate one loose file of this content and name."""

    def judge(content: bytes, name: str = "photo.jpg") -> Verdict:
        folder = tmp_path / "raw" / "loose"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        (verdict,) = validate(Entries(tmp_path / "raw"), workers=1)
        return verdict

    return judge


def flat(value, mode="RGB", size=(120, 110), format="JPEG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, value).save(file, format)
    return file.getvalue()


def test_a_valid_photo_is_described(verdict_on, jpeg):
    exif = Image.Exif()
    exif[274] = 8
    data = jpeg(1, (150, 101), exif=exif)
    verdict = verdict_on(data)
    assert verdict[:3] == ("loose", "photo.jpg", len(data))
    assert verdict[4:] == (150, 101, "RGB", 8, 0, "")
    assert len(verdict.sha256) == 64


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".JPEG"])
def test_rule_1_allows_four_endings(verdict_on, jpeg, suffix):
    assert verdict_on(jpeg(1), f"photo{suffix}").code == 0


@pytest.mark.parametrize("name", ["photo.JpG", "photo.png", "photo", "photo.jpg.txt", "jpg"])
def test_rule_1_comes_first(verdict_on, name):
    verdict = verdict_on(bytes(300_000), name)
    assert (verdict.code, verdict.sha256) == (1, "")


def test_rule_2_comes_before_reading(verdict_on):
    verdict = verdict_on(bytes(250_001))
    assert (verdict.code, verdict.sha256) == (2, "")


def test_250_000_bytes_are_allowed(verdict_on, jpeg):
    data = jpeg(1)
    assert verdict_on(data + bytes(250_000 - len(data))).code == 0


def test_rule_3_comes_before_4(verdict_on, jpeg):
    small = jpeg(1, (60, 50))
    assert verdict_on(small).code == 4
    verdict = verdict_on(small[:-20])
    assert (verdict.code, verdict.width) == (3, 60)
    assert len(verdict.sha256) == 64


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
def test_rule_4_is_about_the_stored_mode(verdict_on, jpeg, mode):
    assert verdict_on(jpeg(1, mode=mode)).code == (4 if mode == "CMYK" else 0)


@pytest.mark.parametrize("mode", ["P", "RGBA", "1", "I;16", "LA"])
def test_rule_4_refuses_other_modes(verdict_on, mode):
    verdict = verdict_on(flat(0, mode, format="PNG"))
    assert (verdict.code, verdict.mode) == (4, mode)


@pytest.mark.parametrize(("size", "code"), [((100, 100), 0), ((99, 200), 4), ((200, 99), 4)])
def test_rule_4_is_about_both_sides(verdict_on, jpeg, size, code):
    assert verdict_on(jpeg(1, size)).code == code


@pytest.mark.parametrize("value", [(0, 0, 0), (77, 77, 77), (255, 255, 255)])
def test_rule_5_refuses_one_value(verdict_on, value):
    assert verdict_on(flat(value)).code == 5
    assert verdict_on(flat(value[0], "L")).code == 5


def test_rule_5_is_about_all_channels_together(verdict_on):
    assert verdict_on(flat((200, 30, 30))).code == 0


def test_rule_5_sees_a_single_pixel(verdict_on):
    pixels = np.full((110, 120, 3), 100, np.uint8)
    pixels[40, 50] = 104
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=100, subsampling=0)
    assert np.ptp(np.asarray(Image.open(file))) > 0
    assert verdict_on(file.getvalue()).code == 0


def test_rule_6_counts_earlier_valid_files_only(tmp_path, jpeg, write_zip):
    photo, small = jpeg(1), jpeg(2, (60, 50))
    write_zip(tmp_path / "k1.zip", {"a.png": photo, "b.jpg": photo, "c.jpg": small, "d.jpg": small})
    write_zip(tmp_path / "k2.zip", {"a.jpg": photo, "b.jpg": photo})
    verdicts = list(validate(Entries(tmp_path), workers=1))
    assert [verdict.code for verdict in verdicts] == [1, 0, 4, 4, 6, 6]
    assert verdicts[-1].reason == "the same bytes as k1/b.jpg"


def test_the_number_of_workers_changes_nothing(raw):
    listed = Entries(raw)
    assert list(validate(listed, workers=1)) == list(validate(listed, workers=3))


def test_log_and_counts(raw, jpeg, tmp_path):
    (raw / "k99999999.zip").write_bytes(b"cut off")
    (raw / "loose" / "again.jpg").write_bytes(jpeg(0))
    (raw / "single.jpg").write_bytes(b"no image")
    counts = write_verdicts(validate(Entries(raw), workers=1), tmp_path / "validated", raw)
    log = (tmp_path / "validated" / "invalid.log").read_bytes()
    assert log == b"k99999999,3\nloose/again.jpg,6\nloose/notes.txt,1\nsingle.jpg,3\n"
    assert counts == {
        "files": 65,
        "valid": 61,
        "contributors": 11,
        "invalid": {"1 name": 1, "2 bytes": 0, "3 unreadable": 2, "4 shape": 0, "5 flat": 0, "6 duplicate": 1},
        "unreadable_archives": 1,
    }


def test_a_manifest_is_read_as_it_was_written(raw, tmp_path):
    verdicts = list(validate(Entries(raw), workers=1))
    write_verdicts(verdicts, tmp_path / "validated", raw)
    assert list(load_manifest(tmp_path / "validated" / "manifest.csv")) == verdicts


def test_other_files_in_the_folder_are_not_lost(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(DepixelError, match="holds other files"):
        write_verdicts([Verdict("", "a.jpg", 1)], tmp_path, "data/raw")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"\xff\xfe\0", ",".join(Verdict._fields).encode() + b"\nk1,a.jpg,many,,,,,,0,\n"],
    ids=["empty", "another table", "not text", "no number"],
)
def test_what_is_no_manifest_is_refused(tmp_path, content):
    path = tmp_path / "manifest.csv"
    with pytest.raises(DepixelError, match=r"no such file.*stages/validate.py"):
        list(load_manifest(path))
    path.write_bytes(content)
    with pytest.raises(DepixelError, match=r"manifest.csv: .*stages/validate.py"):
        list(load_manifest(path))


def test_no_valid_photo_names_the_reasons(tmp_path):
    verdicts = [Verdict("", name, 1, code=1, reason="the name") for name in "abc"]
    verdicts += [Verdict("", "d.jpg", 1, code=3, reason="not an image")]
    write_verdicts([*verdicts, Verdict("", "e.jpg", 1)], tmp_path / "validated", "data/raw")
    before = (tmp_path / "validated" / "manifest.csv").read_bytes()
    with pytest.raises(DepixelError, match=r"none of its 4 files .*3 x the name; 1 x not an image"):
        write_verdicts(verdicts, tmp_path / "validated", "data/raw")
    assert (tmp_path / "validated" / "manifest.csv").read_bytes() == before


@pytest.mark.parametrize("name_format", ["", "x", "07", "e", "/>7d", "07d ", "0100d", ".7f"])
def test_copies_are_numbered_in_decimals(tmp_path, name_format):
    with pytest.raises(DepixelError, match="decimal"):
        check_copies(tmp_path / "new", name_format)


def test_copies_go_to_a_new_folder(tmp_path):
    check_copies(tmp_path / "new", "07d")
    check_copies(tmp_path, "d")
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(DepixelError, match="new or an empty folder"):
            check_copies(taken, "07d")


def test_the_rules_are_those_that_are_counted():
    assert list(rules.RULES) == [1, 2, 3, 4, 5, 6]
