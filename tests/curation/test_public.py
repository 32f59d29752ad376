"""Fetching collections, from a server on this machine that can be slow, break off, lie, or have nothing."""

import hashlib
import io
import random
import tarfile
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from urllib3.util import Retry

from depixel.base.console import progress
from depixel.base.errors import DepixelError
from depixel.base.tables import read_table
from depixel.cli import main
from depixel.curation import public
from depixel.curation.public import DATASETS, Origin, fetch, known, other
from depixel.photos.archives import Entries

COMMIT = "11961516512414bf9f6c150a832cfd21b54a6b54"
bar = partial(progress, desc="test")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    from depixel.curation import synthetic

    return synthetic.photo(0, 1, 1)


def packed(members, comment=""):
    file = io.BytesIO()
    headers = {"comment": comment} if comment else {}
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def archives(photo):
    """Archives with the layout of the known collections, by the last part of their address."""
    return {
        "imagenette2-160.tgz": packed({f"imagenette2-160/train/n01440764/{i}.JPEG": photo for i in range(3)}),
        "BSR_bsds500.tgz": packed(
            {
                "BSR/BSDS500/data/images/train/100075.jpg": photo,
                "BSR/BSDS500/data/groundTruth/train/100075.mat": b"MATLAB",
            }
        ),
        f"{COMMIT}.tar.gz": packed({f"clothing-dataset-small-{COMMIT}/train/dress/a.jpg": photo}, COMMIT),
    }


class Server:
    """Serves `files`; `cut` bytes of each answer at most, `wait` seconds before each 10 000; notes the requests."""

    def __init__(self, files):
        self.files, self.cut, self.wait, self.ranges, self.tag, self.requests = files, None, 0, True, '"1"', []

    def answer(self, handler):
        self.requests.append(handler.headers.get("Range"))
        content = self.files.get(handler.path.rsplit("/", 1)[-1])
        if content is None:
            handler.send_error(404)
            return
        start = 0
        if self.ranges and handler.headers.get("Range") and handler.headers.get("If-Range") == self.tag:
            start = int(handler.headers["Range"][len("bytes=") : -1])
            if start >= len(content):
                handler.send_error(416)
                return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.send_header("ETag", self.tag)
        handler.end_headers()
        sent = content[start:][: self.cut]
        for i in range(0, len(sent), 10_000):
            time.sleep(self.wait)
            handler.wfile.write(sent[i : i + 10_000])
        handler.close_connection = True


@pytest.fixture
def server(archives):
    behaviour = Server(archives)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            behaviour.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        behaviour.url = f"http://127.0.0.1:{running.server_port}"
        yield behaviour
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of a project, in which the test runs; no time passes between attempts."""
    monkeypatch.setattr(public, "Retry", lambda *numbers, **options: Retry(*numbers, **options | {"backoff_factor": 0}))
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def at(server, dataset, **changes):
    """A known collection as the test's server has it."""
    name = dataset.url.rsplit("/", 1)[-1]
    if not dataset.checksum.startswith("commit:"):
        changes["checksum"] = f"md5:{hashlib.md5(server.files[name]).hexdigest()}"
    return dataset._replace(url=f"{server.url}/{name}", **changes)


@pytest.mark.parametrize("name", [dataset.name for dataset in DATASETS])
def test_a_known_collection_is_fetched_and_read_in_place(server, folder, name):
    dataset = at(server, known(name))
    path = fetch(dataset, folder / "data/raw", bar)
    assert path.read_bytes() == server.files[dataset.url.rsplit("/", 1)[-1]]
    photos = [entry for entry in Entries(folder / "data/raw") if entry.name.lower().endswith((".jpg", ".jpeg"))]
    assert photos and not any(entry.problem for entry in photos)
    (origin,) = read_table(folder / "data/origins.csv", Origin, "")
    assert origin.file == path.name and origin.url == dataset.url and origin.licence == dataset.licence
    assert origin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert fetch(dataset, folder / "data/raw", bar) == path and len(server.requests) == 1  # not fetched again
    assert list((folder / ".dvc/tmp/fetch").iterdir()) == []


@pytest.fixture
def large(server):
    """An archive of 300 000 bytes that nothing compresses."""
    content = packed({"a.jpg": random.Random(0).randbytes(300_000)})
    server.files["large.tgz"] = content
    return other(f"{server.url}/large.tgz", hashlib.sha256(content).hexdigest())


