"""Recommendations, and the interactions they come from."""

from collections.abc import Iterable

from farnear.filters import Where, to_filter
from farnear.inputs import ExplainHits, Interaction, Opinion, Query, RecommendMode
from farnear.v1 import recommend_pb2
from farnear.wire.explain import to_explain_hits
from farnear.wire.queries import to_query
from farnear.wire.values import read_time, to_timestamp

_LIST_PAGE = 10_000

_MODES = {
    RecommendMode.SIMILAR: recommend_pb2.RECOMMEND_MODE_SIMILAR,
    RecommendMode.DIVERGENT: recommend_pb2.RECOMMEND_MODE_DIVERGENT,
    RecommendMode.DIVERSE: recommend_pb2.RECOMMEND_MODE_DIVERSE,
}
_OPINIONS = {
    Opinion.SEEN: recommend_pb2.OPINION_UNSPECIFIED,
    Opinion.LIKED: recommend_pb2.OPINION_LIKED,
    Opinion.DISLIKED: recommend_pb2.OPINION_DISLIKED,
}
_OPINION_NAMES = {number: opinion for opinion, number in _OPINIONS.items()}


def to_recommend_request(
    collection: str,
    *,
    user: str,
    liked: Iterable[Query],
    disliked: Iterable[Query],
    seen: Iterable[str],
    mode: RecommendMode | None,
    novelty: float | None,
    k: int,
    where: Where | None,
    pool: int,
    explain: ExplainHits | None,
) -> recommend_pb2.RecommendRequest:
    """Writes a RecommendRequest.

    Raises:
        ValueError: If the mode, the filter, or what is to be explained is none.
    """
    return recommend_pb2.RecommendRequest(
        collection=collection,
        user=user,
        liked=[to_query(query) for query in liked],
        disliked=[to_query(query) for query in disliked],
        seen_item_ids=seen,
        mode=recommend_pb2.RECOMMEND_MODE_UNSPECIFIED if mode is None else _MODES[RecommendMode(mode)],
        novelty=novelty,
        k=k,
        filter=to_filter(where),
        pool=pool,
        explain=to_explain_hits(explain),
    )


def to_record_request(
    collection: str, user: str, interactions: Iterable[Interaction]
) -> recommend_pb2.RecordInteractionsRequest:
    """Writes a RecordInteractionsRequest.

    Raises:
        ValueError: If an opinion is none.
    """
    return recommend_pb2.RecordInteractionsRequest(
        collection=collection, user=user, interactions=[_to_interaction(entry) for entry in interactions]
    )


def to_list_request(collection: str, user: str) -> recommend_pb2.ListInteractionsRequest:
    """Writes the request for the first page of a ListInteractions."""
    return recommend_pb2.ListInteractionsRequest(collection=collection, user=user, page_size=_LIST_PAGE)


def read_interaction(message: recommend_pb2.Interaction) -> Interaction:
    """Reads an Interaction."""
    return Interaction(item_id=message.item_id, opinion=_OPINION_NAMES[message.opinion], time=read_time(message.time))


def _to_interaction(interaction: Interaction) -> recommend_pb2.Interaction:
    return recommend_pb2.Interaction(
        item_id=interaction.item_id,
        opinion=_OPINIONS[Opinion(interaction.opinion)],
        time=None if interaction.time is None else to_timestamp(interaction.time),
    )
