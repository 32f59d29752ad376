"""The installer: with programs that only note how they were called, and an index of PyTorch on this machine."""

import http.server
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import REPOSITORY
from tests.tools.terminal import in_terminal
from tools import install

NOTES = '#!/bin/sh\necho "$(basename $0) $*" >> "{log}"\n'


def program(path: Path, log: Path, more: str = "") -> Path:
    """A program that notes how it was called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NOTES.format(log=log) + more)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A project with an environment whose Python, and so pip, only notes how it was called; no GPU, no uv."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    program(tmp_path / ".venv/bin/python", tmp_path / "log")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(install.sys, "platform", "linux")
    monkeypatch.setattr(install, "DEVICES", tmp_path / "dev")
    monkeypatch.setattr(install, "TORCH_INDEX", "http://127.0.0.1:9/whl/cpu")  # nobody is there
    monkeypatch.setattr(install, "PATIENCE", 1.0)
    monkeypatch.delenv("DEPIXEL_TYPED", raising=False)
    return tmp_path


@pytest.fixture
def index(folder, monkeypatch):
    """PyTorch's index; `status` is what it answers, `delay` how many seconds later."""
    behaviour = SimpleNamespace(status=200, delay=0.0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(behaviour.delay)
            self.send_response(behaviour.status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(install, "TORCH_INDEX", f"http://127.0.0.1:{server.server_port}/whl/cpu")
    yield behaviour
    server.shutdown()
    server.server_close()


def calls(folder: Path) -> list[str]:
    """What was installed: the calls of pip or uv, without what all have in common."""
    lines = (folder / "log").read_text().splitlines()
    return [line for line in lines if " install " in line]


def torch() -> str:
    return f"torch=={install.locked('torch', Path('requirements.lock'))}"


# Which build of PyTorch


def test_without_a_gpu_the_cpu_build_comes_first_and_alone(folder, index, capfd):
    install.main(["run"])
    first, packages, itself = calls(folder)
    assert f"--no-deps --index-url {install.TORCH_INDEX} {torch()}" in first
    assert "-r requirements.lock" in packages and "index" not in packages and "dev" not in packages
    assert "--no-deps --no-build-isolation --editable ." in itself
    assert "about 360 MB to download" in capfd.readouterr().err
    assert (folder / ".venv/run").exists()


@pytest.mark.parametrize(("status", "delay"), [(404, 0), (200, 5)])
def test_an_index_that_does_not_answer_in_time_is_done_without(folder, index, capfd, status, delay):
    index.status, index.delay = status, delay
    install.main(["run"])
    assert len(calls(folder)) == 2
    told = capfd.readouterr().err
    assert told.count("does not answer") == 1 and "at most 2.9 GB" in told


def test_an_index_that_cannot_be_reached_is_done_without(folder, capfd):
    install.main(["run"])
    assert len(calls(folder)) == 2
    assert capfd.readouterr().err.count("does not answer") == 1


def test_an_index_without_this_version_is_done_without(folder, index, capfd):
    program(folder / ".venv/bin/python", folder / "log", 'case "$*" in *index-url*) exit 1;; esac\n')
    install.main(["run"])
    assert len(calls(folder)) == 3
    assert f"has no {torch().replace('==', ' ')}" in capfd.readouterr().err


def test_a_gpu_gets_the_build_with_cuda(folder, index, capfd):
    (folder / "dev").mkdir()
    (folder / "dev/nvidia0").touch()
    install.main(["run"])
    assert len(calls(folder)) == 2
    assert "about 2.9 GB" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("says", "there"),
    [("echo 'GPU 0: NVIDIA H200'", True), ("echo 'No devices were found'", False), ("exit 9", False)],
)
def test_nvidia_smi_is_believed_where_it_works(folder, monkeypatch, says, there):
    program(folder / "bin/nvidia-smi", folder / "log", says)
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
    assert install.has_gpu() is there


def test_other_systems_have_no_build_with_cuda(folder, capfd, monkeypatch):
    monkeypatch.setattr(install.sys, "platform", "darwin")
    install.main(["run"])
    assert len(calls(folder)) == 2
    told = capfd.readouterr().err
    assert "about 360 MB" in told and "answer" not in told


def test_a_torch_that_is_there_is_kept_and_the_index_not_asked(folder, capfd):
    version = torch().removeprefix("torch==")
    (folder / f".venv/lib/python3.11/site-packages/torch-{version}+cpu.dist-info").mkdir(parents=True)
    install.main(["run"])
    assert len(calls(folder)) == 2
    assert capfd.readouterr().err == ""


# By what, and what


def test_uv_is_used_where_it_is(folder, index, monkeypatch):
    program(folder / "bin/uv", folder / "log")
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
    install.main(["run"])
    assert [line.split(" install ")[0] for line in calls(folder)] == ["uv pip"] * 3
    assert all("--python .venv/bin/python" in line for line in calls(folder))
    assert "--index-url" in calls(folder)[0]


def test_an_environment_that_is_missing_is_made_by_uv_too(folder, monkeypatch):
    (folder / ".venv/bin/python").unlink()
    program(folder / "bin/uv", folder / "log", 'mkdir -p .venv; case "$*" in *--seed*) touch made;; esac\n')
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
    install.main(["run"])
    assert (folder / "made").exists()


def test_dev_installs_both_lists(folder, capfd):
    install.main(["dev"])
    assert any("-r requirements.lock -r requirements-dev.lock" in line for line in calls(folder))
    assert (folder / ".venv/dev").exists() and not (folder / ".venv/run").exists()


def test_a_failed_installation_leaves_no_stamp_and_says_how_to_go_on(folder, monkeypatch):
    program(folder / ".venv/bin/python", folder / "log", 'case "$*" in *editable*) exit 1;; esac\n')
    monkeypatch.setenv("DEPIXEL_TYPED", "make repro")
    with pytest.raises(SystemExit, match=r"could not be installed.*To continue, run `make repro`"):
        install.main(["run"])
    assert not (folder / ".venv/run").exists()


def test_a_python_that_is_too_old_is_refused(folder, monkeypatch):
    monkeypatch.setattr(install.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3.9 is too old: depixel needs 3.10 or newer"):
        install.main(["run"])


def test_an_older_python_can_read_the_installer():
    """To say that it is too old: no syntax that came after 3.8."""
    import ast

    for name in ("__init__", "child", "install"):
        ast.parse((REPOSITORY / f"tools/{name}.py").read_text(), feature_version=(3, 8))


def test_the_installer_needs_the_standard_library_only():
    for name in ("child", "install"):
        for line in (REPOSITORY / f"tools/{name}.py").read_text().splitlines():
            if line.startswith(("import ", "from ")):
                module = line.split()[1].split(".")[0]
                assert module in (*sys.stdlib_module_names, "tools"), line


# The disk


def test_a_disk_that_is_too_full_is_told_before_anything_is_installed(folder, index, monkeypatch):
    monkeypatch.setattr(install.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000_000))
    with pytest.raises(SystemExit, match=r"too full: 1.0 GB are free in .*takes about 1.7 GB"):
        install.main(["run"])
    assert not (folder / "log").exists()


def test_a_disk_that_may_be_too_full_is_told_and_tried(folder, monkeypatch, capfd):
    monkeypatch.setattr(install.shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000_000))
    install.main(["run"])
    assert "may be too full" in capfd.readouterr().err and len(calls(folder)) == 2


