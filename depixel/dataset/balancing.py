"""Balanced training: photos of rare groups are drawn more often, or count more, so that all groups count the same."""

from collections.abc import Callable
from typing import Annotated

import numpy as np

from depixel.base.settings import one_of
from depixel.dataset import kinds
from depixel.dataset.samples import Photos
from depixel.model.pixelation import uniforms


def _contributors(photos: Photos) -> np.ndarray:
    return photos.contributors


def _kinds(photos: Photos) -> np.ndarray:
    """27 kinds: each third by brightness, contrast and detail."""
    measured = kinds.measures(photos.images, photos.rows)
    thirds = np.stack([kinds.thirds(values) for values in measured.T], axis=1)
    return thirds @ len(kinds.THIRDS) ** np.arange(thirds.shape[1])


BALANCES: dict[str, Callable[[Photos], np.ndarray] | None] = {
    "none": None,
    "contributor": _contributors,
    "kind": _kinds,
}
"""The values of `train.balance`: each names the group of each of M photos, (M,)."""

Name = Annotated[str, one_of(BALANCES)]


def weights(photos: Photos, name: str) -> np.ndarray | None:
    """(M,) float64: the weight of each photo, 1 on average, so that all groups weigh the same; None for "none"."""
    groups = BALANCES[name]
    if groups is None:
        return None
    _, group, sizes = np.unique(groups(photos), return_inverse=True, return_counts=True)
    return len(photos) / (len(sizes) * sizes[group])


def drawn(photos: Photos, weights: np.ndarray, stream: str) -> Photos:
    """As many photos as there are, each about as often as its weight says: rounded up or down, at random.

    Each repetition of a photo has another id, so that another area is drawn for it.

    Args:
        photos: M photos.
        weights: (M,), 1 on average.
        stream: a text that names purpose, seed and epoch.
    """
    order = photos.order(f"{stream} order")
    ends = np.cumsum(weights[order])
    start = uniforms(np.zeros(1, np.uint64), stream, 1)[0, 0]
    chosen = order[np.searchsorted(ends, np.arange(len(photos)) + start, side="right").clip(0, len(photos) - 1)]
    chosen.sort()
    repetition = np.arange(len(chosen)) - np.searchsorted(chosen, chosen)
    ids = photos.ids[chosen] + repetition.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return Photos(photos.images, photos.rows[chosen], ids, photos.contributors[chosen])
