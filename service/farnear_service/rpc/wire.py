"""The words of the contract to those of the service, and back."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from farnear.v1 import clusters_pb2, collections_pb2, explain_pb2, items_pb2, search_pb2, types_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from farnear_service.errors import InvalidError, ServiceError
from farnear_service.pipeline import ClusterSummary, MapPoints, MapState
from farnear_service.rpc.status import item_error
from farnear_service.types import (
    Collection,
    Direction,
    Heatmap,
    Hit,
    Image,
    ImageRetention,
    Item,
    ItemRef,
    NewItem,
    Query,
    SearchResult,
    Vector,
)

T = TypeVar("T")

_RETENTIONS = {
    collections_pb2.IMAGE_RETENTION_UNSPECIFIED: ImageRetention.ORIGINAL,
    collections_pb2.IMAGE_RETENTION_ORIGINAL: ImageRetention.ORIGINAL,
    collections_pb2.IMAGE_RETENTION_NONE: ImageRetention.NONE,
}
_RETENTION_NAMES = {
    ImageRetention.ORIGINAL: collections_pb2.IMAGE_RETENTION_ORIGINAL,
    ImageRetention.NONE: collections_pb2.IMAGE_RETENTION_NONE,
}
_DIRECTIONS = {
    search_pb2.DIRECTION_SIMILAR: Direction.SIMILAR,
    search_pb2.DIRECTION_DIVERGENT: Direction.DIVERGENT,
    search_pb2.DIRECTION_BOTH: Direction.BOTH,
}


def retention(value: int) -> ImageRetention:
    """Raises InvalidError for a value that this version does not know."""
    return _known("image_retention", value, _RETENTIONS)


def direction(value: int) -> Direction:
    """Raises InvalidError for UNSPECIFIED and for a value that this version does not know."""
    return _known("direction", value, _DIRECTIONS)


def picture(value: int) -> bool:
    """Whether an overlay is wanted."""
    return _known(
        "picture",
        value,
        {explain_pb2.HEATMAP_PICTURE_UNSPECIFIED: False, explain_pb2.HEATMAP_PICTURE_OVERLAY: True},
    )


def query(message: types_pb2.Query) -> Query | None:
    """What is asked about; None where nothing is set."""
    match message.WhichOneof("subject"):
        case "image":
            return Image(data=message.image)
        case "item_id":
            return ItemRef(item_id=message.item_id)
        case "vector":
            return vector(message.vector)
        case _:
            return None


def vector(message: types_pb2.Vector) -> Vector:
    """A ready vector."""
    return Vector(values=np.array(message.values, np.float32), bundle_digest=message.bundle_digest)


def new_item(message: items_pb2.NewItem) -> NewItem:
    """An item to store; its content is None where nothing is set."""
    content: Image | Vector | None = None
    match message.WhichOneof("content"):
        case "image":
            content = Image(data=message.image)
        case "vector":
            content = vector(message.vector)
    return NewItem(item_id=message.item_id, label=message.label, content=content)


def collection_message(record: Collection, item_count: int) -> collections_pb2.Collection:
    """A collection."""
    return collections_pb2.Collection(
        name=record.name,
        bundle=record.bundle_name,
        bundle_digest=record.bundle_digest,
        item_count=item_count,
        embedding_dim=record.dim,
        create_time=_timestamp(record.created),
        image_retention=_RETENTION_NAMES[record.retention],
    )


def item_message(item: Item) -> types_pb2.Item:
    """An item."""
    return types_pb2.Item(
        item_id=item.item_id,
        label=item.label,
        cluster=item.cluster,
        create_time=_timestamp(item.created),
        has_image=item.has_image,
    )


def search_message(result: SearchResult | ServiceError) -> search_pb2.SearchResult:
    """The answer to one query. The index is exact at both ends, and says so."""
    if isinstance(result, ServiceError):
        return search_pb2.SearchResult(error=item_error(result))
    return search_pb2.SearchResult(
        similar=_hit_messages(result.similar),
        divergent=_hit_messages(result.divergent),
        certificate=search_pb2.Certificate(exact=True),
    )


def heatmap_message(result: Heatmap | ServiceError) -> explain_pb2.ExplainResult:
    """The answer to one query."""
    if isinstance(result, ServiceError):
        return explain_pb2.ExplainResult(error=item_error(result))
    height, width = result.values.shape
    return explain_pb2.ExplainResult(
        heatmap=explain_pb2.Heatmap(
            height=height, width=width, values=result.values.ravel().tolist(), picture_png=result.picture
        )
    )


def map_info(state: MapState) -> clusters_pb2.MapInfo:
    """How the standing map was made."""
    return clusters_pb2.MapInfo(
        version=state.view.fitted.version,
        item_count=len(state.view.keys),
        pending_count=state.pending,
        eps=state.settings.eps,
        min_samples=state.settings.min_samples,
        perplexity=state.view.fitted.perplexity,
    )


def cluster_message(summary: ClusterSummary) -> clusters_pb2.Cluster:
    """One cluster."""
    return clusters_pb2.Cluster(
        cluster=summary.cluster,
        size=summary.size,
        core_count=summary.core_count,
        medoid_item_id=summary.medoid,
        classes=[clusters_pb2.ClassCount(label=label, count=count) for label, count in summary.classes],
    )


def map_chunk(points: MapPoints, rows: slice) -> clusters_pb2.GetMapResponse:
    """Some of the points of a map."""
    return clusters_pb2.GetMapResponse(
        item_ids=points.item_ids[rows],
        xs=points.positions[rows, 0].tolist(),
        ys=points.positions[rows, 1].tolist(),
        clusters=points.clusters[rows].tolist(),
        labels=points.labels[rows],
        map=map_info(points.state),
    )


def page_size(value: int, *, default: int, limit: int) -> int:
    """The page size asked for, `default` for 0; raises InvalidError outside of 0 to `limit`."""
    if not 0 <= value <= limit:
        raise InvalidError(f"page_size: is {value}; allowed are 0 (for {default}) to {limit}")
    return value or default


def page_token(last: str) -> str:
    """The token of the page behind the entry `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def page_start(token: str) -> str | None:
    """The entry behind which a page begins, None for the first page; raises InvalidError for a token not from here."""
    if not token:
        return None
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidError(f"page_token: {token!r}; allowed is a next_page_token as it came, or none") from error


def _hit_messages(hits: Sequence[Hit]) -> list[search_pb2.Hit]:
    return [
        search_pb2.Hit(rank=rank, item_id=hit.item_id, similarity=hit.similarity, label=hit.label, cluster=hit.cluster)
        for rank, hit in enumerate(hits, 1)
    ]


def _known(field: str, value: int, table: Mapping[Any, T]) -> T:
    if value not in table:
        raise InvalidError(f"{field}: is {value}; allowed are {', '.join(str(key) for key in table)}")
    return table[value]


def _timestamp(seconds: float) -> Timestamp:
    message = Timestamp()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
