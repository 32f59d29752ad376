"""Named states of the photos: published, used, compared; and nothing is lost when something goes wrong."""

import csv
import json
import os
import shutil
import sys

import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.curation import snapshots
from tests.conftest import clone, run
from tests.curation.test_gps import gps, photo


def publish(folder, name, *options):
    run("depixel", "snapshot", "publish", name, *options, cwd=folder)
    run("git", "add", "data", cwd=folder)
    run("git", "commit", "--quiet", f"--message=Photos {name}", cwd=folder)


@pytest.fixture
def here(reproduced, tmp_path):
    """A clone, as of somebody else."""
    return clone(reproduced, tmp_path / "here")


@pytest.fixture(scope="module")
def clones(reproduced, tmp_path_factory):
    """Clones in which the snapshots v1 and v2 are used, by name."""
    folder = tmp_path_factory.mktemp("clones")
    for name in ("v1", "v2"):
        clone(reproduced, folder / name)
        run("depixel", "snapshot", "use", name, cwd=folder / name)
    return folder


@pytest.fixture
def at_v1(clones, tmp_path):
    """A clone in which v1 is used."""
    return copied(clones / "v1", tmp_path / "here")


@pytest.fixture
def at_v2(clones, tmp_path):
    """A clone in which v2 is used."""
    return copied(clones / "v2", tmp_path / "here")


def copied(project, folder):
    """A copy, with its cache; files that are links to the cache stay so."""
    if os.name == "posix":
        run("cp", "-a", str(project), str(folder), cwd=project)
    else:
        shutil.copytree(project, folder, symlinks=True)
    return folder


def names(folder):
    return sorted(path.relative_to(folder / "data/raw").as_posix() for path in (folder / "data/raw").rglob("*.*"))


def test_snapshots_are_listed(here):
    listed = run("depixel", "snapshots", cwd=here).stdout.splitlines()
    assert listed[0].split() == ["name", "contributors", "photos", "valid", "date", "note"]
    assert listed[1].startswith("*  v1") and "v2" in listed[2]
    rows = json.loads(run("depixel", "snapshots", "--json", cwd=here).stdout)
    with (here / "data/snapshots.csv").open(encoding="utf-8") as file:
        assert rows == list(csv.DictReader(file))
    assert rows[0]["contributors"] == "3" and rows[0]["md5"].endswith(".dir")


def test_one_is_pulled_into_a_clone_and_left_again(here):
    run("depixel", "snapshot", "use", "v2", cwd=here)
    second = names(here)
    assert "new/1.jpg" in second and run("git", "status", "--short", cwd=here).stdout == " M data/raw.dvc\n"
    for name in ("v1", "HEAD"):
        run("depixel", "snapshot", "use", name, cwd=here)
        assert "new/1.jpg" not in names(here) and len(names(here)) == 3
        assert run("git", "status", "--short", cwd=here).stdout == ""
    run("git", "tag", "sometime", cwd=here)
    run("depixel", "snapshot", "use", "v2", cwd=here)
    run("git", "commit", "--quiet", "--all", "--message=now", cwd=here)
    run("depixel", "snapshot", "use", "sometime", cwd=here)
    assert len(names(here)) == 3
    assert json.loads(run("dvc", "status", "--json", "data/raw.dvc", cwd=here).stdout) == {}


def test_a_name_is_used_once(at_v2):
    here = at_v2
    before = (here / "data/snapshots.csv").read_bytes()
    assert "names cannot be reused" in run("depixel", "snapshot", "publish", "v1", cwd=here, code=1).stderr
    assert "two meanings" in run("depixel", "snapshot", "publish", "main", cwd=here, code=1).stderr
    for wrong in ("workspace", "a b", "../x", "x" * 101):
        assert "a name has letters" in run("depixel", "snapshot", "publish", wrong, cwd=here, code=1).stderr
    assert (here / "data/snapshots.csv").read_bytes() == before


