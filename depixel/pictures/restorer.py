"""Pictures as they come: of any size, in color, with areas and blocks of any size.

The networks have learnt gray areas of up to 32 pixels with blocks of 4 to 16. What is larger they restore as well as
that when they see all of it at once, or in tiles as `tiles.spans` lays them (benchmarks/restore.py measures it). Blocks
of other sizes are restored at the scale at which they have 4 or 8 pixels; in larger areas those of 13 to 16, too.
Only windows around the areas become tensors.
"""

from collections.abc import Sequence
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np

from depixel.areas.area import AreaLike
from depixel.areas.grid import block_counts, spread
from depixel.base.errors import DepixelError
from depixel.model.windows import CONTEXT, STEP, VIEWS
from depixel.onnx.reading import Exported
from depixel.pictures.coloring import colored
from depixel.pictures.pixels import LUMINANCE, Picture, of_kind, pixels_of, scale_of, without_alpha
from depixel.pictures.resolve import resolve
from depixel.pictures.sampling import showing_means
from depixel.pictures.tiles import TILE, Shown, Tile, Trust, tiles_of

_BATCH = 4 * TILE * TILE  # pixels of the windows that go through the network together


class Model(Protocol):
    """What predicts: `depixel.model.predictor.Predictor` by PyTorch, or `depixel.onnx.reading.Exported` without it."""

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        """See `model.predictor.Predictor.predict_windows`."""
        ...


