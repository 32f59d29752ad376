"""Many settings, an experiment each: a list, a grid or a Bayesian search, through `dvc exp run`.

Each experiment runs in a clone of its own in sweeps/NAME/, with this project's cache, and becomes one of this project's
experiments when it has finished. The state of the whole is Optuna's journal in the same folder: written line by line,
so it survives a kill; a clone that was left goes on from its checkpoint.
"""

import csv
import itertools
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import psutil
from zc.lockfile import LockError, LockFile

from depixel import params
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.experiments import records
from depixel.versioning import experiment_ref, inputs_changed, run_dvc, run_git

if TYPE_CHECKING:
    import optuna

FOLDER = Path("sweeps")
KEPT = ("checkpoints", "logs")
"""What an interrupted clone hands on."""
FIRST = 4
"""Experiments are pruned once so many have finished, and after `WARMUP` of their epochs."""
WARMUP = 0.25
LONGER = ("train.epochs", "train.overfit")
"""Settings by which experiments have other numbers of epochs, or epochs of other lengths."""
ELSEWHERE = ("prepare.", "split.", "pixelation.", "train.overfit")
"""How settings begin by which experiments are validated on other samples."""
_LEAST_TRIALS = 8  # to say which settings mattered
_TOLD_EVERY = 10  # epochs


class Interval(NamedTuple):
    """Where a search may look: logarithmically where the ends are a factor of 10 or more apart."""

    low: float
    high: float
    whole: bool

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        from optuna.distributions import FloatDistribution, IntDistribution

        log = 0 < 10 * self.low <= self.high
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=log)
        return FloatDistribution(self.low, self.high, log=log)


Space = dict[str, "list[str] | Interval"]
"""`section.key` -> its values, as text; or an interval."""


