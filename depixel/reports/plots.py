"""Plots as SVG within a page: text stays text, and colors are the page's own, light or dark."""

import io
import itertools
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # Matplotlib 3.9 lacks it

P = ParamSpec("P")

COLORS = {"ink": "#0b0b01", "muted": "#0b0b02", "grid": "#0b0b03", "first": "#0b0b11", "second": "#0b0b12"}
"""Names of the page's colors (CSS variables --ink, ...), and their placeholders while a plot is drawn."""

_STYLE: "dict[RcKeyType, Any]" = {
    "font.size": 10,
    "svg.fonttype": "none",
    "axes.edgecolor": COLORS["grid"],
    "axes.labelcolor": COLORS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLORS["grid"],
    "grid.linewidth": 0.6,
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["muted"],
    "ytick.color": COLORS["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


_PAD = 0.15  # inches beside a plot with labels, because the page's font may be wider than Matplotlib's


def _svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element; `name` makes its ids differ from those of other plots on the page."""
    file = io.StringIO()
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r"font: (\d+)px [^;\"]*", r"font-size: \1px", svg)  # the page's font
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)  # the page sets the width
    for key, color in COLORS.items():
        svg = svg.replace(color, f"var(--{key})")
    return svg


def _figure(width: float = 6.4, height: float = 3.2, pad: float = 0.04) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=pad))
    return figure, figure.subplots()


def _drawn(function: Callable[P, str]) -> Callable[P, str]:
    """Decorate a function to draw in the page's style."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> str:
        with mpl.rc_context(_STYLE):
            return function(*args, **kwargs)

    return wrapped


@_drawn
def ranges(labels: Sequence[str], values: pd.DataFrame, key: str, name: str, marked: Sequence[bool] = ()) -> str:
    """Draw values with their intervals, one line each, from top to bottom, as SVG.

    Args:
        labels: the label of each line.
        values: columns `key`, `key`_low and `key`_high; one row per label.
        key: name of the value's column.
        name: name of the plot on the page.
        marked: whether each row is highlighted; empty: none.
    """
    figure, axes = _figure(height=0.7 + 0.3 * len(labels), pad=_PAD)
    places = np.arange(len(labels))[::-1]
    first = np.array(marked, bool) if len(marked) else np.zeros(len(labels), bool)
    middle, low, high = (values[column].to_numpy(float) for column in (key, f"{key}_low", f"{key}_high"))
    for chosen, color in ((~first, COLORS["second"]), (first, COLORS["first"])):
        axes.hlines(places[chosen], low[chosen], high[chosen], color, linewidth=2.5, alpha=0.45)
        axes.plot(middle[chosen], places[chosen], "o", color=color, markersize=6)
    for place, value, end in zip(places, middle, np.fmax(middle, high), strict=True):
        axes.annotate(f"{value:.3f}", (end, place), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{key}: 0 is perfect, 1 leaves the blocks as they are")
    return _svg(figure, name)


@_drawn
def by_class(table: pd.DataFrame, key: str, label: str, name: str) -> str:
    """Draw the RMSE of the model, with its interval, and of the identity, by class, as SVG.

    Args:
        table: columns `key` (text or number), rmse_mean, rmse_mean_low, rmse_mean_high, identity; gray levels.
        key: name of the column with the classes.
        label: label of the axis of classes.
        name: name of the plot on the page.
    """
    figure, axes = _figure()
    places = np.arange(len(table))
    axes.plot(places, table["identity"], "o--", color=COLORS["second"], markersize=4, linewidth=1, label="identity")
    error = np.abs(table[["rmse_mean_low", "rmse_mean_high"]].to_numpy(float).T - table["rmse_mean"].to_numpy(float))
    axes.errorbar(
        places, table["rmse_mean"], error, fmt="o-", color=COLORS["first"], elinewidth=2, linewidth=1.5, label="model"
    )
    axes.set_xticks(places, table[key].astype(str))
    axes.set_xlabel(label)
    axes.set_ylabel("rmse_mean, gray levels")
    axes.set_ylim(0)
    axes.legend(loc="best")
    return _svg(figure, name)


@_drawn
def spread(values: pd.DataFrame, key: str, label: str, name: str) -> str:
    """Draw a line for each class: RMSE of the model with its interval, and of the identity, as SVG.

    The class with the lowest RMSE is at the bottom.

    Args:
        values: columns `key` (text), rmse_mean, rmse_mean_low, rmse_mean_high, identity; gray levels.
        key: name of the column with the classes.
        label: label of the axis of classes; used if there are more than `NAMED`.
        name: name of the plot on the page.
    """
    values = values.sort_values("rmse_mean", ignore_index=True)
    few = len(values) <= NAMED
    figure, axes = _figure(height=max(2.6, 0.7 + 0.26 * len(values)) if few else 4.5)
    size = 5 if few else 3
    axes.hlines(
        values.index, values["rmse_mean_low"], values["rmse_mean_high"], COLORS["first"], alpha=0.4, linewidth=2
    )
    axes.plot(values["identity"], values.index, "o", color=COLORS["second"], markersize=size - 1, label="identity")
    axes.plot(values["rmse_mean"], values.index, "o", color=COLORS["first"], markersize=size, label="model")
    axes.set_yticks(values.index if few else [], [str(of)[-18:] or "." for of in values[key]] if few else None)
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.set_xlim(0)
    axes.grid(visible=False, axis="y")
    axes.set_ylabel("" if few else label)
    axes.set_xlabel("rmse_mean, gray levels")
    axes.legend(loc="best")
    return _svg(figure, name)


NAMED = 16
"""Maximum number of classes of a `spread` with a name on each line."""


@_drawn
def quantiles(sides: dict[str, dict[str, Any]], shares: Sequence[float], name: str) -> str:
    """Draw the distribution of each measure of photos on each side of the split: a small plot per measure, as SVG.

    Args:
        sides: for each side, "measures", and in it the quantiles of each measure.
        shares: the shares of these quantiles, ascending; the middle one is the median.
        name: name of the plot on the page.
    """
    measures = list(next(iter(sides.values()))["measures"])
    across = 4
    figure = Figure((9.6, 1.2 * -(-len(measures) // across)), layout="constrained")
    grid = figure.subplots(-(-len(measures) // across), across, squeeze=False)
    for axes, measure in itertools.zip_longest(grid.flat, measures):
        if measure is None:
            axes.set_visible(False)
            continue
        for place, (side, found) in enumerate(reversed(sides.items())):
            at = found["measures"][measure]
            color = COLORS["second"] if side == "test" else COLORS["first"]
            axes.hlines(place, at[0], at[-1], color, linewidth=1, alpha=0.6)
            axes.hlines(place, at[1], at[-2], color, linewidth=5, alpha=0.4)
            axes.plot(at[len(at) // 2], place, "o", color=color, markersize=4)
        axes.set_title(measure.replace("_", " "), fontsize=9, color=COLORS["muted"], loc="left", pad=2)
        axes.set_yticks(range(len(sides)), reversed(sides), fontsize=8)
        axes.set_ylim(-0.6, len(sides) - 0.4)
        axes.tick_params(axis="x", labelsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(visible=False, axis="y")
    return _svg(figure, name)


@_drawn
def heat(table: pd.DataFrame, label: str, name: str) -> str:
    """Draw a value for each cell of a picture as a heat map; higher values have a stronger color. As SVG.

    Args:
        table: columns row, column (0, 1, ...), value, ratio, samples.
        label: the title.
        name: name of the plot on the page.
    """
    figure, axes = _figure(height=3.6)
    low, high = table["value"].min(), table["value"].max()
    for row, column, value, ratio, samples in table[["row", "column", "value", "ratio", "samples"]].itertuples(
        index=False
    ):
        strength = 0.1 + 0.6 * (value - low) / max(high - low, 1e-9)
        axes.add_patch(mpl.patches.Rectangle((column, row), 0.96, 0.96, color=COLORS["first"], alpha=strength, lw=0))
        axes.text(column + 0.48, row + 0.36, f"{value:.1f}", ha="center", va="center", fontsize=11)
        axes.text(column + 0.48, row + 0.72, f"{ratio:.2f}, {samples:.0f}", ha="center", va="center", fontsize=8)
    axes.set_xlim(0, table["column"].max() + 1)
    axes.set_ylim(table["row"].max() + 1, 0)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(label, fontsize=10, color=COLORS["muted"])
    return _svg(figure, name)


@_drawn
def curves(table: pd.DataFrame, lines: dict[str, str], name: str) -> str:
    """Draw RMSE by epoch, as SVG.

    Args:
        table: a column epoch, and the columns of `lines`, in gray levels.
        lines: the label of each column, at most three.
        name: name of the plot on the page.
    """
    figure, axes = _figure()
    styles = [(COLORS["second"], "-", 0.8), (COLORS["first"], ":", 1.6), (COLORS["first"], "-", 1.6)]
    for (column, label), (color, style, wide) in zip(lines.items(), styles, strict=False):
        axes.plot(table["epoch"], table[column], style, color=color, linewidth=wide, label=label)
        if table[column].notna().any() and style == "-" and wide > 1:
            best = table[column].idxmin()
            axes.plot(table["epoch"][best], table[column][best], "o", color=color, markersize=6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("RMSE, gray levels")
    axes.legend(loc="best")
    return _svg(figure, name)


@_drawn
def curve(table: pd.DataFrame, column: str, label: str, name: str) -> str:
    """Draw a column of `table` by its column epoch, in a small plot, as SVG.

    Args:
        table: the columns epoch and `column`.
        column: the column to draw.
        label: label of its axis.
        name: name of the plot on the page.
    """
    figure, axes = _figure(height=1.8)
    axes.plot(table["epoch"], table[column], color=COLORS["first"], linewidth=1.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    return _svg(figure, name)


@_drawn
def calibration(table: pd.DataFrame, name: str) -> str:
    """Draw expected and observed error of classes of pixels, with the line where both are equal, as SVG.

    Args:
        table: columns expected_rmse and observed_rmse, gray levels.
        name: name of the plot on the page.
    """
    figure, axes = _figure()
    most = table[["expected_rmse", "observed_rmse"]].max(axis=None)
    axes.plot([0, most], [0, most], ":", color=COLORS["muted"], linewidth=1)
    axes.plot(table["expected_rmse"], table["observed_rmse"], "o-", color=COLORS["first"], markersize=5)
    axes.set_xlabel("expected RMSE, gray levels")
    axes.set_ylabel("observed RMSE, gray levels")
    return _svg(figure, name)
