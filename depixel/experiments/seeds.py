"""Variation of the scores between seeds of the training."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from scipy import stats

from depixel.base import layout
from depixel.base.console import run_stage
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.settings import read_section
from depixel.base.stage import Inputs
from depixel.learning.task import TrainSettings
from depixel.photos import tracked
from depixel.scoring.scores import LEVEL
from depixel.versioning import dvc

PREPARED = (layout.IMAGES, layout.INDEX, layout.SPLIT)
"""The files that the training and evaluation of every seed read."""


def run_seeds(count: int, tell: Callable[[str], None]) -> pd.DataFrame:
    """Train and score the current settings and photos with `count` seeds, starting at `train.seed`.

    This runs the project's stages in the current folder; their outputs go to seeds/seed_K/. After an interruption, the
    same call continues each seed from its checkpoint.

    Args:
        count: number of seeds, at least 2.
        tell: called with a line before each seed.

    Returns:
        The `summary` of the test scores, which is also written to seeds/seeds.csv.

    Raises:
        DepixelError: this is not the project's folder; prepared photos are missing, out of date or changed meanwhile;
            a setting is wrong; or a stage failed.
        KeyboardInterrupt: a stage was interrupted.
    """
    if not Path("stages/train.py").is_file():
        raise DepixelError("stages/train.py: there is no such file. Run from the project's folder")
    for path in PREPARED:
        if not path.is_file():
            raise DepixelError(f"{path.as_posix()}: there is no such file. Prepare the photos: `dvc repro split`")
    tracked.check()  # else DVC may hang
    if layout.DVC.is_dir() and (changed := json.loads(dvc("status", "--json", "--with-deps", "split"))):
        raise DepixelError(
            f"the prepared photos are out of date ({', '.join(changed)} changed). Prepare them: `dvc repro split`"
        )
    first = read_section(layout.PARAMS, "train", TrainSettings).seed
    settings = yaml.safe_load(layout.PARAMS.read_text(encoding="utf-8")) or {}
    inputs = Inputs(__file__)  # all seeds must use the same photos, code and environment
    for path in (*PREPARED, layout.ENVIRONMENT, *Path("depixel").rglob("*.py"), *Path("stages").glob("*.py")):
        inputs.watch(path)
    scores = {}
    for seed in range(first, first + count):
        tell(f"seed {seed}, {seed - first + 1} of {count}:")
        scores[str(seed)] = _score(seed, {**settings, "train": {**(settings.get("train") or {}), "seed": seed}})
        inputs.check()
    table = summary(pd.DataFrame.from_dict(scores, orient="index"))
    with replacing(layout.SEEDS / "seeds.csv") as beside:
        table.to_csv(beside, index_label="seed", lineterminator="\n")
    return table


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Add the rows mean, standard_deviation, mean_low and mean_high to a table of scores with one row per seed.

    mean_low and mean_high are the ends of Student's 95 % confidence interval for the mean over all seeds.
    """
    mean, deviation = scores.mean(), scores.std()
    half = stats.t.ppf((1 + LEVEL) / 2, len(scores) - 1) * deviation / len(scores) ** 0.5
    rows = {"mean": mean, "standard_deviation": deviation, "mean_low": mean - half, "mean_high": mean + half}
    return pd.concat([scores, pd.DataFrame(rows).T])


def _score(seed: int, settings: dict[str, Any]) -> dict[str, float]:
    """Train and score one seed, and return its metrics/evaluation.json."""
    folder = layout.SEEDS / f"seed_{seed}"
    with replacing(folder / layout.PARAMS) as beside:
        beside.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    options = {"params": layout.PARAMS.name, "model": "model.safetensors", "metrics": "metrics"}
    _run(seed, "train", {**options, "logs": "logs", "checkpoints": "checkpoints"})
    _run(seed, "evaluate", options)
    scores: dict[str, float] = json.loads((folder / layout.EVALUATION).read_text(encoding="utf-8"))
    return scores


def _run(seed: int, stage: str, options: dict[str, str]) -> None:
    """Run a stage; its output goes to the standard error. `options` are paths in the seed's folder."""
    arguments = [f"--{name}={layout.SEEDS / f'seed_{seed}' / path}" for name, path in options.items()]
    if code := run_stage([sys.executable, "-m", f"stages.{stage}", *arguments], stdout=2):
        raise DepixelError(
            f"seed {seed}: stages/{stage}.py failed (exit code {code}); its error is above. Repair that and run the "
            "same command again: finished seeds are not trained again"
        )
