"""One walk of the photos, which sees what DVC sees: compared with DVC itself."""

import json
import os
import random
import socket
from pathlib import Path

import pytest

from depixel.base.errors import DepixelError
from depixel.photos import tracked
from depixel.photos.archives import Entries
from tests.conftest import run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs links and names that Windows has not")


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    run("git", "init", "--quiet", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    (folder / "outside").mkdir()
    (folder / "outside/photo.jpg").write_text("outside", encoding="utf-8")
    return folder


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def seen(folder) -> set[str]:
    return {found.path.relative_to(folder).as_posix() for found in tracked.walk(folder) if not found.left_out}


def recorded(project) -> set[str]:
    """The files that `dvc add` records."""
    run("dvc", "add", "--quiet", "data/raw", cwd=project)
    md5 = (project / "data/raw.dvc").read_text(encoding="utf-8").split("md5: ")[1].split()[0]
    listed = json.loads((project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_text(encoding="utf-8"))
    return {one["relpath"] for one in listed}


ODD = {
    "plain": ["k1/a.jpg", "k1/deep/er/b.jpg", "c.jpg"],
    "git": ["k1/.git/a.jpg", "k1/a.jpg", "k2/.git", ".git/x", ".hg/y", "k3/.hg", ".gitignore"],
    "a project within": ["k1/.dvc/config", "k1/a.jpg", "k2/[x]/.dvc/config", "k2/[x]/b.jpg", "k3/.dvc", "c.jpg"],
    "ignored": [
        "k1/rejected/a.jpg",
        "k1/a.jpg",
        "rejected/x/b.jpg",
        "k2/x.tmp",
        "k2/tmp",
        "k3/keep.tmp",
        "deep/no/a.jpg",
    ],
    "odd names": [
        "a b/c .jpg",
        "!a/b.jpg",
        "#a/b.jpg",
        "é/ü.jpg",
        "a*b/[c].jpg",
        "new\nline.jpg",
        "Thumbs.db",
        "-a.jpg",
    ],
}
PATTERNS = "# a comment\n\nrejected/\n*.tmp\n!keep.tmp\n/data/raw/deep/no\n\\#a\n**/Thumbs.db\n[z-a]\n"


@pytest.mark.parametrize("tree", ODD)
def test_it_sees_what_dvc_records(project, tree):
    write(project / "data/raw", *ODD[tree])
    (project / ".dvcignore").write_text(PATTERNS.replace("[z-a]\n", ""), encoding="utf-8")
    (project / "data/.dvcignore").write_text("raw/k1/deep/*/b.jpg\na[*]b/\n", encoding="utf-8")
    assert seen(project / "data/raw") == recorded(project)


def test_links_are_followed_as_dvc_follows_them(project):
    write(project / "data/raw", "k1/a.jpg")
    (project / "data/raw/k1/link.jpg").symlink_to(project / "outside/photo.jpg")
    (project / "data/raw/k1/folder").symlink_to(project / "outside")
    (project / "data/raw/k2").symlink_to(project / "data/raw/k1")
    expected = seen(project / "data/raw")
    assert expected == recorded(project) == {"k1/a.jpg", "k1/link.jpg"}


NAMES = ["a", "b", "rejected", "x.jpg", "y.txt", ".git", ".hg", ".dvc", "é", "A", "a b", " b", "!a", "#a", "a[1]", "*"]
LINES = [
    "rejected/",
    "*.txt",
    "!x.jpg",
    "data/raw/a",
    "a",
    "/a",
    "**/b",
    "b/**",
    "**/",
    "!**/a",
    "\\#a",
    "\\!a",
    "a[1]",
]
LINES += [
    "[ab]",
    "#c",
    "  ",
    "/",
    "*",
    "!*/",
    "data/raw/*/x.jpg",
    "!.git/",
    ".git",
    "raw/b",
    "?",
    "!data/",
    "é",
]


def test_it_sees_what_dvc_walks_in_random_trees(project):
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    for seed in range(60):
        chance = random.Random(seed)
        raw = project / f"data{seed}/raw"
        for _ in range(8):
            path = raw.joinpath(*chance.choices(NAMES, k=chance.randint(1, 4)))
            if not path.exists() and not any(parent.is_file() for parent in path.parents):
                write(raw, path.relative_to(raw).as_posix())
        for folder in (project, raw.parent):
            lines = [line.replace("data/", f"data{seed}/") for line in chance.sample(LINES, 4)]
            (folder / ".dvcignore").write_text("\n".join(lines), encoding="utf-8")
        ignored = DvcIgnoreFilter(localfs, str(project))
        if not ignored.is_ignored(localfs, str(raw)):
            theirs = {os.path.relpath(path, raw) for path in ignored.find(localfs, str(raw))}
            assert seen(raw) == theirs, seed


def test_a_part_of_a_folder_is_seen_as_within_the_whole(tmp_path):
    write(tmp_path, "k1/a.jpg", "k1/rejected/b.jpg", "k1/deep/rejected/c.jpg")
    (tmp_path / ".dvcignore").write_text("rejected/\n", encoding="utf-8")
    for start in ("k1", "k1/deep"):
        expected = {tmp_path / name for name in seen(tmp_path) if name.startswith(f"{start}/")}
        assert {found.path for found in tracked.walk(tmp_path, tmp_path / start) if not found.left_out} == expected
    assert [entry.path for entry in Entries(tmp_path)] == ["k1/a.jpg"]


def test_a_folder_that_dvc_leaves_out_is_read_by_itself(project):
    (project / ".dvcignore").write_text("new/\n*.txt\n", encoding="utf-8")
    write(project / "new", "k1/a.jpg", "k1/b.txt", "k1/.git/c")
    write(project / ".dvc/tmp/snapshot", "k1/a.jpg")
    assert seen(project / "new") == {"k1/a.jpg", "k1/b.txt"}
    assert seen(project / ".dvc/tmp/snapshot") == {"k1/a.jpg"}


def test_what_is_left_out_is_named_with_its_reason(project):
    raw = project / "data/raw"
    (project / ".dvcignore").write_text("rejected/\n", encoding="utf-8")
    write(raw, "k1/a.jpg", "k1/rejected/b.jpg", "k1/.git/c", "k2/.dvc/config")
    (raw / "k3").symlink_to(raw / "k1")
    found = Entries(raw)
    assert len(found) == 1
    told = tracked.told(found.left_out)
    for part in (
        "k1/rejected: .dvcignore has rejected/",
        "k1/.git: DVC never tracks .git",
        "k2: a DVC project of its own",
    ):
        assert part in told
    assert "k3: a link to a folder" in told
    assert tracked.told([]) == ""


def _socket(path):
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


STOPPING = {
    "fifo": (os.mkfifo, "neither a file nor a folder"),
    "socket": (_socket, "neither a file nor a folder"),
    "nothing": (lambda path: path.symlink_to("gone"), "a link to nothing"),
    os.fsdecode(b"caf\xe9"): (lambda path: path.mkdir(), "not in UTF-8"),
    ".dvcignore": (lambda path: path.write_text("x\n"), "move its lines"),
}


@pytest.mark.parametrize("name", STOPPING)
def test_what_dvc_would_stop_at_is_named_before(project, name):
    make, reason = STOPPING[name]
    write(project / "data/raw", "k1/a.jpg")
    tracked.check(project / "data/raw")
    make(project / "data/raw/k1" / name)
    with pytest.raises(DepixelError, match=reason):
        tracked.check(project / "data/raw")
    (project / ".dvcignore").write_text("k1/\n", encoding="utf-8")
    tracked.check(project / "data/raw")  # DVC does not look there


def test_a_damaged_dvcignore_is_named(project):
    write(project / "data/raw", "a.jpg")
    for content in (b"\xff", b"!\n"):
        (project / ".dvcignore").write_bytes(content)
        with pytest.raises(DepixelError, match=r"\.dvcignore: DVC cannot read it"):
            list(tracked.walk(project / "data/raw"))


def test_nothing_stops_where_no_photos_are(tmp_path):
    tracked.check(tmp_path / "raw")


def test_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a.jpg").write_bytes(b"1")
    (found,) = tracked.left_out(tmp_path)
    assert found.path.name == "loop" and found.stops and "link" in found.left_out
