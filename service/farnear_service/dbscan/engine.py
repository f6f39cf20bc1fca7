"""Incremental DBSCAN in any space: keys, batches, identities and snapshots.

References: Ester, Kriegel, Sander, Xu 1996 (DBSCAN); Ester, Kriegel, Sander, Wimmer, Xu 1998 (incremental DBSCAN).
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farnear_service.compiled import compiled
from farnear_service.dbscan.clusters import clear_journal, kept_cores, smallest_keys, touched_clusters
from farnear_service.dbscan.identity import ClusterEvent, identify, match_clusters, size_changes
from farnear_service.dbscan.points import row_of
from farnear_service.dbscan.snapshot import NOISE, Snapshot
from farnear_service.dbscan.tables import NONE, Numbers, Points, Tables, new_tables, with_room

_NO_KEYS = np.empty(0, np.int64)


class IncrementalDbscan(ABC):
    """DBSCAN of points that come and go, each known by an int64 key.

    After every batch there are the same core points, the same partition of the core points and the same noise as
    scikit-learn's DBSCAN finds for the present points: the point itself counted, and distance <= eps. A border point
    belongs to the nearest core point, of equally near ones to that of the smallest key. So all of it depends on the
    present points alone, except for the identities of clusters: these depend on the batches before (see identity.py),
    but not on the order within one.

    For one thread that writes; others read the snapshots that it took.
    """

    cosine: bool

    def __init__(self, *, eps: float, min_samples: int, dim: int) -> None:
        if not 1 <= min_samples < 2**31:
            raise ValueError(f"min_samples: is {min_samples}, and must be from 1 to {2**31 - 1}")
        self._tables = new_tables(eps, min_samples)
        self._dim = dim
        self._sizes: dict[int, int] = {}
        self._next_id = 0
        self._by_key = np.empty(0, np.int64)  # all rows there were at the last snapshot, by their keys then

    def __len__(self) -> int:
        return int(self._tables.store["count"][0])

    def __contains__(self, key: int) -> bool:
        return bool(row_of(self._tables, key) != NONE)

    @property
    def sizes(self) -> Mapping[int, int]:
        """The number of members of each cluster, border points included, by identity; follows every batch."""
        return MappingProxyType(self._sizes)

    def insert(self, keys: ArrayLike, points: ArrayLike) -> tuple[ClusterEvent, ...]:
        """Adds points, as `update` does."""
        return self.update(keys, points, _NO_KEYS)

    def delete(self, keys: ArrayLike) -> tuple[ClusterEvent, ...]:
        """Removes points, as `update` does."""
        return self.update(_NO_KEYS, np.empty((0, self._dim)), keys)

    def update(self, keys: ArrayLike, points: ArrayLike, deleted: ArrayLike) -> tuple[ClusterEvent, ...]:
        """Adds `points` (N, D) by `keys` (N,) and then removes those of the keys `deleted`, as one batch.

        Returns:
            What happened to the clusters between the moment before and the moment after, by identity.

        Raises:
            ValueError: A key comes twice, is there already, or is to be deleted and not there; or a point is not of the
                space. Nothing has changed then.
        """
        added, gone, checked = _as_keys(keys, "keys"), _as_keys(deleted, "deleted"), self._check(points)
        if len(checked) != len(added):
            raise ValueError(f"points: are {len(checked)} for {len(added)} keys")
        there, missing = _find_wrong(self._tables, added, gone)
        if there >= 0:
            raise ValueError(f"keys: {added[there]} is there already")
        if missing >= 0:
            raise ValueError(f"deleted: {gone[missing]} is not there")
        if len(added):
            self._make_room(len(added))
            self._insert(added, checked)
        if len(gone):
            self._delete(gone)
        if len(added) and len(gone):
            self._tables.store["restructured"] = 1  # a cluster may have exchanged all of its core points
        return self._settle()

    def load(self, keys: ArrayLike, points: ArrayLike, previous: Snapshot | None = None) -> tuple[ClusterEvent, ...]:
        """Adds the first points, whose clusters inherit identities from `previous`, say of the same keys on an old map.

        With the keys and points of `previous` itself it restores what that was taken of, and nothing has happened.

        Returns:
            What happened to the clusters since `previous`.

        Raises:
            ValueError: There are points already; or as for `update`.
        """
        if len(self):
            raise ValueError(f"load: there are {len(self)} points already")
        events = self.insert(keys, points)
        if previous is None:
            return events
        ids, events = match_clusters(previous, self.snapshot())
        self._rename(ids, previous.next_id)
        return events

    def restore(self, keys: ArrayLike, points: ArrayLike, identities: Mapping[int, int], next_id: int) -> None:
        """Adds the first points, whose clusters have the identities that were written down for these very points.

        `identities` tells the key of one core point of each cluster, as `Snapshot.representatives` does. A cluster that
        is not among them gets a new identity, from `next_id` on.

        Raises:
            ValueError: There are points already; or as for `update`.
        """
        if len(self):
            raise ValueError(f"restore: there are {len(self)} points already")
        self.insert(keys, points)
        now = self.snapshot()
        ids: dict[int, int] = {}
        for identity, key in identities.items():
            label = now.of(key)
            if label is not None and label != NOISE:
                ids.setdefault(label, identity)
        for label in sorted(self._sizes.keys() - ids.keys()):
            ids[label] = next_id
            next_id += 1
        self._rename(ids, next_id)

    def snapshot(self) -> Snapshot:
        """What is there now, in arrays of its own. O(N): for a million points in the plane some 60 ms and 33 MB."""
        g = self._tables
        used = int(g.store["points"][0])
        all_keys = g.points["key"][:used].copy()
        # From one snapshot to the next most rows stay in order, and a stable sort of what is nearly sorted is one pass.
        rows = np.concatenate([self._by_key, np.arange(len(self._by_key), used)])
        self._by_key = rows = rows[np.argsort(all_keys[rows], kind="stable")]
        present, labels, core = _labels(g)
        rows = rows[present[rows]]
        keys, points, labels, core = all_keys[rows], self._points_at(rows), labels[rows], core[rows]
        for array in (keys, points, labels, core):
            array.setflags(write=False)
        return Snapshot(
            keys=keys,
            points=points,
            labels=labels,
            core=core,
            next_id=self._next_id,
            eps=float(g.store["eps"][0]),
            cosine=self.cosine,
        )

    @abstractmethod
    def _check(self, points: ArrayLike) -> Points:
        """The points as float64 (N, D), vectors of unit length; raises ValueError if they are not of the space."""

    @abstractmethod
    def _insert(self, keys: Numbers, points: Points) -> None: ...

    @abstractmethod
    def _delete(self, keys: Numbers) -> None: ...

    @abstractmethod
    def _points_at(self, rows: Numbers) -> Points: ...

    def _make_room(self, more: int) -> None:
        self._tables = with_room(self._tables, more)

    def _settle(self) -> tuple[ClusterEvent, ...]:
        """Gives the clusters their identities after a batch, and begins the next one."""
        rows, ids, members = (column.tolist() for column in touched_clusters(self._tables))
        if self._tables.store["restructured"][0]:
            events = self._identify(dict(zip(rows, members, strict=True)))
        else:
            sizes = dict(zip(ids, members, strict=True))
            events = size_changes(self._sizes, sizes)
            self._sizes |= sizes
        clear_journal(self._tables)
        return events

    def _identify(self, after: Mapping[int, int]) -> tuple[ClusterEvent, ...]:
        g = self._tables
        touched: set[int] = set()
        shared: Counter[tuple[int, int]] = Counter()
        for identity, row, cores in zip(*(column.tolist() for column in kept_cores(g)), strict=True):
            touched.add(identity)
            if cores:
                shared[identity, row] += cores
        before = {identity: self._sizes.pop(identity) for identity in touched}
        ids, events = identify(
            before, after, shared, lambda rows: smallest_keys(g, np.array(rows, np.int32)).tolist(), self._next_id
        )
        self._name(list(ids), list(ids.values()), [after[row] for row in ids])
        return events

    def _rename(self, ids: Mapping[int, int], next_id: int) -> None:
        """Gives every cluster another identity, `ids` by the one that it has."""
        clusters = self._tables.clusters
        rows = np.flatnonzero(clusters["cells"])
        self._sizes.clear()
        self._next_id = next_id
        self._name(
            rows.tolist(), [ids[label] for label in clusters["id"][rows].tolist()], clusters["members"][rows].tolist()
        )

    def _name(self, rows: list[int], ids: list[int], sizes: list[int]) -> None:
        self._tables.clusters["id"][rows] = ids
        self._sizes |= zip(ids, sizes, strict=True)
        self._next_id = max([self._next_id, *(identity + 1 for identity in ids)])


def _as_keys(keys: ArrayLike, name: str) -> Numbers:
    array = np.asarray(keys)
    if array.ndim != 1 or (array.size and not (array.dtype.kind in "iu" and np.can_cast(array.dtype, np.int64))):
        raise ValueError(f"{name}: must be int64 of shape (N,), and are {array.dtype} of shape {array.shape}")
    array = array.astype(np.int64)
    if len(array) > 1:
        ordered = np.sort(array)
        again = ordered[1:] == ordered[:-1]
        if again.any():
            raise ValueError(f"{name}: {ordered[1:][again][0]} comes twice")
    return array


@compiled
def _find_wrong(g: Tables, added: Numbers, gone: Numbers) -> tuple[int, int]:
    """Where in `added` a key is that is there, and where in `gone` one that is not; or -1."""
    there, missing = -1, -1
    for i in range(len(added)):
        if row_of(g, added[i]) != NONE:
            there = i
    for i in range(len(gone)):
        if row_of(g, gone[i]) == NONE:
            missing = i
    return there, missing


@compiled
def _labels(g: Tables) -> tuple[NDArray[np.bool_], Numbers, NDArray[np.bool_]]:
    """Of every row of a point: whether it is in use, the identity of its cluster or NONE, and whether it is core."""
    used = g.store[0].points
    present = np.zeros(used, np.bool_)
    labels = np.full(used, -1, np.int64)
    core = np.zeros(used, np.bool_)
    for p in range(used):
        if g.points[p].cell != NONE:
            anchor = g.points[p].anchor
            present[p] = True
            core[p] = anchor == p
            if anchor != NONE:
                labels[p] = g.clusters[g.cells[g.points[anchor].cell].cluster].id
    return present, labels, core
