import json
import math
import subprocess
import sys

import pytest

from depixel.base.errors import DepixelError
from depixel.base.files import replacing, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "er" / "out.txt"
    with replacing(path) as beside:
        assert beside.parent == path.parent and beside != path
        beside.write_text("new", encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "new"
    assert names(path.parent) == ["out.txt"]


def test_an_earlier_file_is_replaced(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old", encoding="utf-8")
    with replacing(str(path)) as beside:
        beside.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("earlier", [True, False])
def test_a_folder_is_replaced_whole(tmp_path, earlier):
    path = tmp_path / "out"
    if earlier:
        (path / "old").mkdir(parents=True)
        (path / "old" / "a").write_text("old", encoding="utf-8")
    with replacing(path) as beside:
        beside.mkdir()
        (beside / "b").write_text("new", encoding="utf-8")
    assert names(tmp_path) == ["out"] and names(path) == ["b"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, DepixelError])
@pytest.mark.parametrize("folder", [False, True])
def test_after_an_error_the_earlier_output_is_still_there(tmp_path, error, folder):
    path = tmp_path / "out"
    old = path
    if folder:
        path.mkdir()
        old = path / "a"
    old.write_text("old", encoding="utf-8")
    with pytest.raises(error), replacing(path) as beside:
        if folder:
            beside.mkdir()
            (beside / "b").write_text("half", encoding="utf-8")
        else:
            beside.write_text("half", encoding="utf-8")
        raise error("stop")
    assert names(tmp_path) == ["out"]
    assert old.read_text(encoding="utf-8") == "old"


def test_errors_about_other_files_are_not_taken_for_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "out") as beside:
        beside.write_text("half", encoding="utf-8")
        (tmp_path / "missing").read_bytes()
    assert names(tmp_path) == []


def unwritable(path, write=lambda beside: beside.write_text("new", encoding="utf-8")):
    with pytest.raises(DepixelError) as error, replacing(path) as beside:
        write(beside)
    assert str(error.value).startswith(f"{path}: cannot be written (")
    assert str(error.value).endswith("Any earlier output is unchanged")


@pytest.mark.parametrize("deep", [False, True])
def test_a_parent_that_is_a_file(tmp_path, deep):
    (tmp_path / "file").write_text("old", encoding="utf-8")
    unwritable(tmp_path / "file" / "deep" / "out" if deep else tmp_path / "file" / "out")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text(encoding="utf-8") == "old"


def test_a_file_does_not_replace_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old", encoding="utf-8")
    unwritable(tmp_path / "out")
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["a"]


def test_nothing_written_is_an_error(tmp_path):
    unwritable(tmp_path / "out", lambda beside: None)
    assert names(tmp_path) == []


def test_a_file_within_a_folder_that_cannot_be_written(tmp_path):
    def write(beside):
        beside.mkdir()
        (beside / "missing" / "b").write_text("new", encoding="utf-8")

    unwritable(tmp_path / "out", write)
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes cannot be limited there")
def test_no_space_left(tmp_path):
    """As on a full disk: files may not grow beyond 100 000 bytes."""
    path = tmp_path / "out"
    path.write_text("old", encoding="utf-8")
    code = f"""
import resource, signal
from depixel.base.files import replacing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with replacing({str(path)!r}) as beside:
    beside.write_bytes(bytes(1_000_000))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"depixel.base.errors.DepixelError: {path}: cannot be written (File too large)"
    )
    assert names(tmp_path) == ["out"] and path.read_text(encoding="utf-8") == "old"


def test_write_json(tmp_path):
    path = tmp_path / "metrics" / "a.json"
    write_json(path, {"b": 0.1, "a": [1, 2], "c": "ü"})
    data = path.read_bytes()
    assert data.startswith(b'{\n  "b": 0.1,\n  "a": [') and data.endswith(b"}\n") and b"\r" not in data
    assert json.loads(data) == {"b": 0.1, "a": [1, 2], "c": "ü"}


@pytest.mark.parametrize("content", [{"a": math.nan}, {"a": object()}])
def test_what_json_cannot_hold_changes_nothing(tmp_path, content):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, content)
    assert names(tmp_path) == ["a.json"] and json.loads(path.read_bytes()) == {"a": 1}


def test_the_longest_names_can_be_written(tmp_path):
    path = tmp_path / ("a" * 251 + ".png")
    for content in ("one", "two"):
        with replacing(path) as beside:
            beside.write_text(content, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "two" and list(tmp_path.iterdir()) == [path]
