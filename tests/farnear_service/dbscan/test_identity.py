"""Identities through merges, splits and refits. Random batches are judged in test_plane.py and test_sphere.py."""

from collections.abc import Iterable

import numpy as np
import pytest
from farnear_service.dbscan import NOISE, Change, ClusterEvent, PlaneDbscan, Snapshot, match_clusters
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.farnear_service.dbscan.judge import cores_of, events_between, names_after


class Beads:
    """Points one apart on a line, at whole places that are their keys too; neighbours of two are core, with eps 1."""

    def __init__(self, places: Iterable[int]) -> None:
        self.engine = PlaneDbscan(eps=1.0, min_samples=2)
        self.put(places)

    def put(self, places: Iterable[int], take: Iterable[int] = ()) -> tuple[ClusterEvent, ...]:
        here = list(places)
        return self.engine.update(here, np.stack([here, np.zeros(len(here))], axis=1), list(take))

    def clusters(self) -> dict[int, tuple[int, int]]:
        """First and last place of each cluster."""
        return {identity: (min(places), max(places)) for identity, places in cores_of(self.engine.snapshot()).items()}


def event(change: Change, cluster: int, sizes: tuple[int, int], parents: tuple[int, ...] = ()) -> ClusterEvent:
    return ClusterEvent(change=change, cluster=cluster, size_before=sizes[0], size=sizes[1], parents=parents)


def test_a_cluster_is_born_grows_shrinks_and_dissolves() -> None:
    beads = Beads([])
    assert beads.put([0]) == ()
    assert beads.put([1]) == (event(Change.BORN, 0, (0, 2)),)
    assert beads.put([2, 3]) == (event(Change.GROWN, 0, (2, 4)),)
    assert beads.put([4], take=[0]) == ()
    assert beads.put([], take=[1, 2]) == (event(Change.SHRUNK, 0, (4, 2)),)
    assert beads.put([], take=[3]) == (event(Change.DISSOLVED, 0, (2, 0)),)


def test_of_clusters_that_merge_the_largest_lives_on() -> None:
    beads = Beads([0, 1, 10, 11, 12, 20, 21])
    assert beads.put([*range(2, 10), *range(13, 20)]) == (event(Change.MERGED, 1, (3, 22), (1, 0, 2)),)
    assert beads.clusters() == {1: (0, 21)}


def test_of_equally_large_clusters_the_oldest_lives_on() -> None:
    beads = Beads([10, 11])
    beads.put([0, 1])
    assert beads.clusters() == {0: (10, 11), 1: (0, 1)}
    beads.put(range(2, 10))
    assert beads.clusters() == {0: (0, 11)}


def test_the_largest_part_of_a_cluster_lives_on() -> None:
    beads = Beads(range(12))
    assert beads.put([], take=[2, 9]) == (
        event(Change.SHRUNK, 0, (12, 6)),
        event(Change.SPLIT, 1, (0, 2), (0,)),
        event(Change.SPLIT, 2, (0, 2), (0,)),
    )
    assert beads.clusters() == {0: (3, 8), 1: (0, 1), 2: (10, 11)}


def test_of_equally_large_parts_that_of_the_smallest_key_lives_on() -> None:
    beads = Beads(range(5))
    beads.put([], take=[2])
    assert beads.clusters() == {0: (0, 1), 1: (3, 4)}


def test_an_identity_never_comes_back() -> None:
    beads = Beads([0, 1])
    for identity in range(1, 6):
        beads.put([], take=[0])
        assert beads.put([0]) == (event(Change.BORN, identity, (0, 2)),)


def test_a_batch_is_told_as_one_change() -> None:
    """That the cluster was in two parts before the last point came is nobody's business."""
    beads = Beads([0, 1, 2, 3, 4])
    assert beads.put([], take=[]) == ()
    assert beads.put([5, 6, 7], take=[0, 1, 2]) == ()
    assert beads.clusters() == {0: (3, 7)}


def test_a_point_that_takes_the_place_of_another_keeps_the_cluster() -> None:
    """New points come before old ones go: a replaced item does not break what it belongs to."""
    engine = PlaneDbscan(eps=1.0, min_samples=3)
    engine.insert([1, 2, 3], [(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)])
    for key in range(4, 9):
        assert engine.update([key], [(0.0, 0.0)], [key - 3]) == ()
    assert dict(engine.sizes) == {0: 3}


def test_a_cluster_whose_core_points_are_all_exchanged_is_another() -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=3)
    engine.insert([1, 2, 3], [(0.0, 0.0)] * 3)
    assert engine.update([4, 5, 6], [(0.0, 0.0)] * 3, [1, 2, 3]) == (
        event(Change.DISSOLVED, 0, (3, 0)),
        event(Change.BORN, 1, (0, 3)),
    )


