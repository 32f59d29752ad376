"""What differs between two states of the photos: added, removed, replaced."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from depixel.base.reuse import matched
from depixel.base.tables import path_of
from depixel.dataset.splits import SplitSettings, side
from depixel.photos import archives
from depixel.photos.archives import Entry
from depixel.photos.decoding import UnreadableError, decode, square
from depixel.photos.rules import MOST_BYTES, Verdict
from depixel.sheets import contact_sheet

KINDS = ("added", "removed", "replaced")


class Change(NamedTuple):
    """A file that is not the same before and after.

    Attributes:
        kind: of `KINDS`. valid_before, valid_after: whether it is a valid photo; False where it is not there.
        side: where the split has it: train, validation, test; "" if it is not valid.
    """

    kind: str
    contributor: str
    name: str
    valid_before: bool
    valid_after: bool
    side: str


def changes(before: Sequence[Verdict], after: Sequence[Verdict], settings: SplitSettings) -> list[Change]:
    """The files whose content or validity differs, in the order of their paths.

    Args:
        before, after: verdicts on both states, in order.
    """
    there = list(matched(after, before, _path))
    gone = [verdict for verdict, other in matched(before, after, _path) if other is None]
    found = [_change("removed", verdict, None, settings) for verdict in gone]
    for new, old in there:
        if old is None:
            found.append(_change("added", None, new, settings))
        elif (old.sha256, old.bytes, old.code) != (new.sha256, new.bytes, new.code):
            found.append(_change("replaced", old, new, settings))
    return sorted(found, key=lambda change: path_of(change.contributor, change.name))


def _path(verdict: Verdict) -> str:
    return path_of(verdict.contributor, verdict.name)


def _change(kind: str, old: Verdict | None, new: Verdict | None, settings: SplitSettings) -> Change:
    verdict = new or old
    where = side(verdict.contributor if settings.by == "contributor" else _path(verdict), settings)
    valid = bool(old and not old.code), bool(new and not new.code)
    return Change(kind, verdict.contributor, verdict.name, *valid, where if any(valid) else "")


def by_contributor(found: Sequence[Change], before: Sequence[Verdict], after: Sequence[Verdict]) -> pd.DataFrame:
    """A row for each contributor with changes.

    Columns: contributor; side; is: added, removed (all files), replaced (no file is the same) or changed; how many
    files are of each kind; how many of these files are valid before and after.

    Args:
        before, after: as those of `changes`.
    """
    known = [Counter(verdict.contributor for verdict in verdicts) for verdicts in (before, after)]
    table = pd.DataFrame(found, columns=Change._fields)
    rows = []
    for contributor, changed in table.groupby("contributor", sort=False):
        there = tuple(contributor in files for files in known)
        kept = known[0][contributor] - int((changed["kind"] != "added").sum())
        rows.append(
            {
                "contributor": contributor or ".",
                "is": {(False, True): "added", (True, False): "removed"}.get(there, "changed" if kept else "replaced"),
                "side": "/".join(filter(None, changed["side"].unique())),  # several where each photo is split by itself
                **{kind: int((changed["kind"] == kind).sum()) for kind in KINDS},
                **{key: int(changed[key].sum()) for key in ("valid_before", "valid_after")},
            }
        )
    return pd.DataFrame(rows)


SHOWN = 60
"""Photos on a `sheet`."""


def sheet(found: Sequence[Change], before: Iterable[Entry], after: Iterable[Entry]) -> Image.Image:
    """A picture of the changed photos, before and after, side by side; of many, `SHOWN` evenly chosen ones.

    Args:
        before, after: the files of the two states.
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
_REDUCING_GAP = 1.5  # only to be looked at


def _panel(entry: Entry) -> np.ndarray:
    try:
        return square(decode(archives.read(entry, MOST_BYTES)), len(_EMPTY), _REDUCING_GAP)
    except UnreadableError:
        return _EMPTY