def test_what_is_in_no_snapshot_is_not_lost(at_v1):
    here = at_v1
    (here / "data/raw/mine.jpg").write_bytes(photo(position=False))
    pointer = (here / "data/raw.dvc").read_bytes()
    told = run("depixel", "snapshot", "use", "v2", cwd=here, code=1).stderr
    assert "files that no snapshot has" in told and "--force" in told
    assert (here / "data/raw/mine.jpg").exists() and (here / "data/raw.dvc").read_bytes() == pointer
    run("depixel", "snapshot", "use", "v2", "--force", cwd=here)
    assert not (here / "data/raw/mine.jpg").exists()


def test_what_was_added_and_not_published_is_not_lost(at_v1):
    here = at_v1
    (here / "data/raw/mine.jpg").write_bytes(photo(position=False))
    run("dvc", "add", "data/raw", cwd=here)
    told = run("depixel", "snapshot", "use", "v2", cwd=here, code=1).stderr
    assert "neither a snapshot nor the last commit" in told and (here / "data/raw/mine.jpg").exists()
    run("git", "commit", "--quiet", "--all", "--message=mine", cwd=here)
    run("depixel", "snapshot", "use", "v2", cwd=here)
    run("depixel", "snapshot", "use", "HEAD", cwd=here)
    assert (here / "data/raw/mine.jpg").exists()


def test_it_is_left_where_the_cache_is_empty(at_v1):
    here = at_v1
    shutil.rmtree(here / ".dvc/cache")
    run("depixel", "snapshot", "use", "v2", cwd=here)
    assert "new/1.jpg" in names(here)


