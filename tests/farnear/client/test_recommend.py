from datetime import UTC, datetime
from typing import Any

import pytest
from farnear import (
    Client,
    Interaction,
    InvalidArgumentError,
    ItemId,
    NotFoundError,
    Opinion,
    RecommendMode,
)
from farnear.v1 import recommend_pb2, types_pb2

from tests.farnear.fake import FakeService


def test_everything_that_is_said_arrives(client: Client, cells: str, service: FakeService) -> None:
    client.recommend(
        cells,
        user="ada",
        liked=[ItemId("a"), b"img 0 1 0"],
        disliked=[ItemId("d")],
        seen=["b"],
        mode=RecommendMode.DIVERSE,
        k=3,
        where="severity >= 3",
        pool=50,
    )
    (request,) = service.requests("Recommend")
    assert request.filter.range.field == "severity"
    request.ClearField("filter")
    assert request == recommend_pb2.RecommendRequest(
        collection=cells,
        user="ada",
        liked=[types_pb2.Query(item_id="a"), types_pb2.Query(image=b"img 0 1 0")],
        disliked=[types_pb2.Query(item_id="d")],
        seen_item_ids=["b"],
        mode=recommend_pb2.RECOMMEND_MODE_DIVERSE,
        k=3,
        pool=50,
    )


@pytest.mark.parametrize("mode", list(RecommendMode))
def test_every_mode_is_in_the_contract(client: Client, cells: str, service: FakeService, mode: RecommendMode) -> None:
    client.recommend(cells, mode=mode)
    (request,) = service.requests("Recommend")
    assert recommend_pb2.RecommendMode.Name(request.mode) == f"RECOMMEND_MODE_{mode.name}"
    assert not request.HasField("novelty")


def test_novelty_stands_in_for_a_mode_also_at_zero(client: Client, cells: str, service: FakeService) -> None:
    client.recommend(cells, novelty=0)
    (request,) = service.requests("Recommend")
    assert (request.HasField("novelty"), request.novelty) == (True, 0.0)
    with pytest.raises(InvalidArgumentError, match="mode, novelty: allowed is one of them"):
        client.recommend(cells)
    with pytest.raises(InvalidArgumentError, match="mode, novelty: allowed is one of them"):
        client.recommend(cells, mode=RecommendMode.SIMILAR, novelty=0.5)


def test_hits_come_in_order_without_what_was_seen(client: Client, cells: str) -> None:
    hits = client.recommend(cells, liked=[ItemId("a")], mode=RecommendMode.SIMILAR)
    assert [(hit.rank, hit.item_id) for hit in hits] == [(1, "b"), (2, "c"), (3, "d")]
    assert hits[2].similarity == pytest.approx(-1)
    away = client.recommend(cells, disliked=[ItemId("a")], seen=["d"], mode=RecommendMode.SIMILAR, where="severity > 0")
    assert [hit.item_id for hit in away] == ["c", "b"]
    with pytest.raises(NotFoundError, match="'nobody' is not there"):
        client.recommend(cells, liked=[ItemId("nobody")], mode=RecommendMode.SIMILAR)


def test_what_a_user_met_is_kept_listed_and_forgotten(client: Client, cells: str) -> None:
    early = datetime(2026, 11, 21, tzinfo=UTC)
    late = datetime(2026, 11, 23, tzinfo=UTC)
    client.record_interactions(
        cells,
        "ada",
        [
            Interaction(item_id="a", opinion=Opinion.LIKED, time=early),
            Interaction(item_id="b", opinion=Opinion.DISLIKED, time=late),
            Interaction(item_id="c"),
        ],
    )
    now = client.get_collection(cells).create_time
    assert list(client.list_interactions(cells, "ada")) == [
        Interaction(item_id="b", opinion=Opinion.DISLIKED, time=late),
        Interaction(item_id="c", opinion=Opinion.SEEN, time=now),
        Interaction(item_id="a", opinion=Opinion.LIKED, time=early),
    ]
    assert [hit.item_id for hit in client.recommend(cells, user="ada", mode=RecommendMode.SIMILAR)] == ["d"]
    assert list(client.list_interactions(cells, "bob")) == []
    assert client.delete_interactions(cells, "ada") == 3
    assert client.delete_interactions(cells, "ada") == 0


def test_the_last_word_on_an_item_stands(client: Client, cells: str) -> None:
    client.record_interactions(cells, "ada", [Interaction(item_id="a", opinion=Opinion.LIKED)])
    client.record_interactions(cells, "ada", [Interaction(item_id="a", opinion=Opinion.SEEN)])
    assert [entry.opinion for entry in client.list_interactions(cells, "ada")] == [Opinion.SEEN]


def test_an_item_that_is_not_there_keeps_nothing_of_the_call(client: Client, cells: str) -> None:
    with pytest.raises(NotFoundError, match="'nobody' is not there"):
        client.record_interactions(cells, "ada", [Interaction(item_id="a"), Interaction(item_id="nobody")])
    assert list(client.list_interactions(cells, "ada")) == []


def test_many_interactions_go_in_several_calls(client: Client, cells: str, service: FakeService) -> None:
    client.record_interactions(cells, "ada", (Interaction(item_id="a") for _ in range(10_001)))
    assert [len(request.interactions) for request in service.requests("RecordInteractions")] == [10_000, 1]


def test_what_is_no_mode_or_opinion_is_refused(client: Client, cells: str) -> None:
    wrong: Any = "loved"
    with pytest.raises(ValueError, match="'loved' is not a valid RecommendMode"):
        client.recommend(cells, mode=wrong)
    with pytest.raises(ValueError, match="'loved' is not a valid Opinion"):
        client.record_interactions(cells, "ada", [Interaction(item_id="a", opinion=wrong)])
