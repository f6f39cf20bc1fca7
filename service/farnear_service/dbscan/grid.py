"""The plane in square cells whose diagonal is just under eps (after Gunawan 2013).

Points of one cell are all within eps of each other. So in a full cell, one of `min_samples` points, all are core points
and nobody counts their neighbours. The neighbours of a point lie in the 5 x 5 cells around its own. Two cells are
linked while a core point of one is within eps of a core point of the other: so clusters are the connected cells.

What is within eps is decided as scikit-learn's k-d tree decides it in its leaves: dx * dx + dy * dy <= eps * eps, every
operation rounded to float64 by itself.
"""

import numpy as np

from farnear_service.compiled import compiled
from farnear_service.dbscan.hashing import drop, find, put
from farnear_service.dbscan.points import is_core
from farnear_service.dbscan.tables import NONE, Row, Tables

# Cells are smaller than eps / sqrt(2) by MARGIN, and rows and columns lie within MAX_CELL. So a quotient x / side is
# off by less than 2**-22 cells, and no points that rounding puts into one cell are farther apart than eps.
MARGIN = 2.0**-20
MAX_CELL = 2**30

# Ways from a cell to those around it and to itself: 5 * (rows + 2) + (columns + 2).
WAYS = 25
_HERE = 12

_ROW = 2**32  # the key of a cell is _ROW * row + column


@compiled
def squared_distance(g: Tables, p: Row, q: Row) -> float:
    """Of two points."""
    dx = g.points[p].x - g.points[q].x
    dy = g.points[p].y - g.points[q].y
    return float(dx * dx + dy * dy)


@compiled
def is_full(g: Tables, cell: Row) -> bool:
    """Whether all points of a cell are core points because of one another."""
    return bool(g.cells[cell].points >= g.store[0].min_samples)


@compiled
def cell_in_way(g: Tables, cell: Row, way: int) -> Row:
    """The cell that lies in that way, or NONE where no point is."""
    if way == _HERE:
        return cell
    return find(g.cell_of, g.cells["key"], g.cells[cell].key + _ROW * (way // 5 - 2) + (way % 5 - 2))


@compiled
def find_near(g: Tables, p: Row) -> int:
    """Lists the cells that can have points within eps of p, each as `near` with its `way`; returns how many.

    All are looked up before the first is searched, so that the processor can wait for several at once.
    """
    u = g.points[p].x / g.store[0].side
    v = g.points[p].y / g.store[0].side
    u -= np.floor(u)
    v -= np.floor(v)
    near = 0
    for i in range(-2, 3):
        gap_v = i - v if i > 0 else (v - i - 1 if i < 0 else 0.0)
        for j in range(-2, 3):
            gap_u = j - u if j > 0 else (u - j - 1 if j < 0 else 0.0)
            if gap_u * gap_u + gap_v * gap_v <= g.store[0].reach:
                way = 5 * i + j + _HERE
                cell = cell_in_way(g, g.points[p].cell, way)
                if cell != NONE:
                    g.lists[near].near = cell
                    g.lists[near].way = way
                    near += 1
    return near


@compiled
def enter_grid(g: Tables, p: Row, x: float, y: float) -> None:
    """Puts a point into the cell at (x, y)."""
    g.points[p].x = x
    g.points[p].y = y
    cell = _cell_at(g, x, y)
    first = g.cells[cell].first
    if first != NONE:
        g.points[first].previous = p
    g.points[p].cell = cell
    g.points[p].next = first
    g.points[p].previous = NONE
    g.cells[cell].first = p
    g.cells[cell].points += 1


@compiled
def leave_grid(g: Tables, p: Row) -> None:
    """Takes a point out of the list of its cell. The cell stays, even if it is empty."""
    cell, after, before = g.points[p].cell, g.points[p].next, g.points[p].previous
    if before == NONE:
        g.cells[cell].first = after
    else:
        g.points[before].next = after
    if after != NONE:
        g.points[after].previous = before
    g.cells[cell].points -= 1


@compiled
def remove_cell(g: Tables, cell: Row) -> None:
    """Gives back the row of an empty cell."""
    drop(g.cell_of, g.cells["key"], cell)
    g.cells[cell].next = g.store[0].free_cell
    g.store[0].free_cell = cell


@compiled
def meet(g: Tables, cell: Row, other: Row) -> bool:
    """Whether a core point of one cell is within eps of a core point of the other. Mostly the first pairs tell."""
    p = g.cells[cell].first
    while p != NONE:
        q = g.cells[other].first if is_core(g, p) else NONE
        while q != NONE:
            if is_core(g, q) and squared_distance(g, p, q) <= g.store[0].squared_eps:
                return True
            q = g.points[q].next
        p = g.points[p].next
    return False


@compiled
def link(g: Tables, cell: Row, other: Row, way: int) -> None:
    """Links a cell and the other, which lies in that way."""
    g.cells[cell].links |= 1 << way
    g.cells[other].links |= 1 << (WAYS - 1 - way)


@compiled
def unlink(g: Tables, cell: Row, other: Row, way: int) -> None:
    """Takes the link back."""
    g.cells[cell].links &= ~(1 << way)
    g.cells[other].links &= ~(1 << (WAYS - 1 - way))


@compiled
def _cell_at(g: Tables, x: float, y: float) -> Row:
    key = _ROW * np.int64(np.floor(y / g.store[0].side)) + np.int64(np.floor(x / g.store[0].side))
    cell = find(g.cell_of, g.cells["key"], key)
    if cell == NONE:
        store = g.store[0]
        cell = store.free_cell
        if cell == NONE:
            cell = store.cells
            store.cells += 1
        else:
            store.free_cell = g.cells[cell].next
        g.cells[cell].key = key
        g.cells[cell].first = NONE
        g.cells[cell].points = 0
        g.cells[cell].cores = 0
        g.cells[cell].members = 0
        g.cells[cell].links = 0
        g.cells[cell].cluster = NONE
        g.cells[cell].reached = NONE
        put(g.cell_of, g.cells["key"], cell)
    return cell
