import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from depixel.base.errors import DepixelError
from depixel.photos import archives, preparation, rules, units
from depixel.photos.archives import Entry
from depixel.photos.preparation import PrepareSettings
from depixel.photos.rules import Verdict


def entry(source: str, number: int = 0) -> Entry:
    return Entry("k", f"{number}.jpg", 10, source, number)


def test_a_unit_is_an_archive_a_folder_or_a_run_of_what_needs_no_file():
    items = [
        *((entry("a.zip", i), None) for i in range(3)),
        *((entry("b.TAR.GZ", i), None) for i in range(2)),
        *((entry(f"loose/{i}.jpg", i), None) for i in range(2)),
        None,
        None,
        (entry("one.jpg"), None),
        (entry("a.zip"), None),
    ]
    cut = list(units.cut(items))
    assert [item for unit in cut for item in unit] == items
    assert [len(unit) for unit in cut] == [3, 2, 2, 2, 1, 1]
    assert list(units.cut([])) == []


def test_a_large_archive_is_several_units(monkeypatch):
    monkeypatch.setattr(units, "MOST", 4)
    assert [len(unit) for unit in units.cut((entry("a.tar", i), None) for i in range(10))] == [4, 4, 2]


@pytest.fixture
def task(tmp_path) -> units.Task:
    """The task of `validate`, in an empty folder."""
    work = rules._judge_unless_known
    return units.Task(work, rules._crashed, str(tmp_path), str(tmp_path), 60, units.identity(work))


@pytest.fixture
def items(tmp_path, jpeg, write_zip) -> list[tuple[Entry, None]]:
    write_zip(tmp_path / "raw/a.zip", {f"{i}.jpg": jpeg(i) for i in range(3)} | {"ü.txt": b"no photo"})
    os.chdir(tmp_path)
    return [(entry, None) for entry in archives.Entries("raw")]


@pytest.fixture(autouse=True)
def _back():
    """Tests may change the folder; children of units do."""
    before = Path.cwd()
    yield
    os.chdir(before)
    for left in units._spare.values():
        for process in left:
            process.end()
    units._spare.clear()


def test_results_are_those_of_the_work(task, items):
    name, known = task.put(items)
    assert not known and task.results(name) is None
    task.do(name)
    expected = [rules.judge(entry) for entry, _ in items]
    assert task.results(name) == expected and all(type(one) is Verdict for one in task.results(name))
    assert [verdict.code for verdict in expected] == [0, 0, 0, 1]
    assert task.put(items) == (name, True) and task.put(items[:2])[1] is False
    again = [(entry, verdict) for (entry, _), verdict in zip(items, expected, strict=True)]
    other, known = task.put(again)
    assert other != name and not known
    task.do(other)
    assert task.results(other) == expected


def test_results_of_an_archive_that_has_changed_are_not_reused(task, items, tmp_path):
    """Even if its files have the same names and sizes."""
    name, _ = task.put(items)
    task.do(name)
    assert task.put(items) == (name, True)
    archive = tmp_path / "raw/a.zip"
    archive.write_bytes(archive.read_bytes())
    os.utime(archive, ns=(0, archive.stat().st_mtime_ns + 1_000_000))
    other, known = task.put(items)
    assert other != name and not known


def test_arrays_come_back_as_they_were(task, items, tmp_path):
    photos = [(entry, rules.judge(entry).sha256) for entry, _ in items[:3]]
    work = functools.partial(preparation._prepared, PrepareSettings(size=16))
    made = units.Task(work, preparation._crashed, str(tmp_path), str(tmp_path), 60, units.identity(work))
    name, _ = made.put(photos)
    made.do(name)
    for found, expected in zip(made.results(name), map(work, photos), strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
    other = functools.partial(preparation._prepared, PrepareSettings(size=32))
    assert units.Task(other, *(made.crashed, made.root, made.folder, 60, made.made_by)).put(photos)[0] != name


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-1], lambda text: text.replace(b"jpg", b"gif"), lambda text: b""]
)
def test_a_damaged_file_counts_as_missing(task, items, tmp_path, damage):
    name, _ = task.put(items)
    task.do(name)
    path = tmp_path / f"{name}.done"
    path.write_bytes(damage(path.read_bytes()))
    assert task.results(name) is None and task.put(items) == (name, False)
    task.do(name)
    assert len(task.results(name)) == 4


def test_an_error_of_the_work_is_told_where_its_turn_is_and_not_kept(task, items, tmp_path):
    work = functools.partial(preparation._prepared, PrepareSettings(size=16))
    made = units.Task(work, preparation._crashed, str(tmp_path), str(tmp_path), 60, units.identity(work))
    name, _ = made.put([(items[0][0], "0" * 64)])
    made.do(name)
    with pytest.raises(DepixelError, match=r"a/0\.jpg: The photos have changed since their validation"):
        made.results(name)
    assert made.put([(items[0][0], "0" * 64)]) == (name, False) and made.results(name) is None


def test_only_tuples_of_photos_are_made_from_a_file():
    arrays = [np.arange(6, dtype=np.uint8).reshape(2, 3), np.array([2**63, 10], np.uint64)]
    found = units._unpacked(units._packed((entry("ä"), [None, 1.5, ("x",), *arrays])))
    assert found[:1] == (entry("ä"),) and found[1][:3] == [None, 1.5, ("x",)]
    for array, one in zip(arrays, found[1][3:], strict=True):
        assert array.dtype == one.dtype and (array == one).all()
    for name in (
        "os:system",
        "depixel.photos.rules:judge",
        "depixel.photos.units:os",
        "depixel.dataset.prepared:Photo",
    ):
        with pytest.raises(ValueError, match="is no tuple of depixel"):
            units._unpacked(json.dumps({"kind": "tuple", "name": name, "values": ["x"]}).encode())


def test_a_worker_that_differs_writes_nothing(task, items, tmp_path, monkeypatch):
    name, _ = task.put(items)
    wanted = task.made_by | {"pillow": "1.0", "depixel/photos/rules.py": "other"}
    wanted = {key: value for key, value in wanted.items() if key != "depixel/photos/decoding.py"}
    other = units.Task(task.work, task.crashed, task.root, task.folder, 60, wanted)
    with pytest.raises(DepixelError) as raised:
        other.do(name)
    assert (
        f"(process {os.getpid()}) cannot work with this machine: pillow {task.made_by['pillow']} (here 1.0); "
        in str(raised.value)
    )
    assert "other code in depixel/photos/decoding.py, depixel/photos/rules.py." in str(raised.value)
    assert task.done() == 0


def test_a_worker_whose_source_was_edited_after_its_start_is_refused(task, items, monkeypatch):
    name, _ = task.put(items)
    units._identity.cache_clear()
    monkeypatch.setattr(units.depixel, "IMPORTED", 0)
    with pytest.raises(DepixelError, match=r"was edited after this process had started"):
        task.do(name)
    units._identity.cache_clear()
    assert task.done() == 0


def test_a_worker_that_does_not_see_the_folder_says_so(task, tmp_path):
    with pytest.raises(DepixelError, match=r"does not see .*Mount the project's folder there by the same path"):
        task.do("0" * 32)
