"""What the insertion of a point changes in the plane (Ester et al. 1998, section 4.2).

The paper tells four cases apart by the clusters of the core points around those that have become core. Here every
point that becomes core is looked at by itself: it is of one cluster with the core points within eps, and border points
that it is nearest to belong to it. Noise, creation, absorption and merge come out of that, also several at once.
"""

from farnear_service.compiled import compiled
from farnear_service.dbscan.clusters import enter, join, new_cluster
from farnear_service.dbscan.grid import enter_grid, find_near, is_full, link, squared_distance
from farnear_service.dbscan.points import add_point, belong, is_core, is_nearer
from farnear_service.dbscan.tables import NONE, Numbers, Points, Row, Tables


@compiled
def insert_points(g: Tables, keys: Numbers, positions: Points) -> None:
    """Inserts points by `keys` (N,) at `positions` (N, 2), one after the other."""
    for i in range(len(keys)):
        p = add_point(g, keys[i])
        enter_grid(g, p, positions[i, 0], positions[i, 1])
        for j in range(_count_in(g, p)):
            _promote(g, g.lists[j].changed)


@compiled
def _count_in(g: Tables, p: Row) -> int:
    """Counts p and its neighbours; lists the points that `changed` to core, returns how many. Else anchors p."""
    here = g.points[p].cell
    full_here = is_full(g, here)
    gained = 0
    if g.cells[here].points == g.store[0].min_samples:
        q = g.cells[here].first
        while q != NONE:
            if q != p and not is_core(g, q):
                g.lists[gained].changed = q
                gained += 1
            q = g.points[q].next
    neighbours = 1
    nearest, distance = NONE, 0.0
    for i in range(find_near(g, p)):
        cell = g.lists[i].near
        full = is_full(g, cell)
        if full and full_here:
            continue
        q = g.cells[cell].first
        while q != NONE:
            squared = squared_distance(g, p, q)
            if q != p and squared <= g.store[0].squared_eps:
                neighbours += 1
                if not full:
                    g.points[q].neighbours += 1
                    if g.points[q].neighbours == g.store[0].min_samples:
                        g.lists[gained].changed = q
                        gained += 1
                if is_core(g, q) and is_nearer(g, squared, q, distance, nearest):
                    nearest, distance = q, squared
            q = g.points[q].next
    g.points[p].neighbours = neighbours
    if full_here or neighbours >= g.store[0].min_samples:
        g.lists[gained].changed = p
        gained += 1
    else:
        belong(g, p, nearest)
    return gained


@compiled
def _promote(g: Tables, p: Row) -> None:
    """Makes p core, of one cluster with the core points around it, and the anchor of border points it is nearest to."""
    here = g.points[p].cell
    belong(g, p, p)
    if g.cells[here].cluster == NONE:
        enter(g, here, new_cluster(g))
    for i in range(find_near(g, p)):
        cell, way = g.lists[i].near, g.lists[i].way
        linking = cell != here and g.cells[cell].cores > 0 and not (g.cells[here].links >> way) & 1
        full = is_full(g, cell)
        q = g.cells[cell].first if linking or not full else NONE
        while q != NONE:
            squared = squared_distance(g, p, q)
            if squared <= g.store[0].squared_eps:
                if not is_core(g, q):
                    anchor = g.points[q].anchor
                    distance = squared_distance(g, q, anchor) if anchor != NONE else 0.0
                    if is_nearer(g, squared, p, distance, anchor):
                        belong(g, q, p)
                elif linking:
                    link(g, here, cell, way)
                    join(g, here, cell)
                    linking = False
                    if full:
                        break
            q = g.points[q].next
