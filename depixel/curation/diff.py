"""Differences between two states of the photos: files that were added, removed or replaced."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from depixel.base.reuse import matched
from depixel.base.tables import path_of
from depixel.dataset.splits import SIDES, SplitSettings, side
from depixel.photos import archives
from depixel.photos.archives import Entry
from depixel.photos.decoding import UnreadableError, decode, square
from depixel.photos.rules import MOST_BYTES, Verdict
from depixel.sheets import contact_sheet

KINDS = ("added", "removed", "replaced")
"""The kinds of changes."""


class Change(NamedTuple):
    """A file that differs between the two states.

    Attributes:
        kind: one of `KINDS`.
        contributor, name: contributor and name of the file, as in the manifest.
        valid_before, valid_after: whether it is a valid photo in each state; False if it is absent.
        side: its side of the split: train, validation or test; "" if it is valid in neither state.
    """

    kind: str
    contributor: str
    name: str
    valid_before: bool
    valid_after: bool
    side: str


def changes(before: Sequence[Verdict], after: Sequence[Verdict], settings: SplitSettings) -> list[Change]:
    """Find the files whose content or validity differs, in the order of their paths.

    Args:
        before, after: the verdicts on both states, in the order of their paths.
        settings: the settings of the split.
    """
    gone = (verdict for verdict, other in matched(before, after, _path) if other is None)
    found = [_change("removed", verdict, settings, before=verdict) for verdict in gone]
    for new, old in matched(after, before, _path):
        if old is None:
            found.append(_change("added", new, settings, after=new))
        elif (old.sha256, old.bytes, old.code) != (new.sha256, new.bytes, new.code):
            found.append(_change("replaced", new, settings, before=old, after=new))
    return sorted(found, key=lambda change: path_of(change.contributor, change.name))


def _path(verdict: Verdict) -> str:
    return path_of(verdict.contributor, verdict.name)


def _change(
    kind: str, file: Verdict, settings: SplitSettings, before: Verdict | None = None, after: Verdict | None = None
) -> Change:
    where = side(file.contributor if settings.by == "contributor" else _path(file), settings)
    valid = bool(before and not before.code), bool(after and not after.code)
    return Change(kind, file.contributor, file.name, *valid, where if any(valid) else "")


def by_contributor(found: Sequence[Change], before: Sequence[Verdict], after: Sequence[Verdict]) -> pd.DataFrame:
    """Make a table with a row for each contributor with changes.

    Columns: contributor; is: added, removed (all files), replaced (no file is kept) or changed; side; the number of
    files of each of `KINDS`; valid_before and valid_after, the number of changed files that are valid in each state.

    Args:
        found: the changes.
        before, after: the verdicts on both states, as for `changes`.
    """
    known = [Counter(verdict.contributor for verdict in verdicts) for verdicts in (before, after)]
    table = pd.DataFrame(found, columns=Change._fields)
    rows = []
    for contributor, changed in table.groupby("contributor", sort=False):
        there = contributor in known[0], contributor in known[1]
        kept = known[0][contributor] - int((changed["kind"] != "added").sum())
        rows.append(
            {
                "contributor": contributor or ".",
                "is": {(False, True): "added", (True, False): "removed"}.get(there, "changed" if kept else "replaced"),
                "side": "/".join(one for one in SIDES if one in set(changed["side"])),  # several if split.by is photo
                **{kind: int((changed["kind"] == kind).sum()) for kind in KINDS},
                **{key: int(changed[key].sum()) for key in ("valid_before", "valid_after")},
            }
        )
    return pd.DataFrame(rows)


SHOWN = 60
"""Maximum number of photos on a `sheet`."""


def sheet(found: Sequence[Change], before: Iterable[Entry], after: Iterable[Entry]) -> Image.Image:
    """Draw the changed photos, before and after, side by side. Of more than `SHOWN`, evenly spaced ones are drawn.

    Args:
        found: the changes.
        before, after: the files of the two states, in the order of their paths.
    """
    seen = [change for change in found if change.valid_before or change.valid_after]
    chosen = [seen[int(i)] for i in np.unique(np.linspace(0, len(seen) - 1, SHOWN).round()) if seen]
    panels = []
    for entries, valid in ((before, "valid_before"), (after, "valid_after")):
        paths = {path_of(change.contributor, change.name) for change in chosen if getattr(change, valid)}
        panels.append({entry.path: _panel(entry) for entry in entries if entry.path in paths})
    samples = [[state.get(path_of(c.contributor, c.name), _EMPTY) for state in panels] for c in chosen]
    captions = [f"{change.kind}: {path_of(change.contributor, change.name)}"[-34:] for change in chosen]
    return contact_sheet(samples, ["before", "after"], captions, across=6, scale=1)


_EMPTY = np.full((112, 112), 235, np.uint8)
_REDUCING_GAP = 1.5  # fast resizing is good enough for thumbnails


def _panel(entry: Entry) -> np.ndarray:
    try:
        return square(decode(archives.read(entry, MOST_BYTES)), len(_EMPTY), _REDUCING_GAP)
    except UnreadableError:
        return _EMPTY
