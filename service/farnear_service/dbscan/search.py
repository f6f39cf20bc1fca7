"""Which parts of a cluster still hold together after it lost connections: searches from several cells, in turns.

Each part has one of the cells that lost a connection: the seeds, the i-th marked as `reached` by search i. A search starts
from each. Where two meet they become one; one that runs out has found a whole part, cut off from the rest. With one search
left in a cluster it is over: what that one has not seen is its part. So a search goes hardly farther than the second largest
part, and mostly all meet at once.

    searches = start(g, seeds)
    search = next_search(g, searches)
    while search != NONE:
        cell = next_cell(g, searches, search)
        if cell != NONE:
            ... reach(g, searches, search, other) for every cell that is connected with it
        search = next_search(g, searches)
    finish(g, searches)
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from farnear_service.dbscan.clusters import enter, leave, new_cluster
from farnear_service.dbscan.tables import NONE, Rows, Tables


class Searches(NamedTuple):
    """By search: what it `became` when it met another, its cells that wait from `head` to `tail`, whether it `ended`.

    And its `family`, the first search of the same cluster; by family, how many are `under_way`. `state` is the search whose
    turn it was, how many have yet to meet or end, and the number of cells visited.
    """

    became: Rows
    head: Rows
    tail: Rows
    ended: Rows
    family: Rows
    under_way: Rows
    state: Rows


@njit(cache=True, nogil=True)
def add_seed(g: Tables, cell: np.int32, seeds: np.int32) -> np.int32:
    """Lists a cell that is still in a cluster as a seed, if it is not one yet; returns how many there are now."""
    if g.cells[cell].cores == 0 or g.cells[cell].reached != NONE:
        return seeds
    g.lists[seeds].seed = cell
    g.cells[cell].reached = seeds
    return np.int32(seeds + 1)


@njit(cache=True, nogil=True)
def start(g: Tables, seeds: int) -> Searches:
    """Searches from the first `seeds` of that list, which may be of several clusters."""
    head = g.lists["seed"][:seeds].copy()
    family = np.empty(seeds, np.int32)
    under_way = np.zeros(seeds, np.int32)
    state = np.array([-1, seeds, 0], np.int32)
    for i in range(seeds):
        g.cells[head[i]].waiting = NONE
        g.clusters[g.cells[head[i]].cluster].mark = NONE
    for i in range(seeds):
        cluster = g.cells[head[i]].cluster
        if g.clusters[cluster].mark == NONE:
            g.clusters[cluster].mark = i
            state[1] -= 1
        family[i] = g.clusters[cluster].mark
        under_way[family[i]] += 1
    became = np.arange(seeds).astype(np.int32)
    return Searches(became, head, head.copy(), np.zeros(seeds, np.int32), family, under_way, state)


@njit(cache=True, nogil=True)
def next_search(s: Searches) -> np.int32:
    """The search whose turn it is, or NONE when all is known."""
    if s.state[1] == 0:
        return NONE
    search = s.state[0]
    while True:
        search = (search + 1) % len(s.head)
        if s.became[search] == search and not s.ended[search] and s.under_way[s.family[search]] > 1:
            s.state[0] = search
            return np.int32(search)


@njit(cache=True, nogil=True)
def next_cell(g: Tables, s: Searches, search: np.int32) -> np.int32:
    """A cell for the search to go on from, or NONE: then it has ended."""
    cell = s.head[search]
    if cell == NONE:
        s.ended[search] = 1
        _one_less(s, search)
    else:
        s.head[search] = g.cells[cell].waiting
    return cell


@njit(cache=True, nogil=True)
def reach(g: Tables, s: Searches, search: np.int32, cell: np.int32) -> None:
    """The search comes to a cell: a new one, or one of a search that it thereby meets."""
    if g.cells[cell].reached == NONE:
        g.cells[cell].reached = search
        g.cells[cell].waiting = NONE
        g.lists[s.state[2]].visited = cell
        s.state[2] += 1
        _append(g, s, search, cell, cell)
        return
    met = root(s, g.cells[cell].reached)
    if met != search:
        s.became[met] = search
        _one_less(s, search)
        if s.head[met] != NONE:
            _append(g, s, search, s.head[met], s.tail[met])


@njit(cache=True, nogil=True)
def finish(g: Tables, s: Searches) -> None:
    """Gives every part that was cut off a cluster of its own."""
    part = np.full(len(s.head), NONE, np.int32)
    for i in range(len(s.head) + s.state[2]):
        cell = g.lists[i].seed if i < len(s.head) else g.lists[i - len(s.head)].visited
        search = root(s, g.cells[cell].reached)
        g.cells[cell].reached = NONE
        if s.ended[search]:
            if part[search] == NONE:
                part[search] = new_cluster(g)
            leave(g, cell)
            enter(g, cell, part[search])


@njit(cache=True, nogil=True)
def root(s: Searches, search: np.int32) -> np.int32:
    """The search that this one has become."""
    while s.became[search] != search:
        search = s.became[search]
    return search


@njit(cache=True, nogil=True)
def _one_less(s: Searches, search: np.int32) -> None:
    s.under_way[s.family[search]] -= 1
    s.state[1] -= 1


@njit(cache=True, nogil=True)
def _append(g: Tables, s: Searches, search: np.int32, first: np.int32, last: np.int32) -> None:
    if s.head[search] == NONE:
        s.head[search] = first
    else:
        g.cells[s.tail[search]].waiting = first
    s.tail[search] = last