def test_a_slow_server(server, folder, large):
    server.wait = 0.01
    assert fetch(large, folder, bar).stat().st_size == len(server.files["large.tgz"])


def test_a_broken_download_goes_on_where_it_was(server, folder, large):
    server.cut = 90_000
    assert fetch(large, folder, bar).read_bytes() == server.files["large.tgz"]
    starts = [int(asked[len("bytes=") : -1]) for asked in server.requests[1:]]
    assert server.requests[0] is None and starts == sorted(set(starts)) and starts[0] > 80_000 and len(starts) == 3


def test_a_download_that_breaks_off_again_and_again_is_kept(server, folder, large):
    server.cut = 10_000
    with pytest.raises(DepixelError, match=r"broke off repeatedly\. 0\.1 MB have arrived; run the same command"):
        fetch(large, folder, bar)
    assert not (folder / "large.tgz").exists()
    server.cut = None
    fetch(large, folder, bar)
    assert server.requests[-1] == "bytes=50000-"


@pytest.mark.parametrize("change", [{"ranges": False}, {"tag": '"2"'}])
def test_what_a_server_cannot_go_on_with_is_fetched_from_the_beginning(server, folder, large, change):
    server.cut = 10_000
    with pytest.raises(DepixelError):
        fetch(large, folder, bar)
    server.cut = None
    for name, value in change.items():
        setattr(server, name, value)
    assert fetch(large, folder, bar).read_bytes() == server.files["large.tgz"]


def test_a_wrong_file_is_thrown_away(server, folder, large):
    server.files["large.tgz"] = server.files["large.tgz"][:-1] + b"x"
    with pytest.raises(DepixelError, match=r"not the expected one \(its sha256 is [0-9a-f]{64}, must be"):
        fetch(large, folder, bar)
    assert [path.name for path in folder.rglob("*.tgz*")] == []
    assert not (folder / "data/origins.csv").exists()


def test_a_missing_file(server, folder):
    with pytest.raises(DepixelError, match=r"none.zip: the server says 404 Not Found"):
        fetch(other(f"{server.url}/none.zip", "0" * 64), folder, bar)


def test_no_server(folder, monkeypatch):
    monkeypatch.setattr(public, "ATTEMPTS", 1)
    with pytest.raises(DepixelError, match="the connection failed"):
        fetch(other("http://127.0.0.1:9/a.zip", "0" * 64), folder, bar)


def test_another_file_of_the_name_is_not_replaced(server, folder, large):
    (folder / "large.tgz").write_bytes(b"mine")
    with pytest.raises(DepixelError, match=r"large.tgz: already there, but not this archive .* Move it away"):
        fetch(large, folder, bar)
    assert (folder / "large.tgz").read_bytes() == b"mine" and server.requests == []


def test_another_commit(server, folder, photo):
    server.files[f"{COMMIT}.tar.gz"] = packed({"a.jpg": photo}, "0" * 40)
    with pytest.raises(DepixelError, match="its commit is 0000"):
        fetch(at(server, known("clothing")), folder, bar)


def test_the_content_of_a_commit_is_that_of_the_first_time(server, folder, photo):
    dataset = at(server, known("clothing"))
    fetch(dataset, folder, bar).unlink()
    server.files[f"{COMMIT}.tar.gz"] = packed({"b.jpg": photo}, COMMIT)
    with pytest.raises(DepixelError, match="at the first fetch"):
        fetch(dataset, folder, bar)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd.zip", "ftp://host/a.zip", "https:///a.zip", "http://host/a.exe", "http://host/.a.zip"],
)
def test_addresses_that_are_none(url):
    with pytest.raises(DepixelError, match=r"must (begin|end)"):
        other(url, "0" * 64)


def depixel(*arguments):
    return CliRunner().invoke(main, arguments)


def test_the_commands(server, folder, large):
    result = depixel("fetch", large.url, "--sha256", large.checksum.removeprefix("sha256:"))
    assert result.exit_code == 0 and "data/raw/large.tgz: complete" in result.output
    assert "split.by: photo" in result.output
    assert "--sha256 HASH" in depixel("fetch", large.url).output
    assert "64 hexadecimal digits" in depixel("fetch", large.url, "--sha256", "12").output
    assert "imagenette, bsds500, clothing" in depixel("fetch", "imagenet").output
    listed = depixel("datasets").output
    for dataset in DATASETS:
        assert all(str(value) in listed for value in (dataset.name, dataset.licence, dataset.source, dataset.checksum))
    assert '"name": "bsds500"' in depixel("datasets", "--json").output
