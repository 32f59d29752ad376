"""What commands for pictures show of what they did: lines or JSON, and the sheet of --compare."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from tqdm import tqdm

if TYPE_CHECKING:  # the command starts without NumPy
    import numpy as np

    from depixel.areas.area import ResolvedArea
    from depixel.pictures.jobs import Outcome


class Done(NamedTuple):
    """What was done to a picture.

    Attributes:
        areas: its areas. notes: sentences for people. copied: whether the result is on the clipboard.
    """

    areas: "list[ResolvedArea]"
    notes: tuple[str, ...]
    copied: bool = False


def tell(outcomes: "Iterable[Outcome[Done]]", as_json: bool, end: Callable[[], None] = lambda: None) -> None:
    """Print what became of pictures, call `end`, and exit with 1 if one failed."""
    from depixel.pictures.jobs import NOWHERE

    done, told = [], tqdm.write  # which leaves a progress bar in its line
    for outcome in outcomes:
        done.append(outcome)
        if outcome.problem:
            told(f"Error: {_plain(outcome.problem)}", file=sys.stderr)
        elif outcome.made and not as_json:
            job, areas = outcome.job, "; ".join(area.described() for area in outcome.made.areas)
            target = str(job.source if job.target == NOWHERE else job.target)
            if areas:
                told(f"{_plain(target)}: {areas}", file=sys.stderr if target == "-" else sys.stdout)
            if outcome.made.copied:
                told("The restored picture is on the clipboard.", file=sys.stderr if target == "-" else sys.stdout)
            for note in outcome.made.notes:
                told(f"{_plain(str(outcome.job.source))}: {_plain(note)}", file=sys.stderr)
    end()
    if as_json:
        made = [
            {
                "picture": str(o.job.source),
                "output": None if o.job.target == NOWHERE else str(o.job.target),
                "areas": [area.numbers() for area in o.made.areas],
                "notes": list(o.made.notes),
            }
            for o in done
            if o.made
        ]
        failed = [{"picture": str(o.job.source), "problem": o.problem} for o in done if o.problem]
        click.echo(json.dumps({"pictures": made, "failed": failed}))
    if any(outcome.problem for outcome in done):
        raise SystemExit(1)


def _plain(text: str) -> str:
    """Without what a name may hold to move the cursor or to color the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


_MOST_PANELS = 100


class Comparison:
    """Areas before and after, as `--compare` draws them on a sheet."""

    def __init__(self, path: Path | None):
        self.path = path
        self.panels: list[list[np.ndarray]] = []
        self.captions: list[str] = []
        self.left_out = 0

    def panels_of(self, pixels: "np.ndarray", areas: "Sequence[ResolvedArea]") -> "list[np.ndarray]":
        """Pictures of the first areas, as many as there is room for; none without a sheet."""
        from depixel import sheets

        room = max(0, _MOST_PANELS - len(self.panels)) if self.path else 0
        return [sheets.surroundings(pixels, (area.x, area.y, area.width, area.height)) for area in areas[:room]]

    def add(self, name: str, before: "list[np.ndarray]", pixels: "np.ndarray", areas: "Sequence[ResolvedArea]") -> None:
        """Put areas of the picture `name` on the sheet: their panels `before`, and the `pixels` that are restored."""
        after = self.panels_of(pixels, areas)
        self.panels += [list(pair) for pair in zip(before, after, strict=True)]
        self.captions += [f"{name} {area.described()}" for area in areas[: len(before)]]
        self.left_out += len(areas) - len(before) if self.path else 0

    def write(self) -> None:
        """Write the sheet, if there is to be one."""
        from depixel import sheets
        from depixel.base.files import replacing

        if not self.path:
            return
        titles = ["pixelated", "restored"]
        with replacing(self.path) as beside:
            sheets.contact_sheet(self.panels, titles, self.captions, across=1, scale=1).save(beside, format="PNG")
        if self.left_out:
            click.echo(f"{self.path}: shows the first {_MOST_PANELS} areas, and not {self.left_out} more", err=True)
