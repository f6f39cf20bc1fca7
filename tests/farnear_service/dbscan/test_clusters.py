import numpy as np
from farnear_service.dbscan.clusters import (
    clear_journal,
    count,
    enter,
    join,
    kept_cores,
    leave,
    new_cluster,
    touched_clusters,
)
from farnear_service.dbscan.tables import NONE, Tables, new_tables, with_room

ZERO, ONE = np.int32(0), np.int32(1)


def tables(*clusters: int) -> tuple[Tables, list[int]]:
    """Tables with clusters of so many cells, each cell with a core point and a border point; cells count from 0."""
    g = with_room(new_tables(1.0, 2), sum(clusters))
    g.cells["cluster"] = NONE
    cell = 0
    rows = []
    for number, cells in enumerate(clusters):
        rows.append(int(new_cluster(g)))
        for _ in range(cells):
            count(g, np.int32(cell), ONE, np.int32(2))
            enter(g, np.int32(cell), np.int32(rows[-1]))
            cell += 1
        g.clusters["id"][rows[-1]] = 70 + number
    clear_journal(g)
    return g, rows


def cells_of(g: Tables, cluster: int) -> list[int]:
    """Along the list, and back to see that it is whole."""
    found: list[int] = []
    cell = int(g.clusters["first"][cluster])
    while cell != NONE:
        assert g.cells["cluster"][cell] == cluster
        assert g.cells["previous"][cell] == (found[-1] if found else NONE)
        found.append(cell)
        cell = int(g.cells["next"][cell])
    assert len(found) == g.clusters["cells"][cluster] == g.clusters["cores"][cluster]
    assert g.clusters["members"][cluster] == 2 * len(found)
    return sorted(found)


def test_the_smaller_joins_the_larger_whatever_the_order() -> None:
    for one, other in ((0, 4), (4, 0)):
        g, (small, large) = tables(2, 4)
        join(g, np.int32(one), np.int32(other))
        assert cells_of(g, large) == [0, 1, 2, 3, 4, 5]
        assert g.clusters["cells"][small] == 0
        assert g.store["moved"] == 2
        assert g.store["restructured"] == 1


def test_joining_what_is_one_already_is_nothing() -> None:
    g, (cluster,) = tables(3)
    join(g, np.int32(0), np.int32(2))
    assert cells_of(g, cluster) == [0, 1, 2]
    assert (g.store["moved"], g.store["touched"], g.store["restructured"]) == (0, 0, 0)


def test_cells_leave_from_both_ends_and_the_middle() -> None:
    for cell in range(3):
        g, (cluster,) = tables(3)
        leave(g, np.int32(cell))
        assert cells_of(g, cluster) == sorted({0, 1, 2} - {cell})
        assert g.cells["cluster"][cell] == NONE
        assert not g.store["restructured"]


def test_a_cluster_ends_with_its_last_cell_and_its_row_is_used_again() -> None:
    g, (first, second) = tables(1, 1)
    leave(g, ZERO)
    assert g.store["restructured"] == 1
    assert [column.tolist() for column in touched_clusters(g)] == [[], [], []]
    assert new_cluster(g) == first
    assert g.clusters["id"][first] == NONE
    assert cells_of(g, second) == [1]


def test_the_journal_tells_which_identity_kept_how_many_core_points_where() -> None:
    g, (a, _, c) = tables(3, 1, 2)
    count(g, ZERO, ONE, ONE)  # a point of cell 0 becomes core:
    g.points["cell"][5] = 0
    g.points["anchor"][5] = 5
    g.lists["promoted"][0] = 5
    g.store["promoted"] = 1
    join(g, ZERO, np.int32(3))  # the second into the first
    leave(g, np.int32(4))  # a cell of the third loses its core point
    count(g, np.int32(4), -ONE, np.int32(-2))
    told = sorted(zip(*(column.tolist() for column in kept_cores(g)), strict=True))
    assert told == [(70, a, 3), (71, a, 1), (72, NONE, 0), (72, c, 1)]
    rows, ids, members = touched_clusters(g)
    assert sorted(zip(rows.tolist(), ids.tolist(), members.tolist(), strict=True)) == [(a, 70, 9), (c, 72, 2)]
    clear_journal(g)
    assert [column.tolist() for column in kept_cores(g)] == [[], [], []]
