"""The clusters of a collection and what happened to them.

Which clusters there are follows from the positions of the items alone. Which is which does not: it depends on all that
happened before. So one core point of each cluster is written down with every change, in the transaction that holds the
positions and the events, and a start finds the same clusters by the same numbers.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.dbscan import Change, ClusterEvent
from farnear_service.store.database import Database
from farnear_service.types import Collection

SIZE_EVENTS = 100_000  # events of growth and shrinkage that are kept of a collection; the others are kept all
_ROWS_AT_ONCE = 10_000  # in one transaction, so that writers of items need not wait long

Keys = NDArray[np.int64]
Positions = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """What is on disk of the clusters of a collection: the settings that made them, and all that identifies them.

    `keys` (N,) ascending are the items on the map of `version`, `positions` (N, 2) their places, `identities` the key
    of one core point of each cluster, and `next_id` the next new cluster.
    """

    version: int
    eps: float
    min_samples: int
    perplexity: float
    next_id: int
    identities: Mapping[int, int]
    keys: Keys
    positions: Positions


@dataclass(frozen=True, kw_only=True)
class ClusteringChange:
    """What to write down of a step: everything but the items on the map, of which only what was added and removed."""

    version: int
    eps: float
    min_samples: int
    perplexity: float
    next_id: int
    identities: Mapping[int, int]
    added: Keys
    positions: Positions
    removed: Sequence[int]
    events: Sequence[ClusterEvent]


@dataclass(frozen=True, kw_only=True)
class RecordedEvent:
    """An event with its number, which ascends, its Unix time in seconds, and the version of the map."""

    number: int
    time: float
    version: int
    event: ClusterEvent


class Clusterings(Database):
    """What can be done with the clusters of a collection."""

    def clustering(self, collection: Collection) -> Clustering | None:
        """The clusters as they were written down last; None while there are none."""
        connection = self._connection()
        row = connection.execute(
            "SELECT key, version, eps, min_samples, perplexity, next_id FROM clusterings"
            " WHERE collection = ? AND version > 0",
            (collection.key,),
        ).fetchone()
        if row is None:
            return None
        key, version, eps, min_samples, perplexity, next_id = row
        placed = connection.execute(
            "SELECT item, x, y FROM placements WHERE clustering = ? AND version = ? ORDER BY item", (key, version)
        )
        keys, xs, ys = _columns(placed)
        return Clustering(
            version=version,
            eps=eps,
            min_samples=min_samples,
            perplexity=perplexity,
            next_id=next_id,
            identities=dict(
                connection.execute("SELECT cluster, item FROM cluster_identities WHERE clustering = ?", (key,))
            ),
            keys=keys,
            positions=np.column_stack([xs, ys]),
        )

    def stage_placements(self, collection: Collection, version: int, keys: Keys, positions: Positions) -> None:
        """Writes down the places of items (N,) on a map to come, which count from `save_clustering` on."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO clusterings (collection) VALUES (?) ON CONFLICT DO NOTHING", (collection.key,)
            )
        self._drop_placements(collection, "version >= ?", version)  # of an attempt that was cut off
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            with self._transaction() as connection:
                _add_placements(connection, collection, version, keys[part], positions[part])

    def save_clustering(self, collection: Collection, change: ClusteringChange) -> None:
        """Writes down a step of the clusters in one transaction; on disk when this returns.

        Nothing is written for a collection that is gone.
        """
        with self._transaction() as connection:
            before = connection.execute(
                "SELECT version FROM clusterings WHERE collection = ?", (collection.key,)
            ).fetchone()
            found = connection.execute(
                "INSERT INTO clusterings (collection, version, eps, min_samples, perplexity, next_id)"
                " SELECT key, ?, ?, ?, ?, ? FROM collections WHERE key = ?"
                " ON CONFLICT DO UPDATE SET version = excluded.version, eps = excluded.eps,"
                " min_samples = excluded.min_samples, perplexity = excluded.perplexity, next_id = excluded.next_id"
                " RETURNING key",
                (
                    change.version,
                    change.eps,
                    change.min_samples,
                    change.perplexity,
                    change.next_id,
                    collection.key,
                ),
            ).fetchall()
            if not found:
                return
            ((key,),) = found
            _add_placements(connection, collection, change.version, change.added, change.positions)
            connection.executemany(
                "DELETE FROM placements WHERE clustering = ? AND version = ? AND item = ?",
                [(key, change.version, item) for item in change.removed],
            )
            _set_identities(connection, key, change.identities)
            _add_events(connection, key, change)
        if before is not None and before[0] < change.version:
            self._drop_placements(collection, "version < ?", change.version)

    def cluster_events(self, collection: Collection, *, after: int, limit: int) -> list[RecordedEvent]:
        """Up to `limit` events from behind the number `after` on, in order."""
        rows = self._connection().execute(
            "SELECT number, time, cluster_events.version, change, cluster, size, size_before, parents"
            " FROM cluster_events JOIN clusterings ON clustering = clusterings.key"
            " WHERE collection = ? AND number > ? ORDER BY number LIMIT ?",
            (collection.key, after, limit),
        )
        return [
            RecordedEvent(
                number=number,
                time=when,
                version=version,
                event=ClusterEvent(
                    change=Change(change),
                    cluster=cluster,
                    size=size,
                    size_before=size_before,
                    parents=tuple(json.loads(parents)),
                ),
            )
            for number, when, version, change, cluster, size, size_before, parents in rows
        ]

    def newest_cluster_event(self, collection: Collection) -> int:
        """The number of the newest event, 0 where there is none."""
        (number,) = (
            self._connection()
            .execute(
                "SELECT ifnull(max(number), 0) FROM cluster_events"
                " WHERE clustering = (SELECT key FROM clusterings WHERE collection = ?)",
                (collection.key,),
            )
            .fetchone()
        )
        return int(number)

    def _drop_placements(self, collection: Collection, which: str, version: int) -> None:
        dropped = _ROWS_AT_ONCE
        while dropped == _ROWS_AT_ONCE:
            with self._transaction() as connection:
                dropped = connection.execute(
                    "DELETE FROM placements WHERE (clustering, version, item) IN (SELECT clustering, version, item"
                    " FROM placements WHERE clustering = (SELECT key FROM clusterings WHERE collection = ?)"
                    f" AND {which} LIMIT ?)",
                    (collection.key, version, _ROWS_AT_ONCE),
                ).rowcount


