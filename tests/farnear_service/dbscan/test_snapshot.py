import numpy as np
import pytest
from farnear_service.dbscan import NOISE, PlaneDbscan, SphereDbscan

# Two clusters of three and a point alone.
PLACES = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (10.0, 0.0), (11.0, 0.0), (10.0, 1.0), (5.0, 5.0)]
KEYS = [31, 30, 42, 7, -5, 12, 2**60]


@pytest.fixture
def engine() -> PlaneDbscan:
    made = PlaneDbscan(eps=1.5, min_samples=3)
    made.insert(KEYS, PLACES)
    return made


def test_points_come_by_ascending_key(engine: PlaneDbscan) -> None:
    now = engine.snapshot()
    assert now.keys.tolist() == [-5, 7, 12, 30, 31, 42, 2**60]
    assert now.labels.tolist() == [0, 0, 0, 1, 1, 1, NOISE]  # the cluster of the smallest key is the first
    assert now.core.tolist() == [True] * 6 + [False]
    assert [tuple(place) for place in now.points.tolist()] == [PLACES[KEYS.index(key)] for key in now.keys]
    assert (now.next_id, now.eps, now.cosine) == (2, 1.5, False)
    assert [array.dtype for array in (now.keys, now.points, now.labels, now.core)] == [int, float, int, bool]


def test_the_cluster_of_a_key(engine: PlaneDbscan) -> None:
    now = engine.snapshot()
    assert [now.of(key) for key in (-5, 42, 2**60, 6, 2**61, -9)] == [0, 1, NOISE, None, None, None]
    assert PlaneDbscan(eps=1.5, min_samples=3).snapshot().of(1) is None


def test_a_snapshot_stays_as_it_was(engine: PlaneDbscan) -> None:
    held = engine.snapshot()
    copies = [array.copy() for array in (held.keys, held.points, held.labels, held.core)]
    engine.update([1, 2, 3], [(5.0, 5.0), (0.5, 0.5), (7.0, 7.0)], [31, 7])
    for array, copy in zip((held.keys, held.points, held.labels, held.core), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert engine.snapshot().keys.tolist() == [-5, 1, 2, 3, 12, 30, 42, 2**60]


def test_an_unseen_point_belongs_to_the_nearest_core_point_within_eps(engine: PlaneDbscan) -> None:
    now = engine.snapshot()
    assert now.assign((0.0, -1.5)) == (1, 1.5)
    assert now.assign([0.0, -1.625]) == (NOISE, 1.625)
    assert now.assign(np.array([12.0, 0.0])) == (0, 1.0)
    assert now.assign((13.0, 4.0)) == (NOISE, np.sqrt(18))
    assert len(engine) == 7


def test_of_equally_near_core_points_the_one_of_the_smaller_key_takes_an_unseen_point(engine: PlaneDbscan) -> None:
    """As a border point would be taken."""
    wide = PlaneDbscan(eps=1.0, min_samples=3)
    wide.insert([1, 2, 3], [(1.0, 0.0), (1.5, 0.0), (2.0, 0.0)])
    wide.insert([4, 5, 0], [(-1.0, 0.0), (-1.5, 0.0), (-2.0, 0.0)])
    assert wide.snapshot().assign((0.0, 0.0)) == (0, 1.0)
    wide.insert([9], [(0.0, 0.0)])
    assert wide.snapshot().of(9) == 0


def test_where_there_is_no_core_point_nothing_is_assigned() -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=3)
    assert engine.snapshot().assign((0.0, 0.0)) == (NOISE, float("inf"))
    engine.insert([1], [(0.0, 0.0)])
    assert engine.snapshot().assign((0.0, 0.0)) == (NOISE, float("inf"))


def test_what_is_no_point_is_not_assigned(engine: PlaneDbscan) -> None:
    sphere = SphereDbscan(dim=2, eps=0.5, min_samples=2)
    for now, bad in [
        (engine.snapshot(), np.array([1.0, 2.0, 3.0])),
        (engine.snapshot(), np.array([np.nan, 0.0])),
        (engine.snapshot(), np.array([[0.0, 0.0]])),
        (sphere.snapshot(), np.array([0.0, 0.0])),
    ]:
        with pytest.raises(ValueError, match=r"point: is .* and not of the space"):
            now.assign(bad)


def test_an_unseen_vector_counts_by_its_direction() -> None:
    engine = SphereDbscan(dim=4, eps=0.5, min_samples=2)
    engine.insert([1, 2], [[1, 0, 0, 0], [1, 0, 0, 0]])
    now = engine.snapshot()
    assert now.cosine
    assert now.assign([7.0, 7.0, 7.0, 7.0]) == (0, 0.5)
    assert now.assign([0.0, 3.0, 0.0, 0.0]) == (NOISE, 1.0)
    assert now.assign([-2.0, 0.0, 0.0, 0.0]) == (NOISE, 2.0)


def test_a_cluster_is_represented_by_a_core_point(engine: PlaneDbscan) -> None:
    now = engine.snapshot()
    assert now.representatives({}, engine.sizes) == {0: -5, 1: 30}
    assert now.representatives({0: 12, 1: 42}, engine.sizes) == {0: 12, 1: 42}, "as before while they hold"
    # one is of the other cluster, one is not there, one cluster is none now
    assert now.representatives({0: 42, 1: 99, 7: 7}, engine.sizes) == {0: -5, 1: 30}
    assert now.representatives({0: 2**60}, engine.sizes) == {0: -5, 1: 30}, "noise represents nothing"
    assert PlaneDbscan(eps=1.5, min_samples=3).snapshot().representatives({0: 1}, ()) == {}


def test_a_border_point_represents_nothing() -> None:
    made = PlaneDbscan(eps=1.0, min_samples=3)
    made.insert([1, 2, 3], [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)])  # the one in the middle is core
    assert made.snapshot().representatives({0: 1}, made.sizes) == {0: 2}
