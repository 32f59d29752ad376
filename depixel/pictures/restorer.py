"""Pictures as they come: of any size, in color, with areas and blocks of any size.

The networks have learnt gray areas of up to 32 pixels with blocks of 4 to 16. What is larger they restore as well as
that when they see all of it at once, or in tiles as `_spans` lays them (benchmarks/restore.py measures it). Blocks of
other sizes are restored at the scale at which they have 4 or 8 pixels; in larger areas those of 13 to 16, too.
Only windows around the areas become tensors.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations, groupby, pairwise
from math import ceil
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
from PIL import Image

from depixel.areas.grid import (
    MOST_BLOCK,
    Lacks,
    block_counts,
    block_means,
    fits_blocks,
    shown_block_size,
    shown_grid,
    shows_multiples,
    spread,
)
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_AREA, LEAST_BLOCK
from depixel.model.windows import CONTEXT, STEP, VIEWS, window_side
from depixel.onnx.reading import Exported

SMALL, LARGE = 4, 12
"""Blocks of so many pixels are restored as they are, smaller ones as blocks of `SMALL`, larger ones of `SCALED`."""
SCALED = 8
LEARNT_AREA, LEARNT_BLOCK = 32, 16
"""In areas of up to so many pixels a side, blocks of up to so many are restored as they are: networks know those."""

TILE = 256
"""The largest side of a window, working pixels: a multiple of 8."""
MARGIN = 24
"""What two tiles see of each other at least, working pixels on each side of the cut between them."""
_BATCH = 4 * TILE * TILE  # pixels of the windows that go through the network together
_LOOKED_AT = 2048  # pixels a side of a large area, to see whether it is pixelated
_EXACT = 0.4  # share of columns and rows

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of Rec. 709, from R'G'B' as stored: the mean of a block's luminance is then the luminance of its mean color."""

_STEPS = 20  # of the projection at most; one is enough where nothing is clipped

COLOR_STEPS = 16
"""Of the smooth interpolation of colors (`_smooth`)."""

NEAR = 17
"""The neighbourhood in which colors are compared with luminance, working pixels a side."""
FLAT = 10.0
"""Where luminance varies much less than this (gray levels) near by, all channels change alike."""

Trust = Literal["exact", "rounded", "linear", "loose"]
"""What the value of a block is: the truncated mean of its pixels, their mean give or take half a level, the same of
their mean in linear light (sRGB), or their mean give or take `LOOSE`."""

LOOSE = 8.0
"""Gray levels."""

Picture = TypeVar("Picture", np.ndarray, Image.Image)


class Area(NamedTuple):
    """A pixelated rectangle, in pixels from the upper left corner, where its blocks begin; those at the right and at
    the bottom may be cut off. `block_size` None: to be found. `offset_x`, `offset_y`: how many columns and rows the
    first blocks lack, where those at the left and at the top are cut off, too; 0 to block_size - 1."""

    x: int
    y: int
    width: int
    height: int
    block_size: int | None = None
    offset_x: int = 0
    offset_y: int = 0

    @property
    def lacks(self) -> Lacks:
        return self.offset_y, self.offset_x

    def numbers(self) -> list[int]:
        """Without offsets where there are none."""
        return list(self if any(self.lacks) else self[:5])

    def described(self) -> str:
        """For people, with numbers that `--area` takes."""
        if any(self.lacks):
            return f"{','.join(map(str, self))} (blocks of {self.block_size}, the first ones cut off)"
        return f"{','.join(map(str, self[:4]))} in blocks of {self.block_size}"


_CHANNELS = ((), (2,), (3,), (4,))


class Model(Protocol):
    """What predicts: `depixel.restoration.Restorer` by PyTorch, `depixel.exported.Exported` by ONNX Runtime."""

    def predict_windows(
        self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]
    ) -> np.ndarray: ...


