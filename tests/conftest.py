"""What the tests share: inputs made on the spot, and the real ones beside the repository where they are."""

from depixel.base import arithmetic

arithmetic.begin()  # as the stages do, before anything that computes is loaded

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import yaml
from PIL import Image
from zc.lockfile import LockError, LockFile

from depixel.challenge.test_sets import write_test_set
from depixel.curation.synthetic import unseen_photos, write_sample
from tests import processes
from tests.tiers import (  # noqa: F401  hooks of pytest
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_fixture_setup,
    pytest_runtest_call,
    pytest_runtest_logreport,
    pytest_sessionfinish,
)

REPOSITORY = Path(__file__).resolve().parents[1]

# What a surrounding `make`, git hook or DVC stage tells its commands is not meant for those of a test
for _name in [name for name in os.environ if name.startswith(("MAKE", "MFLAGS", "DEPIXEL_", "GIT_", "DVC_"))]:
    del os.environ[_name]
os.environ["DVC_NO_ANALYTICS"] = "1"

hypothesis.settings.register_profile("untimed", deadline=None)  # how long an example takes says more of the machine
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="module")
def one_thread():
    """PyTorch on one thread: faster on tiny tensors, and no slower where all cores are busy."""
    import torch  # only the tests that use it wait for it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def detector() -> None:
    """The networks that find areas."""
    for name in ("detector", "screen"):
        if not (REPOSITORY / f"models/pretrained/{name}.onnx").is_file():
            pytest.skip(f"models/pretrained/{name}.onnx is not there: dvc pull models/pretrained.dvc")


@pytest.fixture(scope="session")
def test_set() -> Path:
    """The project's own test set: a folder with `test_set.pkl` and `targets.npz`."""
    folder = REPOSITORY / "data/test_set"
    if not (folder / "test_set.pkl").is_file():
        pytest.skip(f"{folder} is not there: dvc pull data/test_set.dvc")
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"the real inputs are not there: {folder}")
    return folder


@pytest.fixture(scope="session")
def jpeg() -> Callable[..., bytes]:
    """Make the bytes of a photo-like picture: `jpeg(seed, size=(width, height), mode="RGB", **options of save)`."""

    def make(seed: int, size: tuple[int, int] = (140, 110), mode: str = "RGB", **options) -> bytes:
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
        file = io.BytesIO()
        image.save(file, **{"format": "JPEG", "quality": 90} | options)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def write_zip() -> Callable[[Path, dict[str, bytes]], Path]:
    """Write a ZIP with these members: `write_zip(path, {name: content})`."""

    def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return write


@pytest.fixture
def raw(tmp_path: Path, jpeg, write_zip) -> Path:
    """A folder of 62 files: 10 contributors' ZIPs of 6 photos each, and a loose folder of one photo and one text."""
    folder = tmp_path / "raw"
    for c in range(10):
        write_zip(folder / f"k{c:08}.zip", {f"IMG_{i}.jpg": jpeg(100 * c + i) for i in range(6)})
    (folder / "loose" / "deep").mkdir(parents=True)
    (folder / "loose" / "deep" / "photo.jpeg").write_bytes(jpeg(7, (110, 260), exif=_turned(6)))
    (folder / "loose" / "notes.txt").write_text("no photo", encoding="utf-8")
    return folder


POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
"""Of the user of `s3`."""

