"""Commands of this environment as processes that need not import PyTorch, pandas, SciPy and DVC first.

Each process is forked from one that has imported them, and does the rest as ever: its arguments, folder, environment,
standard streams and limits are its own, and it imports the modules of `depixel`. That saves one to four seconds of a
core a command. Two things differ from a fresh interpreter: all forks have the same hash seed, and an import that a
module of `depixel` forgot may be there already. So the soak tests start interpreters (`run(..., fresh=True)`), as DVC
does for each stage that it runs.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

FORKS = sys.platform == "linux"

_OTHERS = """
    torch scipy.stats scipy.spatial scipy.ndimage scipy.optimize sklearn.linear_model sklearn.cluster
    sklearn.mixture sklearn.neighbors sklearn.decomposition pandas PIL.Image PIL.JpegImagePlugin PIL.PngImagePlugin
    matplotlib.figure matplotlib.backends.backend_agg imagehash safetensors.torch safetensors.numpy pydantic click
    ruamel.yaml yaml requests psutil tqdm jinja2 zc.lockfile
    configobj dulwich.worktree flatten_dict fsspec.implementations.memory networkx scmrepo.git
    dvc.cachemgr dvc.cli dvc.cli.parser dvc.data_cloud dvc.dependency.param dvc.fs dvc.fs.git dvc.render.convert
    dvc.repo dvc.repo.artifacts dvc.repo.datasets dvc.repo.experiments dvc.repo.graph dvc.repo.index dvc.repo.plots
    dvc.repo.reproduce dvc.repo.stage dvc.stage.run dvc.utils.strictyaml
    dvc_data.hashfile.db.local dvc_data.index dvc_data.index.checkout dvc_render.html dvc_render.image dvc_render.vega
"""
PRELOADED = _OTHERS.split()
"""Modules of other packages, in no order. One that is not installed is skipped."""


# Limits, set in a process before its command begins


def small_files() -> None:
    """No file can grow beyond 60 bytes, as on a full disk."""
    import resource  # Windows has it not

    resource.setrlimit(resource.RLIMIT_FSIZE, (60, resource.RLIM_INFINITY))


def no_privileges() -> None:
    """Permissions count for root as well."""
    libc = ctypes.CDLL(None)
    ignored = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    for capability in (1, 2):  # for what it starts
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable
    if libc.capget(header, sets) == 0:  # for itself
        sets[0], sets[1] = sets[0] & ~ignored, sets[1] & ~ignored
        libc.capset(header, sets)


def one_core() -> None:
    """So that one process reads photos, not several."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


LIMITS = {limit.__name__: limit for limit in (small_files, no_privileges, one_core)}


# The process that others are forked from

spent = 0.0
"""Seconds of a core that all forks of this process's nurseries, and what they started, have used."""


class Nursery:
    """Starts commands by a fork of a process that has imported `PRELOADED`; one command at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-W", "ignore", "-m", "tests.processes", str(theirs.fileno())]
        root = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(command, cwd=root, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._socket = ours

    def run(
        self, command: Sequence[str], cwd: Path, env: dict[str, str], before: Callable[[], None] | None
    ) -> subprocess.CompletedProcess:
        """What `subprocess.run` returns with its outputs captured as text."""
        reads, writes = zip(*(os.pipe() for _ in range(2)), strict=True)
        request = {"command": command, "cwd": str(cwd), "env": env, "before": before.__name__ if before else ""}
        socket.send_fds(self._socket, [json.dumps(request).encode()], writes)
        for number in writes:
            os.close(number)
        told: dict[int, str] = {}

        def read(number: int) -> None:
            with open(number, encoding="utf-8") as file:
                told[number] = file.read()

        threads = [threading.Thread(target=read, args=(number,)) for number in reads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answer = self._socket.recv(100)
        if not answer:
            raise RuntimeError("the process that commands are forked from has ended")
        code, seconds = answer.split()
        global spent
        spent += float(seconds)
        return subprocess.CompletedProcess(list(command), int(code), *(told[number] for number in reads))


_nurseries = threading.local()


def forked(
    command: Sequence[str], cwd: Path, env: dict[str, str], before: Callable[[], None] | None
) -> subprocess.CompletedProcess:
    """`Nursery.run` by the nursery of this thread, which lives as long as the thread."""
    if not hasattr(_nurseries, "one"):
        _nurseries.one = Nursery()
    return _nurseries.one.run(command, cwd, env, before)


def can_be_forked(command: Sequence[str], env: dict[str, str], before: Callable[[], None] | None) -> bool:
    """Whether it is DVC, `depixel` or a script of Python, and all that is set for it can be set after its start."""
    known = before is None or LIMITS.get(before.__name__) is before
    script = command[0] == "python" and len(command) > 1 and command[1].endswith(".py")
    return FORKS and known and _early(env) == EARLY and (command[0] in ("dvc", "depixel") or script)


def _early(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that are read as an interpreter or a library that computes starts."""
    prefixes = ("PYTHON", "OMP_", "OPENBLAS_", "MKL_", "ATEN_", "ONEDNN_", "NPY_")
    return {name: value for name, value in env.items() if name.startswith(prefixes)}


EARLY = _early(os.environ)


def _serve(place: socket.socket) -> list[str]:
    """Fork for each request; returns only in the forks, what is to be run."""
    for name in PRELOADED:
        try:
            __import__(name)
        except ImportError:
            continue
    gc.freeze()  # so that no fork looks through all of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    while True:
        message, descriptors, _, _ = socket.recv_fds(place, 1 << 20, 2)
        if not message:
            os._exit(0)  # the tests are over
        process = os.fork()
        if process == 0:
            place.close()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            request = json.loads(message)
            for number, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["env"])
            if request["before"]:
                LIMITS[request["before"]]()
            return request["command"]
        for descriptor in descriptors:
            os.close(descriptor)
        _, status, used = os.wait4(process, 0)
        place.send(f"{os.waitstatus_to_exitcode(status)} {used.ru_utime + used.ru_stime}".encode())


def _begin(command: list[str]) -> None:
    """Do what an interpreter does with this command."""
    name, *arguments = command
    if name == "python":
        script, *arguments = arguments
        sys.argv = [script, *arguments]
        sys.orig_argv = [sys.executable, *sys.argv]
        sys.path[0] = str(Path(script).resolve().parent)
        runpy.run_path(script, run_name="__main__")
        return
    place = Path(sys.executable).parent
    sys.argv = [str(place / name), *arguments]
    sys.orig_argv = [sys.executable, *sys.argv]
    sys.path[0] = str(place)
    if name == "dvc":
        from dvc.cli import main
    else:
        from depixel.cli import main
    sys.exit(main())


def _end(command: list[str]) -> int:
    """Run it to its end, but do not take apart what was imported, which takes a second; its exit code."""
    code: object = 0
    try:
        _begin(command)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code or 0


if __name__ == "__main__":
    os._exit(_end(_serve(socket.socket(fileno=int(sys.argv[1])))))
