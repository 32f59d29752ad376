"""Augmentation: random changes of the photos of a training batch, before they are pixelated.

What changes in a photo depends only on its id, the stream and the kind of change. So another kind that is switched on
leaves the others as they are. The changed photo is also the truth that a network learns.

Changes of the geometry (`GEOMETRY`) are put together into one map, so that a photo is resampled only once. The map is
moved so that the whole area lies within the photo; around it, missing surroundings are mirrored. Changes of gray levels
(`LEVELS`) follow in their order.
"""

import io
import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional as F

from depixel.base.settings import Settings, ordered
from depixel.model.pixelation import uniforms


def _range(least: float, most: float) -> AfterValidator:
    """A setting [least, most] with both ends between these limits; or null, which switches it off."""

    def within(value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not least <= ordered(value)[0] <= value[1] <= most:
            raise ValueError(f"both ends must be from {least:g} to {most:g}")
        return value

    return AfterValidator(within)


Span = tuple[float, float] | None


class AugmentSettings(Settings):
    """The section `augment` of params.yaml: ranges to draw from, uniformly; null switches a change off."""

    flip: bool = Field(True, description="mirror and transpose, all 8 ways")
    rotate: Annotated[Span, _range(-360, 360)] = Field(None, description="degrees, counterclockwise")
    zoom: Annotated[Span, _range(0.25, 4)] = Field(None, description="factor; above 1 enlarges")
    crop: Annotated[Span, _range(0.25, 1)] = Field(None, description="share of the side that is kept, anywhere")
    shift: Annotated[Span, _range(-64, 64)] = Field(None, description="pixels, right and down")
    blur: Annotated[Span, _range(0, 8)] = Field(None, description="standard deviation, pixels")
    gamma: Annotated[Span, _range(0.2, 5)] = Field(None, description="exponent; above 1 darkens")
    contrast: Annotated[Span, _range(0, 4)] = Field(None, description="factor, around the photo's mean")
    brightness: Annotated[Span, _range(-255, 255)] = Field(None, description="gray levels, added")
    noise: Annotated[Span, _range(0, 128)] = Field(None, description="standard deviation, gray levels")
    jpeg: Annotated[Span, _range(1, 100)] = Field(None, description="quality")


# Geometry: (N, 3) uniform numbers, the range and the side in pixels; returns (N, 3, 3), from the new to the old place.
# Places are in pixels from the center of the photo.


def _rotate(u: np.ndarray, span: tuple[float, float], side: int) -> np.ndarray:
    angles = np.radians(_between(u[:, 0], span)).tolist()
    return np.array([[[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]] for a in angles])


def _zoom(u: np.ndarray, span: tuple[float, float], side: int) -> np.ndarray:
    return _maps(1 / _between(u[:, 0], span), np.zeros((len(u), 2)))


def _crop(u: np.ndarray, span: tuple[float, float], side: int) -> np.ndarray:
    share = _between(u[:, 0], span)
    return _maps(share, (u[:, 1:] - 0.5) * (1 - share[:, None]) * side)


def _shift(u: np.ndarray, span: tuple[float, float], side: int) -> np.ndarray:
    return _maps(np.ones(len(u)), -_between(u[:, 1:], span))


def _between(u: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    return span[0] + u * (span[1] - span[0])


def _maps(scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    maps = np.zeros((len(scale), 3, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    maps[:, :2, 2] = offset
    maps[:, 2, 2] = 1
    return maps


GEOMETRY: dict[str, Callable[[np.ndarray, tuple[float, float], int], np.ndarray]] = {
    "rotate": _rotate,
    "zoom": _zoom,
    "crop": _crop,
    "shift": _shift,
}

# Gray levels: photos (N, S, S) float32, the strength of each (N, 1, 1), and a source of (N, count) uniform numbers

Random = Callable[[int], np.ndarray]


def _blur(images: Tensor, sigma: Tensor, random: Random) -> Tensor:
    reach = max(1, math.ceil(3 * sigma.max().item()))
    places = torch.arange(-reach, reach + 1, device=images.device)
    kernels = torch.exp2(-(places / sigma.clamp(min=0.05)).square() * (0.5 / math.log(2)))  # (N, 1, K)
    kernels = (kernels / kernels.sum(dim=2, keepdim=True))[:, :, None]  # (N, 1, 1, K)
    padded = F.pad(images[None], (reach, reach, reach, reach), mode="replicate")
    across = F.conv2d(padded, kernels, groups=len(images))
    return F.conv2d(across, kernels.mT, groups=len(images))[0]


def _gamma(images: Tensor, exponent: Tensor, random: Random) -> Tensor:
    return 255 * (images.clamp(0, 255) / 255) ** exponent


def _contrast(images: Tensor, factor: Tensor, random: Random) -> Tensor:
    mean = images.mean(dim=(1, 2), keepdim=True)
    return mean + (images - mean) * factor


def _brightness(images: Tensor, added: Tensor, random: Random) -> Tensor:
    return images + added


def _noise(images: Tensor, deviation: Tensor, random: Random) -> Tensor:
    """The sum of three uniform numbers is close to a normal one."""
    u = torch.from_numpy(random(3 * images[0].numel())).float().to(images.device)
    normal = 2 * (u.reshape(len(images), 3, *images.shape[1:]).sum(dim=1) - 1.5)
    return images + normal * deviation


def _jpeg(images: Tensor, quality: Tensor, random: Random) -> Tensor:
    compressed = []
    for image, q in zip(images.clamp(0, 255).round().byte().cpu().numpy(), quality.flatten().tolist(), strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=round(q))
        compressed.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(compressed)).to(images)


LEVELS: dict[str, Callable[[Tensor, Tensor, Random], Tensor]] = {
    "blur": _blur,
    "gamma": _gamma,
    "contrast": _contrast,
    "brightness": _brightness,
    "noise": _noise,
    "jpeg": _jpeg,
}


class Augmentation:
    """The changes of some settings but `flip`, which `samples.training_batch` makes itself.

    Args:
        settings: the ranges.
    """

    def __init__(self, settings: AugmentSettings):
        spans = settings.model_dump(exclude={"flip"}, exclude_none=True)
        self._geometry = {name: spans[name] for name in GEOMETRY if name in spans}
        self._levels = {name: spans[name] for name in LEVELS if name in spans}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._geometry or self._levels)

    def __call__(self, images: Tensor, areas: np.ndarray, ids: np.ndarray, stream: str) -> Tensor:
        """Change the photos of a batch.

        Args:
            images: (N, S, S) float32, 0..255, on any device.
            areas: (N, 5) integers x, y, width, height, block size: these lie within the photos afterwards, too.
            ids: (N,) uint64, the photos' ids.
            stream: a text that names seed and epoch.

        Returns:
            (N, S, S) float32 of integers 0..255.
        """
        if self._geometry:
            images = self._resampled(images, areas, ids, stream)
        for name, span in self._levels.items():

            def random(count: int, name: str = name) -> np.ndarray:
                return uniforms(ids, f"{name} pixels {stream}", count)

            drawn = _between(uniforms(ids, f"{name} {stream}", 1), span)
            strength = torch.from_numpy(drawn).to(images.device, torch.float32)[:, :, None]
            images = LEVELS[name](images, strength, random)
        return images.clamp(0, 255).round()

    def _resampled(self, images: Tensor, areas: np.ndarray, ids: np.ndarray, stream: str) -> Tensor:
        side = images.shape[-1]
        maps = np.broadcast_to(np.eye(3), (len(ids), 3, 3))
        for name, span in self._geometry.items():
            maps = GEOMETRY[name](uniforms(ids, f"{name} {stream}", 3), span, side) @ maps
        maps = moved_inside(maps, areas, side)
        maps[:, :2, 2] *= 2 / (side - 1)  # from pixels to PyTorch's units, in which the sides are at -1 and 1
        places = F.affine_grid(torch.from_numpy(maps[:, :2]).float(), [len(ids), 1, side, side], align_corners=True)
        places = places.to(images.device)
        return F.grid_sample(images[:, None], places, "bicubic", "reflection", align_corners=True)[:, 0]


def moved_inside(maps: np.ndarray, areas: np.ndarray, side: int) -> np.ndarray:
    """Change maps as little as needed, so that every pixel of each area comes from within its photo.

    Args:
        maps: (N, 3, 3), from new to old places, pixels from the center.
        areas: (N, 4 or more) integers x, y, width, height.
        side: of the photos, pixels.

    Returns:
        (N, 3, 3): moved; and enlarged where a turned area would be larger than the photo.
    """
    half = (side - 1) / 2
    first, last = areas[:, :2] - half, areas[:, :2] + areas[:, 2:4] - 1 - half  # centers of its outer pixels
    corners = np.stack([np.stack([x[:, 0], y[:, 1]], axis=1) for x in (first, last) for y in (first, last)], axis=2)
    maps = maps.copy()
    there = maps[:, :2, :2] @ corners
    extent = (there.max(axis=2) - there.min(axis=2)).max(axis=1)
    shrunk = np.minimum(1, 2 * half / np.maximum(extent, 1e-9))[:, None, None]
    maps[:, :2, :2] *= shrunk
    there = there * shrunk + maps[:, :2, 2:]
    maps[:, :2, 2] += np.maximum(-half - there.min(axis=2), 0) - np.maximum(there.max(axis=2) - half, 0)
    return maps
