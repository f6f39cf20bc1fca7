"""Clusters, as lists of cells that are joined and taken apart, and the journal of what a batch did to them."""

import numpy as np

from farnear_service.compiled import compiled
from farnear_service.dbscan.tables import NONE, Numbers, Row, Rows, Tables


@compiled
def count(g: Tables, cell: Row, cores: np.int32, members: np.int32) -> None:
    """Adds to the counts of a cell, and of its cluster if it is in one."""
    g.cells[cell].cores += cores
    g.cells[cell].members += members
    cluster = g.cells[cell].cluster
    if cluster != NONE:
        g.clusters[cluster].cores += cores
        g.clusters[cluster].members += members
        _touch(g, cluster)


@compiled
def new_cluster(g: Tables) -> Row:
    """A cluster without an identity and without cells; one has to enter next."""
    store = g.store[0]
    cluster = store.free_cluster
    if cluster == NONE:
        cluster = store.clusters
        store.clusters += 1
    else:
        store.free_cluster = g.clusters[cluster].first
    g.clusters[cluster].id = NONE
    g.clusters[cluster].first = NONE
    store.restructured = 1
    return cluster


@compiled
def enter(g: Tables, cell: Row, cluster: Row) -> None:
    """Puts a cell that is in no cluster into one."""
    _note(g, cell)
    first = g.clusters[cluster].first
    if first != NONE:
        g.cells[first].previous = cell
    g.cells[cell].next = first
    g.cells[cell].previous = NONE
    g.cells[cell].cluster = cluster
    g.clusters[cluster].first = cell
    g.clusters[cluster].cells += 1
    g.clusters[cluster].cores += g.cells[cell].cores
    g.clusters[cluster].members += g.cells[cell].members
    _touch(g, cluster)


@compiled
def leave(g: Tables, cell: Row) -> None:
    """Takes a cell out of its cluster, which ends with its last cell."""
    _note(g, cell)
    cluster, after, before = g.cells[cell].cluster, g.cells[cell].next, g.cells[cell].previous
    if before == NONE:
        g.clusters[cluster].first = after
    else:
        g.cells[before].next = after
    if after != NONE:
        g.cells[after].previous = before
    g.cells[cell].cluster = NONE
    g.clusters[cluster].cells -= 1
    g.clusters[cluster].cores -= g.cells[cell].cores
    g.clusters[cluster].members -= g.cells[cell].members
    _touch(g, cluster)
    if g.clusters[cluster].cells == 0:
        g.clusters[cluster].first = g.store[0].free_cluster
        g.store[0].free_cluster = cluster
        g.store[0].restructured = 1


@compiled
def join(g: Tables, one: Row, other: Row) -> None:
    """Makes the clusters of two cells one, in as many steps as the smaller has cells.

    So while clusters only grow, a cell moves at most log2(n) times.
    """
    target, source = g.cells[one].cluster, g.cells[other].cluster
    if target == source:
        return
    if g.clusters[target].cells < g.clusters[source].cells:
        target, source = source, target
    for _ in range(g.clusters[source].cells):
        cell = g.clusters[source].first
        leave(g, cell)
        enter(g, cell, target)


@compiled
def _note(g: Tables, cell: Row) -> None:
    if not g.cells[cell].noted:
        cluster = g.cells[cell].cluster
        g.cells[cell].noted = 1
        g.cells[cell].before = NONE if cluster == NONE else g.clusters[cluster].id
        g.lists[g.store[0].moved].moved = cell
        g.store[0].moved += 1


@compiled
def _touch(g: Tables, cluster: Row) -> None:
    if not g.clusters[cluster].touched:
        g.clusters[cluster].touched = 1
        g.lists[g.store[0].touched].touched = cluster
        g.store[0].touched += 1


@compiled
def clear_journal(g: Tables) -> None:
    """Begins the next batch."""
    store = g.store[0]
    for i in range(store.moved):
        g.cells[g.lists[i].moved].noted = 0
    for i in range(store.touched):
        g.clusters[g.lists[i].touched].touched = 0
    store.promoted = store.moved = store.touched = store.restructured = 0


@compiled
def touched_clusters(g: Tables) -> tuple[Rows, Numbers, Rows]:
    """The clusters that the batch touched and that are still there: their rows, identities and numbers of members."""
    touched = g.store[0].touched
    rows, ids, members = np.empty(touched, np.int32), np.empty(touched, np.int64), np.empty(touched, np.int32)
    found = 0
    for i in range(touched):
        cluster = g.lists[i].touched
        if g.clusters[cluster].cells > 0:
            rows[found], ids[found], members[found] = cluster, g.clusters[cluster].id, g.clusters[cluster].members
            found += 1
    return rows[:found], ids[:found], members[:found]


@compiled
def kept_cores(g: Tables) -> tuple[Numbers, Rows, Rows]:
    """Which identity kept how many of its core points, all through the batch, in which cluster.

    Of every identity that the batch touched at least once, if only with 0 core points; a pair can come more than once.
    In as many steps as the batch took.
    """
    store = g.store[0]
    ids = np.empty(store.moved + store.touched, np.int64)
    clusters = np.empty(len(ids), np.int32)
    cores = np.empty(len(ids), np.int32)
    # What clusters and moved cells have kept: their core points, without those that the batch promoted.
    for i in range(store.moved):
        g.cells[g.lists[i].moved].waiting = g.cells[g.lists[i].moved].cores
    for i in range(store.touched):
        g.clusters[g.lists[i].touched].mark = g.clusters[g.lists[i].touched].cores
    for i in range(store.promoted):
        p = g.lists[i].promoted
        if g.points[p].anchor == p:
            g.cells[g.points[p].cell].waiting -= 1
            g.clusters[g.cells[g.points[p].cell].cluster].mark -= 1
    found = 0
    for i in range(store.moved):
        cell = g.lists[i].moved
        cluster = g.cells[cell].cluster
        if cluster != NONE:
            g.clusters[cluster].mark -= g.cells[cell].waiting
        if g.cells[cell].before != NONE:
            ids[found], clusters[found], cores[found] = g.cells[cell].before, cluster, g.cells[cell].waiting
            found += 1
    # What is left are cells that did not move: they kept their cluster's identity.
    for i in range(store.touched):
        cluster = g.lists[i].touched
        if g.clusters[cluster].cells > 0 and g.clusters[cluster].id != NONE:
            ids[found], clusters[found], cores[found] = g.clusters[cluster].id, cluster, g.clusters[cluster].mark
            found += 1
    return ids[:found], clusters[:found], cores[:found]


@compiled
def smallest_keys(g: Tables, clusters: Rows) -> Numbers:
    """The smallest key of a core point of each of these clusters."""
    smallest = np.full(len(clusters), np.iinfo(np.int64).max)
    for i in range(len(clusters)):
        cell = g.clusters[clusters[i]].first
        while cell != NONE:
            p = g.cells[cell].first
            while p != NONE:
                if g.points[p].anchor == p:
                    smallest[i] = min(smallest[i], g.points[p].key)
                p = g.points[p].next
            cell = g.cells[cell].next
    return smallest
