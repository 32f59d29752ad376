"""The scenes of the generated photos: places with things in them, drawn at random.

A scene is an occlusion ("dead leaves") model: opaque leaves hide one another, and their radii follow the power law r^-3
between two limits. Pictures of it have the edges, the scale invariance and the heavy-tailed gradients of photos
(Ruderman, Origins of scaling in natural images, 1997; Lee, Mumford & Huang, Occlusion models for natural images, 2001).
The model is extended by a backdrop in perspective, materials that cluster, light and shadow, haze and focus.

Lengths are in units of the photo's short side; the origin is its centre, x points right, y down. Colours are linear
RGB.
"""

import math
from dataclasses import dataclass

import numpy as np

COLOURS = {
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
"""Reflectance of each colour, linear RGB, 0..1; above 1 for bright clouds."""


@dataclass(frozen=True)
class Place:
    """A kind of scene.

    Attributes:
        colours, shapes, textures: names for the leaves, separated by blanks; a repeated name is more frequent.
        ground, above: names of colours for the ground, and for walls, ceiling or sky.
        horizon: minimum and maximum y of the vanishing point.
        room: whether it has walls.
        standing: whether leaves stand on the ground; otherwise they lie anywhere.
        haze: share of the air's colour in the colour of the farthest leaves, 0..1.
        leaves: maximum number of leaves.
        radius: minimum and maximum radius of the leaves.
        parts: share of the smaller leaves that lie on a larger one, 0..1.
    """

    colours: str
    shapes: str
    textures: str
    ground: str
    above: str
    horizon: tuple[float, float]
    room: bool = False
    standing: bool = False
    haze: float = 0.0
    leaves: int = 280
    radius: tuple[float, float] = (0.03, 0.8)
    parts: float = 0.9


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
"""The kinds of scenes."""


@dataclass(frozen=True, eq=False)
class Material:
    """The common properties of the leaves of one cluster.

    Attributes:
        texture: name of the texture that mixes the two colours.
        colours: (2, 3) float32, linear RGB.
        density: texels per unit of length.
        shape: name of the leaves' shape.
        angle: mean direction of the leaves, radians.
        turning: standard deviation of their directions, radians.
        gloss: strength of the highlight on round leaves.
    """

    texture: str
    colours: np.ndarray
    density: float
    shape: str = "box"
    angle: float = 0.0
    turning: float = 0.0
    gloss: float = 0.0


@dataclass(frozen=True)
class Leaf:
    """An opaque thing in a scene.

    Attributes:
        x, y: its centre.
        nearness: 0 far, 1 near; it controls parallax, haze and focus.
        radius: half its length.
        narrow: its width / its length, (0, 1].
        angle: its direction, radians.
        hollow: thickness of the rim of a ring or frame, in radii; 0: solid.
        bend: 5 standard normal numbers that vary its outline.
        tone: (3,) float32, factor on the material's colours.
        material: its material.
    """

    x: float
    y: float
    nearness: float
    radius: float
    narrow: float
    angle: float
    hollow: float
    bend: list[float]
    tone: np.ndarray
    material: Material

    @property
    def solid(self) -> bool:
        """Whether other leaves can lie on this one."""
        return not self.hollow and self.material.shape != "stroke"


@dataclass(frozen=True)
class Scene:
    """A backdrop, leaves before it, and the light on them.

    Attributes:
        place: the kind of scene.
        vanishing: x, y of the vanishing point.
        surfaces: 5 materials: floor, ceiling or sky, left wall, right wall, back wall.
        depth: half the side of the room's back wall; 0 outdoors.
        leaves: the leaves, the farthest first.
        light: x, y of the direction towards the light.
        air: (3,) float32, colour of the haze.
        patches: contrast of the light and shade over the whole scene.
        focus: the nearness at which leaves are sharp.
        aperture: blur per unit of nearness out of focus.
    """

    place: Place
    vanishing: tuple[float, float]
    surfaces: list[Material]
    depth: float
    leaves: list[Leaf]
    light: tuple[float, float]
    air: np.ndarray
    patches: float
    focus: float
    aperture: float


def pick(rng: np.random.Generator, names: str) -> str:
    """Draw one of the names in a text; they are separated by blanks."""
    return str(rng.choice(names.split()))


def _material(rng: np.random.Generator, colours: str, textures: str, shapes: str = "box") -> Material:
    first = np.array(COLOURS[pick(rng, colours)]) * np.exp(rng.normal(0, 0.35) + rng.normal(0, 0.08, 3))
    second = first * np.exp(rng.normal(-0.1, 1) + rng.normal(0, 0.12, 3))
    return Material(
        texture=pick(rng, textures),
        colours=np.stack([first, second]).astype(np.float32),
        density=rng.uniform(90, 260),
        shape=pick(rng, shapes),
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
    """Draw a separate leaf: on the ground in perspective, or anywhere in a heap."""
    nearness, x, y = rng.uniform(), rng.uniform(-1, 1), rng.uniform(-0.65, 0.65)
    if place.standing:
        radius *= 0.5 + 0.5 * nearness
        y = horizon + 0.02 + (0.6 - horizon) * nearness**1.5 - 0.7 * radius
    angle = 0 if place.standing else rng.uniform(0, 2 * math.pi)
    return _leaf(rng, material, angle, x=x, y=y, nearness=nearness, radius=radius)


def _part(rng: np.random.Generator, whole: Leaf, material: Material, radius: float) -> Leaf:
    """Draw a leaf that lies on another one and follows its direction."""
    along, across = whole.radius * rng.uniform(-0.9, 0.9), whole.radius * whole.narrow * rng.uniform(-0.9, 0.9)
    cos, sin = math.cos(whole.angle), math.sin(whole.angle)
    x, y = whole.x + cos * along - sin * across, whole.y + sin * along + cos * across
    return _leaf(rng, material, whole.angle, x=x, y=y, nearness=whole.nearness + 1e-4, radius=radius)


def _leaves(rng: np.random.Generator, place: Place, horizon: float) -> list[Leaf]:
    """Draw all leaves of a scene, the farthest first."""
    materials = [_material(rng, place.colours, place.textures, place.shapes) for _ in range(7)]
    least, most = place.radius
    share = rng.uniform(0, 1, int(place.leaves * rng.uniform(0.4, 1)))
    radii = np.sort((least**-2 - share * (least**-2 - most**-2)) ** -0.5)[::-1]  # inverse distribution of r^-3
    leaves: list[Leaf] = []
    wholes: list[Leaf] = []  # those that others can lie on
    areas: list[float] = []  # of these, up to a factor
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


def new_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene at random."""
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
