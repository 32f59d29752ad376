"""Sweeps: an experiment for each of many settings, as a list, a grid or a Bayesian search, by `dvc exp run`.

Each experiment runs in its own clone in sweeps/NAME/, with this project's cache. When it has finished, it becomes one
of this project's experiments. The state of a sweep is Optuna's journal in the same folder. The journal is written line
by line, so it survives a kill. An interrupted experiment continues from its checkpoint in its clone.
"""

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import psutil
from zc.lockfile import LockError, LockFile

from depixel import versioning
from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.experiments import clones, records
from depixel.experiments.plan import Interval, Plan
from depixel.photos import tracked
from depixel.versioning import experiment_ref, git, has_commit, start_dvc

if TYPE_CHECKING:
    import optuna

FIRST = 4
"""Number of finished experiments before the first one can be pruned."""
WARMUP = 0.25
"""Share of an experiment's epochs before it can be pruned."""
_LEAST_TRIALS = 8  # fewer do not say which settings matter
_TOLD_EVERY = 10  # epochs
_POLL = 0.1  # seconds


class Outcome(NamedTuple):
    """The result of a sweep.

    Attributes:
        finished: `records.describe` of each finished experiment, one row each.
        others: for each other experiment, why it did not finish.
        failed: whether any experiment failed.
        mattered: for a search, the share of each setting in the variance of the validation RMSE, 0..1, the largest
            first (functional ANOVA: Hutter, Hoos & Leyton-Brown 2014); empty after fewer than eight experiments.
        commit: the full hash of the commit that the experiments started from.
    """

    finished: pd.DataFrame
    others: dict[str, str]
    failed: bool
    mattered: dict[str, float]
    commit: str


def run(plan: Plan, jobs: int = 1, prune: bool = True, tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """Run the experiments of a sweep from the last commit of the project in the current folder, or continue them.

    Args:
        plan: the experiments.
        jobs: number of experiments that run at the same time.
        prune: whether to stop an experiment whose validation RMSE is above the median of the others after the same
            epoch. It has no effect if these RMSEs cannot be compared (`Plan.prunable`).
        tell: called with a line when an experiment starts or ends, and every few epochs.

    Raises:
        DepixelError: files or photos are not committed; the sweep began with other settings, code or photos; or it is
            already running.
        KeyboardInterrupt: it was interrupted; trainings have saved their state.
    """
    here = _committed()
    folder = layout.SWEEPS / plan.name
    with _alone(folder), _interrupted_by_sigterm():
        study, commit, new = _study(plan, folder, here, prune and plan.prunable)
        sweep = _Sweep(plan, folder, commit, study, new, tell)
        try:
            sweep.run(jobs)
        except BaseException:
            for attempt in sweep.running:
                clones.end([attempt.process] if attempt.process.poll() is None else [])
            raise
        return sweep.outcome()


def _committed() -> str:
    """The commit at which experiments start. Raises `DepixelError` if anything they need is not in it."""
    versioning.require_commit()
    tracked.check()  # else DVC may hang
    if folders := versioning.data_changed():
        raise DepixelError(
            f"{', '.join(folders)}: changed since `dvc add`, and the experiments would run without the changes. To "
            f"keep them: `dvc add {' '.join(folders)}` and `git add --all && git commit`. To discard them: "
            "`dvc checkout`"
        )
    if files := versioning.uncommitted():
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        raise DepixelError(
            f"{', '.join(files[:3])}{more}: changed since the last commit, from which the experiments start. To keep "
            "the changes: `git add --all && git commit`. To discard them: `git checkout .` and `dvc checkout`"
        )
    return git("rev-parse", "HEAD")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the sweep's lock. Raises `DepixelError` if another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = LockFile(str(folder / "lock"))
    except LockError:
        raise DepixelError(f"{folder.name}: this sweep is already running. Wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.close()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _study(plan: Plan, folder: Path, here: str, prune: bool) -> tuple["optuna.Study", str, bool]:
    """Begin the study at the commit `here`, or continue it.

    Returns:
        The study, the commit at which it began, and whether it is new.
    """
    try:
        import optuna
    except ImportError as error:
        raise DepixelError(f"a sweep needs Optuna, which cannot be imported ({error}): `pip install optuna`") from error
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = folder / "study.log"
    _mend(journal)
    warmup = math.ceil(WARMUP * plan.epochs)
    pruner = optuna.pruners.MedianPruner(FIRST, warmup) if prune else optuna.pruners.NopPruner()
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(storage=storage, study_name=plan.name, pruner=pruner, load_if_exists=True)
    # a new seed each time it continues, else it would draw the same again
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), constant_liar=True)
    known, space = study.user_attrs, plan.described()
    commit = known.get("commit", here)
    _check_same(plan, folder, (known.get("space", space), space), (commit, here))
    study.set_user_attr("commit", commit)
    study.set_user_attr("space", space)
    return study, commit, not known


