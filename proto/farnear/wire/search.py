"""Searches at both ends of the cosine scale."""

from collections.abc import Iterable

from farnear.filters import Where, to_filter
from farnear.inputs import Direction, ExplainHits, Query
from farnear.results import Certificate, Hit, SearchResult
from farnear.v1 import search_pb2
from farnear.wire.explain import read_heatmap, to_explain_hits
from farnear.wire.queries import to_query
from farnear.wire.values import read_error, read_time

_DIRECTIONS = {
    Direction.SIMILAR: search_pb2.DIRECTION_SIMILAR,
    Direction.DIVERGENT: search_pb2.DIRECTION_DIVERGENT,
    Direction.BOTH: search_pb2.DIRECTION_BOTH,
}


def to_search_request(
    collection: str,
    queries: Iterable[Query],
    direction: Direction,
    k: int,
    where: Where | None,
    explain: ExplainHits | None = None,
) -> search_pb2.SearchRequest:
    """Writes a SearchRequest.

    Raises:
        ValueError: If the direction, the filter, or what is to be explained is none.
    """
    return search_pb2.SearchRequest(
        collection=collection,
        queries=[to_query(query) for query in queries],
        direction=_DIRECTIONS[Direction(direction)],
        k=k,
        filter=to_filter(where),
        explain=to_explain_hits(explain),
    )


def read_search_results(
    request: search_pb2.SearchRequest, response: search_pb2.SearchResponse, *, behind: int = 0
) -> list[SearchResult]:
    """Reads the answer to a request; `behind` counts the hits of the pages before."""
    return [_read_result(request.direction, result, behind) for result in response.results]


def read_search_result(
    request: search_pb2.SearchRequest, response: search_pb2.SearchResponse, *, behind: int = 0
) -> SearchResult:
    """Reads the answer to a request with a single query.

    Raises:
        FarnearError: If the query was refused.
    """
    (result,) = read_search_results(request, response, behind=behind)
    if result.error is not None:
        raise result.error
    return result


def read_hits(messages: Iterable[search_pb2.Hit], *, behind: int = 0) -> tuple[Hit, ...]:
    """Reads hits in order. The service ranks each page from 1; here the ranks go on through the pages."""
    return tuple(
        Hit(
            rank=rank,
            item_id=message.item_id,
            similarity=message.similarity,
            label=message.label,
            cluster=message.cluster if message.HasField("cluster") else None,
            heatmap=read_heatmap(message.heatmap) if message.HasField("heatmap") else None,
            query_heatmap=read_heatmap(message.query_heatmap) if message.HasField("query_heatmap") else None,
            heatmap_error=read_error(message.heatmap_error) if message.HasField("heatmap_error") else None,
        )
        for rank, message in enumerate(messages, start=behind + 1)
    )


def _read_result(
    direction: "search_pb2.Direction.ValueType", message: search_pb2.SearchResult, behind: int
) -> SearchResult:
    if message.HasField("error"):
        return SearchResult(
            similar=(),
            divergent=(),
            similar_certificate=None,
            divergent_certificate=None,
            error=read_error(message.error),
        )
    # Where the divergent end alone was asked, the contract's `certificate` is of that end too.
    is_similar = direction != search_pb2.DIRECTION_DIVERGENT
    return SearchResult(
        similar=read_hits(message.similar, behind=behind),
        divergent=read_hits(message.divergent, behind=behind),
        similar_certificate=_read_certificate(message.certificate) if is_similar else None,
        divergent_certificate=(
            _read_certificate(message.divergent_certificate) if message.HasField("divergent_certificate") else None
        ),
        error=None,
        query_heatmap=read_heatmap(message.query_heatmap) if message.HasField("query_heatmap") else None,
    )


def _read_certificate(message: search_pb2.Certificate) -> Certificate:
    if message.exact:
        return Certificate(exact=True, recall=1.0, calibration_k=None, calibration_queries=None, calibration_time=None)
    return Certificate(
        exact=False,
        recall=message.recall,
        calibration_k=message.calibration_k,
        calibration_queries=message.calibration_queries,
        calibration_time=read_time(message.calibration_time),
    )
