"""The similarity of two pictures, where one may be turned, mirrored, or a crop of the other.

It is the highest correlation of one picture with a crop of the other, over a grid of crops. A band-pass filter first
removes compression noise (finer) and lighting (coarser).
"""

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage

from depixel.photos.hashes import turned

SIDE = 64
"""The side of the pictures that are compared, in pixels."""

BAND = (1.0, 4.0)
"""The Gaussian sigmas of the band-pass filter, in pixels of a picture of `SIDE` pixels."""

GRID = 32
"""The number of points along each axis of a crop that are compared."""

SCALES = (1.0, 0.975, 0.95, 0.925, 0.9)
"""The sides of the crops, as shares of the picture's side. Their offsets are 0.025 apart."""

_TINY = np.float32(1e-6)  # so that a flat picture has similarity 0


def likeness(images: np.ndarray, first: np.ndarray, second: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """The highest correlation of each pair of pictures over crops of either: (C,) float64, 1 for the same pixels.

    Args:
        images: (N, S, S) uint8, prepared images.
        first, second: (C,) int, the rows of each pair.
        turns: (C,) int, the orientation of the second one of each pair, see `hashes.turned`.
    """
    rows, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    bands = np.stack([_band(images[row]) for row in rows])
    a = bands[places[: len(first)]]
    b = np.stack([turned(bands[place], int(turn)) for place, turn in zip(places[len(first) :], turns, strict=True)])
    return np.maximum(_best_cut(a, b), _best_cut(b, a)).astype(np.float64)


def _band(image: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) float32: the image after the band-pass filter `BAND`."""
    if len(image) != SIDE:
        image = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))
    pixels = image - np.mean(image, dtype=np.float32)  # a flat picture is exactly 0
    fine, coarse = (blur @ pixels @ blur.T for blur in _blurs())
    return fine - coarse


def _best_cut(wholes: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(C,) float32: the highest correlation of each whole `shown` with a crop of its whole; both (C, SIDE, SIDE).

    A crop is R_k W R_l', where W is the whole and R_k, R_l are two of K samplers. With B_k = R_k W, the dot products
    with the other picture are sums over B_k. The squares need only two diagonals of R_l' R_l, because each row of R_l
    has two neighboring entries. So no crop is ever computed.
    """
    samplers, sums, diagonal, beside = _samplers()
    count, kinds = len(wholes), len(samplers)
    other = samplers[0] @ shown @ samplers[0].T  # (C, GRID, GRID)
    other -= other.mean(axis=(1, 2), keepdims=True)
    half = samplers.reshape(kinds * GRID, SIDE) @ wholes
    half = half.reshape(count, kinds, GRID, SIDE)  # B_k
    weighted = other.swapaxes(1, 2)[:, None] @ half  # (C, K, GRID, SIDE)
    products = (weighted.reshape(count * kinds, -1) @ samplers.reshape(kinds, -1).T).reshape(count, kinds, kinds)
    means = half.sum(axis=2) @ sums.T / GRID**2
    squares = np.einsum("ckis,ckis->cks", half, half) @ diagonal.T
    squares += 2 * np.einsum("ckis,ckis->cks", half[..., 1:], half[..., :-1]) @ beside.T
    lengths = np.sqrt(np.maximum(squares - (GRID * means) ** 2, 0))
    length = np.sqrt(np.einsum("cij,cij->c", other, other))
    return np.asarray((products / (lengths * length[:, None, None] + _TINY)).max(axis=(1, 2)))


@lru_cache(maxsize=1)
def _blurs() -> tuple[np.ndarray, ...]:
    """Two (SIDE, SIDE) float32: SciPy's Gaussian blur of `BAND` along one axis, as matrices."""
    one = np.eye(SIDE, dtype=np.float64)
    return tuple(ndimage.gaussian_filter1d(one, sigma, axis=0).astype(np.float32) for sigma in BAND)


@lru_cache(maxsize=1)
def _samplers() -> tuple[np.ndarray, ...]:
    """The samplers R of the crops along one axis and what `_best_cut` needs of them, all float32.

    Returns:
        (K, GRID, SIDE): each matrix samples a crop of SIDE pixels at GRID points by linear interpolation; the first
        one samples the whole axis. (K, SIDE): the sum of its rows. (K, SIDE) and (K, SIDE - 1): the main diagonal of
        R' R and the diagonal beside it.
    """
    found = []
    for scale in SCALES:
        steps = round((1 - scale) / 0.025)
        for offset in np.linspace(0, 1, steps + 1) if steps else [0.0]:
            side = scale * SIDE
            places = (np.arange(GRID) + 0.5) * side / GRID + offset * (SIDE - side) - 0.5
            found.append(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(SIDE))))
    samplers = np.array(found, np.float32)
    diagonal = (samplers**2).sum(axis=1)
    beside = (samplers[..., 1:] * samplers[..., :-1]).sum(axis=1)
    return samplers, samplers.sum(axis=1), diagonal, beside
