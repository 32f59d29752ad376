"""Photos that look alike are in one cluster."""

import numpy as np

from depixel.analysis import clusters


def kinds_of_pictures(count: int = 20) -> np.ndarray:
    """Three kinds of pictures, one after the other: dark dots, bright bands, noise."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64]
    found = []
    for kind in range(3):
        for _ in range(count):
            a, b = random.uniform(20, 44, 2)
            dots = 30 + 150 * (np.hypot(x - a, y - b) < 10)
            bands = 200 + 50 * np.sin(y / random.uniform(3, 4) + a)
            noise = random.normal(120, 40, (64, 64))
            picture = (dots, bands, noise)[kind]
            found.append((picture + random.normal(0, 2, (64, 64))).clip(0, 255))
    return np.array(found).astype(np.uint8)


def test_similar_photos_are_in_one_cluster_and_the_largest_is_the_first():
    images = kinds_of_pictures()[:-5]  # 20, 20, 15
    cluster, distance = clusters.clusters(clusters.described(images), 3)
    assert np.bincount(cluster).tolist() == [20, 20, 15]
    assert all(len(set(cluster[start : start + 15])) == 1 for start in (0, 20, 40))
    assert (distance > 0).all()
    again = clusters.clusters(clusters.described(images), 3)
    assert (again[0] == cluster).all() and (again[1] == distance).all()


def test_clusters_that_are_learned_from_some_photos_hold_for_all(monkeypatch):
    images, some = kinds_of_pictures(), np.arange(0, 60, 2)
    monkeypatch.setattr(clusters, "_CHUNK", 7)
    points = clusters.described(images, some)
    assert np.allclose(points[some], clusters.described(images[some]), atol=1e-4)
    cluster, distance = clusters.clusters(points, 3, some)
    assert all(len(set(cluster[start : start + 20])) == 1 for start in (0, 20, 40)) and len(set(cluster)) == 3
    assert (distance > 0).all()


def test_more_clusters_than_photos():
    assert sorted(clusters.clusters(clusters.described(kinds_of_pictures(1)), 12)[0]) == [0, 1, 2]
    assert clusters.clusters(clusters.described(kinds_of_pictures(1)[:1]), 12)[0].tolist() == [0]


def test_typical_photos_are_the_nearer_half():
    distances = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    assert clusters.typical(distances, np.array([0, 1, 2, 3, 4]), 3).tolist() == [1, 3, 4]
    assert clusters.typical(distances, np.array([], int), 3).tolist() == []
