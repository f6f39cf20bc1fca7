from typing import Any

import pytest
from farnear.v1 import (
    clusters_pb2,
    collections_pb2,
    explain_pb2,
    filters_pb2,
    items_pb2,
    recommend_pb2,
    search_pb2,
    types_pb2,
)
from farnear_service.errors import InvalidError
from farnear_service.index import Position
from farnear_service.rpc import pages
from farnear_service.types import Interaction, Opinion

EVERY_CRACK = filters_pb2.Filter(
    equals=filters_pb2.FieldEquals(field="label", value=types_pb2.AttributeValue(string_value="crack"))
)
BEHIND = (Position(0.1 + 0.2, "é"), Position(-1.0, "b"))
LAST = Interaction(item_id="é", opinion=Opinion.LIKED, time=1764000000.123456)


def search(**changes: Any) -> search_pb2.SearchRequest:
    request = search_pb2.SearchRequest(
        collection="c", queries=[types_pb2.Query(item_id="a")], direction=search_pb2.DIRECTION_BOTH, k=3
    )
    request.MergeFrom(search_pb2.SearchRequest(**changes))
    return request


def start(request: Any) -> Any:
    """Where the page that a request asks for begins."""
    match request:
        case search_pb2.SearchRequest():
            return pages.search_page_start(request)
        case recommend_pb2.ListInteractionsRequest():
            return pages.interaction_start(request)
        case clusters_pb2.WatchClustersRequest():
            return pages.event_start(request)
        case _:
            return pages.page_start(request)


def with_token(request: Any, token: str) -> Any:
    changed = type(request)()
    changed.CopyFrom(request)
    setattr(changed, "resume_token" if isinstance(request, clusters_pb2.WatchClustersRequest) else "page_token", token)
    return changed


LISTS = [
    collections_pb2.ListCollectionsRequest(),
    items_pb2.ListItemsRequest(collection="c"),
    items_pb2.ListItemsRequest(collection="d"),
    items_pb2.ListItemsRequest(collection="c", filter=EVERY_CRACK),
    clusters_pb2.ListClustersRequest(collection="c"),
    clusters_pb2.GetClusterRequest(collection="c", cluster=1),
    clusters_pb2.GetClusterRequest(collection="c", cluster=2),
]
SEARCHES = [
    search(),
    search(collection="d"),
    search(direction=search_pb2.DIRECTION_SIMILAR),
    search(queries=[types_pb2.Query(item_id="b")]),
    search(filter=EVERY_CRACK),
]
HISTORIES = [
    recommend_pb2.ListInteractionsRequest(collection="c", user="ann"),
    recommend_pb2.ListInteractionsRequest(collection="c", user="bob"),
    recommend_pb2.ListInteractionsRequest(collection="d", user="ann"),
]
FEEDS = [clusters_pb2.WatchClustersRequest(collection="c"), clusters_pb2.WatchClustersRequest(collection="d")]

# Requests of which each is another one, with a place in its answer and the token for that.
GIVEN: list[tuple[Any, Any, str]] = [
    *((request, "a", pages.page_token(request, "a")) for request in LISTS),
    *((request, BEHIND, pages.search_page_token(request, BEHIND)) for request in SEARCHES),
    *((request, (LAST.time, "é"), pages.interaction_token(request, LAST)) for request in HISTORIES),
    *((request, 7, pages.event_token(request, 7)) for request in FEEDS),
]


def test_sizes() -> None:
    assert [pages.page_size(size, default=7, limit=9) for size in (0, 1, 9)] == [7, 1, 9]
    for size in (-1, 10):
        with pytest.raises(InvalidError, match=rf"page_size: is {size}; allowed are 0 \(for 7\) to 9"):
            pages.page_size(size, default=7, limit=9)


@pytest.mark.parametrize(("request_", "place", "token"), GIVEN)
def test_a_token_goes_with_the_request_that_it_was_given_for(request_: Any, place: Any, token: str) -> None:
    assert token.isascii()
    assert start(with_token(request_, token)) == place
    for other, _, _ in GIVEN:
        if other is not request_:
            field = "resume_token" if other in FEEDS else "page_token"
            name = other.DESCRIPTOR.name
            with pytest.raises(
                InvalidError, match=f"{field}: '{token[:80]}'; allowed is one that came for the same {name}"
            ):
                start(with_token(other, token))


@pytest.mark.parametrize("last", ["a", "crack/017.png", "ä", "\U0001f600\uff5e", "?>~", "x" * 512])
def test_tokens_come_back(last: str) -> None:
    request = items_pb2.ListItemsRequest(collection="c", page_size=3)
    token = pages.page_token(request, last)
    assert pages.page_start(items_pb2.ListItemsRequest(collection="c", page_size=7, page_token=token)) == last
    assert pages.page_token(items_pb2.ListItemsRequest(collection="c", page_token=token), last) == token


def test_a_search_goes_on_with_pages_of_another_size_and_with_heat_maps() -> None:
    token = pages.search_page_token(search(), BEHIND)
    assert pages.search_page_start(search(page_token=token, k=100, explain=explain_pb2.ExplainHits())) == BEHIND
    one_end = (None, Position(0.5, "b"))
    assert pages.search_page_start(search(page_token=pages.search_page_token(search(), one_end))) == one_end
    assert pages.search_page_token(search(), None) == ""


@pytest.mark.parametrize("request_", [LISTS[0], SEARCHES[0], HISTORIES[0], FEEDS[0]])
def test_no_token_is_the_first_page(request_: Any) -> None:
    assert start(request_) is None


def test_a_feed_begins_now_or_at_its_start_or_where_it_ended() -> None:
    feed = clusters_pb2.WatchClustersRequest(collection="c", from_start=True)
    assert pages.event_start(feed) == 0
    assert pages.event_start(with_token(feed, pages.event_token(FEEDS[0], 7))) == 7


@pytest.mark.parametrize("request_", [LISTS[0], SEARCHES[0], HISTORIES[0], FEEDS[0]])
@pytest.mark.parametrize("token", ["a", "%%%%", "ü", "YQ==x", "YQ", "_w==", "\n", "YQ==\n", "Y Q=", "W10=", "A" * 4000])
def test_foreign_tokens_are_refused(request_: Any, token: str) -> None:
    with pytest.raises(InvalidError, match=r"(page|resume)_token: '.{0,90}'; allowed is one that came for the same"):
        start(with_token(request_, token))
