"""What happens to an image, from bytes to answer.

    write   decode -> embed -> store (durable; only now acknowledged) -> index -> clusters, in the background
    read    decode -> embed -> index -> clusters
    start   store -> index -> clusters (their map as it was saved, or fitted anew)

The store is the only truth; what a live collection holds is derived from it.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from farnear_service.errors import InvalidError, PreconditionError, ServiceError
from farnear_service.filters import Filter, check, check_attributes, matching, mentions
from farnear_service.image import media_type
from farnear_service.index import Generation, Position
from farnear_service.metrics import Metrics
from farnear_service.pipeline.catalog import Catalog
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.living_map import ClusterSummary, MapState
from farnear_service.pipeline.model import DecodedImage
from farnear_service.pipeline.recommending import Example, Wish, history, recommended, taste_of
from farnear_service.store import Row
from farnear_service.types import (
    MAX_URI_BYTES,
    Attributes,
    AttributeValue,
    Direction,
    FloatArray,
    Heatmap,
    Hit,
    Hits,
    Image,
    ImageRetention,
    Interaction,
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
    max_examples: int = 1000
    max_seen: int = 10_000
    max_interactions: int = 10_000


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


Behind = tuple[Position | None, Position | None]
"""The last hits of a page, of the similar and of the divergent list: the next page begins behind them."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one query; `behind` is None where no hits are left for a next page."""

    result: SearchResult
    behind: Behind | None


@dataclass(frozen=True, kw_only=True)
class KeptImage:
    """The image that is kept of an item; `original` says whether it is as it came, or a thumbnail."""

    data: bytes
    media_type: str
    original: bool


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
        outcomes = iter(await live.write(accepted) if accepted else ())
        return [row if isinstance(row, ServiceError) else next(outcomes) for row in rows]

    async def delete_items(self, name: str, item_ids: Sequence[str]) -> int:
        """Deletes items and returns how many of the ids were there."""
        live = self.catalog.live(name)
        _check_count("item_ids", len(item_ids), self.limits.max_deletes)
        return await live.delete(item_ids)

    async def item(self, name: str, item_id: str) -> Item:
        """One item with its cluster."""
        live = self.catalog.live(name)
        return _with_cluster(live, await asyncio.to_thread(self.catalog.store.item, live.record, item_id))

    async def items(self, name: str, *, after: str | None, limit: int, where: Filter | None = None) -> list[Item]:
        """Up to `limit` items that match, in order of id from behind `after` on."""
        live = self.catalog.live(name)
        return await asyncio.to_thread(self._items, live, after, limit, where)

    async def count(self, name: str, where: Filter | None = None) -> int:
        """How many items match."""
        live = self.catalog.live(name)
        if where is None:
            return len(live.index)
        return int(np.count_nonzero(await asyncio.to_thread(_matching, live, live.index.now(), where)))

    async def item_image(self, name: str, item_id: str) -> KeptImage:
        """The image that is kept of an item."""
        live = self.catalog.live(name)
        data = await asyncio.to_thread(self.catalog.store.image, live.record, item_id)
        return KeptImage(
            data=data,
            media_type=await asyncio.to_thread(media_type, data),
            original=live.record.retention is ImageRetention.ORIGINAL,
        )

    # Questions

    async def search(
        self,
        name: str,
        queries: Sequence[Query | None],
        direction: Direction,
        k: int,
        *,
        where: Filter | None = None,
        behind: Behind | None = None,
    ) -> list[Answer | ServiceError]:
        """The k most similar and/or most divergent items that match, for each query.

        A queried item is no hit of its own. With `behind`, of one query, the k hits behind those of an earlier answer.
        """
        live = self.catalog.live(name)
        _check_count("queries", len(queries), self.limits.max_queries)
        self._check_k(k)
        if behind is not None and len(queries) > 1:
            raise InvalidError(f"page_token: came with {len(queries)} queries; allowed is one")
        if where is not None:
            check(where, live.record.schema)
        subjects = await self._settled([self._subject(live, query, patient=len(queries) > 1) for query in queries])
        asked = [subject for subject in subjects if not isinstance(subject, ServiceError)]
        answers = iter(await asyncio.to_thread(self._search, live, asked, direction, k, where, behind))
        return [subject if isinstance(subject, ServiceError) else next(answers) for subject in subjects]

    async def recommend(self, name: str, wish: Wish) -> tuple[Hit, ...]:
        """Items for somebody, by history and examples; what was met is not among them."""
        live = self.catalog.live(name)
        self._check_k(wish.k)
        wish.check()
        for field_name, count, limit in (
            ("liked, disliked", len(wish.liked) + len(wish.disliked), self.limits.max_examples),
            ("seen_item_ids", len(wish.seen), self.limits.max_seen),
        ):
            if count > limit:
                raise InvalidError(f"{field_name}: has {count} entries; allowed are at most {limit}")
        if wish.where is not None:
            check(wish.where, live.record.schema)
        liked, disliked = [
            [
                Example(vector=subject.vector, key=subject.key)
                for subject in await asyncio.gather(*(self._subject(live, query, patient=True) for query in queries))
            ]
            for queries in (wish.liked, wish.disliked)
        ]
        met = await history(self.catalog.store, live.record, wish.user)

        def answer() -> tuple[Hit, ...]:
            taste = taste_of(self.catalog.store, live.record, liked, disliked, wish.seen, met)
            now = live.index.now()
            with self._metrics.stage("recommend"):
                hits = recommended(now, taste, wish, _allowed(live, now, wish.where))
            return tuple(replace(hit, cluster=live.map.cluster_of(hit.key)) for hit in hits)

        return await asyncio.to_thread(answer)

    async def record_interactions(self, name: str, user: str, interactions: Sequence[Interaction]) -> None:
        """Takes down what a user did. On disk when this returns."""
        live = self.catalog.live(name)
        check_text("user", user, required=True)
        _check_count("interactions", len(interactions), self.limits.max_interactions)
        await asyncio.to_thread(self.catalog.store.record_interactions, live.record, user, interactions)

    async def interactions(
        self, name: str, user: str, *, behind: tuple[float, str] | None, limit: int
    ) -> list[Interaction]:
        """Up to `limit` interactions of a user, newest first, from behind time and item of an earlier one on."""
        live = self.catalog.live(name)
        check_text("user", user, required=True)
        return await asyncio.to_thread(self.catalog.store.interactions, live.record, user, behind=behind, limit=limit)

    async def delete_interactions(self, name: str, user: str) -> int:
        """Forgets a user and returns how many interactions were kept."""
        live = self.catalog.live(name)
        check_text("user", user, required=True)
        return await asyncio.to_thread(self.catalog.store.delete_interactions, live.record, user)

    async def assign(self, name: str, query: Query | None) -> Placement:
        """Which cluster a query falls into, without adding it."""
        live = self.catalog.live(name)
        state = live.map.state()
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
        return await asyncio.to_thread(self.catalog.live(name).map.summaries)

    def _check_k(self, k: int) -> None:
        if not 1 <= k <= self.limits.max_k:
            raise InvalidError(f"k: is {k}; allowed are 1 to {self.limits.max_k}")

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
        check_text("source_uri", item.source_uri, required=False, limit=MAX_URI_BYTES)
        attributes = _set_attributes(item.attributes)
        check_attributes(attributes, live.record.schema)
        if item.content is None:
            raise InvalidError("content: is not set; allowed are image and vector")
        if isinstance(item.content, Vector):
            vector, kept = _own_vector(live, item.content), None
        else:
            model = self.catalog.model_of(live)
            vector = await model.embed(item.content.data, patient=True)
            kept = await model.to_keep(item.content.data, live.record.retention)
        return Row(
            item_id=item.item_id,
            label=item.label,
            vector=vector,
            image=kept,
            attributes=attributes,
            source_uri=item.source_uri,
        )

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

    def _items(self, live: LiveCollection, after: str | None, limit: int, where: Filter | None) -> list[Item]:
        store = self.catalog.store
        if where is None:
            found = store.items(live.record, after=after, limit=limit)
        else:
            now = live.index.now()
            ids = now.columns.item_ids(np.flatnonzero(_matching(live, now, where)))
            start = "" if after is None else after
            found = store.items_by_id(live.record, heapq.nsmallest(limit, (one for one in ids if one > start)))
        return [_with_cluster(live, item) for item in found]

    def _search(
        self,
        live: LiveCollection,
        subjects: Sequence[_Subject],
        direction: Direction,
        k: int,
        where: Filter | None,
        behind: Behind | None,
    ) -> list[Answer]:
        if not subjects:
            return []
        now = live.index.now()  # one generation for both ends
        vectors = np.stack([subject.vector for subject in subjects])
        with self._metrics.stage("search"):
            # One more than asked for tells whether there is a next page, another one makes up for the queried item.
            found = now.search(vectors, k + 2, direction, allowed=_allowed(live, now, where), behind=behind)
        return [_answer(live, result, subject, k) for result, subject in zip(found, subjects, strict=True)]


