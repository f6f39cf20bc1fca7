"""The engine's memory: tables of records, written by compiled functions and grown between them.

Rows stand for pointers: a row of `points`, `cells` or `clusters`, or NONE. A point is in a cell: in the plane a square of a
grid, on the sphere a cell of its own. The core points of a cell are all in one cluster, whatever happens; a cluster is a list
of the cells that have core points and hold together. Rows that were given up are used again.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from farnear_service.dbscan.hashing import new_table, put

# int32 as every row: or each compiled function would be compiled for several types.
NONE = np.int32(-1)

Records = NDArray[np.void]
Rows = NDArray[np.int32]

# `neighbours` counts the points within eps, itself included. `anchor` is the core point that a point belongs to: itself
# for a core point, NONE for noise. `next` and `previous` are in its cell. A row that is not in use has no cell.
POINT = np.dtype(
    [
        ("x", "f8"),
        ("y", "f8"),
        ("key", "i8"),
        ("cell", "i4"),
        ("next", "i4"),
        ("previous", "i4"),
        ("neighbours", "i4"),
        ("anchor", "i4"),
    ],
    align=True,
)

# `points` are in it, from `first` on; `cores` of them are core points and `members` points belong to one of these.
# Bit w of `links` stands for the cell in way w. `next` and `previous` are in its cluster. `before` is the identity of its
# cluster when the batch began, valid if `noted`. `reached` and `waiting` are the search's.
CELL = np.dtype(
    [
        ("key", "i8"),
        ("before", "i8"),
        ("first", "i4"),
        ("points", "i4"),
        ("cores", "i4"),
        ("members", "i4"),
        ("links", "i4"),
        ("cluster", "i4"),
        ("next", "i4"),
        ("previous", "i4"),
        ("noted", "i4"),
        ("reached", "i4"),
        ("waiting", "i4"),
    ],
    align=True,
)

# `id` is the identity, NONE before the batch is settled; `cells` are in it, from `first` on. `mark` is scratch.
CLUSTER = np.dtype(
    [
        ("id", "i8"),
        ("first", "i4"),
        ("cells", "i4"),
        ("cores", "i4"),
        ("members", "i4"),
        ("touched", "i4"),
        ("mark", "i4"),
    ],
    align=True,
)

# Each field is a list of rows. Of a batch: points that were `promoted` to core, cells that `moved` from, to or between
# clusters, clusters that were `touched`. Of an update: points that `changed` between core and not, an `orphan` that lost
# its anchor, a `seed` cell to search from, cells that were `visited`, points that are `near`.
LISTS = np.dtype(
    [(name, "i4") for name in ("promoted", "moved", "touched", "changed", "orphan", "seed", "visited", "near", "way")]
)

# One record: settings; how many points are present; how many rows were ever used and the first that can be used again; lengths of the batch's lists; whether
# a cluster was founded or ended in it.
STORE = np.dtype(
    [
        ("eps", "f8"),
        ("squared_eps", "f8"),
        ("side", "f8"),
        ("reach", "f8"),
        *((name, "i4") for name in ("min_samples", "present", "points", "cells", "clusters")),
        *((name, "i4") for name in ("free_point", "free_cell", "free_cluster")),
        *((name, "i4") for name in ("promoted", "moved", "touched", "restructured")),
    ],
    align=True,
)

# Of a list that is not of the batch no more is ever needed in the plane than this.
_SHORTEST_LISTS = 81


class Tables(NamedTuple):
    """All of it. `point_of` and `cell_of` are hash maps from keys."""

    points: Records
    cells: Records
    clusters: Records
    lists: Records
    point_of: Rows
    cell_of: Rows
    store: Records


def new_tables(eps: float, min_samples: int) -> Tables:
    """Tables without rows."""
    store = np.zeros(1, STORE)
    store["eps"], store["min_samples"] = eps, min_samples
    for field in ("free_point", "free_cell", "free_cluster"):
        store[field] = NONE
    empty = Tables(*(np.zeros(0, dtype) for dtype in (POINT, CELL, CLUSTER, LISTS)), new_table(0), new_table(0), store)
    return with_room(empty, 1)


def with_room(g: Tables, more: int) -> Tables:
    """The same tables with room for `more` points, between batches: there are never more cells than points.

    A half more than is needed, so that growing costs O(1) a point.
    """
    needed = int(g.store["points"][0]) + more
    if needed <= len(g.points):
        return g
    capacity = needed + needed // 2
    g = Tables(
        points=_longer(g.points, capacity),
        cells=_longer(g.cells, capacity),
        clusters=_longer(g.clusters, capacity),
        lists=np.empty(max(capacity, _SHORTEST_LISTS), LISTS),
        point_of=new_table(capacity),
        cell_of=new_table(capacity),
        store=g.store,
    )
    _fill_maps(g)
    return g


def _longer(records: Records, capacity: int) -> Records:
    longer = np.zeros(capacity, records.dtype)
    longer[: len(records)] = records
    return longer


@njit(cache=True, nogil=True)
def _fill_maps(g: Tables) -> None:
    for p in range(g.store[0].points):
        if g.points[p].cell != NONE:
            put(g.point_of, g.points["key"], np.int32(p))
            cell = g.points[p].cell
            if g.cells[cell].first == p:
                put(g.cell_of, g.cells["key"], cell)
