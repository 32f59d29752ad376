"""Is one model better than another, or was it luck with the test photos? From the tables that evaluations write."""

from pathlib import Path
from typing import NamedTuple, TextIO

import pandas as pd

from depixel.errors import DepixelError
from depixel.evaluation import PHOTO, RATIOS, SAMPLE, SAMPLE_COLUMNS, intervals

TABLE = "metrics/samples.csv"
WORKSPACE = "workspace"


def read_samples(source: str) -> pd.DataFrame:
    """Read a model's `sample_table`.

    Args:
        source: the path of a table; or a git revision or the name of a DVC experiment, whose metrics/samples.csv is
            read where it is, in the workspace, the cache or the remote; or `workspace` for the working tree's.

    Raises:
        DepixelError: there is no such table, or the file is none.
    """
    path = Path(TABLE if source == WORKSPACE else source)
    if path.suffix == ".csv":
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return _parse(file, str(path))
        except FileNotFoundError:
            raise DepixelError(f"{path}: no such file. `dvc repro evaluate` makes {TABLE}") from None
        except OSError as error:
            raise DepixelError(f"{path}: cannot be read ({error.strerror})") from error

    import dvc.api  # half a second, for revisions only
    from dvc.exceptions import DvcException, PathMissingError
    from dvc.scm import RevError

    try:
        with dvc.api.open(TABLE, repo=".", rev=source, encoding="utf-8") as file:
            return _parse(file, f"{TABLE} of {source}")
    except RevError as error:
        raise DepixelError(
            f"{source}: neither a table (NAME.csv) nor a git revision nor an experiment of this project. These are "
            "listed by `git branch --all` and `dvc exp list --all-commits`"
        ) from error
    except PathMissingError as error:
        raise DepixelError(
            f"{source}: its {TABLE} is neither in the cache nor in the remote; older revisions have none. Score its "
            f"model here:\n  dvc get . models --rev {source} --out other\n"
            "  python stages/evaluate.py --model other/depixel.safetensors --metrics other\n"
            "and compare other/samples.csv"
        ) from error
    except (DvcException, OSError) as error:
        raise DepixelError(f"{source}: cannot be read ({error}). Run from the project's folder") from error


def _parse(file: TextIO, name: str) -> pd.DataFrame:
    try:
        # a folder can be called NA
        table = pd.read_csv(file, keep_default_na=False, dtype=dict.fromkeys(PHOTO, str))
        return table[SAMPLE_COLUMNS].astype(dict.fromkeys(SAMPLE_COLUMNS[len(PHOTO) :], "int64"))
    except (ValueError, KeyError) as error:
        raise DepixelError(
            f"{name}: not a table of {','.join(SAMPLE_COLUMNS)}. `dvc repro evaluate` makes {TABLE}"
        ) from error


class Comparison(NamedTuple):
    """Two models on the samples both were scored on.

    Attributes:
        ratios: `intervals` of the models A, B and the difference B - A. samples, photos: how many both have.
    """

    ratios: pd.DataFrame
    samples: int
    photos: int

    def verdict(self) -> str:
        """One sentence: which model is better by which ratio, where the interval of the difference excludes 0."""
        difference = self.ratios.iloc[-1]
        better = ["B" if difference[f"{r}_high"] < 0 else "A" if difference[f"{r}_low"] > 0 else None for r in RATIOS]
        if better == [None, None]:
            return "Not told apart from luck: the intervals of the difference include 0."
        if better[0] == better[1]:
            side = "below" if better[0] == "B" else "above"
            return f"{better[0]} is better: the intervals of the difference lie {side} 0."
        parts = (
            f"by {ratio} " + (f"{model} is better" if model else "they are not told apart from luck")
            for ratio, model in zip(RATIOS, better, strict=True)
        )
        return f"It depends: {', '.join(parts)}."


def compare(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Compare two models on the samples that both were scored on: same photo, same area, same pixels.

    Args:
        a, b: a `sample_table` each.

    Raises:
        DepixelError: fewer than two photos have samples in common; says what differs.
    """
    keys = [*SAMPLE, "identity_squared_error", "copy"]
    # a photo can have the same area twice
    a, b = (table.assign(copy=table.groupby(keys[:-1]).cumcount()) for table in (a, b))
    both = a.merge(b, on=keys, suffixes=("", "_b"))
    photos = len(both.drop_duplicates(PHOTO))
    if photos < 2:
        raise DepixelError(f"two photos with the same samples are needed, A and B have {photos}: {_reason(a, b)}")
    models = {"A": both, "B": both.assign(squared_error=both["squared_error_b"])}
    return Comparison(intervals(models, difference=("B", "A")), len(both), photos)


def _reason(a: pd.DataFrame, b: pd.DataFrame) -> str:
    if len(a[PHOTO].drop_duplicates().merge(b[PHOTO].drop_duplicates())) < 2:
        return (
            "they were scored on other photos. Were the photos the same, and the section `split` of params.yaml? Set "
            "them alike and run `dvc repro` for both"
        )
    if len(a[SAMPLE].merge(b[SAMPLE]).drop_duplicates(PHOTO)) < 2:
        return (
            "they were scored on other areas of the photos. Set `evaluate.seed` and the section `pixelation` of "
            "params.yaml alike and run `dvc repro evaluate` for both"
        )
    return (
        "the same photos have other pixels. Were photos replaced, or has the section `prepare` of params.yaml changed? "
        "Set them alike and run `dvc repro` for both"
    )
