"""Findings on photos, in sentences: the observation, why it matters for the RMSE, and what to do about it."""

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
"""A classifier of contributors is a finding if its accuracy exceeds this many times chance."""

EXAMPLES = 12
"""Maximum number of photos or contributors that a finding names, and that a row of a sheet shows."""

FEW = 200
"""With fewer photos than this, scores say little."""

_LARGE_SHARE = 0.2  # of the training photos
_MISSING = 0.05  # of the test photos; a kind at least this common is reported if training has at most half that share


@dataclass(frozen=True)
class Finding:
    """Something worth knowing about the photos.

    Attributes:
        what: the observation; whole sentences, like `why` and `do`.
        why: why it matters for the RMSE.
        do: what to do about it.
        count: number of photos concerned, or of contributors if `contributors` names some.
        photos: paths of some of these photos, the clearest cases first.
        contributors: some of these contributors: the name (key `contributor`) and what is special (key `is`).
    """

    what: str
    why: str
    do: str
    count: int
    photos: Sequence[str] = ()
    contributors: Sequence[Mapping[str, str | int]] = ()


class _Kind(NamedTuple):
    what: str  # completes "12 photos are ..."
    why: str
    do: str
    clearest: str  # column of the table to sort by
    ascending: bool


def _kinds(settings: AnalyzeSettings) -> dict[str, _Kind]:
    """The kinds of photos that are a finding whenever at least one exists."""
    return {
        "blank": _Kind(
            f"nearly blank (contrast below {settings.blank:g})",
            "They have hardly any detail to restore. They do not change the pooled RMSE. The mean over pictures and "
            "the loss count each as much as any other photo, and its error is mostly noise.",
            "Leave them out, unless you want to restore such pictures.",
            "contrast",
            True,
        ),
        "blurred": _Kind(
            f"blurred (blur above {settings.blurred:g})",
            "Their blocks hide smooth, easy content. In training they teach that edges are soft; on the test side "
            "they make the score better than it is for sharp photos.",
            "Leave out photos that are out of focus or were enlarged; soft subjects, such as fog, may stay.",
            "blur",
            False,
        ),
        "dark": _Kind(
            f"dark (brightness below {settings.dark:g})",
            "Their errors are small in gray levels, so they hardly change the pooled RMSE. Much of the remaining error "
            "is camera noise, which nobody can predict.",
            "If you want to restore night scenes, collect at least the same share of them for training.",
            "brightness",
            True,
        ),
        "bright": _Kind(
            f"very bright (brightness above {settings.bright:g})",
            "Most are drawings, screenshots and cut-outs on white, with large flat areas and harder edges than photos. "
            "A network learns from them what photos do not have.",
            "Leave out pictures that are not photos.",
            "brightness",
            False,
        ),
        "compressed": _Kind(
            f"compressed too much (JPEG quality below {settings.quality}, or blockiness above {BLOCKY:g})",
            "JPEG blocks and ringing become part of the truth. A network learns to draw them, but cannot predict where "
            "they are. The smaller the photo, the more of them is left after preparation.",
            "Ask for the originals, or leave out the small photos. Check first: stripes that repeat every 8 pixels "
            "measure the same.",
            "blockiness",
            False,
        ),
        "long": _Kind(
            f"at least {LONG:g} times as long as wide",
            "Preparation crops photos to a square: at least half of each is lost, and the rest may miss the subject.",
            "If they are few, nothing. To use all of a panorama, cut it into several photos.",
            "aspect",
            False,
        ),
    }


