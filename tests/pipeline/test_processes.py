"""The training stage in several real processes and on two nodes of this machine, killed and stopped in every way."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import REPOSITORY, run
from tests.pipeline.test_train_stage import PARAMS, RESULTS, begin, checkpoint, end, prepared, train, wait_for

__all__ = ["prepared"]  # a fixture

STAGE = REPOSITORY / "stages/train.py"
EPOCHS = 16  # of three steps
WRITTEN = (*RESULTS, "models/depixel.made_by.json")


@pytest.fixture(scope="module")
def four_shards(prepared, tmp_path_factory) -> Path:
    """`prepared` with batches that are cut into four shards."""
    return shards_of(shutil.copytree(prepared, tmp_path_factory.mktemp("shards") / "copy"), 4)


def shards_of(folder: Path, count: int) -> Path:
    settings = {**PARAMS, "train": PARAMS["train"] | {"shards": count, "epochs": EPOCHS}}
    (folder / "params.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def alone(four_shards, tmp_path_factory) -> dict[str, bytes]:
    """The outputs of one process that nothing interrupts."""
    folder = shutil.copytree(four_shards, tmp_path_factory.mktemp("alone") / "copy")
    train(folder)
    return written(folder)


@pytest.fixture
def folder(four_shards, tmp_path) -> Path:
    return shutil.copytree(four_shards, tmp_path / "copy")


def written(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in WRITTEN}


def several(count: int = 2) -> dict[str, str]:
    return os.environ | {"DEPIXEL_PROCESSES": str(count)}


def begin_node(folder: Path, port: int, *options: str, processes: int = 2, nodes: str = "2") -> subprocess.Popen:
    """torchrun on a node of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--nproc-per-node={processes}"]
    command += ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--rdzv-id=one", "--local-addr=localhost"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    return subprocess.Popen([*command, *options, str(STAGE)], cwd=folder, **pipes)


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("localhost", 0))
        return place.getsockname()[1]


