"""The report: a single HTML file that shows the results of a run and needs no other file.

`report` makes the sections of the page in the order of report.html. The scores are made here, the others in `history`
(earlier runs, changes, how to reproduce the run), `classes` (errors by class), `restorations` (pictures, and a look
inside the network), `training` and `photos`.
"""

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from depixel import params
from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of, read_json
from depixel.curation import snapshots
from depixel.experiments import records
from depixel.experiments.comparison import WORKSPACE, read_samples
from depixel.reports import classes, history, parts, photos, plots, restorations, training
from depixel.reports.parts import Section
from depixel.scoring import scores

RECORDED = 5
"""Maximum number of recorded experiments beside the run's score; the best ones are shown."""

THIS_RUN = "this run"
"""The name of the run beside others."""

_OF_THE_PIXELS = ("prepare.size", "split.", "pixelation.", "evaluate.")
"""Prefixes of the settings that decide on which pixels a run is scored."""


def report(progress: Callable[[str], object] = lambda part: None) -> str:
    """The report on the run with its results in the current folder, as HTML.

    Args:
        progress: called with the name of each part before it is made.

    Raises:
        DepixelError: results are missing, or do not belong together.
    """
    progress("reads the results")
    samples = read_samples(WORKSPACE)
    comparison = parts.read_table(layout.COMPARISON)
    chosen = restorations.choose(samples)
    recorded = records.read_table()
    sections: dict[str, Callable[[], object]] = {
        "head": lambda: _head(samples, comparison),
        "score": lambda: _score(comparison, recorded),
        "runs": lambda: history.runs(comparison, recorded),
        "changes": lambda: history.changes(samples),
        "classes": lambda: classes.section(samples),
        "restorations": lambda: restorations.restorations(samples, chosen),
        "inside": lambda: restorations.inside(chosen),
        "training": training.section,
        "data": photos.section,
        "again": history.again,
    }
    page = {}
    for number, (name, make) in enumerate(sections.items(), 1):
        progress(f"part {number} of {len(sections)}: {name}")
        page[name] = make()
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(page)


def _head(samples: pd.DataFrame, comparison: pd.DataFrame) -> Section:
    model = parts.row_of(comparison, "model")
    return {
        "ratio_mean": parts.interval(model, "ratio_mean"),
        "ratio_pooled": parts.interval(model, "ratio_pooled"),
        "rmse_mean": f"{model['rmse_mean']:.2f}",
        "rmse_pooled": f"{model['rmse_pooled']:.2f}",
        "samples": len(samples),
        "photos": len(samples[scores.PHOTO].drop_duplicates()),
        "verdict": _verdict(comparison),
        "lost": photos.lost_archives(),
        "revision": history.revision(),
        "date": datetime.fromtimestamp(_now(), timezone.utc).strftime("%Y-%m-%d"),
    }


def _now() -> float:
    """The time in seconds since 1970; or the one that a build names that is to be repeatable."""
    return float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


def _verdict(comparison: pd.DataFrame) -> str:
    """The run in a sentence: its remaining error, beside that of the best baseline."""
    model = parts.row_of(comparison, "model")
    others = comparison[~comparison["model"].isin(["model", "identity"])]
    told = f"Restoration reduces the error of the blocks to {100 * model['ratio_mean']:.0f} %"
    if others.empty:
        return f"{told}."
    best = others.loc[others["ratio_mean"].idxmin()]
    return f"{told}. The best method without training, {best['model']}, reduces it to {100 * best['ratio_mean']:.0f} %."


def _score(comparison: pd.DataFrame, recorded: pd.DataFrame) -> Section:
    """This run beside the baselines and the recorded experiments."""
    others = _on_the_same_pixels(recorded).sort_values("ratio_mean")
    run = comparison.replace({"model": {"model": THIS_RUN}})
    beside = pd.concat([run, others.head(RECORDED)], ignore_index=True)
    beside = beside.sort_values("ratio_mean", ignore_index=True)
    marked = (beside["model"] == THIS_RUN).tolist()
    table = beside.copy()
    for score in ("rmse_mean", "rmse_pooled"):
        table[score] = [f"{value:.2f}" if value == value else "" for value in table[score]]  # not of recorded ones
    return {
        "plots": [
            parts.svg(plots.ranges(beside["model"].tolist(), beside, ratio, ratio, marked))
            for ratio in ("ratio_mean", "ratio_pooled")
        ],
        "table": scores.readable(table).to_dict("records"),
        "more": max(len(others) - RECORDED, 0),
        "baselines": _baselines(),
    }


def _baselines() -> Section | None:
    """What `depixel baselines` measured; None if it was not told to write that, or wrote it beside another model."""
    if not layout.BASELINES.is_file():
        return None
    from depixel.scoring import ranking  # scikit-learn, which takes a second

    found = read_json(layout.BASELINES)
    if found.get("model_sha256") != hash_of(layout.MODEL, "sha256"):
        return {"rows": [], "limits": []}
    try:
        table = ranking.readable(pd.DataFrame(found["baselines"]).replace({"model": {ranking.MODEL: THIS_RUN}}))
        counted = f"On {found['areas']} areas of {found['photos']} test photos."
        return {"columns": list(table), "rows": table.to_dict("records"), "limits": [counted, *found["limits"]]}
    except (KeyError, TypeError, ValueError) as error:
        path = layout.BASELINES.as_posix()
        raise DepixelError(
            f"{path}: not as `depixel baselines` writes it ({error!r}). Delete it, or make it anew: "
            f"`depixel baselines -o {path}`"
        ) from error


def _on_the_same_pixels(recorded: pd.DataFrame) -> pd.DataFrame:
    """The recorded experiments that were scored on this run's test pixels, as rows of the comparison."""
    settings = parts.flat_settings(layout.PARAMS.read_bytes())
    here = {key: value for key, value in settings.items() if key.startswith(_OF_THE_PIXELS)}
    try:
        here["data"] = parts.snapshot_name(snapshots.current())
    except DepixelError:  # DVC does not track the photos
        return recorded.iloc[:0]
    known = recorded.reindex(columns=list(here)).astype(object).replace("", np.nan).fillna(_defaults())
    same = recorded[(known == pd.Series(here)).all(axis=1)]
    return same.assign(model=same["name"] + ", recorded")[["model", *records.SCORES[2:]]]


def _defaults() -> dict[str, str]:
    """The default of each setting, as text: what an experiment from before this setting was made with."""
    return {
        f"{section}.{key}": str(field.default)
        for section, model in params.MODELS.items()
        for key, field in model.model_fields.items()
    }
