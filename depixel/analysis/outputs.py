"""Output of the analysis: a table, JSON for tools, text for a terminal, and sheets of pictures."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from depixel.analysis.clusters import typical
from depixel.analysis.findings import EXAMPLES, Finding, percent, sides_of
from depixel.analysis.measures import small
from depixel.analysis.overview import Analysis
from depixel.analysis.photo_table import ALL, MEASURES, SIGNIFICANT, words
from depixel.base.console import counted
from depixel.base.files import replacing, write_json
from depixel.base.layout import METRICS
from depixel.sheets import contact_sheet

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles of each measure in the report, as shares 0..1."""

NAMED = 8
"""Maximum number of findings that the terminal shows."""

SOME = 2
"""Maximum number of photos or contributors that the terminal names for each finding."""


def report(result: Analysis, found: list[Finding], exact: int) -> dict[str, Any]:
    """The analysis for tools: the content of metrics/analysis.json.

    Args:
        result: the analysis.
        found: the findings of the analysis.
        exact: number of files that are byte-for-byte copies of others.

    Returns:
        findings: a list of `Finding`s as dictionaries, without empty `photos` and `contributors`.
        photos: numbers of photos, contributors, exact_copies (files that validation left out), copies (photos that show
            the same as an earlier one), gray and with_camera; cameras: number of photos from each of the most frequent
            cameras; compared, see `Analysis`, if it is not all.
        sides: for each side: photos, contributors, kinds (share of each), measures (the `quantiles` of each), clusters
            (share of each).
        quantiles: `QUANTILES`.
        clusters: a list: cluster, photos, is (in words).
        differences: between training and test, see `sides.Difference`.
        contributors: outstanding, see `contributors.Outstanding`; told_apart, see `contributors.told_apart`.
    """
    photos = result.photos
    numbers = sorted(photos.cluster.unique().tolist())
    cameras = Counter(camera for camera in photos.camera if camera)
    few = {"compared": result.compared} if result.compared < len(photos) else {}
    return {
        "findings": [{key: value for key, value in vars(finding).items() if value != ()} for finding in found],
        "photos": {
            "photos": len(photos),
            "contributors": photos.contributor.nunique(),
            "exact_copies": exact,
            "copies": int((photos.same_as != "").sum()),
            "gray": int(result.are["gray"].sum()),
            "with_camera": cameras.total(),
            "cameras": dict(sorted(cameras.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]),
            **few,
        },
        "quantiles": list(QUANTILES),
        "sides": {side: _side(result, photos.side == side, numbers) for side in sides_of(photos)},
        "clusters": [
            {
                "cluster": number,
                "photos": int((photos.cluster == number).sum()),
                "is": words(photos, photos.cluster == number),
            }
            for number in numbers
        ],
        "differences": [row._asdict() for row in result.differences],
        "contributors": {
            "outstanding": [row._asdict() for row in result.outstanding],
            "told_apart": result.told_apart,
        },
    }


def _side(result: Analysis, here: pd.Series, numbers: list[int]) -> dict[str, Any]:
    photos = result.photos[here]
    return {
        "photos": len(photos),
        "contributors": photos.contributor.nunique(),
        "kinds": {kind: round(float(share), 4) for kind, share in result.are[here].mean().items()},
        "measures": {name: photos[name].quantile(list(QUANTILES)).astype(float).round(4).tolist() for name in MEASURES},
        "clusters": [round(float((photos.cluster == number).mean()), 4) for number in numbers],
    }


