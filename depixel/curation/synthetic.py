"""The generated sample: contributors' ZIPs of photo-like JPEGs, made from a seed.

Each photo is an occlusion ("dead leaves") picture: opaque leaves hide one another, and their radii follow the power law
r^-3 between two limits. Such pictures have the edges, the scale invariance and the heavy-tailed gradients of photos
(Ruderman, Origins of scaling in natural images, 1997; Lee, Mumford & Huang, Occlusion models for natural images, 2001).
The model is extended by a backdrop in perspective, materials that cluster, light and shadow, haze, focus, and a camera
for each contributor.

Lengths in a scene are in units of the photo's short side; the origin is its centre, x points right, y down. Light is
linear RGB, float32 (H, W, 3), until the camera turns it into 0..255.
"""

import io
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFilter, ImageFont

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.model.pixelation import PixelationSettings, draw_areas, photo_ids, uniforms
from depixel.photos.decoding import decode, square
from depixel.photos.processes import each
from depixel.photos.rules import LEAST_SIDE, MOST_BYTES

TILE = 256  # side of a texture in texels, a power of two
CAMERA, TEXTURES, REPEATS, SCENE, PHOTO = range(5)  # streams of random numbers
STRANGER = 1_000_000  # number of the first contributor of the test set
TURNS = {  # EXIF orientation: how the upright picture is turned for storing
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}

COLOURS = {  # reflectance, linear RGB
    "black": (0.02, 0.02, 0.025),
    "bark": (0.10, 0.06, 0.04),
    "earth": (0.27, 0.18, 0.11),
    "wood": (0.42, 0.24, 0.11),
    "sand": (0.55, 0.44, 0.30),
    "stone": (0.30, 0.29, 0.28),
    "brick": (0.36, 0.13, 0.08),
    "plaster": (0.75, 0.70, 0.60),
    "white": (0.90, 0.90, 0.90),
    "leaf": (0.10, 0.18, 0.04),
    "grass": (0.20, 0.27, 0.07),
    "sky": (0.30, 0.50, 0.90),
    "cloud": (1.10, 1.10, 1.15),
    "red": (0.55, 0.04, 0.04),
    "yellow": (0.75, 0.50, 0.05),
    "blue": (0.05, 0.12, 0.40),
}


@dataclass(frozen=True)
class Place:
    """A kind of scene: the colours, shapes and textures of what is in it (names, the frequent ones repeated)."""

    colours: str
    shapes: str
    textures: str
    ground: str
    above: str
    horizon: tuple[float, float]  # y of the vanishing point: least, most
    room: bool = False  # has walls
    standing: bool = False  # leaves stand on the ground; otherwise they lie anywhere
    haze: float = 0.0  # how much of the farthest leaves' colour is the air's
    leaves: int = 280  # at most
    radius: tuple[float, float] = (0.03, 0.8)  # least, most
    parts: float = 0.9  # how many of the smaller leaves lie on a larger one


PLACES = (
    Place(  # landscape
        colours="leaf grass bark stone earth",
        shapes="blob blob lens stroke polygon",
        textures="cloudy rough grain",
        ground="grass earth sand",
        above="sky cloud",
        horizon=(-0.25, 0.2),
        standing=True,
        haze=0.35,
        leaves=400,
        radius=(0.03, 1.2),
    ),
    Place(  # street
        colours="brick plaster stone sand white black blue",
        shapes="box box box polygon stroke disc",
        textures="windows windows bricks letters rough",
        ground="stone",
        above="sky cloud",
        horizon=(-0.1, 0.25),
        standing=True,
        haze=0.2,
        leaves=260,
        radius=(0.035, 1.2),
    ),
    Place(  # room
        colours="wood white black plaster red blue brick",
        shapes="box box disc polygon stroke",
        textures="letters letters stripes checks cloudy bricks",
        ground="wood stone",
        above="plaster white",
        horizon=(-0.2, 0.1),
        room=True,
        standing=True,
    ),
    Place(  # thicket
        colours="leaf grass leaf bark earth sand",
        shapes="lens lens blob stroke",
        textures="cloudy stripes grain",
        ground="leaf bark",
        above="leaf sky",
        horizon=(-1.5, 1.5),
        leaves=300,
        radius=(0.04, 0.5),
        parts=0.5,
    ),
    Place(  # things on a table
        colours="wood white black red yellow stone sand",
        shapes="disc box polygon blob lens",
        textures="letters cloudy checks stripes grain",
        ground="wood white stone",
        above="plaster",
        horizon=(-2.5, -0.6),
    ),
)


