"""The labels of a view are those of scikit-learn's DBSCAN, and of the definition, on the same map."""

import faiss
import numpy as np
import pytest
from farnear_service.clusters import FittedMap, MapSettings, _ExactNeighbours, fit_map, view_of
from sklearn.cluster import DBSCAN

NOISE = -1


def plain_dbscan(points: np.ndarray, eps: float, min_samples: int) -> np.ndarray:
    """Labels by the definition: connected core points, then each border point to the cluster that reached it first."""
    close = [np.flatnonzero(np.hypot(*(points - point).T) <= eps) for point in points]
    core = [len(members) >= min_samples for members in close]
    labels = np.full(len(points), NOISE)
    cluster = 0
    for start in range(len(points)):
        if not core[start] or labels[start] != NOISE:
            continue
        frontier = [start]
        labels[start] = cluster
        while frontier:
            place = frontier.pop()
            for member in close[place]:
                if labels[member] == NOISE:
                    labels[member] = cluster
                    if core[member]:
                        frontier.append(member)
        cluster += 1
    return labels


@pytest.mark.parametrize(("eps", "min_samples"), [(3.0, 10), (1.5, 5), (0.5, 2), (10.0, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_and_core_points(eps: float, min_samples: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(300, 2)) * 3 + random.choice([-12, 0, 12], (300, 2))
    points[::10] = np.round(points[::10])  # some exactly at the radius of others
    vectors = random.normal(size=(300, 4))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    landmarks = FittedMap(
        version=1,
        perplexity=10.0,
        item_count=300,
        newest_key=299,
        keys=np.arange(300),
        vectors=vectors,
        positions=points,
    )
    view = view_of(landmarks, landmarks.keys, vectors, MapSettings(eps=eps, min_samples=min_samples))
    judge = DBSCAN(eps=eps, min_samples=min_samples).fit(points)
    np.testing.assert_array_equal(view.labels, judge.labels_)
    np.testing.assert_array_equal(np.flatnonzero(view.core), judge.core_sample_indices_)
    np.testing.assert_array_equal(view.labels, plain_dbscan(points, eps, min_samples))


def test_on_a_fitted_map_with_placed_items() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(90, 6)) + 4 * np.eye(6)[random.integers(0, 3, 90)]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    settings = MapSettings(perplexity=8, min_samples=5)
    fitted = fit_map(np.arange(60), vectors[:60], settings, 1)
    view = view_of(fitted, np.arange(90), vectors, settings)
    points = np.concatenate([fitted.positions, fitted.place(vectors[60:])])
    judge = DBSCAN(eps=3.0, min_samples=5).fit(points)
    np.testing.assert_array_equal(view.labels, judge.labels_)
    np.testing.assert_array_equal(view.labels, plain_dbscan(points, 3.0, 5))
    assert view.cluster_count == judge.labels_.max() + 1


@pytest.mark.parametrize("threshold", [1, 10**9], ids=["matrix product", "one by one"])
@pytest.mark.parametrize("copies", [1, 60], ids=["apart", "equal in groups"])
def test_neighbours_equal_plain_distances_however_faiss_scores(threshold: int, copies: int) -> None:
    made = np.random.default_rng(0).normal(size=(1200 // copies, 16)).repeat(copies, axis=0)
    data = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    queries = data[::37]
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = threshold
    try:
        rows, distances = _ExactNeighbours(data, k=90, metric="euclidean").query(queries, 25)
    finally:
        faiss.cvar.distance_compute_blas_threshold = before
    for query, found, apart in zip(queries, rows, distances, strict=True):
        plain = ((data.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
        expected = sorted(range(len(data)), key=lambda row: (plain[row], row))[:25]
        assert found.tolist() == expected
        np.testing.assert_allclose(apart, np.sqrt(plain[expected]), atol=1e-12)
