"""Photos in a bucket: the bytes of a folder, read range by range; and all that may be wrong with a bucket."""

import os
import resource
import sys
import tarfile
from pathlib import Path

import pytest

from depixel.base.errors import DepixelError
from depixel.photos import archives, rules
from depixel.photos import bucket as buckets
from depixel.photos.archives import Entries
from tests.conftest import REPOSITORY, run, upload

pytestmark = pytest.mark.slow
URL = "s3://photos/raw"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The folder in which stages run."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "params.yaml").write_text("prepare: {size: 32}\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def stage(name: str, place: Path, raw: Path | str, *options: str, code: int = 0) -> str:
    """Run a stage; what it told on the standard error."""
    return run(
        "python", str(REPOSITORY / f"stages/{name}.py"), "--raw", str(raw), *options, cwd=place, code=code
    ).stderr


def made(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def both(place: Path, raw: Path | str) -> dict[str, bytes]:
    for name in ("validate", "prepare"):
        stage(name, place, raw)
    return made(place)


@pytest.fixture
def all_kinds(raw, tmp_path, jpeg) -> Path:
    """Also tars, damaged archives, copies, and photos in no folder."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(20):
        (photos / f"{i}.jpg").write_bytes(jpeg(1000 + i))
    for name, mode in (("t1.tar", "w"), ("t2.tar.gz", "w:gz")):
        with tarfile.open(raw / name, mode) as tar:
            tar.add(photos, "photos")
    for source, name in (("t1.tar", "cut.tar"), ("t2.tar.gz", "cut.tgz"), ("k00000001.zip", "cut.zip")):
        (raw / name).write_bytes((raw / source).read_bytes()[:20_000])
    (raw / "sub").mkdir()
    (raw / "k00000003.zip").rename(raw / "sub/K00000003.ZIP")
    (raw / "empty.zip").touch()
    (raw / "page.zip").write_text("<html>", encoding="utf-8")
    (raw / "grüße #1 ?%41.jpg").write_bytes(jpeg(5))
    (raw / "again.jpg").write_bytes(jpeg(5))
    return raw


def test_the_bytes_are_those_of_a_folder(all_kinds, place, tmp_path, bucket):
    upload(all_kinds, bucket, "raw")
    (tmp_path / "local").mkdir()
    (tmp_path / "local/params.yaml").write_bytes((place / "params.yaml").read_bytes())
    expected = both(tmp_path / "local", all_kinds)
    assert both(place, URL) == expected
    assert expected["data/validated/manifest.csv"].count(b"\n") > 100
    listed = [entry._replace(source="", version="") for entry in Entries(URL)]
    assert listed == [entry._replace(source="") for entry in Entries(all_kinds)]


def test_messy_inputs_give_the_bytes_of_a_folder(shared, place, tmp_path, bucket):
    upload(shared / "messy", bucket, "raw")
    (tmp_path / "local").mkdir()
    (tmp_path / "local/params.yaml").write_bytes((place / "params.yaml").read_bytes())
    assert both(place, URL + "/") == both(tmp_path / "local", shared / "messy")


def test_the_stages_after_them_read_it_too(workplace, bucket):
    upload(workplace / "data/raw", bucket, "raw")
    before = made(workplace)
    (workplace / "data/analysis.made_by.json").unlink()
    stage("analyze", workplace, URL)
    stage("card", workplace, URL)
    differing = {name for name, content in made(workplace).items() if before.get(name) != content}
    assert differing <= {"models/depixel.md"}, differing


def test_only_changed_objects_are_judged_and_prepared_again(raw, place, tmp_path, bucket, jpeg, write_zip):
    upload(raw, bucket, "raw")
    both(place, URL)
    before = {entry.path: entry.version for entry in Entries(URL)}
    photos = {f"IMG_{i}.jpg": jpeg(100 * 4 + i) for i in range(6)} | {"IMG_2.jpg": jpeg(999)}
    upload(write_zip(tmp_path / "new/k00000004.zip", photos).parent, bucket, "raw")
    changed = {entry.path for entry in Entries(URL) if before[entry.path] != entry.version}
    assert changed == {f"k00000004/{name}" for name in photos}

    log = place.parent / "decoded"
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from depixel.photos import rules, preparation\n"
        "def noted(function):\n"
        "    def wrapped(*args):\n"
        f"        open({str(log)!r}, 'a').write(function.__name__ + '\\n')\n"
        "        return function(*args)\n"
        "    return wrapped\n"
        "rules.judge, preparation.square = noted(rules.judge), noted(preparation.square)\n"
    )
    for name in ("validate", "prepare"):
        run("python", "-c", f"{code}from stages.{name} import main; main(['--raw', {URL!r}])", cwd=place)
    assert sorted(log.read_text().split()) == ["judge", "judge", "square"]  # the text has no hash to be known by


def test_names_that_no_folder_can_have_are_not_read(raw, place, bucket, jpeg):
    upload(raw, bucket, "raw")
    for name in ("../up.jpg", "/etc/x.jpg", "k1//double.jpg", "k1/./dot.jpg", "../k.zip"):
        client = bucket.meta.client
        client.put_object(Bucket="photos", Key=f"raw/{name}", Body=jpeg(1))
    bucket.put_object(Key="raw/line\u2028end.jpg", Body=jpeg(2))
    bucket.put_object(Key="raw/empty/", Body=b"")
    bucket.put_object(Key="raw", Body=jpeg(3))
    bucket.put_object(Key="raw2/other.jpg", Body=jpeg(3))
    found = {entry.path: rules.judge(entry) for entry in Entries(URL)}
    assert len(found) == 62 + 6
    for path in ("../up.jpg", "/etc/x.jpg", "k1//double.jpg", "k1/./dot.jpg"):
        assert (found[path].code, found[path].reason) == (3, "not the path of a file in a folder")
    assert found["../k.zip"].code == 1 and found["line\\u2028end.jpg"].code == 0
    stage("validate", place, URL)


def test_all_of_a_bucket(raw, bucket):
    upload(raw, bucket, "raw")
    assert len(Entries("s3://photos")) == len(Entries(URL)) == 62
    assert {entry.contributor for entry in Entries("s3://photos")} == {entry.contributor for entry in Entries(raw)} - {
        "loose"
    } | {"raw"}


# What may be wrong


def refusal(place: Path, raw: str = URL) -> str:
    """The error of validate; it must leave nothing."""
    before = made(place)
    told = stage("validate", place, raw, code=1)
    assert made(place) == before and told.count("\n") == 1 and told.startswith("Error: ")
    return told


def test_a_bucket_that_is_not_there(place, bucket):
    assert refusal(place, "s3://nowhere/raw") == "Error: s3://nowhere/raw: there is no such bucket\n"
    assert "s3://photos/raw: no objects there" in refusal(place)
    assert "s3://: names no bucket" in refusal(place, "s3://")
    assert "s3://a b!/c: names no bucket" in refusal(place, "s3://a b!/c")


def test_wrong_and_missing_credentials(place, bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "s3://photos/raw: access denied (SignatureDoesNotMatch)" in refusal(place)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    assert "s3://photos/raw: access denied (InvalidAccessKeyId)" in refusal(place)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(place))
    assert "s3://photos/raw: cannot be read (Unable to locate credentials)" in refusal(place)


def test_a_server_that_is_not_there(place, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "s3://photos/raw: cannot be read (Could not connect to the endpoint URL" in refusal(place)


def test_without_botocore_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(DepixelError, match=r's3://photos/raw: .* pip install "depixel\[s3\]"'):
        Entries(URL)


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "jpg"])
@pytest.mark.parametrize("gone", [True, False])
def test_an_object_that_changes_while_it_is_read(raw, tmp_path, place, bucket, jpeg, write_zip, suffix, gone):
    """It is an error, and no verdict: the photo is not invalid."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(1))
    if suffix == "zip":
        write_zip(raw / "z.zip", {"photo.jpg": jpeg(1)})
    elif suffix == "jpg":
        (raw / "z.jpg").write_bytes(jpeg(1))
    else:
        with tarfile.open(raw / f"z.{suffix}", "w:gz" if suffix == "tar.gz" else "w") as tar:
            tar.add(photo, "photo.jpg")
    upload(raw, bucket, "raw")
    found = [entry for entry in Entries(URL) if entry.source.startswith(f"{URL}/z.")]
    key = f"raw/z.{suffix}"
    if gone:
        bucket.Object(key).delete()
    else:
        bucket.put_object(Key=key, Body=bucket.Object(key).get()["Body"].read() + b"more")
    archives.close()
    with pytest.raises(DepixelError, match="was changed or deleted after it was listed") as told:
        list(rules.validate(found, workers=1))
    assert str(told.value).startswith(f"s3://photos/{key}: ") and type(told.value) is DepixelError


def test_an_object_that_goes_within_an_archive(raw, bucket, write_zip):
    """The libraries that unpack archives must not take it for a damaged archive."""
    content = os.urandom(4_000_000)
    with tarfile.open(raw / "z.tar.gz", "w:gz") as tar:
        (raw / "noise").write_bytes(content)
        tar.add(raw / "noise", "noise")
    write_zip(raw / "z.zip", {"noise": content})
    upload(raw, bucket, "raw")
    for name in ("z.tar.gz", "z.zip"):
        (entry,) = (entry for entry in Entries(URL) if entry.source.endswith(name))
        assert archives.read(entry, 100) == content[:101]
        bucket.Object(f"raw/{name}").delete()
        with pytest.raises(DepixelError, match="was changed or deleted") as told:
            archives.read(entry, len(content))
        assert type(told.value) is DepixelError


def test_an_object_that_comes_while_a_stage_runs(raw, place, bucket, jpeg):
    upload(raw, bucket, "raw")
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "import boto3; from stages import validate; written = validate.write_json\n"
        "def slow(*args):\n"
        "    boto3.resource('s3').Bucket('photos').put_object(Key='raw/new.jpg', Body=b'new')\n"
        "    written(*args)\n"
        f"validate.write_json = slow; validate.main(['--raw', {URL!r}])"
    )
    told = run("python", "-c", code, cwd=place, code=1).stderr
    assert told.startswith(f"Error: {URL}: changed while this stage ran.")


