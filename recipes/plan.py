"""The plan of all trainings, one row each: the shipped models, and those for comparison in the table of quality.

`plan.yaml` lists the rows. `recipes/predictor.py` trains them, and `benchmarks/quality.py` scores them.
"""

from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
import yaml

from depixel.model.predictor import model_path
from depixel.scoring import scores

PROJECT = Path(__file__).resolve().parents[1]
PLAN = PROJECT / "recipes/plan.yaml"
TABLE = PROJECT / "benchmarks/quality.csv"
"""The scores of the rows, which `benchmarks/quality.py` writes."""

LEARNED = ["photos", "samples", "samples_per_second", "memory_gb"]
ENDS = [ratio + end for ratio in scores.RATIOS for end in ("", "_low", "_high")]
COLUMNS = [
    *("name", "group", "settings", "views", "projection", "network", "width", "parameters", "weights", "code"),
    *LEARNED,
    *("images_per_second", *ENDS, *(f"difference_{end}" for end in ENDS), "scored_samples", "hardware"),
]
WHOLE = dict.fromkeys(
    ("parameters", "photos", "samples", "samples_per_second", "images_per_second", "scored_samples"), "Int64"
)
EXISTING = click.Path(exists=True, path_type=Path)

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=PROJECT / ".scratch/quality",
    help="Folder for prepared photos and trained models.",
)
photos_option = click.option("--photos", type=EXISTING, required=True, help="ZIPs or folders.")
bench_option = click.option(
    "--bench", type=EXISTING, required=True, help="Folder with test_set.pkl, targets.npz and a score.py."
)
names_argument = click.argument("names", nargs=-1, required=True, metavar="ROW_OR_GROUP...")


class Row(NamedTuple):
    """A row of the plan. settings: values by SECTION.KEY. plan.yaml explains the other fields."""

    name: str
    group: str
    settings: dict[str, Any]
    start: str | None
    minutes: float | None
    models: list[str]
    views: list[tuple[int, str]]
    reference: str | None
    contrast: float

    def described(self) -> str:
        """The settings as in the table of quality."""
        start = {"start": self.start} if self.start else {}
        shown = start | self.settings | ({"contrast": self.contrast} if self.contrast != 1 else {})
        return " ".join(f"{key}={value}" for key, value in shown.items())


def read_table(path: Path = TABLE) -> pd.DataFrame:
    """Read the table of scores, or another file of this form; empty if the file does not exist."""
    return pd.read_csv(path, dtype=WHOLE) if path.is_file() else pd.DataFrame(columns=COLUMNS)


def plan() -> dict[str, Row]:
    """All rows, by name."""
    rows = {}
    groups = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    everywhere = groups.pop("everywhere", {})
    for group, content in groups.items():
        views = [tuple(pair) for pair in content.get("views", [[1, "interval"]])]
        for name, own in content["rows"].items():
            given = everywhere | content.get("settings", {}) | own if "models" not in own else own
            rows[name] = Row(
                name=name,
                group=group,
                settings={key: value for key, value in given.items() if "." in key},
                start=given.get("start"),
                minutes=given.get("minutes"),
                models=given.get("models", []),
                views=views,
                reference=content.get("reference"),
                contrast=content.get("contrast", 1),
            )
    return rows


def chosen(names: tuple[str, ...]) -> list[Row]:
    """The rows of these names or groups.

    Raises:
        click.BadParameter: a name is neither a row nor a group.
    """
    rows = plan()
    found = [row for name in names for row in rows.values() if name in (row.name, row.group)]
    for name in names:
        if not any(name in (row.name, row.group) for row in found):
            raise click.BadParameter(f"{name!r}: {PLAN.name} has the rows {', '.join(rows)}", param_hint="ROW_OR_GROUP")
    return found


def model_file(name: str, folder: Path) -> Path:
    """The path of a row's model: the one trained in `folder` if it exists, otherwise the pretrained one."""
    here = folder / name / "models/depixel.safetensors"
    return here if here.is_file() else PROJECT / model_path(name)
