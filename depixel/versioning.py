"""git and DVC as commands. No other module starts them; this module checks every exit code.

`git` and `dvc` return the output of the command and raise `CommandError` if it fails. `git_or_none` and `file_at` ask
git questions and return None if the answer is no. If git refuses to answer, they raise an error, because that is not a
no. `start_dvc` starts a command that runs beside this process.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.spelling import suggestion

if TYPE_CHECKING:
    import psutil

DATA = tuple(pointer.as_posix() for pointer in (layout.RAW_POINTER, layout.TEST_SET_POINTER, layout.PRETRAINED_POINTER))
"""DVC's pointers to the photos, the test set and the pretrained models."""

_LONGEST = 100  # characters of a command in a message


class CommandError(DepixelError):
    """A command of git or DVC failed. Its text names the command, the reason and what to type next.

    Attributes:
        reason: the reason on one line.
        said: the whole standard error of the command.
        following: what to type next, a sentence without its full stop.
    """

    def __init__(self, command: str, code: int, said: str) -> None:
        self.said = said
        self.reason = _reason(said, code)
        self.following = _next(command, said)
        shown = command if len(command) <= _LONGEST else f"{command[:_LONGEST]}..."
        super().__init__(f"`{shown}` failed: {self.reason.rstrip('.')}. {self.following}")


class UnknownRevisionError(DepixelError):
    """A name is neither an experiment nor a git revision of this project."""


def git(*arguments: str, cwd: Path | None = None) -> str:
    """Run a git command in the folder `cwd`; None: in the current one.

    Returns:
        Its standard output without trailing line breaks. Bytes that are not UTF-8 are replaced; use `file_at` for the
        exact bytes of a file.

    Raises:
        CommandError: the exit code is not 0.
        DepixelError: git is not installed.
    """
    done = _git(arguments, cwd)
    if done.returncode:
        raise _failed("git", arguments, done)
    return _text(done.stdout)


def git_or_none(*arguments: str, cwd: Path | None = None) -> str | None:
    """As `git`, for a question: None if git answers no (exit code 1), or if there is no repository.

    Raises:
        CommandError: git was killed, or refuses to answer, as in another user's repository.
        DepixelError: git is not installed.
    """
    done = _ask(arguments, cwd)
    return None if done.returncode else _text(done.stdout)


def has_commit(revision: str = "HEAD") -> bool:
    """Whether the current folder is in a git repository that has this commit. Raises as `git_or_none`."""
    return git_or_none("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}") is not None


def file_at(revision: str, path: str | Path, cwd: Path | None = None) -> bytes | None:
    """The content of a tracked file in a revision or experiment; None if that does not have the file.

    Args:
        revision: a git revision, or the ref of an experiment.
        path: the file, relative to `cwd`.
        cwd: a folder of the repository; None: the current one.

    Raises:
        CommandError, DepixelError: as `git_or_none`.
    """
    done = _ask(("cat-file", "--batch"), cwd, f"{revision}:./{Path(path).as_posix()}\n")
    kind, _, content = done.stdout.partition(b"\n")
    if not (found := re.fullmatch(rb"[0-9a-f]+ blob (\d+)", kind)):
        return None
    return content[: int(found[1])]


def dvc(*arguments: str, cwd: Path | None = None) -> str:
    """Run a DVC command without standard input in the folder `cwd`; None: in the current one.

    Returns:
        Its standard output without trailing line breaks.

    Raises:
        CommandError: the exit code is not 0.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "dvc", *arguments], stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd
    )
    if done.returncode:
        raise _failed("dvc", arguments, done)
    return _text(done.stdout)


def start_dvc(*arguments: str, cwd: Path, output: Path) -> "psutil.Popen":
    """Start a DVC command in the folder `cwd` and return at once; the caller checks its exit code and ends it.

    The process has its own session, so Ctrl-C in the terminal does not reach it.

    Args:
        arguments: those of `dvc`.
        cwd: the folder to run in.
        output: the file for everything that the command prints; it is overwritten.
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


def require_commit() -> None:
    """Raise `DepixelError` if the current folder is in no git repository, or in one without a commit."""
    if git_or_none("rev-parse", "--git-dir") is None:
        raise DepixelError(f"{Path.cwd()}: not in a git repository. {_NO_REPOSITORY}")
    if not has_commit():
        found, mend = _NO_COMMIT
        raise DepixelError(f"{found}. Commit first: `{mend}`")


# -- the state of the project ----------------------------------------------------------------------------------------


