"""git and DVC as commands. No other module starts them; every exit code is checked here.

`git` and `dvc` return what the command prints and raise `CommandError` if it fails. `git_or_none` and `file_at` answer
questions that git may answer with no. `start_dvc` is for a command that runs beside this process.
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from depixel.base import layout
from depixel.base.errors import DepixelError

if TYPE_CHECKING:
    import psutil

DATA = tuple(pointer.as_posix() for pointer in (layout.RAW_POINTER, layout.TEST_SET_POINTER, layout.PRETRAINED_POINTER))
"""The tracked files that stand for the photos, the test set and the models that stages start from."""

_LONGEST = 100  # characters of a command that an error repeats


class CommandError(DepixelError):
    """A command of git or DVC failed. Its text names the command, the reason and what to type next.

    Attributes:
        reason: why, on one line.
        said: all that the command wrote to its standard error.
    """

    def __init__(self, command: str, code: int, said: str) -> None:
        self.said = said
        self.reason = _reason(said, code)
        shown = command if len(command) <= _LONGEST else f"{command[:_LONGEST]}..."
        super().__init__(f"`{shown}` failed: {self.reason.rstrip('.')}. {_next(command, said)}")


def git(*arguments: str, cwd: Path | None = None) -> str:
    """Run a command of git in the folder `cwd`; by default, in the current one.

    Returns:
        Its standard output without the line breaks at the end. Bytes that are not UTF-8 are replaced; `file_at` returns
        a file as it is.

    Raises:
        CommandError: its exit code is not 0.
        DepixelError: git is not installed.
    """
    done = _git(arguments, cwd)
    if done.returncode:
        raise _failed("git", arguments, done)
    return _text(done.stdout)


def git_or_none(*arguments: str, cwd: Path | None = None) -> str | None:
    """As `git`, for a question: None if git says no, which is any exit code but 0.

    Raises:
        CommandError: git was killed, so that there is no answer.
        DepixelError: git is not installed.
    """
    done = _ask(arguments, cwd)
    return None if done.returncode else _text(done.stdout)


def file_at(revision: str, path: str | Path, cwd: Path | None = None) -> bytes | None:
    """The content of a tracked file in a revision or experiment; None if it is not there.

    Args:
        path: relative to `cwd`, by default the current folder.

    Raises:
        CommandError, DepixelError: as `git_or_none`.
    """
    done = _ask(("cat-file", "blob", f"{revision}:./{Path(path).as_posix()}"), cwd)
    return None if done.returncode else done.stdout


def dvc(*arguments: str, cwd: Path | None = None) -> str:
    """Run a command of DVC, which cannot ask anything, in the folder `cwd`; by default, in the current one.

    Returns:
        Its standard output without the line breaks at the end.

    Raises:
        CommandError: its exit code is not 0.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "dvc", *arguments], stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd
    )
    if done.returncode:
        raise _failed("dvc", arguments, done)
    return _text(done.stdout)


def start_dvc(*arguments: str, cwd: Path, output: Path) -> "psutil.Popen":
    """Start a command of DVC in the folder `cwd` and return at once; the caller checks its exit code and ends it.

    The process is in a session of its own: Ctrl-C in the terminal does not reach it.

    Args:
        output: the file that gets all that the command prints; it is overwritten.
    """
    import psutil

    with output.open("wb") as file:
        return psutil.Popen(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


# -- experiments and revisions ---------------------------------------------------------------------------------------


def experiment_ref(commit: str, name: str) -> str:
    """The git ref of DVC's experiment `name` that starts from `commit`, a full hash."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def experiment_refs() -> list[str]:
    """The refs of all DVC experiments in the current folder's repository, the youngest first.

    Raises:
        DepixelError: the current folder is in no git repository.
    """
    levels = experiment_ref("0" * 40, "name").count("/")
    listed = git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps")
    return [ref for ref in listed.split() if ref.count("/") == levels]


def resolve(name: str) -> str:
    """The ref of an experiment, the youngest of this name; or the hash of the commit of a revision.

    Raises:
        DepixelError: it is neither.
    """
    if found := [ref for ref in experiment_refs() if ref == name or ref.endswith(f"/{name}")]:
        return found[0]
    commit = git_or_none("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if commit is None:
        raise DepixelError(
            f"{name}: neither an experiment nor a git revision of this project. These are listed by `dvc exp list "
            "--all-commits` and `git branch --all`"
        )
    return commit


def inputs_changed(*revisions: str) -> list[str]:
    """Which of the files that results depend on differ: code, versions and `DATA`; params.yaml is left out.

    Args:
        revisions: two, to compare them; or one, to compare it with the working tree.

    Returns:
        Paths relative to the project's folder, as git lists them.

    Raises:
        CommandError: git does not know a revision.
    """
    stages = yaml.safe_load(layout.PIPELINE.read_text(encoding="utf-8"))["stages"].values()
    named = {path for stage in stages for path in stage.get("deps", [])}
    code = {path for path in named if path.endswith((".py", ".lock")) or path.split("/")[0] == "depixel"}
    return git("diff", "--name-only", *revisions, "--", layout.PIPELINE.as_posix(), *sorted(code), *DATA).splitlines()


# -- how the commands are started ------------------------------------------------------------------------------------


def _git(arguments: tuple[str, ...], cwd: Path | None) -> "subprocess.CompletedProcess[bytes]":
    command = shutil.which("git")
    if command is None:
        raise DepixelError("git is not installed, or not on the PATH. Install it: https://git-scm.com/downloads")
    return subprocess.run(  # noqa: S603
        [command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd
    )


def _ask(arguments: tuple[str, ...], cwd: Path | None) -> "subprocess.CompletedProcess[bytes]":
    done = _git(arguments, cwd)
    if done.returncode < 0:  # a signal ended it: neither yes nor no
        raise _failed("git", arguments, done)
    return done


def _text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace").replace("\r\n", "\n").rstrip("\n")


def _failed(program: str, arguments: tuple[str, ...], done: "subprocess.CompletedProcess[bytes]") -> CommandError:
    return CommandError(f"{program} {shlex.join(arguments)}", done.returncode, _text(done.stderr))


def _reason(said: str, code: int) -> str:
    """The first two errors in what a command wrote, or else its last line."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    marks = ("ERROR: ", "fatal: ", "error: ")  # DVC's, and git's two
    errors = [line.partition(": ")[2] for line in lines if line.startswith(marks)]
    errors = list(dict.fromkeys(errors)) or lines[-1:]
    more = [f"and {len(errors) - 2} more"] if len(errors) > 2 else []
    ended = f"signal {-code} ended it" if code < 0 else f"exit code {code}"
    return "; ".join([*errors[:2], *more]) or ended


def _next(command: str, said: str) -> str:
    """What to type after a failure."""
    if "not a git repository" in said or "not inside of a DVC repository" in said:
        return "Run from the project's folder"
    if "No module named dvc" in said:
        return "Install it: `pip install -r requirements.lock`"
    if command.startswith("git"):
        return "`git status` says what state the project is in"
    return "`depixel doctor` says what is wrong and what mends it"
