"""The runs of the project in the current folder, as tables."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from depixel.base import layout
from depixel.base.console import lacks_pipeline
from depixel.base.errors import DepixelError
from depixel.versioning import dvc

if TYPE_CHECKING:  # the page restores pictures without the pipeline
    import pandas as pd

_EXPERIMENTS = ("exp", "show", "--csv", "--only-changed", "--hide-workspace", "--num", "10", "--drop")
_NO_COLUMNS = (
    r"rev|typ|parent|State|Executor|rmse_.*|.*\.(csv|json|yaml|npy|py|lock|safetensors)|data/.*|models/.*|depixel/.*"
)


class Table(BaseModel):
    """A table for people, as text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class Runs(BaseModel):
    """The runs of the project in the current folder."""

    tables: list[Table]
    problems: list[str] = Field(description="why a table is missing")
    report: bool = Field(description="whether /report is there")


def runs(told: Callable[[float, Sequence[BaseModel]], bool] = lambda share, found: True) -> Runs:
    """Read the last run, the recorded runs and DVC's experiments; for a table that cannot be read, give the reason.

    Without the extra `pipeline` there is no table; the one problem says what to install.
    `told` receives the share that is done and the tables read so far.
    """
    tables: list[Table] = []
    problems = []
    for number, (title, read) in enumerate(
        (
            ("The last run", _last_run),
            ("Runs that were recorded", _recorded),
            ("Experiments of DVC", _experiments),
        )
    ):
        told(number / 3, tables)
        try:
            table = read()
        except DepixelError as error:
            problems.append(f"{title}: {error}")
        except ModuleNotFoundError as error:
            if not (lacking := lacks_pipeline(error)):
                raise
            problems.append(lacking)
            break
        else:
            rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
            tables += [Table(title=title, columns=[str(c) for c in table.columns], rows=rows)] if rows else []
    return Runs(tables=tables, problems=problems, report=layout.REPORT.is_file())


def _last_run() -> "pd.DataFrame":
    import pandas as pd

    from depixel.scoring import scores

    path = layout.COMPARISON
    try:
        return scores.readable(pd.read_csv(path).round(3))
    except FileNotFoundError:
        raise DepixelError("there is none in this folder. `dvc repro` makes one") from None
    except (OSError, ValueError, KeyError) as error:
        raise DepixelError(f"{path.as_posix()} cannot be read ({error}). `dvc repro` makes it") from error


def _recorded() -> "pd.DataFrame":
    from depixel.experiments import records

    table = records.read_table()
    return records.readable(table) if len(table) else table


def _experiments() -> "pd.DataFrame":
    """The experiments that started from the last ten commits, the lowest ratio first."""
    import pandas as pd

    shown = dvc(*_EXPERIMENTS, _NO_COLUMNS)
    if not shown.strip():
        return pd.DataFrame()
    table = pd.read_csv(io.StringIO(shown))
    if "Experiment" not in table:  # DVC drops this column if there are only commits
        return pd.DataFrame()
    table = table[table["Experiment"].notna()]
    by = [column for column in table if column.endswith("ratio_mean")]
    return table.sort_values(by, ignore_index=True).round(4).fillna("")
