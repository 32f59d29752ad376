import io
import os
import random
import tarfile
import zipfile

import pytest

from depixel.base.errors import DepixelError
from depixel.photos.archives import Entries, Entry, read
from depixel.photos.decoding import UnreadableError
from depixel.photos.processes import each


def entries(root) -> list[Entry]:
    return list(Entries(root))


def listed(root) -> list[str]:
    return [entry.path for entry in Entries(root)]


def test_files_and_members_are_in_one_order(tmp_path, write_zip):
    write_zip(tmp_path / "k2.zip", {"b.jpg": b"1", "A/a.jpg": b"2", "empty/": b""})
    write_zip(tmp_path / "2023" / "k1.ZIP", {"z.jpg": b"3"})
    for name in ("alice/x.jpg", "alice/deep/er/y.jpg", "k2/c.jpg", "single.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1234")
    found = entries(tmp_path)
    assert [(entry.contributor, entry.name, entry.size) for entry in found] == [
        ("alice", "deep/er/y.jpg", 4),
        ("alice", "x.jpg", 4),
        ("k1", "z.jpg", 1),
        ("k2", "A/a.jpg", 1),
        ("k2", "b.jpg", 1),
        ("k2", "c.jpg", 4),
        ("", "single.jpg", 4),
    ]
    assert [entry.path for entry in found] == sorted(entry.path for entry in found)
    assert [read(entry, 10) for entry in found] == [b"1234", b"1234", b"3", b"2", b"1", b"1234", b"1234"]


def test_a_name_may_be_there_twice(tmp_path, write_zip):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "k1.zip", "w") as archive:
        for content in (b"first", b"second"):
            archive.writestr("a.jpg", content)
    (tmp_path / "k1").mkdir()
    (tmp_path / "k1" / "a.jpg").write_bytes(b"loose")
    found = entries(tmp_path)
    assert [entry.path for entry in found] == ["k1/a.jpg"] * 3
    replaced, *read_ones = sorted(found, key=lambda entry: not entry.problem)
    assert sorted(read(entry, 10) for entry in read_ones) == [b"loose", b"second"]
    with pytest.raises(UnreadableError, match="a later file in this archive has the same name"):
        read(replaced, 10)
    assert entries(tmp_path) == found


@pytest.mark.parametrize("name", ["k1.tar", "k1.tgz"])
def test_an_updated_tar_has_each_photo_once(tmp_path, name):
    mode = "w:gz" if name.endswith("gz") else "w"
    with tarfile.open(tmp_path / name, mode) as archive:
        for member, content in (("./a.jpg", b"old"), ("b.jpg", b"b"), ("a.jpg", b"new")):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert [(e.name, read(e, 10)) for e in entries(tmp_path) if not e.problem] == [("a.jpg", b"new"), ("b.jpg", b"b")]
    assert [entry.name for entry in entries(tmp_path) if entry.problem] == ["./a.jpg"]


@pytest.mark.parametrize("named", ["k1.zip", "k1.tar", "k1.tar.gz", "k1.TGZ"])
@pytest.mark.parametrize("is_", ["zip", "tar", "tgz", "v7"])
def test_an_archive_is_read_as_what_it_is(tmp_path, write_zip, named, is_):
    place = tmp_path / "raw" / named
    place.parent.mkdir()
    if is_ == "zip":
        write_zip(tmp_path / "made.zip", {"a.jpg": b"photo"}).rename(place)
    else:
        path = write_tar(tmp_path / f"made.{is_.replace('v7', 'tar')}", {"a.jpg": b"photo"})
        content = bytearray(path.read_bytes())
        if is_ == "v7":  # tars of old have no magic number
            content[257:265] = bytes(8)
            content[148:156] = b"        "
            content[148:156] = b"%06o\0 " % sum(content[:512])
        place.write_bytes(content)
    assert [(entry.path, read(entry, 10)) for entry in entries(place.parent)] == [("k1/a.jpg", b"photo")]


