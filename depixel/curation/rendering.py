"""Rendering of the generated scenes from a viewpoint: textures, perspective, light and shadow.

Light is linear RGB, (H, W, 3) float32, 0 and up; `depixel.curation.camera` turns it into pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from depixel.curation.scenes import Leaf, Scene

TILE = 256
"""Side of a texture in texels, a power of two."""


@dataclass(frozen=True)
class View:
    """The viewpoint of one photo of a scene.

    Attributes:
        width, height: size of the photo, pixels.
        x, y: position of the camera, in units of length.
        zoom: factor on the size of everything.
    """

    width: int
    height: int
    x: float
    y: float
    zoom: float

    @property
    def scale(self) -> float:
        """Pixels per unit of length."""
        return min(self.width, self.height) * self.zoom

    def pixel(self, x: float, y: float, nearness: float) -> tuple[float, float]:
        """The pixel (x, y) at which a point of the scene appears. The camera's position moves near points more."""
        parallax = 0.4 + 0.6 * nearness
        return (
            self.width / 2 + self.scale * (x - parallax * self.x),
            self.height / 2 + self.scale * (y - parallax * self.y),
        )


def _noise(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Noise whose amplitude falls with frequency f as f^-exponent."""
    f = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    f[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((TILE, TILE))) * f**-exponent)
    return np.clip(0.5 + 0.22 * noise / noise.std(), 0, 1)


def _letters(rng: np.random.Generator) -> np.ndarray:
    """Lines of random words, (TILE, TILE) float64; 0 is ink, 1 is paper."""
    page = Image.new("L", (TILE, TILE), 255)
    draw, y = ImageDraw.Draw(page), 4
    while y < TILE:
        size = int(rng.choice([20, 32, 52]))
        line = "".join(rng.choice(list("ABCDEGHIKLMNOPRSTUWaeinorst 0123456789  "), 24))
        draw.text((int(rng.integers(-20, 10)), y), line, fill=0, font=ImageFont.load_default(size))
        y += int(size * rng.uniform(1.2, 2.4))
    return np.asarray(page) / 255


def textures(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the textures of a contributor's subjects: by name, periodic, (TILE, TILE) float32, 0..1."""
    row, column = np.mgrid[:TILE, :TILE]
    wave = np.clip(0.5 + 1.5 * np.sin(2 * np.pi * (column + 3 * np.sin(2 * np.pi * row / TILE)) / 16), 0, 1)
    square = np.clip(0.5 + 4 * np.sin(2 * np.pi * row / 32) * np.sin(2 * np.pi * column / 32), 0, 1)
    joint = np.minimum(row % 16, (column + 16 * (row // 16 % 2)) % 32)
    pane = np.minimum(np.minimum(row % 32, 31 - row % 32) - 5, np.minimum(column % 32, 31 - column % 32) - 7)
    lit = np.repeat(np.repeat(rng.uniform(0, 1, (8, 8)), 32, 0), 32, 1)
    cloudy, rough = _noise(rng, 1.7), _noise(rng, 1.2)
    found = {
        "shade": _noise(rng, 3),
        "cloudy": cloudy,
        "rough": rough,
        "grain": _noise(rng, 0.5),
        "stripes": 0.8 * wave + 0.2 * rough,
        "checks": 0.8 * square + 0.2 * rough,
        "bricks": 0.6 * np.clip((joint - 1) / 2, 0, 1) + 0.4 * rough,
        "windows": np.where(pane > 0, lit**2, 0.8 + 0.2 * cloudy),
        "letters": 0.85 * _letters(rng) + 0.15 * cloudy,
    }
    return {name: texture.astype(np.float32) for name, texture in found.items()}


def _look_up(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sample a periodic texture at texel coordinates u (right) and v (down), bilinearly."""
    column, row = np.floor(u), np.floor(v)
    u, v = (u - column).astype(np.float32), (v - row).astype(np.float32)
    column, row = column.astype(np.intp), row.astype(np.intp)
    left, right, top, bottom = (i & (TILE - 1) for i in (column, column + 1, row, row + 1))
    above = texture[top, left] * (1 - u) + texture[top, right] * u
    below = texture[bottom, left] * (1 - u) + texture[bottom, right] * u
    return above * (1 - v) + below * v


def _backdrop(scene: Scene, view: View, textures: dict[str, np.ndarray]) -> np.ndarray:
    """Ground and sky, or the inside of a box, in central perspective."""
    left, top = view.pixel(*scene.vanishing, 0)
    y, x = np.mgrid[: view.height, : view.width].astype(np.float32)
    x, y = (x + (0.5 - left)) / view.scale, (y + (0.5 - top)) / view.scale
    t = np.maximum(np.abs(x), np.abs(y)) if scene.place.room else np.abs(y)  # the inverse of the distance
    level = np.abs(y) == t  # floor, ceiling, sky
    surface = np.select([t < scene.depth, level & (y > 0), level, x < 0], [4, 0, 1, 2], 3)
    t = np.maximum(t, 0.01)
    across, along = np.where(level, x, y) / t, 1 / t
    canvas = np.empty((view.height, view.width, 3), np.float32)
    for i, material in enumerate(scene.surfaces):
        here = surface == i
        u, v = (x, y) if i == 4 else (across, along)
        mix = _look_up(textures[material.texture], material.density * u[here], material.density * v[here])
        pixels = view.scale / material.density * (1 if i == 4 else t[here] ** 2)  # per texel; too few would alias
        mix = 0.5 + (mix - 0.5) * np.clip(2 * pixels, 0.1, 1)
        canvas[here] = material.colours[0] + mix[:, None] * (material.colours[1] - material.colours[0])
    fade = scene.place.haze * np.clip(1 - 3 * t, 0, 1)[..., None]
    return canvas + fade * (scene.air - canvas)


def _outline(leaf: Leaf, u: np.ndarray, v: np.ndarray, textures: dict[str, np.ndarray]) -> np.ndarray:
    """Signed distance to the leaf's outline, negative inside; u along it, v across, in units of its radius."""
    shape, narrow, bend = leaf.material.shape, leaf.narrow, leaf.bend
    if shape == "box":
        d = np.maximum(np.abs(u) - 1, np.abs(v) - narrow)
    elif shape == "lens":  # where two discs overlap
        c = (1 / narrow - narrow) / 2 + 0.3
        d = np.hypot(u, np.abs(v) + c) - math.hypot(1, c)
    elif shape == "polygon":
        corners = 3 + int(abs(bend[0]) * 2) % 3
        angles = [2 * math.pi * (i + 0.25 * bend[i]) / corners for i in range(corners)]
        d = np.max([u * math.cos(a) + v * math.sin(a) for a in angles], axis=0) - 0.55
    elif shape == "stroke":
        d = np.maximum(np.abs(v + 0.1 * bend[0] * (u * u - 1)) - 0.015 * narrow, np.abs(u) - 1)
    else:  # disc, blob
        d = (np.hypot(u, v / narrow) - 1) * narrow
        if shape == "blob":
            grain = 40 + 100 * leaf.radius
            d = 0.5 * d + 0.5 * _look_up(textures["rough"], grain * u + 99 * bend[0], grain * v + 99 * bend[1]) - 0.22
    return np.abs(d + leaf.hollow) - leaf.hollow if leaf.hollow else d


def _paint(canvas: np.ndarray, leaf: Leaf, scene: Scene, view: View, textures: dict[str, np.ndarray]) -> None:
    """Paint a leaf and its contact shadow onto the canvas."""
    material, radius = leaf.material, leaf.radius * view.scale * (4 if leaf.material.shape == "stroke" else 1)
    left, top = view.pixel(leaf.x, leaf.y, leaf.nearness)
    reach = 1.3 * radius + 2
    rows = slice(max(0, int(top - reach)), max(0, int(top + reach)))
    columns = slice(max(0, int(left - reach)), max(0, int(left + reach)))
    patch = canvas[rows, columns]
    if patch.size == 0:
        return
    y, x = np.mgrid[: patch.shape[0], : patch.shape[1]].astype(np.float32)
    x, y = (x + (columns.start + 0.5 - left)) / radius, (y + (rows.start + 0.5 - top)) / radius
    cos, sin = math.cos(leaf.angle), math.sin(leaf.angle)
    u, v = cos * x + sin * y, cos * y - sin * x
    d = _outline(leaf, u, v, textures)
    towards = x * scene.light[0] + y * scene.light[1]

    shade = 0.6 * np.clip(1 - d / 0.2, 0, 1) * np.clip(0.3 - towards, 0, 1)
    blur = 1 + scene.aperture * abs(leaf.nearness - scene.focus) * view.scale  # pixels
    cover = np.clip(0.5 - d * (radius / blur), 0, 1)

    density = material.density * leaf.radius
    mix = _look_up(textures[material.texture], density * u + 99 * leaf.bend[2], density * v + 99 * leaf.bend[3])
    mix = 0.5 + (mix - 0.5) / blur
    lit = 0.75 + 0.45 * towards
    if material.shape in ("disc", "blob", "lens"):  # round: darker where the surface turns away
        f = np.clip(1 + d, 0, 1)
        lit = lit * (0.5 + 0.6 * np.sqrt(1 - f * f))
        lit += material.gloss * np.exp(-15 * ((x - 0.4 * scene.light[0]) ** 2 + (y - 0.4 * scene.light[1]) ** 2))
    colour = material.colours[0] + mix[..., None] * (material.colours[1] - material.colours[0])
    colour = colour * (np.maximum(lit, 0.15)[..., None] * leaf.tone)
    haze = scene.place.haze * (1 - leaf.nearness) ** 2
    colour += haze * (scene.air - colour)
    patch *= (1 - shade)[..., None]
    patch += cover[..., None] * (colour - patch)


def render(scene: Scene, view: View, textures: dict[str, np.ndarray]) -> np.ndarray:
    """Render the light of a scene that reaches the camera: (H, W, 3) float32, linear RGB, 0 and up.

    Args:
        scene: the scene.
        view: the viewpoint.
        textures: the textures by name, as `textures` draws them.
    """
    canvas = _backdrop(scene, view, textures)
    for leaf in scene.leaves:
        _paint(canvas, leaf, scene, view, textures)
    row, column = np.mgrid[: view.height, : view.width] * (100 / view.scale)
    shade = np.tanh(4 * (_look_up(textures["shade"], column, row) - 0.5))
    return canvas * np.exp(scene.patches * shade)[..., None]
