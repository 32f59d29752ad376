"""The section of the report on the photos: counts, examples, measures and findings."""

import numpy as np

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.files import read_json
from depixel.curation import snapshots
from depixel.dataset.samples import Photos
from depixel.photos import lost, rules
from depixel.photos.near_duplicates import SHOWN as SHOWN_COPIES
from depixel.reports import parts, plots
from depixel.reports.parts import Section

PHOTOS = 24
"""Number of training photos that the report shows as examples."""


def section() -> Section:
    """Counts, examples, measures and findings of the photos in the current project."""
    counts, sides = read_json(layout.VALIDATION), read_json(layout.METRICS / "split.json")
    training = Photos.load(layout.PREPARED, layout.SPLIT, "train")
    chosen = training.rows[np.unique(np.linspace(0, len(training) - 1, PHOTOS).astype(int))]
    analysis, copies = layout.METRICS / "analysis.json", layout.COPIES
    found = read_json(analysis) if analysis.is_file() else {}
    pairs = len(parts.read_table(copies)) if copies.is_file() else 0
    try:
        snapshot = parts.snapshot_name(snapshots.current())
    except DepixelError:  # DVC does not track the photos
        snapshot = ""
    return {
        "counts": counts,
        "sides": {side: count for side, count in sides.items() if count["photos"]},
        "snapshot": snapshot,
        "photos": [parts.png(np.asarray(training.images[row])) for row in chosen],
        "copies": parts.png_file(layout.METRICS / "copies.png") if pairs else "",
        "pairs": pairs,
        "pairs_shown": min(pairs, SHOWN_COPIES),
        "measures": parts.svg(plots.quantiles(found["sides"], found["quantiles"], "measures")) if found else "",
        "findings": found.get("findings", []),
        "clusters": parts.png_file(layout.METRICS / "clusters.png"),
        "odd": parts.png_file(layout.METRICS / "findings.png"),
    }


def lost_archives() -> str:
    """A sentence on the archives that cannot be read; "" if there are none, or if the manifest is missing."""
    if not layout.MANIFEST.is_file() or not lost.lost(rules.load_manifest(layout.MANIFEST)):
        return ""
    return lost.told(lost.lost(rules.load_manifest(layout.MANIFEST), lost.committed()))