def place() -> tuple[Path, Path]:
    """The root of the git repository, and the current folder relative to it (`.` in the root).

    Raises:
        DepixelError: the current folder is in no git repository, or git refuses to answer.
    """
    return Path(git("rev-parse", "--show-toplevel")), Path(git("rev-parse", "--show-prefix"))


def uncommitted() -> list[str]:
    """The tracked files that differ from the last commit, and new files that results depend on.

    Returns:
        Paths relative to the current folder; changes outside of it are left out.

    Raises:
        DepixelError: there is no commit, or git refuses to answer.
    """
    require_commit()  # without a repository `git diff` compares folders
    changed = paths_of("diff", "--name-only", "--no-renames", "--relative", "HEAD", "--", ".")
    new = paths_of("ls-files", "--others", "--exclude-standard", "--", layout.PARAMS.as_posix(), *_inputs())
    return [*changed, *new]


def data_changed() -> list[str]:
    """The existing folders of `DATA` that have changed since the last `dvc add`.

    Raises:
        CommandError: DVC fails.
    """
    if not (known := [pointer for pointer in DATA if Path(pointer).is_file()]):
        return []
    status = json.loads(dvc("status", "--json", *known))
    changes = [change for of in status.values() for change in of if isinstance(change, dict)]
    outs = {path: state for change in changes for path, state in change.get("changed outs", {}).items()}
    return [path for path, state in outs.items() if state != "deleted"]


def problem() -> tuple[str, str]:
    """The reason why git or DVC's experiments do not work in this folder, and what to type; "", "" if they work."""
    try:
        if git_or_none("rev-parse", "--git-dir") is None:
            return "the project is not in a git repository, so there are no experiments", "git init"
        if not has_commit():
            return _NO_COMMIT
        lacking = [key for key in ("user.name", "user.email") if not _known(key)]
    except CommandError as error:
        return f"git refuses to work here: {error.reason}", error.following
    except DepixelError as error:
        return str(error), "as the message says"
    return _NO_IDENTITY if lacking else ("", "")


def _known(key: str) -> bool:
    """Whether git and DVC know `user.name` or `user.email`, the name or address of the person who commits."""
    kind = key.removeprefix("user.").upper()
    told = all(os.environ.get(f"GIT_{who}_{kind}") for who in ("AUTHOR", "COMMITTER"))
    return told or bool(git_or_none("config", "--get", key))


# -- experiments and revisions ---------------------------------------------------------------------------------------


def experiment_ref(commit: str, name: str) -> str:
    """The git ref of DVC's experiment `name` that starts from `commit`, a full hash."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def baseline(ref: str) -> str:
    """The full hash of the commit that an experiment starts from, by its ref; "" if it is no experiment's ref."""
    found = re.fullmatch("refs/exps/([0-9a-f]{2})/([0-9a-f]+)/.+", ref)
    return found[1] + found[2] if found else ""


def experiment_refs() -> list[str]:
    """The refs of all DVC experiments in the current folder's repository, the youngest first.

    Raises:
        DepixelError: the current folder is in no git repository.
    """
    levels = experiment_ref("0" * 40, "name").count("/")
    listed = git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps")
    return [ref for ref in listed.split() if ref.count("/") == levels]


def resolve(name: str) -> str:
    """The ref of the youngest experiment with this name; or the hash of the commit of a revision.

    Raises:
        UnknownRevisionError: the name is neither.
        DepixelError: git refuses to answer.
    """
    if found := [ref for ref in experiment_refs() if ref == name or ref.endswith(f"/{name}")]:
        return found[0]
    if not has_commit(name):
        require_commit()
        raise UnknownRevisionError(
            f"{name}: neither an experiment nor a git revision of this project. To list them, run `dvc exp list "
            f"--all-commits` and `git branch --all`.{suggested_revision(name)}"
        )
    return git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")


_BRANCHES_AND_TAGS = ("refs/heads", "refs/tags", "refs/remotes")


def suggested_revision(name: str) -> str:
    """The end of an error about an unknown revision: suggests the experiment, branch or tag that is most like it."""
    experiments = [ref.rpartition("/")[2] for ref in experiment_refs()]
    return suggestion(
        name, [*experiments, *git("for-each-ref", "--format=%(refname:short)", *_BRANCHES_AND_TAGS).split()]
    )


def hashes_of(locked: bytes) -> dict[str, str]:
    """Path -> DVC's hash (md5) of each output in the content of a dvc.lock; empty if it is not a dvc.lock."""
    try:
        stages = yaml.safe_load(locked)["stages"].values()
        return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", []) if "md5" in out}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return {}