# What is shown


def test_pips_lines_become_one():
    progress = install.Progress(150, "looking for packages")
    progress.line("Collecting scipy==1.17.1 (from -r requirements.lock (line 130))")
    progress.line("  Downloading scipy-1.17.1-cp311.whl (35.4 MB)")
    assert progress.text() == "0:00  package 1 of 150: scipy 1.17.1, 35.4 MB"
    progress.line("Progress 17000000 of 34000000")
    assert progress.text() == "0:00  package 1 of 150: scipy 1.17.1, 50% of 34 MB"
    progress.line("Installing collected packages: mpmath, funcy")
    assert progress.text() == "0:00  package 150 of 150: unpacking all"


def test_what_pip_says_is_shown_when_it_fails(folder, capfd, monkeypatch):
    answers = 'case "$*" in *--version*) echo pip 23.2.1;; *) echo ERROR: no; exit 1;; esac\n'
    program(folder / ".venv/bin/python", folder / "log", answers)
    monkeypatch.setattr(install.sys.stderr, "isatty", lambda: True, raising=False)
    assert install.packages(None, ["x"], 1, "x") == 1
    assert "ERROR: no" in capfd.readouterr().err


def test_ctrl_c_shows_one_line(folder):
    works = 'case "$*" in *requirements*) echo Collecting a; exec sleep 60;; esac\n'
    program(folder / ".venv/bin/python", folder / "log", works)
    (folder / "Makefile").write_text(
        "export DEPIXEL_TYPED := make $(MAKECMDGOALS)\n"
        f'repro:\n\t@PATH="$(PATH)" exec {sys.executable} -m tools.install run\n\t@echo never\n'
    )
    shown, code = in_terminal(
        ["make", "repro"], folder, "package 1", PYTHONPATH=str(REPOSITORY), http_proxy="", https_proxy=""
    )
    after = shown.split("^C")[-1].split("\033[K")
    assert [line.strip() for line in after if line.strip() and "package" not in line] == [
        "Stopped. To continue, run `make repro`; finished downloads are in the cache."
    ]
    assert code == -2 and not (folder / ".venv/run").exists()


# A folder that was moved


@pytest.mark.parametrize("moved", [False, True])
def test_an_environment_in_a_folder_that_was_moved_is_made_anew(tmp_path, monkeypatch, moved):
    here = tmp_path / "a clone"
    here.mkdir()
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (here / name).write_bytes((REPOSITORY / name).read_bytes())
    (here / ".venv/bin").mkdir(parents=True)
    before = tmp_path / "elsewhere" if moved else here
    (here / ".venv/bin/pip").write_text(f"#!{before}/.venv/bin/python3\n", encoding="utf-8")
    for stamp in ("run", "dev"):
        (here / ".venv" / stamp).touch()
    monkeypatch.chdir(here)
    assert install.moved() == moved
    planned = subprocess.run(["make", "--dry-run", ".venv/dev"], capture_output=True, text=True, check=True).stdout
    assert ("tools.install" in planned) == moved
    (here / ".venv").rename(tmp_path / "shared")
    (here / ".venv").symlink_to(tmp_path / "shared")
    assert not install.moved()  # it belongs to others, too
    planned = subprocess.run(["make", "--dry-run", ".venv/dev"], capture_output=True, text=True, check=True).stdout
    assert "tools.install" not in planned
