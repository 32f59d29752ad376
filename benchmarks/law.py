"""Fit scaling laws of the ratios in samples, parameters and photos: table, fit and picture.

    python benchmarks/law.py

Uses the rows of benchmarks/quality.csv that belong to the groups `law of ...` in recipes/plan.yaml, scored with one
view. The fit is floor + scale x^-exponent, as in the scaling laws of Kaplan et al. 2020 and Hoffmann et al. 2022.
Intervals of the floor are 95 %, from the covariance of the fit. They say how well the data determine the fit, not
whether it holds beyond the data.
"""

import sys
from pathlib import Path

import click
import matplotlib
import numpy as np
import yaml
from scipy.optimize import curve_fit
from scipy.stats import t

matplotlib.use("agg")
from matplotlib import pyplot

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.quality import read_table  # noqa: E402
from depixel.base.files import replacing  # noqa: E402
from depixel.scoring.scores import RATIOS  # noqa: E402
from recipes.plan import PLAN  # noqa: E402

VARIABLES = ("samples", "parameters", "photos")
LEAST = 4
"""Least number of points for the fit, which has three unknowns."""


def curve(x: np.ndarray, floor: float, scale: float, exponent: float) -> np.ndarray:
    return floor + scale * x**-exponent


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--picture", type=click.Path(path_type=Path), default=PROJECT / "docs/law.png", help="Where to draw it.")
def main(picture: Path) -> None:
    groups = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    table = read_table().query("views == 1 and projection == 'interval'").set_index("name")
    figure, axes = pyplot.subplots(1, len(VARIABLES), figsize=(12, 3.8), sharey=True, layout="constrained")
    for variable, axis in zip(VARIABLES, axes, strict=True):
        group = groups[f"law of {variable}"]
        points = table.loc[table.index.intersection([*group.get("with", []), *group["rows"]])].sort_values(variable)
        click.echo("\n" + points[[variable, *RATIOS]].to_string(float_format="%.4f"))
        x = points[variable].to_numpy(float)
        for ratio, color in zip(RATIOS, ("tab:blue", "tab:orange"), strict=True):
            y = points[ratio].to_numpy(float)
            low, high = (points[f"{ratio}_{end}"].to_numpy(float) for end in ("low", "high"))
            axis.errorbar(x, y, [y - low, high - y], fmt="o", color=color, label=ratio, capsize=2)
            if len(x) < LEAST:
                click.echo(f"{ratio}: no fit, because it needs at least {LEAST} points")
                continue
            relative = x / x[0]  # to the smallest, so that the fit has numbers of similar size
            start, bounds = (y.min() - 0.05, y[0] - y.min() + 0.05, 0.3), ([0, 0, 0.01], [1, 10, 3])
            fit, covariance = curve_fit(curve, relative, y, start, bounds=bounds)
            widest = t.ppf(0.975, len(x) - 3)
            ahead = np.geomspace(1, 10 * relative[-1], 100)
            axis.plot(ahead * x[0], curve(ahead, *fit), color=color, linewidth=1)
            click.echo(
                f"{ratio} = {fit[0]:.3f} + {fit[1]:.3f} ({variable} / {x[0]:.0f})^-{fit[2]:.2f}; floor {fit[0]:.3f} "
                f"+- {widest * covariance[0, 0] ** 0.5:.3f}; at ten times the largest: {curve(ahead, *fit)[-1]:.3f}"
            )
        axis.set(xscale="log", xlabel=variable)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("ratio to the identity, one view")
    axes[0].legend()
    with replacing(picture) as beside:
        figure.savefig(beside, dpi=110, format="png", metadata={"Software": None})


if __name__ == "__main__":
    main()