@dataclass(frozen=True, eq=False)
class Material:
    """What the leaves of one cluster have in common: a texture that mixes two colours, a shape, a direction."""

    texture: str
    colours: np.ndarray  # (2, 3)
    density: float  # texels per unit of length
    shape: str = "box"
    angle: float = 0.0
    turning: float = 0.0  # spread of the leaves' angles
    gloss: float = 0.0


@dataclass(frozen=True)
class Leaf:
    x: float
    y: float
    nearness: float  # 0 far, 1 near: parallax, haze, focus
    radius: float
    narrow: float  # across / along, (0, 1]
    angle: float
    hollow: float  # 0, or the thickness of the rim of a ring or frame
    bend: list[float]  # 5, standard normal: what makes this outline differ from others of its shape
    tone: np.ndarray  # (3,) factor on the material's colour
    material: Material

    @property
    def solid(self) -> bool:
        """Whether other leaves can lie on this one."""
        return not self.hollow and self.material.shape != "stroke"


@dataclass(frozen=True)
class Scene:
    place: Place
    vanishing: tuple[float, float]
    surfaces: list[Material]  # floor, ceiling or sky, left, right, back
    depth: float  # half the size of the room's back wall; 0 outdoors
    leaves: list[Leaf]  # far ones first
    light: tuple[float, float]  # direction towards the light
    air: np.ndarray  # (3,) colour of haze
    patches: float  # contrast of light and shade that cover the whole scene
    focus: float  # nearness that is sharp
    aperture: float


@dataclass(frozen=True)
class View:
    """Where one photo of a scene is taken from, and its size in pixels."""

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
        """Where a point of the scene appears; near points move more."""
        parallax = 0.4 + 0.6 * nearness
        return (
            self.width / 2 + self.scale * (x - parallax * self.x),
            self.height / 2 + self.scale * (y - parallax * self.y),
        )


@dataclass(frozen=True)
class Camera:
    """The habits of one contributor's camera: what makes its photos differ from everybody else's."""

    short_side: int  # pixels, the least
    quality: int  # of the JPEG, the least
    balance: np.ndarray  # (3,) white balance
    contrast: float
    saturation: float
    noise: float  # standard deviation, gray levels
    blur: float  # sigma in pixels
    sharpening: int  # percent
    vignette: float
    turned: int  # which of 16 photos is stored turned
    names: str  # format of the photos' names


def _random(seed: int, contributor: int, stream: int, number: int) -> np.random.Generator:
    """Random numbers that follow from a name, so that nothing depends on what was drawn before."""
    return np.random.Generator(np.random.PCG64((seed, contributor, stream, number)))


def _pick(rng: np.random.Generator, names: str) -> str:
    return str(rng.choice(names.split()))


# ---------------------------------------------------------------- textures: periodic (TILE, TILE) float32, 0..1


