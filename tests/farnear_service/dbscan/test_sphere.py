"""SphereDbscan equals scikit-learn's DBSCAN of metric "cosine" after every batch."""

import itertools

import numpy as np
import pytest
from farnear_service.dbscan import SphereDbscan
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from tests.farnear_service.dbscan.judge import check
from tests.farnear_service.dbscan.machine import Batches

# Its inner products are 0, 1/2 and 1 up to their sign, without rounding: distances can be exactly eps.
CELL_24 = [
    *(tuple(sign * float(i == j) for j in range(4)) for i in range(4) for sign in (1, -1)),
    *itertools.product((0.5, -0.5), repeat=4),
]

KINDS: dict[str, tuple[int, st.SearchStrategy[tuple[float, ...]], list[float]]] = {
    "24-cell": (4, st.sampled_from(CELL_24), [0.5, 1.0]),
    "24-cell, other lengths": (4, st.sampled_from([tuple(4 * x for x in v) for v in CELL_24]), [0.5]),
    "few directions": (
        3,
        st.tuples(*[st.integers(-2, 2)] * 3).filter(any).map(lambda v: tuple(map(float, v))),
        [0.013, 0.117, 0.31],
    ),
    "anywhere": (3, st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3), [0.05, 0.2]),
    "on a circle": (2, st.floats(0, 6).map(lambda angle: (np.cos(angle), np.sin(angle))), [0.003, 0.1]),
}


class SphereBatches(Batches):
    @initialize(data=st.data(), kind=st.sampled_from(sorted(KINDS)), min_samples=st.integers(1, 6))
    def begin(self, data: st.DataObject, kind: str, min_samples: int) -> None:
        dim, self.places, radii = KINDS[kind]
        self.eps, self.min_samples = data.draw(st.sampled_from(radii)), min_samples
        self.engine = SphereDbscan(dim=dim, eps=self.eps, min_samples=min_samples)


SphereBatches.TestCase.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
TestSphereBatches = SphereBatches.TestCase


def test_float32_vectors_in_clusters() -> None:
    random = np.random.default_rng(0)
    vectors = 3 * np.eye(16)[random.integers(0, 5, 400)] + random.normal(size=(400, 16)) * 0.5
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    engine = SphereDbscan(dim=16, eps=0.15, min_samples=5)
    engine.insert(range(400), vectors)
    held = dict(enumerate(vectors.astype(np.float64).tolist()))
    assert len(check(engine, held, 0.15, 5).labels) == 400
    assert len(engine.sizes) == 5
    for key in random.permutation(400)[:60].tolist():
        engine.delete([key])
        del held[key]
        check(engine, held, 0.15, 5)


def test_equal_vectors_are_within_the_smallest_eps() -> None:
    vector = np.random.default_rng(0).normal(size=300)
    engine = SphereDbscan(dim=300, eps=1e-9, min_samples=3)
    engine.insert([1, 2, 3], [vector, 7 * vector, vector / 3])
    assert dict(engine.sizes) == {0: 3}


def test_unit_vectors_stay_as_they_are() -> None:
    """So that what a snapshot held can be loaded without a change of the last bit."""
    engine = SphereDbscan(dim=16, eps=0.1, min_samples=3)
    engine.insert(range(50), np.random.default_rng(0).normal(size=(50, 16)))
    first = engine.snapshot()
    again = SphereDbscan(dim=16, eps=0.1, min_samples=3)
    again.load(first.keys, first.points, first)
    np.testing.assert_array_equal(again.snapshot().points, first.points)
    np.testing.assert_allclose(np.linalg.norm(first.points, axis=1), 1, atol=1e-15)


@pytest.mark.parametrize("bad", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_what_has_no_direction(bad: list[float]) -> None:
    engine = SphereDbscan(dim=2, eps=0.1, min_samples=3)
    with pytest.raises(ValueError, match="points: vectors must be numbers, and not 0 throughout"):
        engine.insert([1, 2], [[1.0, 0.0], bad])
    assert len(engine) == 0


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="dim: is 0, and must be at least 1"):
        SphereDbscan(dim=0, eps=0.1, min_samples=3)
    for eps in (0.0, 2.1, float("nan")):
        with pytest.raises(ValueError, match=r"eps: is .*, and must be from 1e-9"):
            SphereDbscan(dim=2, eps=eps, min_samples=3)
    with pytest.raises(ValueError, match=r"points: must be of shape \(N, 2\), and are of \(1, 3\)"):
        SphereDbscan(dim=2, eps=0.1, min_samples=3).insert([1], [[0.0, 0.0, 1.0]])
