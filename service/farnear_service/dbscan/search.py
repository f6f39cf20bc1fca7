"""Whether a cluster that lost connections still holds together: searches from several cells, in turns.

Every part that it can fall into has one of the cells that lost a connection: the seeds, of which the i-th is marked as
`reached` by search i. A search starts from each. Where two meet they become one; one that runs out has found a whole
part, cut off from the rest. With one search left in a cluster it is over: what that one has not seen is its part. So no
search goes much farther than the second largest part, and mostly all meet at once.

    s = start(g, seeds)
    search = next_search(s)
    while search != NONE:
        cell = next_cell(g, s, search)
        if cell != NONE:
            ...  # reach(g, s, search, other) for every cell that is connected with it
        search = next_search(s)
    finish(g, s)
"""

from typing import NamedTuple

import numpy as np

from farnear_service.compiled import compiled
from farnear_service.dbscan.clusters import enter, leave, new_cluster
from farnear_service.dbscan.tables import NONE, Row, Rows, Tables


class Searches(NamedTuple):
    """The searches of one deletion.

    By search: what it `became` when it was met; its waiting cells, a list from `head` to `tail`; whether it `ended`;
    its `family`, the first search of the same cluster. By family: how many are `under_way`. `state`: the search that
    was last in turn, how many have yet to meet or to end, and how many cells were visited.
    """

    became: Rows
    head: Rows
    tail: Rows
    ended: Rows
    family: Rows
    under_way: Rows
    state: Rows


@compiled
def add_seed(g: Tables, cell: Row, seeds: Row) -> Row:
    """Adds a cell to that many seeds, unless it is one or has no core points left; returns how many there are now."""
    if g.cells[cell].cores == 0 or g.cells[cell].reached != NONE:
        return seeds
    g.lists[seeds].seed = cell
    g.cells[cell].reached = seeds
    return np.int32(seeds + 1)


@compiled
def start(g: Tables, seeds: Row) -> Searches:
    """Searches from that many seeds, at least one; those of different clusters go on beside each other."""
    head = g.lists["seed"][:seeds].copy()
    family = np.empty(seeds, np.int32)
    under_way = np.zeros(seeds, np.int32)
    for i in range(seeds):
        g.cells[head[i]].waiting = NONE
        g.clusters[g.cells[head[i]].cluster].mark = NONE
    unsettled = 0
    for i in range(seeds):
        cluster = g.cells[head[i]].cluster
        if g.clusters[cluster].mark == NONE:
            g.clusters[cluster].mark = i
        else:
            unsettled += 1
        family[i] = g.clusters[cluster].mark
        under_way[family[i]] += 1
    return Searches(
        np.arange(seeds).astype(np.int32),
        head,
        head.copy(),
        np.zeros(seeds, np.int32),
        family,
        under_way,
        np.array([-1, unsettled, 0], np.int32),
    )


@compiled
def next_search(s: Searches) -> Row:
    """The search whose turn it is, or NONE when all is known."""
    if s.state[1] == 0:
        return NONE
    search = s.state[0]
    while True:
        search = np.int32((search + 1) % len(s.head))
        if s.became[search] == search and not s.ended[search] and s.under_way[s.family[search]] > 1:
            s.state[0] = search
            return search


@compiled
def next_cell(g: Tables, s: Searches, search: Row) -> Row:
    """The cell from which the search goes on, or NONE if it has none left: then it has ended."""
    cell = s.head[search]
    if cell == NONE:
        s.ended[search] = 1
        _settle_one(s, search)
    else:
        s.head[search] = g.cells[cell].waiting
    return cell


@compiled
def reach(g: Tables, s: Searches, search: Row, cell: Row) -> None:
    """The search comes to a cell: one that is new, or one by which it meets another search."""
    if g.cells[cell].reached == NONE:
        g.cells[cell].reached = search
        g.cells[cell].waiting = NONE
        g.lists[s.state[2]].visited = cell
        s.state[2] += 1
        _append(g, s, search, cell, cell)
        return
    met = leader(s, g.cells[cell].reached)
    if met != search:
        s.became[met] = search
        _settle_one(s, search)
        if s.head[met] != NONE:
            _append(g, s, search, s.head[met], s.tail[met])


@compiled
def finish(g: Tables, s: Searches) -> None:
    """Gives every part that was cut off a cluster of its own."""
    seeds, visited = len(s.head), s.state[2]
    part = np.full(seeds, NONE, np.int32)
    for i in range(seeds + visited):
        cell = g.lists[i].seed if i < seeds else g.lists[i - seeds].visited
        search = leader(s, g.cells[cell].reached)
        g.cells[cell].reached = NONE
        if s.ended[search]:
            if part[search] == NONE:
                part[search] = new_cluster(g)
            leave(g, cell)
            enter(g, cell, part[search])


@compiled
def leader(s: Searches, search: Row) -> Row:
    """What a search has become."""
    while s.became[search] != search:
        search = s.became[search]
    return search


@compiled
def _settle_one(s: Searches, search: Row) -> None:
    s.under_way[s.family[search]] -= 1
    s.state[1] -= 1


@compiled
def _append(g: Tables, s: Searches, search: Row, first: Row, last: Row) -> None:
    if s.head[search] == NONE:
        s.head[search] = first
    else:
        g.cells[s.tail[search]].waiting = first
    s.tail[search] = last