def inputs_changed(*revisions: str) -> list[str]:
    """The changed files among those that results depend on: code, versions and `DATA`, without params.yaml.

    Args:
        revisions: two revisions to compare; or one, to compare it with the working tree.

    Returns:
        Paths relative to the project's folder.

    Raises:
        CommandError: git does not know a revision.
    """
    return paths_of("diff", "--name-only", "--no-renames", "--relative", *revisions, "--", *_inputs())


def _inputs() -> list[str]:
    """The tracked files and folders that results depend on: code, versions and `DATA`."""
    stages = yaml.safe_load(layout.PIPELINE.read_text(encoding="utf-8"))["stages"].values()
    named = {path for stage in stages for path in stage.get("deps", [])}
    code = {path for path in named if path.endswith((".py", ".lock")) or path.split("/")[0] == "depixel"}
    return [layout.PIPELINE.as_posix(), *sorted(code), *DATA]


def paths_of(*arguments: str) -> list[str]:
    """The paths that a git command lists; the command must accept `-z`."""
    command, *rest = arguments
    return [line for line in git(command, "-z", *rest).split("\0") if line]


# -- how the commands are started ------------------------------------------------------------------------------------


def _git(arguments: tuple[str, ...], cwd: Path | None, told: str = "") -> "subprocess.CompletedProcess[bytes]":
    command = shutil.which("git")
    if command is None:
        raise DepixelError("git is not installed or not on the PATH. Install it: https://git-scm.com/downloads")
    return subprocess.run(  # noqa: S603
        [command, *arguments], input=told.encode(), capture_output=True, cwd=cwd, env={**os.environ, "LC_ALL": "C"}
    )


def _ask(arguments: tuple[str, ...], cwd: Path | None, told: str = "") -> "subprocess.CompletedProcess[bytes]":
    done = _git(arguments, cwd, told)
    if done.returncode not in (0, 1) and b"not a git repository" not in done.stderr:  # neither yes nor no
        raise _failed("git", arguments, done)
    return done


def _text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace").replace("\r\n", "\n").rstrip("\n")


def _failed(program: str, arguments: tuple[str, ...], done: "subprocess.CompletedProcess[bytes]") -> CommandError:
    return CommandError(f"{program} {shlex.join(arguments)}", done.returncode, _text(done.stderr))


def _reason(said: str, code: int) -> str:
    """The first two errors in the output of a command, else its last line."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    marks = ("ERROR: ", "fatal: ", "error: ")  # the first is DVC's, the others are git's
    errors = [line.partition(": ")[2] for line in lines if line.startswith(marks)]
    errors = list(dict.fromkeys(errors)) or lines[-1:]
    more = [f"and {len(errors) - 2} more"] if len(errors) > 2 else []
    ended = f"signal {-code} ended it" if code < 0 else f"exit code {code}"
    return "; ".join([*errors[:2], *more]) or ended


def _next(command: str, said: str) -> str:
    """What to type after a failure."""
    if owner := re.search("dubious ownership in repository at '(.+)'|path '(.+)' is not owned by current user", said):
        trusted = shlex.quote(owner[1] or owner[2])
        return f"It belongs to another user. If you trust it: `git config --global --add safe.directory {trusted}`"
    for marks, advice in _ADVICE.items():
        if re.search(marks, said):
            return advice
    if command.startswith("git"):
        return "`git status` shows the state of the project"
    return "`depixel doctor` shows what is wrong and how to repair it"


_NO_REPOSITORY = "Run from the project's folder; if this is the one, make it a git repository: `git init`"
_NO_COMMIT = "the git repository has no commit yet", "git add --all && git commit -m start"
_NO_IDENTITY = (
    "git does not know your name and address, so neither git nor DVC's experiments can commit",
    "git config --global user.name NAME && git config --global user.email ADDRESS",
)
_ADVICE = {
    "not a git repository": _NO_REPOSITORY,
    "not inside of a DVC repository": "Run from the project's folder",
    "No module named dvc": "Install it: `pip install -r requirements.lock`",
    "not have any commits|argument 'HEAD'|revision 'HEAD'": f"Commit first: `{_NO_COMMIT[1]}`",
    "must be configured|tell me who you are|empty ident": f"Tell git your name and address: `{_NO_IDENTITY[1]}`",
}
"""Pattern in the output of git or DVC -> what to type."""