class Restorer:
    """A model that restores pictures as they come. `depixel.Restorer` is this; `load` makes one."""

    def __init__(self, model: Model):
        self.model = model

    @classmethod
    def load(cls, model: str | Path, device: str | None = None) -> "Restorer":
        """Load a model: the .safetensors or .onnx file of this path, or a pretrained one by its bare name.

        If a pretrained model has been exported (`depixel.exported.Exported.of`) that is taken, which starts several
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
        areas: Sequence[Sequence[int | None]],
        views: Literal[1, 2, 8] = 1,
        trust: Trust = "rounded",
    ) -> Picture:
        """Restore the pixelated areas of a picture as it comes: of any size, gray or color.

        Areas of any size are restored, those larger than what the network has learnt in overlapping tiles, and blocks
        of 2 to 200 pixels, at the scale that suits the network. Luminance is predicted; colors are interpolated. Each
        channel keeps the means of its blocks. Several threads may call it at once.

        Args:
            image: NumPy (H, W) gray, (H, W, 3) RGB, or with alpha (H, W, 2) or (H, W, 4), uint8 or uint16; or Pillow
                of the mode L, LA, RGB, RGBA or I;16, with its pixels as they are stored. It is not changed.
            areas: x, y, width, height and block size of each, pixels; without the block size it is found. Then, where
                the first blocks are cut off, how many columns and rows they lack (`Area`).
            views: how many turned views of the picture to average the predictions of.
            trust: what the value of a block is: "exact", the truncated mean of its pixels, as in the challenge;
                "rounded", their mean give or take half a level; "linear", the same of their mean in linear light;
                "loose", their mean give or take 8 levels. Where it is not known, "rounded" costs least.

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
        return self.restore_many([image], [areas], views, trust)[0]

    def restore_many(
        self,
        images: Sequence[Picture],
        areas: Sequence[Sequence[Sequence[int | None]]],
        views: Literal[1, 2, 8] = 1,
        trust: Trust = "rounded",
    ) -> list[Picture]:
        """Restore several pictures, whose areas go through the network together: quicker where they are small.

        Args:
            images: pictures, each as `restore` takes it. areas: those of each. views, trust: as of `restore`.

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
        pixels = [_pixels_of(image) for image in images]
        tiles = [
            (tile, i)
            for i, (image, named) in enumerate(zip(pixels, areas, strict=True))
            for area in resolve(image, named)
            for tile in _tiles(_Shown(area, trust), image.shape)
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
        return [_like(image, made) for image, made in zip(images, restored, strict=True)]


def _pixels_of(image: Picture) -> np.ndarray:
    if isinstance(image, Image.Image):
        if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            raise DepixelError(f"pictures of the mode {image.mode} are not restored: convert it to L, LA, RGB or RGBA")
        return np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise DepixelError(f"a picture is an array of NumPy or an image of Pillow, not {type(image).__name__}")
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or image.shape[2:] not in _CHANNELS:
        raise DepixelError(
            f"a picture is (H, W) or (H, W, 2, 3 or 4) of uint8 or uint16, not {image.shape} of {image.dtype}"
        )
    return image


def _like(image: Picture, pixels: np.ndarray) -> Picture:
    """The pixels as a picture of the same kind."""
    if not isinstance(image, Image.Image):
        return pixels
    made = Image.fromarray(pixels)
    made.info = image.info.copy()
    return made


def disagreement(restorer: Restorer, image: np.ndarray, areas: Sequence[Sequence[int | None]]) -> np.ndarray:
    """How far the restorations of the 8 turned views of a picture are from their mean, root mean square.

    It is large where the model is unsure, but says only in which pixels, not by how much they are off: the error is
    several times as large (docs/experiments.md, "Look inside").

    Args:
        image, areas: as `Restorer.restore` takes them.

    Returns:
        (H, W) float32, gray levels of 0..255, of the luminance; 0 outside the areas.

    Raises:
        DepixelError: as `Restorer.restore`.
    """
    found = np.zeros(image.shape[:2], np.float32)
    for area in resolve(image, areas):
        around = ceil((CONTEXT + STEP) * _Shown(area, "rounded").step) + 1  # no window shows more
        left, top = max(area.x - around, 0), max(area.y - around, 0)
        part = image[top : area.y + area.height + around, left : area.x + area.width + around]
        part = part.astype(np.uint16) * np.uint16(257 // _scale(image))  # so that no view is rounded to gray levels
        moved = area._replace(x=area.x - left, y=area.y - top)
        inside = np.s_[moved.y : moved.y + area.height, moved.x : moved.x + area.width]
        views = []
        for view in VIEWS:
            restored = Restorer(_OneView(restorer.model, view)).restore(part, [moved])
            colors = _colors(restored[inside]).astype(np.float32) / 257
            views.append(colors[:, :, 0] if colors.shape[2] == 1 else colors @ np.float32(LUMINANCE))
        found[area.y : area.y + area.height, area.x : area.x + area.width] = np.std(views, axis=0)
    return found


class _OneView(NamedTuple):
    """What a model says of one turned view."""

    model: Model
    view: int

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = ()) -> np.ndarray:
        return self.model.predict_windows(windows, areas, [self.view])


def pixelate(image: Picture, areas: Sequence[Sequence[int]]) -> Picture:
    """A copy of a picture with each block of the areas overwritten by its rounded mean; alpha stays.

    Args:
        image, areas: as `Restorer.restore` takes them, with block sizes.

    Raises:
        DepixelError: an area is not inside the picture or overlaps another, or a block is not of 2 to 200 pixels.
    """
    pixelated = _pixels_of(image).copy()
    colors = _colors(pixelated)
    checked = [_checked(given, *colors.shape[1::-1]) for given in areas]
    _refuse_overlap(checked)
    for area in checked:
        if area.block_size is None:
            raise DepixelError(f"area {_named(area)}: name the side of its blocks, as the fifth number")
        part = colors[area.y : area.y + area.height, area.x : area.x + area.width]
        means = block_means(part, area.block_size, area.lacks)
        part[:] = spread(means.round(), area.block_size, part.shape[:2], area.lacks)
    return _like(image, pixelated)


def resolve(image: np.ndarray, areas: Sequence[Sequence[int | None]]) -> list[Area]:
    """Check areas, and find the block sizes that they do not say.

    Args:
        image, areas: as `Restorer.restore` takes them.

    Raises:
        DepixelError: an area is not inside the picture, overlaps another, is not pixelated, or not in such blocks.
    """
    colors = _colors(image)
    if not isinstance(areas, Iterable):
        raise DepixelError(f"{areas!r} are no areas: each is x, y, width, height and, if known, block size")
    checked = [_checked(given, *colors.shape[1::-1]) for given in areas]
    _refuse_overlap(checked)
    return [_looked_at(colors, area) for area in checked]


def _refuse_overlap(areas: list[Area]) -> None:
    for one, other in combinations(areas, 2):
        across = one.x < other.x + other.width and other.x < one.x + one.width
        if across and one.y < other.y + other.height and other.y < one.y + one.height:
            raise DepixelError(
                f"the areas {_named(one)} and {_named(other)} overlap: each pixel is in one area at most"
            )


def _checked(given: Sequence[int | None], width: int, height: int) -> Area:
    """The area, its numbers as int, if it is inside a picture of this size."""
    try:
        wrong = len(given) not in (4, 5, 7) or None in (*given[:4], *given[5:])
        wrong |= any(int(value) != value for value in given if value is not None)
    except (TypeError, ValueError, OverflowError):  # no sequence, or of no numbers
        wrong = True
    if wrong:
        raise DepixelError(
            f"{given!r} is no area: x, y, width, height and, if known, block size, whole numbers; and if the first "
            "blocks are cut off, how many columns and rows they lack"
        )
    area = Area(*(None if value is None else int(value) for value in given))
    if min(area.width, area.height) < LEAST_AREA:
        raise DepixelError(f"area {_named(area)}: it has at least {LEAST_AREA} pixels a side")
    if area.x < 0 or area.y < 0 or area.x + area.width > width or area.y + area.height > height:
        raise DepixelError(
            f"area {_named(area)}: x from {area.x} to {area.x + area.width} and y from {area.y} to "
            f"{area.y + area.height} are not inside the picture, which is {width} pixels wide and {height} high"
        )
    if area.block_size is not None and not LEAST_BLOCK <= area.block_size <= MOST_BLOCK:
        raise DepixelError(f"blocks have {LEAST_BLOCK} to {MOST_BLOCK} pixels a side, not {area.block_size}")
    if any(area.lacks) and not all(0 <= lack < (area.block_size or 0) for lack in area.lacks):
        raise DepixelError(
            f"area {_named(area)}: first blocks lack 0 to {area.block_size or 'their size'} - 1 columns and rows, not "
            f"{area.offset_x} and {area.offset_y}"
            + ("" if area.block_size else "; with them, the block size is to be named")
        )
    return area._replace(  # of one block along an axis, none is said to be the first
        offset_x=area.offset_x if area.width > (area.block_size or 0) - area.offset_x else 0,
        offset_y=area.offset_y if area.height > (area.block_size or 0) - area.offset_y else 0,
    )


def _looked_at(colors: np.ndarray, area: Area) -> Area:
    """The area with its block size, which is what the pixels show, or is not contradicted by them."""
    size = area.block_size
    seen = _gray_levels(colors, area, _LOOKED_AT)
    if colors.dtype == np.uint8 and not _is_exact(seen):
        from depixel.detection.named import block_size_in_jpeg  # SciPy: a third of the start of the command

        found = block_size_in_jpeg(colors.squeeze(2) if colors.shape[2] == 1 else colors, area)
        if found and size in (None, found):
            return area._replace(block_size=found)
        if found:
            raise DepixelError(_other_size(area, found))
    if (
        size is not None
        and fits_blocks(seen, size, area.lacks)
        and (not shows_multiples(seen, size, area.lacks) or shown_block_size(seen) == size)
    ):
        return area
    if any(area.lacks):
        raise DepixelError(
            f"area {_named(area)}: it does not look pixelated in blocks of {size} pixels, of which the first lack "
            f"{area.offset_x} columns and {area.offset_y} rows"
        )
    found = shown_block_size(seen)
    shifted, lacks = shown_grid(seen)
    if shifted > max(found, 1) and size in (None, shifted) and shifted <= MOST_BLOCK:  # it begins within a block
        return area._replace(block_size=shifted, offset_y=lacks[0], offset_x=lacks[1])
    if size is None and found:
        return area._replace(block_size=min(found, MOST_BLOCK))
    if found:
        raise DepixelError(_other_size(area, found))
    raise DepixelError(
        f"area {_named(area)}: it does not look pixelated"
        + (" in blocks that begin at its upper left corner. Name their size if you know it" if size is None else
           f" in blocks of {size} pixels that begin at its upper left corner")
    )  # fmt: skip


def _is_exact(seen: np.ndarray) -> bool:
    """Whether many columns and rows are as those before them, which JPEG leaves hardly anywhere."""
    same = [(np.diff(seen, axis=axis) == 0).all(axis=(1 - axis, 2)) for axis in (0, 1)]
    return bool(np.concatenate(same).mean() > _EXACT)


def _other_size(area: Area, shown: int) -> str:
    return (
        f"area {_named(area)}: from its upper left corner on it shows blocks of {shown} pixels, not of "
        f"{area.block_size}. Give the size that fits, or the corner at which a block begins"
    )


def _named(area: Area) -> str:
    return ",".join(map(str, area[:4]))


def _colors(image: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3): a view without the alpha channel."""
    return image[:, :, None] if image.ndim == 2 else image[:, :, : 1 if image.shape[2] == 2 else 3]