def _add_placements(
    connection: sqlite3.Connection, collection: Collection, version: int, keys: Keys, positions: Positions
) -> None:
    connection.executemany(
        "INSERT INTO placements (clustering, version, item, x, y)"
        " SELECT key, ?, ?, ?, ? FROM clusterings WHERE collection = ?",
        [(version, key, x, y, collection.key) for key, (x, y) in zip(keys.tolist(), positions.tolist(), strict=True)],
    )


def _set_identities(connection: sqlite3.Connection, key: int, identities: Mapping[int, int]) -> None:
    before = dict(connection.execute("SELECT cluster, item FROM cluster_identities WHERE clustering = ?", (key,)))
    connection.executemany(
        "DELETE FROM cluster_identities WHERE clustering = ? AND cluster = ?",
        [(key, cluster) for cluster in before.keys() - identities.keys()],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO cluster_identities (clustering, cluster, item) VALUES (?, ?, ?)",
        [(key, cluster, item) for cluster, item in identities.items() if before.get(cluster) != item],
    )


def _add_events(connection: sqlite3.Connection, key: int, change: ClusteringChange) -> None:
    if not change.events:
        return
    now = time.time()
    connection.executemany(
        "INSERT INTO cluster_events (clustering, time, version, change, cluster, size, size_before, parents)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                key,
                now,
                change.version,
                event.change.value,
                event.cluster,
                event.size,
                event.size_before,
                json.dumps(event.parents),
            )
            for event in change.events
        ],
    )
    sizes = "clustering = ?1 AND change IN ('grown', 'shrunk')"
    connection.execute(
        f"DELETE FROM cluster_events WHERE {sizes} AND number <="
        f" (SELECT number FROM cluster_events WHERE {sizes} ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (key, SIZE_EVENTS),
    )


def _columns(rows: Iterable[tuple[int, float, float]]) -> tuple[Keys, Positions, Positions]:
    found = np.fromiter(rows, dtype=[("item", np.int64), ("x", np.float64), ("y", np.float64)])
    return found["item"].copy(), found["x"].copy(), found["y"].copy()
