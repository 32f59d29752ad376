"""Restoration of pictures of any size, gray or color, with areas and blocks of any size.

The networks were trained on gray areas of up to 32 pixels with blocks of 4 to 16. They restore larger areas equally
well, as a whole or in the tiles of `tiles.spans` (measured by benchmarks/restore.py). Blocks of other sizes, and in
larger areas also those of 13 to 16, are scaled to 4 or 8 pixels. Only windows around the areas become tensors.
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

_BATCH = 4 * TILE * TILE  # pixels of the windows in a batch


class Model(Protocol):
    """A model: `depixel.model.predictor.Predictor` with PyTorch, or `depixel.onnx.reading.Exported` without it."""

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        """See `model.predictor.Predictor.predict_windows`."""
        ...


class Restorer:
    """A model that restores pictures of any size and color, available as `depixel.Restorer`; `load` makes one."""

    def __init__(self, model: Model):
        self.model = model

    @classmethod
    def load(cls, model: str | Path, device: str | None = None) -> "Restorer":
        """Load a model: a .safetensors or .onnx file by its path, or a pretrained model by its bare name.

        Without a torch `device`, the ONNX export of a pretrained model is preferred (`Exported.of`), because it starts
        several times as fast.

        Raises:
            DepixelError: a file is missing, cannot be read, or is not a model.
        """
        if found := None if device else Exported.of(model):
            return cls(found)
        from depixel.model.predictor import Predictor as ByTorch  # PyTorch takes long to load

        return cls(ByTorch.load(model, device))

    def restore(
        self,
        image: Picture,
        areas: Sequence[AreaLike],
        views: Literal[1, 2, 8] = 1,
        trust: Trust = "rounded",
        ignore_check: bool = False,
    ) -> Picture:
        """Restore the pixelated areas of a picture of any size, gray or color.

        Large areas are restored in overlapping tiles, and blocks of 2 to 200 pixels at the scale that suits the
        network. The network predicts the luminance; colors are interpolated. Each channel keeps the means of its
        blocks. Several threads may call this at once.

        Args:
            image: NumPy (H, W) gray, (H, W, 3) RGB, or with alpha (H, W, 2) or (H, W, 4), uint8 or uint16; or Pillow of
                the mode L, LA, RGB, RGBA or I;16, with its pixels as stored. It is not changed.
            areas: x, y, width, height and block size of each area, pixels; a missing block size is detected. If the
                first blocks are cut off, add the number of columns and rows that they lack. Or an `Area`; a resolved
                one, as `depixel.find` returns it, is not checked against the pixels again.
            views: number of turned views of the picture whose predictions are averaged.
            trust: the meaning of a block's value. "exact": the truncated mean of its pixels, as in the challenge;
                "rounded": their mean, to half a level; "linear": their mean in linear light, to half a level; "loose":
                their mean, to 8 levels; "sampled": one of its pixels, at its middle or upper left corner, in which case
                means are estimated. If you do not know, "rounded" costs least.
            ignore_check: whether to restore areas with a given block size even if the pixels contradict it.

        Returns:
            A new picture of the same kind, shape and dtype. Pixels outside the areas, and alpha, do not change.

        Raises:
            DepixelError: an area is outside the picture, overlaps another, or does not look pixelated in such blocks;
                or the picture, `views` or `trust` is of an unsupported kind.

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
        """Restore several pictures, with their areas in common batches, which is faster for small areas.

        Args:
            images: pictures, each as for `restore`.
            areas: the areas of each picture.
            views, trust, ignore_check: as for `restore`.

        Returns:
            A new picture for each.

        Raises:
            DepixelError: as in `restore`; then none is restored.
        """
        if views not in (1, 2, 8):
            raise DepixelError(f"views = {views!r}: must be 1, 2 or 8")
        if trust not in get_args(Trust):
            raise DepixelError(f"trust = {trust!r}: must be one of {', '.join(get_args(Trust))}")
        if len(images) != len(areas):
            raise DepixelError(f"{len(images)} pictures, but areas of {len(areas)}: give the areas of each picture")
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
    """The root mean square deviation of the restorations of the 8 turned views of a picture from their mean.

    It is large in pixels where the model is unsure. It does not say how large their error is, which is several times
    larger (docs/how-to/inspect.md).

    Args:
        restorer: the restorer.
        image: the picture, a NumPy array as for `Restorer.restore`.
        areas: as for `Restorer.restore`.

    Returns:
        (H, W) float32, the deviation of the luminance, gray levels of 0..255; 0 outside the areas.

    Raises:
        DepixelError: as in `Restorer.restore`.
    """
    found = np.zeros(image.shape[:2], np.float32)
    for area in resolve(image, areas):
        around = ceil((CONTEXT + STEP) * max(Shown(area, "rounded").steps)) + 1  # no window reaches further
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
    """A model that predicts from a single turned view."""

    model: Model
    view: int

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = ()) -> np.ndarray:
        return self.model.predict_windows(windows, areas, [self.view])


def _predict(model: Model, tiles: list[tuple[Tile, np.ndarray]], views: Sequence[int]) -> list[np.ndarray]:
    """Restore tiles of the same size, each given with its picture: (C, height, width) float32, 0..255, for each.

    The network predicts the luminance. Colors are interpolated smoothly; then each channel gets a share of the
    remaining difference in luminance (`coloring`).
    """
    windows = [tile.window(image) for tile, image in tiles]
    within = [tile.within() for tile, _ in tiles]
    weights = {1: np.ones(1, np.float32), 3: np.array(LUMINANCE, np.float32)}
    luminance = np.stack([np.tensordot(weights[len(window)], window, 1) for window in windows])  # (B, height, width)
    for plane, area in zip(luminance, within, strict=True):
        count = block_counts(area.height, area.width, area.grid)
        lost = (count - 1) / count / 2  # mean loss by truncation; the networks were trained on truncated means
        plane[area.part] -= spread(lost, area.grid, (area.height, area.width))
    found = model.predict_windows(luminance, np.array([area.columns() for area in within]), views)
    return [
        wanted[None] if len(window) == 1 else colored(window, area, wanted)
        for window, area, wanted in zip(windows, within, found, strict=True)
    ]
