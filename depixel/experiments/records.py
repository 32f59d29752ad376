"""What an experiment was made with and how it scored; and the tracked table of those that matter."""

import io
import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.curation import snapshots
from depixel.experiments import comparison
from depixel.scoring import scores as evaluation
from depixel.versioning import experiment_refs, resolve, run_git

TABLE = Path("metrics/experiments.csv")
"""DVC's experiments are refs of git, which do not travel with a clone; this table does."""
SCORES = ["validation_rmse", "best_epoch", *(f"{r}{end}" for r in evaluation.RATIOS for end in ("", "_low", "_high"))]
ORIGIN = ["date", "commit", "data", "note"]
CODE = ("depixel", "stages", "dvc.yaml", "requirements.lock")


def describe(name: str) -> dict:
    """What is known of an experiment, or of another git revision with results.

    Args:
        name: of the experiment; or its ref, a branch, tag or commit.

    Returns:
        `name`; the `SCORES`, with 95 % confidence intervals over the test photos; `date`; `commit`, that of the code,
        with a + where the experiment has other code; `data`, the snapshot of the photos, or else their hash; and each
        setting as `section.key`.

    Raises:
        DepixelError: there is no such experiment, or it has no results.
    """
    ref = resolve(name)
    commit, *parents = _git("rev-list", "--parents", "--max-count=1", ref).split()
    own_code = ""
    if ref.startswith("refs/exps/"):
        commit = parents[0]
        own_code = _git("diff", "--name-only", commit, ref, "--", *CODE)
    try:
        compared = pd.read_csv(io.StringIO(_git("show", f"{ref}:./metrics/comparison.csv"))).set_index("model")
        scores = {**json.loads(_git("show", f"{ref}:./metrics/training.json")), **compared.loc["model"]}
        scores = {score: scores[score] for score in SCORES}
        settings = YAML(typ="safe").load(_git("show", f"{ref}:./params.yaml"))
    except (KeyError, ValueError) as error:
        raise DepixelError(f"{name}: its metrics cannot be read ({error}). `dvc repro` makes them") from error
    return {
        "name": ref.rpartition("/")[2] if ref.startswith("refs/exps/") else name,
        **scores,
        "date": datetime.fromtimestamp(int(_git("show", "-s", "--format=%ct", ref)), timezone.utc).date().isoformat(),
        "commit": commit[:10] + ("+" if own_code else ""),
        "data": _data(ref),
        **{f"{section}.{key}": value for section, keys in settings.items() for key, value in keys.items()},
    }


def all_experiments() -> pd.DataFrame:
    """`describe` of every experiment of DVC in this repository that has results, and of the last commit, HEAD, if it
    has; without a row if there is none."""
    rows = []
    with suppress(DepixelError):
        rows.append(describe("HEAD"))
    for ref in experiment_refs():
        with suppress(DepixelError):  # it failed, or is of another project's form
            rows.append(describe(ref))
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["name", *SCORES])


def _data(ref: str) -> str:
    md5 = snapshots.resolve(ref)
    return next((snapshot.name for snapshot in snapshots.read_snapshots() if snapshot.md5 == md5), md5[:10])


def _git(*arguments: str) -> str:
    done = run_git(*arguments)
    if done.returncode:
        raise DepixelError(f"`git {' '.join(arguments)}`: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode("utf-8")


def record(names: Iterable[str], note: str) -> list[str]:
    """Add experiments to `TABLE`, or change their note; and keep what `comparison` needs, if it is to be had.

    Returns:
        Why it is not to be had, of those of which it is not.

    Raises:
        DepixelError: there is no such experiment, or the table has another one of this name; then nothing is added.
    """
    table, lacking = read_table(), []
    for name in names:
        row = _parse(pd.DataFrame([{**describe(name), "note": " ".join(note.split())}]).to_csv(index=False))
        known = table[table["name"] == row["name"][0]]
        if len(known) and (known[SCORES].to_numpy() != row[SCORES].to_numpy()).any():
            raise DepixelError(
                f"{name}: {TABLE.as_posix()} has another experiment of this name, and nothing in it is overwritten. "
                f"Choose another name: `dvc exp rename {name} NEW_NAME`"
            )
        table = pd.concat([table.drop(known.index), row], ignore_index=True)
        try:
            comparison.keep_samples(row["name"][0], name)
        except DepixelError as error:  # one of an old revision, or that is not in the remote
            lacking.append(str(error))
    settings = [column for column in table if column not in ("name", *SCORES, *ORIGIN)]
    with replacing(TABLE) as beside:
        table[["name", *SCORES, *ORIGIN, *settings]].to_csv(beside, index=False, lineterminator="\n")
    return lacking


def read_table() -> pd.DataFrame:
    """The tracked table: scores are numbers, all else is text; without a row if there is none so far."""
    try:
        return _parse(TABLE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return pd.DataFrame(columns=["name", *SCORES, *ORIGIN])
    except (OSError, ValueError, KeyError) as error:
        raise DepixelError(
            f"{TABLE}: no table of experiments ({error}). Get it back: `git checkout {TABLE}`"
        ) from error


def _parse(text: str) -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    return table.astype(dict.fromkeys(SCORES, float))[
        ["name", *SCORES, *ORIGIN, *table.columns.difference(["name", *SCORES, *ORIGIN], sort=False)]
    ]


def readable(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Lowest score `by` first, ratios with their intervals, and of all else only what differs from row to row."""
    table = table.sort_values(by, ignore_index=True)
    same = [column for column in table if column not in ("name", *SCORES) and table[column].astype(str).nunique() < 2]
    if len(table) < 2:
        same = [column for column in table if "." in column]
    table = evaluation.readable(table.drop(columns=same))
    table["validation_rmse"] = table["validation_rmse"].map("{:.3f}".format)
    table["best_epoch"] = table["best_epoch"].map("{:.0f}".format)
    first = ["name", "ratio_mean", "ratio_pooled", "validation_rmse", "best_epoch"]
    return table[[*first, *(column for column in table if column not in first)]].rename(columns=_short)


def _short(column: str) -> str:
    return column.partition(".")[2] or column
