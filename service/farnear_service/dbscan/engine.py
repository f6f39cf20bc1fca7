"""Incremental DBSCAN: after every update the clusters that DBSCAN from scratch would find, with identities that last.

References: Ester, Kriegel, Sander, Xu 1996 (DBSCAN); Ester, Kriegel, Sander, Wimmer, Xu 1998 (incremental DBSCAN).
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from farnear_service.dbscan.clusters import Numbers, clear_journal, kept_cores, smallest_keys, touched_clusters
from farnear_service.dbscan.hashing import find
from farnear_service.dbscan.identity import ClusterEvent, identify, match_clusters, size_changes
from farnear_service.dbscan.snapshot import Points, Snapshot
from farnear_service.dbscan.tables import NONE, Rows, Tables, new_tables, with_room

_NO_KEYS = np.empty(0, np.int64)


class IncrementalDbscan(ABC):
    """DBSCAN of points that come and go, each known by an int64 key.

    After every update: the core points, the partition of the core points and the noise of scikit-learn's DBSCAN on the present
    points, the point itself counted and distance <= eps. A border point belongs to the nearest core point within eps, of
    equally near ones to that of the smallest key. So all but the identities depends on the present points alone. Identities
    depend on the updates, but not on the order of the points in one (see `identity.py`).

    One thread writes; other threads read the snapshots that it took.
    """

    cosine: bool

    def __init__(self, *, eps: float, min_samples: int, dim: int) -> None:
        if min_samples < 1:
            raise ValueError(f"min_samples: is {min_samples}, and must be at least 1")
        self._tables = new_tables(eps, min_samples)
        self._dim = dim
        self._sizes: dict[int, int] = {}
        self._next_id = 0
        self._by_key: Rows = np.empty(
            0, np.int32
        )  # all rows that were ever used, in the order of keys at the last snapshot

    def __len__(self) -> int:
        return int(self._tables.store["present"][0])

    def __contains__(self, key: int) -> bool:
        return bool(find(self._tables.point_of, self._tables.points["key"], key) != NONE)

    @property
    def sizes(self) -> Mapping[int, int]:
        """How many members each cluster has, by identity, border points included; a live view."""
        return MappingProxyType(self._sizes)

    def insert(self, keys: ArrayLike, points: ArrayLike) -> tuple[ClusterEvent, ...]:
        """Adds points; see `update`."""
        return self.update(keys, points, _NO_KEYS)

    def delete(self, keys: ArrayLike) -> tuple[ClusterEvent, ...]:
        """Removes points; see `update`."""
        return self.update(_NO_KEYS, np.empty((0, self._dim)), keys)

    def update(self, keys: ArrayLike, points: ArrayLike, deleted: ArrayLike) -> tuple[ClusterEvent, ...]:
        """Adds points by `keys` (N,), `points` (N, D), and removes those of the keys `deleted`, as one batch.

        Returns:
            What happened to the clusters between the moment before and the moment after, by identity.

        Raises:
            ValueError: A key comes twice, is there already, or is to be deleted and not there; or a point is not one of the
                space. Nothing has changed then.
        """
        added, gone = _as_keys(keys, "keys"), _as_keys(deleted, "deleted")
        checked = self._check(points)
        if len(checked) != len(added):
            raise ValueError(f"points: are {len(checked)} for {len(added)} keys")
        there = _rows_of(self._tables, added) != NONE
        if there.any():
            raise ValueError(f"keys: {added[there][0]} is there already")
        missing = _rows_of(self._tables, gone) == NONE
        if missing.any():
            raise ValueError(f"deleted: {gone[missing][0]} is not there")
        self._make_room(len(added))
        if len(added):
            self._insert(added, checked)
        if len(gone):
            self._delete(gone)
        return self._settle()

    def load(self, keys: ArrayLike, points: ArrayLike, previous: Snapshot | None = None) -> tuple[ClusterEvent, ...]:
        """Adds the first points, whose clusters inherit the identities of `previous`, say of an older map of the same keys.

        With the keys and points of `previous` itself it restores what that was taken from: the same identities, and no events.

        Returns:
            What happened to the clusters since `previous`.

        Raises:
            ValueError: There are points already; or as `update`.
        """
        if len(self):
            raise ValueError(f"load: there are {len(self)} points already")
        events = self.insert(keys, points)
        if previous is None:
            return events
        ids, matched = match_clusters(previous, self.snapshot())
        clusters = self._tables.clusters
        rows = np.flatnonzero(clusters["cells"]).tolist()
        self._sizes.clear()
        self._next_id = previous.next_id
        self._rename(
            {row: ids[number] for row, number in zip(rows, clusters["id"][rows].tolist(), strict=True)},
            dict(zip(rows, clusters["members"][rows].tolist(), strict=True)),
        )
        return matched

    def snapshot(self) -> Snapshot:
        """What is there now. O(N): some 50 ms for a million points in the plane, and 41 bytes of memory for each."""
        g = self._tables
        used = int(g.store["points"][0])
        # Mostly in order since the last time: then sorting is a pass.
        rows = np.concatenate([self._by_key, np.arange(len(self._by_key), used, dtype=np.int32)])
        rows = rows[np.argsort(g.points["key"][:used].copy()[rows], kind="stable")]
        self._by_key = rows
        labels, core, present = _labels(g)
        rows = rows[present[rows]]
        arrays = g.points["key"][rows], self._points_at(rows), labels[rows], core[rows]
        for array in arrays:
            array.setflags(write=False)
        return Snapshot(
            keys=arrays[0],
            points=arrays[1],
            labels=arrays[2],
            core=arrays[3],
            next_id=self._next_id,
            eps=float(g.store["eps"][0]),
            cosine=self.cosine,
        )

    @abstractmethod
    def _check(self, points: ArrayLike) -> Points:
        """The points as float64 (N, D); raises ValueError if they are not points of the space."""

    @abstractmethod
    def _insert(self, keys: Numbers, points: Points) -> None: ...

    @abstractmethod
    def _delete(self, keys: Numbers) -> None: ...

    @abstractmethod
    def _points_at(self, rows: Rows) -> Points: ...

    def _make_room(self, more: int) -> None:
        self._tables = with_room(self._tables, more)

    def _settle(self) -> tuple[ClusterEvent, ...]:
        """Gives identities to the clusters after a batch, and begins the next one."""
        g = self._tables
        rows, ids, sizes = (part.tolist() for part in touched_clusters(g))
        if g.store["restructured"][0]:
            events = self._identify(dict(zip(rows, sizes, strict=True)))
        else:
            after = dict(zip(ids, sizes, strict=True))
            events = size_changes(self._sizes, after)
            self._sizes |= after
        clear_journal(g)
        return events

    def _identify(self, after: dict[int, int]) -> tuple[ClusterEvent, ...]:
        g = self._tables
        involved: set[int] = set()
        shared: Counter[tuple[int, int]] = Counter()
        for identity, row, cores in zip(*(part.tolist() for part in kept_cores(g)), strict=True):
            involved.add(identity)
            if cores:
                shared[identity, row] += cores
        before = {identity: self._sizes.pop(identity) for identity in involved}
        ids, events = identify(
            before, after, shared, lambda rows: smallest_keys(g, np.array(rows, np.int32)).tolist(), self._next_id
        )
        self._rename(ids, after)
        return events

    def _rename(self, ids: Mapping[int, int], sizes: Mapping[int, int]) -> None:
        """Gives rows of clusters their identities, and takes note of their sizes."""
        self._tables.clusters["id"][list(ids.keys())] = list(ids.values())
        self._sizes |= {identity: sizes[row] for row, identity in ids.items()}
        self._next_id = max([self._next_id, *(identity + 1 for identity in ids.values())])


def _as_keys(keys: ArrayLike, name: str) -> Numbers:
    array = np.asarray(keys)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{name}: must be a list of whole numbers, and are {array.dtype} of shape {array.shape}")
    array = array.astype(np.int64)
    if len(array) > 1:
        ordered = np.sort(array)
        twice = ordered[1:] == ordered[:-1]
        if twice.any():
            raise ValueError(f"{name}: {ordered[1:][twice][0]} comes twice")
    return array


@njit(cache=True, nogil=True)
def _rows_of(g: Tables, keys: Numbers) -> Rows:
    rows = np.empty(len(keys), np.int32)
    for i in range(len(keys)):
        rows[i] = find(g.point_of, g.points["key"], keys[i])
    return rows


@njit(cache=True, nogil=True)
def _labels(g: Tables) -> tuple[Numbers, NDArray[np.bool_], NDArray[np.bool_]]:
    """Of every row of a point: the identity of its cluster or NONE, whether it is core, and whether it is in use."""
    used = g.store[0].points
    labels = np.full(used, NONE, np.int64)
    core = np.zeros(used, np.bool_)
    present = np.zeros(used, np.bool_)
    for p in range(used):
        if g.points[p].cell != NONE:
            present[p] = True
            anchor = g.points[p].anchor
            core[p] = anchor == p
            if anchor != NONE:
                labels[p] = g.clusters[g.cells[g.points[anchor].cell].cluster].id
    return labels, core, present
