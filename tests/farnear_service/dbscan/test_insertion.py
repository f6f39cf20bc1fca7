"""Where the rules for insertions of Ester et al. 1998, section 4.2, do not say what DBSCAN does."""

from farnear_service.dbscan import Change

from tests.farnear_service.dbscan.paper import Figure


def test_gap_a_point_without_seeds_can_be_a_border_point() -> None:
    """Case "noise": UpdSeed_Ins is empty, so p is noise.

    But UpdSeed_Ins is empty whenever no point becomes core, and then p can still be within eps of a point that was
    core before: p is a border point of its cluster.
    """
    figure = Figure([0, 1, 2, 3], eps=2, min_samples=4)
    cores = figure.cores()
    (event,) = figure.insert(2 + 2j)
    assert figure.cores() == cores == {1, 2}
    assert figure.seeds(figure.cores() - cores) == set()
    assert figure.clusters() == {0: [0, 1, 2, 2 + 2j, 3]}
    assert (event.change, event.size_before, event.size) == (Change.GROWN, 4, 5)


def test_gap_one_point_can_found_two_clusters() -> None:
    """Case "creation": the seeds were in no cluster, so one new cluster holds them.

    That supposes that p connects them. But p may make points core on either side and be none itself: then each side is
    a cluster of its own.
    """
    figure = Figure([-4, -3, -2, 2, 3, 4], eps=2, min_samples=4)
    assert figure.clusters() == {}
    events = figure.insert(0)
    assert figure.cores() == figure.seeds({-2, 2}) == {-2, 2}
    assert figure.clusters() == {0: [-4, -3, -2, 0], 1: [2, 3, 4]}  # as near to both, p is with the smaller key
    assert [event.change for event in events] == [Change.BORN, Change.BORN]


def test_gap_seeds_of_two_clusters_need_not_merge() -> None:
    """Case "merge": the seeds were of several clusters, so these and p become one.

    As before, p may make points core in both and be none itself: each cluster then absorbs what is new around it.
    """
    figure = Figure([-6, -5, -4, -3, -2, 2, 3, 4, 5, 6], eps=2, min_samples=4)
    assert figure.clusters() == {0: [-6, -5, -4, -3, -2], 1: [2, 3, 4, 5, 6]}
    cores = figure.cores()
    events = figure.insert(0)
    gained = figure.cores() - cores
    assert gained == {-2, 2}
    assert figure.seeds(gained) == {-4, -3, -2, 2, 3, 4}
    assert figure.clusters() == {0: [-6, -5, -4, -3, -2, 0], 1: [2, 3, 4, 5, 6]}
    assert [(event.change, event.cluster) for event in events] == [(Change.GROWN, 0)]


def test_gap_creation_beside_absorption() -> None:
    """The cases exclude one another: seeds of one cluster mean absorption.

    Here some seeds are of one cluster and others of none, and p is no core point: the cluster absorbs p, and another
    one is founded on the other side.
    """
    figure = Figure([-6, -5, -4, -3, -2, 2, 3, 4], eps=2, min_samples=4)
    assert figure.clusters() == {0: [-6, -5, -4, -3, -2]}
    cores = figure.cores()
    events = figure.insert(0)
    assert figure.seeds(figure.cores() - cores) == {-4, -3, -2, 2}
    assert figure.clusters() == {0: [-6, -5, -4, -3, -2, 0], 1: [2, 3, 4]}
    assert [event.change for event in events] == [Change.GROWN, Change.BORN]


def test_absorption_and_merge_as_the_paper_has_them() -> None:
    figure = Figure([0, 1, 2, 10, 11, 12, 13], eps=1, min_samples=3)
    assert figure.clusters() == {0: [0, 1, 2], 1: [10, 11, 12, 13]}
    for place in (3, 4, 5, 6, 7):
        assert [event.change for event in figure.insert(place)] == [Change.GROWN]
    (event,) = figure.insert(8)
    assert (event.change, event.cluster, event.size_before, event.size) == (Change.GROWN, 0, 8, 9)
    (event,) = figure.insert(9)
    assert (event.change, event.cluster, event.parents) == (Change.MERGED, 0, (0, 1))
    assert (event.size_before, event.size) == (9, 14)