def readable(result: Analysis, found: list[Finding], folder: Path = METRICS) -> str:
    """A summary of the analysis in a few lines, for a terminal; `report` has all of it.

    Args:
        result: the analysis.
        found: the findings of the analysis.
        folder: the folder of `FILES`; the text names it.
    """
    photos, lines = result.photos, []
    for side in sides_of(photos):
        here = photos[photos.side == side]
        of = counted(here.contributor.nunique(), "contributor")
        lines.append(f"{side}: {counted(len(here), 'photo')} of {of}, median brightness {here.brightness.median():.4g}")
    if result.differences and result.differences[0].p > SIGNIFICANT:
        lines.append(f"Training and test side differ no more than by chance (p = {result.differences[0].p:g}).")
    lines += [f"{number}. {_short(finding)}" for number, finding in enumerate(found[:NAMED], 1)]
    if result.compared < len(photos):
        lines.append(f"Sides and clusters are judged by {result.compared} photos, drawn by their names.")
    if len(found) > NAMED:
        lines.append(f"and {counted(len(found) - NAMED, 'more finding')}")
    report, *sheets = FILES
    report = (folder / report).as_posix()
    lines.append(f"Why it matters, what to do, all numbers: {report}. Pictures in that folder: {', '.join(sheets)}.")
    return "\n".join(lines)


def _short(finding: Finding) -> str:
    """The observation of a finding on one line, with the first photos or contributors that it names."""
    what = finding.what.split(": ")[0].rstrip(".")
    named = [str(row["contributor"] or ".") for row in finding.contributors] or list(finding.photos)
    return f"{what} ({', '.join(named[:SOME])}{', ...' * (len(named) > SOME)})" if named else what


FILES = ("analysis.json", "clusters.png", "findings.png")
"""The files that `write` writes to its folder."""


def write(result: Analysis, found: list[Finding], exact: int, images: np.ndarray, table: Path, folder: Path) -> None:
    """Write the table of all photos, and `FILES`: the report, a sheet of the clusters, a sheet of the findings.

    Args:
        result: the analysis of N photos.
        found: the findings of the analysis.
        exact: number of files that are byte-for-byte copies of others.
        images: (N, S, S) uint8, prepared.
        table: path of the table, a CSV.
        folder: folder for `FILES`.

    Raises:
        DepixelError: a file cannot be written.
    """
    with replacing(table) as beside:
        result.photos.drop(columns=["path", "sha256", "short_side"]).to_csv(beside, index=False, lineterminator="\n")
    write_json(folder / "analysis.json", report(result, found, exact))
    sheets = {"clusters.png": clusters_sheet(result, images), "findings.png": findings_sheet(result, found, images)}
    for name, sheet in sheets.items():
        with replacing(folder / name) as beside:
            sheet.save(beside, format="PNG")


def clusters_sheet(result: Analysis, images: np.ndarray) -> Image.Image:
    """Draw a row for each cluster: some photos, the most typical first, with the cluster's size and a description.

    Args:
        result: the analysis of N photos.
        images: (N, S, S) uint8, prepared.
    """
    photos, rows, captions = result.photos, [], []
    total = {side: (photos.side == side).sum() for side in sides_of(photos) if side not in ("validation", ALL)}
    for number in sorted(photos.cluster.unique()):
        chosen = (photos.cluster == number).to_numpy()
        shown = typical(photos.distance.to_numpy(), np.flatnonzero(chosen), EXAMPLES)
        rows.append([small(images[row]) for row in shown])
        shares = ", ".join(
            f"{percent((chosen & (photos.side == side)).sum() / total[side])} of {side}" for side in total
        )
        shares = shares and f", {shares}"
        captions.append(f"{number}: {counted(int(chosen.sum()), 'photo')}{shares}; {words(photos, chosen)}")
    return contact_sheet(rows, [""] * EXAMPLES, captions, across=1, scale=1)


def findings_sheet(result: Analysis, found: list[Finding], images: np.ndarray) -> Image.Image:
    """Draw a row for each finding that names photos.

    Args:
        result: the analysis of N photos.
        found: the findings of the analysis.
        images: (N, S, S) uint8, prepared.
    """
    numbers = {path: row for row, path in enumerate(result.photos.path)}
    shown = [finding for finding in found if finding.photos]
    rows = [[small(images[numbers[path]]) for path in finding.photos] for finding in shown]
    return contact_sheet(
        rows, [""] * EXAMPLES, [finding.what.split(":")[0][:130] for finding in shown], across=1, scale=1
    )
