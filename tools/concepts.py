"""Two pages of the site, written from tables of docs/: the concepts of a course, and what each choice brought."""

import csv
from pathlib import Path

from mkdocs.exceptions import PluginError

DOCS = Path(__file__).parents[1] / "docs"

Row = dict[str, str]


def concepts() -> str:
    """Each concept of docs/concepts.csv: what it is, what to type, and what it brought."""
    parts = [
        "# Concepts",
        "Concepts of a course on machine learning: the setting or command for each, an experiment that shows it, and "
        "what it brought here. Every figure was measured; where there is none, nobody has measured it yet. Brackets "
        "are 95 % confidence intervals.",
        "A *difference* is a mean RMSE on the sample's test photos minus that of the defaults, in gray levels. Below "
        "0 is better; [each choice](choices.md) says how it is measured. Ratios are of other trainings, which the "
        "link under them describes; [which ratio decides](explanation/ratios.md) explains them.",
    ]
    compared = {row["settings"]: row for row in read("choices")}
    group = ""
    for row in read("concepts"):
        if row["group"] != group:
            group = row["group"]
            parts.append(f"## {group}")
        chosen = [compared[one] for one in row["choices"].split("; ") if one]
        figures = [f"- {_named(one['settings'])}: {_figure(one)}" for one in chosen if one["seeds"] != "0"]
        waiting = ", ".join(_named(one["settings"]) for one in chosen if one["seeds"] == "0")
        here = [row["measured"], "\n    ".join(figures), f"Not measured yet: {waiting}." if waiting else ""]
        entries = {
            "Setting or command": row["use"],
            "Experiment": row["experiment"],
            "Measured": "\n\n    ".join(filter(None, here)) or "Not measured.",
        }
        parts += [f"### {row['concept']}", row["meaning"]]
        parts += [f"{title}\n:   {text}" for title, text in entries.items()]
        parts += [f"[More]({row['page']})."] if row["page"] else []
    return "\n\n".join(parts)


def choices() -> str:
    """Each choice of docs/choices.csv: what helps, what costs, and what makes no clear difference."""
    rows = read("choices")
    planned = [row for row in rows if row["settings"] != "another seed"]
    done, of = (sum(int(row[key]) for row in planned) for key in ("seeds", "planned"))
    parts = [
        "# Each choice, measured",
        "`python benchmarks/choices.py measure` trains each choice on the sample, with all other settings as in "
        "`params.yaml`, and scores it on the test side. A difference is the mean RMSE of the choice minus that of the "
        "defaults, or of what the row names, with the same seeds. It is in gray levels; below 0 is better. Brackets "
        "are 95 % confidence intervals over the choice of test photos. Another seed moves the RMSE, too, so a small "
        "difference of one seed may be luck. Core seconds are those of the training; time is their multiple of the "
        "other side's. Other work on the machine moves both by up to a fifth.",
        f"**{done} of {of} trainings are done.** The same command goes on with the others.",
    ]
    defaults = next(row for row in rows if not row["settings"])
    if defaults["rmse_mean"]:
        rmse, seconds = float(defaults["rmse_mean"]), defaults["core_seconds"]
        parts.append(f"The defaults have an RMSE of {rmse:.2f}, and train for {seconds} core seconds.")
    trained = sorted((row for row in rows if row["low"]), key=lambda row: float(row["difference"]))
    sections = {
        "Lower error": [row for row in trained if float(row["high"]) < 0],
        "No clear difference": [row for row in trained if float(row["low"]) <= 0 <= float(row["high"])],
        "Higher error": [row for row in trained if float(row["low"]) > 0],
        "Diverged": [row for row in rows if row["time"] and not row["rmse_mean"]],
    }
    for title, found in sections.items():
        if found:
            parts += [f"## {title}", _table(found)]
    if waiting := [_named(row["settings"]) for row in planned if row["seeds"] == "0"]:
        parts += ["## Not trained yet", ", ".join(waiting)]
    return "\n\n".join(parts)


def _table(rows: list[Row]) -> str:
    lines = ["| choice | RMSE | difference | core seconds | time | seeds |", "|---|---|---|---|---|---|"]
    for row in rows:
        rmse = f"{float(row['rmse_mean']):.2f}" if row["rmse_mean"] else ""
        against = f", compared with {_named(row['against'])}" if row["against"] else ""
        cells = (rmse, _difference(row), row["core_seconds"], row["time"], row["seeds"])
        lines.append(f"| {_named(row['settings'])}{against} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _named(settings: str) -> str:
    return settings if settings == "another seed" else f"`{settings}`"


def _figure(row: Row) -> str:
    """A choice's difference as the page of concepts shows it."""
    if not row["rmse_mean"]:
        return "diverged"
    against = f" to {_named(row['against'])}" if row["against"] else ""
    seeds = "" if row["seeds"] == row["planned"] else f", {row['seeds']} of {row['planned']} seeds"
    return f"difference{against} {_difference(row)}{seeds}"


def _difference(row: Row) -> str:
    if not row["low"]:
        return ""
    value, low, high = (float(row[key]) for key in ("difference", "low", "high"))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def read(name: str) -> list[Row]:
    """The rows of docs/NAME.csv. Raises `PluginError`, which MkDocs reports plainly, if it cannot be read."""
    path = DOCS / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise PluginError(f"{path}: cannot be read ({error})") from error
