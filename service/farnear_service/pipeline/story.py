"""What happens to an image, from bytes to answer.

    write   decode -> embed -> store (durable; only now acknowledged) -> index -> clusters, in the background
    read    decode -> embed -> index -> clusters
    start   store -> index -> clusters (their map as it was saved, or fitted anew)

The store is the only truth; what a live collection holds is derived from it.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from farnear_service.errors import InvalidError, PreconditionError, ServiceError
from farnear_service.metrics import Metrics
from farnear_service.pipeline.catalog import Catalog
from farnear_service.pipeline.live import ClusterSummary, LiveCollection, MapState
from farnear_service.pipeline.model import DecodedImage
from farnear_service.store import Row
from farnear_service.types import (
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

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may ask for."""

    max_k: int = 1000
    max_queries: int = 1000
    max_upserts: int = 1000
    max_deletes: int = 10_000
    max_explained: int = 100


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a query falls on the map: `cluster` -1 is noise, `core_distance` and `position` are in map units."""

    cluster: int
    core_distance: float
    position: tuple[float, float]
    map_version: int


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What is searched for: a unit vector, float32 (D,), and key and id where it is a stored item."""

    vector: FloatArray
    key: int | None = None
    item_id: str | None = None


class Pipeline:
    """Everything that can be done with the items of a catalog."""

    def __init__(self, catalog: Catalog, metrics: Metrics, limits: Limits | None = None) -> None:
        self.catalog = catalog
        self.limits = limits or Limits()
        self._metrics = metrics

    # Items

    async def upsert(self, name: str, items: Sequence[NewItem]) -> list[Outcome]:
        """Embeds and stores a batch; entry i says what became of item i. On disk when this returns."""
        live = self.catalog.live(name)
        _check_count("items", len(items), self.limits.max_upserts)
        rows = await self._settled([self._row(live, item) for item in items])
        accepted = [row for row in rows if isinstance(row, Row)]
        if accepted:
            await self.catalog.finish(self._commit(live, accepted))
        return [row if isinstance(row, ServiceError) else None for row in rows]

    async def delete_items(self, name: str, item_ids: Sequence[str]) -> int:
        """Deletes items and returns how many of the ids were there."""
        live = self.catalog.live(name)
        _check_count("item_ids", len(item_ids), self.limits.max_deletes)
        return await self.catalog.finish(self._delete(live, item_ids))

    async def item(self, name: str, item_id: str) -> Item:
        """One item with its cluster."""
        live = self.catalog.live(name)
        return _with_cluster(live, await asyncio.to_thread(self.catalog.store.item, live.record, item_id))

    async def items(self, name: str, *, after: str | None, limit: int) -> list[Item]:
        """Up to `limit` items in order of id from behind `after` on."""
        live = self.catalog.live(name)
        found = await asyncio.to_thread(self.catalog.store.items, live.record, after=after, limit=limit)
        return [_with_cluster(live, item) for item in found]

    # Questions

    async def search(
        self, name: str, queries: Sequence[Query | None], direction: Direction, k: int
    ) -> list[SearchResult | ServiceError]:
        """The k most similar and/or most divergent items for each query; a queried item is no hit of its own."""
        live = self.catalog.live(name)
        _check_count("queries", len(queries), self.limits.max_queries)
        if not 1 <= k <= self.limits.max_k:
            raise InvalidError(f"k: is {k}; allowed are 1 to {self.limits.max_k}")
        subjects = await self._settled([self._subject(live, query, patient=len(queries) > 1) for query in queries])
        asked = [subject for subject in subjects if not isinstance(subject, ServiceError)]
        answers = iter(await asyncio.to_thread(self._search, live, asked, direction, k))
        return [subject if isinstance(subject, ServiceError) else next(answers) for subject in subjects]

    async def assign(self, name: str, query: Query | None) -> Placement:
        """Which cluster a query falls into, without adding it."""
        live = self.catalog.live(name)
        state = live.map_state()
        subject = await self._subject(live, query, patient=False)
        return await asyncio.to_thread(_placement, state, subject)

    async def explain(
        self, name: str, queries: Sequence[Query | None], *, picture: bool
    ) -> list[Heatmap | ServiceError]:
        """A heat map for each image or stored item."""
        live = self.catalog.live(name)
        _check_count("queries", len(queries), self.limits.max_explained)
        images = await self._settled([self._image(live, query) for query in queries])
        usable = [image for image in images if not isinstance(image, ServiceError)]
        maps = iter(await self.catalog.model_of(live).explain(usable, picture=picture))
        return [image if isinstance(image, ServiceError) else next(maps) for image in images]

    async def clusters(self, name: str) -> tuple[MapState, list[ClusterSummary]]:
        """The clusters of the standing map, largest first."""
        return await asyncio.to_thread(self.catalog.live(name).summaries)

    async def _settled(self, work: Sequence[Awaitable[T]]) -> list[T | ServiceError]:
        """All results in order, a refusal in place of the result of what was refused."""

        async def settle(one: Awaitable[T]) -> T | ServiceError:
            try:
                return await one
            except ServiceError as error:
                self._metrics.refused_entries.labels(type(error).__name__).inc()
                return error

        return await asyncio.gather(*(settle(one) for one in work))

    async def _row(self, live: LiveCollection, item: NewItem) -> Row:
        check_text("item_id", item.item_id, required=True)
        check_text("label", item.label, required=False)
        if item.content is None:
            raise InvalidError("content: is not set; allowed are image and vector")
        if isinstance(item.content, Vector):
            return Row(item_id=item.item_id, label=item.label, vector=_own_vector(live, item.content), image=None)
        data = item.content.data
        vector = await self.catalog.model_of(live).embed(data, patient=True)
        keeps = live.record.retention is ImageRetention.ORIGINAL
        return Row(item_id=item.item_id, label=item.label, vector=vector, image=data if keeps else None)

    async def _commit(self, live: LiveCollection, rows: Sequence[Row]) -> None:
        async with live.writing:
            self.catalog.check_alive(live)
            with self._metrics.stage("store"):
                written = await asyncio.to_thread(self.catalog.store.append, live.record, rows)
            await live.wrote(rows, written)

    async def _delete(self, live: LiveCollection, item_ids: Sequence[str]) -> int:
        async with live.writing:
            self.catalog.check_alive(live)
            with self._metrics.stage("store"):
                keys = await asyncio.to_thread(self.catalog.store.delete, live.record, item_ids)
            await live.removed(keys)
        return len(keys)

    async def _subject(self, live: LiveCollection, query: Query | None, *, patient: bool) -> _Subject:
        match query:
            case ItemRef(item_id=item_id):
                key, vector = await asyncio.to_thread(self.catalog.store.vector, live.record, item_id)
                return _Subject(vector=vector, key=key, item_id=item_id)
            case Vector():
                return _Subject(vector=_own_vector(live, query))
            case Image(data=data):
                return _Subject(vector=await self.catalog.model_of(live).embed(data, patient=patient))
            case None:
                raise InvalidError("query.subject: is not set; allowed are image, item_id and vector")

    async def _image(self, live: LiveCollection, query: Query | None) -> DecodedImage:
        match query:
            case ItemRef(item_id=item_id):
                data = await asyncio.to_thread(self.catalog.store.image, live.record, item_id)
            case Image(data=data):
                pass
            case Vector() | None:
                came = "not set" if query is None else "a vector"
                raise InvalidError(f"query.subject: is {came}; allowed are image and item_id")
        return await self.catalog.model_of(live).decode(data)

    def _search(
        self, live: LiveCollection, subjects: Sequence[_Subject], direction: Direction, k: int
    ) -> list[SearchResult]:
        if not subjects:
            return []
        now = live.index.now()  # one generation for both ends
        vectors = np.stack([subject.vector for subject in subjects])
        none: list[list[Hit]] = [[] for _ in subjects]
        ask = k + any(subject.item_id is not None for subject in subjects)
        with self._metrics.stage("search"):
            similar = none if direction is Direction.DIVERGENT else now.nearest(vectors, ask)
            divergent = none if direction is Direction.SIMILAR else now.farthest(vectors, ask)
        return [
            SearchResult(similar=_hits(live, near, subject, k), divergent=_hits(live, far, subject, k))
            for subject, near, far in zip(subjects, similar, divergent, strict=True)
        ]


