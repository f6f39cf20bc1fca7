"""The calls that recommend, and that keep what users met; `farnear.client.recommend` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

from collections.abc import AsyncIterator, Iterable

from farnear.aio.connection import Connection
from farnear.channel import RECORD_INTERACTIONS_BATCH
from farnear.filters import Where
from farnear.inputs import ExplainHits, Interaction, Query, RecommendMode, portions
from farnear.results import Hit
from farnear.v1 import recommend_pb2
from farnear.wire.recommend import read_interaction, to_list_request, to_recommend_request, to_record_request
from farnear.wire.search import read_hits


class RecommendCalls(Connection):
    """Recommends from what somebody liked, disliked and has seen, and keeps it for users."""

    async def recommend(
        self,
        collection: str,
        *,
        user: str = "",
        liked: Iterable[Query] = (),
        disliked: Iterable[Query] = (),
        seen: Iterable[str] = (),
        mode: RecommendMode | None = None,
        novelty: float | None = None,
        k: int = 10,
        where: Where | None = None,
        pool: int = 0,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> tuple[Hit, ...]:
        """Items for a user, or for liked, disliked and seen ones; see `Client.recommend`."""
        request = to_recommend_request(
            collection,
            user=user,
            liked=liked,
            disliked=disliked,
            seen=seen,
            mode=mode,
            novelty=novelty,
            k=k,
            where=where,
            pool=pool,
            explain=explain,
        )
        return read_hits((await self._call(self._recommend.Recommend, request, timeout)).hits)

    async def record_interactions(
        self, collection: str, user: str, interactions: Iterable[Interaction], *, timeout: float | None = None
    ) -> None:
        """Takes down what a user saw, liked or disliked; see `Client.record_interactions`."""
        for portion in portions(interactions, RECORD_INTERACTIONS_BATCH):
            request = to_record_request(collection, user, portion)
            await self._call(self._recommend.RecordInteractions, request, timeout)

    async def list_interactions(
        self, collection: str, user: str, *, timeout: float | None = None
    ) -> AsyncIterator[Interaction]:
        """What is kept of a user, newest first; see `Client.list_interactions`."""
        request = to_list_request(collection, user)
        async for page in self._pages(self._recommend.ListInteractions, request, timeout):
            for interaction in page.interactions:
                yield read_interaction(interaction)

    async def delete_interactions(self, collection: str, user: str, *, timeout: float | None = None) -> int:
        """Forgets a user and counts what was kept; see `Client.delete_interactions`."""
        request = recommend_pb2.DeleteInteractionsRequest(collection=collection, user=user)
        return (await self._call(self._recommend.DeleteInteractions, request, timeout)).deleted_count
