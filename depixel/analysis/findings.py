"""What the analysis of photos means for the RMSE, in words, numbers and pictures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from depixel.analysis import overview
from depixel.analysis.measures import small
from depixel.analysis.overview import ALL, QUANTILES, SIGNIFICANT, Analysis, AnalyzeSettings
from depixel.base.files import replacing, write_json
from depixel.dataset.splits import SIDES
from depixel.photos.near_duplicates import COPY, Pair
from depixel.sheets import contact_sheet

TOLD_APART = 3  # times as often as by chance
EXAMPLES = 12
"""How many photos or contributors a finding names, and a row of a sheet shows."""

NAMED = 5
"""How many of these are named where a person reads."""

_LARGE_SHARE = 0.2  # of the training photos
_MISSING = 0.05  # of the test photos: what is no rarer there is worth a word if training has half of that or less


class Finding(NamedTuple):
    """Something to know of the photos.

    Attributes:
        what, why, do: what is there, why it matters for the RMSE, what to do; sentences.
        count: of how many photos, or contributors where `contributors` names some.
        photos: paths of some, the clearest first. contributors: names of some with what is special about them.
    """

    what: str
    why: str
    do: str
    count: int
    photos: Sequence[str] = ()
    contributors: Sequence[dict] = ()


class _Kind(NamedTuple):
    what: str  # what the photos are
    why: str
    do: str
    clearest: str  # the column to sort by
    ascending: bool


def _kinds(settings: AnalyzeSettings) -> dict[str, _Kind]:
    """The kinds that are a finding where there are such photos."""
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
            f"compressed too much (JPEG quality below {settings.quality}, or blockiness above {overview.BLOCKY:g})",
            "The blocks and ringing of JPEG become part of the truth that is to be restored; a network learns to draw "
            "them, and none can predict where they are. The smaller the photo, the more of them is left when prepared.",
            "Ask for the originals, or leave out the small ones. Stripes that repeat every 8 pixels look the same.",
            "blockiness",
            False,
        ),
        "long": _Kind(
            f"at least {overview.LONG:g} times as long as wide",
            "Photos are cut to a square: half of each or more is never seen, and what is left may miss the subject.",
            "Nothing, if few; cut panoramas into several photos to use all of them.",
            "aspect",
            False,
        ),
    }


def findings(result: Analysis, settings: AnalyzeSettings, exact: int) -> list[Finding]:
    """All findings, in a fixed order; none of what there is nothing of.

    Args:
        exact: how many files are copies of others, byte for byte.
    """
    return [
        *_copies(result, exact),
        *_odd(result, settings),
        *_balance(result.photos),
        *_cameras(result.photos),
        *_outstanding(result),
        *_missing(result),
    ]


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
    again = int((overview.first_copies(len(photos), same) != np.arange(len(photos))).sum())
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
            f"{percent(result.are[name][photos.side == side].mean())} of {side}" for side in _sides(photos)
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
    grouped: dict[str, list] = {}
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
                        f"{overview.MEASURES[row.what].name} {row.mean:g}, others {row.others:g} (z = {row.z:g})"
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
        if row.what in overview.MEASURES:
            if sure:
                yield Finding(
                    f"The test side differs from training in {overview.MEASURES[row.what].name}: its median is "
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
            name = f"{row.what} ({overview.words(photos, chosen)})"
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


def _sides(photos: pd.DataFrame) -> list[str]:
    return [side for side in (*SIDES, ALL) if (photos.side == side).any()]


def _number(count: int, noun: str, one: str, many: str) -> str:
    """`1 photo is`, `2 photos are`."""
    return f"{count} {noun} {one}" if count == 1 else f"{count} {noun}s {many}"


def percent(share: float) -> str:
    """`1.5 %`, `15 %`."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


# All as numbers


def report(result: Analysis, found: list[Finding], exact: int) -> dict:
    """The analysis for tools: what metrics/analysis.json holds.

    Keys:
        findings: a list of `Finding`s, as dictionaries; empty `photos` and `contributors` are left out.
        photos: counts: photos, contributors, exact_copies (files left out by validation), copies (photos that show the
            same as an earlier one), gray, with_camera; cameras: photos of each of the most frequent ones.
        sides: for each side: photos, contributors, kinds (share of each), measures (a list of the quantiles
            `quantiles` of each), clusters (share of each).
        quantiles: which.
        clusters: a list: cluster, photos, is (in words).
        differences: between training and test, see `analysis.Difference`.
        contributors: outstanding, see `analysis.Outstanding`; told_apart, see `analysis.told_apart`.
    """
    photos = result.photos
    numbers = sorted(photos.cluster.unique().tolist())
    cameras = Counter(camera for camera in photos.camera if camera)
    return {
        "findings": [{key: value for key, value in finding._asdict().items() if value != ()} for finding in found],
        "photos": {
            "photos": len(photos),
            "contributors": photos.contributor.nunique(),
            "exact_copies": exact,
            "copies": int((photos.same_as != "").sum()),
            "gray": int(result.are["gray"].sum()),
            "with_camera": cameras.total(),
            "cameras": dict(sorted(cameras.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]),
        },
        "quantiles": list(QUANTILES),
        "sides": {side: _side(result, photos.side == side, numbers) for side in _sides(photos)},
        "clusters": [
            {
                "cluster": number,
                "photos": int((photos.cluster == number).sum()),
                "is": overview.words(photos, photos.cluster == number),
            }
            for number in numbers
        ],
        "differences": [row._asdict() for row in result.differences],
        "contributors": {
            "outstanding": [row._asdict() for row in result.outstanding],
            "told_apart": result.told_apart,
        },
    }


