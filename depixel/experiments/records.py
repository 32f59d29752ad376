"""The settings and scores of experiments, and the tracked table of recorded ones.

DVC's experiments are git refs that a clone does not include; it does include the table, metrics/experiments.csv.
"""

import io
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.curation import snapshots
from depixel.experiments import comparison
from depixel.scoring import scores as evaluation
from depixel.versioning import (
    CommandError,
    UnknownRevisionError,
    baseline,
    experiment_refs,
    file_at,
    git,
    has_commit,
    resolve,
)

SCORES = ["validation_rmse", "best_epoch", *(f"{r}{end}" for r in evaluation.RATIOS for end in ("", "_low", "_high"))]
"""The columns of scores, all numbers."""
ORIGIN = ["date", "commit", "data", "note"]
"""The columns on the origin of the scores, all text."""
CODE = ("depixel", "stages", layout.PIPELINE.as_posix(), layout.ENVIRONMENT.as_posix())
"""The folders and files of the code: if one of them differs, the experiment changed the code."""


class NoResultsError(DepixelError):
    """An experiment or a revision has no results, or results of another form."""


def describe(name: str) -> dict[str, Any]:
    """The settings, scores and origin of an experiment, or of another git revision with results.

    Args:
        name: name of the experiment, its ref, or a branch, tag or commit.

    Returns:
        name: the name.
        `SCORES`: the scores, with 95 % confidence intervals over the test photos.
        date: the date of the commit, UTC, YYYY-MM-DD.
        commit: the commit of the code; with a + if the experiment changed the code, with a ? if that commit is not in
            this repository.
        data: the name of the photos' snapshot, or the beginning of their hash, or "" if DVC does not track them.
        section.key: each setting.

    Raises:
        NoResultsError: it has no results.
        DepixelError: there is no such experiment, or git fails.
    """
    ref = resolve(name)
    commit, changed = baseline(ref), ""
    if not commit:
        commit = git("rev-parse", ref)
    elif not has_commit(commit):  # as in a shallow clone
        changed = "?"
    elif git("diff", "--name-only", commit, ref, "--", *CODE):
        changed = "+"
    try:
        compared = pd.read_csv(io.BytesIO(_content(name, ref, layout.COMPARISON))).set_index("model")
        scores = {**json.loads(_content(name, ref, layout.TRAINING)), **compared.loc["model"]}
        scores = {score: scores[score] for score in SCORES}
        settings = YAML(typ="safe").load(_content(name, ref, layout.PARAMS).decode())
    except (KeyError, ValueError) as error:
        raise NoResultsError(f"{name}: its metrics cannot be read ({error}). `dvc repro` writes them") from error
    return {
        "name": ref.rpartition("/")[2] if ref.startswith("refs/exps/") else name,
        **scores,
        "date": datetime.fromtimestamp(int(git("show", "-s", "--format=%ct", ref)), timezone.utc).date().isoformat(),
        "commit": commit[:10] + changed,
        "data": _data(ref),
        **{f"{section}.{key}": value for section, keys in settings.items() for key, value in keys.items()},
    }


def all_experiments() -> tuple[pd.DataFrame, list[str]]:
    """`describe` the last commit, HEAD, and every DVC experiment in this repository.

    Returns:
        A table with one row each, perhaps none. For each experiment without results, which the table lacks: the reason.

    Raises:
        DepixelError: the current folder is in no git repository, or git fails.
    """
    rows, lacking = [], []
    with suppress(NoResultsError, UnknownRevisionError):
        rows.append(describe("HEAD"))
    for ref in experiment_refs():
        try:
            rows.append(describe(ref))
        except NoResultsError as error:  # it failed, or its files have another form
            lacking.append(str(error).removeprefix(ref.rpartition("/")[0] + "/"))
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["name", *SCORES]), lacking


def _data(ref: str) -> str:
    names = {snapshot.md5: snapshot.name for snapshot in snapshots.read_snapshots()}
    try:
        md5 = snapshots.resolve(ref)
    except CommandError:
        raise
    except DepixelError:  # DVC does not track the photos
        return ""
    return names.get(md5, md5[:10])


def _content(name: str, ref: str, path: Path) -> bytes:
    content = file_at(ref, path)
    if content is None:
        raise NoResultsError(f"{name}: has no {path.as_posix()}, so it has no results. `dvc repro` writes them")
    return content


