"""Heat maps."""

from collections.abc import Iterable

from farnear.inputs import Query
from farnear.results import Explanation, Heatmap
from farnear.v1 import explain_pb2
from farnear.wire.queries import to_query
from farnear.wire.values import read_error


def to_explain_request(collection: str, queries: Iterable[Query], overlay: bool) -> explain_pb2.ExplainRequest:
    """Writes an ExplainRequest."""
    picture = explain_pb2.HEATMAP_PICTURE_OVERLAY if overlay else explain_pb2.HEATMAP_PICTURE_UNSPECIFIED
    return explain_pb2.ExplainRequest(
        collection=collection, queries=[to_query(query) for query in queries], picture=picture
    )


def read_explanations(response: explain_pb2.ExplainResponse) -> list[Explanation]:
    """Reads an ExplainResponse."""
    return [
        Explanation(heatmap=None, error=read_error(result.error))
        if result.HasField("error")
        else Explanation(heatmap=_read_heatmap(result.heatmap), error=None)
        for result in response.results
    ]


def read_heatmap(response: explain_pb2.ExplainResponse) -> Heatmap:
    """Reads the answer to a single query.

    Raises:
        FarnearError: If the query was refused.
    """
    (result,) = response.results
    if result.HasField("error"):
        raise read_error(result.error)
    return _read_heatmap(result.heatmap)


def _read_heatmap(message: explain_pb2.Heatmap) -> Heatmap:
    return Heatmap(
        height=message.height,
        width=message.width,
        values=tuple(message.values),
        overlay_png=message.picture_png or None,
    )
