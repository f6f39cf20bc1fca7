"""Where the rules for deletions of Ester et al. 1998, section 4.3, do not say what DBSCAN does: seven gaps."""

from farnear_service.dbscan import Change

from tests.farnear_service.dbscan.paper import Figure


def test_gap_1_the_deleted_point_counts_among_the_lost_core_points() -> None:
    """UpdSeed_Del: core points around those that are core in D and not core in D without p.

    Read as of points of D without p, it misses p itself. Here nobody else loses core status, so there is no seed and
    nothing to do; but p was what held its cluster together.
    """
    figure = Figure([-4, -3, -2, 0, 2, 3, 4], eps=2, min_samples=3)
    assert figure.clusters() == {0: [-4, -3, -2, 0, 2, 3, 4]}
    cores = figure.cores()
    events = figure.delete(0)
    lost = cores - figure.cores()
    assert lost == {0}
    assert figure.seeds(lost - {0}) == set()
    assert figure.clusters() == {0: [-4, -3, -2], 1: [2, 3, 4]}
    assert [(event.change, event.parents) for event in events] == [(Change.SHRUNK, ()), (Change.SPLIT, (0,))]


def test_gap_2_one_deletion_can_remove_several_clusters() -> None:
    """Case "removal": without seeds the cluster C, which p or points around it were in, is removed.

    A border point counts for core points of other clusters too: without it two clusters have no core point left.
    """
    figure = Figure([-2, -1.5, -1, 0, 1, 1.5, 2], eps=1, min_samples=4)
    assert figure.clusters() == {0: [-2, -1.5, -1, 0], 1: [1, 1.5, 2]}
    cores = figure.cores()
    events = figure.delete(0)
    assert figure.seeds(cores - figure.cores()) == set()
    assert figure.clusters() == {}
    assert [(event.change, event.cluster) for event in events] == [(Change.DISSOLVED, 0), (Change.DISSOLVED, 1)]


def test_gap_3_one_cluster_can_be_removed_beside_the_reduction_of_another() -> None:
    """Case "reduction": the seeds reach each other directly, so only some objects around p become noise.

    All seeds here are of the right cluster, which is reduced. The left one has lost its only core point, and no seed
    tells of it.
    """
    figure = Figure([-2, -1.5, -1, 0, 1, 1.5, 2, 2.5], eps=1, min_samples=4)
    assert figure.clusters() == {0: [-2, -1.5, -1, 0], 1: [1, 1.5, 2, 2.5]}
    cores = figure.cores()
    events = figure.delete(0)
    lost = cores - figure.cores()
    assert lost == {-1, 1}
    assert figure.seeds(lost) == {1.5, 2}
    assert figure.clusters() == {1: [1, 1.5, 2, 2.5]}
    assert [(event.change, event.cluster) for event in events] == [(Change.DISSOLVED, 0)]


def test_gap_4_what_is_left_of_a_removed_cluster_can_belong_to_another() -> None:
    """Case "removal": the other objects of the cluster change to noise.

    A border point that was within eps of core points of two clusters is a border point of the other one now.
    """
    figure = Figure([-1, -0.5, 0, 0.75, 1.75, 2.25, 2.75], eps=1, min_samples=4)
    assert figure.clusters() == {0: [-1, -0.5, 0, 0.75], 1: [1.75, 2.25, 2.75]}
    cores = figure.cores()
    events = figure.delete(0)
    assert figure.seeds(cores - figure.cores()) == set()
    assert figure.clusters() == {1: [0.75, 1.75, 2.25, 2.75]}
    assert [(event.change, event.size) for event in events] == [(Change.DISSOLVED, 0), (Change.GROWN, 4)]


def test_gap_5_noise_can_arise_farther_away_than_eps() -> None:
    """Cases "removal" and "reduction": objects within eps of p may change to noise.

    So may the border points of an object within eps of p that is core no more: up to 2 eps from p.
    """
    figure = Figure([0, 1, 2, 2.5, 3, 3.5], eps=1, min_samples=3)
    assert figure.clusters() == {0: [0, 1, 2, 2.5, 3, 3.5]}
    figure.delete(2)
    assert 0 not in figure.around(2)
    assert figure.clusters() == {0: [2.5, 3, 3.5]}


def test_gap_6_one_deletion_can_split_two_clusters() -> None:
    """Case "potential split": the seeds belonged to exactly one cluster before.

    Two parallel rows, each held together by the point in its middle, that is core only thanks to p between the rows.
    """
    row = [-2, -1.5, -1, 0, 1, 1.5, 2]
    figure = Figure([0, *(x + 1j for x in row), *(x - 1j for x in row)], eps=1, min_samples=4)
    top, bottom = [x + 1j for x in row], [x - 1j for x in row]
    assert figure.clusters() == {0: [*bottom[:3], -1j, 0, *bottom[4:]], 1: top}
    cores = figure.cores()
    events = figure.delete(0)
    lost = cores - figure.cores()
    assert lost == {1j, -1j}
    assert figure.seeds(lost) == {-1 + 1j, 1 + 1j, -1 - 1j, 1 - 1j}
    assert figure.clusters() == {0: bottom[:4], 1: top[:4], 2: bottom[4:], 3: top[4:]}
    assert [event.parents for event in events if event.change == Change.SPLIT] == [(0,), (1,)]


def test_gap_7_a_point_that_is_core_no_more_holds_nothing_together() -> None:
    """Case "potential split": are the seeds connected by other objects of the former cluster?

    By core points only. Here an object that was one until now is within eps of both seeds, and stays a member of one
    part; but the parts are two.
    """
    figure = Figure([-2, -1.5, -1, 0, 0.5j, 1, 1.5, 2], eps=1, min_samples=4)
    assert figure.clusters() == {0: [-2, -1.5, -1, 0, 0.5j, 1, 1.5, 2]}
    cores = figure.cores()
    (left, right) = figure.delete(0.5j)
    lost = cores - figure.cores()
    assert lost == {0}
    assert figure.seeds(lost) == {-1, 1} < figure.around(0)
    assert figure.clusters() == {0: [-2, -1.5, -1, 0], 1: [1, 1.5, 2]}
    assert (left.change, left.size_before, left.size) == (Change.SHRUNK, 8, 4)
    assert (right.change, right.size, right.parents) == (Change.SPLIT, 3, (0,))
