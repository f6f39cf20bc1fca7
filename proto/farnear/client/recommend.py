"""The calls that recommend, and that keep what users met."""

from collections.abc import Iterable, Iterator

from farnear.channel import RECORD_INTERACTIONS_BATCH
from farnear.client.connection import Connection
from farnear.filters import Where
from farnear.inputs import ExplainHits, Interaction, Query, RecommendMode, portions
from farnear.results import Hit
from farnear.v1 import recommend_pb2
from farnear.wire.recommend import read_interaction, to_list_request, to_recommend_request, to_record_request
from farnear.wire.search import read_hits


class RecommendCalls(Connection):
    """Recommends from what somebody liked, disliked and has seen, and keeps it for users."""

    def recommend(
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
        """Items for a user, or for liked, disliked and seen ones; what was seen is never recommended.

        Args:
            collection: What to recommend from.
            user: Whose recorded interactions count; empty for nobody's.
            liked: Examples beside them: stored items, images or vectors. An item counts as seen.
            disliked: Like `liked`; at most 1,000 in all.
            seen: Ids of items that were seen, at most 10,000.
            mode: How to recommend.
            novelty: In place of a mode, from 0, which ranks as SIMILAR does, to 1, as DIVERGENT does.
            k: Hits, 1 to 1,000; fewer come where fewer are left.
            where: Which items may be recommended; see the class.
            pool: For DIVERSE, among how many of the most relevant items to choose; 0 for the whole collection.
            explain: Heat maps of the hits in the same answer, for k up to 100; None for none.
            timeout: See the class.

        Returns:
            Hits in order of recommendation. Their similarity is the relevance: the cosine to the direction toward what
            was liked and away from what was disliked; 0 where nothing was.

        Raises:
            InvalidArgumentError: Unless either a mode or a novelty is given.
        """
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
        return read_hits(self._call(self._recommend.Recommend, request, timeout).hits)

    def record_interactions(
        self, collection: str, user: str, interactions: Iterable[Interaction], *, timeout: float | None = None
    ) -> None:
        """Takes down what a user saw, liked or disliked, on the service's disk. The last word on an item stands.

        They are read lazily and sent in calls of at most 10,000. If a call is refused nothing of it is kept; the calls
        before it stand.

        Args:
            collection: Whose items the user met.
            user: 1 to 512 bytes of UTF-8 without control characters.
            interactions: What the user met.
            timeout: See the class.

        Raises:
            NotFoundError: If one of the items is not there.
        """
        for portion in portions(interactions, RECORD_INTERACTIONS_BATCH):
            self._call(self._recommend.RecordInteractions, to_record_request(collection, user, portion), timeout)

    def list_interactions(self, collection: str, user: str, *, timeout: float | None = None) -> Iterator[Interaction]:
        """What is kept of a user, newest first, fetched page by page as it is consumed."""
        request = to_list_request(collection, user)
        for page in self._pages(self._recommend.ListInteractions, request, timeout):
            yield from map(read_interaction, page.interactions)

    def delete_interactions(self, collection: str, user: str, *, timeout: float | None = None) -> int:
        """Forgets a user and tells how many interactions were kept. A user who is not known is no error."""
        request = recommend_pb2.DeleteInteractionsRequest(collection=collection, user=user)
        return self._call(self._recommend.DeleteInteractions, request, timeout).deleted_count