def _mend(journal: Path) -> None:
    """Remove the remains of a kill: an incomplete last line, and a lock that nobody holds."""
    if not journal.is_file():
        return
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        with replacing(journal) as beside:
            beside.write_bytes(content[: content.rfind(b"\n") + 1])
    journal.with_name("study.log.lock").unlink(missing_ok=True)


def _check_same(
    plan: Plan, folder: Path, spaces: tuple[dict[str, str], dict[str, str]], commits: tuple[str, str]
) -> None:
    """Raise `DepixelError` if a sweep began with another space, or at a commit with other inputs."""
    instead = f"Choose another name, or delete {folder.as_posix()}; finished experiments stay"
    began, now = spaces
    if began != now:
        raise DepixelError(f"{plan.name}: this sweep began with the space {began}, but now has {now}. {instead}")
    commit, here = commits
    if commit != here and (changed := _changed(commit, here)):
        raise DepixelError(
            f"{plan.name}: this sweep began at commit {commit[:7]}, and {', '.join(changed[:5])}"
            f"{' and more' if len(changed) > 5 else ''} changed since then. {instead}"
        )


def _changed(begun: str, here: str) -> list[str]:
    """The inputs of experiments that differ between two commits."""
    if not has_commit(begun):
        return ["the commit, which is gone,"]
    settings = git("diff", "--name-only", "--relative", begun, here, "--", layout.PARAMS.as_posix())
    return [*settings.split(), *versioning.inputs_changed(begun, here)]


@dataclass
class _Attempt:
    """A running experiment.

    Attributes:
        name: name of the experiment.
        trial: its trial in the study.
        process: its `dvc exp run`.
        epochs: number of epochs that were reported to the study.
    """

    name: str
    trial: "optuna.Trial"
    process: psutil.Popen
    epochs: int = 0


