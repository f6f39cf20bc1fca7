"""Heat maps."""

from collections.abc import Iterable

from farnear.inputs import ExplainHits, ExplainTarget, HeatmapPicture, Query
from farnear.results import Explanation, Heatmap
from farnear.v1 import explain_pb2
from farnear.wire.queries import to_query
from farnear.wire.values import read_error

_TARGETS = {
    None: explain_pb2.EXPLAIN_TARGET_UNSPECIFIED,
    ExplainTarget.SELF: explain_pb2.EXPLAIN_TARGET_SELF,
    ExplainTarget.PAIR_SIMILAR: explain_pb2.EXPLAIN_TARGET_PAIR_SIMILAR,
    ExplainTarget.PAIR_DIVERGENT: explain_pb2.EXPLAIN_TARGET_PAIR_DIVERGENT,
    ExplainTarget.CLUSTER: explain_pb2.EXPLAIN_TARGET_CLUSTER,
}
_PICTURES = {
    None: explain_pb2.HEATMAP_PICTURE_UNSPECIFIED,
    HeatmapPicture.OVERLAY: explain_pb2.HEATMAP_PICTURE_OVERLAY,
    HeatmapPicture.HEATMAP: explain_pb2.HEATMAP_PICTURE_HEATMAP,
}


def to_explain_request(
    collection: str,
    queries: Iterable[Query],
    *,
    target: ExplainTarget = ExplainTarget.SELF,
    others: Iterable[Query] = (),
    picture: HeatmapPicture | None = None,
) -> explain_pb2.ExplainRequest:
    """Writes an ExplainRequest.

    Raises:
        ValueError: If the target or the picture is none.
    """
    return explain_pb2.ExplainRequest(
        collection=collection,
        queries=[to_query(query) for query in queries],
        others=[to_query(other) for other in others],
        target=_TARGETS[ExplainTarget(target)],
        picture=_picture(picture),
    )


def to_explain_hits(explain: ExplainHits | None) -> explain_pb2.ExplainHits | None:
    """Writes what is to be explained of hits; None for nothing.

    Raises:
        ValueError: If the target or the picture is none.
    """
    if explain is None:
        return None
    target = None if explain.target is None else ExplainTarget(explain.target)
    return explain_pb2.ExplainHits(target=_TARGETS[target], picture=_picture(explain.picture))


def read_explanations(request: explain_pb2.ExplainRequest, response: explain_pb2.ExplainResponse) -> list[Explanation]:
    """Reads the answer to a request."""
    is_alone = request.target == explain_pb2.EXPLAIN_TARGET_SELF
    return [
        Explanation(heatmap=None, error=read_error(result.error))
        if result.HasField("error")
        else Explanation(
            heatmap=read_heatmap(result.heatmap),
            error=None,
            other_heatmap=read_heatmap(result.other_heatmap) if result.HasField("other_heatmap") else None,
            similarity=None if is_alone else result.similarity,
            cluster=result.cluster if result.HasField("cluster") else None,
            other_item_id=result.other_item_id,
        )
        for result in response.results
    ]


def read_only_heatmap(response: explain_pb2.ExplainResponse) -> Heatmap:
    """Reads the answer to a single query.

    Raises:
        FarnearError: If the query was refused.
    """
    (result,) = response.results
    if result.HasField("error"):
        raise read_error(result.error)
    return read_heatmap(result.heatmap)


def read_heatmap(message: explain_pb2.Heatmap) -> Heatmap:
    """Reads a Heatmap."""
    return Heatmap(
        height=message.height,
        width=message.width,
        values=tuple(message.values),
        least=message.least,
        greatest=message.greatest,
        picture_png=message.picture_png or None,
    )


def _picture(picture: HeatmapPicture | None) -> "explain_pb2.HeatmapPicture.ValueType":
    return _PICTURES[None if picture is None else HeatmapPicture(picture)]
