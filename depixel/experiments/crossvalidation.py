"""Cross-validation: an experiment for each fold, and what they say together.

The folds are a sweep over `split.fold`, so each is an ordinary DVC experiment, and a cross-validation that was killed
goes on with the folds that it lacks.
"""

import io
from collections.abc import Callable, Sequence

import pandas as pd
from scipy import stats

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.dataset.prepared import load_index
from depixel.dataset.splits import SplitSettings, split
from depixel.experiments import sweep
from depixel.experiments.plan import Plan
from depixel.params import read, with_values
from depixel.scoring.scores import LEVEL, RATIOS
from depixel.versioning import experiment_ref, file_at

SCORES = ("rmse_mean", "rmse_pooled", *RATIOS[::-1])
"""The scores of each fold, of the model's row of metrics/comparison.csv."""


def crossvalidate(
    folds: int, name: str, settings: Sequence[str] = (), tell: Callable[[str], None] = lambda line: None
) -> pd.DataFrame:
    """Train and score once for each fold, or go on with a cross-validation that was interrupted.

    Args:
        folds: number of folds, 3 or more.
        name: the experiments are called `name-fold=0` and so on.
        settings: further settings for all of them, `section.key=value` each.
        tell: called with a line when a fold starts or ends, and every few epochs.

    Returns:
        `summary` of the test scores.

    Raises:
        DepixelError: a setting is wrong, a fold would be empty or failed, or as `sweep.run`.
        KeyboardInterrupt: it was told to stop; trainings have saved their state.
    """
    each = ",".join(map(str, range(folds)))
    plan = Plan(name, [*settings, f"split.folds={folds}", f"split.fold={each}"])
    if several := sorted(plan.varied - {"split.fold"}):
        raise DepixelError(
            f"-S {several[0]}: give one value. To compare several, run a cross-validation for each, with a --name of "
            "its own"
        )
    _check_folds(folds, settings)
    outcome = sweep.run(plan, prune=False, tell=tell)
    if outcome.others:
        raise DepixelError(
            "\n".join(f"{fold}: {why}" for fold, why in outcome.others.items())
            + "\nMend that and run the same command again: finished folds are not trained again"
        )
    rows = {}
    for fold, values in enumerate(plan.grid or ()):
        ref = experiment_ref(outcome.commit, plan.called(values))
        table = pd.read_csv(io.BytesIO(file_at(ref, layout.COMPARISON) or b"")).set_index("model")
        rows[str(fold)] = table.loc["model", list(SCORES)].astype(float)
    return summary(pd.DataFrame(rows).T)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Add the rows mean, standard_deviation, mean_low and mean_high to a table of scores with a row a fold.

    mean_low to mean_high is the interval of the corrected resampled t-test (Nadeau & Bengio 2003, Inference for the
    generalization error), with 95 % confidence. Any two folds share most of their training photos, so their scores
    differ less than those of trainings on new photos would. The test adds to 1 / K, the variance of a mean of K
    independent scores, the ratio of test photos to training photos, which is 1 / (K - 2) here.
    """
    count = len(scores)
    mean, deviation = scores.mean(), scores.std()
    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * deviation * (1 / count + 1 / (count - 2)) ** 0.5
    rows = {"mean": mean, "standard_deviation": deviation, "mean_low": mean - half, "mean_high": mean + half}
    return pd.concat([scores, pd.DataFrame(rows).T])


def _check_folds(folds: int, settings: Sequence[str]) -> None:
    """Raise `DepixelError` if a fold of the prepared photos, where there are any, would be empty."""
    if not layout.INDEX.is_file():
        return
    values = {key: value for key, _, value in (setting.partition("=") for setting in settings)}
    known = {key: value for key, value in values.items() if key in ("split.by", "split.seed")}
    content = with_values(read(layout.PARAMS), {**known, "split.folds": folds}, layout.PARAMS.name)
    photos = load_index(layout.INDEX)
    for fold in range(folds):
        for _ in split(photos, SplitSettings.model_validate({**content["split"], "fold": fold})):
            pass