@pytest.mark.parametrize(
    ("content", "what"), [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a", "RAR"), (b"<html>", "a web page")]
)
def test_what_is_no_archive_is_named(tmp_path, content, what):
    (tmp_path / "k1.zip").write_bytes(content + bytes(100))
    (entry,) = entries(tmp_path)
    assert what in entry.problem and entry.name == ""


@pytest.mark.parametrize("names", [("Jos\u00e9", "Jose\u0301"), ("kim", "Kim"), ("É", "é"), ("STRASSE", "straße")])
@pytest.mark.parametrize("ends", [("", ""), (".zip", ""), (".tar", ".ZIP")])
def test_names_that_look_alike_are_one_contributor(tmp_path, write_zip, names, ends):
    for number, (name, end) in enumerate(zip(names, ends, strict=True)):
        path = tmp_path / f"{name}{end}"
        if end:
            write_zip(path, {f"{number}.jpg": b"1"})
        else:
            path.mkdir()
            (path / f"{number}.jpg").write_bytes(b"1")
    write_zip(tmp_path / "Kim 2.zip", {"2.jpg": b"1"})
    found = entries(tmp_path)
    assert len({entry.contributor for entry in found}) == 2
    assert found == sorted(found, key=lambda entry: entry.path)
    assert sorted(entry.name for entry in found) == ["0.jpg", "1.jpg", "2.jpg"]
    assert {read(entry, 10) for entry in found} == {b"1"}


def test_a_contributor_alone_is_called_as_the_folder_is(tmp_path, write_zip):
    write_zip(tmp_path / "Kim_ÄÖ.zip", {"a.jpg": b"1"})
    assert listed(tmp_path) == ["Kim_ÄÖ/a.jpg"]


def test_archives_named_by_their_ending_alone_have_a_place(tmp_path, write_zip):
    for name in (".zip", "-.zip", "a.zip", ".tar"):
        write_zip(tmp_path / name, {"z.jpg": name.encode()})
    (tmp_path / "loose.jpg").write_bytes(b"loose")
    found = entries(tmp_path)
    assert [entry.path for entry in found] == ["-/z.jpg", ".tar/z.jpg", ".zip/z.jpg", "a/z.jpg", "loose.jpg"]


def test_the_order_is_that_of_all_paths(tmp_path, write_zip):
    names = ("x.jpg", "0", "b/x.jpg", "b-/x.jpg", "B.jpg", "é.jpg")
    for stem in ("a", "a-b", "deep/a", "deep/er/a0", "z"):
        nameless = {zipfile.ZipInfo("\0"): b""} if stem == "a" else {}
        write_zip(tmp_path / f"{stem}.zip", dict.fromkeys(names, b"") | nameless)
    loose = ("a/b.jpg", "a/b/a.jpg", "a.jpg", "a b.jpg", "a-b/x.jpg", "deep/a.jpg", "k", "k-1.jpg", "k0.jpg", "é.jpg")
    for path in loose:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "k.zip").touch()  # no archive
    found = entries(tmp_path)
    assert found == sorted(found, key=lambda entry: (entry.path, entry.source, entry.member or 0))
    assert len(found) == len(set(found)) == len(Entries(tmp_path)) == 5 * len(names) + 1 + len(loose) + 1
    assert {"a", "k", "a/x.jpg", "a/0", "a/b/a.jpg", "a0/x.jpg", "deep/a.jpg", "é.jpg"} <= {e.path for e in found}