def findings(result: Analysis, settings: AnalyzeSettings, exact: int, broken: Sequence[Verdict] = ()) -> list[Finding]:
    """All findings on the photos, in a fixed order; an empty list if there are none.

    Args:
        result: the analysis.
        settings: the thresholds that the analysis used; findings quote them.
        exact: number of files that are byte-for-byte copies of others.
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
            f"{_number(len(broken), 'archive', 'cannot', 'cannot')} be read: this run lacks the photos inside.",
            "Most such archives are interrupted uploads. Training lacks all or some photos of these contributors.",
            "Get the archive again, or delete it from the photos.",
            len(broken),
            contributors=[{"contributor": one.contributor, "is": one.reason} for one in broken[:EXAMPLES]],
        )


def _few(photos: pd.DataFrame) -> Iterator[Finding]:
    if len(photos) < FEW:
        yield Finding(
            f"Only {_number(len(photos), 'photo', 'is', 'are')} valid; collect at least {FEW}.",
            "A network learns little from so few, and the test side is so small that its score is mostly luck.",
            "Collect more photos, or start from a model that was trained on many (train.init: pretrained).",
            len(photos),
        )


def _copies(result: Analysis, exact: int) -> Iterator[Finding]:
    photos = result.photos
    if exact:
        yield Finding(
            f"{_number(exact, 'file', 'is', 'are')} the same, byte for byte, as another one.",
            "In training each would count twice; for a copy on the test side, the network could remember the truth.",
            "Nothing: validation leaves them out (code 6).",
            exact,
        )
    across = photos.side == COPY
    if across.any():
        yield Finding(
            f"{_number(across.sum(), 'photo', 'shows', 'show')} the same picture as one on another side.",
            "A network would restore the copy on the other side from memory, and its score would be too good.",
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
            "In training they take the place of different photos. On the test side they count twice, and the "
            "confidence intervals, which assume independent photos, are too narrow.",
            "Keep one of each: column same_as of analysis.csv names it.",
            again,
            _shown(photos, same),
        )


def _cut_off(photos: pd.DataFrame) -> Iterator[Finding]:
    cut = photos[photos.cut_off]
    if len(cut):
        yield Finding(
            f"{_number(len(cut), 'photo', 'is', 'are')} damaged: data is missing before the end of the JPEG.",
            "Decoders fill the missing part with gray, without an error. A network learns from this gray, and on the "
            "test side it counts as truth.",
            "Get the complete files, or leave these photos out.",
            len(cut),
            cut.path.tolist()[:EXAMPLES],
        )


def _pairs(result: Analysis, across: bool) -> list[Pair]:
    """The pairs whose photos are on different sides, or on the same side."""
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
            f"{_number(len(chosen), 'photo', 'is', 'are')} {kind.what}: {sides}; they hold {error} of the squared "
            "error of the pixelated photos.",
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
            f"{_number(len(counts), 'contributor', 'has', 'have')} more than {percent(_LARGE_SHARE)} of the training "
            "photos each.",
            "The network mostly learns their places, cameras and habits, and restores other photos worse.",
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
            "Each camera sharpens and removes noise in its own way. Without the name, you cannot check whether a model "
            "has learnt photos in general or only one camera.",
            "If you can, collect the files as the cameras wrote them. `depixel snapshot publish --positions strip` "
            "removes GPS positions.",
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
            "Photos of a new user are like these, so their score is honest; it may be worse than that of the others.",
            "For the score, nothing. For better restorations, collect photos from these cameras.",
            count,
            named.path[(named.side == "test") & named.camera.isin(list(unseen))].tolist()[:EXAMPLES],
        )


def _outstanding(result: Analysis) -> Iterator[Finding]:
    apart = result.told_apart
    if apart and apart["accuracy"] > max(TOLD_APART * apart["chance"], apart["chance"] + 0.1):
        some = f" of {apart['of_contributors']} contributors, drawn by name" if "of_contributors" in apart else ""
        yield Finding(
            f"A classifier names the right contributor for {percent(apart['accuracy'])} of the photos{some}; "
            f"always naming the largest is right for {percent(apart['chance'])}.",
            "Contributors differ in more than their subjects: cameras, apps, habits. If one contributor is on both "
            "sides of the split, the score is too good. If the test side has few contributors, the score is uncertain.",
            "Keep each contributor on one side (split.by: contributor), and collect from more contributors.",
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
            "This is a batch effect: a camera, an app or a choice of subjects that only they have. In training, a "
            "network may learn it as a property of all photos. On the test side it moves the score, which then says "
            "little about others.",
            "Look at their photos. Leave out screenshots, scans and filtered photos; if they are good photos, collect "
            "similar ones from others. Keep each contributor on one side (split.by: contributor).",
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
                    "A network is best on photos like those it was trained on, and the score is of different photos.",
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
            f"Training has a {'smaller' if less else 'larger'} share of {name} than the test side: "
            f"{percent(row.train)} against {percent(row.test)}, {'not by chance' if sure else 'perhaps by chance'} "
            f"(p = {row.p:g}).",
            "A network restores photos of a kind worse if training has few of them, and here they weigh in the score."
            if less
            else "Much of the training goes into these photos, but the score says little about them.",
            "Collect such photos for training." if less else "Nothing, unless you want to restore such photos.",
            len(shown),
            shown.sort_values(["distance", "path"]).path.tolist()[:EXAMPLES],
        )


def sides_of(photos: pd.DataFrame) -> list[str]:
    """The sides that have photos, in order. A copy that the split left out is on no side."""
    return [side for side in (*SIDES, ALL) if (photos.side == side).any()]


def _number(count: int, noun: str, one: str, many: str) -> str:
    """`1 photo is`, `2 photos are`."""
    return f"{count} {noun} {one}" if count == 1 else f"{count} {noun}s {many}"


def percent(share: float) -> str:
    """A share, 0..1, as a person reads it: `1.5 %`, `15 %`."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