def test_a_damaged_object_in_the_cache_is_fetched_again(at_v2):
    here = at_v2
    before = {name: (here / "data/raw" / name).read_bytes() for name in names(here)}
    name = max(before, key=lambda name: len(before[name]))
    damaged = bytearray(before[name])
    damaged[len(damaged) // 2] ^= 255
    place = here / "data/raw" / name  # a link to the object in the cache
    place.chmod(0o644)
    with place.open("r+b") as file:
        file.write(damaged)
    place.chmod(0o444)
    assert "damaged objects" in run("depixel", "doctor", cwd=here, code=1).stdout
    run("depixel", "snapshot", "use", "v2", cwd=here)
    assert {name: (here / "data/raw" / name).read_bytes() for name in names(here)} == before
    assert "damaged objects" not in run("depixel", "doctor", cwd=here, code=None).stdout


def test_two_snapshots_of_one_name_are_told(here):
    table = here / "data/snapshots.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([*lines, lines[-1]]) + "\n", encoding="utf-8")
    assert "two snapshots are called v2" in run("depixel", "snapshot", "use", "v2", cwd=here, code=1).stderr


def test_the_same_photos_under_another_name_are_told(at_v2):
    here = at_v2
    assert "snapshot v2 holds the same photos" in run("depixel", "snapshot", "publish", "again", cwd=here).stdout


def test_a_name_that_does_not_exist(here):
    told = run("depixel", "snapshot", "use", "v9", cwd=here, code=1).stderr
    assert told.startswith("Error: v9: neither a snapshot nor a git revision") and "Snapshots: v1, v2" in told
    assert "`git fetch` and `git switch BRANCH`" in told
    assert "neither" in run("depixel", "diff", "--", "-x", "v1", cwd=here, code=1).stderr


def test_what_a_training_needs_beside_the_photos_is_told(here):
    told = run("depixel", "snapshot", "use", "v2", cwd=here).stdout
    assert "`dvc pull data/test_set.dvc models/pretrained.dvc` fetches" in told
    run("dvc", "pull", "data/test_set.dvc", "models/pretrained.dvc", cwd=here)
    assert "dvc pull" not in run("depixel", "snapshot", "use", "v1", cwd=here).stdout


def test_what_changed(here, tmp_path):
    sheet = tmp_path / "changes.png"
    told = run("depixel", "diff", "v1", "v2", "--sheet", str(sheet), cwd=here).stdout
    rows = [line.split() for line in told.splitlines()]
    assert rows[0] == ["contributor", "is", "side", "added", "removed", "replaced", "valid_before", "valid_after"]
    assert {row[1] for row in rows[1:4]} == {"removed", "changed", "added"}
    with Image.open(sheet) as picture:
        assert picture.width > 500
    found = json.loads(run("depixel", "diff", "v1", "v2", "--json", cwd=here).stdout)
    kinds = [change["kind"] for change in found["changes"]]
    assert (kinds.count("added"), kinds.count("removed"), kinds.count("replaced")) == (3, 12, 1)
    assert found["valid"][1] - found["valid"][0] == sum(c["valid_after"] - c["valid_before"] for c in found["changes"])
    assert {change["side"] for change in found["changes"]} <= {"train", "validation", "test", ""}
    assert {row["contributor"]: row["is"] for row in found["contributors"]} == {row[0]: row[1] for row in rows[1:4]}
    back = json.loads(run("depixel", "diff", "v2", "v1", "--json", cwd=here).stdout)
    assert len(back["changes"]) == len(found["changes"]) and back["valid"] == found["valid"][::-1]


def test_against_the_working_tree(at_v1):
    here = at_v1
    assert run("depixel", "diff", "v1", cwd=here).stdout.startswith("0 files differ")
    (here / "data/raw/mine.jpg").write_bytes(photo(position=False))
    told = run("depixel", "diff", "v1", cwd=here).stdout
    assert "1 files differ" in told and " . " in told


def test_positions_are_asked_about(at_v2):
    here = at_v2
    path = here / "data/raw/new/trip.jpg"
    path.write_bytes(photo())
    told = run("depixel", "snapshot", "publish", "v3", cwd=here, code=1).stderr
    assert "1 photos carry GPS positions, such as new/trip.jpg" in told and gps(path.read_bytes())
    assert "v3" not in (here / "data/snapshots.csv").read_text(encoding="utf-8")
    pixels = Image.open(path).tobytes()
    told = run("depixel", "snapshot", "publish", "v3", "--positions", "strip", cwd=here).stdout
    assert "Stripped the GPS positions from 1 photo." in told
    assert gps(path.read_bytes()) == {} and Image.open(path).tobytes() == pixels
    path.write_bytes(photo())
    run("depixel", "snapshot", "publish", "v4", "--positions", "keep", cwd=here)
    assert gps(path.read_bytes())


def test_the_embedded_store_does_not_become_too_large(at_v2, monkeypatch):
    here = at_v2
    (here / "data/raw/large.bin").write_bytes(bytes(40_000_000))
    before = (here / "data/raw.dvc").read_bytes()
    told = run("depixel", "snapshot", "publish", "v3", cwd=here, code=1).stderr
    assert "40.0 MB are new" in told and "at most 32 MB" in told and "dvc remote add --default" in told
    assert (here / "data/raw.dvc").read_bytes() == before and (here / "data/raw/large.bin").exists()
    run("dvc", "remote", "add", "--default", "elsewhere", str(here.parent / "elsewhere"), cwd=here)
    run("depixel", "snapshot", "publish", "v3", cwd=here)
    run("depixel", "snapshot", "use", "v1", cwd=here)  # it is where it was


def test_a_push_that_breaks_off_is_repeated(at_v2, tmp_path):
    here = at_v2
    (here / "data/raw/mine.jpg").write_bytes(photo(position=False))
    (tmp_path / "share").write_text("no folder", encoding="utf-8")
    run("dvc", "remote", "add", "--default", "share", str(tmp_path / "share"), cwd=here)
    told = run("depixel", "snapshot", "publish", "v3", cwd=here, code=1).stderr
    assert "not pushed" in told and "v3" not in (here / "data/snapshots.csv").read_text(encoding="utf-8")
    (tmp_path / "share").unlink()
    run("depixel", "snapshot", "publish", "v3", cwd=here)
    assert "v3" in (here / "data/snapshots.csv").read_text(encoding="utf-8")


def limited(size: int):
    """Files may not become larger than this: the disk is full for them."""

    def before():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return before


@pytest.mark.skipif(sys.platform != "linux", reason="a full disk")
def test_a_push_that_breaks_off_halfway_is_repeated(at_v2, tmp_path):
    here = at_v2
    (here / "data/raw/small.jpg").write_bytes(photo(position=False))
    (here / "data/raw/large.bin").write_bytes(bytes(3_000_000))
    run("dvc", "add", "data/raw", cwd=here)
    run("dvc", "remote", "add", "--default", "share", str(tmp_path / "share"), cwd=here)
    done = run("depixel", "snapshot", "publish", "v3", cwd=here, code=1, before=limited(1_000_000))
    assert "not pushed" in done.stderr and "v3" not in (here / "data/snapshots.csv").read_text(encoding="utf-8")
    there = [path for path in (tmp_path / "share").rglob("*") if path.is_file()]
    assert there and not any(path.name.endswith(".dir") for path in there)  # a part, which does not pass for the whole
    run("depixel", "snapshot", "publish", "v3", cwd=here)
    shutil.rmtree(here / ".dvc/cache")
    run("depixel", "snapshot", "use", "v1", cwd=here)
    run("depixel", "snapshot", "use", "v3", cwd=here)
    assert (here / "data/raw/large.bin").stat().st_size == 3_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="a full disk")
