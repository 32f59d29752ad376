"""The files of deploy/cluster, executed by commands that play SLURM on this machine: two nodes, preemption, a queue."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.distributed.run as torchrun
import yaml

from tests.conftest import REPOSITORY, clone, copy, run
from tests.pipeline.test_processes import free_port

DEPLOY = REPOSITORY / "deploy/cluster"

SBATCH = """
import os, pathlib, re, subprocess, sys
script = next(number for number, one in enumerate(sys.argv) if one.endswith(".sbatch"))
array = [one.removeprefix("--array=") for one in sys.argv[1:script] if one.startswith("--array=")]
text = pathlib.Path(sys.argv[script]).read_text()
nodes = re.search(r"^#SBATCH --nodes=(\\d+)", text, re.M)
tasks = range(1, int(array[0].split("-")[1]) + 1) if array else [0]
environment = os.environ | {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]",
                            "SLURM_JOB_NUM_NODES": nodes[1] if nodes else "1"}
for restart in range(3):
    environment["SLURM_RESTART_COUNT"] = str(restart)
    jobs = [subprocess.Popen(["bash", *sys.argv[script:]], env=environment | {"SLURM_ARRAY_TASK_ID": str(task)})
            for task in tasks]
    codes = [job.wait() for job in jobs]
    requeued = pathlib.Path("requeued")
    if not requeued.exists():
        break
    requeued.unlink()
sys.exit(max(codes))
"""
SRUN = """
import os, signal, subprocess, sys
nodes = [subprocess.Popen(sys.argv[1:], env=os.environ | {"PET_LOCAL_ADDR": "localhost"})
         for _ in range(int(os.environ["SLURM_JOB_NUM_NODES"]))]
signal.signal(signal.SIGTERM, lambda *_: [node.terminate() for node in nodes])
open("srun.pid", "w").write(str(os.getpid()))
sys.exit(max(node.wait() % 256 for node in nodes))
"""
SCONTROL = """
import os, sys
if sys.argv[1:3] == ["show", "hostnames"]:
    print("localhost\\n" * int(os.environ["SLURM_JOB_NUM_NODES"]), end="")
elif sys.argv[1:] == ["requeue", os.environ["SLURM_JOB_ID"]]:
    open("requeued", "w").close()
else:
    sys.exit(f"scontrol {sys.argv[1:]}")
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> None:
    """Commands of SLURM that run everything on this machine."""
    (tmp_path / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
        path = tmp_path / "bin" / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@localhost")


def with_environment(project: Path) -> Path:
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/activate").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    return project


def commit_setting(project: Path, **train: object) -> None:
    path = project / "params.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["train"].update(train)
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    run("git", "commit", "--quiet", "--all", "--message=other", cwd=project)


@pytest.mark.soak
def test_a_preempted_job_on_two_nodes_gives_the_results_of_one_process(place, tmp_path, slurm):
    commit_setting(place, epochs=40)
    one = copy(place, tmp_path / "one")
    with_environment(place)
    with (tmp_path / "job.out").open("w") as log:
        job = subprocess.Popen(["sbatch", "deploy/cluster/train.sbatch"], cwd=place, stdout=log, stderr=log)
    since = time.monotonic()
    while "epoch   2:" not in (told := (tmp_path / "job.out").read_text()):
        assert job.poll() is None and time.monotonic() - since < 300, told
        time.sleep(0.05)
    os.kill(int((place / "srun.pid").read_text()), signal.SIGTERM)
    code = job.wait(timeout=500)
    told = (tmp_path / "job.out").read_text()
    assert code == 0 and "2 processes on" in told, told
    assert "Stopped after step" in told and "resumes after step" in told and "up to date" in told, told
    run("dvc", "repro", cwd=one)
    assert (place / "dvc.lock").read_bytes() == (one / "dvc.lock").read_bytes()
    assert "up to date" in run("dvc", "status", cwd=place).stdout
    assert (place / "models/depixel.safetensors").read_bytes() == (one / "models/depixel.safetensors").read_bytes()


@pytest.mark.soak
def test_a_queue_of_experiments_brings_them_into_the_project(place, slurm):
    with_environment(place)
    (place / "settings.txt").write_text("-S train.seed=1\n-S train.seed=2 -S train.width=5\n")
    command = ["sbatch", "--array=1-2", "deploy/cluster/queue.sbatch", "settings.txt"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = run("dvc", "exp", "list", "--name-only", cwd=place).stdout.split()
    assert {"queue-7-1", "queue-7-2"} <= set(shown) and not list((place / "queue").iterdir())
    run("dvc", "exp", "apply", "queue-7-2", cwd=place)
    trained = yaml.safe_load((place / "params.yaml").read_text(encoding="utf-8"))["train"]
    assert (trained["seed"], trained["width"]) == (2, 5)


@pytest.mark.soak
def test_what_sky_runs_gives_the_results_of_one_process_from_two_clones(place, tmp_path, slurm):
    """Each machine of a cloud has a clone of its own, and data that it pulls."""
    commit_setting(place, epochs=3)
    one = copy(place, tmp_path / "one")
    port = free_port()
    variables = {
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NODE_IPS": "localhost\nlocalhost",
        "DEPIXEL_PROCESSES": "1",
    }
    script = documents("sky.yaml")[0]["run"].replace("29400", str(port))
    nodes = []
    for rank in range(2):
        folder = with_environment(clone(place, tmp_path / f"node{rank}"))
        environment = os.environ | variables | {"SKYPILOT_NODE_RANK": str(rank)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        nodes.append(subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, **pipes))
    said = [node.communicate(timeout=500)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    run("dvc", "repro", cwd=one)
    assert (tmp_path / "node0/dvc.lock").read_bytes() == (one / "dvc.lock").read_bytes()
    assert not (tmp_path / "node1/models/depixel.safetensors").exists()


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def test_the_files_agree_with_torchrun_and_each_other():
    known = {f"PET_{action.dest.upper()}" for action in torchrun.get_args_parser()._actions}
    service, job = documents("kubernetes.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert {name for name in variables if name.startswith("PET_")} <= known
    assert int(variables["PET_NNODES"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    port = str(service["spec"]["ports"][0]["port"])
    assert variables["PET_RDZV_ENDPOINT"] == f"{job['metadata']['name']}-0.{service['metadata']['name']}:{port}"
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    for name in ("sky.yaml", "train.sbatch"):
        used = {word.split("=")[0] for word in (DEPLOY / name).read_text().split() if word.startswith("PET_")}
        assert used and used <= known, name


@pytest.mark.parametrize("name", ["train.sbatch", "queue.sbatch", "sky.yaml"])
def test_the_scripts_are_of_the_shell_s_grammar(name, tmp_path):
    text = (DEPLOY / name).read_text(encoding="utf-8")
    if name == "sky.yaml":
        text = "\n".join(documents(name)[0][key] for key in ("setup", "run"))
    (tmp_path / "script").write_text(text)
    assert subprocess.run(["bash", "-n", "script"], cwd=tmp_path, capture_output=True).stderr == b""
