import numpy as np
import pytest
from farnear_service.dbscan import SphereDbscan
from farnear_service.dbscan.scan import _BLOCK, _distance, _scan


@pytest.mark.parametrize("count", [1, _BLOCK - 1, _BLOCK, _BLOCK + 1, 3 * _BLOCK - 5])
def test_a_scan_finds_the_points_within_eps_and_no_rows_out_of_use(count: int) -> None:
    random = np.random.default_rng(0)
    engine = SphereDbscan(dim=5, eps=1.1, min_samples=10**6)  # wide enough to find rows of zeros too
    engine.insert(range(count), random.normal(size=(count, 5)))
    gone = np.arange(1, count, 7)
    engine.delete(gone)
    g, V, distances = engine._tables, engine._vectors, engine._distances
    for p in np.flatnonzero(g.points["cell"][:count] >= 0)[:: max(1, count // 5)].astype(np.int32):
        near = g.lists["near"][: _scan(g, V, distances, p)].tolist()
        apart = 1 - (V[:, :count] * V[:, [p]]).sum(axis=0)
        assert near == [row for row in np.flatnonzero(apart <= 1.1) if g.points["key"][row] not in set(gone)]
        np.testing.assert_allclose(distances[:count], apart, atol=1e-15)


def test_a_distance_is_the_same_from_either_point_and_by_either_way() -> None:
    engine = SphereDbscan(dim=33, eps=1.0, min_samples=3)
    engine.insert(range(40), np.random.default_rng(0).normal(size=(40, 33)))
    g, V, distances = engine._tables, engine._vectors, engine._distances
    matrix = []
    for p in range(40):
        _scan(g, V, distances, np.int32(p))
        matrix.append(distances[:40].tolist())
    assert matrix == np.transpose(matrix).tolist()
    assert matrix == [[_distance(V, np.int32(p), np.int32(q)) for q in range(40)] for p in range(40)]