# How much is read


def test_an_archive_is_never_copied_whole(tmp_path, bucket, write_zip, monkeypatch):
    """Of 64 MB, a photo takes the archive's directory, and a piece around it; memory and disk hold only that."""
    write_zip(tmp_path / "raw/k.zip", {f"{i:03}.jpg": os.urandom(250_000) for i in range(256)}, 0)
    upload(tmp_path / "raw", bucket, "raw")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    entries = list(Entries(URL))
    read: list[int] = []
    taken = buckets._Object._range

    def noted(self, start, end):
        data = taken(self, start, end)
        read.append(len(data))
        return data

    monkeypatch.setattr(buckets._Object, "_range", noted)
    archives.close()
    assert len(archives.read(entries[128], 250_000)) == 250_000
    assert sum(read) < 4_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for entry in entries:
        archives.read(entry, 250_000)
    assert sum(read) < 80_000_000 and max(read) <= buckets._PIECE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_a_lost_connection_is_tried_again(tmp_path, bucket, jpeg, monkeypatch):
    from botocore.exceptions import ReadTimeoutError
    from botocore.response import StreamingBody

    bucket.put_object(Key="raw/a.jpg", Body=jpeg(1))
    (entry,) = Entries(URL)
    failures, read = [1, 2], StreamingBody.read

    def failing(self, *args, **options):
        if failures and failures.pop():
            raise ReadTimeoutError(endpoint_url=URL)
        return read(self, *args, **options)

    monkeypatch.setattr(StreamingBody, "read", failing)
    assert archives.read(entry, 250_000) == jpeg(1)
    failures += [1, 2, 3]
    with pytest.raises(DepixelError, match=r"s3://photos/raw/a.jpg: cannot be read \(Read timeout"):
        archives.read(entry, 250_000)
