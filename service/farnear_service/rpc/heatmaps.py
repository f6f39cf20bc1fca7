"""The words of the contract about heat maps to those of the service, and back."""

from farnear.v1 import explain_pb2

from farnear_service.errors import ServiceError
from farnear_service.pipeline import ExplainHits
from farnear_service.rpc.status import item_error
from farnear_service.rpc.wire import known
from farnear_service.types import ExplainTarget, Explanation, Heatmap, HeatmapPicture

_TARGETS = {
    explain_pb2.EXPLAIN_TARGET_UNSPECIFIED: None,
    explain_pb2.EXPLAIN_TARGET_SELF: ExplainTarget.SELF,
    explain_pb2.EXPLAIN_TARGET_PAIR_SIMILAR: ExplainTarget.PAIR_SIMILAR,
    explain_pb2.EXPLAIN_TARGET_PAIR_DIVERGENT: ExplainTarget.PAIR_DIVERGENT,
    explain_pb2.EXPLAIN_TARGET_CLUSTER: ExplainTarget.CLUSTER,
}
_PICTURES = {
    explain_pb2.HEATMAP_PICTURE_UNSPECIFIED: None,
    explain_pb2.HEATMAP_PICTURE_OVERLAY: HeatmapPicture.OVERLAY,
    explain_pb2.HEATMAP_PICTURE_HEATMAP: HeatmapPicture.HEATMAP,
}


def target(value: int) -> ExplainTarget | None:
    """What heat maps are to explain, None for UNSPECIFIED; InvalidError for a value that this version does not know."""
    return known("target", value, _TARGETS)


def picture(value: int) -> HeatmapPicture | None:
    """The form of the pictures, None for none; raises InvalidError for a value that this version does not know."""
    return known("picture", value, _PICTURES)


def explain_hits(message: explain_pb2.ExplainHits) -> ExplainHits:
    """What is to be explained of hits."""
    return ExplainHits(target=target(message.target), picture=picture(message.picture))


def explanation_message(result: Explanation | ServiceError) -> explain_pb2.ExplainResult:
    """The answer to one query."""
    if isinstance(result, ServiceError):
        return explain_pb2.ExplainResult(error=item_error(result))
    return explain_pb2.ExplainResult(
        heatmap=heatmap_message(result.heatmap),
        other_heatmap=None if result.other_heatmap is None else heatmap_message(result.other_heatmap),
        similarity=result.similarity or 0,
        cluster=result.cluster,
        other_item_id=result.other_item_id,
    )


def heatmap_message(heatmap: Heatmap) -> explain_pb2.Heatmap:
    """A heat map."""
    height, width = heatmap.values.shape
    return explain_pb2.Heatmap(
        height=height,
        width=width,
        values=heatmap.values.ravel().tolist(),
        picture_png=heatmap.picture,
        least=float(heatmap.values.min()),
        greatest=float(heatmap.values.max()),
    )
