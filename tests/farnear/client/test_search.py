from typing import Any

import pytest
from farnear import (
    Certificate,
    Client,
    Direction,
    InvalidArgumentError,
    ItemId,
    NotFoundError,
    Vector,
    parse_filter,
)
from farnear.v1 import search_pb2

from tests.farnear.fake import FakeService


def test_both_ends_of_the_scale(client: Client, cells: str) -> None:
    query = b"img 1 0 0"
    similar = client.similar(cells, query, k=2)
    assert [(hit.rank, hit.item_id, hit.label) for hit in similar] == [(1, "a", "crack"), (2, "b", "crack")]
    assert [hit.similarity for hit in similar] == pytest.approx([1.0, 0.9 / 0.82**0.5])
    divergent = client.divergent(cells, query, k=2)
    assert [(hit.rank, hit.item_id) for hit in divergent] == [(1, "d"), (2, "c")]
    assert [hit.similarity for hit in divergent] == pytest.approx([-1.0, 0.0])
    both = client.both(cells, query, k=2)
    assert (both.similar, both.divergent, both.exact, both.error) == (similar, divergent, True, None)


def test_a_stored_item_is_left_out_of_its_own_hits(client: Client, cells: str) -> None:
    assert [hit.item_id for hit in client.similar(cells, ItemId("a"))] == ["b", "c", "d"]


def test_a_vector_finds_what_its_image_finds(client: Client, cells: str) -> None:
    vector = Vector(values=[5.0, 0.0, 0.0], bundle_digest=client.get_collection(cells).bundle_digest)
    assert client.similar(cells, vector) == client.similar(cells, b"img 1 0 0")


def test_search_answers_each_query_and_a_bad_one_fails_no_neighbour(client: Client, cells: str) -> None:
    results = client.search(cells, [b"img 0 1 0", b"junk", ItemId("nobody")], direction=Direction.SIMILAR, k=1)
    assert [[hit.item_id for hit in result.similar] for result in results] == [["c"], [], []]
    assert all(result.divergent == () for result in results)
    assert [type(result.error) for result in results] == [type(None), InvalidArgumentError, NotFoundError]


def test_the_shorthands_raise_what_search_reports(client: Client, cells: str) -> None:
    for ask in (client.similar, client.divergent, client.both):
        with pytest.raises(InvalidArgumentError, match="not an image"):
            ask(cells, b"junk")
    with pytest.raises(InvalidArgumentError, match="k: 0"):
        client.similar(cells, b"img 1 0 0", k=0)


def test_a_filter_counts_before_the_ranking(client: Client, cells: str) -> None:
    query = b"img 1 0 0"
    assert [hit.item_id for hit in client.similar(cells, query, k=2, where="label != 'crack'")] == ["c", "d"]
    assert [hit.item_id for hit in client.divergent(cells, query, k=2, where="exists(severity)")] == ["c", "b"]
    both = client.both(cells, query, k=1, where="severity > 1")
    assert [hit.item_id for hit in (*both.similar, *both.divergent)] == ["a", "c"]
    where = parse_filter("label = :label and severity in :levels", label="crack", levels=[3, 5])
    results = client.search(cells, [query], direction=Direction.SIMILAR, where=where)
    assert [hit.item_id for hit in results[0].similar] == ["a"]


def test_pages_go_on_behind_the_last_hit(client: Client, cells: str, service: FakeService) -> None:
    pages = list(client.search_pages(cells, b"img 1 0 0", direction=Direction.BOTH, k=3))
    assert [[(hit.rank, hit.item_id) for hit in page.similar] for page in pages] == [
        [(1, "a"), (2, "b"), (3, "c")],
        [(4, "d")],
    ]
    assert [[(hit.rank, hit.item_id) for hit in page.divergent] for page in pages] == [
        [(1, "d"), (2, "c"), (3, "b")],
        [(4, "a")],
    ]
    first, second = service.requests("Search")
    assert (first.page_token, second.page_token) == ("", "3")
    second.page_token = ""
    assert first == second


def test_pages_are_fetched_as_they_are_consumed(client: Client, cells: str, service: FakeService) -> None:
    pages = client.search_pages(cells, ItemId("a"), direction=Direction.SIMILAR, k=1, where="item_id != 'b'")
    assert [hit.item_id for hit in next(pages).similar] == ["c"]
    assert len(service.requests("Search")) == 1
    assert [[hit.item_id for hit in page.similar] for page in pages] == [["d"]]


def test_a_refused_query_has_no_pages(client: Client, cells: str) -> None:
    with pytest.raises(NotFoundError, match="'nobody' is not there"):
        next(client.search_pages(cells, ItemId("nobody"), direction=Direction.SIMILAR))


EXACT = Certificate(exact=True, recall=1.0, calibration_k=None, calibration_queries=None, calibration_time=None)


def test_what_is_promised_of_each_end_is_told(client: Client, cells: str, service: FakeService) -> None:
    service.divergent_certificate = search_pb2.Certificate(recall=0.991, calibration_k=10, calibration_queries=1000)
    service.divergent_certificate.calibration_time.FromJsonString("2026-11-22T18:00:00Z")
    divergent = Certificate(
        exact=False,
        recall=0.991,
        calibration_k=10,
        calibration_queries=1000,
        calibration_time=client.get_collection(cells).create_time,
    )
    for direction, promised in (
        (Direction.SIMILAR, (EXACT, None, True)),
        (Direction.DIVERGENT, (None, divergent, False)),
        (Direction.BOTH, (EXACT, divergent, False)),
    ):
        (result,) = client.search(cells, [ItemId("a")], direction=direction)
        assert (result.similar_certificate, result.divergent_certificate, result.exact) == promised


def test_nothing_is_promised_of_a_refused_query(client: Client, cells: str) -> None:
    (result,) = client.search(cells, [b"junk"], direction=Direction.BOTH)
    assert (result.similar_certificate, result.divergent_certificate, result.exact) == (None, None, False)


def test_a_direction_that_is_none_is_refused(client: Client, cells: str) -> None:
    sideways: Any = "sideways"
    with pytest.raises(ValueError, match="'sideways' is not a valid Direction"):
        client.search(cells, [ItemId("a")], direction=sideways)
