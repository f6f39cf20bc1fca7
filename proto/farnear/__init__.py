"""Farnear client: what is most like an image, what most unlike it, which cluster it is in, where that comes from.

Example:
    >>> from farnear import Client, ItemId, NewItem
    >>> with Client("127.0.0.1:50051") as client:
    ...     client.create_collection("cells", bundle="elpv")
    ...     client.upsert("cells", [NewItem(item_id="a.png", label="crack", content=png_bytes)])
    ...     for hit in client.divergent("cells", ItemId("a.png"), k=10):
    ...         print(hit.rank, hit.item_id, hit.similarity)

A query is `bytes` (an encoded image), an `ItemId` or a `Vector`. `where="severity >= 3 and label in ('crack', 'rust')"`
limits a call to some items: see `farnear.filters`. Refusals are `FarnearError`s: see `farnear.errors`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from farnear.attributes import AttributeType, AttributeValue
from farnear.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    FailedPreconditionError,
    FarnearError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RefusedByServerError,
    ResourceExhaustedError,
    ServerFaultError,
    UnauthenticatedError,
    UnavailableError,
)
from farnear.inputs import (
    Direction,
    ExplainHits,
    ExplainTarget,
    HeatmapPicture,
    ImageRetention,
    IndexKind,
    IndexSettings,
    Interaction,
    ItemId,
    NewItem,
    Opinion,
    Query,
    RecommendMode,
    Vector,
)
from farnear.results import (
    Activation,
    Assignment,
    AttributeSummary,
    Certificate,
    ClassCount,
    Cluster,
    ClusterChange,
    ClusterDetails,
    ClusterEvent,
    Clustering,
    Collection,
    EpsSuggestion,
    EventBatch,
    Explanation,
    Fit,
    Heatmap,
    Hit,
    Item,
    ItemImage,
    MapInfo,
    MapPoint,
    NearCluster,
    SearchResult,
    UpsertOutcome,
    ValueCount,
)

if TYPE_CHECKING:
    from farnear.aio import AsyncClient
    from farnear.client import Client
    from farnear.filters import parse as parse_filter

__all__ = [
    "Activation",
    "AlreadyExistsError",
    "Assignment",
    "AsyncClient",
    "AttributeSummary",
    "AttributeType",
    "AttributeValue",
    "Certificate",
    "ClassCount",
    "Client",
    "Cluster",
    "ClusterChange",
    "ClusterDetails",
    "ClusterEvent",
    "Clustering",
    "Collection",
    "DeadlineExceededError",
    "Direction",
    "EpsSuggestion",
    "EventBatch",
    "ExplainHits",
    "ExplainTarget",
    "Explanation",
    "FailedPreconditionError",
    "FarnearError",
    "Fit",
    "Heatmap",
    "HeatmapPicture",
    "Hit",
    "ImageRetention",
    "IndexKind",
    "IndexSettings",
    "Interaction",
    "InvalidArgumentError",
    "Item",
    "ItemId",
    "ItemImage",
    "MapInfo",
    "MapPoint",
    "NearCluster",
    "NewItem",
    "NotFoundError",
    "Opinion",
    "PermissionDeniedError",
    "Query",
    "RecommendMode",
    "RefusedByServerError",
    "ResourceExhaustedError",
    "SearchResult",
    "ServerFaultError",
    "UnauthenticatedError",
    "UnavailableError",
    "UpsertOutcome",
    "ValueCount",
    "Vector",
    "parse_filter",
]


# gRPC takes most of the import time, and `farnear --help` does not need it: what does loads when it is first named.
_LATE = {
    "Client": ("farnear.client", "Client"),
    "AsyncClient": ("farnear.aio", "AsyncClient"),
    "parse_filter": ("farnear.filters", "parse"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol of PEP 562
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LATE[name]
    return getattr(import_module(module), attribute)
