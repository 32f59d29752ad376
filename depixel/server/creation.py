"""Making a challenge: from photos to a public test set, and the private files that score what comes back."""

import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depixel.base.console import progress
from depixel.base.errors import DepixelError
from depixel.base.files import replacing, write_json
from depixel.base.layout import HASHES, IMAGES, INDEX, PREPARED, SPLIT
from depixel.base.names import photo_ids
from depixel.base.settings import Range
from depixel.challenge.test_sets import areas as areas_of
from depixel.challenge.test_sets import read_test_set, write_submission, write_test_set
from depixel.dataset.prepared import load_images, load_index
from depixel.dataset.splits import load_splits
from depixel.model.locations import model_path
from depixel.model.pixelation import LEAST_AREA, PixelationSettings, draw_areas, uniforms
from depixel.photos import archives, near_duplicates, rules
from depixel.photos.hashes import load_hashes
from depixel.photos.preparation import PrepareSettings, prepare
from depixel.server.rules import TEMPLATE
from depixel.server.storage.folder import Folder

SIZE = 64
"""Side of the pictures, pixels."""

LEARNED = ("basic_cnn", "laptop")
"""Models that stand in the leaderboard if their weights are at hand."""

UNLEARNED = ("identity", "interpolation", "kriging")


class Plan(NamedTuple):
    """How a challenge is drawn.

    Attributes:
        pictures: number of photos to draw; None: all. areas: number of areas of each.
        width, height, block_size: ranges, pixels. seed: of all that is drawn; None: a new one.
        shown: share of the samples whose score is shown before the deadline.
    """

    pictures: int | None
    areas: int
    width: Range
    height: Range
    block_size: Range
    seed: int | None
    shown: float


class Made(NamedTuple):
    """What was made: number of samples, of photos, and of photos that were left out as copies; the references."""

    samples: int
    photos: int
    copies: int
    references: list[str]


class _Photos(NamedTuple):
    """Prepared photos: their names, (N, S, S) uint8, and (N, HASHES) uint64."""

    names: list[str]
    images: np.ndarray
    codes: np.ndarray


