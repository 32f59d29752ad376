"""The experiments of a sweep: a list, a grid, or a space to search."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from depixel import params
from depixel.base import layout
from depixel.base.errors import DepixelError

if TYPE_CHECKING:
    import optuna

LONGER = ("train.epochs", "train.overfit")
"""The settings that change the number of epochs or the length of an epoch."""
ELSEWHERE = ("prepare.", "split.", "pixelation.", "train.overfit")
"""Prefixes of the settings that change the validation samples."""


class Interval(NamedTuple):
    """The values that a search may draw for a setting.

    Attributes:
        low, high: the ends, both included.
        whole: whether only whole numbers are drawn.
    """

    low: float
    high: float
    whole: bool

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """The interval for Optuna: logarithmic if the upper end is at least 10 times the lower one."""
        from optuna.distributions import FloatDistribution, IntDistribution

        log = 0 < 10 * self.low <= self.high
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=log)
        return FloatDistribution(self.low, self.high, log=log)


Space = dict[str, "list[str] | Interval"]
"""For each `section.key`, its values as text, or an interval."""


def parse(settings: Sequence[str]) -> Space:
    """Read settings as `dvc exp run -S` does, in Hydra's grammar.

    Args:
        settings: `key=value`, `key=a,b`, `key=range(first,end,step)` or `key=interval(low,high)` each.

    Raises:
        DepixelError: a setting has another form.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import IntervalSweep, OverrideType
    from hydra.errors import HydraException

    space: Space = {}
    for text in settings:
        try:
            override = OverridesParser.create().parse_override(text)
            if override.type != OverrideType.CHANGE:
                raise DepixelError(f"-S {text}: a setting has the form section.key=value")
            value = override.value()
            if not override.is_sweep_override():
                space[override.key_or_group] = [override.get_value_element_as_str()]
            elif isinstance(value, IntervalSweep):
                space[override.key_or_group] = _interval(text, value.start, value.end)
            else:
                space[override.key_or_group] = list(override.sweep_string_iterator())
        except HydraException as error:
            raise DepixelError(
                f"-S {text}: cannot be read ({str(error).splitlines()[0]}). Examples: train.width=32, "
                "train.width=16,32, train.width=range(16,65,16), train.learning_rate=interval(1e-4,1e-2)"
            ) from error
    return space


def _interval(text: str, low: float | None, high: float | None) -> Interval:
    if low is None or high is None or not low < high:
        raise DepixelError(f"-S {text}: an interval needs two ends, the lower one first: interval(1e-4,1e-2)")
    return Interval(low, high, whole=bool(re.search(r"\(\s*-?\d+\s*,\s*-?\d+\s*\)", text)))


class Plan:
    """The experiments of a sweep, checked before the first one runs.

    Args:
        name: name of the sweep; the names of its experiments begin with it.
        settings: settings of all experiments, as `parse` reads them.
        variants: lines of further settings, separated by spaces; each line is combined with `settings`.
        trials: number of experiments of a search; None: run all combinations.

    Attributes:
        grid: the settings of each experiment; None for a search.
        space: the values from which a search draws.
        epochs: number of epochs of the shortest experiment.
        varied: the settings that differ between experiments.

    Raises:
        DepixelError: a setting of any experiment is wrong; nothing varies; or there is an interval without `trials`.
    """

    def __init__(
        self, name: str, settings: Sequence[str], variants: Sequence[str] = (), trials: int | None = None
    ) -> None:
        _check_name(name)
        self.name, self.trials = name, trials
        spaces = [parse([*settings, *line.split()]) for line in variants or [""]]
        intervals = {key for space in spaces for key, values in space.items() if isinstance(values, Interval)}
        if intervals and not trials:
            raise DepixelError("an interval has infinitely many values: add --trials N, the number of experiments")
        if trials and variants:
            raise DepixelError("a list of experiments runs completely: leave out --trials, or the list")
        self.space = spaces[0]
        combinations = [combination for space in spaces for combination in _product(space)]
        self.grid = None if trials else list(dict.fromkeys(combinations))
        self.varied = _differing(combinations) | intervals
        if variants:  # a setting that only some lines have varies, too
            self.varied |= {key for space in spaces for key in space if any(key not in other for other in spaces)}
        if not self.varied:
            raise DepixelError("nothing varies: give several values, such as -S train.width=16,32")
        self.epochs = _fewest_epochs(combinations)

    @property
    def alike(self) -> bool:
        """Whether all experiments are validated on the same samples, so that their RMSEs can be compared."""
        return not any(key.startswith(ELSEWHERE) for key in self.varied)

    @property
    def prunable(self) -> bool:
        """Whether the RMSEs of the experiments can be compared after each epoch."""
        return self.alike and not self.varied & set(LONGER)

    def called(self, settings: Sequence[str]) -> str:
        """The name of an experiment, with the settings that vary, such as week-width=16-dropout=0.1."""
        short = Counter(key.partition(".")[2] for key in self.varied)
        parts = [self.name]
        for key, _, value in (setting.partition("=") for setting in settings if _key(setting) in self.varied):
            last = key.partition(".")[2]
            parts.append(f"{last if short[last] == 1 else key}={re.sub(r'[^A-Za-z0-9.+-]+', '_', value).strip('_.')}")
        return "-".join(parts)

    def settings(self, values: dict[str, object]) -> tuple[str, ...]:
        """The drawn values of a search as settings; numbers have three digits, so that people can retype them."""
        return tuple(f"{key}={_short(value)}" for key, value in values.items())

    def described(self) -> dict[str, str]:
        """The space of a search as text; it must be the same when the sweep continues. Empty for a list or a grid."""
        return {key: str(values) for key, values in self.space.items()} if self.trials else {}


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name.endswith((".lock", ".")) or ".." in name:
        raise DepixelError(
            f"{name!r}: a sweep's name has letters, digits, dots, _ and -, and begins with a letter or digit"
        )


def _product(space: Space) -> list[tuple[str, ...]]:
    """All combinations of values; an interval contributes its two ends."""
    choices = [
        [f"{key}={value}" for value in (map(_short, values[:2]) if isinstance(values, Interval) else values)]
        for key, values in space.items()
    ]
    return list(itertools.product(*choices))


def _differing(combinations: Sequence[Sequence[str]]) -> set[str]:
    """The keys that have more than one value."""
    settings = {setting for combination in combinations for setting in combination}
    return {key for key, count in Counter(map(_key, settings)).items() if count > 1}


def _fewest_epochs(combinations: Sequence[Sequence[str]]) -> int:
    """The number of epochs of the shortest experiment. Raises `DepixelError` if a setting of any of them is wrong."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    content, epochs = params.read(layout.PARAMS), []
    for settings in combinations:
        read = OverridesParser.create().parse_overrides(list(settings))
        values: dict[str, object] = {override.key_or_group: override.value() for override in read}
        complete = params.with_values(content, values, f"params.yaml with {' '.join(settings)}")
        epochs.append(int(complete["train"]["epochs"]))
    return min(epochs)


def _key(setting: str) -> str:
    return setting.partition("=")[0]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