def record(names: Iterable[str], note: str) -> list[str]:
    """Add experiments to the table, or change their note. Also keep their tables of samples, for `comparison`.

    Args:
        names: as for `describe`.
        note: why they matter; white space becomes single spaces.

    Returns:
        For each experiment whose samples are missing: the reason.

    Raises:
        DepixelError: there is no such experiment, or the table has another one of this name. Nothing is added then.
    """
    table, lacking = read_table(), []
    for name in names:
        row = _parse(pd.DataFrame([{**describe(name), "note": " ".join(note.split())}]).to_csv(index=False))
        known = table[table["name"] == row["name"][0]]
        if len(known) and (known[SCORES].to_numpy() != row[SCORES].to_numpy()).any():
            raise DepixelError(
                f"{name}: {layout.EXPERIMENTS.as_posix()} already has another experiment of this name, which stays. "
                f"Choose another name: `dvc exp rename {name} NEW_NAME`"
            )
        table = pd.concat([table.drop(known.index), row], ignore_index=True)
        try:
            comparison.keep_samples(row["name"][0], name)
        except DepixelError as error:  # an old revision, or samples that were not pushed
            lacking.append(str(error))
    settings = [column for column in table if column not in ("name", *SCORES, *ORIGIN)]
    with replacing(layout.EXPERIMENTS) as beside:
        table[["name", *SCORES, *ORIGIN, *settings]].to_csv(beside, index=False, lineterminator="\n")
    return lacking


def read_table() -> pd.DataFrame:
    """Read the tracked table: scores are numbers, all other columns text. It is empty before the first `record`.

    Raises:
        DepixelError: the file cannot be read, or is not a table of experiments.
    """
    try:
        return _parse(layout.EXPERIMENTS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return pd.DataFrame(columns=["name", *SCORES, *ORIGIN])
    except (OSError, ValueError, KeyError) as error:
        raise DepixelError(
            f"{layout.EXPERIMENTS}: not a table of experiments ({error}). Restore it: `git checkout "
            f"{layout.EXPERIMENTS}`"
        ) from error


def _parse(text: str) -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    return table.astype(dict.fromkeys(SCORES, float))[
        ["name", *SCORES, *ORIGIN, *table.columns.difference(["name", *SCORES, *ORIGIN], sort=False)]
    ]


_WIDEST = 48  # characters of a note or of a row's settings on a terminal


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text for people, the lowest validation_rmse first: a test score that chooses is too optimistic.

    Ratios include their intervals. Of the other columns, only those that differ between rows are kept.
    """
    table = table.sort_values("validation_rmse", ignore_index=True)
    same = [column for column in table if column not in ("name", *SCORES) and table[column].astype(str).nunique() < 2]
    if len(table) < 2:
        same = [column for column in table if "." in column]
    table = evaluation.readable(table.drop(columns=same))
    table["validation_rmse"] = table["validation_rmse"].map("{:.3f}".format)
    table["best_epoch"] = table["best_epoch"].map("{:.0f}".format)
    first = ["name", "validation_rmse", "best_epoch", "ratio_mean", "ratio_pooled"]
    return table[[*first, *(column for column in table if column not in first)]].rename(columns=_short)


def committed_settings() -> dict[str, str]:
    """The settings of the last commit as `compact` compares them; empty if there is none."""
    with suppress(DepixelError, YAMLError):
        sections = YAML(typ="safe").load((file_at("HEAD", layout.PARAMS) or b"").decode()) or {}
        row = {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}
        return {column: "" if value is None else str(value) for column, value in row.items()}
    return {}


def compact(table: pd.DataFrame, base: Mapping[str, str], named: Sequence[str] = ()) -> pd.DataFrame:
    """`readable` for a terminal, without the origin. A column has the settings in which a row differs from others.

    Args:
        table: the rows, as `read_table` or `all_experiments` return them.
        base: setting -> the value with which rows are compared (`committed_settings`). A setting that it lacks is
            compared with the most frequent value. Values that the fewest rows have come first.
        named: names of rows that come before the others.
    """
    settings = table[[column for column in table if "." in column]].astype(object).fillna("").astype(str)
    usual = {column: base.get(column, settings[column].mode()[0]) for column in settings}
    rows = settings.to_dict("records")
    counts = {column: settings[column].value_counts() for column in settings}
    differing = []
    for row in rows:
        rows_alike = {column: int(counts[column][value]) for column, value in row.items()}
        differs = [
            column for column in sorted(row, key=rows_alike.__getitem__) if row[column] not in ("", usual[column])
        ]
        differing.append(" ".join(f"{_short(column)}={row[column]}" for column in differs))
    told = readable(table.assign(settings=differing))
    first = told["name"].isin(named)
    told = pd.concat([told[first], told[~first]], ignore_index=True)
    texts = [column for column in ("data", "settings", "note") if column in told]
    for column in texts:
        told[column] = [textwrap.shorten(text, _WIDEST, placeholder=" …") for text in told[column].fillna("")]
        told[column] = told[column].str.ljust(told[column].str.len().max())
    return told[["name", "validation_rmse", "best_epoch", "ratio_mean", "ratio_pooled", *texts]].rename(
        columns={"data": "photos"}
    )


def _short(column: str) -> str:
    return column.partition(".")[2] or column
