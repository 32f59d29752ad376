"""The simulated cameras of the generated photos: from light to a JPEG, each camera with its own properties."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFilter

from depixel.curation.scenes import pick
from depixel.photos.decoding import as_stored


@dataclass(frozen=True)
class Camera:
    """The properties of one contributor's camera. They make its photos differ from those of other contributors.

    Attributes:
        short_side: smallest short side of its photos, pixels.
        quality: lowest quality of its JPEGs, 1..100.
        balance: (3,) float64, white balance, a factor on each channel.
        contrast, saturation: factors.
        noise: standard deviation of the noise, gray levels.
        blur: sigma of the Gaussian blur, pixels.
        sharpening: strength of the unsharp mask, percent.
        vignette: light lost at the corners, as a share; at the middle of each border half as much.
        turned: every 16th photo is stored turned: those whose number modulo 16 is `turned`, 0..15.
        names: format string of the photos' names.
    """

    short_side: int
    quality: int
    balance: np.ndarray
    contrast: float
    saturation: float
    noise: float
    blur: float
    sharpening: int
    vignette: float
    turned: int
    names: str


def new_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera at random."""
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
        names=pick(rng, "IMG_{:04}.jpg DSC{:05}.JPG P{:07}.jpeg trip/{:03}.jpg"),
    )


def develop(light: np.ndarray, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Convert light, (H, W, 3) float32, to an RGB picture: white balance, exposure, tone curve, noise, sharpness."""
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


def jpeg(picture: Image.Image, quality: int, orientation: int = 1) -> bytes:
    """Encode an upright picture as a JPEG with an EXIF orientation, 1..8; for 1 no EXIF is written."""
    exif = Image.Exif()
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
        picture = as_stored(picture, orientation)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True, exif=exif)
    return file.getvalue()