SET_UP = 4
"""Number of requests that `s3` makes without credentials, for the bucket and the user."""


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A server that speaks S3, with a bucket `photos`: its address, an access key and its secret."""
    import boto3  # only the tests that use it wait for it
    import requests

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(SET_UP)}
    with log.open("wb") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                requests.get(f"{url}/moto-api/", timeout=1)
                break
            except requests.RequestException:
                time.sleep(0.1)
        options = {"endpoint_url": url, "region_name": "us-east-1"}
        options |= {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
        boto3.client("s3", **options).create_bucket(Bucket="photos")
        iam = boto3.client("iam", **options)
        iam.create_user(UserName="us")
        iam.put_user_policy(UserName="us", PolicyName="all", PolicyDocument=POLICY)
        key = iam.create_access_key(UserName="us")["AccessKey"]
        yield url, key["AccessKeyId"], key["SecretAccessKey"]
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def bucket(s3, monkeypatch):
    """The bucket `photos`, empty, as boto3 has it; environment variables lead this process and its children there."""
    import boto3

    from depixel.photos import bucket

    url, key, secret = s3
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket._client.cache_clear()
    photos = boto3.Session().resource("s3").Bucket("photos")
    yield photos
    photos.objects.delete()
    bucket._client.cache_clear()


def upload(folder: Path, bucket, prefix: str) -> None:
    """Put all files below a folder into a bucket."""
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put_object(Key=f"{prefix}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


# Whole projects

SMALL = {"epochs": 2, "width": 4, "batch_size": 16, "shards": 2}


def run(
    *command: str, cwd: Path, code: int | None = 0, before: Callable[[], None] | None = None, fresh: bool = False
) -> subprocess.CompletedProcess:
    """Run a command of this environment, `before` in its process first; its exit code must be `code` (None: any).

    DVC, `depixel` and scripts of Python are forked from a process that has imported what takes long (see
    tests/processes.py), unless `fresh`.
    """
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@localhost",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@localhost",
        "COLUMNS": "250",
    }
    if not fresh and processes.can_be_forked(command, environment, before):
        done = processes.forked(command, cwd, environment, before)
    else:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", preexec_fn=before
        )
    assert code is None or done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def tiny_model(seed: int = 0, uncertainty: bool = False):
    """An untrained model of the network and width that `SMALL` trains."""
    import torch

    from depixel.model import networks
    from depixel.model.predictor import ModelConfiguration, Predictor

    torch.manual_seed(seed)
    configuration = ModelConfiguration(
        network="unet",
        width=SMALL["width"],
        uncertainty=uncertainty,
        size=64,
        area_width=(4, 32),
        area_height=(4, 32),
        block_size=(4, 16),
        arithmetic="portable",
    )
    return Predictor(networks.build("unet", SMALL["width"], uncertainty=uncertainty), configuration, "cpu")


def tracked() -> list[str]:
    return run("git", "ls-files", "-co", "--exclude-standard", cwd=REPOSITORY).stdout.splitlines()


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, once for all processes of this run of the tests; returns a copy for this process."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made, finished = shared / f"made_{name}", shared / f"made_{name}.finished"
    with _locked(shared / f"made_{name}.lock"):
        if not finished.exists():
            shutil.rmtree(made, ignore_errors=True)
            make(made)
            finished.touch()
    return copy(made, tmp_path_factory.mktemp(name) / "depixel")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    while True:
        try:
            lock = LockFile(str(path))
            break
        except LockError:
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.close()


def copy(project: Path, folder: Path) -> Path:
    """Copy a project, with DVC's cache and what git has not. Files that are hard links of each other stay so."""
    if shutil.which("cp") and os.name == "posix":
        subprocess.run(["cp", "-a", str(project), str(folder)], check=True)
    else:
        shutil.copytree(project, folder, symlinks=True)
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A copy of the project with a tiny sample and a tiny training, committed, not yet run."""
    return once(tmp_path_factory, "project", make_project)


def make_project(folder: Path) -> None:
    for name in tracked():
        if not name.startswith(("data/store/", "data/snapshots.csv")) and (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    settings = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    settings["train"].update(SMALL)
    settings["split"].update(by="photo", validation=0.2, test=0.3)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    write_sample(folder / "data/raw", contributors=3, photos=12, workers=1)
    write_test_set(folder / "data/test_set", *unseen_photos(seed=0, count=4))
    tiny_model().save(folder / "models/pretrained/laptop.safetensors")
    (folder / "dvc.lock").unlink(missing_ok=True)
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    run("dvc", "add", "--quiet", "data/raw", "data/test_set", "models/pretrained", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message=start", cwd=folder)


@pytest.fixture(scope="session")
def reproduced(project, tmp_path_factory) -> Path:
    """The same after `dvc repro`, pushed to its embedded remote and committed; with the snapshots v1, it, and v2."""
    return once(tmp_path_factory, "reproduced", lambda folder: reproduce(copy(project, folder)))


def reproduce(project: Path) -> None:
    run("dvc", "repro", cwd=project)
    run("dvc", "push", "--quiet", cwd=project)
    run("depixel", "snapshot", "publish", "v1", cwd=project)
    change_photos(project / "data/raw")
    run("depixel", "snapshot", "publish", "v2", cwd=project)
    run("depixel", "snapshot", "use", "v1", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message=results", cwd=project)


def change_photos(raw: Path) -> None:
    """One contributor less, one more, one with a photo replaced."""
    first, _, third = sorted(raw.glob("*.zip"))
    with zipfile.ZipFile(third) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    first.unlink()
    third.unlink()
    replaced = next(name for name in members if name.lower().endswith("jpg"))
    with zipfile.ZipFile(third, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content[:2] + b"\xff\xfe\0\3." + content[2:] if name == replaced else content)
    (raw / "new").mkdir()
    for i in range(3):
        Image.effect_noise((120, 120), 20 + i).save(raw / f"new/{i}.jpg")


def clone(project: Path, folder: Path) -> Path:
    run("git", "clone", "--quiet", str(project), str(folder), cwd=project)
    return folder


@pytest.fixture
def place(reproduced, tmp_path) -> Path:
    """A copy of the reproduced project, in which a test may do what it likes."""
    return copy(reproduced, tmp_path / "depixel")


@pytest.fixture
def workplace(reproduced, tmp_path) -> Path:
    """A folder with all outputs in which a stage can be run by hand."""
    for name in ("data", "models", "metrics", "params.yaml"):
        source = reproduced / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


def run_stage(name: str, cwd: Path, *arguments: str, code: int, before: Callable[[], None] | None = None) -> str:
    """Run a stage by hand, `before` in its process before it starts; what it told on the standard error."""
    command = ("python", str(REPOSITORY / f"stages/{name}.py"), *arguments)
    return run(*command, cwd=cwd, code=code, before=before).stderr
