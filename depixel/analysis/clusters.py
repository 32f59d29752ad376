"""Clusters of photos that look alike, coarsely."""

import numpy as np
from threadpoolctl import threadpool_limits

from depixel.analysis import measures
from depixel.analysis.photo_table import SEED

_COMPONENTS = 24


def described(images: np.ndarray) -> np.ndarray:
    """Describe images by points; images that look alike, coarsely, have points near each other.

    The coordinates are the first principal components of the three `measures.descriptors`, each with the same weight.

    Args:
        images: (N, S, S) uint8, N > 0.

    Returns:
        (N, C) float32, C at most `_COMPONENTS`.
    """
    if len(images) < 2:
        return np.zeros((len(images), 1), np.float32)
    from sklearn.decomposition import PCA  # takes a second to load, and some importers of this module never need it

    with threadpool_limits(1):
        parts = [part - part.mean(axis=0) for part in measures.descriptors(images)]
        points = np.concatenate([part / np.sqrt(part.var(axis=0).sum() + 1e-9) for part in parts], axis=1)
        return PCA(min(_COMPONENTS, *points.shape), svd_solver="covariance_eigh").fit_transform(points)


def clusters(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Group similar photos into clusters, by k-means.

    Args:
        points: (N, C) float32, as `described` returns them.
        count: number of clusters; N if there are fewer photos.

    Returns:
        (N,) int: the cluster of each photo; 0 is the largest cluster. (N,) float: the photo's distance from the
        cluster's centre.
    """
    from sklearn.cluster import KMeans  # as above

    with threadpool_limits(1):
        fitted = KMeans(min(count, len(points)), n_init=4, random_state=SEED).fit(points)
    order = np.argsort(-np.bincount(fitted.labels_), kind="stable")
    number = np.argsort(order)[fitted.labels_]
    return number, np.linalg.norm(points - fitted.cluster_centers_[fitted.labels_], axis=1)


def typical(distances: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Choose typical photos of a cluster: the half nearest to its centre, evenly spaced by rank.

    Args:
        distances: (N,) float, the distance of each photo from the centre of its cluster.
        rows: (n,) int, the rows of the cluster's photos.
        count: maximum number of photos to choose.

    Returns:
        The rows of the chosen photos, the nearest to the centre first.
    """
    nearest = rows[np.argsort(distances[rows], kind="stable")]
    return nearest[np.unique(np.linspace(0, (len(nearest) - 1) / 2, count).astype(int))] if len(rows) else rows
