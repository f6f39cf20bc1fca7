"""Pages: their sizes, and tokens that tell where the next one begins."""

import base64
import binascii
import hashlib
import json

from farnear.v1 import search_pb2

from farnear_service.errors import InvalidError
from farnear_service.index import Position
from farnear_service.pipeline import Behind
from farnear_service.types import Interaction


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


def interaction_token(last: Interaction) -> str:
    """The token of the page of interactions behind `last`."""
    return page_token(json.dumps([last.time, last.item_id]))


def interaction_start(token: str) -> tuple[float, str] | None:
    """Time and item behind which a page of interactions begins; None for the first page."""
    text = page_start(token)
    if text is None:
        return None
    try:
        time, item_id = json.loads(text)
        return _place(time, item_id)
    except (ValueError, TypeError) as error:
        raise InvalidError("page_token: is no next_page_token of a list of interactions") from error


def event_token(number: int) -> str:
    """The token to go on behind the event of a number."""
    return page_token(f"event {number}")


def event_start(token: str, *, from_start: bool) -> int | None:
    """The number of the event behind which a feed begins; None for the present moment."""
    if not token:
        return 0 if from_start else None
    try:
        text = page_start(token) or ""
    except InvalidError:
        text = ""
    number = text.removeprefix("event ")
    if number == text or not number.isdecimal() or len(number) > 18:
        raise InvalidError(f"resume_token: {token!r}; allowed is a resume_token of WatchClusters as it came, or none")
    return int(number)


def search_page_token(request: search_pb2.SearchRequest, behind: Behind | None) -> str:
    """The token of the page behind an answer to `request`; empty where nothing is left."""
    if behind is None:
        return ""
    places = [None if place is None else [place.similarity, place.item_id] for place in behind]
    return page_token(json.dumps([_digest(request), *places]))


def search_page_start(request: search_pb2.SearchRequest) -> Behind | None:
    """Where the page that `request` asks for begins; raises InvalidError for a token of another search."""
    text = page_start(request.page_token)
    if text is None:
        return None
    try:
        digest, *places = json.loads(text)
        similar, divergent = (None if place is None else Position(*_place(*place)) for place in places)
    except (ValueError, TypeError) as error:
        raise InvalidError("page_token: is no next_page_token of a search") from error
    if digest != _digest(request):
        raise InvalidError("page_token: is of another search; allowed is one of the same query, direction and filter")
    return similar, divergent


def _place(similarity: float, item_id: str) -> tuple[float, str]:
    return float(similarity), str(item_id)


def _digest(request: search_pb2.SearchRequest) -> str:
    """Tells searches apart, whatever their page, its size, and what is explained of it."""
    same = search_pb2.SearchRequest()
    same.CopyFrom(request)
    same.page_token, same.k = "", 0
    same.ClearField("explain")
    return hashlib.sha256(same.SerializeToString(deterministic=True)).hexdigest()[:16]