def test_files_that_go_while_they_are_listed_have_a_problem(tmp_path):
    for name in ("k1/a.jpg", "b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = Entries(tmp_path)
    (tmp_path / "b.jpg").unlink()
    assert [(entry.path, bool(entry.problem)) for entry in found] == [("b.jpg", True), ("k1/a.jpg", False)]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4" + bytes(100)])
def test_an_archive_that_cannot_be_read_is_one_entry(tmp_path, content, write_zip):
    write_zip(tmp_path / "k2.zip", {"a.jpg": b"1"})
    (tmp_path / "k1.zip").write_bytes(content)
    broken, whole = entries(tmp_path)
    assert (broken.contributor, broken.name, broken.size) == ("k1", "", len(content))
    assert broken.path == "k1" and broken.problem
    assert read(whole, 10) == b"1"


@pytest.mark.parametrize("name", ["../a.jpg", "x/../../a.jpg", "/a.jpg", "C:/a.jpg", "c:a.jpg", "..\\a.jpg", "\\a.jpg"])
def test_names_that_leave_the_archive_are_not_read(tmp_path, write_zip, name):
    write_zip(tmp_path / "k1.zip", {name: b"1", "fine..jpg": b"2"})
    problems = {entry.name: entry.problem for entry in entries(tmp_path)}
    assert problems.pop("fine..jpg") == ""
    assert [bool(problem) for problem in problems.values()] == [True]
    with pytest.raises(UnreadableError, match="not a name within the archive"):
        read(next(entry for entry in entries(tmp_path) if entry.problem), 10)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_inflate_without_limit_are_not_read(tmp_path, write_zip, method):
    write_zip(tmp_path / "k1.zip", {"a.jpg": bytes(10)}, method)
    with pytest.raises(UnreadableError, match="compressed by method"):
        read(entries(tmp_path)[0], 100)


def test_encrypted_members_are_not_read(tmp_path, write_zip):
    path = write_zip(tmp_path / "k1.zip", {"a.jpg": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match="encrypted"):
        read(entries(tmp_path)[0], 10)


def test_no_more_is_read_than_asked_for(tmp_path, write_zip):
    write_zip(tmp_path / "k1.zip", {"zeros.jpg": bytes(5_000_000)})
    (tmp_path / "loose.jpg").write_bytes(bytes(5000))
    assert [(entry.size, len(read(entry, 100))) for entry in entries(tmp_path)] == [(5_000_000, 101), (5000, 101)]


def test_a_member_larger_than_declared_is_damaged(tmp_path, write_zip):
    path = write_zip(tmp_path / "k1.zip", {"zeros.jpg": bytes(5_000_000)})
    path.write_bytes(path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    (entry,) = entries(tmp_path)
    assert entry.size == 1000
    with pytest.raises(UnreadableError, match="CRC"):
        read(entry, 2000)


def test_a_damaged_member_does_not_harm_the_others(tmp_path, write_zip):
    path = write_zip(tmp_path / "k1.zip", {"a.jpg": b"a" * 50, "b.jpg": b"b" * 50}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"aaaa", b"aaxa", 1))
    damaged, whole = entries(tmp_path)
    with pytest.raises(UnreadableError, match="CRC"):
        read(damaged, 100)
    assert read(whole, 100) == b"b" * 50


def test_names_are_shown_on_one_line_in_utf8(tmp_path, write_zip):
    write_zip(tmp_path / "k1.zip", {"a\nb\x1b\u2028.jpg": b"1", "jäger 雪,.jpg": b"2"})
    assert listed(tmp_path) == ["k1/a\\nb\\x1b\\u2028.jpg", "k1/jäger 雪,.jpg"]
    assert [read(entry, 10) for entry in entries(tmp_path)] == [b"1", b"2"]


@pytest.mark.skipif(os.name == "nt", reason="needs links, FIFOs, and names that Windows has not")
def test_links_to_files_are_read_and_what_dvc_cannot_take_is_left_out(tmp_path):
    root = tmp_path / "raw"
    root.mkdir()
    (tmp_path / "cache").write_bytes(b"linked")
    (root / "file.jpg").symlink_to(tmp_path / "cache")
    (root / "folder.jpg").symlink_to(root)
    (root / "nothing.jpg").symlink_to(root / "gone")
    os.mkfifo(root / "pipe.jpg")
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"1")
    (entry,) = found = Entries(root)
    assert read(entry, 10) == b"linked"
    assert {os.fsencode(one.path.name): one.left_out for one in found.left_out} == {
        b"caf\xe9.jpg": "its name is not in UTF-8: rename it",
        b"folder.jpg": "a link to a folder, which is not followed",
        b"nothing.jpg": "a link to nothing",
        b"pipe.jpg": "neither a file nor a folder",
    }


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"1")])
def test_nothing_there_says_what_to_do(tmp_path, make):
    make(tmp_path / "raw")
    with pytest.raises(DepixelError, match=r"dvc pull.*depixel sample"):
        Entries(tmp_path / "raw")


def test_a_file_that_is_gone_is_unreadable(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"1")
    (entry,) = entries(tmp_path)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UnreadableError, match="cannot be read"):
        read(entry, 10)


def content(entry: Entry) -> bytes:
    return read(entry, 100)


def test_an_archive_is_not_held_open_from_one_time_to_the_next(tmp_path, write_zip):
    for expected in (b"before", b"after"):
        write_zip(tmp_path / "k1.zip", {"a.jpg": expected})
        assert list(each(content, Entries(tmp_path), 1)) == [expected]


def test_processes_do_not_share_a_file_position(tmp_path, write_zip):
    names = {f"{i:03}.jpg": str(i).encode() * 30 for i in range(400)}
    write_zip(tmp_path / "k1.zip", names, zipfile.ZIP_STORED)
    found = Entries(tmp_path)
    assert read(next(iter(found)), 100) == names["000.jpg"]  # open in this process from here on
    assert list(each(content, found, 4)) == list(names.values())


# Tar archives


