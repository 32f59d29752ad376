"""The generated sample: contributors' ZIPs of photo-like JPEGs, made from a seed, and photos of a test set.

Each contributor has a camera (`camera`) and photographs scenes (`scenes`, `rendering`). Everything depends only on the
seed, the contributor's number and the photo's number.
"""

import io
import zipfile
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.names import photo_ids
from depixel.curation.camera import Camera, develop, jpeg, new_camera
from depixel.curation.rendering import View, render, textures
from depixel.curation.scenes import new_scene
from depixel.model.pixelation import PixelationSettings, draw_areas, uniforms
from depixel.photos.decoding import decode, square
from depixel.photos.processes import each

CAMERA, TEXTURES, REPEATS, SCENE, PHOTO = range(5)  # streams of random numbers
STRANGER = 1_000_000
"""Number of the first contributor of test sets; smaller numbers are for samples."""

TURNED = (3, 6, 8)
"""The EXIF orientations of photos that are stored turned."""


def _random(seed: int, contributor: int, stream: int, number: int) -> np.random.Generator:
    """A random generator for a purpose, independent of all numbers drawn before."""
    return np.random.Generator(np.random.PCG64((seed, contributor, stream, number)))


@lru_cache(maxsize=2)
def _equipment(seed: int, contributor: int) -> tuple[Camera, dict[str, np.ndarray]]:
    """A contributor's camera, and the textures of the contributor's subjects."""
    return new_camera(_random(seed, contributor, CAMERA, 0)), textures(_random(seed, contributor, TEXTURES, 0))


def unseen_photos(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the photos and areas of a test set, from contributors that are in no sample.

    Args:
        seed: another seed gives other photos.
        count: number of photos; each contributor has ten.

    Returns:
        (count, 64, 64) uint8: the photos. (count, 5) int64: the areas (x, y, width, height and block size, pixels),
        drawn as the challenge draws them.
    """
    photos = [photo(seed, STRANGER + i // 10, 1 + i % 10) for i in range(count)]
    squared = np.stack([square(decode(photo), 64) for photo in photos])
    ids = photo_ids([str(i) for i in range(count)])
    return squared, draw_areas(uniforms(ids, f"test set {seed}", 5), 64, PixelationSettings())


def photo(seed: int, contributor: int, number: int) -> bytes:
    """Make a contributor's photo, as the bytes of a JPEG. `contributor` and `number` count from 1."""
    camera, surfaces = _equipment(seed, contributor)
    repeats = _random(seed, contributor, REPEATS, 0).choice([1, 1, 1, 2, 2, 3, 5], number)  # photos of each scene
    scene = new_scene(_random(seed, contributor, SCENE, int(np.searchsorted(np.cumsum(repeats), number))))
    rng = _random(seed, contributor, PHOTO, number)
    short = int(camera.short_side * rng.choice([1] * 9 + [1.6]))
    size = [short, int(short * rng.choice([1, 4 / 3, 4 / 3, 3 / 2, 16 / 9]))]
    width, height = size if rng.uniform() < 0.3 else size[::-1]
    x, y = rng.normal(0, 0.08, 2).tolist()
    view = View(width, height, x, y, zoom=rng.uniform(0.85, 1.3))
    picture = develop(render(scene, view, surfaces), camera, rng)
    if rng.uniform() < 0.04:
        picture = picture.convert("L")
    orientation = int(rng.choice(TURNED)) if number % 16 == camera.turned else 1
    return jpeg(picture, camera.quality + int(rng.integers(6)), orientation)


def _file(seed: int, place: tuple[int, int]) -> tuple[str, bytes]:
    """Name and content of the file at `place`: (contributor, number), both from 1. Files 10 and 20 are invalid."""
    from depixel.photos.rules import LEAST_SIDE, MOST_BYTES

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
        content = jpeg(Image.open(io.BytesIO(content)).resize((LEAST_SIDE + 20, LEAST_SIDE - 10)), 80)
    if code == 5:
        content = jpeg(Image.new("RGB", (160, 120), "gray"), 80)
    return name, content


def _add(archive: zipfile.ZipFile, name: str, content: bytes, method: int) -> None:
    """Add a member whose bytes do not depend on the time or the operating system."""
    member = zipfile.ZipInfo(name, (2023, 6, 1, 12, 0, 0))
    member.create_system, member.external_attr = 3, 0o644 << 16
    archive.writestr(member, content, method)


def write_sample(
    folder: str | Path,
    seed: int = 0,
    contributors: int = 12,
    photos: int = 50,
    workers: int | None = None,
    on_done: Callable[[], object] = lambda: None,
) -> None:
    """Write contributors' ZIPs, k10000001.zip and so on, into a folder.

    The files are JPEGs, RGB and a few grayscale ones, with a short side of 110 to 260 px. Every 16th is stored turned,
    with an EXIF orientation. Files 10 and 20 of a contributor are invalid; three contributors with at least 20 files
    show all six codes. The bytes of a file depend only on the seed, the contributor's number and the file's number (and
    on the versions of NumPy and Pillow).

    Args:
        folder: a new or empty folder.
        seed: 0 or more; another seed gives other photos.
        contributors: number of ZIPs, 1 or more.
        photos: number of files in each, 1 or more.
        workers: number of processes; None: one for each core. It changes no byte.
        on_done: called after each contributor.

    Raises:
        DepixelError: the folder is not empty or cannot be written, or a number is too small.
    """
    from depixel.photos.rules import MOST_BYTES  # reads archives; the page's samples do without

    folder = Path(folder)
    if seed < 0 or contributors < 1 or photos < 1:
        raise DepixelError(
            f"seed = {seed}, contributors = {contributors}, photos = {photos}: "
            "the seed must be 0 or more, the other two 1 or more"
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DepixelError(
            f"{folder}: already exists, and the sample replaces nothing. Name a new folder, or empty this one first"
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
            on_done()
