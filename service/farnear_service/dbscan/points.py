"""Points come and go, and belong to core points."""

import numpy as np

from farnear_service.compiled import compiled
from farnear_service.dbscan.clusters import count
from farnear_service.dbscan.hashing import drop, find, put
from farnear_service.dbscan.tables import NONE, Row, Tables


@compiled
def row_of(g: Tables, key: int) -> Row:
    """The point with that key, or NONE."""
    return find(g.point_of, g.points["key"], key)


@compiled
def add_point(g: Tables, key: int) -> Row:
    """A new point: noise so far, and in no cell."""
    store = g.store[0]
    p = store.free_point
    if p == NONE:
        p = store.points
        store.points += 1
    else:
        store.free_point = g.points[p].next
    g.points[p].key = key
    g.points[p].anchor = NONE
    put(g.point_of, g.points["key"], p)
    store.count += 1
    return p


@compiled
def remove_point(g: Tables, p: Row) -> None:
    """Gives back the row of a point."""
    store = g.store[0]
    drop(g.point_of, g.points["key"], p)
    g.points[p].cell = NONE
    g.points[p].next = store.free_point
    store.free_point = p
    store.count -= 1


@compiled
def is_core(g: Tables, p: Row) -> bool:
    """Whether a point is a core point."""
    return bool(g.points[p].anchor == p)


@compiled
def belong(g: Tables, p: Row, core: Row) -> None:
    """Makes `core` the anchor of p: itself, which makes it core, or another, or NONE."""
    before = g.points[p].anchor
    if before != NONE:
        count(g, g.points[before].cell, -np.int32(before == p), np.int32(-1))
    g.points[p].anchor = core
    if core != NONE:
        count(g, g.points[core].cell, np.int32(core == p), np.int32(1))
    if core == p:
        store = g.store[0]
        g.lists[store.promoted].promoted = p
        store.promoted += 1


@compiled
def is_nearer(g: Tables, distance: float, core: Row, anchor_distance: float, anchor: Row) -> bool:
    """Whether a border point belongs rather to `core` than to `anchor`: the nearer, or that of the smaller key.

    So which core point it belongs to depends on nothing but the points.
    """
    if anchor == NONE or distance < anchor_distance:
        return True
    return bool(distance == anchor_distance and g.points[core].key < g.points[anchor].key)
