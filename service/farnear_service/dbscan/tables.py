"""The engine's memory: tables of records, which compiled functions write and Python makes longer between batches.

Rows stand for pointers: a row of `points`, `cells` or `clusters`, or NONE. A point is in a cell: in the plane a square
of a grid, on the sphere a cell of its own. The core points of a cell are all in one cluster, whatever happens. A
cluster is a list of cells that have core points. Rows that were given back are used again.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from farnear_service.compiled import compiled
from farnear_service.dbscan.hashing import new_table, put

Row: TypeAlias = Any  # int32 in compiled functions
Rows = NDArray[np.int32]
Numbers = NDArray[np.int64]
Points = NDArray[np.float64]
Records: TypeAlias = Any  # NDArray[np.void]; compiled functions read fields as attributes, which no type can say

NONE: Row = np.int32(-1)  # of one type with every row, or Numba would compile functions for several types

# `neighbours` counts the points within eps, the point itself included. `anchor` is the core point that a point belongs
# to: itself for a core point, NONE for noise. `next` and `previous` are those in its cell. Unused rows have no cell.
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

# `points` are in it, from `first` on. `cores` of these are core points, and `members` points belong to one of those.
# Bit w of `links` stands for the cell in way w. `next` and `previous` are those in its cluster. `before` is the
# identity of its cluster when the batch began, if `noted`. `reached` and `waiting` are of the search.
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

# `id` is the identity, NONE until the batch is settled. `cells` are in it, from `first` on. `mark` is scratch.
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

# Every field is a list of rows. Of a batch: points `promoted` to core, cells that `moved` into or out of a cluster,
# clusters that were `touched`. Of one insertion or deletion: points that `changed` between core and not, points each an
# `orphan` without anchor, cells each a `seed` of the search or `visited` by it, points or cells `near` by their `way`.
LISTS = np.dtype(
    [
        ("promoted", "i4"),
        ("moved", "i4"),
        ("touched", "i4"),
        ("changed", "i4"),
        ("orphan", "i4"),
        ("seed", "i4"),
        ("visited", "i4"),
        ("near", "i4"),
        ("way", "i4"),
    ]
)

# A single record: settings, the number of points, of each table how many rows were ever used and the first free one, of
# the batch the lengths of its lists and whether a cluster was founded or ended.
STORE = np.dtype(
    [
        ("eps", "f8"),
        ("squared_eps", "f8"),
        ("side", "f8"),
        ("reach", "f8"),
        ("min_samples", "i4"),
        ("count", "i4"),
        ("points", "i4"),
        ("cells", "i4"),
        ("clusters", "i4"),
        ("free_point", "i4"),
        ("free_cell", "i4"),
        ("free_cluster", "i4"),
        ("promoted", "i4"),
        ("moved", "i4"),
        ("touched", "i4"),
        ("restructured", "i4"),
    ],
    align=True,
)


class Tables(NamedTuple):
    """All of it. `point_of` and `cell_of` are hash maps from the keys of points and cells."""

    points: Records
    cells: Records
    clusters: Records
    lists: Records
    point_of: Rows
    cell_of: Rows
    store: Records


def new_tables(eps: float, min_samples: int) -> Tables:
    """Tables without a point."""
    store = np.zeros(1, STORE)
    store["eps"], store["min_samples"] = eps, min_samples
    for table in ("free_point", "free_cell", "free_cluster"):
        store[table] = NONE
    return Tables(
        points=np.zeros(0, POINT),
        cells=np.zeros(0, CELL),
        clusters=np.zeros(0, CLUSTER),
        lists=np.empty(0, LISTS),
        point_of=new_table(0),
        cell_of=new_table(0),
        store=store,
    )


def with_room(g: Tables, more: int) -> Tables:
    """The same tables, between two batches, with room for `more` points; they grow by half, for O(1) a point.

    There are never more cells than points, more clusters than cells, or more rows in a list than points.
    """
    needed = int(g.store["points"][0]) + more
    if needed <= len(g.points):
        return g
    capacity = needed + needed // 2
    longer = Tables(
        points=_longer(g.points, capacity),
        cells=_longer(g.cells, capacity),
        clusters=_longer(g.clusters, capacity),
        lists=np.empty(capacity, LISTS),
        point_of=new_table(capacity),
        cell_of=new_table(capacity),
        store=g.store,
    )
    _fill_maps(longer)
    return longer


def _longer(records: Records, capacity: int) -> Records:
    longer = np.zeros(capacity, records.dtype)
    longer[: len(records)] = records
    return longer


@compiled
def _fill_maps(g: Tables) -> None:
    for p in range(g.store[0].points):
        if g.points[p].cell != NONE:
            put(g.point_of, g.points["key"], np.int32(p))
    for cell in range(g.store[0].cells):
        if g.cells[cell].points > 0:
            put(g.cell_of, g.cells["key"], np.int32(cell))
