"""Other remotes than the embedded one: S3, a folder, read-only HTTP; and other projects that take the photos."""

import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import REPOSITORY, clone, run, upload


@pytest.fixture
def here(reproduced, tmp_path):
    folder = clone(reproduced, tmp_path / "here")
    run("dvc", "pull", "data/raw.dvc", cwd=folder)
    return folder


def add_s3(folder, url, key, secret):
    run("dvc", "remote", "add", "--force", "--default", "bucket", "s3://photos/depixel", cwd=folder)
    run("dvc", "remote", "modify", "bucket", "endpointurl", url, cwd=folder)
    run("dvc", "remote", "modify", "bucket", "region", "us-east-1", cwd=folder)
    run("dvc", "remote", "modify", "--local", "bucket", "access_key_id", key, cwd=folder)
    run("dvc", "remote", "modify", "--local", "bucket", "secret_access_key", secret, cwd=folder)


def test_s3(here, tmp_path, s3):
    url, key, secret = s3
    add_s3(here, url, key, secret)
    (here / "data/raw/more.txt").write_text("not in the embedded store", encoding="utf-8")
    run("depixel", "snapshot", "publish", "in_bucket", cwd=here)
    run("git", "add", "--all", cwd=here)
    run("git", "commit", "--quiet", "--message=photos", cwd=here)
    assert secret not in run("git", "show", "HEAD", cwd=here).stdout

    there = clone(here, tmp_path / "there")
    told = run("depixel", "snapshot", "use", "in_bucket", cwd=there, code=1).stderr  # nobody gave it the key
    assert "cannot be fetched" in told
    add_s3(there, url, key, secret)
    run("depixel", "snapshot", "use", "in_bucket", cwd=there)
    assert (there / "data/raw/more.txt").is_file()
    assert "s3://photos/depixel" in run("depixel", "doctor", cwd=there, code=None).stdout


def test_wrong_credentials_are_told(here, s3):
    url, key, _ = s3
    add_s3(here, url, key, "wrong")
    (here / "data/raw/more.txt").write_text("other", encoding="utf-8")
    told = run("depixel", "snapshot", "publish", "never", cwd=here, code=1).stderr
    assert "not pushed" in told and ("orbidden" in told or "denied" in told or "credentials" in told), told
    found = run("depixel", "doctor", cwd=here, code=1).stdout
    assert "cannot be reached" in found and "does not have" not in found
    assert not (here / "data/snapshots.csv").is_file() or "never" not in (here / "data/snapshots.csv").read_text()


def test_missing_objects_are_told(here, tmp_path, s3):
    """The bucket has nothing of this snapshot."""
    url, key, secret = s3
    add_s3(here, url, key, secret)
    (here / "data/raw/unpushed.txt").write_text("only here", encoding="utf-8")
    run("dvc", "add", "data/raw", cwd=here)
    run("git", "commit", "--quiet", "--all", "--message=not pushed", cwd=here)
    there = clone(here, tmp_path / "there")
    add_s3(there, url, key, secret)
    told = run("depixel", "snapshot", "use", "HEAD", cwd=there, code=1).stderr
    assert "cannot be fetched" in told and "who published the photos" in told


def test_a_folder(here, tmp_path):
    run("dvc", "remote", "add", "--default", "share", str(tmp_path / "share"), cwd=here)
    run("depixel", "snapshot", "publish", "shared", cwd=here)
    run("git", "add", "--all", cwd=here)
    run("git", "commit", "--quiet", "--message=photos", cwd=here)
    there = clone(here, tmp_path / "there")
    run("dvc", "pull", "data/raw.dvc", cwd=there)
    assert sorted(path.name for path in (there / "data/raw").iterdir()) == sorted(
        path.name for path in (here / "data/raw").iterdir()
    )


