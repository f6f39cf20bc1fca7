"""What the deletion of a point changes in the plane (Ester et al. 1998, section 4.3).

The paper tells three cases apart by the core points around those that are core no more. Here nothing is told apart: whoever
lost its anchor looks for another one, cells that lost a link are searched from, and what the searches find apart is apart. Removal,
reduction and split follow, also several of them, in several clusters, from one deletion.
"""

import numpy as np
from numba import njit

from farnear_service.dbscan.clusters import leave
from farnear_service.dbscan.grid import (
    WAYS,
    cell_in_way,
    is_full,
    leave_grid,
    meet,
    remove_cell,
    squared_distance,
    unlink,
    find_near,
)
from farnear_service.dbscan.points import belong, is_core, is_nearer, remove_point, row_of
from farnear_service.dbscan.search import add_seed, finish, next_cell, next_search, reach, start
from farnear_service.dbscan.tables import NONE, Tables


@njit(cache=True, nogil=True)
def delete_points(g: Tables, keys: np.ndarray) -> None:
    for i in range(len(keys)):
        p = row_of(g, keys[i])
        cell = g.points[p].cell
        leave_grid(g, p)
        lost = _count_out(g, p)
        _reassign(g, p, lost)
        seeds = _take_links(g, lost)
        if seeds > 1:
            _cut_apart(g, seeds)
        elif seeds == 1:
            g.cells[g.lists[0].seed].reached = NONE
        remove_point(g, p)
        if g.cells[cell].points == 0:
            remove_cell(g, cell)


@njit(cache=True, nogil=True)
def _count_out(g: Tables, p: np.int32) -> int:
    """Counts p, which has left its cell, out; lists the points that `changed` to not core, returns how many."""
    here = g.points[p].cell
    lost = 0
    if is_core(g, p):
        g.lists[lost].changed = p
        lost += 1
    else:
        belong(g, p, NONE)
    full_no_more = g.cells[here].points == g.store[0].min_samples - 1
    for i in range(find_near(g, p)):
        cell = g.lists[i].near
        if is_full(g, cell) or (cell == here and full_no_more):
            continue
        q = g.cells[cell].first
        while q != NONE:
            if squared_distance(g, p, q) <= g.store[0].squared_eps:
                g.points[q].neighbours -= 1
                if g.points[q].neighbours == g.store[0].min_samples - 1:
                    g.lists[lost].changed = q
                    lost += 1
            q = g.points[q].next
    q = g.cells[here].first if full_no_more else NONE
    while q != NONE:
        g.points[q].neighbours = _count_neighbours(g, q)
        if g.points[q].neighbours < g.store[0].min_samples:
            g.lists[lost].changed = q
            lost += 1
        q = g.points[q].next
    return lost


@njit(cache=True, nogil=True)
def _count_neighbours(g: Tables, p: np.int32) -> int:
    neighbours = 0
    for i in range(find_near(g, p)):
        cell = g.lists[i].near
        q = g.cells[cell].first
        while q != NONE:
            neighbours += squared_distance(g, p, q) <= g.store[0].squared_eps
            q = g.points[q].next
    return neighbours


@njit(cache=True, nogil=True)
def _reassign(g: Tables, p: np.int32, lost: int) -> None:
    """Takes core status from the `changed` points; these, without p, and their border points look for other anchors."""
    for i in range(lost):
        belong(g, g.lists[i].changed, NONE)
    orphans = 0
    for i in range(lost):
        core = g.lists[i].changed
        if core != p:
            g.lists[orphans].orphan = core
            orphans += 1
        for j in range(find_near(g, core)):
            cell = g.lists[j].near
            q = g.cells[cell].first if not is_full(g, cell) else NONE
            while q != NONE:
                if g.points[q].anchor == core:
                    g.lists[orphans].orphan = q
                    orphans += 1
                q = g.points[q].next
    for i in range(orphans):
        belong(g, g.lists[i].orphan, _nearest_core(g, g.lists[i].orphan))


@njit(cache=True, nogil=True)
def _nearest_core(g: Tables, p: np.int32) -> np.int32:
    nearest, distance = NONE, 0.0
    for i in range(find_near(g, p)):
        cell = g.lists[i].near
        q = g.cells[cell].first if g.cells[cell].cores > 0 else NONE
        while q != NONE:
            squared = squared_distance(g, p, q)
            if is_core(g, q) and squared <= g.store[0].squared_eps and is_nearer(g, squared, q, distance, nearest):
                nearest, distance = q, squared
            q = g.points[q].next
    return nearest


@njit(cache=True, nogil=True)
def _take_links(g: Tables, lost: int) -> int:
    """Removes the links that nothing but the `changed` points made; lists a `seed` for each cell that lost one.

    Returns how many. Cells that are left without core points leave their clusters.
    """
    seeds = np.int32(0)
    for i in range(lost):
        cell = g.points[g.lists[i].changed].cell
        if g.cells[cell].cluster == NONE:  # it has left for another of the points
            continue
        for way in range(WAYS):
            if (g.cells[cell].links >> way) & 1:
                other = cell_in_way(g, cell, way)
                if not meet(g, cell, other):
                    unlink(g, cell, other, way)
                    seeds = add_seed(g, cell, seeds)
                    seeds = add_seed(g, other, seeds)
        if g.cells[cell].cores == 0:
            leave(g, cell)
    return seeds


@njit(cache=True, nogil=True)
def _cut_apart(g: Tables, seeds: int) -> None:
    s = start(g, seeds)
    search = next_search(s)
    while search != NONE:
        cell = next_cell(g, s, search)
        if cell != NONE:
            for way in range(WAYS):
                if (g.cells[cell].links >> way) & 1:
                    reach(g, s, search, cell_in_way(g, cell, way))
        search = next_search(s)
    finish(g, s)
