"""Contact sheets: samples side by side in one picture; numbers as colors."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

GAP = 8
"""The space between samples on a sheet, pixels."""

LINE = 18
"""The height of a line of text on a sheet, pixels."""

# ColorBrewer's RdBu, from the lowest to the highest value; safe for color-blind readers, white at 0
_DIVERGING = ("#2166ac", "#67a9cf", "#d1e5f0", "#ffffff", "#fddbc7", "#ef8a62", "#b2182b")


def fill(image: np.ndarray, area: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy of `image` (H, W) uint8 with `values` (flat, row-major) in the area (x, y, width, height, ...)."""
    x, y, width, height = (int(v) for v in area[:4])
    filled = image.copy()
    filled[y : y + height, x : x + width] = values.reshape(height, width)
    return filled


def cut_around(area: Sequence[int], shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The square that `surroundings` shows of a picture of this shape (H, W, ...): left, top and side, pixels."""
    x, y, width, height = (int(v) for v in area[:4])
    extent = max(width, height, 16) * 3 // 2
    left, top = (
        min(max(start + n // 2 - extent // 2, 0), max(length - extent, 0))
        for start, n, length in ((x, width, shape[1]), (y, height, shape[0]))
    )
    return left, top, extent


def surroundings(pixels: np.ndarray, area: tuple[int, ...], side: int = 240) -> np.ndarray:
    """An area and its surroundings: a square crop with 1.5 times the larger side of the area.

    Args:
        pixels: (H, W) or (H, W, C), uint8 or uint16; alpha is ignored.
        area: x, y, width, height, ..., pixels.
        side: side of the result, pixels.

    Returns:
        (side, side, 3) uint8. Enlarged pixels stay square; outside of the picture it is black.
    """
    left, top, extent = cut_around(area, pixels.shape)
    part = pixels[top : top + extent, left : left + extent]
    if part.dtype == np.uint16:
        part = (part >> 8).astype(np.uint8)
    crop = Image.fromarray(
        np.ascontiguousarray(part[:, :, :3] if part.shape[2:] > (2,) else part.reshape(*part.shape[:2], -1)[:, :, 0])
    )
    how = Image.Resampling.NEAREST if extent <= side else Image.Resampling.BOX
    return np.asarray(crop.convert("RGB").crop((0, 0, extent, extent)).resize((side, side), how))


def error_picture(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 128 + 2 (prediction - truth), clipped; mid gray where two pictures (H, W) uint8 agree."""
    error = prediction.astype(np.int16) - truth
    return (128 + 2 * error).clip(0, 255).astype(np.uint8)


def diverging(values: np.ndarray, most: float | None = None) -> np.ndarray:
    """Show numbers (H, W) as colors (H, W, 3) uint8: blue below 0, white at 0, red above.

    Args:
        values: the numbers.
        most: the absolute value with the strongest color; None: the largest one in `values`.
    """
    anchors = np.array([ImageColor.getrgb(color) for color in _DIVERGING])
    most = (np.abs(values).max() if most is None else most) or 1
    at = np.clip(values / most, -1, 1)
    place = np.linspace(-1, 1, len(anchors))
    return np.stack([np.interp(at, place, channel) for channel in anchors.T], axis=-1).round().astype(np.uint8)


def framed(image: np.ndarray, area: np.ndarray) -> np.ndarray:
    """A copy of `image` (H, W, 3) uint8 with a black line on the outermost pixels of the area (x, y, width, height)."""
    x, y, width, height = (int(v) for v in area[:4])
    drawn = Image.fromarray(image)
    ImageDraw.Draw(drawn).rectangle((x, y, x + width - 1, y + height - 1), outline="#000000")
    return np.asarray(drawn)


def contact_sheet(
    samples: Sequence[Sequence[np.ndarray]], titles: Sequence[str], captions: Sequence[str], across: int, scale: int = 2
) -> Image.Image:
    """Draw samples as groups of panels, each group with a caption.

    Args:
        samples: the panels of each sample, (H, W) or in color (H, W, 3) uint8, all of the same height and width, one
            per title.
        titles: the titles of the panels, written above each column.
        captions: one line per sample.
        across: number of samples side by side.
        scale: screen pixels per pixel.

    Returns:
        The picture, grayscale unless a panel is in color; without samples, a picture of the word "none".
    """
    if not samples:
        empty = Image.new("L", (240, LINE + 2 * GAP), 255)
        ImageDraw.Draw(empty).text((GAP, GAP), "none", fill=0, font=ImageFont.load_default(size=12))
        return empty
    high, wide = (side * scale for side in samples[0][0].shape[:2])
    group = len(titles) * (wide + 2) + GAP
    rows = -(-len(samples) // across)
    mode = "RGB" if any(panel.ndim == 3 for panels in samples for panel in panels) else "L"
    sheet = Image.new(mode, (GAP + across * group, GAP + LINE + rows * (high + LINE + GAP)), "#ffffff")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for column in range(min(across, len(samples))):
        for i, title in enumerate(titles):
            draw.text((GAP + column * group + i * (wide + 2), GAP), title, fill="#000000", font=font)
    for k, (panels, caption) in enumerate(zip(samples, captions, strict=True)):
        left, top = GAP + (k % across) * group, GAP + LINE + (k // across) * (high + LINE + GAP)
        for i, panel in enumerate(panels):
            enlarged = Image.fromarray(panel).resize((wide, high), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + i * (wide + 2), top))
        draw.text((left, top + high + 1), caption, fill="#5a5a5a", font=font)
    return sheet