def test_parts_that_change_clusters_in_one_batch() -> None:
    """The left cluster breaks, and its smaller part joins the right one: both live on, nothing is merged or split."""
    beads = Beads([*range(10), *range(12, 20)])
    events = beads.put([10, 11], take=[5])
    assert beads.clusters() == {1: (6, 19), 0: (0, 4)}
    assert events == (event(Change.SHRUNK, 0, (10, 5)), event(Change.GROWN, 1, (8, 14)))


def test_a_part_that_is_taken_up_while_another_keeps_the_identity() -> None:
    """The larger part joins a still larger cluster, and so the smaller one keeps the identity: that is no split."""
    beads = Beads([*range(10), *range(12, 32)])
    events = beads.put([10, 11], take=[3])
    assert beads.clusters() == {1: (4, 31), 0: (0, 2)}
    assert [told.change for told in events] == [Change.SHRUNK, Change.GROWN]


def snapshot(labels: dict[int, int], *, border: Iterable[int] = (), next_id: int = 100) -> Snapshot:
    keys = sorted(labels)
    return Snapshot(
        keys=np.array(keys, np.int64),
        points=np.zeros((len(keys), 2)),
        labels=np.array([labels[key] for key in keys], np.int64),
        core=np.array([labels[key] != NOISE and key not in set(border) for key in keys], bool),
        next_id=next_id,
        eps=1.0,
        cosine=False,
    )


def test_matching_by_largest_overlap() -> None:
    """Cluster 7 has most of 0, and 8 most of 1 but also a point of 0; 5 has nobody's."""
    before = snapshot({1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2, 9: NOISE}, next_id=3)
    after = snapshot({1: 7, 2: 7, 3: 8, 4: 8, 5: 8, 6: NOISE, 9: 5, 10: 5})
    ids, events = match_clusters(before, after)
    assert ids == {7: 0, 8: 1, 5: 3}
    assert events == (
        event(Change.SHRUNK, 0, (3, 2)),
        event(Change.GROWN, 1, (2, 3)),
        event(Change.DISSOLVED, 2, (1, 0)),
        event(Change.BORN, 3, (0, 2)),
    )


def test_matching_is_greedy() -> None:
    """The large cluster 0 keeps its identity, though 1 and 0 given to 6 and 5 would keep 4 + 4 points rather than 5."""
    before = snapshot(dict.fromkeys(range(9), 0) | dict.fromkeys(range(9, 13), 1))
    after = snapshot(dict.fromkeys(range(4), 5) | dict.fromkeys(range(4, 13), 6))
    ids, events = match_clusters(before, after)
    assert ids == {6: 0, 5: 100}
    assert events == (event(Change.MERGED, 0, (9, 9), (0, 1)), event(Change.SPLIT, 100, (0, 4), (0,)))


def test_border_points_decide_nothing() -> None:
    """Key 5 is core, 6 to 9 are border points before."""
    before = snapshot({5: 0, **dict.fromkeys(range(6, 10), 0)}, border=range(6, 10))
    after = snapshot({5: 0, **dict.fromkeys(range(6, 10), 1)})
    ids, events = match_clusters(before, after)
    assert ids == {0: 0, 1: 100}
    assert events == (event(Change.SHRUNK, 0, (5, 1)), event(Change.BORN, 100, (0, 4)))


@pytest.mark.parametrize("labels", [{}, {1: NOISE, 2: NOISE}])
def test_matching_with_no_clusters(labels: dict[int, int]) -> None:
    some = snapshot({1: 0, 2: 0}, next_id=1)
    nothing = snapshot(labels)
    assert match_clusters(nothing, nothing) == ({}, ())
    assert match_clusters(some, nothing) == ({}, (event(Change.DISSOLVED, 0, (2, 0)),))
    assert match_clusters(nothing, some) == ({0: 100}, (event(Change.BORN, 100, (0, 2)),))


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.integers(0, 30), st.integers(-1, 4)),
    st.dictionaries(st.integers(0, 30), st.integers(-1, 4)),
)
def test_matching_any_two_clusterings(before_labels: dict[int, int], after_labels: dict[int, int]) -> None:
    before, after = snapshot(before_labels), snapshot(after_labels)
    ids, events = match_clusters(before, after)
    expected = names_after(cores_of(before), cores_of(after).values(), 100)
    assert ids == {label: expected[cores] for label, cores in cores_of(after).items()}
    named = snapshot({key: ids.get(label, NOISE) for key, label in after_labels.items()})
    assert events == events_between(before, named)
