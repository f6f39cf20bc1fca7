"""What insertions and deletions change on the sphere (Ester et al. 1998, sections 4.2 and 4.3).

As in insertion.py and deletion.py, but without a grid: neighbours are found by a scan of all vectors, and every point
is a cell of its own. Vectors V lie dimension by dimension, float64 (D, rows). So a scan sums many inner products at a
time, and yet each in order of the dimensions: a distance is the same float64 seen from either point.
"""

import numpy as np

from farnear_service.compiled import compiled
from farnear_service.dbscan.clusters import enter, join, leave, new_cluster
from farnear_service.dbscan.points import add_point, belong, is_core, is_nearer, remove_point, row_of
from farnear_service.dbscan.search import add_seed, finish, leader, next_cell, next_search, reach, start
from farnear_service.dbscan.tables import NONE, Numbers, Points, Row, Tables

_BLOCK = 1024  # sums that stay in the processor's first cache


@compiled
def insert_vectors(g: Tables, V: Points, distances: Points, keys: Numbers, vectors: Points) -> None:
    """Inserts unit vectors (N, D) by `keys` (N,), one after the other; `distances` (rows,) is scratch."""
    for i in range(len(keys)):
        p = add_point(g, keys[i])
        V[:, p] = vectors[i]
        _become_cell(g, p)
        near = _scan(g, V, distances, p)
        for j in range(_count_in(g, distances, p, near)):
            q = g.lists[j].changed
            if q != p:
                near = _scan(g, V, distances, q)
            _promote(g, V, distances, q, near)


@compiled
def delete_vectors(g: Tables, V: Points, distances: Points, keys: Numbers) -> None:
    """Deletes the vectors of these keys, which are there, one after the other."""
    for i in range(len(keys)):
        p = row_of(g, keys[i])
        near = _scan(g, V, distances, p)
        lost = _count_out(g, p, near)
        seeds, orphans = np.int32(0), 0
        for j in range(lost):
            core = g.lists[j].changed
            if core != p:
                g.lists[orphans].orphan = core
                orphans += 1
                near = _scan(g, V, distances, core)
            for k in range(near):
                q = g.lists[k].near
                if is_core(g, q):
                    seeds = add_seed(g, q, seeds)
                elif g.points[q].anchor == core:
                    g.lists[orphans].orphan = q
                    orphans += 1
        for j in range(orphans):
            belong(g, g.lists[j].orphan, _nearest_core(g, V, distances, g.lists[j].orphan))
        if seeds > 0:
            _cut_apart(g, V, distances, seeds)
        remove_point(g, p)


@compiled
def _become_cell(g: Tables, p: Row) -> None:
    g.points[p].cell = p
    g.points[p].next = NONE
    g.cells[p].first = p
    g.cells[p].cores = 0
    g.cells[p].members = 0
    g.cells[p].cluster = NONE
    g.cells[p].reached = NONE


@compiled
def _scan(g: Tables, V: Points, distances: Points, p: Row) -> int:
    """Lists the points within eps of p as `near`, p among them; returns how many. Fills in all `distances`."""
    used = g.store[0].points
    near = 0
    for begin in range(0, used, _BLOCK):
        end = min(begin + _BLOCK, used)
        distances[begin:end] = 0.0
        for d in range(len(V)):
            component = V[d, p]
            for q in range(begin, end):
                distances[q] += V[d, q] * component
        for q in range(begin, end):
            distances[q] = 1.0 - distances[q]
            if distances[q] <= g.store[0].eps and g.points[q].cell != NONE:
                g.lists[near].near = q
                near += 1
    return near


@compiled
def _distance(V: Points, p: Row, q: Row) -> float:
    product = 0.0
    for d in range(len(V)):
        product += V[d, p] * V[d, q]
    return 1.0 - product


@compiled
def _count_in(g: Tables, distances: Points, p: Row, near: int) -> int:
    """Counts p and its neighbours; lists the points that `changed` to core, p first, returns how many; or anchors p."""
    gained = 0
    g.points[p].neighbours = near
    if near >= g.store[0].min_samples:
        g.lists[gained].changed = p
        gained += 1
    nearest, distance = NONE, 0.0
    for i in range(near):
        q = g.lists[i].near
        if q != p:
            g.points[q].neighbours += 1
            if g.points[q].neighbours == g.store[0].min_samples:
                g.lists[gained].changed = q
                gained += 1
            elif is_core(g, q) and is_nearer(g, distances[q], q, distance, nearest):
                nearest, distance = q, distances[q]
    if near < g.store[0].min_samples:
        belong(g, p, nearest)
    return gained


@compiled
def _promote(g: Tables, V: Points, distances: Points, p: Row, near: int) -> None:
    """Makes p core, of one cluster with the core points around it, and the anchor of border points it is nearest to."""
    belong(g, p, p)
    enter(g, p, new_cluster(g))
    for i in range(near):
        q = g.lists[i].near
        if is_core(g, q):
            join(g, p, q)
        else:
            anchor = g.points[q].anchor
            distance = _distance(V, q, anchor) if anchor != NONE else 0.0
            if is_nearer(g, distances[q], p, distance, anchor):
                belong(g, q, p)


@compiled
def _count_out(g: Tables, p: Row, near: int) -> int:
    """Counts p out; lists the points that thereby `changed` to not core, p first if it was core, returns how many."""
    lost = 0
    if is_core(g, p):
        g.lists[lost].changed = p
        lost += 1
    else:
        belong(g, p, NONE)
    for i in range(near):
        q = g.lists[i].near
        if q != p:
            g.points[q].neighbours -= 1
            if g.points[q].neighbours == g.store[0].min_samples - 1:
                g.lists[lost].changed = q
                lost += 1
    for i in range(lost):
        belong(g, g.lists[i].changed, NONE)
        leave(g, g.lists[i].changed)
    return lost


@compiled
def _nearest_core(g: Tables, V: Points, distances: Points, p: Row) -> Row:
    nearest, distance = NONE, 0.0
    for i in range(_scan(g, V, distances, p)):
        q = g.lists[i].near
        if is_core(g, q) and is_nearer(g, distances[q], q, distance, nearest):
            nearest, distance = q, distances[q]
    return nearest


@compiled
def _cut_apart(g: Tables, V: Points, distances: Points, seeds: Row) -> None:
    s = start(g, seeds)
    # A step of a search is a scan here: seeds within eps of one another meet without.
    for i in range(seeds):
        for j in range(i):
            search = leader(s, np.int32(i))
            if search != leader(s, np.int32(j)) and _distance(V, g.lists[i].seed, g.lists[j].seed) <= g.store[0].eps:
                reach(g, s, search, g.lists[j].seed)
    search = next_search(s)
    while search != NONE:
        cell = next_cell(g, s, search)
        if cell != NONE:
            for i in range(_scan(g, V, distances, cell)):
                if is_core(g, g.lists[i].near):
                    reach(g, s, search, g.lists[i].near)
        search = next_search(s)
    finish(g, s)
