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
    Certificate,
    ClassCount,
    Cluster,
    Clustering,
    Collection,
    Explanation,
    Fit,
    Heatmap,
    Hit,
    Item,
    ItemImage,
    MapInfo,
    MapPoint,
    SearchResult,
    UpsertOutcome,
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
    "AttributeType",
    "AttributeValue",
    "Certificate",
    "ClassCount",
    "Client",
    "Cluster",
    "Clustering",
    "Collection",
    "DeadlineExceededError",
    "Direction",
    "Explanation",
    "FailedPreconditionError",
    "FarnearError",
    "Fit",
    "Heatmap",
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
