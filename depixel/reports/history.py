"""The sections of the report from git: earlier runs, changes since one of them, and how to reproduce this run."""

import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from depixel.base import layout
from depixel.base.environment import versions
from depixel.base.errors import DepixelError
from depixel.base.files import read_json
from depixel.curation import snapshots
from depixel.experiments import records
from depixel.experiments.comparison import compare, read_samples
from depixel.reports import parts, plots
from depixel.reports.parts import Section
from depixel.scoring import scores
from depixel.versioning import DATA, file_at, git, has_commit, inputs_changed, uncommitted

RUNS = 12
"""Maximum number of runs in the report, including this one."""


# -- what git says ---------------------------------------------------------------------------------------------------


def _lines(*arguments: str) -> list[str]:
    """The lines that a git command prints; none without a commit or a repository."""
    return git(*arguments).splitlines() if has_commit() else []


def _at(revision: str, path: Path) -> bytes:
    """The content of a file of the current folder in a commit; b"" if the commit lacks it."""
    return file_at(revision, path) or b""


def revision() -> Section:
    """The last commit, "" if there is none, and the files that differ from it."""
    commit = "".join(_lines("log", "-1", "--format=%h %cs %s"))
    return {"commit": commit.strip(), "changed": uncommitted() if commit else []}


def _history() -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Yield the commits that changed the scores, the latest first: hash, date, subject, and table of scores."""
    for line in _lines("log", "-n", "60", "--format=%h%x09%cs%x09%s", "--", layout.COMPARISON.as_posix()):
        commit, date, subject = line.split("\t", 2)
        try:
            table = pd.read_csv(io.BytesIO(_at(commit, layout.COMPARISON)))
            if {"model", "identity"} <= set(table["model"]) and f"{scores.RATIOS[0]}_low" in table:
                yield commit, date, subject, table
        except (ValueError, KeyError):  # the table is missing there, or has another form
            continue


# -- earlier runs ----------------------------------------------------------------------------------------------------


def runs(comparison: pd.DataFrame, recorded: pd.DataFrame) -> Section:
    """This run, earlier runs of this branch that were scored on the same pixels, and the recorded experiments.

    Args:
        comparison: the scores of this run, as `scores.comparison` returns them.
        recorded: the recorded experiments, as `records.read_table` returns them.
    """
    now = parts.row_of(comparison, "model")
    shown: list[dict[str, Any]] = [{"label": "this run", "commit": "", "date": "", "subject": "", **now}]
    for commit, date, subject, table in _history():
        row = parts.row_of(table, "model")
        if _same_pixels(table, comparison) and row["rmse_mean"] != shown[-1]["rmse_mean"]:
            shown.append({"label": f"{commit} {date}", "commit": commit, "date": date, "subject": subject, **row})
    shown = shown[:RUNS]
    table = pd.DataFrame(shown)
    marked = [True] + [False] * (len(table) - 1)
    listed = records.readable(recorded).to_dict("records")
    return {
        "recorded": listed[:RUNS],
        "more": listed[RUNS:],
        "plot": parts.svg(plots.ranges(table["label"].tolist(), table, "ratio_mean", "runs", marked)),
        "table": [run | {key: parts.interval(run, key) for key in scores.RATIOS} for run in shown],
    }


def _same_pixels(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two runs were scored on the same pixels; the identity then has the same errors."""
    first, second = (
        parts.row_of(table, "identity")[["rmse_pooled", "rmse_mean"]].astype(float) for table in (one, other)
    )
    return bool(np.allclose(first, second, rtol=1e-12))


# -- what changed ----------------------------------------------------------------------------------------------------


def changes(samples: pd.DataFrame) -> Section | None:
    """Differences from the last tagged run or, without tags, from the last commit with other scores.

    Args:
        samples: the `scores.sample_table` of this run.

    Returns:
        The section; None if there is no such run.
    """
    base, kind = _base()
    if not base:
        return None
    before, after = (parts.flat_settings(content) for content in (_at(base, layout.PARAMS), layout.PARAMS.read_bytes()))
    verdict, difference = _paired(base, samples)
    return {
        "base": base,
        "kind": kind,
        "settings": [
            {"key": key, "before": before[key], "after": after[key]}
            for key in sorted(after)
            if before.get(key) not in (None, after[key])
        ],
        "new": sorted(after.keys() - before.keys()),
        "gone": sorted(before.keys() - after.keys()),
        "photos": _snapshots(base),
        "code": [path for path in inputs_changed(base) if path not in DATA],
        "scores": _scores(base),
        "verdict": verdict,
        "difference": difference,
    }


def _base() -> tuple[str, str]:
    """The revision to compare this run with, and its description for people; both "" if there is none."""
    changed, here = has_commit() and uncommitted(), _lines("rev-parse", "HEAD")
    for tag in _lines("tag", "--merged", "HEAD", "--sort=-creatordate"):
        is_this_run = not changed and _lines("rev-parse", f"{tag}^{{commit}}") == here
        if _at(tag, layout.EVALUATION) and not is_this_run:
            return tag, "the last tagged run"
    now = json.dumps(read_json(layout.EVALUATION))
    for commit, *_ in _history():
        content = _at(commit, layout.EVALUATION)
        if content and json.dumps(json.loads(content)) != now:
            return commit, "the last commit with other scores (no run is tagged)"
    return "", ""


def _snapshots(base: str) -> list[str]:
    """The snapshots of the photos before and now; empty if they are the same."""
    try:
        before, now = snapshots.resolve(base), snapshots.current()
        return [parts.snapshot_name(before), parts.snapshot_name(now)] if before != now else []
    except DepixelError:  # DVC does not track the photos
        return ["not tracked by DVC"] * 2


def _scores(base: str) -> list[dict[str, str]]:
    """The scores that differ."""
    before, now = json.loads(_at(base, layout.EVALUATION)), read_json(layout.EVALUATION)
    return [
        {"key": key, "before": f"{before[key]:.4f}", "after": f"{now[key]:.4f}"}
        for key in now
        if key in before and before[key] != now[key]
    ]


def _paired(base: str, samples: pd.DataFrame) -> tuple[str, dict[str, str]]:
    """The verdict of the comparison on common samples, and the difference of each ratio; empty if not comparable."""
    try:
        comparison = compare(read_samples(base), samples)
        verdict, last = comparison.verdict(), comparison.ratios.iloc[-1]
    except DepixelError:  # other test photos, or samples that are not in the cache
        return "", {}
    return verdict, {
        ratio: f"{last[ratio]:+.4f} [{last[f'{ratio}_low']:+.4f}, {last[f'{ratio}_high']:+.4f}]"
        for ratio in scores.RATIOS
    }


# -- how to reproduce it ---------------------------------------------------------------------------------------------


def again() -> Section:
    """The commands, versions and settings that reproduce this run."""
    commit = "".join(_lines("rev-parse", "HEAD"))
    content = layout.PARAMS.read_bytes()
    before, now = parts.flat_settings(_at("HEAD", layout.PARAMS)), parts.flat_settings(content)
    return {
        "commit": commit,
        "changed": ["-S " + shlex.quote(f"{key}={now[key]}") for key in now if before.get(key, now[key]) != now[key]],
        "uncommitted": inputs_changed("HEAD") if commit else [],
        "versions": versions(),
        "settings": yaml.safe_dump(yaml.safe_load(content), sort_keys=False),
    }
