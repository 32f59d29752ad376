"""Contact sheets: samples side by side, to look at."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 8
LINE = 18


def fill(image: np.ndarray, area: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy of `image` (H, W) uint8 with `values` (flat) in the area (x, y, width, height, ...)."""
    x, y, width, height = (int(v) for v in area[:4])
    filled = image.copy()
    filled[y : y + height, x : x + width] = values.reshape(height, width)
    return filled


def surroundings(pixels: np.ndarray, area: tuple[int, ...], side: int = 240) -> np.ndarray:
    """(side, side, 3) uint8: an area and half as much around it, of a picture (H, W) or (H, W, C), uint8 or uint16.

    Where it is enlarged, pixels stay pixels. Alpha is left out; what is outside of the picture is black.
    """
    x, y, width, height = (int(v) for v in area[:4])
    extent = max(width, height, 16) * 3 // 2
    left, top = (
        min(max(start + n // 2 - extent // 2, 0), max(length - extent, 0))
        for start, n, length in ((x, width, pixels.shape[1]), (y, height, pixels.shape[0]))
    )
    part = pixels[top : top + extent, left : left + extent]
    if part.dtype == np.uint16:
        part = (part >> 8).astype(np.uint8)
    crop = Image.fromarray(
        np.ascontiguousarray(part[:, :, :3] if part.shape[2:] > (2,) else part.reshape(*part.shape[:2], -1)[:, :, 0])
    )
    how = Image.Resampling.NEAREST if extent <= side else Image.Resampling.BOX
    return np.asarray(crop.convert("RGB").crop((0, 0, extent, extent)).resize((side, side), how))


def error_picture(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) uint8: mid gray where two pictures agree, brighter where the prediction is too bright; twice the error."""
    error = prediction.astype(np.int16) - truth
    return (128 + 2 * error).clip(0, 255).astype(np.uint8)


def contact_sheet(
    samples: Sequence[Sequence[np.ndarray]], titles: Sequence[str], captions: Sequence[str], across: int, scale: int = 2
) -> Image.Image:
    """Draw samples as groups of panels with a caption each.

    Args:
        samples: for each sample its panels, (S, S) or (S, S, 3) uint8, as many as there are titles.
        titles: what each panel shows, written once above every column. captions: one line per sample.
        across: samples beside each other. scale: screen pixels per pixel.

    Returns:
        A picture, grayscale if the panels are; one that says so where there are no samples.
    """
    if not samples:
        empty = Image.new("L", (240, LINE + 2 * GAP), 255)
        ImageDraw.Draw(empty).text((GAP, GAP), "none", fill=0, font=ImageFont.load_default(size=12))
        return empty
    side = samples[0][0].shape[0] * scale
    group = len(titles) * (side + 2) + GAP
    rows = -(-len(samples) // across)
    mode = "L" if samples[0][0].ndim == 2 else "RGB"
    sheet = Image.new(mode, (GAP + across * group, GAP + LINE + rows * (side + LINE + GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for column in range(min(across, len(samples))):
        for i, title in enumerate(titles):
            draw.text((GAP + column * group + i * (side + 2), GAP), title, fill="black", font=font)
    for k, (panels, caption) in enumerate(zip(samples, captions, strict=True)):
        left, top = GAP + (k % across) * group, GAP + LINE + (k // across) * (side + LINE + GAP)
        for i, panel in enumerate(panels):
            enlarged = Image.fromarray(panel).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + i * (side + 2), top))
        draw.text((left, top + side + 1), caption, fill="#5a5a5a", font=font)
    return sheet