class _Sweep:
    """A running sweep: the running experiments, and the study with all others."""

    def __init__(
        self, plan: Plan, folder: Path, commit: str, study: "optuna.Study", new: bool, tell: Callable[[str], object]
    ) -> None:
        from optuna.trial import TrialState

        self.plan, self.folder, self.commit, self.study, self.new, self.tell = plan, folder, commit, study, new, tell
        self.states, self.within = TrialState, versioning.place()[1]
        self.running: list[_Attempt] = []
        for trial in study.get_trials(states=(TrialState.RUNNING,)):  # a kill interrupted them
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params)

    def run(self, jobs: int) -> None:
        """Run all experiments to their end, `jobs` at the same time."""
        todo = self._todo()
        more = True
        while more or self.running:
            while more and len(self.running) < jobs:
                following = next(todo, None)
                if following is None:
                    more = False
                else:
                    self._start(*following)
            self.running = [attempt for attempt in self.running if not self._ended(attempt)]
            time.sleep(_POLL)

    def _todo(self) -> Iterator[tuple["optuna.Trial", tuple[str, ...]]]:
        """Yield the trials to start, with their settings; each is drawn from the study when it is needed."""
        if self.plan.grid is not None:
            yield from self._todo_of_grid(self.plan.grid)
            return
        from optuna.distributions import BaseDistribution, CategoricalDistribution

        space: dict[str, BaseDistribution] = {
            key: values.distribution() if isinstance(values, Interval) else CategoricalDistribution(values)
            for key, values in self.plan.space.items()
        }
        while self._count() + len(self.running) < (self.plan.trials or 0):
            trial = self.study.ask(space)
            yield trial, self.plan.settings(trial.params)

    def _todo_of_grid(self, grid: list[tuple[str, ...]]) -> Iterator[tuple["optuna.Trial", tuple[str, ...]]]:
        told, begun = self._told(), self._begun()
        for settings in grid:
            name = self.plan.called(settings)
            if set(settings) != set(begun.get(name, settings)):
                raise DepixelError(
                    f"{name}: ran with {' '.join(begun[name])}, but now has {' '.join(settings)}. Choose another name, "
                    f"or delete {self.folder.as_posix()}; finished experiments stay"
                )
            if name not in told:
                yield self.study.ask(), settings

    def _told(self) -> dict[str, "optuna.trial.FrozenTrial"]:
        """The trials that finished or were pruned, by name."""
        trials = self.study.get_trials(states=(self.states.COMPLETE, self.states.PRUNED))
        return {trial.user_attrs["name"]: trial for trial in trials}

    def _begun(self) -> dict[str, list[str]]:
        """The settings of the experiments that did not fail."""
        begun = (trial.user_attrs for trial in self.study.trials)
        return {of["name"]: of["settings"] for of in begun if "settings" in of and "error" not in of}

    def _count(self) -> int:
        """Number of trials that ended: finished, pruned or failed."""
        done = self.study.get_trials(states=(self.states.COMPLETE, self.states.PRUNED))
        return len(done) + len(self._failures())

    def _failures(self) -> list[tuple[str, str]]:
        """Name and error of each failed attempt at an experiment."""
        failed = [trial.user_attrs for trial in self.study.get_trials(states=(self.states.FAIL,))]
        return [(of["name"], of["error"]) for of in failed if "error" in of]

    # -- one experiment ----------------------------------------------------------------------------------------------

    def _start(self, trial: "optuna.Trial", settings: tuple[str, ...]) -> None:
        """Start an experiment in its clone, or use its result if it already has one."""
        name = self.plan.called(settings)
        trial.set_user_attr("name", name)
        trial.set_user_attr("settings", settings)
        if known := self._told().get(name):  # the search drew the same values again
            pruned = known.state == self.states.PRUNED
            self.study.tell(trial, None if pruned else known.value, state=known.state)
            return
        if name in (attempt.name for attempt in self.running):
            self.study.tell(trial, state=self.states.PRUNED)
            return
        ref, clone = experiment_ref(self.commit, name), self._project(name)
        if clones.has(ref):
            if self.new:
                raise DepixelError(
                    f"{name}: an experiment of this name already exists. Choose another name for the sweep, or remove "
                    f"the experiment: `dvc exp remove {name}`"
                )
            self._finish(trial, name)
            return
        if interrupted := clone.is_dir():
            clones.end_all_in(clone)
            if clones.has(ref, clone):
                self._finish(trial, name)
                return
        self.tell(f"{name}: {'continues' if interrupted else 'starts'}")
        clones.make_clone(self.folder / name, self.commit)
        options = [option for setting in settings for option in ("-S", setting)]
        process = start_dvc("exp", "run", "--name", name, *options, cwd=clone, output=self._output(name))
        self.running.append(_Attempt(name, trial, process))

    def _ended(self, attempt: _Attempt) -> bool:
        """Whether an experiment has ended; if so, store its result."""
        code = attempt.process.poll()
        if self._pruned(attempt, code is None):
            return True
        if code is None:
            return False
        if code:
            output = self._output(attempt.name)
            said = clones.error_in(output)
            attempt.trial.set_user_attr("error", f"{said} ({output.as_posix()})")
            self.study.tell(attempt.trial, state=self.states.FAIL)
            self.tell(f"{attempt.name}: failed: {said}")
        else:
            self._finish(attempt.trial, attempt.name)
        return True

    def _pruned(self, attempt: _Attempt, running: bool) -> bool:
        """Report new epochs to the study, and stop an experiment that falls behind; True if it was stopped."""
        told = attempt.epochs // _TOLD_EVERY
        for epoch, rmse in clones.validation(self._project(attempt.name), attempt.name)[attempt.epochs :]:
            attempt.trial.report(rmse, epoch)
            attempt.epochs += 1
            if running and attempt.trial.should_prune():
                clones.end([attempt.process])
                attempt.process.wait()
                self.study.tell(attempt.trial, state=self.states.PRUNED)
                self.tell(f"{attempt.name}: pruned after epoch {epoch}, validation RMSE {rmse:.3f}")
                self._remove(attempt.name)
                return True
        if attempt.epochs // _TOLD_EVERY > told:
            where = self._output(attempt.name).as_posix()
            self.tell(f"{attempt.name}: epoch {epoch}, validation RMSE {rmse:.3f} (full output: {where})")
        return False

    def _finish(self, trial: "optuna.Trial", name: str) -> None:
        """Copy a finished experiment into the project, report it to the study, and remove its clone."""
        ref = experiment_ref(self.commit, name)
        clones.bring(ref, name, self._project(name))
        described = records.describe(ref)
        self.study.tell(trial, described["validation_rmse"])
        best = f"validation RMSE {described['validation_rmse']:.3f} in epoch {described['best_epoch']}"
        self.tell(f"{name}: {best}, ratio_mean {described['ratio_mean']:.3f}")
        self._remove(name)

    def _project(self, name: str) -> Path:
        """The project's folder in the clone of an experiment."""
        return self.folder / name / self.within

    def _output(self, name: str) -> Path:
        """The file with the output of DVC and the stages of an experiment."""
        return self.folder / f"{name}.txt"

    def _remove(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self._output(name).unlink(missing_ok=True)

    def outcome(self) -> Outcome:
        """The result of the sweep; call it when no experiment runs any more."""
        told, rows = self._told(), []
        others: dict[str, str] = {}
        for name, trial in told.items():
            if trial.state == self.states.COMPLETE:
                rows.append(records.describe(experiment_ref(self.commit, name)))
            elif trial.intermediate_values:
                epoch, rmse = max(trial.intermediate_values.items())
                others[name] = f"pruned after epoch {epoch}, validation RMSE {rmse:.3f}"
        failed = {name: f"failed: {error}" for name, error in self._failures() if name not in told}
        return Outcome(pd.DataFrame(rows), others | failed, bool(failed), self._mattered(), self.commit)

    def _mattered(self) -> dict[str, float]:
        """See `Outcome.mattered`."""
        finished = self.study.get_trials(states=(self.states.COMPLETE,))
        if not (self.plan.trials and self.plan.alike) or len(self.plan.varied) < 2 or len(finished) < _LEAST_TRIALS:
            return {}
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        try:
            found = get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=0))
        except (ValueError, RuntimeError):  # all have the same RMSE
            return {}
        return {key: round(float(share), 3) for key, share in found.items() if key in self.plan.varied}
