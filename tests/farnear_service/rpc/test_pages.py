import pytest
from farnear.v1 import search_pb2, types_pb2
from farnear_service.errors import InvalidError
from farnear_service.index import Position
from farnear_service.rpc import pages
from farnear_service.types import Interaction, Opinion


def search(**changes: object) -> search_pb2.SearchRequest:
    request = search_pb2.SearchRequest(
        collection="c", queries=[types_pb2.Query(item_id="a")], direction=search_pb2.DIRECTION_BOTH, k=3
    )
    request.MergeFrom(search_pb2.SearchRequest(**changes))  # type: ignore[arg-type] # whatever a test changes
    return request


def test_sizes() -> None:
    assert [pages.page_size(size, default=7, limit=9) for size in (0, 1, 9)] == [7, 1, 9]
    for size in (-1, 10):
        with pytest.raises(InvalidError, match=rf"page_size: is {size}; allowed are 0 \(for 7\) to 9"):
            pages.page_size(size, default=7, limit=9)


@pytest.mark.parametrize("last", ["a", "crack/017.png", "ä", "\U0001f600\uff5e", "?>~", "x" * 512])
def test_tokens_come_back(last: str) -> None:
    token = pages.page_token(last)
    assert token.isascii()
    assert pages.page_start(token) == last


def test_no_token_is_the_first_page() -> None:
    assert pages.page_start("") is None
    assert pages.search_page_start(search()) is None
    assert pages.interaction_start("") is None


@pytest.mark.parametrize("token", ["a", "%%%%", "ü", "YQ==x", "YQ", "_w==", "\n", "YQ==\n", "Y Q="])
def test_foreign_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidError, match="page_token: "):
        pages.page_start(token)


def test_a_search_goes_on_behind_its_last_hits_to_the_last_bit() -> None:
    behind = (Position(0.1 + 0.2, "é"), Position(-1.0, "b"))
    token = pages.search_page_token(search(), behind)
    assert pages.search_page_start(search(page_token=token)) == behind
    assert pages.search_page_start(search(page_token=token, k=100)) == behind
    one_end = (None, Position(0.5, "b"))
    assert pages.search_page_start(search(page_token=pages.search_page_token(search(), one_end))) == one_end
    assert pages.search_page_token(search(), None) == ""


def test_a_token_of_another_search_is_refused() -> None:
    token = pages.search_page_token(search(), (None, Position(0.5, "b")))
    for other in (
        search(page_token=token, direction=search_pb2.DIRECTION_SIMILAR),
        search(page_token=token, collection="d"),
        search(page_token=token, queries=[types_pb2.Query(item_id="b")]),
    ):
        with pytest.raises(InvalidError, match="page_token: is of another search"):
            pages.search_page_start(other)


@pytest.mark.parametrize("text", ["[]", "{}", "3", '["x", 1, 2]', '["x", ["a", "b"], null]', "no json"])
def test_a_token_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="page_token: is no next_page_token of a search"):
        pages.search_page_start(search(page_token=pages.page_token(text)))
    with pytest.raises(InvalidError, match="page_token: is no next_page_token of a list of interactions"):
        pages.interaction_start(pages.page_token(text))


def test_interactions_go_on_behind_the_last() -> None:
    last = Interaction(item_id="é", opinion=Opinion.LIKED, time=1764000000.123456)
    assert pages.interaction_start(pages.interaction_token(last)) == (last.time, "é")