def _own_vector(live: LiveCollection, vector: Vector) -> FloatArray:
    if vector.bundle_digest != live.record.bundle_digest:
        raise PreconditionError(
            f"vector.bundle_digest: is {vector.bundle_digest!r}; the collection is under {live.record.bundle_digest!r}"
        )
    return unit_vector("vector.values", vector.values, live.record.dim)


def _hits(live: LiveCollection, hits: Sequence[Hit], subject: _Subject, k: int) -> tuple[Hit, ...]:
    others = [hit for hit in hits if hit.item_id != subject.item_id][:k]
    return tuple(replace(hit, cluster=live.cluster_of(hit.key)) for hit in others)


def _placement(state: MapState, subject: _Subject) -> Placement:
    position = None if subject.key is None else state.view.position_of(subject.key)
    if position is None:
        position = state.view.fitted.place(subject.vector[None])[0]
    cluster, distance = state.view.assign(position, state.settings.eps)
    return Placement(
        cluster=cluster,
        core_distance=distance,
        position=(float(position[0]), float(position[1])),
        map_version=state.view.fitted.version,
    )


def _with_cluster(live: LiveCollection, item: Item) -> Item:
    return replace(item, cluster=live.cluster_of(item.key))


def _check_count(field_name: str, count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise InvalidError(f"{field_name}: has {count} entries; allowed are 1 to {limit}")