def _allowed(live: LiveCollection, now: Generation, where: Filter | None) -> NDArray[np.bool_] | None:
    return None if where is None else _matching(live, now, where)


def _matching(live: LiveCollection, now: Generation, where: Filter) -> NDArray[np.bool_]:
    check(where, live.record.schema)
    return now.live & matching(where, now.columns, live.map.clusters_of(now) if mentions(where, "cluster") else None)


def _answer(live: LiveCollection, result: SearchResult, subject: _Subject, k: int) -> Answer:
    lists: list[Hits | None] = []
    more = False
    for found in (result.similar, result.divergent):
        if found is None:
            lists.append(None)
            continue
        others = [hit for hit in found.hits if hit.item_id != subject.item_id]
        more = more or len(others) > k
        hits = tuple(replace(hit, cluster=live.map.cluster_of(hit.key)) for hit in others[:k])
        lists.append(replace(found, hits=hits))
    similar, divergent = lists
    behind = (_last(similar), _last(divergent)) if more else None
    return Answer(result=SearchResult(similar=similar, divergent=divergent), behind=behind)


def _last(found: Hits | None) -> Position | None:
    return None if found is None else Position(similarity=found.hits[-1].similarity, item_id=found.hits[-1].item_id)


def _set_attributes(attributes: Mapping[str, AttributeValue | None]) -> Attributes:
    for name, value in attributes.items():
        if value is None:
            raise InvalidError(f"attributes[{name!r}]: is not set, or a timestamp outside of the years 1 to 9999")
    return {name: value for name, value in attributes.items() if value is not None}


def _own_vector(live: LiveCollection, vector: Vector) -> FloatArray:
    if vector.bundle_digest != live.record.bundle_digest:
        raise PreconditionError(
            f"vector.bundle_digest: is {vector.bundle_digest!r}; the collection is under {live.record.bundle_digest!r}"
        )
    return unit_vector("vector.values", vector.values, live.record.dim)


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
    return replace(item, cluster=live.map.cluster_of(item.key))


def _check_count(field_name: str, count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise InvalidError(f"{field_name}: has {count} entries; allowed are 1 to {limit}")