def _noise(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Noise whose amplitude falls with frequency f as f^-exponent."""
    f = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    f[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((TILE, TILE))) * f**-exponent)
    return np.clip(0.5 + 0.22 * noise / noise.std(), 0, 1)


def _letters(rng: np.random.Generator) -> np.ndarray:
    """Lines of made-up words, 0 the ink."""
    page = Image.new("L", (TILE, TILE), 255)
    draw, y = ImageDraw.Draw(page), 4
    while y < TILE:
        size = int(rng.choice([20, 32, 52]))
        line = "".join(rng.choice(list("ABCDEGHIKLMNOPRSTUWaeinorst 0123456789  "), 24))
        draw.text((rng.integers(-20, 10), y), line, fill=0, font=ImageFont.load_default(size))
        y += int(size * rng.uniform(1.2, 2.4))
    return np.asarray(page) / 255


def _textures(rng: np.random.Generator) -> dict[str, np.ndarray]:
    row, column = np.mgrid[:TILE, :TILE]
    wave = np.clip(0.5 + 1.5 * np.sin(2 * np.pi * (column + 3 * np.sin(2 * np.pi * row / TILE)) / 16), 0, 1)
    square = np.clip(0.5 + 4 * np.sin(2 * np.pi * row / 32) * np.sin(2 * np.pi * column / 32), 0, 1)
    joint = np.minimum(row % 16, (column + 16 * (row // 16 % 2)) % 32)
    pane = np.minimum(np.minimum(row % 32, 31 - row % 32) - 5, np.minimum(column % 32, 31 - column % 32) - 7)
    lit = np.repeat(np.repeat(rng.uniform(0, 1, (8, 8)), 32, 0), 32, 1)
    cloudy, rough = _noise(rng, 1.7), _noise(rng, 1.2)
    textures = {
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
    return {name: texture.astype(np.float32) for name, texture in textures.items()}


def _look_up(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The texture at texel coordinates u (right), v (down), repeated without end; bilinear."""
    column, row = np.floor(u), np.floor(v)
    u, v = (u - column).astype(np.float32), (v - row).astype(np.float32)
    column, row = column.astype(np.intp), row.astype(np.intp)
    left, right, top, bottom = (i & (TILE - 1) for i in (column, column + 1, row, row + 1))
    above = texture[top, left] * (1 - u) + texture[top, right] * u
    below = texture[bottom, left] * (1 - u) + texture[bottom, right] * u
    return above * (1 - v) + below * v


# ---------------------------------------------------------------- scenes


def _material(rng: np.random.Generator, colours: str, textures: str, shapes: str = "box") -> Material:
    first = np.array(COLOURS[_pick(rng, colours)]) * np.exp(rng.normal(0, 0.35) + rng.normal(0, 0.08, 3))
    second = first * np.exp(rng.normal(-0.1, 1) + rng.normal(0, 0.12, 3))
    return Material(
        texture=_pick(rng, textures),
        colours=np.stack([first, second]).astype(np.float32),
        density=rng.uniform(90, 260),
        shape=_pick(rng, shapes),
        angle=float(rng.choice([0, 0, math.pi / 2])),
        turning=float(rng.choice([0, 0.03, 0.3])),
        gloss=max(0, rng.normal(0, 0.4)),
    )


def _leaf(rng: np.random.Generator, material: Material, angle: float, **position: float) -> Leaf:
    return Leaf(
        **position,
        narrow=rng.uniform(0.2, 1),
        angle=angle + material.angle + material.turning * rng.normal(),
        hollow=rng.uniform(0.05, 0.2) * (rng.uniform() < 0.08),
        bend=rng.standard_normal(5).tolist(),
        tone=np.exp(rng.normal(0, 0.4) + rng.normal(0, 0.06, 3)).astype(np.float32),
        material=material,
    )


def _body(rng: np.random.Generator, place: Place, horizon: float, material: Material, radius: float) -> Leaf:
    """A leaf by itself: on the ground in perspective, or anywhere in a heap."""
    nearness, x, y = rng.uniform(), rng.uniform(-1, 1), rng.uniform(-0.65, 0.65)
    if place.standing:
        radius *= 0.5 + 0.5 * nearness
        y = horizon + 0.02 + (0.6 - horizon) * nearness**1.5 - 0.7 * radius
    angle = 0 if place.standing else rng.uniform(0, 2 * math.pi)
    return _leaf(rng, material, angle, x=x, y=y, nearness=nearness, radius=radius)


def _part(rng: np.random.Generator, whole: Leaf, material: Material, radius: float) -> Leaf:
    """A leaf that lies on another one and follows its direction."""
    along, across = whole.radius * rng.uniform(-0.9, 0.9), whole.radius * whole.narrow * rng.uniform(-0.9, 0.9)
    cos, sin = math.cos(whole.angle), math.sin(whole.angle)
    x, y = whole.x + cos * along - sin * across, whole.y + sin * along + cos * across
    return _leaf(rng, material, whole.angle, x=x, y=y, nearness=whole.nearness + 1e-4, radius=radius)


def _leaves(rng: np.random.Generator, place: Place, horizon: float) -> list[Leaf]:
    """All leaves of a scene, far ones first."""
    materials = [_material(rng, place.colours, place.textures, place.shapes) for _ in range(7)]
    least, most = place.radius
    share = rng.uniform(0, 1, int(place.leaves * rng.uniform(0.4, 1)))
    radii = np.sort((least**-2 - share * (least**-2 - most**-2)) ** -0.5)[::-1]  # inverse distribution of r^-3
    leaves, wholes, areas = [], [], []  # wholes: what others can lie on
    for i, radius in enumerate(radii.tolist()):
        if i > 20 and wholes and rng.uniform() < place.parts:
            whole = wholes[np.searchsorted(np.cumsum(areas), rng.uniform(0, sum(areas)))]
            material = materials[(materials.index(whole.material) + rng.integers(2)) % len(materials)]
            leaf = _part(rng, whole, material, radius)
        else:
            leaf = _body(rng, place, horizon, materials[rng.integers(len(materials))], radius)
        leaves.append(leaf)
        if leaf.solid:
            wholes.append(leaf)
            areas.append(leaf.radius**2)
    return sorted(leaves, key=lambda leaf: leaf.nearness)


def _scene(rng: np.random.Generator) -> Scene:
    place = PLACES[rng.integers(len(PLACES))]
    horizon = rng.uniform(*place.horizon)
    towards = rng.uniform(math.pi, 2 * math.pi)  # light comes from above
    walls = _material(rng, place.above, "cloudy stripes bricks cloudy")
    return Scene(
        place=place,
        vanishing=(rng.uniform(-0.4, 0.4), horizon),
        surfaces=[
            _material(rng, place.ground, "rough cloudy bricks grain stripes" if place.room else "rough cloudy"),
            _material(rng, place.above, "cloudy"),
            walls,
            walls,
            _material(rng, place.above, "cloudy stripes letters windows"),
        ],
        depth=rng.uniform(0.15, 0.35) if place.room else 0.0,
        leaves=_leaves(rng, place, horizon),
        light=(math.cos(towards), math.sin(towards)),
        air=np.array(COLOURS["cloud"], np.float32) * rng.uniform(0.4, 0.8),
        patches=rng.uniform(0.1, 0.8),
        focus=rng.uniform(0.3, 1),
        aperture=float(rng.choice([0, 0.005, 0.02])),
    )


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
        pixels = view.scale / material.density * (1 if i == 4 else t[here] ** 2)  # per texel; too few would flicker
        mix = 0.5 + (mix - 0.5) * np.clip(2 * pixels, 0.1, 1)
        canvas[here] = material.colours[0] + mix[:, None] * (material.colours[1] - material.colours[0])
    fade = scene.place.haze * np.clip(1 - 3 * t, 0, 1)[..., None]
    return canvas + fade * (scene.air - canvas)


# ---------------------------------------------------------------- leaves


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
    """Put a leaf and its contact shadow over what is on the canvas."""
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


def _render(scene: Scene, view: View, textures: dict[str, np.ndarray]) -> np.ndarray:
    """The light that reaches the camera: (H, W, 3) float32, 0 and up."""
    canvas = _backdrop(scene, view, textures)
    for leaf in scene.leaves:
        _paint(canvas, leaf, scene, view, textures)
    row, column = np.mgrid[: view.height, : view.width] * (100 / view.scale)
    shade = np.tanh(4 * (_look_up(textures["shade"], column, row) - 0.5))
    return canvas * np.exp(scene.patches * shade)[..., None]


# ---------------------------------------------------------------- cameras and files


def _camera(rng: np.random.Generator) -> Camera:
    return Camera(
        short_side=int(110 + min(rng.exponential(16), 50)),
        quality=int(60 + min(rng.exponential(6), 30)),
        balance=np.exp(rng.normal(0, 0.06, 3)),
        contrast=rng.uniform(1.1, 1.5),
        saturation=rng.uniform(0.5, 1),
        noise=rng.uniform(0, 1.8),
        blur=rng.uniform(0.3, 0.7),
        sharpening=int(rng.integers(0, 120)),
        vignette=rng.uniform(0, 0.35),
        turned=int(rng.integers(16)),
        names=_pick(rng, "IMG_{:04}.jpg DSC{:05}.JPG P{:07}.jpeg trip/{:03}.jpg"),
    )


def _develop(light: np.ndarray, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Light to an RGB picture: exposure, white balance, tone curve, noise, sharpness."""
    height, width, _ = light.shape
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    light = light * camera.balance * (1 - camera.vignette * (x * x + y * y) / 2)[..., None]
    gray = light.mean(axis=2, keepdims=True)
    light = np.maximum(gray + camera.saturation * (light - gray), 0)
    exposed = light * (0.17 * np.exp(rng.normal(0, 0.35)) / np.exp(np.log(gray + 0.01).mean()))
    shown = np.minimum(exposed, 1.5) ** (1 / 2.2)
    shown = 255 * (0.5 + camera.contrast * (shown - 0.5))
    shown += rng.normal(0, camera.noise, (height, width, 1)) + rng.normal(0, camera.noise / 2, (height, width, 3))
    picture = Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(camera.blur))
    return picture.filter(ImageFilter.UnsharpMask(1, camera.sharpening, 2))


def _jpeg(picture: Image.Image, quality: int, orientation: int = 1) -> bytes:
    """The picture as a JPEG that is upright once its EXIF orientation is followed."""
    exif = Image.Exif()
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
        picture = picture.transpose(TURNS[orientation])
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True, exif=exif)
    return file.getvalue()


@lru_cache(maxsize=2)
def _equipment(seed: int, contributor: int) -> tuple[Camera, dict[str, np.ndarray]]:
    """A contributor's camera, and the textures of the things that are photographed."""
    return _camera(_random(seed, contributor, CAMERA, 0)), _textures(_random(seed, contributor, TEXTURES, 0))


def unseen_photos(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the photos and areas of a test set, of contributors who are not in the sample.

    Returns:
        photos (count, 64, 64) uint8; areas (count, 5) int64: x, y, width, height, block size, drawn as the challenge
        does.
    """
    photos = [photo(seed, STRANGER + i // 10, 1 + i % 10) for i in range(count)]
    squared = np.stack([square(decode(photo), 64) for photo in photos])
    ids = photo_ids([str(i) for i in range(count)])
    return squared, draw_areas(uniforms(ids, f"test set {seed}", 5), 64, PixelationSettings())


def photo(seed: int, contributor: int, number: int) -> bytes:
    """Photo `number` (1 and up) of a contributor, as a JPEG."""
    camera, textures = _equipment(seed, contributor)
    repeats = _random(seed, contributor, REPEATS, 0).choice([1, 1, 1, 2, 2, 3, 5], number)  # photos of each scene
    scene = _scene(_random(seed, contributor, SCENE, int(np.searchsorted(np.cumsum(repeats), number))))
    rng = _random(seed, contributor, PHOTO, number)
    short = int(camera.short_side * rng.choice([1] * 9 + [1.6]))
    size = [short, int(short * rng.choice([1, 4 / 3, 4 / 3, 3 / 2, 16 / 9]))]
    width, height = size if rng.uniform() < 0.3 else size[::-1]
    view = View(width, height, *rng.normal(0, 0.08, 2).tolist(), rng.uniform(0.85, 1.3))
    picture = _develop(_render(scene, view, textures), camera, rng)
    if rng.uniform() < 0.04:
        picture = picture.convert("L")
    orientation = int(rng.choice(list(TURNS))) if number % 16 == camera.turned else 1
    return _jpeg(picture, camera.quality + int(rng.integers(6)), orientation)


def _file(seed: int, place: tuple[int, int]) -> tuple[str, bytes]:
    """Name and content of a contributor's file, (contributor, number), both 1 and up; 10 and 20 break a rule each."""
    contributor, number = place
    code = {10: 2 * contributor % 6 + 1, 20: (2 * contributor + 1) % 6 + 1}.get(number, 0)
    name = _equipment(seed, contributor)[0].names.format(number)
    content = photo(seed, contributor, number - 1 if code == 6 else number)
    if code == 1:
        name, content = "notes.txt", b"Photos of the last excursion. The best ones are at the end.\n"
    if code == 2:
        content = content.ljust(MOST_BYTES + 1, b"\0")
    if code == 3:
        content = content[: len(content) // 2]
    if code == 4:
        content = _jpeg(Image.open(io.BytesIO(content)).resize((LEAST_SIDE + 20, LEAST_SIDE - 10)), 80)
    if code == 5:
        content = _jpeg(Image.new("RGB", (160, 120), "gray"), 80)
    return name, content


def _add(archive: zipfile.ZipFile, name: str, content: bytes, method: int) -> None:
    """Add a member with nothing in it that depends on time or system."""
    member = zipfile.ZipInfo(name, (2023, 6, 1, 12, 0, 0))
    member.create_system, member.external_attr = 3, 0o644 << 16
    archive.writestr(member, content, method)


def write_sample(
    folder: str | Path,
    seed: int = 0,
    contributors: int = 12,
    photos: int = 50,
    workers: int | None = None,
    on_done: Callable[[], None] | None = None,
) -> None:
    """Write `contributors` ZIPs (k10000001.zip, ...) of `photos` files each into a new or empty `folder`.

    The files are RGB and a few grayscale JPEGs with a short side of 110 to 260 px; every 16th is stored turned, with
    an EXIF orientation. Files 10 and 20 of a contributor are invalid: three contributors of 20 files or more show all
    six codes. A file's bytes follow from the seed, its contributor's number and its own (and the versions of NumPy and
    Pillow), not from the number of `workers` (processes; None: one per core). `on_done` is called once per contributor.

    Raises:
        DepixelError: the folder has files in it or cannot be written, or a number is too small.
    """
    folder = Path(folder)
    if seed < 0 or contributors < 1 or photos < 1:
        raise DepixelError(
            f"seed = {seed}, contributors = {contributors}, photos = {photos}: "
            "the seed must be 0 or more, the other two 1 or more"
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DepixelError(
            f"{folder}: is there already, and the sample replaces nothing. Name a new folder, or empty this one first"
        )
    numbered = [(contributor, number) for contributor in range(1, contributors + 1) for number in range(1, photos + 1)]
    files = each(partial(_file, seed), numbered, workers)
    with replacing(folder) as beside:
        beside.mkdir()
        for contributor in range(1, contributors + 1):
            usual = zipfile.ZIP_DEFLATED if contributor % 2 else zipfile.ZIP_STORED
            with zipfile.ZipFile(beside / f"k{10_000_000 + contributor}.zip", "w") as archive:
                for name, content in islice(files, photos):
                    _add(archive, name, content, zipfile.ZIP_DEFLATED if len(content) > MOST_BYTES else usual)
            if on_done:
                on_done()
