import numpy as np
import pytest
from farnear_training.metrics.clustering import (
    FIT_STEPS,
    cluster_count,
    density_clusters,
    lay_out,
    normalized_mutual_information,
)
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.metrics import normalized_mutual_info_score


def two_groups() -> NDArray[np.float32]:
    """Unit vectors (60, 4): thirty near one axis, thirty near another."""
    vectors = np.eye(4)[np.repeat([0, 1], 30)] + np.random.default_rng(0).normal(scale=0.05, size=(60, 4))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def points() -> NDArray[np.float64]:
    """Four groups, two of which hang together by a thin bridge, and some noise; of shape (100, 2)."""
    generator = np.random.default_rng(0)
    groups = [generator.normal(centre, 1.5, (13, 2)) for centre in ((0, 0), (6, 0), (30, 30), (-30, 10))]
    return np.concatenate([*groups, generator.uniform(-60, 60, (48, 2))])


def test_groups_lie_apart_and_a_map_comes_out_the_same_again() -> None:
    vectors = two_groups()
    before, steps = vectors.copy(), list[int]()
    positions = lay_out(vectors, 10, 0, steps.append)
    assert positions.shape == (60, 2)
    assert sum(steps) == FIT_STEPS
    first, second = (set(part.tolist()) - {-1} for part in np.split(density_clusters(positions, 3, 10), 2))
    assert first
    assert second
    assert not first & second
    np.testing.assert_array_equal(lay_out(vectors, 10, 0), positions)
    assert np.array_equal(vectors, before)


@pytest.mark.parametrize("vectors", [np.full((12, 3), 3**-0.5), np.where(np.arange(12) % 2, 1.0, -1.0)[:, None]])
def test_vectors_without_two_directions_have_a_map(vectors: NDArray[np.float64]) -> None:
    assert np.isfinite(lay_out(vectors.astype(np.float32), 3, 0)).all()


def test_a_perplexity_that_too_few_images_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="perplexity: 4; allowed is 1 to 3"):
        lay_out(two_groups()[:10], 4, 0)


def test_the_count_is_that_of_dbscan_in_every_draw() -> None:
    positions, done = points(), list[int]()
    found = cluster_count(positions, 3, 10, draws=80, seed=5, progress=done.append)
    generator = np.random.default_rng(5)
    counts = []
    for _ in range(80):
        weights = 100 * generator.dirichlet(np.ones(100))
        counts.append(DBSCAN(eps=3, min_samples=10).fit(positions, sample_weight=weights).labels_.max() + 1)
    low, high = np.percentile(counts, [2.5, 97.5], method="nearest")
    assert low < high
    assert (found.value, found.low, found.high) == (density_clusters(positions, 3, 10).max() + 1, low, high)
    assert sum(done) == 80


def test_where_nothing_is_dense_there_is_no_cluster() -> None:
    far_apart = np.arange(20.0)[:, None] * [100, 0]
    assert (density_clusters(far_apart, 3, 10) == -1).all()
    found = cluster_count(far_apart, 3, 10, draws=10, seed=0)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_shared_information_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 200)
    clusters = np.where(generator.random(200) < 0.6, labels, generator.integers(-1, 6, 200))
    found = normalized_mutual_information(labels, clusters, draws=2000, seed=0)
    assert found.value == pytest.approx(normalized_mutual_info_score(labels, clusters))
    drawn = []
    for _ in range(1000):
        images = generator.integers(0, 200, 200)
        drawn.append(normalized_mutual_info_score(labels[images], clusters[images]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


@pytest.mark.parametrize("clusters", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]])
def test_shared_information_at_its_ends(clusters: list[int]) -> None:
    labels = np.array([0, 0, 1, 1])
    found = normalized_mutual_information(labels, np.array(clusters), draws=10, seed=0)
    assert found.value == pytest.approx(normalized_mutual_info_score(labels, clusters))
