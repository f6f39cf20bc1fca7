"""What the deletion of a point changes in the plane (Ester et al. 1998, section 4.3).

The paper tells three cases apart by the core points around those that are core no more. Here no case is told apart: who
lost its anchor looks for another one, from cells that lost a link a search starts, and what the searches find apart is
apart. Removal, reduction and split come out of that, also several at once and in several clusters.
"""

import numpy as np

from farnear_service.compiled import compiled
from farnear_service.dbscan.clusters import leave
from farnear_service.dbscan.grid import (
    WAYS,
    cell_in_way,
    find_near,
    is_full,
    leave_grid,
    meet,
    remove_cell,
    squared_distance,
    unlink,
)
from farnear_service.dbscan.points import belong, is_core, is_nearer, remove_point, row_of
from farnear_service.dbscan.search import add_seed, finish, next_cell, next_search, reach, start
from farnear_service.dbscan.tables import NONE, Numbers, Row, Tables


@compiled
def delete_points(g: Tables, keys: Numbers) -> None:
    """Deletes the points of these keys, which are there, one after the other."""
    for i in range(len(keys)):
        p = row_of(g, keys[i])
        cell = g.points[p].cell
        leave_grid(g, p)
        lost = _count_out(g, p)
        _reassign(g, p, lost)
        seeds = _take_links(g, lost)
        if seeds > 0:
            _cut_apart(g, seeds)
        remove_point(g, p)
        if g.cells[cell].points == 0:
            remove_cell(g, cell)


@compiled
def _count_out(g: Tables, p: Row) -> int:
    """Counts p out; lists the points that thereby `changed` to not core, p too if it was, returns how many."""
    here = g.points[p].cell
    lost = 0
    if is_core(g, p):
        g.lists[lost].changed = p
        lost += 1
    else:
        belong(g, p, NONE)
    full_until_now = g.cells[here].points == g.store[0].min_samples - 1
    for i in range(find_near(g, p)):
        cell = g.lists[i].near
        if is_full(g, cell) or (cell == here and full_until_now):
            continue
        q = g.cells[cell].first
        while q != NONE:
            if squared_distance(g, p, q) <= g.store[0].squared_eps:
                g.points[q].neighbours -= 1
                if g.points[q].neighbours == g.store[0].min_samples - 1:
                    g.lists[lost].changed = q
                    lost += 1
            q = g.points[q].next
    q = g.cells[here].first if full_until_now else NONE
    while q != NONE:
        g.points[q].neighbours = _count_neighbours(g, q)
        if g.points[q].neighbours < g.store[0].min_samples:
            g.lists[lost].changed = q
            lost += 1
        q = g.points[q].next
    return lost


@compiled
def _count_neighbours(g: Tables, p: Row) -> int:
    neighbours = 0
    for i in range(find_near(g, p)):
        q = g.cells[g.lists[i].near].first
        while q != NONE:
            neighbours += squared_distance(g, p, q) <= g.store[0].squared_eps
            q = g.points[q].next
    return neighbours


@compiled
def _reassign(g: Tables, p: Row, lost: int) -> None:
    """Makes the `changed` points core no more; they, but for p, and those that belonged to them get other anchors."""
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


@compiled
def _nearest_core(g: Tables, p: Row) -> Row:
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


@compiled
def _take_links(g: Tables, lost: int) -> Row:
    """Takes away the links that the `changed` points alone made; cells without core points leave their clusters.

    Lists the cells that lost a link as `seed`; returns how many.
    """
    seeds = np.int32(0)
    for i in range(lost):
        cell = g.points[g.lists[i].changed].cell
        if g.cells[cell].cluster == NONE:  # for another of its points it was seen to
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


@compiled
def _cut_apart(g: Tables, seeds: Row) -> None:
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
