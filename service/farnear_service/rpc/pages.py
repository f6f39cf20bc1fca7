"""Pages: their sizes, and tokens that tell where the next one begins.

A token goes with the request that it was given for: with a digest of it, so that it is refused with any other.
"""

import base64
import hashlib
import json
from typing import Any, TypeAlias

from farnear.v1 import clusters_pb2, collections_pb2, items_pb2, recommend_pb2, search_pb2
from google.protobuf.message import Message

from farnear_service.errors import InvalidError
from farnear_service.index import Position
from farnear_service.pipeline import Behind
from farnear_service.types import Interaction

_ByEntry: TypeAlias = (
    collections_pb2.ListCollectionsRequest
    | items_pb2.ListItemsRequest
    | clusters_pb2.ListClustersRequest
    | clusters_pb2.GetClusterRequest
)
_Paged: TypeAlias = (
    _ByEntry | recommend_pb2.ListInteractionsRequest | search_pb2.SearchRequest | clusters_pb2.WatchClustersRequest
)

# What may differ from page to page.
_DIFFERENT = frozenset({"page_token", "resume_token", "from_start", "page_size", "k", "explain"})


def page_size(value: int, *, default: int, limit: int) -> int:
    """The page size asked for, `default` for 0; raises InvalidError outside of 0 to `limit`."""
    if not 0 <= value <= limit:
        raise InvalidError(f"page_size: is {value}; allowed are 0 (for {default}) to {limit}")
    return value or default


def page_token(request: _ByEntry, last: str) -> str:
    """The token of the page behind the entry `last`."""
    return _token(request, last)


def page_start(request: _ByEntry) -> str | None:
    """The entry behind which a page begins, None for the first page; raises InvalidError for another request's token.

    So do all that follow.
    """
    place = _place("page_token", request, request.page_token)
    return None if place is None else str(place[0])


def interaction_token(request: recommend_pb2.ListInteractionsRequest, last: Interaction) -> str:
    """The token of the page of interactions behind `last`."""
    return _token(request, last.time, last.item_id)


def interaction_start(request: recommend_pb2.ListInteractionsRequest) -> tuple[float, str] | None:
    """Time and item behind which a page of interactions begins; None for the first page."""
    place = _place("page_token", request, request.page_token)
    return None if place is None else (place[0], place[1])


def event_token(request: clusters_pb2.WatchClustersRequest, number: int) -> str:
    """The token to go on behind the event of a number."""
    return _token(request, number)


def event_start(request: clusters_pb2.WatchClustersRequest) -> int | None:
    """The number of the event behind which a feed begins; None for the present moment."""
    place = _place("resume_token", request, request.resume_token)
    if place is None:
        return 0 if request.from_start else None
    return int(place[0])


def search_page_token(request: search_pb2.SearchRequest, behind: Behind | None) -> str:
    """The token of the page behind an answer to `request`; empty where nothing is left."""
    if behind is None:
        return ""
    return _token(request, *(None if place is None else [place.similarity, place.item_id] for place in behind))


def search_page_start(request: search_pb2.SearchRequest) -> Behind | None:
    """Where the page that `request` asks for begins."""
    place = _place("page_token", request, request.page_token)
    if place is None:
        return None
    similar, divergent = (None if one is None else Position(*one) for one in place)
    return similar, divergent


def _token(request: _Paged, *place: object) -> str:
    return base64.urlsafe_b64encode(_digest(request) + json.dumps(place).encode()).decode()


def _place(field: str, request: _Paged, token: str) -> list[Any] | None:
    """What `_token` was given for this request; None for no token."""
    if not token:
        return None
    try:
        told = base64.b64decode(token, altchars=b"-_", validate=True)
    except ValueError:
        told = b""
    digest = _digest(request)
    if not told.startswith(digest):
        raise InvalidError(
            f"{field}: {token[:80]!r}; allowed is one that came for the same {request.DESCRIPTOR.name},"
            " but for the size of its pages, or none"
        )
    place: list[Any] = json.loads(told[len(digest) :])
    return place


def _digest(request: _Paged) -> bytes:
    same: Message = type(request)()
    same.CopyFrom(request)
    for name in _DIFFERENT.intersection(same.DESCRIPTOR.fields_by_name):
        same.ClearField(name)
    told = same.DESCRIPTOR.full_name.encode() + b"\0" + same.SerializeToString(deterministic=True)
    return hashlib.sha256(told).digest()[:12]
