"""The questions about heat maps: of images, of pairs, of what ties to a cluster, and of the hits of a search."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from farnear_service.dbscan import NOISE
from farnear_service.errors import InvalidError, NotFoundError, PreconditionError, ServiceError
from farnear_service.pipeline.catalog import Catalog
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.model import DecodedImage
from farnear_service.pipeline.pairs import Pair, Side, View
from farnear_service.pipeline.subjects import Subject, Subjects, with_image
from farnear_service.types import (
    ExplainTarget,
    Explanation,
    FloatArray,
    Heatmap,
    HeatmapPicture,
    Hit,
    Hits,
    Image,
    ItemRef,
    Query,
    SearchResult,
)

TOGETHER = 8  # images: the network takes no less time for each of 32, and those take four times the memory
MAX_PICTURE_BYTES = 64 * 1024 * 1024  # of all pictures of an answer, so that it fits into one message

PAIRS = frozenset({ExplainTarget.PAIR_SIMILAR, ExplainTarget.PAIR_DIVERGENT})

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class ExplainHits:
    """What a search, or a recommendation, is to explain of its hits.

    `target` None: what makes hit and query alike, or divergent hits unlike, where the query has an image; else SELF.
    """

    target: ExplainTarget | None = None
    picture: HeatmapPicture | None = None


@dataclass(frozen=True, kw_only=True)
class AskedResult:
    """The answer to a query, None where hits come from no single one, with its unit vector, float32 (D,)."""

    result: SearchResult
    query: Query | None = None
    vector: FloatArray | None = None


_Asked = Image | ItemRef | Pair
"""What a heat map is to be made of: an image alone, or a pair."""


class Explaining:
    """Heat maps of what a catalog holds, and of what is asked about it.

    However many maps of an image a call asks for, one pass through the network gives them all, and it is opened once to
    draw them. Of kept images at most `TOGETHER` are in memory at a time, each up to the limit for an encoded one, with
    what it takes to decode and to draw them.
    """

    def __init__(self, catalog: Catalog, subjects: Subjects) -> None:
        self._catalog = catalog
        self._subjects = subjects

    async def explain(
        self,
        live: LiveCollection,
        queries: Sequence[Query | None],
        others: Sequence[Query | None],
        target: ExplainTarget,
        picture: HeatmapPicture | None,
    ) -> list[Explanation | ServiceError]:
        """A heat map for each query; `others` are the other sides of pairs, one for each query or one for all."""
        is_pair = target in PAIRS
        if others and not is_pair:
            raise InvalidError(f"others: has {len(others)} entries; allowed are none unless the target is a pair")
        if is_pair and len(others) not in {1, len(queries)}:
            allowed = "1" if len(queries) == 1 else f"1 for all queries, and {len(queries)}"
            raise InvalidError(f"others: has {len(others)} entries; allowed are {allowed}")
        sides = _Shared[int, Side](lambda place: self._side(live, others[place]))
        medoids = _Shared[int, Side](lambda cluster: self._medoid(live, cluster))

        async def asked(place: int, query: Query | None) -> _Asked:
            image = with_image(query)
            if target is ExplainTarget.SELF:
                return image
            subject = await self._subjects.subject(live, image, patient=True)
            if target is ExplainTarget.CLUSTER:
                return await self._tied(live, image, subject, medoids)
            other = await sides.get(place if len(others) > 1 else 0)
            divergent = target is ExplainTarget.PAIR_DIVERGENT
            return Pair(image=image, vector=subject.vector, other=other, divergent=divergent)

        work = [asked(place, query) for place, query in enumerate(queries)]
        return await self._answered(live, await self._subjects.settled(work), picture)

    async def explain_hits(
        self, live: LiveCollection, results: Sequence[AskedResult], wish: ExplainHits
    ) -> list[SearchResult]:
        """The results with heat maps of all their hits, or the reason why there is none, and of the queries."""
        medoids = _Shared[int, Side](lambda cluster: self._medoid(live, cluster))

        async def asked(hit: Hit, target: ExplainTarget, query: Side | None) -> _Asked:
            image = ItemRef(item_id=hit.item_id)
            if target is ExplainTarget.SELF:
                return image
            subject = await self._subjects.subject(live, image, patient=True)
            if target is ExplainTarget.CLUSTER:
                tied = await self._tied(live, image, subject, medoids)
                return replace(tied, other=replace(tied.other, image=None))  # a hit has no room for the medoid's map
            assert query is not None, "pairs are of a search"
            divergent = target is ExplainTarget.PAIR_DIVERGENT
            return Pair(image=image, vector=subject.vector, other=query, divergent=divergent)

        queries = await asyncio.gather(*(self._query_side(live, one) for one in results))
        work: list[Coroutine[Any, Any, _Asked]] = []
        for one, query in zip(results, queries, strict=True):
            for hits, pair in (
                (one.result.similar, ExplainTarget.PAIR_SIMILAR),
                (one.result.divergent, ExplainTarget.PAIR_DIVERGENT),
            ):
                has_image = query is not None and query.image is not None
                target = wish.target or (pair if has_image else ExplainTarget.SELF)
                work += [asked(hit, target, query) for hit in (hits.hits if hits else ())]
        own = [query.image for query in queries if query is not None and query.image is not None]
        alone = own if wish.target is ExplainTarget.SELF else []
        of_all = iter(await self._answered(live, [*await self._subjects.settled(work), *alone], wish.picture))
        explained = [_with_explanations(one.result, of_all) for one in results]
        if wish.target is not ExplainTarget.SELF:
            return explained
        return [
            result if query is None or query.image is None else replace(result, heatmap=_own_heatmap(next(of_all)))
            for result, query in zip(explained, queries, strict=True)
        ]

    async def _answered(
        self, live: LiveCollection, asked: Sequence[_Asked | ServiceError], picture: HeatmapPicture | None
    ) -> list[Explanation | ServiceError]:
        views: list[View] = []
        for one in asked:
            if isinstance(one, Pair):
                views += one.views()
            elif not isinstance(one, ServiceError):
                views.append((one, None))
        turn = iter(await self._heatmaps(live, views, picture))
        answers: list[Explanation | ServiceError] = []
        for one in asked:
            if isinstance(one, ServiceError):
                answers.append(one)
                continue
            own = next(turn)
            other = next(turn) if isinstance(one, Pair) and one.other.image is not None else None
            if isinstance(own, ServiceError):
                answers.append(own)
            elif isinstance(one, Pair):
                answers.append(
                    Explanation(
                        heatmap=own,
                        other_heatmap=None if isinstance(other, ServiceError) else other,
                        similarity=one.similarity,
                        cluster=one.cluster,
                        other_item_id="" if one.cluster is None else one.other.item_id,
                    )
                )
            else:
                answers.append(Explanation(heatmap=own))
        return answers

    async def _heatmaps(
        self, live: LiveCollection, views: Sequence[View], picture: HeatmapPicture | None
    ) -> list[Heatmap | ServiceError]:
        """A heat map of each view, or the reason why its image cannot be had."""
        places: dict[Image | ItemRef, list[int]] = {}
        for place, (image, _) in enumerate(views):
            places.setdefault(image, []).append(place)
        images = list(places)
        found: dict[int, Heatmap | ServiceError] = {}
        for start in range(0, len(images), TOGETHER):
            some = images[start : start + TOGETHER]
            opened = await self._subjects.settled([self._subjects.image(live, image) for image in some])
            held: dict[Image | ItemRef, DecodedImage] = {}
            for image, one in zip(some, opened, strict=True):
                if isinstance(one, ServiceError):
                    found |= dict.fromkeys(places[image], one)
                else:
                    held[image] = one
            targets = [[views[place][1] for place in places[image]] for image in held]
            drawn = await self._catalog.model_of(live).explain(list(held.values()), targets, picture=picture)
            for image, heatmaps in zip(held, drawn, strict=True):
                found |= zip(places[image], heatmaps, strict=True)
            pictures = [len(one.picture) for one in found.values() if isinstance(one, Heatmap)]
            if sum(pictures) > MAX_PICTURE_BYTES:
                raise InvalidError(
                    f"picture: {len(pictures)} of them have {sum(pictures)} bytes; allowed are at most"
                    f" {MAX_PICTURE_BYTES} in one answer: ask for fewer, or for none"
                )
        return [found[place] for place in range(len(views))]

    async def _side(self, live: LiveCollection, query: Query | None) -> Side:
        subject = await self._subjects.subject(live, query, patient=True)
        image = await self._subjects.image_if_kept(live, query)
        return Side(vector=subject.vector, image=image, item_id=subject.item_id or "")

    async def _query_side(self, live: LiveCollection, one: AskedResult) -> Side | None:
        if one.vector is None:
            return None
        try:
            return Side(vector=one.vector, image=await self._subjects.image_if_kept(live, one.query))
        except NotFoundError:  # deleted since it was searched for
            return Side(vector=one.vector)

    async def _tied(
        self, live: LiveCollection, image: Image | ItemRef, subject: Subject, medoids: "_Shared[int, Side]"
    ) -> Pair:
        cluster = None if subject.key is None else live.map.cluster_of(subject.key)
        if cluster is None:
            state = live.map.state()
            cluster, _ = state.view.snapshot.assign(await asyncio.to_thread(state.place, subject.vector))
        if cluster == NOISE:
            raise PreconditionError("target: is CLUSTER, of what lies in none (noise); allowed is what lies in one")
        return Pair(image=image, vector=subject.vector, other=await medoids.get(cluster), cluster=cluster)

    async def _medoid(self, live: LiveCollection, cluster: int) -> Side:
        return await self._side(live, ItemRef(item_id=await asyncio.to_thread(live.map.medoid, cluster)))


class _Shared(Generic[Key, Value]):
    """What several entries of a request need, looked up once."""

    def __init__(self, look_up: Callable[[Key], Coroutine[Any, Any, Value]]) -> None:
        self._look_up = look_up
        self._found: dict[Key, asyncio.Task[Value]] = {}

    async def get(self, key: Key) -> Value:
        """The value of a key; raises what its look-up raised."""
        if key not in self._found:
            self._found[key] = asyncio.create_task(self._look_up(key))
        return await self._found[key]


def _with_explanations(result: SearchResult, turn: Iterator[Explanation | ServiceError]) -> SearchResult:
    def explained(hits: Hits | None) -> Hits | None:
        if hits is None:
            return None
        return replace(hits, hits=tuple(hit._replace(explanation=next(turn)) for hit in hits.hits))

    return replace(result, similar=explained(result.similar), divergent=explained(result.divergent))


def _own_heatmap(explanation: Explanation | ServiceError) -> Heatmap | None:
    return None if isinstance(explanation, ServiceError) else explanation.heatmap
