"""Parts of the report's sections: tables, numbers with intervals, and pictures and plots as text."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from markupsafe import Markup
from PIL import Image

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.curation import snapshots

Section = dict[str, object]
"""The content of a section for the template report.html, by the names that it uses."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV table that a stage wrote. Raises `DepixelError` if it is missing or not a table."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DepixelError(f"{path.as_posix()}: cannot be read ({error}). `dvc repro` writes it") from error


def row_of(comparison: pd.DataFrame, model: str) -> pd.Series:
    """The scores of a model in a table like metrics/comparison.csv. Raises `DepixelError` if the table lacks it."""
    found = comparison[comparison["model"] == model]
    if found.empty:
        raise DepixelError(
            f"{layout.COMPARISON.as_posix()}: has no row {model!r}. `dvc repro evaluate` writes it again"
        )
    return found.iloc[0]


def interval(row: Mapping[str, float] | pd.Series, ratio: str) -> dict[str, str]:
    """A ratio and the ends of its interval, as text: value, low, high."""
    return {"value": f"{row[ratio]:.3f}", "low": f"{row[f'{ratio}_low']:.3f}", "high": f"{row[f'{ratio}_high']:.3f}"}


def snapshot_name(md5: str) -> str:
    """The name of the snapshot with this hash; the beginning of the hash if there is none."""
    return next((snapshot.name for snapshot in snapshots.read_snapshots() if snapshot.md5 == md5), md5[:8])


def flat_settings(content: bytes) -> dict[str, str]:
    """The settings in the content of a params.yaml, as section.key -> value, text; empty if it is not YAML."""
    try:
        sections = yaml.safe_load(content) or {}
    except yaml.YAMLError:
        return {}
    return {
        f"{section}.{key}": str(value)
        for section, values in sections.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }


def svg(plot: str) -> Markup:
    """Mark a plot of `depixel.reports.plots` as safe, so that the template does not escape it."""
    return Markup(plot)  # noqa: S704  (Matplotlib has escaped its texts)


def png(image: np.ndarray) -> str:
    """A picture, (H, W) or (H, W, 3) uint8, as a data URL."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def png_file(path: Path) -> str:
    """A PNG file as a data URL; "" if it is missing."""
    try:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
