"""What the sections of the report are made of: tables, numbers with intervals, pictures and plots as text."""

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
"""What the template (report.html) shows of a topic, by the names that it uses."""


def read_table(path: Path) -> pd.DataFrame:
    """A table that a stage wrote. Raises `DepixelError` if it is not there, or no table."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DepixelError(f"{path.as_posix()}: cannot be read ({error}). Make it with `dvc repro`") from error


def row_of(comparison: pd.DataFrame, model: str) -> pd.Series:
    """The scores of a model in a table such as metrics/comparison.csv. Raises `DepixelError` if it is not in it."""
    found = comparison[comparison["model"] == model]
    if found.empty:
        raise DepixelError(
            f"{layout.COMPARISON.as_posix()}: has no row {model!r}. Make it anew with `dvc repro evaluate`"
        )
    return found.iloc[0]


def interval(row: Mapping[str, float] | pd.Series, ratio: str) -> dict[str, str]:
    """A ratio with the ends of its interval as text: value, low, high."""
    return {"value": f"{row[ratio]:.3f}", "low": f"{row[f'{ratio}_low']:.3f}", "high": f"{row[f'{ratio}_high']:.3f}"}


def snapshot_name(md5: str) -> str:
    """The name of the snapshot of this hash; the beginning of the hash if it has none."""
    return next((snapshot.name for snapshot in snapshots.read_snapshots() if snapshot.md5 == md5), md5[:8])


def flat_settings(content: bytes) -> dict[str, str]:
    """section.key -> value as text, of the bytes of a params.yaml; empty if these are none."""
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
    """A plot of `depixel.reports.plots` as what the template does not escape."""
    return Markup(plot)  # noqa: S704  (its texts are escaped already)


def png(image: np.ndarray) -> str:
    """A picture, (H, W) or (H, W, 3) uint8, as an address within the page."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def png_file(path: Path) -> str:
    """A PNG file as an address within the page; "" where there is none."""
    try:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