def create(source: Path, out: Path, plan: Plan, without: Sequence[Path] = (), references: bool = True) -> Made:
    """Make the folder of a challenge.

    Args:
        source: a folder of photos or archives, an archive, or the project's table of splits: its test side.
        out: a new folder.
        without: folders or archives; photos that show the same picture as one of theirs are left out.
        references: whether to restore the test set by the baselines and the pretrained models.

    Raises:
        DepixelError: there are not enough photos, a range does not fit, or the folder is there already.
    """
    if out.exists():
        raise DepixelError(f"{out}: exists already; name a new folder")
    ranges = _ranges(plan)
    seed = secrets.randbits(63) if plan.seed is None else plan.seed
    photos = _test_side() if source == SPLIT else _prepared(source)
    kept = _different(photos, [_prepared(other) for other in without])
    copies = len(photos.names) - len(kept)
    random = np.random.default_rng(seed)
    chosen = random.permutation(kept)[: plan.pictures]
    if len(chosen) < (plan.pictures or 1):
        raise DepixelError(
            f"{source}: {len(chosen)} photos, but {plan.pictures or 1} are wanted ({copies} were left out as copies). "
            "Name more photos, or fewer pictures: --pictures"
        )
    ids = photo_ids([photos.names[i] for i in chosen])
    drawn = [draw_areas(uniforms(ids, f"challenge {seed} {k}", 5), SIZE, ranges) for k in range(plan.areas)]
    samples = len(chosen) * plan.areas
    shown = max(round(plan.shown * samples), 1)
    hidden = sorted(random.permutation(samples)[shown:].tolist())
    with replacing(out) as beside:
        folder = Folder(beside)
        write_test_set(beside / "made", np.tile(photos.images[chosen], (plan.areas, 1, 1)), np.concatenate(drawn))
        folder.public.mkdir()
        folder.private.mkdir(mode=0o700)
        (beside / "made/test_set.pkl").rename(folder.test_set)
        (beside / "made/targets.npz").rename(folder.private / "targets.npz")
        (beside / "made").rmdir()
        names = [photos.names[i] for i in chosen]
        write_json(folder.creation, plan._asdict() | {"seed": seed, "photos": names, "hidden": hidden})
        folder.rules.write_text(TEMPLATE, encoding="utf-8", newline="\n")
        folder.references.mkdir()
        restored = _write_references(folder, plan) if references else []
        for path in (folder.private, *folder.private.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
    return Made(samples, len(chosen), copies, restored)


def _ranges(plan: Plan) -> PixelationSettings:
    for name, (least, most) in (("width", plan.width), ("height", plan.height), ("block", plan.block_size)):
        if not LEAST_AREA <= least <= most <= SIZE:
            raise DepixelError(
                f"--{name} {least} {most}: must be two numbers from {LEAST_AREA} to {SIZE}, the smaller one first; the "
                f"pictures have {SIZE} pixels a side"
            )
    return PixelationSettings(width=plan.width, height=plan.height, block_size=plan.block_size)


def _test_side() -> _Photos:
    """The photos of the test side of the project in the current folder."""
    index = load_index(INDEX)
    rows = np.flatnonzero(load_splits(SPLIT, index) == "test")
    images = load_images(IMAGES, len(index))
    if images.shape[-1] != SIZE:
        raise DepixelError(f"{PREPARED}: the photos have {images.shape[-1]} pixels a side, but a challenge has {SIZE}")
    names = [f"{index[row].contributor}/{index[row].name}" for row in rows]
    return _Photos(names, images[rows], load_hashes(HASHES, len(index))[rows])


def _prepared(source: Path) -> _Photos:
    """The valid photos of a folder or an archive, prepared."""
    with _as_folder(source) as root, tempfile.TemporaryDirectory() as place:
        entries = archives.Entries(root)
        verdicts = list(progress(rules.validate(entries), total=len(entries), desc=f"read {source}", unit=" files"))
        valid = list(rules.valid_entries(entries, verdicts))
        if not valid:
            raise DepixelError(f"{source}: none of its {len(verdicts)} files is a valid photo ({verdicts[0].reason})")
        with progress(total=len(valid), desc=f"prepare {source}", unit=" photos") as bar:
            prepare(valid, len(valid), place, PrepareSettings(size=SIZE), on_done=bar.update)
        index = load_index(Path(place) / INDEX.name)
        return _Photos(
            [f"{photo.contributor}/{photo.name}".lstrip("/") for photo in index],
            np.array(load_images(Path(place) / IMAGES.name, len(index))),
            np.array(load_hashes(Path(place) / HASHES.name, len(index))),
        )


@contextmanager
def _as_folder(source: Path) -> Iterator[Path]:
    """A folder that holds the photos: of an archive, one with a link to it alone."""
    if source.is_dir():
        yield source
        return
    if not source.name.lower().endswith(archives.ARCHIVES):
        raise DepixelError(f"{source}: neither a folder nor an archive ({', '.join(archives.ARCHIVES)})")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / source.name).symlink_to(source.resolve())
        yield Path(place)


def _different(photos: _Photos, others: Sequence[_Photos]) -> np.ndarray:
    """The photos that show no picture of the others."""
    kept = np.ones(len(photos.names), bool)
    for other in others:
        images, codes = (np.concatenate(pair) for pair in zip(photos[1:], other[1:], strict=True))
        mine = np.arange(len(kept))
        for first, _, _ in near_duplicates.find(images, codes, mine, np.arange(len(kept), len(images))):
            kept[first] = False
    return np.flatnonzero(kept)


def _write_references(folder: Folder, plan: Plan) -> list[str]:
    """Restore the test set by all that stand in the leaderboard from the start; their names."""
    from depixel.model.predictor import ModelConfiguration, Predictor  # PyTorch takes long to load
    from depixel.scoring.baselines import BASELINES

    samples = read_test_set(folder.test_set)
    geometry = {"size": SIZE, "area_width": plan.width, "area_height": plan.height, "block_size": plan.block_size}
    configuration = ModelConfiguration.model_validate({"network": "unet", "width": 8, **geometry})
    names = [*UNLEARNED, *(name for name in LEARNED if model_path(name).is_file())]
    for name in names:
        learned = name in LEARNED
        predictor = Predictor.load(name) if learned else Predictor(BASELINES[name](), configuration)
        predictions = predictor.predict(
            samples.pixelated, areas_of(samples.known), 8 if learned else 1, progress=partial(_batches, name)
        )
        write_submission(folder.references / f"{name}.bin", predictions)
    return names


def _batches(name: str, batches: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    return progress(list(batches), desc=name, unit=" batches")
