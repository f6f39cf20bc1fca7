"""PlaneDbscan equals scikit-learn after every batch, points exactly at eps included."""

import numpy as np
import pytest
from farnear_service.dbscan import NOISE, PlaneDbscan
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from sklearn.cluster import DBSCAN

from tests.farnear_service.dbscan.judge import check
from tests.farnear_service.dbscan.machine import Batches


def lattice(step: float, columns: int, rows: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(st.integers(-columns, columns), st.integers(-rows, rows)).map(
        lambda at: (step * at[0], step * at[1])
    )


KINDS: dict[str, tuple[st.SearchStrategy[tuple[float, ...]], list[float]]] = {
    "lattice, exact in binary": (lattice(0.25, 7, 7), [0.25, 0.5, 1.0, 1.25]),
    "lattice of tenths, rounded": (lattice(0.1, 6, 6), [0.1, 0.2, 0.5, 0.1 * np.sqrt(2), 0.30000000000000004]),
    "on a line": (lattice(0.5, 30, 0), [0.5, 1.0, 2.0]),
    "one blob": (lattice(0.001, 9, 9), [1.0]),
    "far apart": (lattice(10.0, 9, 9), [1.0]),
    "anywhere": (st.tuples(st.floats(-4, 4), st.floats(-4, 4)), [0.7, 1.3]),
    "far from the origin": (lattice(0.25, 5, 5).map(lambda at: (at[0] + 1e6, at[1] - 3e6)), [0.5, 1.25]),
}


class PlaneBatches(Batches):
    @initialize(data=st.data(), kind=st.sampled_from(sorted(KINDS)), min_samples=st.integers(1, 6))
    def begin(self, data: st.DataObject, kind: str, min_samples: int) -> None:
        self.places, radii = KINDS[kind]
        self.eps, self.min_samples = data.draw(st.sampled_from(radii)), min_samples
        self.engine = PlaneDbscan(eps=self.eps, min_samples=min_samples)


PlaneBatches.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestPlaneBatches = PlaneBatches.TestCase


@pytest.mark.parametrize("min_samples", [1, 4, 13])
def test_a_whole_lattice_as_scikit_learn_has_it_by_default(min_samples: int) -> None:
    """Within eps 1 of an inner point of a lattice of step 0.5 are exactly 13 points, 4 of them at 1."""
    points = 0.5 * np.stack(np.meshgrid(np.arange(12), np.arange(9)), axis=-1).reshape(-1, 2)
    engine = PlaneDbscan(eps=1.0, min_samples=min_samples)
    engine.insert(range(len(points)), points)
    now = engine.snapshot()
    found = DBSCAN(eps=1.0, min_samples=min_samples).fit(points)
    np.testing.assert_array_equal(np.flatnonzero(now.core), found.core_sample_indices_)
    np.testing.assert_array_equal(now.labels, found.labels_)
    assert now.core.sum() == {1: 108, 4: 108, 13: 40}[min_samples]


def test_a_pair_of_which_scikit_learn_says_both() -> None:
    """The squared distance is the next float64 above eps * eps, yet its root rounds to eps.

    A node of its k-d tree scikit-learn compares by roots, points of a leaf by squares: so what it says of the pair
    depends on whether a third point, far away, makes the node larger. Here it is always the leaf's comparison.
    """
    eps, pair = 0.6101206319198421, [[0.0, 0.0], [0.5253543224757259, 0.31024187555895566]]
    squared = pair[1][0] ** 2 + pair[1][1] ** 2
    assert squared == np.nextafter(eps * eps, 1)
    assert np.sqrt(squared) == eps
    tree = DBSCAN(eps=eps, min_samples=2, algorithm="kd_tree")
    assert tree.fit(pair).labels_.tolist() == [0, 0]
    assert tree.fit([*pair, [50.0, 50.0]]).labels_.tolist() == [NOISE, NOISE, NOISE]
    engine = PlaneDbscan(eps=eps, min_samples=2)
    engine.insert([0, 1], pair)
    assert engine.snapshot().labels.tolist() == [NOISE, NOISE]
    engine.insert([2], [[50.0, 50.0]])
    assert engine.snapshot().labels.tolist() == [NOISE, NOISE, NOISE]


def test_points_of_one_cell_are_within_eps_even_in_its_corners() -> None:
    """Pairs in opposite corners of cells, out to the last ones. With min_samples 2 these are full, both points core."""
    engine = PlaneDbscan(eps=3.0, min_samples=2)
    side = engine._side
    firsts = np.array([0.0, 1, -1, 1000, -1000, 2**20, -(2**29), 2**29]) * side
    held = {}
    for number, first in enumerate(firsts.tolist()):
        held[2 * number] = (first, first)
        held[2 * number + 1] = (np.nextafter(first + side, -np.inf),) * 2
    engine.insert(list(held), list(held.values()))
    check(engine, held, 3.0, 2)
    assert len(engine.sizes) >= 6


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e9, 1e150])
def test_any_scale(scale: float) -> None:
    random = np.random.default_rng(0)
    points = np.round(random.random((80, 2)) * 8) / 2 * scale
    engine = PlaneDbscan(eps=scale, min_samples=4)
    engine.insert(range(80), points)
    held = dict(enumerate(points.tolist()))
    for key in random.permutation(80)[:40].tolist():
        engine.delete([key])
        del held[key]
        check(engine, held, scale, 4)


@pytest.mark.parametrize("eps", [0.0, -1.0, 1e-151, 1e151, float("inf"), float("nan")])
def test_eps_out_of_range(eps: float) -> None:
    with pytest.raises(ValueError, match=r"eps: is .*, and must be from 1e-150 to 1e150"):
        PlaneDbscan(eps=eps, min_samples=2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e10])
def test_coordinates_out_of_range(bad: float) -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=2)
    with pytest.raises(
        ValueError, match=r"coordinates must be numbers between -7.59\d*e\+08 and 7.59\d*e\+08 for this eps"
    ):
        engine.insert([1, 2], [[0.0, 0.0], [0.0, bad]])
    assert len(engine) == 0


def test_shape_of_positions() -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=2)
    with pytest.raises(ValueError, match=r"points: must be of shape \(N, 2\), and are of \(1, 3\)"):
        engine.insert([1], [[0.0, 0.0, 0.0]])


def test_a_crowd_in_one_place_and_one_beside_it() -> None:
    """Full cells, whose points nobody counts, fill and empty; the last ones are counted again."""
    places = [(0.0, 0.0)] * 30 + [(0.9, 0.0)] * 30 + [(0.45, 0.8)] * 3
    engine = PlaneDbscan(eps=1.0, min_samples=8)
    held: dict[int, tuple[float, ...]] = {}
    for key, place in enumerate(places):
        engine.insert([key], [place])
        held[key] = place
        check(engine, held, 1.0, 8)
    for key in np.random.default_rng(0).permutation(len(places)).tolist():
        engine.delete([key])
        del held[key]
        check(engine, held, 1.0, 8)
