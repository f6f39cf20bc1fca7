"""A collection in memory: its index and its map, and the one way in which either changes."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from farnear_service.batcher import Batcher
from farnear_service.errors import PreconditionError, ServiceError
from farnear_service.filters import Filter, check, check_attributes, matching, mentions
from farnear_service.index import Generation, Index, build
from farnear_service.maps import MapSettings
from farnear_service.metrics import Metrics
from farnear_service.pipeline.gathering import GatheredSearches
from farnear_service.pipeline.living_map import LivingMap
from farnear_service.store import Deletion, Row, Store, Written
from farnear_service.types import Collection, Hit, Item, Outcome, Schema

MAX_GROUP = 64  # writes that one transaction may gather
MAX_WAITING = 256  # writes that may wait; the others wait outside

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Upsert:
    """Rows to write. Its result is an outcome for each."""

    rows: Sequence[Row]


Write = Upsert | Deletion
Done = list[Outcome] | int
"""What a write did: an outcome for each row of an upsert, or how many items a deletion found."""


class LiveCollection:
    """One collection, ready to answer. Belongs to the event loop that runs `keep_current`.

    Writers wait in one queue. What waits together goes to the store in one transaction, and then into the index as one
    generation; nobody is told before. While one group is written the next one gathers.
    """

    def __init__(
        self,
        record: Collection,
        store: Store,
        *,
        map_path: Path,
        settings: MapSettings,
        metrics: Metrics,
    ) -> None:
        self.record = record
        self.index = Index(record.dim, record.index, room=store.item_count(record))
        for part in store.contents(record):
            self.index.add(part.keys, part.item_ids, part.labels, part.created, part.attributes, part.vectors)
        self.searches = GatheredSearches(self.index, metrics)
        self.map = LivingMap(record, self.index, store, path=map_path, settings=settings, metrics=metrics)
        self._store = store
        self._metrics = metrics
        self._writing = threading.Lock()
        self._ended: ServiceError | None = None
        self.moving = store.activation(record) is not None
        self._newest_key = int(max(self.index.now().keys, default=0))
        self._changed = asyncio.Event()
        self._changed.set()
        self._removed: list[int] = []  # keys of which the map has not been told
        self._writes = Batcher[Write, Done](
            self._commit, max_batch=MAX_GROUP, max_waiting=MAX_WAITING, computed=self._note_change
        )
        metrics.items.labels(record.name).set_function(lambda: len(self.index))

    async def write(self, rows: Sequence[Row]) -> list[Outcome]:
        """Stores rows; entry i says what became of row i. On disk when this returns, and part of every later answer."""
        done = await self._writes.submit_patiently(Upsert(rows=rows))
        assert isinstance(done, list)
        return done

    async def delete(self, item_ids: Sequence[str]) -> int:
        """Deletes items and returns how many of the ids were there."""
        done = await self._writes.submit_patiently(Deletion(tuple(item_ids)))
        assert isinstance(done, int)
        return done

    def matching(self, now: Generation, where: Filter) -> NDArray[np.bool_]:
        """Which rows (N,) of a generation are live and match."""
        check(where, self.record.schema)
        clusters = self.map.clusters_of(now) if mentions(where, "cluster") else None
        return now.live & matching(where, now.columns, clusters)

    def on_map(self, hit: Hit) -> Hit:
        """A hit with its cluster, once it has one."""
        cluster = self.map.cluster_of(hit.key)
        return hit if cluster is None else hit._replace(cluster=cluster)

    def with_cluster(self, item: Item) -> Item:
        """An item with its cluster, once it has one."""
        return replace(item, cluster=self.map.cluster_of(item.key))

    async def begin_move(self, begin: Callable[[], None]) -> None:
        """Runs `begin`, in a thread, with no write under way; from then on every item must come with an original."""

        def run() -> None:
            with self._writing:
                begin()
                self.moving = True

        await asyncio.to_thread(run)

    async def end(self, last: Callable[[], T], reason: ServiceError) -> T:
        """Runs `last`, in a thread, with no write under way and none to come: a later one raises `reason`."""

        def run() -> T:
            with self._writing:
                result = last()
                self._ended = reason
                return result

        return await asyncio.to_thread(run)

    async def settle(self) -> None:
        """Waits until every write that was begun has ended."""
        await self._writes.settle()

    async def keep_current(self, fitting: asyncio.Semaphore) -> None:
        """Keeps the map and an approximate index current, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.map.keep_current(fitting))
            tasks.create_task(self._keep_calibrated())

    def close(self) -> None:
        """To be called when `keep_current` was cancelled for good."""
        self.map.close()

    async def _keep_calibrated(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self.index.build_is_due():
                try:
                    with self._metrics.stage("index_build"):
                        built = await asyncio.to_thread(build, self.index.now(), self.record.index)
                    self.index.adopt(built)
                except Exception:
                    log.exception("collection %r: its approximate index could not be built", self.record.name)
                    break

    def _note_change(self) -> None:
        removed, self._removed = self._removed, []
        self.map.changed(self._newest_key, removed)
        self._changed.set()

    def _commit(self, writes: Sequence[Write]) -> list[Done]:
        with self._writing:
            if self._ended is not None:
                raise self._ended
            schema = self.record.schema
            outcomes: list[list[Outcome]] = []
            operations: list[Sequence[Row] | Deletion] = []
            for write in writes:
                if isinstance(write, Deletion):
                    outcomes.append([])
                    operations.append(write)
                    continue
                checked, schema = _checked(write.rows, schema, originals_only=self.moving)
                outcomes.append(checked)
                operations.append([row for row, refusal in zip(write.rows, checked, strict=True) if refusal is None])
            grown = schema if schema != self.record.schema else None
            with self._metrics.stage("store"):
                written = self._store.write(self.record, operations, schema=grown)
            if grown is not None:
                self.record = replace(self.record, schema=grown)
            self._take_over(operations, written)
        return [
            done.deleted if isinstance(write, Deletion) else outcome
            for write, done, outcome in zip(writes, written, outcomes, strict=True)
        ]

    def _take_over(self, operations: Sequence[Sequence[Row] | Deletion], written: Sequence[Written]) -> None:
        added = [
            (key, created, row)
            for operation, done in zip(operations, written, strict=True)
            if not isinstance(operation, Deletion)
            for key, created, row in zip(done.keys, done.created, operation, strict=True)
            if key is not None
        ]
        removed = [key for done in written for key in done.removed]
        self.index.change(
            removed=removed,
            keys=np.array([key for key, _, _ in added], np.int64),
            item_ids=[row.item_id for _, _, row in added],
            labels=[row.label for _, _, row in added],
            created=[created for _, created, _ in added],
            attributes=[row.attributes for _, _, row in added],
            vectors=np.array([row.vector for _, _, row in added], np.float32).reshape(len(added), self.record.dim),
        )
        self._newest_key = max([self._newest_key, *(key for key, _, _ in added)])
        self._removed += removed


def _checked(rows: Sequence[Row], schema: Schema, *, originals_only: bool) -> tuple[list[Outcome], Schema]:
    """A refusal or None for each row, and the schema with what the rows add to it."""
    outcomes: list[Outcome] = []
    for row in rows:
        try:
            if originals_only and row.image is None:
                raise PreconditionError(
                    "content: is a vector; while the collection moves to a bundle, allowed is an image"
                )
            schema = check_attributes(row.attributes, schema)
            outcomes.append(None)
        except ServiceError as error:
            outcomes.append(error)
    return outcomes, schema
