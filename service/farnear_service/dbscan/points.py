"""Points come and go, and belong to core points."""

import numpy as np
from numba import njit

from farnear_service.dbscan.clusters import count
from farnear_service.dbscan.hashing import drop, find, put
from farnear_service.dbscan.tables import NONE, Tables


@njit(cache=True, nogil=True)
def row_of(g: Tables, key: int) -> np.int32:
    """The row of the point with that key, or NONE."""
    return find(g.point_of, g.points["key"], key)


@njit(cache=True, nogil=True)
def add_point(g: Tables, key: int) -> np.int32:
    """The row of a new point: noise so far, alone, and in no cell."""
    store = g.store[0]
    p = store.free_point
    if p == NONE:
        p = store.points
        store.points += 1
    else:
        store.free_point = g.points[p].next
    g.points[p].key = key
    g.points[p].anchor = NONE
    g.points[p].neighbours = 1
    put(g.point_of, g.points["key"], p)
    store.present += 1
    return p


@njit(cache=True, nogil=True)
def remove_point(g: Tables, p: np.int32) -> None:
    """Gives back the row of a point."""
    store = g.store[0]
    drop(g.point_of, g.points["key"], p)
    store.present -= 1
    g.points[p].cell = NONE
    g.points[p].next = store.free_point
    store.free_point = p


@njit(cache=True, nogil=True)
def is_core(g: Tables, p: np.int32) -> bool:
    return g.points[p].anchor == p


@njit(cache=True, nogil=True)
def belong(g: Tables, p: np.int32, core: np.int32) -> None:
    """Makes `core` the anchor of p, which may be p itself, or NONE."""
    before = g.points[p].anchor
    if before != NONE:
        count(g, g.points[before].cell, -np.int32(before == p), np.int32(-1))
    g.points[p].anchor = core
    if core != NONE:
        count(g, g.points[core].cell, np.int32(core == p), np.int32(1))


@njit(cache=True, nogil=True)
def is_nearer(g: Tables, distance: float, core: np.int32, to_anchor: float, anchor: np.int32) -> bool:
    """Whether a point would rather belong to `core` than to its `anchor`: by distance, and by key where these are equal.

    So which core point a border point belongs to depends on nothing but the points.
    """
    if anchor == NONE or distance < to_anchor:
        return True
    return distance == to_anchor and g.points[core].key < g.points[anchor].key


@njit(cache=True, nogil=True)
def note_promotion(g: Tables, p: np.int32) -> None:
    """Writes into the journal that p became core in this batch."""
    store = g.store[0]
    g.lists[store.promoted].promoted = p
    store.promoted += 1
