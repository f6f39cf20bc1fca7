"""Farnear client: what is most like an image, what most unlike it, which cluster it is in, where that comes from.

Example:
    >>> from farnear import Client, ItemId, NewItem
    >>> with Client("127.0.0.1:50051") as client:
    ...     client.create_collection("cells", bundle="elpv")
    ...     client.upsert("cells", [NewItem(item_id="a.png", label="crack", content=png_bytes)])
    ...     for hit in client.divergent("cells", ItemId("a.png"), k=10):
    ...         print(hit.rank, hit.item_id, hit.similarity)

A query is `bytes` (an encoded image), an `ItemId` or a `Vector`. Refusals are `FarnearError`s: see `farnear.errors`.
"""

from typing import TYPE_CHECKING, Any

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
from farnear.inputs import Direction, ItemId, NewItem, Query, Vector
from farnear.results import (
    Assignment,
    ClassCount,
    Cluster,
    Clustering,
    Collection,
    Explanation,
    Fit,
    Heatmap,
    Hit,
    Item,
    MapInfo,
    MapPoint,
    SearchResult,
    UpsertOutcome,
)

if TYPE_CHECKING:
    from farnear.aio import AsyncClient
    from farnear.client import Client

__all__ = [
    "AlreadyExistsError",
    "Assignment",
    "AsyncClient",
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
    "InvalidArgumentError",
    "Item",
    "ItemId",
    "MapInfo",
    "MapPoint",
    "NewItem",
    "NotFoundError",
    "PermissionDeniedError",
    "Query",
    "RefusedByServerError",
    "ResourceExhaustedError",
    "SearchResult",
    "ServerFaultError",
    "UnauthenticatedError",
    "UnavailableError",
    "UpsertOutcome",
    "Vector",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol of PEP 562
    # gRPC takes most of the import time, and `farnear --help` does not need it: the clients load when first named.
    if name == "Client":
        from farnear.client import Client

        return Client
    if name == "AsyncClient":
        from farnear.aio import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