class Restorer:
    """A model that restores pictures as they come. `depixel.Restorer` is this; `load` makes one."""

    def __init__(self, model: Model):
        self.model = model

    @classmethod
    def load(cls, model: str | Path, device: str | None = None) -> "Restorer":
        """Load a model: the .safetensors or .onnx file of this path, or a pretrained one by its bare name.

        If a pretrained model has been exported (`Exported.of`) that is taken, which starts several
        times as fast; unless a torch `device` is named.

        Raises:
            DepixelError: a file is missing, not readable, or not what it should be.
        """
        if found := None if device else Exported.of(model):
            return cls(found)
        from depixel.model.predictor import Predictor as ByTorch  # only now: PyTorch takes long to load

        return cls(ByTorch.load(model, device))

    def restore(
        self,
        image: Picture,
        areas: Sequence[AreaLike],
        views: Literal[1, 2, 8] = 1,
        trust: Trust = "rounded",
        ignore_check: bool = False,
    ) -> Picture:
        """Restore the pixelated areas of a picture as it comes: of any size, gray or color.

        Areas of any size are restored, those larger than what the network has learnt in overlapping tiles, and blocks
        of 2 to 200 pixels, at the scale that suits the network. Luminance is predicted; colors are interpolated. Each
        channel keeps the means of its blocks. Several threads may call it at once.

        Args:
            image: NumPy (H, W) gray, (H, W, 3) RGB, or with alpha (H, W, 2) or (H, W, 4), uint8 or uint16; or Pillow
                of the mode L, LA, RGB, RGBA or I;16, with its pixels as they are stored. It is not changed.
            areas: x, y, width, height and block size of each, pixels; without the block size it is found. Then, where
                the first blocks are cut off, how many columns and rows they lack. Or an `Area`; one that is resolved,
                as `depixel.find` returns, is not looked at again.
            views: how many turned views of the picture to average the predictions of.
            trust: what the value of a block is: "exact", the truncated mean of its pixels, as in the challenge;
                "rounded", their mean give or take half a level; "linear", the same of their mean in linear light;
                "loose", their mean give or take 8 levels; "sampled", one of the pixels, in the block's middle or
                upper left corner: then means are estimated and kept. Where it is not known, "rounded" costs least.
            ignore_check: whether areas whose blocks are named are restored even if the pixels contradict.

        Returns:
            A new picture of the same kind, shape and dtype; pixels outside the areas, and alpha, as they were.

        Raises:
            DepixelError: an area is outside, overlaps another, or does not look pixelated in such blocks; or the
                picture is of another kind; or there are no such `views` or `trust`.

        Example:
            >>> import numpy as np
            >>> from depixel import Restorer
            >>> image = np.full((64, 64), 90, np.uint8)
            >>> image[8:24, 8:16] = 120  # two blocks of 8 pixels
            >>> image[16:24, 8:16] = 60
            >>> restored = Restorer.load("laptop").restore(image, [(8, 8, 8, 16, 8)])
            >>> restored.shape, restored.dtype, int(restored[0, 0])
            ((64, 64), dtype('uint8'), 90)
            >>> [abs(float(restored[y : y + 8, 8:16].mean()) - shown) < 1 for y, shown in ((8, 120), (16, 60))]
            [True, True]
        """
        return self.restore_many([image], [areas], views, trust, ignore_check)[0]

    def restore_many(
        self,
        images: Sequence[Picture],
        areas: Sequence[Sequence[AreaLike]],
        views: Literal[1, 2, 8] = 1,
        trust: Trust = "rounded",
        ignore_check: bool = False,
    ) -> list[Picture]:
        """Restore several pictures, whose areas go through the network together: quicker where they are small.

        Args:
            images: pictures, each as `restore` takes it. areas: those of each. views, trust, ignore_check: as of
                `restore`.

        Returns:
            A new picture of each.

        Raises:
            DepixelError: as `restore`; then none is restored.
        """
        if views not in (1, 2, 8):
            raise DepixelError(f"views = {views!r}: 1, 2 or 8 turned views are averaged")
        if trust not in get_args(Trust):
            raise DepixelError(f"trust = {trust!r}: it is {', '.join(get_args(Trust))}")
        if len(images) != len(areas):
            raise DepixelError(f"{len(images)} pictures and areas of {len(areas)}: name the areas of each")
        pixels = [pixels_of(image) for image in images]
        found = [resolve(image, named, ignore_check) for image, named in zip(pixels, areas, strict=True)]
        if trust == "sampled":
            pixels, found = map(list, zip(*map(showing_means, pixels, found), strict=True)) if pixels else ([], [])
        tiles = [
            (tile, i)
            for i, image in enumerate(pixels)
            for area in found[i]
            for tile in tiles_of(Shown(area, trust), image.shape)
        ]
        restored = [image.copy() for image in pixels]
        tiles.sort(key=lambda one: one[0].side)
        for side, of_side in groupby(tiles, key=lambda one: one[0].side):
            waiting, most = list(of_side), max(1, _BATCH // (side[0] * side[1]))
            for start in range(0, len(waiting), most):
                batch = waiting[start : start + most]
                windows = _predict(self.model, [(tile, pixels[i]) for tile, i in batch], VIEWS[:views])
                for (tile, i), window in zip(batch, windows, strict=True):
                    tile.write(restored[i], pixels[i], window)
        return [of_kind(image, made) for image, made in zip(images, restored, strict=True)]


def disagreement(restorer: Restorer, image: np.ndarray, areas: Sequence[AreaLike]) -> np.ndarray:
    """How far the restorations of the 8 turned views of a picture are from their mean, root mean square.

    It is large where the model is unsure, but says only in which pixels, not by how much they are off: the error is
    several times as large (docs/how-to/inspect.md).

    Args:
        image, areas: as `Restorer.restore` takes them.

    Returns:
        (H, W) float32, gray levels of 0..255, of the luminance; 0 outside the areas.

    Raises:
        DepixelError: as `Restorer.restore`.
    """
    found = np.zeros(image.shape[:2], np.float32)
    for area in resolve(image, areas):
        around = ceil((CONTEXT + STEP) * max(Shown(area, "rounded").steps)) + 1  # no window shows more
        left, top = max(area.x - around, 0), max(area.y - around, 0)
        part = image[top : area.y + area.height + around, left : area.x + area.width + around]
        part = part.astype(np.uint16) * np.uint16(257 // scale_of(image))  # so that no view is rounded to gray levels
        moved = area.moved(-left, -top)
        views = []
        for view in VIEWS:
            restored = Restorer(_OneView(restorer.model, view)).restore(part, [moved])
            colors = without_alpha(restored[moved.part]).astype(np.float32) / 257
            views.append(colors[:, :, 0] if colors.shape[2] == 1 else colors @ np.array(LUMINANCE, np.float32))
        found[area.part] = np.std(views, axis=0)
    return found


class _OneView(NamedTuple):
    """What a model says of one turned view."""

    model: Model
    view: int

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = ()) -> np.ndarray:
        return self.model.predict_windows(windows, areas, [self.view])


def _predict(model: Model, tiles: list[tuple[Tile, np.ndarray]], views: Sequence[int]) -> list[np.ndarray]:
    """(C, height, width), 0..255: the restored windows of tiles, each with its picture, that are of one size.

    The network predicts the luminance. Colors are interpolated smoothly; what they then lack of the luminance, or have
    too much, is shared out among them as colors go with luminance near by (`_share`).
    """
    windows = [tile.window(image) for tile, image in tiles]
    within = [tile.within() for tile, _ in tiles]
    weights = {1: np.ones(1, np.float32), 3: np.array(LUMINANCE, np.float32)}
    luminance = np.stack([np.tensordot(weights[len(window)], window, 1) for window in windows])  # (B, height, width)
    for plane, area in zip(luminance, within, strict=True):
        count = block_counts(area.height, area.width, area.grid)
        lost = (count - 1) / count / 2  # by truncation, which the networks have learnt with
        plane[area.part] -= spread(lost, area.grid, (area.height, area.width))
    found = model.predict_windows(luminance, np.array([area.columns() for area in within]), views)
    return [
        wanted[None] if len(window) == 1 else colored(window, area, wanted)
        for window, area, wanted in zip(windows, within, found, strict=True)
    ]