@pytest.fixture
def web(reproduced):
    """The address of a web server that serves the embedded store, and can only be read."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Quiet, directory=str(reproduced / "data/store"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_read_only_http(reproduced, tmp_path, web):
    there = clone(reproduced, tmp_path / "there")
    run("dvc", "remote", "add", "--default", "web", web, cwd=there)
    run("dvc", "pull", "data/raw.dvc", cwd=there)
    assert len(list((there / "data/raw").glob("*.zip"))) == 3
    (there / "data/raw/more.txt").write_text("x", encoding="utf-8")
    assert "not pushed" in run("depixel", "snapshot", "publish", "never", cwd=there, code=1).stderr


def project(folder):
    """Another DVC project."""
    folder.mkdir()
    run("git", "init", "--quiet", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    return folder


def test_others_get_and_import_the_photos(reproduced, tmp_path, web):
    here = clone(reproduced, tmp_path / "here")
    empty = tmp_path / "empty"
    empty.mkdir()
    run("dvc", "get", str(here), "data/raw", cwd=empty)
    assert len(list((empty / "raw").glob("*.zip"))) == 3

    other = project(tmp_path / "other")
    run("dvc", "import", str(here), "data/raw", cwd=other)
    run("dvc", "pull", "data/raw.dvc", cwd=here)
    (here / "data/raw/more.txt").write_text("x", encoding="utf-8")
    run("depixel", "snapshot", "publish", "more", cwd=here)
    run("git", "add", "--all", cwd=here)
    run("git", "commit", "--quiet", "--message=more", cwd=here)
    run("dvc", "update", "raw.dvc", cwd=other)
    assert (other / "raw/more.txt").is_file()

    # a git URL does not reach a remote that lies within the repository, but its address can be given
    git = reproduced.resolve().as_uri()
    assert "ERROR" in run("dvc", "get", git, "data/raw", "-o", "no", cwd=empty, code=None).stderr
    run("dvc", "get", git, "data/raw", "-o", "yes", "--remote", "web", "--remote-config", f"url={web}", cwd=empty)
    assert len(list((empty / "yes").glob("*.zip"))) == 3
    far = project(tmp_path / "far")
    run("dvc", "import", git, "data/raw", "--remote", "web", "--remote-config", f"url={web}", cwd=far)
    run("dvc", "update", "raw.dvc", cwd=far)
    assert len(list((far / "raw").glob("*.zip"))) == 3


def test_the_pipeline_reads_photos_in_a_bucket(here, bucket, jpeg):
    """By the commands of the docs: the results are those of a folder, and DVC notices a new object."""
    run("dvc", "pull", cwd=here)
    upload(here / "data/raw", bucket, "raw")
    shutil.rmtree(here / "data/raw")
    page = (REPOSITORY / "docs/how-to/scale-data.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^(?:git rm|sed) .*$", page)
    assert len(commands) == 2
    for command in commands:
        run("bash", "-c", command.replace("BUCKET/PREFIX", "photos/raw"), cwd=here)
    told = run("dvc", "repro", cwd=here).stdout
    assert "stages.validate --raw s3://photos/raw" in told and "stages.card --raw s3://photos/raw" in told
    changed = run("git", "status", "--porcelain", cwd=here).stdout.split()
    assert changed == ["D", "data/raw.dvc", "M", "dvc.lock", "M", "dvc.yaml", "M", "models/depixel.md"]
    assert "`s3://photos/raw` with the DVC hash" in (here / "models/depixel.md").read_text(encoding="utf-8")
    assert "up to date" in run("dvc", "status", cwd=here).stdout
    for command in ("report", "experiments"):
        run("depixel", command, cwd=here)
    told = run("depixel", "doctor", cwd=here, code=None).stdout
    assert "data/raw" not in told and told.count("in s3://photos/raw") == 2, told

    bucket.put_object(Key="raw/k99999999/new.jpg", Body=jpeg(999))
    assert re.search(r"modified: +s3://photos/raw", run("dvc", "status", "validate", cwd=here).stdout)
    run("dvc", "repro", "prepare", cwd=here)
    assert "k99999999,new.jpg" in (here / "data/prepared/index.csv").read_text(encoding="utf-8")
    assert "up to date" in run("dvc", "status", "validate", "prepare", cwd=here).stdout
