"""Starts a training in several processes, as torchrun does, and waits for its end.

torchrun's settings can be given as environment variables: PET_NNODES, PET_RDZV_ENDPOINT and others for several
machines.
"""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable

import click
import torch.distributed as dist

from depixel.base.console import PREEMPTED

VARIABLE = "DEPIXEL_PROCESSES"
"""The environment variable that sets the number of processes of a training on each machine; 1 without it."""

RESTARTS = 3
"""The number of times that a training on one machine starts again after one of its processes was killed."""


def start(main: Callable[[], object]) -> None:
    """Call `main`; or if DEPIXEL_PROCESSES says so, start this program that many times, and wait for the end of all."""
    told = os.environ.get(VARIABLE, "1")
    if dist.is_torchelastic_launched() or (told == "1" and _on_one_machine()) or {"-h", "--help"} & set(sys.argv):
        main()
    elif told.isdecimal() and 1 <= int(told) <= 1024:
        sys.exit(launch(int(told)))
    else:
        sys.exit(f"Error: {VARIABLE} = {told!r}: must be a number of processes from 1 to 1024")


def launch(count: int) -> int:
    """Start this program `count` times, wait for the end of all, and return the exit code.

    If a process is killed on a training's only machine, all of them start again, `RESTARTS` times. For several
    machines, PET_MAX_RESTARTS says how often.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # else torchrun sets it, with a long warning
    options = [f"--nproc-per-node={count}"]
    alone = _on_one_machine()
    if alone:
        options += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", f"--rdzv-id={uuid.uuid4()}"]
        options += ["--local-addr=localhost"]  # the machine's own name may not be known to itself
    for _ in range(RESTARTS if alone else 0):
        failed = _run(options)
        killed = [-code for code in failed if code < 0 and -code != signal.SIGTERM]
        if not killed:
            return _code(failed)
        click.echo(f"A process of the training was killed by signal {killed[0]}; all start again.", err=True)
    return _code(_run(options))


def _on_one_machine() -> bool:
    return os.environ.get("PET_NNODES", "1") in ("1", "1:1")


def _run(options: list[str]) -> list[int]:
    """Run the processes once; returns the exit codes of those that failed, negative for a signal.

    Raises:
        SystemExit: this process was told to stop, and the others have written a checkpoint; or they cannot start.
    """
    # only here, because these take a quarter of a second
    import torch.distributed.run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.launcher.api import elastic_launch

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the stage itself says what happens
    arguments = torchrun.parse_args([*options, "--no-python", sys.executable, "-u", *sys.orig_argv[1:]])
    try:
        config, command, rest = torchrun.config_from_args(arguments)
        elastic_launch(config, command)(*rest)
    except ChildFailedError as error:
        return [failure.exitcode for failure in error.failures.values()]
    except SignalException as stopped:
        sys.exit(PREEMPTED if stopped.sigval == signal.SIGTERM else 128 + stopped.sigval)
    except (RendezvousError, RuntimeError, ValueError) as error:
        given = ", ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("PET_"))
        sys.exit(
            f"Error: the processes of this training could not be started ({str(error).partition(chr(10))[0]}). Check "
            f"{given or 'the memory and the network of this machine'}, and that the other machines have started"
        )
    return []


def _code(failed: list[int]) -> int:
    """The exit code of a program whose processes failed with these codes; that of a preempted one if there is one.

    If one fails, torchrun ends the others by SIGTERM, so the codes of signals count only where there is no other.
    """
    own = [code for code in failed if code > 0]
    codes = own or [128 - code for code in failed]
    return PREEMPTED if PREEMPTED in codes else max(codes, default=0)
