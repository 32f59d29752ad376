"""Measures of one photo: of its file (encoding, camera) and of its prepared image (light, detail, shapes).

Packages for this (cleanvision, fastdup) decode every photo again, and each brings a data framework. Here the images are
already prepared, and Pillow reads the files' headers, so each measure takes a few lines.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter1d

from depixel.photos.decoding import exif_tag, opened
from depixel.photos.jpeg import lacks_data, standard_table

SIDE = 64
"""Side in pixels of the images on which light and detail are measured. The thresholds hold for this side."""

BATCH = 512
"""Number of images that are measured at a time."""

_MIDDLE = 2048  # pixels; in larger photos only the middle is searched for JPEG's grid
_MAKE, _MODEL = 271, 272  # EXIF
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa1-\u02ff\u0370-\uffef]+")

_BLUR = 5  # pixels

_SCALES = 3  # of the descriptor: 64, 32 and 16 px
_DIRECTIONS = 6
_CELLS = 4


class OfFile(NamedTuple):
    """The measures of a photo's file.

    Attributes:
        quality: JPEG quality of the last encoding, 1..100: the libjpeg quality whose quantization table is nearest to
            the file's.
        blockiness: ratio of the steps across the borders of JPEG's 8 x 8 blocks to the steps beside them; 1 = equal.
        color: root mean square of the chroma (Cb, Cr), gray levels; below 2 the photo looks gray.
        camera: make and model from EXIF; "" if EXIF names none.
        cut_off: whether data is missing before the end of the JPEG, so that a part of the photo is gray padding.
    """

    quality: int
    blockiness: float
    color: float
    camera: str
    cut_off: bool


def of_file(data: bytes) -> OfFile:
    """Measure a JPEG file with the bytes `data`. Raises `UnreadableError` if it cannot be decoded."""
    with opened(data) as image:
        tables = getattr(image, "quantization", None)
        camera = _camera(image)
        image.draft("YCbCr", image.size)  # JPEG stores YCbCr: no conversion needed
        pixels = np.asarray(image if image.mode in ("L", "YCbCr") else image.convert("YCbCr"))
    luminance, chroma = (pixels, None) if pixels.ndim == 2 else (pixels[..., 0], pixels[..., 1:])
    color = 0.0 if chroma is None else np.sqrt(np.square(chroma[::2, ::2].astype(np.float32) - 128).sum(-1).mean())
    return OfFile(
        _quality(tables[0]) if tables else 100,
        round(_blockiness(luminance), 3),
        round(float(color), 2),
        camera,
        lacks_data(data),
    )


def _camera(image: Image.Image) -> str:
    make, model = (_UNPRINTABLE.sub(" ", str(exif_tag(image, tag) or "")).strip()[:40] for tag in (_MAKE, _MODEL))
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def _quality(table: list[int]) -> int:
    return int(np.abs(_tables() - np.asarray(table)).sum(axis=1).argmin()) + 1


@lru_cache(maxsize=1)
def _tables() -> np.ndarray:
    """(100, 64): the luminance tables of libjpeg for the qualities 1..100."""
    return np.stack([standard_table(quality).ravel() for quality in range(1, 101)])


def _blockiness(luminance: np.ndarray) -> float:
    """The median absolute step across the borders of 8 x 8 blocks, divided by the steps one pixel before and after."""
    top, left = (max(0, (n - _MIDDLE) // 16 * 8) for n in luminance.shape)
    part = luminance[top : top + _MIDDLE, left : left + _MIDDLE].astype(np.int16)
    at, beside = 0.5, 0.5  # gray levels, so that nearly flat photos get a ratio near 1
    for pixels in (part, part.T):
        steps = np.abs(np.diff(pixels, axis=1)).mean(axis=0)
        # the median, because a single strong edge in the picture must count little
        whole = np.median(steps[: len(steps) // 8 * 8].reshape(-1, 8), axis=0)
        at += whole[7]
        beside += (whole[6] + whole[0]) / 2
    return float(at / beside)


class OfImages(NamedTuple):
    """The measures of N prepared images: (N,) float64 each, in gray levels unless noted otherwise.

    Attributes:
        brightness: mean.
        contrast: standard deviation.
        detail: root mean square deviation from the means of 8 x 8 blocks: the identity's RMSE for these blocks.
        sharpness: standard deviation of the Laplacian (its variance is the measure of Pech-Pacheco et al., 2000).
        blur: 0..1, the share of the steps between neighbours that remains after one more blur (Crete et al., 2007). The
            smaller value of the two directions counts, because stripes are sharp in one direction only. It does not
            depend on the contrast. About 0.4 for sharp photos; 0.63 after a Gaussian blur of 1 pixel.
        clipped: share of the pixels that are 0 or 255, 0..1.
    """

    brightness: np.ndarray
    contrast: np.ndarray
    detail: np.ndarray
    sharpness: np.ndarray
    blur: np.ndarray
    clipped: np.ndarray


def of_images(images: np.ndarray) -> OfImages:
    """Measure prepared images, (N, S, S) uint8. Images of another side are resized to `SIDE` first."""
    parts = [_measured(batch) for batch in _batches(images)]
    return OfImages(*(np.concatenate(values).round(4) for values in zip(*parts, strict=True)))


def _measured(images: np.ndarray) -> OfImages:
    pixels = images.astype(np.float32)
    contrast = pixels.std(axis=(1, 2), dtype=np.float64)
    blocks = pixels.reshape(-1, SIDE // 8, 8, SIDE // 8, 8)
    center = pixels[:, 1:-1, 1:-1]
    laplacian = pixels[:, 2:, 1:-1] + pixels[:, :-2, 1:-1] + pixels[:, 1:-1, 2:] + pixels[:, 1:-1, :-2] - 4 * center
    return OfImages(
        brightness=pixels.mean(axis=(1, 2), dtype=np.float64),
        contrast=contrast,
        detail=np.sqrt(blocks.var(axis=(2, 4), dtype=np.float64).mean(axis=(1, 2))),
        sharpness=laplacian.std(axis=(1, 2), dtype=np.float64),
        blur=np.minimum(_blur(pixels), _blur(pixels.swapaxes(1, 2))),
        clipped=((images == 0) | (images == 255)).mean(axis=(1, 2)),
    )


def _blur(pixels: np.ndarray) -> np.ndarray:
    """(N,): the blur along the last axis of (N, S, S) pixels."""
    blurred = uniform_filter1d(pixels, _BLUR, axis=2, mode="nearest")
    steps, less = (np.abs(np.diff(values, axis=2)).astype(np.float64) for values in (pixels, blurred))
    return 1 - np.maximum(0, steps - less).sum(axis=(1, 2)) / (steps.sum(axis=(1, 2)) + 1e-6)


def descriptors(images: np.ndarray) -> list[np.ndarray]:
    """Describe each image coarsely, after GIST (Oliva and Torralba, 2001).

    Args:
        images: (N, S, S) uint8, prepared.

    Returns:
        Three float32 arrays. (N, 16): the mean lightness of each of 4 x 4 cells, gray levels. (N, 18): the logarithm of
        the detail at each of three scales in each of six directions. (N, 288): the share of this detail in each cell,
        as a square root.
    """
    parts = [_described(batch) for batch in _batches(images)]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def _described(images: np.ndarray) -> tuple[np.ndarray, ...]:
    pixels = images.astype(np.float32)
    count, energies = len(images), []
    light = pixels.reshape(count, _CELLS, SIDE // _CELLS, _CELLS, SIDE // _CELLS).mean(axis=(2, 4)).reshape(count, -1)
    for _ in range(_SCALES):
        side = pixels.shape[1] // _CELLS
        across, down = pixels[:, :-1, 1:] - pixels[:, :-1, :-1], pixels[:, 1:, :-1] - pixels[:, :-1, :-1]
        for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
            energy = np.zeros_like(pixels)
            np.abs(np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down, out=energy[:, :-1, :-1])
            energies.append(energy.reshape(-1, _CELLS, side, _CELLS, side).mean(axis=(2, 4)).reshape(count, -1))
        pixels = pixels.reshape(count, pixels.shape[1] // 2, 2, -1, 2).mean(axis=(2, 4))
    cells = np.stack(energies, axis=1)  # (count, scales * directions, cells)
    total = cells.sum(axis=2)
    shares = np.sqrt(cells / (total[..., None] + 1e-3))
    return light, np.log(total / total.shape[1] + 1), shares.reshape(count, -1)


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield batches of (n, SIDE, SIDE) uint8."""
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        yield batch if batch.shape[1] == SIDE else np.stack([small(image) for image in batch])


def small(image: np.ndarray) -> np.ndarray:
    """Resize an image, (H, W) uint8, to `SIDE` pixels a side; one of that size is returned unchanged."""
    if image.shape == (SIDE, SIDE):
        return image
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))