def parse(settings: Sequence[str]) -> Space:
    """Read `key=value`, `key=a,b`, `key=range(first,end,step)` and `key=interval(low,high)`: Hydra's grammar, as DVC.

    Raises:
        DepixelError: it is something else.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser  # which DVC reads -S with
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException

    space: Space = {}
    for text in settings:
        try:
            override = OverridesParser.create().parse_override(text)
            if override.type != OverrideType.CHANGE:
                raise DepixelError(f"-S {text}: a setting is given as section.key=value")
            if not override.is_sweep_override():
                space[override.key_or_group] = [override.get_value_element_as_str()]
            elif override.is_interval_sweep():
                low, high = override.value().start, override.value().end
                if not low < high:
                    raise DepixelError(f"-S {text}: the lower end comes first")
                whole = bool(re.search(r"\(\s*-?\d+\s*,\s*-?\d+\s*\)", text))
                space[override.key_or_group] = Interval(low, high, whole)
            else:
                space[override.key_or_group] = list(override.sweep_string_iterator())
        except HydraException as error:
            raise DepixelError(
                f"-S {text}: cannot be read ({str(error).splitlines()[0]}). Like train.width=32, train.width=16,32, "
                "train.width=range(16,65,16) or train.learning_rate=interval(1e-4,1e-2)"
            ) from error
    return space


def _values(settings: Sequence[str]) -> dict[str, object]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    read = OverridesParser.create().parse_overrides(list(settings))
    return {override.key_or_group: override.value() for override in read}


class Plan:
    """Which experiments a sweep consists of.

    Args:
        name: of the sweep; those of its experiments begin with it.
        settings: for all experiments, see `parse`.
        variants: lines of further settings, separated by spaces; each line is multiplied out with `settings`.
        trials: search so many experiments instead of running all; None for all.

    Attributes:
        grid: the settings of each experiment; None if it is a search. space: that of a search.
        epochs: of the shortest experiment. varied: the settings that differ between experiments.

    Raises:
        DepixelError: a setting is wrong, in any of the experiments; or there are intervals and no `trials`.
    """

    def __init__(self, name: str, settings: Sequence[str], variants: Sequence[str] = (), trials: int | None = None):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name.endswith((".lock", ".")) or ".." in name:
            raise DepixelError(f"{name!r}: a name has letters, digits, dots, _ and -")
        self.name, self.trials = name, trials
        self.params = params.read(params.PARAMS)
        spaces = [parse([*settings, *line.split()]) for line in variants or [""]]
        self.intervals = any(isinstance(values, Interval) for space in spaces for values in space.values())
        if self.intervals and not trials:
            raise DepixelError("an interval has no end of values: say how many experiments to search with, --trials N")
        if trials and variants:
            raise DepixelError("a list runs whole: take --trials or the list away")
        self.space = spaces[0]
        products = [_product(space) for space in spaces]
        self.grid = None if trials else list(dict.fromkeys(itertools.chain(*products)))
        flat = [s for product in products for settings in product for s in settings]
        varied = {_key(s) for s in flat if any(_key(o) == _key(s) and o != s for o in flat)}
        varied |= {key for space in spaces for key, values in space.items() if isinstance(values, Interval)}
        if variants:  # what one line sets and another does not differs too
            varied |= {key for space in spaces for key in space if any(key not in other for other in spaces)}
        self.varied = varied
        if not varied:
            raise DepixelError("nothing varies: give several values, such as -S train.width=16,32")
        complete = [
            params.with_values(self.params, _values(settings), f"params.yaml with {' '.join(settings)}")
            for settings in itertools.chain(*products)
        ]
        self.epochs = min(content["train"]["epochs"] for content in complete)

    @property
    def alike(self) -> bool:
        """Whether the experiments are validated on the same samples: their RMSEs can be compared."""
        return not any(key.startswith(ELSEWHERE) for key in self.varied)

    @property
    def prunable(self) -> bool:
        """Whether their RMSEs can be compared after each epoch."""
        return self.alike and not self.varied & set(LONGER)

    def called(self, settings: Sequence[str]) -> str:
        """The name of an experiment: what varies, and how: week-width=16-dropout=0.1."""
        short = Counter(key.partition(".")[2] for key in self.varied)
        parts = [self.name]
        for key, _, value in (setting.partition("=") for setting in settings if _key(setting) in self.varied):
            last = key.partition(".")[2]
            parts.append(f"{last if short[last] == 1 else key}={re.sub(r'[^A-Za-z0-9.+-]+', '_', value).strip('_.')}")
        return "-".join(parts)

    def settings(self, values: dict[str, object]) -> tuple[str, ...]:
        """The settings that a search drew, numbers of three digits: such as people can repeat."""
        return tuple(f"{key}={_short(value)}" for key, value in values.items())

    def described(self) -> dict[str, str]:
        """What must be the same when the sweep is gone on with."""
        return {key: str(values) for key, values in self.space.items()} if self.trials else {}


def _product(space: Space) -> list[tuple[str, ...]]:
    """Each combination of values; of an interval, its two ends."""
    choices = [
        [f"{key}={v}" for v in (map(_short, values[:2]) if isinstance(values, Interval) else values)]
        for key, values in space.items()
    ]
    return list(itertools.product(*choices))


def _key(setting: str) -> str:
    return setting.partition("=")[0]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class Outcome(NamedTuple):
    """What came of a sweep.

    Attributes:
        finished: `experiments.describe` of those that finished, a row each. others: why others did not.
        mattered: of a search, by how much each setting moved the validation RMSE: shares of its variance (functional
            ANOVA: Hutter, Hoos & Leyton-Brown 2014), the largest first; empty after few experiments.
    """

    finished: pd.DataFrame
    others: dict[str, str]
    failed: bool
    mattered: dict[str, float]


def run(plan: Plan, jobs: int = 1, prune: bool = True, tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """Run a sweep's experiments from the last commit of the project in the current folder, or go on with them.

    Args:
        jobs: so many at a time. prune: end those whose validation RMSE is above the median of the others at that epoch;
            not where that says nothing, as `Plan.prunable` knows.
        tell: called with a line when an experiment starts or ends, and every few epochs.

    Raises:
        DepixelError: tracked files are not as committed; the sweep was begun with other settings, code or photos; or it
            runs already.
        KeyboardInterrupt: it was told to stop; trainings have saved their state.
    """
    here = _committed()
    folder = FOLDER / plan.name
    with _alone(folder), _interrupted_by_sigterm():
        study, commit, new = _study(plan, folder, here, prune and plan.prunable)
        sweep = _Sweep(plan, folder, commit, study, new, tell)
        try:
            sweep.run(jobs)
        except BaseException:
            for attempt in sweep.running:
                _end([psutil.Process(attempt.process.pid)] if attempt.process.poll() is None else [])
            raise
        return sweep.outcome()


def _committed() -> str:
    """The commit that experiments start from."""
    changed = run_git("status", "--porcelain", "--untracked-files=no")
    head = run_git("rev-parse", "HEAD")
    if changed.returncode or head.returncode:
        raise DepixelError(f"{Path.cwd()} is no git repository with a commit. Run from the project's folder")
    if files := [line[3:] for line in changed.stdout.decode().splitlines()]:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        raise DepixelError(
            f"{', '.join(files[:3])}{more}: changed since the last commit, from which the experiments start. Commit: "
            "`git commit -a`; or go back: `git checkout .` and `dvc checkout`"
        )
    return head.stdout.decode().strip()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = LockFile(str(folder / "lock"))
    except LockError:
        raise DepixelError(f"{folder.name}: this sweep runs already") from None
    try:
        yield
    finally:
        lock.close()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _study(plan: Plan, folder: Path, here: str, prune: bool) -> tuple["optuna.Study", str, bool]:
    """Begin the study at the commit `here` or go on with it; the commit that it began at, and whether it is new."""
    try:
        import optuna
    except ImportError as error:
        raise DepixelError(f"a sweep needs Optuna, which cannot be imported ({error}): `pip install optuna`") from error
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = folder / "study.log"
    if journal.is_file():  # what a kill left: half a line, and a lock that nobody holds
        content = journal.read_bytes()
        if not content.endswith(b"\n"):
            with replacing(journal) as beside:
                beside.write_bytes(content[: content.rfind(b"\n") + 1])
        journal.with_name("study.log.lock").unlink(missing_ok=True)
    warmup = math.ceil(WARMUP * plan.epochs)
    pruner = optuna.pruners.MedianPruner(FIRST, warmup) if prune else optuna.pruners.NopPruner()
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(storage=storage, study_name=plan.name, pruner=pruner, load_if_exists=True)
    # another seed each time it goes on, or it would draw the same again
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), constant_liar=True)
    known, space = study.user_attrs, plan.described()
    instead = f"Choose another name; or delete {folder.as_posix()}, which leaves its experiments"
    if known.get("space", space) != space:
        raise DepixelError(
            f"{plan.name}: this sweep was begun with space {known['space']}, and is now asked for with {space}. "
            f"{instead}"
        )
    commit = known.get("commit", here)
    if commit != here and (changed := _changed(commit, here)):
        raise DepixelError(
            f"{plan.name}: this sweep was begun at commit {commit[:7]}, and {', '.join(changed[:5])}"
            f"{' and more' if len(changed) > 5 else ''} changed since then. {instead}"
        )
    study.set_user_attr("commit", commit)
    study.set_user_attr("space", space)
    return study, commit, not known


def _changed(begun: str, here: str) -> list[str]:
    """What an experiment depends on and differs between two commits."""
    settings = run_git("diff", "--name-only", begun, here, "--", "params.yaml")
    if settings.returncode:
        return ["the commit, which is gone,"]
    return [*settings.stdout.decode().split(), *inputs_changed(begun, here)]


@dataclass
class _Attempt:
    name: str
    trial: "optuna.Trial"
    process: subprocess.Popen
    epochs: int = 0  # so many are reported


class _Sweep:
    def __init__(self, plan: Plan, folder: Path, commit: str, study: "optuna.Study", new: bool, tell: Callable):
        from optuna.trial import TrialState

        self.plan, self.folder, self.commit, self.study, self.new, self.tell = plan, folder, commit, study, new, tell
        self.states = TrialState
        self.running: list[_Attempt] = []
        for trial in study.get_trials(states=[TrialState.RUNNING]):  # when it was killed
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params)

    def run(self, jobs: int) -> None:
        todo = self._todo()
        more = True
        while more or self.running:
            while more and len(self.running) < jobs:
                trial_and_settings = next(todo, None)
                more = trial_and_settings is not None
                if more:
                    self._start(*trial_and_settings)
            self.running = [attempt for attempt in self.running if not self._ended(attempt)]
            time.sleep(0.1)

    def _todo(self) -> Iterator[tuple["optuna.Trial", tuple[str, ...]]]:
        if self.plan.grid is not None:
            told, begun = self._told(), self._begun()
            for settings in self.plan.grid:
                name = self.plan.called(settings)
                if set(settings) != set(begun.get(name, settings)):
                    raise DepixelError(
                        f"{name}: ran with {' '.join(begun[name])}, and is now asked for with {' '.join(settings)}. "
                        f"Choose another name; or delete {self.folder.as_posix()}, which leaves its experiments"
                    )
                if name not in told:
                    yield self.study.ask(), settings
            return
        from optuna.distributions import CategoricalDistribution

        space = {
            key: values.distribution() if isinstance(values, Interval) else CategoricalDistribution(values)
            for key, values in self.plan.space.items()
        }
        while self._count() + len(self.running) < self.plan.trials:
            trial = self.study.ask(space)
            yield trial, self.plan.settings(trial.params)

    def _told(self) -> dict[str, "optuna.trial.FrozenTrial"]:
        trials = self.study.get_trials(states=[self.states.COMPLETE, self.states.PRUNED])
        return {trial.user_attrs["name"]: trial for trial in trials}

    def _begun(self) -> dict[str, list[str]]:
        """The settings of the experiments that did not fail."""
        begun = (trial.user_attrs for trial in self.study.trials)
        return {of["name"]: of["settings"] for of in begun if "settings" in of and "error" not in of}

    def _count(self) -> int:
        done = self.study.get_trials(states=[self.states.COMPLETE, self.states.PRUNED])
        return len(done) + len(self._failures())

    def _failures(self) -> list[tuple[str, str]]:
        """Name of the experiment and error of each attempt that failed."""
        failed = [trial.user_attrs for trial in self.study.get_trials(states=[self.states.FAIL])]
        return [(of["name"], of["error"]) for of in failed if "error" in of]

    # -- one experiment ----------------------------------------------------------------------------------------------

    def _start(self, trial: "optuna.Trial", settings: tuple[str, ...]) -> None:
        name = self.plan.called(settings)
        trial.set_user_attr("name", name)
        trial.set_user_attr("settings", settings)
        if known := self._told().get(name):  # drawn again
            pruned = known.state == self.states.PRUNED
            self.study.tell(trial, None if pruned else known.value, state=known.state)
            return
        if name in (attempt.name for attempt in self.running):
            self.study.tell(trial, state=self.states.PRUNED)
            return
        ref = experiment_ref(self.commit, name)
        if _has(ref):
            if self.new:
                raise DepixelError(
                    f"{name}: an experiment has this name already. Choose another name for the sweep, or remove it: "
                    f"`dvc exp remove {name}`"
                )
            self._finish(trial, name)
            return
        clone = self.folder / name
        if clone.is_dir():
            _end([process for process in psutil.process_iter() if _works_in(process, clone)])
            if _has(ref, clone):
                self._finish(trial, name)
                return
        self.tell(f"{name}: {'goes on' if clone.is_dir() else 'starts'}")
        _make_clone(clone, self.commit)
        options = [option for setting in settings for option in ("-S", setting)]
        with self._output(name).open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "dvc", "exp", "run", "--name", name, *options],
                cwd=clone,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which passes it on
            )
        self.running.append(_Attempt(name, trial, process))

    def _ended(self, attempt: _Attempt) -> bool:
        code = attempt.process.poll()
        clone = self.folder / attempt.name
        told = attempt.epochs // _TOLD_EVERY
        for epoch, rmse in _validation(clone / "logs" / attempt.name / "training.csv")[attempt.epochs :]:
            attempt.trial.report(rmse, epoch)
            attempt.epochs += 1
            if code is None and attempt.trial.should_prune():
                _end([psutil.Process(attempt.process.pid)])
                attempt.process.wait()
                self.study.tell(attempt.trial, state=self.states.PRUNED)
                self.tell(f"{attempt.name}: pruned after epoch {epoch}, validation RMSE {rmse:.3f}")
                self._remove(attempt.name)
                return True
        if attempt.epochs // _TOLD_EVERY > told:
            where = self._output(attempt.name).as_posix()
            self.tell(f"{attempt.name}: epoch {epoch}, validation RMSE {rmse:.3f} (all it says: {where})")
        if code is None:
            return False
        if code:
            output = self._output(attempt.name)
            said = _error_in(output.read_text(encoding="utf-8", errors="replace"))
            attempt.trial.set_user_attr("error", f"{said} ({output.as_posix()})")
            self.study.tell(attempt.trial, state=self.states.FAIL)
            self.tell(f"{attempt.name}: failed: {said}")
        else:
            self._finish(attempt.trial, attempt.name)
        return True

    def _finish(self, trial: "optuna.Trial", name: str) -> None:
        clone, ref = self.folder / name, experiment_ref(self.commit, name)
        if not _has(ref):
            _checked(run_git("fetch", "--quiet", "--no-tags", str(clone.resolve()), f"{ref}:{ref}"), "git fetch")
        if (clone / "logs" / name).is_dir():
            with replacing(Path("logs") / name) as beside:
                shutil.copytree(clone / "logs" / name, beside)
        described = records.describe(ref)
        self.study.tell(trial, described["validation_rmse"])
        best = f"validation RMSE {described['validation_rmse']:.3f} in epoch {described['best_epoch']}"
        self.tell(f"{name}: {best}, ratio_mean {described['ratio_mean']:.3f}")
        self._remove(name)

    def _output(self, name: str) -> Path:
        """What DVC and the stages of an experiment say."""
        return self.folder / f"{name}.txt"

    def _remove(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self._output(name).unlink(missing_ok=True)

    def outcome(self) -> Outcome:
        told, rows, others = self._told(), [], {}
        for name, trial in told.items():
            if trial.state == self.states.COMPLETE:
                rows.append(records.describe(experiment_ref(self.commit, name)))
            elif trial.intermediate_values:
                epoch, rmse = max(trial.intermediate_values.items())
                others[name] = f"pruned after epoch {epoch}, validation RMSE {rmse:.3f}"
        failed = {name: f"failed: {error}" for name, error in self._failures() if name not in told}
        return Outcome(pd.DataFrame(rows), others | failed, bool(failed), self._mattered())

    def _mattered(self) -> dict[str, float]:
        finished = self.study.get_trials(states=[self.states.COMPLETE])
        if not (self.plan.trials and self.plan.alike) or len(self.plan.varied) < 2 or len(finished) < _LEAST_TRIALS:
            return {}
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        try:
            found = get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=0))
        except (ValueError, RuntimeError):  # all came to the same
            return {}
        return {key: round(float(share), 3) for key, share in found.items() if key in self.plan.varied}


def _make_clone(folder: Path, commit: str) -> None:
    """Clone the project at this commit, sharing its objects, its cache and the photos; what was `KEPT` stays."""
    from dvc.config import Config
    from dvc.repo import Repo

    with Repo() as repo:
        cache = repo.cache.local_cache_dir
    with replacing(folder) as beside:
        _checked(run_git("clone", "--quiet", "--shared", "--no-checkout", ".", str(beside)), "git clone")
        _checked(run_git("checkout", "--quiet", "--detach", commit, cwd=beside), "git checkout")
        if (local := Path(".dvc/config.local")).is_file():
            shutil.copy(local, beside / ".dvc")
        with Config(str(beside / ".dvc")).edit("local") as config:
            config.setdefault("cache", {})["dir"] = cache
        for name in KEPT:
            if (folder / name).is_dir():
                shutil.move(folder / name, beside / name)
    _checked(run_dvc("checkout", "--quiet", "--allow-missing", cwd=folder), "dvc checkout")


def _has(ref: str, folder: Path | None = None) -> bool:
    return not run_git("rev-parse", "--verify", "--quiet", ref, cwd=folder).returncode


def _checked(done: subprocess.CompletedProcess, command: str) -> subprocess.CompletedProcess:
    if done.returncode:
        said = done.stderr if isinstance(done.stderr, str) else done.stderr.decode(errors="replace")
        raise DepixelError(f"`{command}`: {' '.join(said.split()) or f'exit code {done.returncode}'}")
    return done


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()) == folder.resolve()
    except (psutil.Error, OSError):
        return False


def _end(processes: list[psutil.Process]) -> None:
    """End processes with all that they started; a training saves its state first."""
    family = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            family |= {p.pid: p for p in (process, *process.children(recursive=True))}
    for process in family.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(list(family.values()))


def _validation(path: Path) -> list[tuple[int, float]]:
    """Epoch and validation RMSE of each row of a training's log, as far as it is there."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [(int(row["epoch"]), float(row["validation_rmse_mean"])) for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []


def _error_in(output: str) -> str:
    """The line that says why a stage failed."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith(("Error: ", "ERROR: "))]
    return (errors or lines[-1:] or ["it said nothing"])[0]
