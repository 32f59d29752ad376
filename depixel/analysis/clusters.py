"""Clusters of photos that look alike, coarsely."""

import numpy as np
from threadpoolctl import threadpool_limits

from depixel.analysis import measures
from depixel.analysis.photo_table import SEED

_COMPONENTS = 24
_CHUNK = 10_000  # images described at once where the components are known, which bounds memory


def described(images: np.ndarray, some: np.ndarray | None = None) -> np.ndarray:
    """Describe images by points; images that look alike, coarsely, have points near each other.

    The coordinates are the first principal components of the three `measures.descriptors`, each with the same weight.

    Args:
        images: (N, S, S) uint8, N > 0.
        some: rows of the images from which the components are learned; None: all.

    Returns:
        (N, C) float32, C at most `_COMPONENTS`.
    """
    if len(images) < 2:
        return np.zeros((len(images), 1), np.float32)
    from sklearn.decomposition import PCA  # takes a second to load, and some importers of this module never need it

    with threadpool_limits(1):
        parts = measures.descriptors(images if some is None else images[some])
        means = [part.mean(axis=0) for part in parts]
        centred = [part - mean for part, mean in zip(parts, means, strict=True)]
        scales = [np.sqrt(part.var(axis=0).sum() + 1e-9) for part in centred]
        points = np.concatenate([part / scale for part, scale in zip(centred, scales, strict=True)], axis=1)
        components = PCA(min(_COMPONENTS, *points.shape), svd_solver="covariance_eigh")
        fitted = components.fit_transform(points)
        if len(points) == len(images):
            return fitted
        del parts, centred, points
        found = []
        for start in range(0, len(images), _CHUNK):
            chunk = zip(measures.descriptors(images[start : start + _CHUNK]), means, scales, strict=True)
            points = np.concatenate([(part - mean) / scale for part, mean, scale in chunk], axis=1)
            found.append(components.transform(points))
        return np.concatenate(found)


def clusters(points: np.ndarray, count: int, some: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Group similar photos into clusters, by k-means.

    Args:
        points: (N, C) float32, as `described` returns them.
        count: number of clusters; N if there are fewer photos.
        some: rows of the points from which the centres are learned; None: all.

    Returns:
        (N,) int: the cluster of each photo; 0 is the largest cluster. (N,) float: the photo's distance from the
        cluster's centre.
    """
    from sklearn.cluster import KMeans  # as above

    learned = points if some is None else points[some]
    with threadpool_limits(1):
        fitted = KMeans(min(count, len(learned)), n_init=4, random_state=SEED).fit(learned)
        labels = fitted.labels_ if len(learned) == len(points) else fitted.predict(points)
    order = np.argsort(-np.bincount(labels, minlength=fitted.n_clusters), kind="stable")
    number = np.argsort(order)[labels]
    return number, np.linalg.norm(points - fitted.cluster_centers_[labels], axis=1)


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