def test_a_disk_that_fills_up_while_photos_are_fetched_is_told(at_v1):
    here = at_v1
    before = names(here)
    shutil.rmtree(here / ".dvc/cache")
    done = run("depixel", "snapshot", "use", "v2", cwd=here, code=1, before=limited(4_000))
    assert "cannot be fetched" in done.stderr and "he disk is full" in done.stderr, done.stderr
    assert names(here) == before and run("git", "status", "--short", cwd=here).stdout == ""
    run("depixel", "snapshot", "use", "v2", cwd=here)
    assert "new/1.jpg" in names(here)


def stored(folder):
    return sorted(path for path in (folder / "data/store").rglob("*") if path.is_file() and path.suffix != ".dir")


def test_a_corrupt_object_in_the_store_is_told(here):
    raw = [path for path in stored(here) if path.read_bytes()[:2] == b"PK" and b".npy" not in path.read_bytes()]
    raw[0].chmod(0o644)
    raw[0].write_bytes(b"PK rubbish")
    told = [run("depixel", "snapshot", "use", name, cwd=here, code=None) for name in ("v1", "v2")]
    assert any(f"{raw[0].name} is damaged" in done.stderr for done in told), [done.stderr for done in told]
    assert "1 damaged objects" in run("depixel", "doctor", cwd=here, code=1).stdout
    assert not any((here / "data/raw").rglob("*rubbish*"))


def test_objects_that_are_missing_are_told(here):
    for path in stored(here):
        path.chmod(0o644)
        path.unlink()
    told = run("depixel", "snapshot", "use", "v1", cwd=here, code=1).stderr
    assert "cannot be fetched" in told and "who published the photos still has them" in told


def test_two_people_changed_the_photos(reproduced, tmp_path):
    """The way that the README describes, walked through."""
    shared = tmp_path / "shared.git"
    run("git", "clone", "--quiet", "--bare", str(reproduced), str(shared), cwd=tmp_path)
    one, other = (clone(shared, tmp_path / name) for name in ("one", "other"))
    for folder, name in ((one, "one"), (other, "other")):
        run("depixel", "snapshot", "use", "v2", cwd=folder)
        (folder / f"data/raw/{name}.jpg").write_bytes(photo(position=False, orientation=1 + (name == "one")))
        publish(folder, f"of_{name}")
        run("dvc", "repro", "--quiet", "validate", cwd=folder)
        run("git", "commit", "--quiet", "--all", "--message=Results", cwd=folder)
    run("git", "push", "--quiet", cwd=one)
    assert run("git", "push", "--quiet", cwd=other, code=1)
    run("git", "pull", "--no-rebase", "--quiet", cwd=other, code=1)
    conflicts = run("git", "diff", "--name-only", "--diff-filter=U", cwd=other).stdout.split()
    assert conflicts == ["data/raw.dvc", "data/snapshots.csv", "dvc.lock"]
    assert "unresolved merge conflict" in run("depixel", "doctor", cwd=other, code=1).stdout
    assert "section Conflicts" in run("depixel", "snapshots", cwd=other, code=1).stderr

    # keep both rows of the names, ours of the photos; bring in what the others added; publish the union
    table = other / "data/snapshots.csv"
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line[:7] not in MARKS]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run("git", "checkout", "--ours", "data/raw.dvc", cwd=other)
    run("git", "checkout", "--ours", "dvc.lock", cwd=other)
    told = run("depixel", "diff", "of_one", cwd=other).stdout
    assert "2 files differ" in told
    run("dvc", "get", ".", "data/raw", "--rev", "origin/main", "-o", str(tmp_path / "theirs"), cwd=other)
    shutil.copy(tmp_path / "theirs/one.jpg", other / "data/raw")
    run("depixel", "snapshot", "publish", "of_both", cwd=other)
    run("dvc", "repro", "--quiet", "validate", cwd=other)
    run("git", "add", "--all", cwd=other)
    run("git", "commit", "--quiet", "--message=Photos of both", cwd=other)
    run("git", "push", "--quiet", cwd=other)
    run("git", "pull", "--quiet", cwd=one)
    run("depixel", "snapshot", "use", "of_both", cwd=one)
    assert {"one.jpg", "other.jpg"} <= set(names(one))
    rows = json.loads(run("depixel", "snapshots", "--json", cwd=one).stdout)
    assert sorted(row["name"] for row in rows) == ["of_both", "of_one", "of_other", "v1", "v2"]


