"""What the analysis of photos means for the RMSE, in sentences: what is there, why it matters, what to do."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from depixel.analysis.contributors import Outstanding
from depixel.analysis.overview import Analysis, first_copies
from depixel.analysis.photo_table import (
    ALL,
    BLOCKY,
    LONG,
    MEASURES,
    SIGNIFICANT,
    AnalyzeSettings,
    words,
)
from depixel.dataset.splits import COPY, SIDES
from depixel.photos.near_duplicates import Pair
from depixel.photos.rules import Verdict

TOLD_APART = 3
"""How many times as often as by chance a classifier must be right for a finding."""

EXAMPLES = 12
"""Number of photos or contributors that a finding names at most, and that a row of a sheet shows."""

FEW = 200
"""Number of photos below which scores say little."""

_LARGE_SHARE = 0.2  # of the training photos
_MISSING = 0.05  # of the test photos: what is no rarer there is worth a word if training has half of that or less


@dataclass(frozen=True)
class Finding:
    """Something worth knowing about the photos.

    Attributes:
        what: what is there; sentences, as `why` and `do` are.
        why: why it matters for the RMSE.
        do: what to do.
        count: number of photos that it is about, or of contributors if `contributors` names some.
        photos: paths of some of them, the clearest first.
        contributors: names of some (key `contributor`), with what is special about them (key `is`).
    """

    what: str
    why: str
    do: str
    count: int
    photos: Sequence[str] = ()
    contributors: Sequence[Mapping[str, str | int]] = ()


class _Kind(NamedTuple):
    what: str  # what the photos are
    why: str
    do: str
    clearest: str  # the column to sort by
    ascending: bool


def _kinds(settings: AnalyzeSettings) -> dict[str, _Kind]:
    """The kinds of photos that are a finding wherever there are some."""
    return {
        "blank": _Kind(
            f"nearly blank (contrast below {settings.blank:g})",
            "There is hardly anything to restore. Pooled RMSE does not see them; the mean over pictures and the loss "
            "count each as much as any other, and there noise decides.",
            "Leave them out, unless such pictures are to be restored.",
            "contrast",
            True,
        ),
        "blurred": _Kind(
            f"blurred (blur above {settings.blurred:g})",
            "What their blocks hide is smooth and easy. In training they teach that edges are soft; on the test side "
            "they make a score look better than it is for sharp photos.",
            "Leave out those that are out of focus or were enlarged; soft subjects, such as fog, may stay.",
            "blur",
            False,
        ),
        "dark": _Kind(
            f"dark (brightness below {settings.dark:g})",
            "Their errors are small in gray levels, so pooled RMSE hardly sees them, and "
            "noise of the camera, which nobody can predict, is much of what is left.",
            "Where night scenes matter, see that training has at least the share of the photos to be restored.",
            "brightness",
            True,
        ),
        "bright": _Kind(
            f"very bright (brightness above {settings.bright:g})",
            "Mostly drawings, screenshots and cut-outs on white: large flat areas, and edges harder than those of "
            "photos. They pull a network towards what photos do not have.",
            "Leave out what is no photo.",
            "brightness",
            False,
        ),
        "compressed": _Kind(
            f"compressed too much (JPEG quality below {settings.quality}, or blockiness above {BLOCKY:g})",
            "The blocks and ringing of JPEG become part of the truth that is to be restored; a network learns to draw "
            "them, and none can predict where they are. The smaller the photo, the more of them is left when prepared.",
            "Ask for the originals, or leave out the small ones. Stripes that repeat every 8 pixels look the same.",
            "blockiness",
            False,
        ),
        "long": _Kind(
            f"at least {LONG:g} times as long as wide",
            "Photos are cut to a square: half of each or more is never seen, and what is left may miss the subject.",
            "Nothing, if few; cut panoramas into several photos to use all of them.",
            "aspect",
            False,
        ),
    }


def findings(result: Analysis, settings: AnalyzeSettings, exact: int, broken: Sequence[Verdict] = ()) -> list[Finding]:
    """All findings on the photos, in a fixed order; an empty list if there is nothing to tell.

    Args:
        result: the analysis.
        settings: the thresholds it was made with, to name in sentences.
        exact: number of files that are copies of others, byte for byte.
        broken: the verdicts on archives that cannot be read.
    """
    return [
        *_lost(broken),
        *_few(result.photos),
        *_copies(result, exact),
        *_cut_off(result.photos),
        *_odd(result, settings),
        *_balance(result.photos),
        *_cameras(result.photos),
        *_outstanding(result),
        *_missing(result),
    ]


def _lost(broken: Sequence[Verdict]) -> Iterator[Finding]:
    if broken:
        yield Finding(
            f"{_number(len(broken), 'archive', 'cannot', 'cannot')} be read: the photos in it are lost to this run.",
            "Most are uploads that were cut off. Their contributors are missing from the training, wholly or in part.",
            "Get the archive again, or delete it from the photos.",
            len(broken),
            contributors=[{"contributor": one.contributor, "is": one.reason} for one in broken[:EXAMPLES]],
        )


def _few(photos: pd.DataFrame) -> Iterator[Finding]:
    if len(photos) < FEW:
        yield Finding(
            f"{_number(len(photos), 'photo', 'is', 'are')} valid; fewer than {FEW} say little.",
            "A network learns little from them, and the test side has so few that its score is mostly luck.",
            "Collect more photos; or start from a model that has seen many (train.init: pretrained).",
            len(photos),
        )


def _copies(result: Analysis, exact: int) -> Iterator[Finding]:
    photos = result.photos
    if exact:
        yield Finding(
            f"{_number(exact, 'file', 'is', 'are')} the same, byte for byte, as another one.",
            "Each would count twice in training, and a copy on the test side would be known by heart.",
            "Nothing: validation leaves them out (code 6).",
            exact,
        )
    across = photos.side == COPY
    if across.any():
        yield Finding(
            f"{_number(across.sum(), 'photo', 'shows', 'show')} the same picture as one on another side.",
            "A network would restore the photo on the other side from memory, and its score would be too good.",
            "Nothing: the split left them out of training. metrics/copies.png shows the pairs.",
            int(across.sum()),
            _shown(photos, _pairs(result, across=True)),
        )
    same = _pairs(result, across=False)
    again = int((first_copies(len(photos), same) != np.arange(len(photos))).sum())
    if again:
        yield Finding(
            f"{_number(again, 'photo', 'shows', 'show')} the same picture as another one on the same side, "
            "encoded again, resized, turned or cropped.",
            "In training they take the place of different photos; on the test side they count twice, and the "
            "confidence intervals, which take photos as independent, are too narrow.",
            "Keep one of each: column same_as of analysis.csv names it.",
            again,
            _shown(photos, same),
        )


def _cut_off(photos: pd.DataFrame) -> Iterator[Finding]:
    cut = photos[photos.cut_off]
    if len(cut):
        yield Finding(
            f"{_number(len(cut), 'photo', 'is', 'are')} damaged: data is missing before the end of the JPEG.",
            "Decoders fill what is missing with gray, without an error. A network learns from that, and on the test "
            "side it counts as truth.",
            "Get the whole files, or leave these photos out.",
            len(cut),
            cut.path.tolist()[:EXAMPLES],
        )


def _pairs(result: Analysis, across: bool) -> list[Pair]:
    """Those on different sides, or on the same."""
    sides = result.photos.side.replace(COPY, "train")
    return [pair for pair in result.found if (sides[pair.first] != sides[pair.second]) == across]


def _shown(photos: pd.DataFrame, pairs: list[Pair]) -> list[str]:
    return [photos.path[row] for pair in pairs[: EXAMPLES // 2] for row in pair[:2]]


def _odd(result: Analysis, settings: AnalyzeSettings) -> Iterator[Finding]:
    photos = result.photos
    hidden = np.square(photos.detail)
    for name, kind in _kinds(settings).items():
        chosen = photos[result.are[name]]
        if chosen.empty:
            continue
        sides = ", ".join(
            f"{percent(result.are[name][photos.side == side].mean())} of {side}" for side in sides_of(photos)
        )
        error = percent(hidden[chosen.index].sum() / max(hidden.sum(), 1e-9))
        clearest = chosen.sort_values([kind.clearest, "path"], ascending=[kind.ascending, True], kind="stable")
        yield Finding(
            f"{_number(len(chosen), 'photo', 'is', 'are')} {kind.what}: {sides}; {error} of the squared error that "
            "blocks leave.",
            kind.why,
            kind.do,
            len(chosen),
            clearest.path.tolist()[:EXAMPLES],
        )


def _balance(photos: pd.DataFrame) -> Iterator[Finding]:
    counts = photos.contributor[photos.side == "train"].value_counts()
    counts = counts[counts > _LARGE_SHARE * counts.sum()].sort_index()
    if len(counts) and photos.contributor.nunique() > 1:
        total = (photos.side == "train").sum()
        yield Finding(
            f"More than {percent(_LARGE_SHARE)} of the photos for training are of one contributor each.",
            "The network learns their places, cameras and habits above all; other photos are restored worse.",
            "Collect photos of more contributors, or leave out some of theirs.",
            len(counts),
            contributors=[
                {"contributor": name, "is": f"{count} photos, {percent(count / total)}"}
                for name, count in counts.head(EXAMPLES).items()
            ],
        )


def _cameras(photos: pd.DataFrame) -> Iterator[Finding]:
    named = photos[photos.camera != ""]
    if len(named) < len(photos) / 2:
        yield Finding(
            f"{len(photos) - len(named)} of {len(photos)} photos do not name their camera (EXIF).",
            "Cameras sharpen and remove noise each in its own way. Where they are not named, nobody can tell a model "
            "that knows photos from one that knows a camera.",
            "Where you can, collect photos as cameras write them; `depixel snapshot publish --positions strip` takes "
            "positions out.",
            len(photos) - len(named),
        )
    unseen = Counter(named.camera[named.side == "test"])
    for camera in set(named.camera[named.side == "train"]):
        unseen.pop(camera, None)
    count = unseen.total()
    if count and (named.side == "train").any():
        names = ", ".join(sorted(unseen, key=lambda camera: (-unseen[camera], camera))[:EXAMPLES])
        yield Finding(
            f"{_number(count, 'test photo', 'is', 'are')} from cameras that training has no photo of: {names}.",
            "That is what a new user's photos are like: their score is honest, and may be worse than that of others.",
            "Nothing for the score; for better restorations collect photos of these cameras.",
            count,
            named.path[(named.side == "test") & named.camera.isin(list(unseen))].tolist()[:EXAMPLES],
        )


def _outstanding(result: Analysis) -> Iterator[Finding]:
    apart = result.told_apart
    if apart and apart["accuracy"] > max(TOLD_APART * apart["chance"], apart["chance"] + 0.1):
        yield Finding(
            f"A classifier can tell whose a photo is for {percent(apart['accuracy'])} of them; guessing, for "
            f"{percent(apart['chance'])}.",
            "Contributors differ by more than what they photograph: cameras, apps, habits. Photos of one that are on "
            "both sides of the split would make the score too good, and few contributors on the test side make it "
            "uncertain.",
            "Keep each contributor on one side (split.by: contributor), and collect from more of them.",
            len(result.photos),
        )
    grouped: dict[str, list[Outstanding]] = {}
    for row in result.outstanding:
        grouped.setdefault(row.contributor, []).append(row)
    if grouped:
        photos = result.photos
        shown = list(grouped)[:EXAMPLES]
        total = photos.contributor.nunique()
        yield Finding(
            f"{len(grouped)} of {total} contributors stand out from all others.",
            "A batch effect: a camera, an app or a way of choosing that only they have. In training a network may take "
            "it for what photos are like; on the test side it moves the score, which then says little of others.",
            "Look at their photos. Leave out screenshots, scans and filtered ones; else collect from others who "
            "photograph alike. Keep each contributor on one side (split.by: contributor).",
            len(grouped),
            [_nearest_to_mean(photos[photos.contributor == name]) for name in shown],
            [
                {
                    "contributor": name,
                    "photos": grouped[name][0].photos,
                    "side": grouped[name][0].side,
                    "is": "; ".join(
                        f"{MEASURES[row.what].name} {row.mean:g}, others {row.others:g} (z = {row.z:g})"
                        for row in grouped[name]
                    ),
                }
                for name in shown
            ],
        )


def _nearest_to_mean(photos: pd.DataFrame) -> str:
    return photos.path[(photos.detail - photos.detail.mean()).abs().idxmin()]


def _missing(result: Analysis) -> Iterator[Finding]:
    photos = result.photos
    for row in result.differences:
        sure = row.p <= SIGNIFICANT
        if row.what in MEASURES:
            if sure:
                yield Finding(
                    f"The test side differs from training in {MEASURES[row.what].name}: its median is "
                    f"{row.test:g}, that of training {row.train:g} (KS {row.ks:.2f}, p = {row.p:g}).",
                    "A network is best at what it saw most, and the score is of photos that are different.",
                    "Collect photos like those of the test side.",
                    int((photos.side == "test").sum()),
                )
            continue
        if not sure and not (row.test >= _MISSING and row.test >= 2 * row.train):
            continue
        chosen, name = result.are.get(row.what), f"{row.what} photos"
        if chosen is None:
            chosen = photos.cluster == int(row.what.removeprefix("cluster "))
            name = f"{row.what} ({words(photos, chosen)})"
        less = row.train < row.test
        shown = photos[chosen & (photos.side == ("test" if less else "train"))]
        yield Finding(
            f"Training has {'less' if less else 'more'} of {name} than the test side: {percent(row.train)}, there "
            f"{percent(row.test)}; {'no chance of the split' if sure else 'maybe by chance of the split'} "
            f"(p = {row.p:g}).",
            "A network is best at what it saw most: what it lacks is restored worse, and weighs in the score."
            if less
            else "The score says little of how well these are restored, though much of the training goes into them.",
            "Collect such photos for training." if less else "Nothing, if such photos are not to be restored.",
            len(shown),
            shown.sort_values(["distance", "path"]).path.tolist()[:EXAMPLES],
        )


def sides_of(photos: pd.DataFrame) -> list[str]:
    """The sides that some of the photos are on, in order; a copy that was left out is on none."""
    return [side for side in (*SIDES, ALL) if (photos.side == side).any()]


def _number(count: int, noun: str, one: str, many: str) -> str:
    """`1 photo is`, `2 photos are`."""
    return f"{count} {noun} {one}" if count == 1 else f"{count} {noun}s {many}"


def percent(share: float) -> str:
    """A share, 0..1, as a person reads it: `1.5 %`, `15 %`."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
