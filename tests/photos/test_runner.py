"""The data stages on Apache Beam: a Dask scheduler and workers as processes of their own, which fail in all ways."""

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from benchmarks.scale_data import Cluster, free_port
from depixel.base.errors import DepixelError
from depixel.photos import runner
from tests.conftest import REPOSITORY, upload

LOCK = REPOSITORY / "requirements-beam.lock"
PACKAGES = REPOSITORY / ".beam"
"""Beam and Dask for these tests, where the environment has none; git ignores it."""

cluster_test = [
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and limits of Linux"),
]


@pytest.fixture(scope="session")
def beam() -> dict[str, str]:
    """What the environment of a process needs to import Beam and Dask."""
    if all(importlib.util.find_spec(name) for name in ("apache_beam", "distributed")):
        return {}
    stamp = PACKAGES / f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()}.installed"
    if not stamp.exists():
        shutil.rmtree(PACKAGES, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "1", "--no-deps", "--no-compile"]
        done = subprocess.run([*command, "--target", str(PACKAGES), "-r", str(LOCK)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"Beam is not installed, and cannot be from a package index: {done.stderr.strip()[-300:]}")
        stamp.touch()
    return {"PYTHONPATH": str(PACKAGES)}


@pytest.fixture
def project(raw, tmp_path) -> Path:
    """A folder with photos in data/raw: 12 units."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    raw.rename(folder / "data/raw")
    (folder / "params.yaml").write_text("prepare: {size: 32}\n", encoding="utf-8")
    return folder


def begin(
    stage: str, project: Path, beam: dict[str, str], chosen: str, patience: float = 60, raw: str = "data/raw"
) -> subprocess.Popen:
    environment = os.environ | beam | {"DEPIXEL_RUNNER": chosen, "DEPIXEL_PATIENCE": str(patience)}
    command = [sys.executable, str(REPOSITORY / f"stages/{stage}.py"), "--raw", raw]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=project, env=environment, encoding="utf-8", **pipes)


def end(stage: subprocess.Popen, code: int = 0) -> str:
    """Wait for a stage; what it told on the standard error."""
    told, errors = stage.communicate(timeout=200)
    assert stage.returncode == code, told + errors
    assert "Traceback" not in errors
    if code:
        assert errors.splitlines()[-1].startswith("Error: "), errors
    return errors


def both(project: Path, beam: dict[str, str], chosen: str, raw: str = "data/raw") -> dict[str, bytes]:
    """What validate and prepare make of the photos; it is removed again."""
    for stage in ("validate", "prepare"):
        end(begin(stage, project, beam, chosen, raw=raw))
    return taken(project)


def taken(project: Path) -> dict[str, bytes]:
    places = ("data/validated", "data/prepared", "metrics")
    found = {str(path): path.read_bytes() for name in places for path in sorted((project / name).rglob("*"))}
    for name in places:
        shutil.rmtree(project / name, ignore_errors=True)
    return found


def made(project: Path) -> set[str]:
    """What lies in the project beside its inputs, without the units."""
    files = (path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file())
    return {name for name in files if not name.startswith(("data/raw/", "units/")) and name != "params.yaml"}


def done(project: Path) -> int:
    return len(list((project / "units").glob("*.done")))


def until(holds: Callable[[], object], seconds: float = 90) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture
def cluster(beam, tmp_path) -> Iterator[Cluster]:
    """A scheduler; it takes a worker for dead that has not been heard of for ten seconds."""
    environment = beam | {
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    }
    with Cluster(sys.executable, tmp_path / "cluster", environment) as cluster:
        yield cluster


def preload(tmp_path: Path, name: str, code: str) -> dict[str, str]:
    """The environment of a worker that runs this code as it starts."""
    path = tmp_path / f"{name}.py"
    once = "import depixel\nif not hasattr(depixel, 'preloaded'):\n    depixel.preloaded = True\n"  # Dask runs it twice
    path.write_text(once + textwrap.indent(code, "    "), encoding="utf-8")
    return {"DASK_DISTRIBUTED__WORKER__PRELOAD": f"['{path}']"}


DELAYED = """
import hashlib, time
from depixel.photos import archives
read = archives.read
def slow(entry, limit):
    time.sleep(int(hashlib.sha256(entry.path.encode()).hexdigest()[:2], 16) / 255 * {seconds})
    return read(entry, limit)
archives.read = slow
"""


@pytest.fixture
def slow(tmp_path) -> dict[str, str]:
    """The environment of a worker that needs up to 0.3 s a photo, so that a unit takes a second."""
    return preload(tmp_path, "slow", DELAYED.format(seconds=0.3))


class TestAnyCluster:
    pytestmark = cluster_test

    @pytest.mark.parametrize("workers", [1, 4])
    def test_the_bytes_are_those_of_one_machine(self, project, shared, beam, cluster, tmp_path, workers):
        """Units of the sample end in any order; the messy inputs have all kinds of files."""
        delays = preload(tmp_path, "delays", DELAYED.format(seconds=0.05))
        for _ in range(workers):
            cluster.add(environment=delays)
        assert both(project, beam, cluster.runner) == both(project, {}, "")
        (project / "data/raw").rename(tmp_path / "raw_before")
        (project / "data/raw").symlink_to(shared / "messy")
        assert both(project, beam, cluster.runner) == both(project, {}, "")
        assert not (project / "units").exists()

    def test_the_direct_runner_and_a_file_of_options_give_them_too(self, project, beam, cluster, tmp_path):
        cluster.add()
        expected = both(project, {}, "")
        assert both(project, beam, "direct") == expected
        options = f"# a Dask cluster\n--runner={runner._DASK}\n--dask_client_address=tcp://127.0.0.1:{cluster.port}\n"
        (tmp_path / "options").write_text(options, encoding="utf-8")
        assert both(project, beam, str(tmp_path / "options")) == expected

    def test_only_what_is_new_is_done(self, project, beam, cluster, jpeg, write_zip):
        cluster.add()
        for stage in ("validate", "prepare"):
            end(begin(stage, project, beam, cluster.runner))
        write_zip(project / "data/raw/k00000003b.zip", {"new.jpg": jpeg(555)})
        end(begin("validate", project, beam, cluster.runner))
        stage = begin("prepare", project, beam, cluster.runner)
        until(lambda: list((project / "units").glob("*.todo")))
        assert len(list((project / "units").glob("*.todo"))) == 1
        end(stage)
        assert taken(project) == both(project, {}, "")

    def test_photos_in_a_bucket_too(self, project, bucket, beam, tmp_path, jpeg, write_zip):
        """The workers read them there; a changed object is a new unit; one that goes is an error."""
        raw = "s3://photos/raw"
        upload(project / "data/raw", bucket, "raw")
        expected = both(project, {}, "")
        (project / "data/raw").rename(tmp_path / "raw")
        environment = beam | {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
        with Cluster(sys.executable, tmp_path / "cluster", environment) as cluster:  # after the bucket's variables
            slow = preload(tmp_path, "slow", DELAYED.format(seconds=0.3))
            cluster.add(environment=slow), cluster.add(environment=slow)
            assert both(project, beam, cluster.runner, raw) == expected
            assert both(project, beam, "direct", raw) == expected

            stage = begin("validate", project, beam, cluster.runner, raw=raw)
            until(lambda: done(project) >= 3)
            stage.kill()
            stage.communicate()
            time.sleep(2)  # the workers finish what they have
            write_zip(tmp_path / "raw/k00000000.zip", {"new.jpg": jpeg(555)})
            upload(tmp_path / "raw", bucket, "raw")
            told = end(begin("validate", project, beam, cluster.runner, raw=raw))
            assert "of 12 units were done by an earlier run" in told
            end(begin("prepare", project, beam, cluster.runner, raw=raw))
            assert taken(project) == both(project, {}, "", str(tmp_path / "raw"))

            stage = begin("validate", project, beam, cluster.runner, raw=raw)
            until(lambda: done(project) >= 1)
            bucket.objects.filter(Prefix="raw/").delete()  # all: nobody knows which one has not been read
            told = end(stage, code=1)
            assert re.search(r"s3://photos/raw/k\d+\.zip: was changed or deleted after it was listed", told), told
            assert not made(project)

    def test_units_are_given_to_the_runner_in_waves(self, project, beam):
        expected = both(project, {}, "")
        code = (
            f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from depixel.photos import runner; runner._WAVE = 5"
        )
        for stage in ("validate", "prepare"):
            command = [sys.executable, "-c", f"{code}; from stages.{stage} import main; main()"]
            environment = os.environ | beam | {"DEPIXEL_RUNNER": "direct"}
            subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, timeout=200)
        assert taken(project) == expected


class TestKills:
    pytestmark = cluster_test

    def test_a_worker_that_is_killed_within_a_unit(self, project, beam, cluster, slow):
        first, _ = cluster.add(environment=slow), cluster.add(environment=slow)
        stage = begin("validate", project, beam, cluster.runner)
        until(lambda: done(project) >= 2)
        children = psutil.Process(first.pid).children()
        assert children
        first.kill()
        end(stage)
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
        end(begin("prepare", project, beam, cluster.runner))
        assert taken(project) == both(project, {}, "")

    def test_the_scheduler_is_killed(self, project, beam, cluster, slow):
        cluster.add(environment=slow)
        stage = begin("validate", project, beam, cluster.runner)
        until(lambda: done(project) >= 2)
        cluster.scheduler.kill()
        told = end(stage, code=1)
        assert (
            f"DEPIXEL_RUNNER={cluster.runner}: the runner failed (" in told
            and "connection" in told
            and "run the command again" in told
        )
        assert not made(project)
        cluster.scheduler.wait()
        cluster.start_scheduler()
        cluster.add(environment=slow)
        assert "units were done by an earlier run" in end(begin("validate", project, beam, cluster.runner))
        end(begin("prepare", project, beam, cluster.runner))
        assert taken(project) == both(project, {}, "")

    def test_the_driver_is_killed_and_only_what_is_missing_is_done_again(self, project, beam, cluster, slow):
        cluster.add(environment=slow)
        stage = begin("validate", project, beam, cluster.runner)
        until(lambda: done(project) >= 3)
        stage.kill()
        stage.communicate()
        assert made(project) <= {"data/.validated.new/manifest.csv", "data/.validated.new/invalid.log"}
        time.sleep(2)  # the worker finishes what it has
        times = {path.name: path.stat().st_mtime_ns for path in (project / "units").glob("*.done")}
        assert 3 <= len(times) < 12
        stage = begin("validate", project, beam, cluster.runner)
        until(lambda: done(project) > len(times) + 1)
        assert times.items() <= {path.name: path.stat().st_mtime_ns for path in (project / "units").glob("*")}.items()
        assert f"{len(times)} of 12 units were done by an earlier run" in end(stage)
        end(begin("prepare", project, beam, cluster.runner))
        assert taken(project) == both(project, {}, "")


CRASHING = """
import os, signal
from depixel.photos import decoding
scan = decoding.scan
def crashing(image):
    if image.size == (111, 222):
        os.kill(os.getpid(), signal.SIGSEGV)
    scan(image)
decoding.scan = crashing
"""

HANGING = CRASHING.replace("import os, signal", "import time").replace(
    "os.kill(os.getpid(), signal.SIGSEGV)", "time.sleep(1000)"
)

FULL = """
import os, resource, signal, sys
sys.stdout = sys.stderr = open(os.devnull, "w")  # its log is a file, too; to start a process flushes it
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
"""


class TestWorkers:
    pytestmark = cluster_test

    def test_a_photo_that_crashes_the_decoder_costs_that_photo(self, project, beam, cluster, tmp_path, jpeg, write_zip):
        photos = {f"{i}.jpg": jpeg(i, (111, 222) if i == 3 else (140, 110)) for i in range(20)}
        write_zip(project / "data/raw/k00000001.zip", photos)
        worker = cluster.add(environment=preload(tmp_path, "crashing", CRASHING))
        end(begin("validate", project, beam, cluster.runner))
        rows = (project / "data/validated/manifest.csv").read_text(encoding="utf-8").splitlines()
        assert [row for row in rows if ",3," in row and row.endswith("decoding it crashed (SIGSEGV)")]
        taken(project)
        end(begin("validate", project, {}, ""))
        expected = (project / "data/validated/manifest.csv").read_text(encoding="utf-8").splitlines()
        differing = [row for row in rows if row not in expected]
        assert len(rows) == len(expected) and len(differing) == 1 and differing[0].startswith("k00000001,3.jpg,")
        assert worker.poll() is None

    def test_a_worker_that_stands_still_is_given_up_by_the_scheduler(self, project, beam, cluster, slow):
        first, _ = cluster.add(environment=slow), cluster.add(environment=slow)
        stage = begin("validate", project, beam, cluster.runner)
        until(lambda: done(project) >= 1)
        first.send_signal(signal.SIGSTOP)
        end(stage)
        end(begin("prepare", project, beam, cluster.runner))
        assert taken(project) == both(project, {}, "")

    def test_a_photo_that_takes_for_ever_is_named(self, project, beam, cluster, tmp_path, jpeg, write_zip):
        write_zip(project / "data/raw/k00000001.zip", {"a.jpg": jpeg(1), "slow.jpg": jpeg(2, (111, 222))})
        cluster.add(environment=preload(tmp_path, "hanging", HANGING))
        told = end(begin("validate", project, beam, cluster.runner, patience=8), code=1)
        assert "k00000001/a.jpg or one of the 1 photos after it kept worker " in told and "more than 4 s" in told
        assert not made(project)

    def test_where_no_worker_goes_on_the_run_gives_up(self, project, beam, cluster):
        told = end(begin("validate", project, beam, cluster.runner, patience=5), code=1)
        assert "no unit was finished for 5 s" in told and "DEPIXEL_PATIENCE" in told
        assert not made(project)

    def test_a_worker_with_another_version_of_a_package_is_refused(self, project, beam, cluster, tmp_path):
        folder = tmp_path / "packages/pillow-1.2.3.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 1.2.3\n", encoding="utf-8")
        path = os.pathsep.join([str(folder.parent), *beam.values()])
        worker = cluster.add(environment={"PYTHONPATH": path})
        told = end(begin("validate", project, beam, cluster.runner), code=1)
        assert f"(process {worker.pid}) cannot work with this machine: pillow 1.2.3 (here " in told
        assert not made(project) and not done(project)

    def test_a_worker_with_other_source_is_refused(self, project, beam, cluster, tmp_path):
        shutil.copytree(
            REPOSITORY / "depixel", tmp_path / "other/depixel", ignore=shutil.ignore_patterns("__pycache__")
        )
        path = tmp_path / "other/depixel/photos/decoding.py"
        path.write_text(
            path.read_text(encoding="utf-8").replace("MOST_SCANS = 100", "MOST_SCANS = 90"), encoding="utf-8"
        )
        worker = cluster.add(cwd=tmp_path / "other")
        told = end(begin("validate", project, beam, cluster.runner), code=1)
        assert (
            f"(process {worker.pid}) cannot work with this machine: other code in depixel/photos/decoding.py." in told
        )
        assert not made(project) and not done(project)

    def test_a_full_disk_of_a_worker_is_an_error_and_leaves_nothing(self, project, beam, cluster, tmp_path):
        cluster.add(environment=preload(tmp_path, "full", FULL))
        told = end(begin("validate", project, beam, cluster.runner), code=1)
        assert "cannot be written (File too large)" in told and "run the command again" in told
        assert not made(project) and not list((project / "units").glob(".*"))
        cluster.workers[0].kill()
        cluster.add()
        end(begin("validate", project, beam, cluster.runner))
        end(begin("prepare", project, beam, cluster.runner))
        assert taken(project) == both(project, {}, "")


class TestTheChoice:
    pytestmark = cluster_test

    def test_a_scheduler_that_is_not_there(self, project, beam):
        chosen = f"dask://127.0.0.1:{free_port()}"
        told = end(begin("validate", project, beam, chosen), code=1)
        assert f"DEPIXEL_RUNNER={chosen}: cannot be reached" in told and "unset DEPIXEL_RUNNER" in told
        assert not made(project)

    @pytest.mark.parametrize("chosen", ["", "direct"])
    def test_nothing_of_beam_is_imported_without_the_variable(self, project, beam, chosen):
        command = [sys.executable, "-X", "importtime", str(REPOSITORY / "stages/validate.py")]
        environment = os.environ | beam | {"DEPIXEL_RUNNER": chosen}
        told = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True).stderr
        imported = {line.rpartition("|")[2].strip().split(".")[0] for line in told.splitlines()}
        assert "PIL" in imported
        assert bool({"apache_beam", "dask", "distributed", "grpc"} & imported) == bool(chosen)


COMPOSE = REPOSITORY / "deploy/dask/compose.yaml"


def services() -> dict[str, dict]:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]


@pytest.mark.slow
def test_the_compose_file_is_valid():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for name, service in services().items():
        build = service["build"]
        dockerfile = COMPOSE.parent / build["context"] / build["dockerfile"]
        copied = next(line.split()[1:-1] for line in dockerfile.read_text().splitlines() if line.startswith("COPY"))
        ignored = dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text().split()
        assert ignored == ["*", *(f"!{file}" for file in copied)], name
        assert all((REPOSITORY / file).is_file() for file in copied)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="as in the container")
def test_the_commands_of_the_compose_file_work(project, beam, tmp_path):
    port, started = free_port(), []
    expected = both(project, {}, "")
    try:
        for name in ("scheduler", "worker"):
            line = (
                " ".join(services()[name]["command"])
                .replace("//scheduler", "//127.0.0.1")
                .replace("0.0.0.0", "127.0.0.1")
            )
            line = line.replace("8786", str(port)).replace("/tmp", str(tmp_path / "local"))
            command = [sys.executable, *line.split()[1:]]
            with (tmp_path / f"{name}.log").open("wb") as log:
                started.append(subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | beam, stdout=log, stderr=log))
        until(lambda: f"127.0.0.1:{port}" in (tmp_path / "scheduler.log").read_text())
        assert both(project, beam, f"dask://127.0.0.1:{port}") == expected
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_the_lock_of_beam_agrees_with_the_others():
    """No package of requirements.lock is in it again; those of requirements-dev.lock have the same version."""
    locked = {name: (REPOSITORY / name).read_text(encoding="utf-8").splitlines() for name in ALL_LOCKS}
    own = [line for line in locked[LOCK.name] if not line.startswith("#")]
    assert any(line.startswith("apache-beam==") for line in own)
    versions = {name: {line for line in lines if "==" in line} for name, lines in locked.items()}
    assert not set(own) & versions["requirements.lock"]
    for line in own:
        name = line.split("==")[0]
        other = {one for one in versions["requirements-dev.lock"] if one.split("==")[0] == name}
        assert not other or line in other, line


ALL_LOCKS = ("requirements.lock", "requirements-dev.lock", LOCK.name)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("spark", r"DEPIXEL_RUNNER=spark: write dask://HOST:PORT .* direct .* --runner=FlinkRunner"),
        ("dask://scheduler", r"write dask://HOST:PORT"),
        ("dask://a b:1", r"write dask://HOST:PORT"),
        ("params.yaml", r"params.yaml: names no runner"),
        (".", r"cannot be read as options of Apache Beam \(.*directory"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="a folder is another error there")
def test_a_wrong_choice_is_told(monkeypatch, tmp_path, chosen, message):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("prepare: {size: 32}\n", encoding="utf-8")
    monkeypatch.setenv("DEPIXEL_RUNNER", chosen)
    with pytest.raises(DepixelError, match=message):
        next(runner.each(str, [], 1, lambda item, fault: fault))


def test_a_wrong_patience_is_told(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPIXEL_RUNNER", "direct")
    for text in ("soon", "-1", "0", "nan"):
        monkeypatch.setenv("DEPIXEL_PATIENCE", text)
        with pytest.raises(DepixelError, match=f"DEPIXEL_PATIENCE={text}: must be a number of seconds above 0"):
            next(runner.each(str, [], 1, lambda item, fault: fault))


def test_a_missing_extra_is_told(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPIXEL_RUNNER", "direct")
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(DepixelError, match=r"pip install --no-deps -r requirements-beam\.lock"):
        next(runner.each(str, [], 1, lambda item, fault: fault))
    assert not list(tmp_path.iterdir())