MARKS = ("<<<<<<<", "=======", ">>>>>>>")


@pytest.mark.parametrize("content", ["", "outs: []", "outs:\n- md5: 1.dir\n", "a: [", "<<<<<<< HEAD\nouts:\n"])
def test_a_pointer_that_is_none(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw.dvc").write_text(content, encoding="utf-8")
    with pytest.raises(DepixelError, match="does not name a folder of photos"):
        snapshots.current()


@pytest.mark.skipif(sys.platform != "linux", reason="a full disk")
def test_a_full_disk_loses_nothing(at_v2):
    here = at_v2
    before = names(here)
    table = (here / "data/snapshots.csv").read_bytes()

    (here / "data/raw/mine.jpg").write_bytes(b"x" * 50_000)
    done = run("depixel", "snapshot", "publish", "v3", cwd=here, code=None, before=limited(2000))
    assert done.returncode != 0
    assert names(here) == sorted([*before, "mine.jpg"]) and (here / "data/snapshots.csv").read_bytes() == table
    run("depixel", "snapshot", "publish", "v3", cwd=here)


def test_the_doctor(here):
    run("dvc", "pull", cwd=here, code=None)
    run("depixel", "snapshot", "use", "v1", cwd=here)
    found = {f["subject"]: f for f in json.loads(run("depixel", "doctor", "--json", cwd=here, code=None).stdout)}
    assert list(found) == ["environment", "project", "photos", "remote", "cache", "results", "disk"]
    assert found["photos"]["found"] == "snapshot v1" and not any(
        found[s]["mend"] for s in ("photos", "remote", "cache")
    )
    damaged = next(path for path in (here / ".dvc/cache").rglob("*") if path.is_file() and path.suffix != ".dir")
    damaged.chmod(0o644)
    damaged.write_bytes(b"rubbish")
    (here / "data/raw/more.txt").write_text("x", encoding="utf-8")
    told = run("depixel", "doctor", cwd=here, code=1).stdout
    for problem in ("changed", "1 damaged objects", "dvc checkout --relink"):
        assert problem in told, told
    (here / "dvc.lock").write_text("schema: '2.0'\nstages: {a", encoding="utf-8")
    told = run("depixel", "doctor", cwd=here, code=1).stdout
    assert "truncated: dvc.lock" in told and "-> depixel mend" in told
    shutil.rmtree(here / "data/store")
    assert "does not have the photos" in run("depixel", "doctor", cwd=here, code=1).stdout


def test_the_doctor_in_a_fresh_clone_says_how_to_begin(here):
    found = {f["subject"]: f for f in json.loads(run("depixel", "doctor", "--json", cwd=here, code=1).stdout)}
    mend = found["photos"]["mend"]
    assert mend == "dvc pull data/raw.dvc data/test_set.dvc models/pretrained.dvc"
    run(*mend.split(), cwd=here)
    run("dvc", "repro", "validate", cwd=here)