def _side(result: Analysis, here: pd.Series, numbers: list[int]) -> dict:
    photos = result.photos[here]
    return {
        "photos": len(photos),
        "contributors": photos.contributor.nunique(),
        "kinds": {kind: round(float(share), 4) for kind, share in result.are[here].mean().items()},
        "measures": {
            name: photos[name].quantile(list(QUANTILES)).astype(float).round(4).tolist() for name in overview.MEASURES
        },
        "clusters": [round(float((photos.cluster == number).mean()), 4) for number in numbers],
    }


def readable(result: Analysis, found: list[Finding]) -> str:
    """The sides as a table and the findings as a list, for a terminal."""
    photos, lines = result.photos, []
    shown = _sides(photos)
    table = {"photos": photos.groupby("side").size(), "contributors": photos.groupby("side").contributor.nunique()}
    table = {name: [f"{counts[side]}" for side in shown] for name, counts in table.items()}
    middle = photos.groupby("side")[list(overview.MEASURES)].median()
    table |= {
        f"median {m.name}": [f"{middle[name][side]:.4g}" for side in shown] for name, m in overview.MEASURES.items()
    }
    share = result.are.groupby(photos.side).mean()
    table |= {f"{kind} photos": [percent(share[kind][side]) for side in shown] for kind in result.are}
    lines.append(pd.DataFrame(table, index=shown).T.to_string())
    if result.differences and result.differences[0].p > SIGNIFICANT:
        lines.append(
            f"\nTraining and test side differ no more than chance makes them (p = {result.differences[0].p:g})."
        )
    for number, finding in enumerate(found, 1):
        lines.append(f"\n{number}. {finding.what}")
        lines += [f"   - {row['contributor'] or '.'}: {row['is']}" for row in finding.contributors[:NAMED]]
        if finding.photos:
            lines.append(f"   Such as: {', '.join(finding.photos[:NAMED])}")
        lines += [f"   Why it matters: {finding.why}", f"   What to do: {finding.do}"]
    return "\n".join(lines)


FILES = ("analysis.json", "clusters.png", "findings.png")
"""What `write` writes beside the table."""


def write(result: Analysis, found: list[Finding], exact: int, images: np.ndarray, table: Path, folder: Path) -> None:
    """Write the table of all photos, and analysis.json, clusters.png and findings.png to `folder`.

    Args:
        images: (N, S, S) uint8, those of the photos.
    """
    with replacing(table) as beside:
        result.photos.drop(columns=["path", "sha256", "short_side"]).to_csv(beside, index=False, lineterminator="\n")
    write_json(folder / "analysis.json", report(result, found, exact))
    sheets = {"clusters.png": clusters_sheet(result, images), "findings.png": findings_sheet(result, found, images)}
    for name, sheet in sheets.items():
        with replacing(folder / name) as beside:
            sheet.save(beside, format="PNG")


# All as pictures


def clusters_sheet(result: Analysis, images: np.ndarray) -> Image.Image:
    """A row for each cluster: some of its photos, the most typical one first, how many they are, and what they are."""
    photos, rows, captions = result.photos, [], []
    total = {side: (photos.side == side).sum() for side in _sides(photos) if side not in ("validation", ALL)}
    for number in sorted(photos.cluster.unique()):
        chosen = (photos.cluster == number).to_numpy()
        shown = overview.typical(photos.distance.to_numpy(), np.flatnonzero(chosen), EXAMPLES)
        rows.append([small(images[row]) for row in shown])
        shares = ", ".join(
            f"{percent((chosen & (photos.side == side)).sum() / total[side])} of {side}" for side in total
        )
        shares = shares and f", {shares}"
        captions.append(f"{number}: {chosen.sum()} photos{shares}; {overview.words(photos, chosen)}")
    return contact_sheet(rows, [""] * EXAMPLES, captions, across=1, scale=1)


def findings_sheet(result: Analysis, found: list[Finding], images: np.ndarray) -> Image.Image:
    """A row for each finding that names photos."""
    numbers = {path: row for row, path in enumerate(result.photos.path)}
    shown = [finding for finding in found if finding.photos]
    rows = [[small(images[numbers[path]]) for path in finding.photos] for finding in shown]
    return contact_sheet(
        rows, [""] * EXAMPLES, [finding.what.split(":")[0][:130] for finding in shown], across=1, scale=1
    )
