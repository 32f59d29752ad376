"""Generated pictures of things that people recognise, for a first try on the page."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = (320, 240)
"""Width and height of the pictures, pixels. The page hides the middle half of each."""

_SCALE = 3  # they are drawn larger and reduced, so that edges are smooth
_GRAIN = 3.0  # standard deviation, gray levels

_Color = tuple[int, int, int]


def _gradient(top: _Color, bottom: _Color) -> Image.Image:
    width, height = (_SCALE * side for side in SIZE)
    share = np.linspace(0, 1, height)[:, None, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)
    return Image.fromarray(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8))


def _ball(image: Image.Image, x: float, y: float, width: float, height: float, color: _Color, depth: float) -> None:
    """Paint an ellipse with centre x, y, lit from the upper left; `depth` is how much darker its far side is, 0..1."""
    rows, columns = np.mgrid[: image.height, : image.width] / _SCALE
    across, down = (columns - x) / (width / 2), (rows - y) / (height / 2)
    inside = across**2 + down**2 <= 1
    light = 1 - depth * np.clip(0.5 + 0.45 * across + 0.45 * down, 0, 1)
    pixels = np.array(image)
    pixels[inside] = np.clip(np.array(color) * light[inside, None], 0, 255)
    image.paste(Image.fromarray(pixels))


def _drawing(image: Image.Image) -> ImageDraw.ImageDraw:
    return ImageDraw.Draw(image)


def _points(*points: tuple[float, float]) -> list[tuple[float, float]]:
    return [(_SCALE * x, _SCALE * y) for x, y in points]


def _curve(image: Image.Image, points: list[tuple[float, float]], color: _Color, width: int) -> None:
    _drawing(image).line(points, color, _SCALE * width, joint="curve")


def _face() -> Image.Image:
    image = _gradient((120, 150, 170), (70, 90, 110))
    _ball(image, 160, 250, 190, 120, (60, 80, 140), 0.4)  # shoulders
    _ball(image, 160, 190, 50, 70, (205, 160, 130), 0.5)
    _ball(image, 160, 108, 136, 172, (72, 48, 34), 0.4)  # hair
    for x in (101, 219):
        _ball(image, x, 124, 20, 36, (205, 155, 125), 0.4)
    _ball(image, 160, 124, 112, 142, (224, 178, 148), 0.35)
    _drawing(image).chord([_SCALE * v for v in (98, 34, 222, 140)], 188, 352, (72, 48, 34))
    for x in (138, 182):
        _ball(image, x, 116, 26, 15, (245, 245, 240), 0.2)
        _ball(image, x, 116, 12, 12, (70, 95, 75), 0.3)
        _ball(image, x, 116, 6, 6, (15, 15, 15), 0.1)
        _curve(image, _points((x - 15, 104), (x - 5, 99), (x + 7, 99), (x + 15, 103)), (60, 40, 30), 4)
    _curve(image, _points((158, 122), (153, 144), (160, 149), (168, 146)), (170, 120, 95), 3)
    _curve(image, _points((137, 163), (148, 171), (160, 173), (172, 171), (183, 163)), (160, 70, 70), 4)
    return image


def _sign() -> Image.Image:
    image = _gradient((170, 195, 215), (120, 130, 110))
    draw = _drawing(image)
    draw.rectangle([_SCALE * v for v in (152, 150, 168, 240)], (95, 95, 100))
    draw.rounded_rectangle([_SCALE * v for v in (52, 46, 268, 178)], _SCALE * 12, (245, 245, 240))
    draw.rounded_rectangle([_SCALE * v for v in (58, 52, 262, 172)], _SCALE * 8, (30, 95, 60))
    for y, text, size in ((82, "HARBOUR", 36), (114, "Old Town 2 km", 22), (146, "Station 5 km", 22)):
        font = ImageFont.load_default(_SCALE * size)
        draw.text((_SCALE * 160, _SCALE * y), text, (250, 250, 245), font, anchor="mm")
    return image


def _landscape() -> Image.Image:
    image = _gradient((95, 140, 205), (235, 205, 165))
    _ball(image, 218, 84, 34, 34, (255, 240, 190), 0.05)
    draw = _drawing(image)
    draw.polygon(_points((0, 150), (58, 84), (96, 122), (150, 62), (214, 138), (256, 104), (320, 150)), (100, 112, 140))
    draw.polygon(_points((132, 82), (150, 62), (171, 87), (158, 82), (150, 90), (142, 80)), (238, 240, 245))
    _ball(image, 70, 260, 420, 230, (72, 110, 66), 0.4)
    _ball(image, 290, 270, 380, 220, (92, 128, 62), 0.4)
    draw = _drawing(image)
    draw.polygon(_points((150, 240), (156, 190), (176, 168), (182, 168), (172, 192), (186, 240)), (196, 176, 136))
    draw.rectangle([_SCALE * v for v in (196, 146, 230, 172)], (214, 200, 178))
    draw.polygon(_points((191, 148), (213, 130), (235, 148)), (150, 66, 50))
    draw.rectangle([_SCALE * v for v in (208, 156, 217, 172)], (88, 60, 44))
    for x, y, height in ((92, 176, 64), (112, 180, 50), (252, 170, 56), (40, 186, 72)):
        draw.rectangle([_SCALE * v for v in (x - 2, y - 8, x + 2, y)], (80, 58, 42))
        for part in range(3):
            width, top = height * (0.17 + 0.09 * part), y - height + part * height * 0.24
            bottom = top + height * 0.42
            draw.polygon(_points((x - width, bottom), (x, top), (x + width, bottom)), (38, 78, 48))
    return image


def _cat() -> Image.Image:
    image = _gradient((205, 180, 150), (150, 110, 80))
    _ball(image, 160, 240, 190, 190, (214, 140, 72), 0.45)
    for left, inner in ((1, 0.55), (-1, 0.55)):
        for color, size in (((206, 130, 64), 1.0), ((232, 168, 150), inner)):
            tip, base = (160 - left * 62, 116 - 76 * size), 118 - 8 * size
            points = _points(tip, (160 - left * (62 - 6 * size), base), (160 - left * (22 + 8 * (1 - size)), base - 38))
            _drawing(image).polygon(points, color)
    _ball(image, 160, 122, 148, 120, (224, 150, 80), 0.35)
    for x in (-14, 0, 14):
        _curve(image, _points((160 + x, 66), (160 + x * 0.8, 86)), (150, 88, 40), 5)
    for side in (-1, 1):
        for y in (118, 130):
            _curve(image, _points((160 + side * 72, y - 6), (160 + side * 50, y)), (150, 88, 40), 5)
    _ball(image, 160, 148, 66, 48, (246, 228, 205), 0.2)
    for x in (130, 190):
        _ball(image, x, 112, 30, 26, (190, 205, 90), 0.3)
        _ball(image, x, 112, 9, 24, (15, 15, 15), 0.1)
        _ball(image, x - 4, 106, 5, 5, (255, 255, 255), 0.0)
    _drawing(image).polygon(_points((150, 134), (170, 134), (160, 145)), (205, 110, 110))
    _curve(image, _points((146, 155), (153, 158), (160, 152), (167, 158), (174, 155)), (110, 70, 50), 3)
    for side in (-1, 1):
        for y in (-8, 0, 8):
            _curve(image, _points((160 + side * 24, 148 + y / 2), (160 + side * 84, 142 + 2 * y)), (250, 245, 235), 1)
    return image


SAMPLES: dict[str, Callable[[], Image.Image]] = {
    "a face": _face,
    "a sign": _sign,
    "a landscape": _landscape,
    "a cat": _cat,
}
"""What a sample shows, and the function that draws it."""


def drawn(number: int) -> np.ndarray:
    """Draw a sample, with a little blur and grain, as photos have.

    Args:
        number: its position in `SAMPLES`.

    Returns:
        (240, 320, 3) uint8, the same each time.
    """
    image = list(SAMPLES.values())[number]()
    small = image.resize(SIZE, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.5))
    grain = np.random.default_rng(number).normal(0, _GRAIN, (*SIZE[::-1], 1))
    return (np.asarray(small) + grain).round().clip(0, 255).astype(np.uint8)