def ranks_of(launcher: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(launcher.pid).children()


def kill(*processes: psutil.Process | subprocess.Popen) -> None:
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


# Without kills


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(folder, alone):
    output = train(folder, env=several())
    host = socket.gethostname()
    assert f"portable float32, 2 processes on {host} (2)\n" in output and output.count("epoch  16:") == 1
    assert written(folder) == alone
    assert json.loads((folder / "logs/training.json").read_text())["processes"] == f"2 processes on {host} (2)"
    assert output.count("up to date") == 0 and train(folder, env=several()).count("up to date") == 1


@pytest.mark.soak
@pytest.mark.parametrize("each", [1, 2])
def test_two_nodes_give_the_bytes_of_one_process(folder, alone, each):
    port = free_port()
    nodes = [begin_node(folder, port, processes=each) for _ in range(2)]
    said = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert "".join(said).count("epoch  16:") == 1 and f"{2 * each} processes" in "".join(said)
    assert written(folder) == alone


@pytest.mark.slow
def test_what_cannot_be_shared_is_refused(folder):
    assert "5 processes, but train.shards = 4" in (said := train(folder, env=several(5), code=1))
    assert said.count("Error:") == 1 and not (folder / "models").exists()
    wrong = several() | {"PET_NNODES": "x", "PET_RDZV_BACKEND": "c10d"}
    assert "Check PET_NNODES=x, PET_RDZV_BACKEND=c10d, and that" in train(folder, env=wrong, code=1)
    told = "Error: DEPIXEL_PROCESSES = 'two': must be a number of processes from 1 to 1024"
    assert told in train(folder, env=os.environ | {"DEPIXEL_PROCESSES": "two"}, code=1)


@pytest.mark.slow
def test_an_error_of_the_first_process_is_told_once(folder):
    (folder / "checkpoints").write_text("in the way")
    said = train(folder, env=several(), code=1)
    assert said.count("Error:") == 1 and "checkpoints" in said and "reached" not in said


@pytest.mark.soak
def test_nodes_that_differ_are_refused_by_name(folder, tmp_path):
    """Other settings, another split, and other code, each on the second node."""
    for number, what in enumerate(("params.yaml, section train", "data/split.csv", "learning/loop.py")):
        other = shutil.copytree(folder, tmp_path / f"other{number}")
        if number == 0:
            shards_of(other, 2)
        elif number == 1:
            table = other / "data/split.csv"
            table.write_text(table.read_text().replace("train", "validation", 1))
        port, stage = free_port(), STAGE
        first = begin_node(folder, port, processes=1)
        if number == 2:
            for name in ("depixel", "stages"):
                shutil.copytree(REPOSITORY / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
            with (other / "depixel/learning/loop.py").open("a") as file:
                file.write("\nX = 1\n")
            stage = other / "stages/train.py"
        command = [*first.args[:-1], str(stage)]
        env = os.environ | {"PYTHONPATH": str(stage.parents[1])}
        second = subprocess.Popen(command, cwd=other, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = first.communicate(timeout=120)[0] + second.communicate(timeout=120)[0].decode()
        host = socket.gethostname()
        told = f"Error: process 1 on {host} has other inputs than process 0 on {host}: {what}. Nothing"
        assert first.returncode and second.returncode and told in said, said
        assert not any((place / "models").exists() or (place / "checkpoints").exists() for place in (folder, other))


# Stopped


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_stopped_by_a_signal_it_leaves_a_checkpoint_and_goes_on(folder, alone, number, code):
    process = begin(folder, env=several())
    wait_for(process, epoch=5)
    since = time.monotonic()
    process.send_signal(number)
    said = end(process, code)
    assert time.monotonic() - since < 30 and "death signal" not in said
    assert said.count("Stopped after step") == 1 and checkpoint(folder).is_file() and not (folder / "models").exists()
    assert "resumes after step" in (said := train(folder)) and "epoch   5:" not in said  # by one process
    assert written(folder) == alone


@pytest.mark.soak
def test_a_cluster_signals_all_processes_and_the_launcher_passes_it_on(folder, alone):
    """So each gets it twice."""
    process = begin(folder, env=several(4))
    wait_for(process, epoch=5)
    for one in [*ranks_of(process), process]:
        os.kill(one.pid, signal.SIGTERM)
    assert "Stopped after step" in end(process, 75)
    assert "resumes after step" in train(folder, env=several(4))
    assert written(folder) == alone


# Killed


@pytest.mark.soak
@pytest.mark.parametrize("moment", range(3))
def test_a_killed_process_is_started_again(folder, alone, moment):
    chance = random.Random(moment)
    process = begin(folder, "--checkpoint-every", "0", env=several())
    wait_for(process, epoch=chance.randint(1, 12))
    time.sleep(chance.uniform(0, 0.3))
    kill(chance.choice(ranks_of(process)))
    said = end(process)
    assert "was killed by signal 9; all start again" in said and "resumes after step" in said
    assert written(folder) == alone


@pytest.mark.soak
@pytest.mark.parametrize("with_ranks", [True, False])
def test_after_a_kill_of_the_launcher_the_next_command_goes_on(folder, alone, with_ranks):
    """Its processes notice that it is gone, write a checkpoint and end."""
    (folder / ".dvc/tmp").mkdir(parents=True)  # so that there is a lock
    process = begin(folder, "--checkpoint-every", "0" if with_ranks else "1000", env=several())
    wait_for(process, epoch=8)
    ranks = ranks_of(process)
    kill(process, *(ranks if with_ranks else []))
    process.wait()
    said = train(folder, env=several())
    step = int(re.search(r"resumes after step (\d+)", said)[1])
    assert step >= 8 * 3 - 2
    assert written(folder) == alone
    psutil.wait_procs(ranks, timeout=30)
    assert not any(rank.is_running() for rank in ranks)


@pytest.mark.soak
def test_a_node_that_does_not_come_back_is_done_without(folder, alone):
    port, nodes = free_port(), []
    for is_host in ("true", "false"):  # the node that stays is the one that they meet at
        options = "--max-restarts=3", f"--rdzv-conf=last_call_timeout=3,is_host={is_host}"
        nodes.append(begin_node(folder, port, *options, processes=1, nodes="1:2"))
    first, second = nodes
    told = []
    for line in first.stdout:
        told.append(line)
        if "epoch   5:" in line:
            break
    else:
        raise AssertionError(told)
    assert any("2 processes" in line for line in told), told
    kill(second, *ranks_of(second))
    second.communicate()
    said = first.communicate(timeout=300)[0]
    assert first.returncode == 0, said
    assert written(folder) == alone


# As DVC starts it


@pytest.mark.soak
def test_dvc_gives_the_same_experiment(place, monkeypatch):
    """`dvc repro` of a project that one process has trained, and an experiment of each kind."""
    lock = (place / "dvc.lock").read_bytes()
    run("dvc", "exp", "run", "--name", "alone", "-S", "train.seed=1", cwd=place, fresh=True)
    run("git", "checkout", "--force", "--quiet", ".", cwd=place)
    shutil.rmtree(place / "checkpoints")
    monkeypatch.setenv("DEPIXEL_PROCESSES", "2")
    said = run("dvc", "repro", "--force", "--single-item", "train", cwd=place, fresh=True).stdout
    assert "2 processes on" in said
    assert (place / "dvc.lock").read_bytes() == lock
    run("depixel", "report", cwd=place)
    assert "2 processes on" in (place / "report.html").read_text(encoding="utf-8")
    run("dvc", "exp", "run", "--force", "--name", "together", "-S", "train.seed=1", cwd=place, fresh=True)
    shown = run("dvc", "exp", "show", "--json", cwd=place).stdout
    rows = {one["revs"][0]["name"]: one["revs"][0]["data"] for one in json.loads(shown)[1]["experiments"]}
    assert rows["alone"]["metrics"] == rows["together"]["metrics"] and rows["alone"]["outs"] == rows["together"]["outs"]
    run("git", "checkout", "--force", "--quiet", ".", cwd=place)
    monkeypatch.setenv("DEPIXEL_PROCESSES", "3")  # which fails, so a sweep's experiment gets the variable
    done = run("depixel", "sweep", "short", "-S", "train.epochs=1,2", cwd=place, code=1, fresh=True)
    assert "3 processes, but train.shards = 2" in done.stdout + done.stderr
    run("git", "checkout", "--force", "--quiet", ".", cwd=place)
    run("dvc", "checkout", cwd=place)
    run("dvc", "push", cwd=place)
    assert "up to date" in run("dvc", "status", cwd=place).stdout
