"""What happens to an image, from bytes to answer.

    write   decode -> embed -> store (durable; only now acknowledged) -> index -> clusters, in the background
    read    decode -> embed -> index -> clusters
    start   store -> index -> clusters (their map as it was saved, or fitted anew)

The store is the only truth; what a live collection holds is derived from it.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from farnear_service.bundle import Bundle, adopt_bundle, load_bundle
from farnear_service.clusters import MapSettings
from farnear_service.errors import InvalidError, NotFoundError, PreconditionError, ServiceError
from farnear_service.image import ImageLimits
from farnear_service.metrics import Metrics
from farnear_service.pipeline.live import ClusterSummary, LiveCollection, MapState
from farnear_service.pipeline.model import Model
from farnear_service.store import Row, Store
from farnear_service.types import (
    Collection,
    Direction,
    FloatArray,
    Heatmap,
    Hit,
    Image,
    ImageRetention,
    Item,
    ItemRef,
    NewItem,
    Outcome,
    Query,
    SearchResult,
    Vector,
    check_text,
    unit_vector,
)

_COLLECTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may ask for, and how much work may wait."""

    image: ImageLimits = field(default_factory=ImageLimits)
    max_k: int = 1000
    max_queries: int = 1000
    max_upserts: int = 1000
    max_deletes: int = 10_000
    max_explained: int = 100
    max_waiting: int = 256


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a query falls on the map: `cluster` -1 is noise, `core_distance` and `position` are in map units."""

    cluster: int
    core_distance: float
    position: tuple[float, float]
    map_version: int


class Pipeline:
    """Everything that the service can do, for one data directory. Make it with `open`, end it with `close`."""

    def __init__(
        self,
        data_dir: Path,
        store: Store,
        *,
        limits: Limits,
        map_settings: MapSettings,
        threads: int,
        metrics: Metrics,
        explain_with_torch: bool = False,
    ) -> None:
        self.limits = limits
        self._data_dir = data_dir
        self._store = store
        self._map_settings = map_settings
        self._threads = threads
        self._explain_with_torch = explain_with_torch
        self._metrics = metrics
        self._models: dict[str, Model] = {}
        self._live: dict[str, LiveCollection] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._commits: set[asyncio.Task[Any]] = set()
        self._fitting = asyncio.Semaphore(1)
        metrics.watch_queue(lambda: sum(model.waiting for model in self._models.values()), limits.max_waiting)

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        bundles: dict[str, Path],
        *,
        limits: Limits,
        map_settings: MapSettings,
        threads: int,
        metrics: Metrics,
        explain_with_torch: bool = False,
    ) -> "Pipeline":
        """Opens a data directory, adopts `bundles` (path by name) and brings every collection to life.

        Raises PreconditionError where another server holds the directory, BundleError for a bundle that is unusable.
        """
        store = await asyncio.to_thread(Store, data_dir)
        pipeline = cls(
            data_dir,
            store,
            limits=limits,
            map_settings=map_settings,
            threads=threads,
            metrics=metrics,
            explain_with_torch=explain_with_torch,
        )
        try:
            for name, path in bundles.items():
                _check_name("bundle", name)
                bundle = await asyncio.to_thread(adopt_bundle, path, data_dir / "bundles")
                await asyncio.to_thread(store.set_bundle, name, bundle.digest)
            for digest in {*store.bundles().values(), *(record.bundle_digest for record in store.collections())}:
                bundle = await asyncio.to_thread(load_bundle, data_dir / "bundles" / digest)
                pipeline._models[digest] = await asyncio.to_thread(pipeline._model, bundle)
            for record in store.collections():
                await pipeline._bring_to_life(record)
        except BaseException:
            await pipeline.close()
            raise
        return pipeline

    async def close(self) -> None:
        """Ends background work, lets begun writes finish, and closes the store."""
        for name in list(self._live):
            await self._retire(name)
        await asyncio.gather(*self._commits, return_exceptions=True)
        await asyncio.to_thread(self._store.close)

    # Bundles and collections

    def bundles(self) -> dict[str, Bundle]:
        """The served bundles by name."""
        return {name: self._models[digest].bundle for name, digest in self._store.bundles().items()}

    async def create_collection(self, name: str, bundle: str, retention: ImageRetention) -> Collection:
        """Makes an empty collection under the bundle served as `bundle`."""
        _check_name("name", name)
        served = self.bundles()
        if bundle not in served:
            raise NotFoundError(f"bundle: {bundle!r} is not served; served are {', '.join(sorted(served)) or 'none'}")
        return await self._to_the_end(self._create_collection(name, bundle, served[bundle], retention))

    def collections(self) -> list[tuple[Collection, int]]:
        """All collections in order of name, each with its count of items."""
        return [(self._live[name].record, len(self._live[name].index)) for name in sorted(self._live)]

    def collection(self, name: str) -> tuple[Collection, int]:
        """One collection with its count of items."""
        live = self._named(name)
        return live.record, len(live.index)

    async def delete_collection(self, name: str) -> int:
        """Deletes a collection with everything in it and returns how many items that were."""
        return await self._to_the_end(self._delete_collection(self._named(name)))

    # Items

    async def upsert(self, name: str, items: Sequence[NewItem]) -> list[Outcome]:
        """Embeds and stores a batch; entry i says what became of item i. On disk when this returns."""
        live = self._named(name)
        _check_count("items", len(items), self.limits.max_upserts)
        rows = await _settled([self._row(live, item) for item in items])
        accepted = [row for row in rows if isinstance(row, Row)]
        if accepted:
            await self._to_the_end(self._commit(live, accepted))
        return [row if isinstance(row, ServiceError) else None for row in rows]

    async def delete_items(self, name: str, item_ids: Sequence[str]) -> int:
        """Deletes items and returns how many of the ids were there."""
        live = self._named(name)
        _check_count("item_ids", len(item_ids), self.limits.max_deletes)
        return await self._to_the_end(self._delete(live, item_ids))

    async def item(self, name: str, item_id: str) -> Item:
        """One item with its cluster."""
        live = self._named(name)
        return _with_cluster(live, await asyncio.to_thread(self._store.item, live.record, item_id))

    async def items(self, name: str, *, after: str | None, limit: int) -> list[Item]:
        """Up to `limit` items in order of id from behind `after` on."""
        live = self._named(name)
        found = await asyncio.to_thread(self._store.items, live.record, after=after, limit=limit)
        return [_with_cluster(live, item) for item in found]

    # Questions

    async def search(
        self, name: str, queries: Sequence[Query | None], direction: Direction, k: int
    ) -> list[SearchResult | ServiceError]:
        """The k most similar and/or most divergent items for each query; a queried item is no hit of its own."""
        live = self._named(name)
        _check_count("queries", len(queries), self.limits.max_queries)
        if not 1 <= k <= self.limits.max_k:
            raise InvalidError(f"k: is {k}; allowed are 1 to {self.limits.max_k}")
        subjects = await _settled([self._subject(live, query, patient=len(queries) > 1) for query in queries])
        asked = [subject for subject in subjects if not isinstance(subject, ServiceError)]
        answers = iter(await asyncio.to_thread(self._search, live, asked, direction, k))
        return [subject if isinstance(subject, ServiceError) else next(answers) for subject in subjects]

    async def assign(self, name: str, query: Query | None) -> Placement:
        """Which cluster a query falls into, without adding it."""
        live = self._named(name)
        state = live.map_state()
        key, vector = await self._subject(live, query, patient=False)
        position = None if key is None else state.view.position_of(key)
        if position is None:
            position = (await asyncio.to_thread(state.view.fitted.place, vector[None]))[0]
        cluster, distance = state.view.assign(position, state.settings.eps)
        return Placement(
            cluster=cluster,
            core_distance=distance,
            position=(float(position[0]), float(position[1])),
            map_version=state.view.fitted.version,
        )

    async def explain(
        self, name: str, queries: Sequence[Query | None], *, picture: bool
    ) -> list[Heatmap | ServiceError]:
        """A heat map for each image or stored item."""
        live = self._named(name)
        _check_count("queries", len(queries), self.limits.max_explained)
        images = await _settled([self._image(live, query) for query in queries])
        usable = [image for image in images if isinstance(image, bytes)]
        maps = iter(await self._model_of(live).explain(usable, picture=picture))
        return [image if isinstance(image, ServiceError) else next(maps) for image in images]

    def live(self, name: str) -> LiveCollection:
        """The collection itself, for its clusters and its map."""
        return self._named(name)

    async def clusters(self, name: str) -> tuple[MapState, list[ClusterSummary]]:
        """The clusters of the standing map, largest first."""
        return await asyncio.to_thread(self._named(name).summaries)

    # How

    async def _row(self, live: LiveCollection, item: NewItem) -> Row:
        check_text("item_id", item.item_id, required=True)
        check_text("label", item.label, required=False)
        if item.content is None:
            raise InvalidError("content: is not set; allowed are image and vector")
        if isinstance(item.content, Vector):
            return Row(item_id=item.item_id, label=item.label, vector=_own_vector(live, item.content), image=None)
        data = item.content.data
        vector = await self._model_of(live).embed(data, patient=True)
        keeps = live.record.retention is ImageRetention.ORIGINAL
        return Row(item_id=item.item_id, label=item.label, vector=vector, image=data if keeps else None)

    async def _commit(self, live: LiveCollection, rows: Sequence[Row]) -> None:
        async with live.writing:
            self._named(live.record.name)
            with self._metrics.stage("store"):
                written = await asyncio.to_thread(self._store.append, live.record, rows)
            live.wrote(rows, written)

    async def _delete(self, live: LiveCollection, item_ids: Sequence[str]) -> int:
        async with live.writing:
            self._named(live.record.name)
            with self._metrics.stage("store"):
                keys = await asyncio.to_thread(self._store.delete, live.record, item_ids)
            live.removed(keys)
        return len(keys)

    async def _create_collection(
        self, name: str, bundle_name: str, bundle: Bundle, retention: ImageRetention
    ) -> Collection:
        record = await asyncio.to_thread(
            self._store.create_collection,
            name,
            bundle_name=bundle_name,
            bundle_digest=bundle.digest,
            dim=bundle.dim,
            retention=retention,
        )
        await self._bring_to_life(record)
        return record

    async def _delete_collection(self, live: LiveCollection) -> int:
        name = live.record.name
        async with live.writing:
            self._named(name)
            await self._retire(name)
            count = await asyncio.to_thread(self._store.delete_collection, live.record)
            self._map_path(live.record).unlink(missing_ok=True)
        self._metrics.forget(name)
        return count

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        # A caller may go away in the middle of a write. The write goes on, so that index and store never part.
        task = asyncio.create_task(work)
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        return await asyncio.shield(task)

    async def _subject(
        self, live: LiveCollection, query: Query | None, *, patient: bool
    ) -> tuple[int | None, FloatArray]:
        match query:
            case ItemRef(item_id=item_id):
                return await asyncio.to_thread(self._store.vector, live.record, item_id)
            case Vector():
                return None, _own_vector(live, query)
            case Image(data=data):
                return None, await self._model_of(live).embed(data, patient=patient)
            case None:
                raise InvalidError("query.subject: is not set; allowed are image, item_id and vector")

    async def _image(self, live: LiveCollection, query: Query | None) -> bytes:
        match query:
            case ItemRef(item_id=item_id):
                return await asyncio.to_thread(self._store.image, live.record, item_id)
            case Image(data=data):
                return await self._model_of(live).check(data)
            case Vector() | None:
                came = "not set" if query is None else "a vector"
                raise InvalidError(f"query.subject: is {came}; allowed are image and item_id")

    def _search(
        self, live: LiveCollection, subjects: Sequence[tuple[int | None, FloatArray]], direction: Direction, k: int
    ) -> list[SearchResult]:
        if not subjects:
            return []
        vectors = np.stack([vector for _, vector in subjects])
        more = any(own is not None for own, _ in subjects)
        with self._metrics.stage("search"):
            ends: list[list[list[Hit]]] = [
                search(vectors, k + more) if direction in (end, Direction.BOTH) else [[] for _ in subjects]
                for end, search in (
                    (Direction.SIMILAR, live.index.nearest),
                    (Direction.DIVERGENT, live.index.farthest),
                )
            ]
        return [
            SearchResult(similar=_hits(live, similar, own, k), divergent=_hits(live, divergent, own, k))
            for (own, _), similar, divergent in zip(subjects, *ends, strict=True)
        ]

    def _model(self, bundle: Bundle) -> Model:
        return Model(
            bundle,
            limits=self.limits.image,
            max_waiting=self.limits.max_waiting,
            threads=self._threads,
            explain_with_torch=self._explain_with_torch,
            metrics=self._metrics,
        )

    def _model_of(self, live: LiveCollection) -> Model:
        return self._models[live.record.bundle_digest]

    def _map_path(self, record: Collection) -> Path:
        return self._data_dir / "maps" / f"{record.key}.npz"

    async def _bring_to_life(self, record: Collection) -> None:
        contents = await asyncio.to_thread(self._store.all, record)
        live = await asyncio.to_thread(
            LiveCollection,
            record,
            contents,
            map_path=self._map_path(record),
            settings=self._map_settings,
            metrics=self._metrics,
        )
        self._live[record.name] = live
        self._tasks[record.name] = asyncio.create_task(live.keep_current(self._fitting))

    async def _retire(self, name: str) -> None:
        live, task = self._live.pop(name), self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        live.close()

    def _named(self, name: str) -> LiveCollection:
        live = self._live.get(name)
        if live is None:
            raise NotFoundError(f"collection: there is no {name!r}")
        return live


async def _settled(work: Sequence[Awaitable[T]]) -> list[T | ServiceError]:
    """All results in order, a refusal in place of the result of what was refused."""

    async def settle(one: Awaitable[T]) -> T | ServiceError:
        try:
            return await one
        except ServiceError as error:
            return error

    return await asyncio.gather(*(settle(one) for one in work))


def _own_vector(live: LiveCollection, vector: Vector) -> FloatArray:
    if vector.bundle_digest != live.record.bundle_digest:
        raise PreconditionError(
            f"vector.bundle_digest: is {vector.bundle_digest!r}; the collection is under {live.record.bundle_digest!r}"
        )
    return unit_vector("vector.values", vector.values, live.record.dim)


def _hits(live: LiveCollection, hits: Sequence[Hit], own: int | None, k: int) -> tuple[Hit, ...]:
    others = [hit for hit in hits if hit.key != own][:k]
    return tuple(replace(hit, cluster=live.cluster_of(hit.key)) for hit in others)


def _with_cluster(live: LiveCollection, item: Item) -> Item:
    return replace(item, cluster=live.cluster_of(item.key))


def _check_name(field_name: str, name: str) -> None:
    if not _COLLECTION_NAME.fullmatch(name):
        raise InvalidError(
            f"{field_name}: {name!r}; allowed are 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', the first a letter or digit"
        )


def _check_count(field_name: str, count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise InvalidError(f"{field_name}: has {count} entries; allowed are 1 to {limit}")