def _scale(image: np.ndarray) -> float:
    """How many stored levels a gray level of 0..255 is."""
    return 1.0 if image.dtype == np.uint8 else 257.0


def _gray_levels(colors: np.ndarray, area: Area, most: int) -> np.ndarray:
    """(h, w, C) float32, 0..255: the area, or its upper left corner of at most `most` pixels a side."""
    part = colors[area.y : area.y + min(area.height, most), area.x : area.x + min(area.width, most)]
    return part.astype(np.float32) / _scale(colors)


class _Shown:
    """What the pixels of an area say of it.

    Attributes:
        area: with its block size. step: pixels of the picture in a working pixel, along each axis. block: working
            pixels of a block. trust: what the values of its blocks are.
    """

    def __init__(self, area: Area, trust: Trust):
        self.area, self.trust, size = area, trust, area.block_size
        most = LEARNT_BLOCK if max(area.width, area.height) <= LEARNT_AREA else LARGE
        self.block = SMALL if size < SMALL else size if size <= most else SCALED
        self.step = Fraction(size, self.block)

    def values(self, colors: np.ndarray, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is known of the true means of the blocks in a part of the area that begins with a block.

        Returns:
            (rows, columns, C) float64, stored levels: the least, the likeliest and the greatest mean of each block.
        """
        part, lacks = colors[self.area.y :, self.area.x :][rows, columns], self.lacks(rows, columns)
        shown = block_means(part, self.area.block_size, lacks)  # a JPEG's blocks are noisy
        if self.trust == "exact":
            count = block_counts(*part.shape[:2], self.area.block_size, lacks)[:, :, None]
            slack = (count - 1) / count
            return shown, shown + slack / 2, shown + slack
        slack = LOOSE * _scale(colors) if self.trust == "loose" else 0.5
        return shown - slack, shown, shown + slack

    def lacks(self, rows: slice, columns: slice) -> Lacks:
        """How many pixels the first blocks of a part of the area lack: those of the area, if it begins there."""
        return tuple(lack if not part.start else 0 for lack, part in zip(self.area.lacks, (rows, columns), strict=True))

    def project(self, values: np.ndarray, least: np.ndarray, most: np.ndarray, white: int, lacks: Lacks) -> np.ndarray:
        """Move the blocks of a prediction (h, w, C), black 0, to where they show a value between `least` and `most`.

        A block is moved as a whole and clipped to what can be stored. Where that changes its mean, how far it must be
        moved is found by bisection.
        """
        size, shape = self.area.block_size, values.shape[:2]
        reach = white + np.abs(values).max()
        low, high, moved = (np.full(least.shape, start, np.float64) for start in (-reach, reach, 0))
        for step in range(_STEPS):
            inside = (values + spread(moved, size, shape, lacks)).clip(0, white)
            if self.trust == "linear":
                shows = white * _encoded(block_means(_linear(inside / white), size, lacks))
            else:
                shows = block_means(inside, size, lacks)
            missing = shows.clip(least, most) - shows
            if np.abs(missing).max() < 0.01:
                break
            low, high = np.where(missing > 0, moved, low), np.where(missing < 0, moved, high)
            # the first step is right where nothing is clipped; blocks that miss nothing stay
            moved = np.where(missing == 0, moved, moved + missing if step == 0 else (low + high) / 2)
        return inside


def _linear(values: np.ndarray) -> np.ndarray:
    """sRGB values 0..1, as stored, in linear light."""
    values = values.clip(0, 1)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encoded(light: np.ndarray) -> np.ndarray:
    """Undo `_linear`."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


class _Span(NamedTuple):
    """A tile along one axis, in working pixels from where the area's first block begins, or would if it were whole.

    Attributes:
        start: where its window begins; outside of the area if negative. side: of the window.
        first, last: the part of the area, of whole blocks, that the window shows. begin, end: what is taken from it.
    """

    start: int
    side: int
    first: int
    last: int
    begin: int
    end: int


def _spans(extent: int, block: int, before: int, after: int) -> list[_Span]:
    """Lay windows along one axis: one if the area fits, or else tiles that overlap by 2 `MARGIN`, cut between blocks.

    Args:
        extent: of the area, working pixels, as if its first block were whole. block: of a block. before, after: how
            much of the picture there is around; before is negative if the first block reaches out of it.
    """
    side = min(window_side(extent), TILE)
    if side >= extent + CONTEXT // 2:
        left, right = (side - extent) // 2, (side - extent + 1) // 2
        left, right = min(before, left + max(right - after, 0)), min(after, right + max(left - before, 0))
        return [_Span(-left, side, 0, extent, 0, extent)]
    head, tail = min(before, CONTEXT // 2), min(after, CONTEXT // 2)
    stretch = extent + tail - side + head  # from the first window's begin to the last one's
    count = ceil(stretch / (side - 2 * MARGIN - block))
    starts = [-head] + [-(-(stretch * k // count - head) // block) * block for k in range(1, count + 1)]
    firsts = [0, *(max(start, 0) for start in starts[1:])]
    cuts = [0, *((b + a + side) // (2 * block) * block for a, b in pairwise(starts)), extent]
    return [
        _Span(start, side, first, extent if extent <= start + side else (start + side) // block * block, *cut)
        for start, first, cut in zip(starts, firsts, pairwise(cuts), strict=True)
    ]


class _Tile(NamedTuple):
    """A window around a part of an area, and what to take from it."""

    shown: _Shown
    across: _Span
    down: _Span

    @property
    def side(self) -> tuple[int, int]:
        """Height and width of the window, working pixels."""
        return self.down.side, self.across.side

    def within(self) -> Area:
        """The visible part of the area in the window; working pixels."""
        area, x, y = self.shown.area, self.across, self.down
        lack_x = int(area.offset_x / self.shown.step) if x.first == 0 else 0
        lack_y = int(area.offset_y / self.shown.step) if y.first == 0 else 0
        left, top = x.first + lack_x, y.first + lack_y
        return Area(left - x.start, top - y.start, x.last - left, y.last - top, self.shown.block, lack_x, lack_y)

    def _part(self, lack: int, extent: int, first: int, last: int) -> slice:
        """A part of the area along one axis, from working pixels to those of the picture."""
        return slice(max(int(first * self.shown.step) - lack, 0), min(ceil(last * self.shown.step) - lack, extent))

    def window(self, image: np.ndarray) -> np.ndarray:
        """(C, height, width) float32, 0..255: the picture around, and the likeliest means of the blocks."""
        area, x, y = self.shown.area, self.across, self.down
        colors = _colors(image)
        origin = area.x - area.offset_x, area.y - area.offset_y
        planes = _resampled(colors, self.shown.step, origin, (x.start, y.start), self.side)
        rows = self._part(area.offset_y, area.height, y.first, y.last)
        columns = self._part(area.offset_x, area.width, x.first, x.last)
        means = self.shown.values(colors, rows, columns)[1] / _scale(image)
        left, top, width, height, block, *_ = within = self.within()
        inside = spread(means, block, (height, width), within.lacks)
        planes[:, top : top + height, left : left + width] = np.moveaxis(inside, 2, 0)
        return planes

    def write(self, restored: np.ndarray, image: np.ndarray, window: np.ndarray) -> None:
        """Bring a restored window (C, height, width) back, move its blocks' means onto what is known, and write it."""
        area, x, y, step = self.shown.area, self.across, self.down, self.shown.step
        rows = self._part(area.offset_y, area.height, y.begin, y.end)
        columns = self._part(area.offset_x, area.width, x.begin, x.end)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        left = (columns.start + area.offset_x) / step - x.start
        top = (rows.start + area.offset_y) / step - y.start
        if step == 1:
            taken = window[:, int(top) : int(top) + height, int(left) : int(left) + width]
        else:
            box = tuple(map(float, (left, top, left + width / step, top + height / step)))
            how = Image.Resampling.BICUBIC if step > 1 else Image.Resampling.BOX
            taken = [np.asarray(Image.fromarray(plane).resize((width, height), how, box)) for plane in window]
        values = np.stack(list(taken), axis=2).astype(np.float64) * _scale(image)
        least, _, most = self.shown.values(_colors(image), rows, columns)
        white = np.iinfo(image.dtype).max
        values = self.shown.project(values, least, most, white, self.shown.lacks(rows, columns))
        _colors(restored)[area.y :, area.x :][rows, columns] = values.round()


def _tiles(shown: _Shown, shape: tuple[int, ...]) -> Iterator[_Tile]:
    """Lay the windows for an area of a picture of this shape."""
    area, step = shown.area, shown.step
    spans = []
    for start, extent, lack, length in (
        (area.x, area.width, area.offset_x, shape[1]),
        (area.y, area.height, area.offset_y, shape[0]),
    ):
        before, after = int((start - lack) / step), int((length - start - extent) / step)
        spans.append(_spans(ceil((extent + lack) / step), shown.block, before, after))
    return (_Tile(shown, across, down) for down in spans[1] for across in spans[0])


def _resampled(
    colors: np.ndarray, step: Fraction, origin: tuple[int, int], start: tuple[int, int], side: tuple[int, int]
) -> np.ndarray:
    """(C, *side) float32, 0..255: the picture in pixels of `step` of its own.

    Args:
        colors: (H, W, C); its last rows and columns are repeated where it ends. origin: x, y of a point in it.
        start: x, y of where to begin, from there, in the new pixels.
    """
    boxes, indices = [], []
    for at, begin, extent, length in zip(origin, start, side[::-1], colors.shape[1::-1], strict=True):
        first, last = at + begin * step, at + (begin + extent) * step
        boxes.append((first - int(first // 1), last - int(first // 1)))
        indices.append(np.arange(int(first // 1), ceil(last)).clip(0, length - 1))
    part = colors[indices[1][:, None], indices[0]]
    planes = (np.ascontiguousarray(part[:, :, i], np.float32) for i in range(part.shape[2]))
    if step != 1:
        box = tuple(float(edge) for edges in zip(*boxes, strict=True) for edge in edges)
        how = Image.Resampling.BOX if step > 1 else Image.Resampling.BICUBIC
        planes = (np.asarray(Image.fromarray(plane).resize(side[::-1], how, box)) for plane in planes)
    return np.stack(list(planes)) / np.float32(_scale(colors))


def _predict(model: Model, tiles: list[tuple[_Tile, np.ndarray]], views: Sequence[int]) -> list[np.ndarray]:
    """(C, height, width), 0..255: the restored windows of tiles, each with its picture, that are of one size.

    The network predicts the luminance. Colors are interpolated smoothly; what they then lack of the luminance, or have
    too much, is shared out among them as colors go with luminance near by (`_share`).
    """
    windows = [tile.window(image) for tile, image in tiles]
    within = [tile.within() for tile, _ in tiles]
    weights = {1: np.float32((1,)), 3: np.float32(LUMINANCE)}
    luminance = np.stack([np.tensordot(weights[len(window)], window, 1) for window in windows])  # (B, height, width)
    for plane, area in zip(luminance, within, strict=True):
        left, top, width, height, block, *_ = area
        count = block_counts(height, width, block, area.lacks)
        lost = (count - 1) / count / 2  # by truncation, which the networks have learnt with
        plane[top : top + height, left : left + width] -= spread(lost, block, (height, width), area.lacks)
    found = model.predict_windows(luminance, np.array(within), views)
    return [
        wanted[None] if len(window) == 1 else _colored(window, area, wanted)
        for window, area, wanted in zip(windows, within, found, strict=True)
    ]


def _colored(window: np.ndarray, within: Area, luminance: np.ndarray) -> np.ndarray:
    """A window (3, height, width) with this luminance (height, width) in its area."""
    smooth = _smooth(np.moveaxis(window, 0, 2), within)
    gray = smooth @ np.float32(LUMINANCE)
    return np.moveaxis(smooth + _share(smooth, gray) * (luminance - gray)[:, :, None], 2, 0)


def _smooth(window: np.ndarray, within: Area) -> np.ndarray:
    """(H, W, C) float32: the block means of an area interpolated smoothly; as `depixel.blocks.Blocks.smooth`."""
    left, top, width, height, block, *_ = within
    smooth = window.copy()
    area = smooth[top : top + height, left : left + width]
    means = block_means(area, block, within.lacks)
    around = smooth[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
    rows, columns = (slice(int(start > 0), int(start > 0) + n) for start, n in ((top, height), (left, width)))
    for _ in range(COLOR_STEPS):
        padded = np.pad(around, ((1, 1), (1, 1), (0, 0)), mode="edge")
        across = (padded[:, :-2] + padded[:, 2:]) * np.float32(0.25) + padded[:, 1:-1] * np.float32(0.5)
        blurred = (across[:-2] + across[2:]) * np.float32(0.25) + across[1:-1] * np.float32(0.5)
        blurred = blurred[rows, columns]
        lacking = means - block_means(blurred, block, within.lacks)
        area[:] = blurred + spread(lacking, block, (height, width), within.lacks)
    return smooth


def _share(smooth: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """(H, W, 3): by how much each color changes where the luminance changes by 1, in the neighbourhood.

    The slope of their regression on it, as in a guided filter (He et al. 2013): at a red edge, red changes most. The
    weighed mean of the three is 1.
    """
    gray = gray[:, :, None]
    colors_mean, gray_mean = _local_mean(smooth), _local_mean(gray)
    covariance = _local_mean(smooth * gray) - colors_mean * gray_mean
    variance = _local_mean(gray * gray) - gray_mean * gray_mean
    return (covariance + FLAT**2) / (variance + FLAT**2)


def _local_mean(image: np.ndarray) -> np.ndarray:
    """(H, W, C) float64: the mean of what is of the `NEAR` x `NEAR` pixels around each within the image."""
    for axis in (0, 1):
        at = np.arange(image.shape[axis])
        first, end = np.maximum(at - NEAR // 2, 0), np.minimum(at + NEAR // 2 + 1, len(at))
        sums = np.insert(np.cumsum(image, axis, dtype=np.float64), 0, 0, axis)
        count = (end - first).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = (sums.take(end, axis) - sums.take(first, axis)) / count
    return image
