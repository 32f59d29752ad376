"""The section of the report on errors by block size, area, position, contributor and kind of photo."""

import numpy as np
import pandas as pd

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.reports import parts, plots
from depixel.reports.parts import Section
from depixel.scoring import kinds, scores

CONTRIBUTORS = 80
"""Maximum number of contributors in their plot; those with the most samples are drawn."""
CELLS = 4
"""Number of cells of the position map along each side."""


def section(samples: pd.DataFrame) -> Section:
    """Errors by block size, area, position, contributor and kind of photo.

    Args:
        samples: the `scores.sample_table` of the run.
    """
    names = {end: f"to {end}" for end in scores.AREA_BINS} | {scores.AREA_BINS[-1] + 1: "more"}
    areas = pd.Series(scores.area_class(samples[["x", "y", "width", "height"]].to_numpy()), samples.index)
    contributors = _with_intervals(samples, samples["contributor"])
    if len(contributors) > CONTRIBUTORS:
        contributors = contributors.nlargest(CONTRIBUTORS, "samples")
    worst = contributors.sort_values("rmse_mean", ascending=False).head(5)
    drawn = {
        "block_size": plots.by_class(
            _with_intervals(samples, samples["block_size"]), "class", "block size, pixels", "block_size"
        ),
        "area": plots.by_class(
            _with_intervals(samples, areas).assign(class_=lambda t: t["class"].map(names)),
            "class_",
            "area, pixels",
            "area",
        ),
        "position": plots.heat(
            _positions(samples), "by the center of the area: rmse_mean (large); ratio_mean, samples (small)", "position"
        ),
        "contributor": plots.spread(contributors, "class", "contributors of the test side", "contributor"),
    }
    named = [{"name": row["class"] or ".", "rmse": f"{row.rmse_mean:.1f}"} for _, row in worst.iterrows()]
    return {
        **{name: parts.svg(plot) for name, plot in drawn.items()},
        "worst": named if len(contributors) > 1 else [],
        "kinds": _kinds(),
    }


def _kinds() -> Section | None:
    """The scores by kind of photo, a row a measure, and the worst kind; None if they are not here."""
    if not layout.BY_KIND.is_file():
        return None
    table = parts.read_table(layout.BY_KIND)
    worst = kinds.worst(table)
    by_third = table.pivot_table("rmse_mean", "measure", "third", sort=False)
    return {
        "thirds": list(by_third),
        "rows": {str(measure): [f"{rmse:.2f}" for rmse in row] for measure, row in by_third.iterrows()},
        "worst": f"{worst['third']} {worst['measure']}",
    }


def _positions(samples: pd.DataFrame) -> pd.DataFrame:
    """A row for each cell of the picture that has areas: row, column, value (rmse_mean), ratio and samples."""
    areas = samples[["x", "y", "width", "height"]].to_numpy()
    side = int((areas[:, :2] + areas[:, 2:]).max())
    cells = ((areas[:, :2] + areas[:, 2:] / 2) / side * CELLS).astype(int).clip(max=CELLS - 1)
    return pd.DataFrame(
        {
            "row": row,
            "column": column,
            "value": found["rmse_mean"],
            "ratio": found["ratio_mean"],
            "samples": len(members),
        }
        for (column, row), members in samples.groupby([cells[:, 0], cells[:, 1]])
        for found in [scores.score(members)]
    )


def _with_intervals(samples: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """A row for each class: class, samples, rmse_mean with its interval, identity, ratio_mean with its interval.

    The interval of rmse_mean is that of the ratio, in gray levels.
    """
    rows = []
    for value, members in samples.groupby(classes):
        found = scores.score(members)
        pixels = members["width"] * members["height"]
        identity = float(np.sqrt(members["identity_squared_error"] / pixels).mean())
        try:
            ratio = scores.intervals({"model": members}, ("model", "model")).iloc[0]
        except DepixelError:  # nothing to restore in this class
            continue
        ends = {end: ratio[f"ratio_mean{end}"] for end in ("", "_low", "_high")}
        rows.append(
            {"class": value, "samples": len(members), "identity": identity}
            | {f"ratio_mean{end}": ratio_end for end, ratio_end in ends.items()}
            | {f"rmse_mean{end}": ratio_end * identity for end, ratio_end in ends.items()}
            | {"rmse_mean": found["rmse_mean"]}
        )
    return pd.DataFrame(rows)