def write_tar(path, members, **fields):
    """Write `members`, name -> content, in their order; `fields` are set in each member's header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.lower().endswith("gz") else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return path


TARS = ["k1.tar", "k1.tar.gz", "k1.TGZ", "deep/er/k1.tgz"]


@pytest.mark.parametrize("name", TARS)
def test_tars_are_read_in_place(tmp_path, name):
    members = {f"{i:03}/{i}.jpg": random.Random(i).randbytes(20_000) for i in (3, 1, 2, *range(4, 60))}
    write_tar(tmp_path / name, members)
    found = entries(tmp_path)
    assert [entry.path for entry in found] == sorted(f"k1/{name}" for name in members)
    assert {entry.size for entry in found} == {20_000}
    for entry in (*reversed(found), *found):  # whatever the order
        assert read(entry, 250_000) == members[entry.name]
    assert len(read(found[0], 5)) == 6
    assert list(each(size_of, found, 2)) == [20_000] * len(found)
    assert list(tmp_path.rglob("*.jpg")) == []


def size_of(entry):
    return len(read(entry, 250_000))


def test_folders_in_a_tar_are_no_files_and_links_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "k1.tar", "w") as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    found = entries(tmp_path)
    assert [entry.name for entry in found] == ["h.jpg", "l.jpg"]
    for entry in found:
        with pytest.raises(UnreadableError, match="a link or a special file"):
            read(entry, 10)


@pytest.mark.parametrize("name", ["/etc/passwd.jpg", "../a.jpg", "a/../../b.jpg", "C:/a.jpg"])
def test_names_that_leave_a_tar_are_not_read(tmp_path, name):
    write_tar(tmp_path / "k1.tar", {name: b"1", "fine.jpg": b"2"})
    found = {entry.name: entry for entry in entries(tmp_path)}
    assert read(found["fine.jpg"], 10) == b"2"
    (other,) = (entry for entry in found.values() if entry.name != "fine.jpg")
    with pytest.raises(UnreadableError, match="not a name within the archive"):
        read(other, 10)


@pytest.mark.parametrize("name", ["k1.tar", "k1.tgz"])
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken", b"x" * 2000])
def test_a_tar_that_cannot_be_read_is_one_entry(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (entry,) = entries(tmp_path)
    assert (entry.contributor, entry.name) == ("k1", "") and entry.problem.startswith("not a tar: ")


@pytest.mark.parametrize("name", ["k1.tar", "k1.tgz"])
def test_a_tar_that_is_cut_off(tmp_path, name):
    path = write_tar(tmp_path / name, {f"{i}.jpg": random.Random(i).randbytes(100_000) for i in range(5)})
    path.write_bytes(path.read_bytes()[:250_000])
    for entry in entries(tmp_path):
        if not entry.problem:
            try:
                assert len(read(entry, 250_000)) == 100_000
            except UnreadableError as error:
                assert "cannot be read" in str(error)


def test_a_tar_that_inflates_without_limit(tmp_path):
    write_tar(tmp_path / "k1.tgz", {"a.jpg": bytes(30_000_000)})
    (entry,) = entries(tmp_path)
    assert "inflates to more than" in entry.problem


def test_a_damaged_header_does_not_hide_that_files_are_lost(tmp_path):
    path = write_tar(tmp_path / "k1.tar", {f"{i}.jpg": b"x" * 100 for i in range(5)})
    content = bytearray(path.read_bytes())
    content[2 * 1024 + 5] ^= 1  # the third header
    path.write_bytes(content)
    found = entries(tmp_path)
    assert [entry.name for entry in found] == ["", "0.jpg", "1.jpg"] and "damaged header" in found[0].problem


def test_a_header_that_leads_back_to_itself(tmp_path):
    path = write_tar(tmp_path / "k1.tar", {"a.jpg": b"1", "b.jpg": b"2"})
    content = bytearray(path.read_bytes())
    header = tarfile.TarInfo("b.jpg").tobuf(tarfile.GNU_FORMAT)
    header = bytearray(header)
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024 bytes
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header[:512])
    content[1024:1536] = header[:512]
    path.write_bytes(content)
    found = entries(tmp_path)
    assert [entry.name for entry in found] == ["", "a.jpg"] and "damaged" in found[0].problem


def test_a_header_that_asks_for_much_memory(tmp_path):
    write_tar(tmp_path / "k1.tgz", {"n" * 2_000_000: b"1"})
    (entry,) = entries(tmp_path)
    assert "damaged header" in entry.problem
