"""What an earlier run left is used again only if it is whole and of the same making."""

import json

import pytest

from depixel.base import reuse
from depixel.base.files import hash_of
from depixel.photos import rules
from depixel.photos.preparation import PrepareSettings


def test_matched_pairs_what_has_the_same_key():
    pairs = list(reuse.matched("bdeg", "abcfgh", str))
    assert pairs == [("b", "b"), ("d", None), ("e", None), ("g", "g")]
    assert list(reuse.matched(["a1", "a2", "a3"], ["a7", "a8"], lambda item: item[0])) == [
        ("a1", "a7"),
        ("a2", "a8"),
        ("a3", None),
    ]
    assert list(reuse.matched("ab", "", str)) == [("a", None), ("b", None)]
    assert list(reuse.matched("", "ab", str)) == []


def test_the_maker_is_code_packages_and_settings(monkeypatch):
    def maker(**settings):
        return reuse.maker(rules.__file__, PrepareSettings(**settings))

    first = maker()
    assert maker() == first != maker(size=32)
    assert reuse.maker(rules.__file__) not in (first, reuse.maker(reuse.__file__))
    monkeypatch.setattr(reuse, "versions", lambda: {"pillow": "1.0"})
    assert maker() != first


def test_hashing(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        hashing = reuse.Hashing(file)
        hashing.write(b"some")
        hashing.write(b"thing")
    assert path.read_bytes() == b"something" and hashing.sha256() == hash_of(path, "sha256")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.csv").write_text("a", encoding="utf-8")
    reuse.write_record(tmp_path / reuse.RECORD, "us", {"a.csv": hash_of(tmp_path / "a.csv", "sha256")})
    assert reuse.reusable(tmp_path / reuse.RECORD, "us", ["a.csv"])
    return tmp_path


def test_another_maker_or_output(folder):
    assert not reuse.reusable(folder / reuse.RECORD, "others", ["a.csv"])
    assert not reuse.reusable(folder / reuse.RECORD, "us", ["a.csv", "b.csv"])


@pytest.mark.parametrize("content", ["", "{", "[]", "1", "{}", '{"made_by": "us"}', '{"made_by": "us", "sha256": 1}'])
def test_a_damaged_record(folder, content):
    (folder / reuse.RECORD).write_text(content, encoding="utf-8")
    assert not reuse.reusable(folder / reuse.RECORD, "us", ["a.csv"])


def test_a_changed_or_missing_output(folder):
    (folder / "a.csv").write_text("b", encoding="utf-8")
    assert not reuse.reusable(folder / reuse.RECORD, "us", ["a.csv"])
    (folder / "a.csv").unlink()
    assert not reuse.reusable(folder / reuse.RECORD, "us", ["a.csv"])


def test_a_record_is_the_same_everywhere(folder):
    assert json.loads((folder / reuse.RECORD).read_text(encoding="utf-8"))["made_by"] == "us"
    assert str(folder) not in (folder / reuse.RECORD).read_text(encoding="utf-8")
