"""What happens to an image, from bytes to answer.

    write   decode -> embed -> store (durable; only now acknowledged) -> index -> clusters, in the background
    read    decode -> embed -> index -> clusters
    start   store -> index -> clusters (their map as it was saved, or fitted anew)

The store is the only truth; what a live collection holds is derived from it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from farnear_service.errors import InvalidError, ServiceError
from farnear_service.filters import Filter, check, check_attributes
from farnear_service.image import media_type
from farnear_service.index import Position
from farnear_service.metrics import Metrics
from farnear_service.pipeline.again import again_after_a_move
from farnear_service.pipeline.catalog import Catalog
from farnear_service.pipeline.clustering import Clustering
from farnear_service.pipeline.explaining import AskedResult, ExplainHits, Explaining
from farnear_service.pipeline.gathering import LoneQuery
from farnear_service.pipeline.limits import Limits, check_count
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.recommendations import Recommendations
from farnear_service.pipeline.subjects import Subject, Subjects, own_vector
from farnear_service.store import Row
from farnear_service.types import (
    MAX_URI_BYTES,
    Attributes,
    AttributeValue,
    Direction,
    ExplainTarget,
    Explanation,
    HeatmapPicture,
    Hits,
    ImageRetention,
    Item,
    NewItem,
    Outcome,
    Query,
    SearchResult,
    Vector,
    check_text,
)

_SPARE = 2  # hits: one more than asked for tells whether there is a next page, one makes up for the queried item


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
        self._subjects = Subjects(catalog, metrics)
        self.clustering = Clustering(catalog, self._subjects)
        self._explaining = Explaining(catalog, self._subjects)
        self.recommendations = Recommendations(catalog, self._subjects, self._explaining, self.limits, metrics)

    # Items

    async def upsert(self, name: str, items: Sequence[NewItem]) -> list[Outcome]:
        """Embeds and stores a batch; entry i says what became of item i. On disk when this returns."""
        live = self.catalog.live(name)
        check_count("items", len(items), self.limits.max_upserts)
        rows = await self._subjects.settled([self._row(live, item) for item in items])
        accepted = [row for row in rows if isinstance(row, Row)]
        outcomes = iter(await live.write(accepted) if accepted else ())
        return [row if isinstance(row, ServiceError) else next(outcomes) for row in rows]

    async def delete_items(self, name: str, item_ids: Sequence[str]) -> int:
        """Deletes items and returns how many of the ids were there."""
        live = self.catalog.live(name)
        check_count("item_ids", len(item_ids), self.limits.max_deletes)
        return await live.delete(item_ids)

    @again_after_a_move
    async def item(self, name: str, item_id: str) -> Item:
        """One item with its cluster."""
        live = self.catalog.live(name)
        return live.with_cluster(await asyncio.to_thread(self.catalog.store.item, live.record, item_id))

    @again_after_a_move
    async def items(self, name: str, *, after: str | None, limit: int, where: Filter | None = None) -> list[Item]:
        """Up to `limit` items that match, in order of id from behind `after` on."""
        live = self.catalog.live(name)
        return await asyncio.to_thread(self._items, live, after, limit, where)

    @again_after_a_move
    async def count(self, name: str, where: Filter | None = None) -> int:
        """How many items match."""
        live = self.catalog.live(name)
        if where is None:
            return len(live.index)
        return int(np.count_nonzero(await asyncio.to_thread(live.matching, live.index.now(), where)))

    @again_after_a_move
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

    @again_after_a_move
    async def search(
        self,
        name: str,
        queries: Sequence[Query | None],
        direction: Direction,
        k: int,
        *,
        where: Filter | None = None,
        behind: Behind | None = None,
        explain: ExplainHits | None = None,
    ) -> list[Answer | ServiceError]:
        """The k most similar and/or most divergent items that match, for each query; with heat maps for `explain`.

        A queried item is no hit of its own. With `behind`, of one query, the k hits behind those of an earlier answer.
        """
        live = self.catalog.live(name)
        check_count("queries", len(queries), self.limits.max_queries)
        self.limits.check_k(k)
        if len(queries) * k > self.limits.max_hits:
            raise InvalidError(
                f"k: is {k} for {len(queries)} queries; allowed are at most {self.limits.max_hits} hits in all"
            )
        if behind is not None and len(queries) > 1:
            raise InvalidError(f"page_token: came with {len(queries)} queries; allowed is one")
        if where is not None:
            check(where, live.record.schema)
        if explain is not None:
            self.limits.check_explained(len(queries) * k * (2 if direction is Direction.BOTH else 1))
        patient = len(queries) > 1
        subjects = await self._subjects.settled(
            [self._subjects.subject(live, query, patient=patient) for query in queries]
        )
        asked = [subject for subject in subjects if not isinstance(subject, ServiceError)]
        if len(asked) == 1 and where is None and behind is None:
            answers = [await self._search_alone(live, asked[0], direction, k)]
        else:
            answers = await asyncio.to_thread(self._search, live, asked, direction, k, where, behind)
        if explain is not None:
            answered = [query for query, one in zip(queries, subjects, strict=True) if isinstance(one, Subject)]
            results = [
                AskedResult(result=answer.result, query=query, vector=subject.vector)
                for answer, query, subject in zip(answers, answered, asked, strict=True)
            ]
            explained = await self._explaining.explain_hits(live, results, explain)
            answers = [replace(answer, result=result) for answer, result in zip(answers, explained, strict=True)]
        turn = iter(answers)
        return [subject if isinstance(subject, ServiceError) else next(turn) for subject in subjects]

    @again_after_a_move
    async def explain(
        self,
        name: str,
        queries: Sequence[Query | None],
        *,
        target: ExplainTarget = ExplainTarget.SELF,
        others: Sequence[Query | None] = (),
        picture: HeatmapPicture | None = None,
    ) -> list[Explanation | ServiceError]:
        """A heat map for each image or stored item; of pairs, `others` are one other side for each, or one for all."""
        live = self.catalog.live(name)
        check_count("queries", len(queries), self.limits.max_explained)
        return await self._explaining.explain(live, queries, others, target, picture)

    async def _row(self, live: LiveCollection, item: NewItem) -> Row:
        check_text("item_id", item.item_id, required=True)
        check_text("label", item.label, required=False)
        check_text("source_uri", item.source_uri, required=False, limit=MAX_URI_BYTES)
        attributes = _set_attributes(item.attributes)
        check_attributes(attributes, live.record.schema)
        if item.content is None:
            raise InvalidError("content: is not set; allowed are image and vector")
        if isinstance(item.content, Vector):
            vector, kept = own_vector(live, item.content), None
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

    def _items(self, live: LiveCollection, after: str | None, limit: int, where: Filter | None) -> list[Item]:
        store = self.catalog.store
        if where is None:
            return [live.with_cluster(item) for item in store.items(live.record, after=after, limit=limit)]
        found: list[Item] = []
        while True:
            now = live.index.now()
            rows = np.flatnonzero(live.matching(now, where))
            wanted = now.columns.ids.first(rows, limit - len(found), after=after or "")
            found += store.items_by_id(live.record, wanted)
            if len(found) == limit or not wanted:
                return [live.with_cluster(item) for item in found]
            after = wanted[-1]  # some were deleted since `now`, or there are no more

    async def _search_alone(self, live: LiveCollection, subject: Subject, direction: Direction, k: int) -> Answer:
        result = await live.searches.search(LoneQuery(vector=subject.vector, k=k + _SPARE, direction=direction))
        return _answer(live, result, subject, k, (None, None))

    def _search(
        self,
        live: LiveCollection,
        subjects: Sequence[Subject],
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
            allowed = None if where is None else live.matching(now, where)
            found = now.search(vectors, k + _SPARE, direction, allowed=allowed, behind=behind)
        before = behind or (None, None)
        return [_answer(live, result, subject, k, before) for result, subject in zip(found, subjects, strict=True)]


def _answer(live: LiveCollection, result: SearchResult, subject: Subject, k: int, before: Behind) -> Answer:
    lists: list[Hits | None] = []
    more = False
    for found in (result.similar, result.divergent):
        if found is None:
            lists.append(None)
            continue
        others = [hit for hit in found.hits if hit.item_id != subject.item_id]
        more = more or len(others) > k
        lists.append(replace(found, hits=tuple(live.on_map(hit) for hit in others[:k])))
    similar, divergent = lists
    behind = (_last(similar, before[0]), _last(divergent, before[1])) if more else None
    return Answer(result=SearchResult(similar=similar, divergent=divergent), behind=behind)


def _last(found: Hits | None, before: Position | None) -> Position | None:
    # Items that came since the first page may lie before its end in one list and behind it in the other, and then one
    # list ends before the other.
    if found is None or not found.hits:
        return before
    return Position(similarity=found.hits[-1].similarity, item_id=found.hits[-1].item_id)


def _set_attributes(attributes: Mapping[str, AttributeValue | None]) -> Attributes:
    for name, value in attributes.items():
        if value is None:
            raise InvalidError(f"attributes[{name!r}]: is not set, or a timestamp outside of the years 1 to 9999")
    return {name: value for name, value in attributes.items() if value is not None}
