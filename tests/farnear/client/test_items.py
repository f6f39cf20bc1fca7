import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from farnear import (
    AttributeValue,
    Client,
    DeadlineExceededError,
    FailedPreconditionError,
    ImageRetention,
    InvalidArgumentError,
    ItemImage,
    NewItem,
    NotFoundError,
    ServerFaultError,
    UnavailableError,
    Vector,
)

from tests.farnear.fake import FakeService


def test_upsert_answers_for_each_item_in_order(client: Client, cells: str) -> None:
    digest = client.get_collection(cells).bundle_digest
    outcomes = client.upsert(
        cells,
        [
            NewItem(item_id="e", content=Vector(values=[0.0, 0.0, 2.0], bundle_digest=digest)),
            NewItem(item_id="text", content=b"hello"),
            NewItem(item_id="other", content=Vector(values=[0.0, 0.0, 2.0], bundle_digest="00")),
            NewItem(item_id="f", content=b"img 0 0 1"),
        ],
    )
    assert [outcome.item_id for outcome in outcomes] == ["e", "text", "other", "f"]
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        InvalidArgumentError,
        FailedPreconditionError,
        type(None),
    ]
    assert "not an image" in str(outcomes[1].error)
    assert client.get_collection(cells).item_count == 6


def test_upsert_splits_itself_and_reads_its_items_lazily(client: Client, cells: str, service: FakeService) -> None:
    calls_before = len(service.requests("UpsertItems"))
    calls_when_read = []

    def items() -> Any:
        for number in range(300):
            calls_when_read.append(len(service.requests("UpsertItems")) - calls_before)
            yield NewItem(item_id=f"{number:03}", content=b"img 1 0 0")

    outcomes = client.upsert(cells, items())
    assert [outcome.item_id for outcome in outcomes] == [f"{number:03}" for number in range(300)]
    assert [len(request.items) for request in service.requests("UpsertItems")[calls_before:]] == [128, 128, 44]
    # The first item of the next batch is what closes a batch, so item 128 is read before the first call.
    assert (calls_when_read[128], calls_when_read[129], calls_when_read[257]) == (0, 1, 2)


def test_nothing_to_upsert_is_no_call(client: Client, cells: str, service: FakeService) -> None:
    calls_before = len(service.calls)
    assert client.upsert(cells, []) == []
    assert len(service.calls) == calls_before


def test_items_are_fetched_page_by_page_as_they_are_consumed(client: Client, cells: str, service: FakeService) -> None:
    items = client.list_items(cells)
    assert [next(items).item_id, next(items).item_id] == ["a", "b"]
    assert len(service.requests("ListItems")) == 1
    assert [item.item_id for item in items] == ["c", "d"]
    assert len(service.requests("ListItems")) == 2


def test_an_item_carries_its_label_and_its_cluster_once_there_is_one(client: Client, cells: str) -> None:
    before = client.get_item(cells, "a")
    assert (before.item_id, before.label, before.cluster, before.has_image) == ("a", "crack", None, True)
    client.recluster(cells)
    assert client.get_item(cells, "a").cluster == 0
    with pytest.raises(NotFoundError, match="'nobody' is not there"):
        client.get_item(cells, "nobody")


def test_delete_items_counts_those_that_were_there(client: Client, cells: str) -> None:
    assert client.delete_items(cells, ["a", "nobody", "c"]) == 2
    assert [item.item_id for item in client.list_items(cells)] == ["b", "d"]


def test_delete_items_splits_itself(client: Client, cells: str, service: FakeService) -> None:
    assert client.delete_items(cells, (f"{number}" for number in range(10_001))) == 0
    assert [len(request.item_ids) for request in service.requests("DeleteItems")] == [10_000, 1]


def test_attributes_and_the_source_come_back_with_their_types(client: Client, cells: str) -> None:
    taken = datetime(2026, 11, 22, 11, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    attributes: dict[str, AttributeValue] = {
        "severity": 3,
        "depth": 0.1,
        "inspector": "Zoë O'Brien",
        "reviewed": True,
        "taken": taken,
    }
    item = NewItem(item_id="e", content=b"img 0 0 1", attributes=attributes, source_uri="file:///archive/e.png")
    (outcome,) = client.upsert(cells, [item])
    assert outcome.error is None
    found = client.get_item(cells, "e")
    assert found.source_uri == "file:///archive/e.png"
    assert found.attributes == attributes
    assert list(found.attributes) == sorted(attributes)
    assert {name: type(value) for name, value in found.attributes.items()} == {
        "severity": float,
        "depth": float,
        "inspector": str,
        "reviewed": bool,
        "taken": datetime,
    }
    assert found.attributes["taken"] == datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)


def test_true_is_no_number(client: Client, cells: str) -> None:
    (outcome,) = client.upsert(cells, [NewItem(item_id="e", content=b"img 0 0 1", attributes={"severity": True})])
    assert isinstance(outcome.error, InvalidArgumentError)


def test_the_kept_image_comes_back(client: Client, cells: str) -> None:
    assert client.get_item_image(cells, "a") == ItemImage(data=b"img 1 0 0", media_type="image/toy", original=True)
    client.create_collection("small", bundle="toy", image_retention=ImageRetention.THUMBNAIL)
    digest = client.get_collection("small").bundle_digest
    client.upsert(
        "small",
        [
            NewItem(item_id="a", content=b"img 1 0 0"),
            NewItem(item_id="v", content=Vector(values=[1.0, 0.0, 0.0], bundle_digest=digest)),
        ],
    )
    assert not client.get_item_image("small", "a").original
    with pytest.raises(FailedPreconditionError, match="no image is kept of 'v'"):
        client.get_item_image("small", "v")
    with pytest.raises(NotFoundError, match="'nobody' is not there"):
        client.get_item_image("small", "nobody")


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (None, "abcd"),
        ("severity >= 3", "ac"),
        ("severity != 3", "bc"),
        ("not severity = 3", "bcd"),
        ("label in ('rust', '') or reviewed = true", "acd"),
        ("not exists(severity)", "d"),
        ("create_time < @2026-11-22", ""),
    ],
)
def test_items_are_listed_and_counted_by_a_filter(client: Client, cells: str, where: str | None, ids: str) -> None:
    assert [item.item_id for item in client.list_items(cells, where=where)] == list(ids)
    assert client.count_items(cells, where=where) == len(ids)


def test_what_is_no_filter_is_not_sent(client: Client, cells: str, service: FakeService) -> None:
    service.calls.clear()
    with pytest.raises(ValueError, match=r"column 11: expected a value, .*, found the end"):
        client.count_items(cells, where="severity >")
    with pytest.raises(InvalidArgumentError, match="'size' is no field"):
        client.count_items(cells, where="size > 3")
    assert len(service.calls) == 1


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """gRPC's threads that send the requests of streams, as they come up."""
    found: list[threading.Thread] = []

    class Outbox(SimpleQueue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            found.append(threading.current_thread())
            return super().get(block, timeout)

    monkeypatch.setattr("farnear.client.items.SimpleQueue", Outbox)
    return found


def assert_ended(senders: list[threading.Thread]) -> None:
    assert senders
    for thread in senders:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in senders)


def new_items(count: int) -> Iterator[NewItem]:
    return (NewItem(item_id=f"{number:04}", content=b"img 1 0 0") for number in range(count))


def test_a_stream_answers_for_each_item_in_order(client: Client, cells: str, service: FakeService) -> None:
    items = [*new_items(300), NewItem(item_id="text", content=b"hello")]
    outcomes = list(client.upsert_stream(cells, items))
    assert [outcome.item_id for outcome in outcomes] == [item.item_id for item in items]
    assert [outcome.item_id for outcome in outcomes if outcome.error is not None] == ["text"]
    assert isinstance(outcomes[-1].error, InvalidArgumentError)
    requests = service.requests("StreamUpsertItems")
    assert [(request.collection, len(request.items)) for request in requests] == [
        (cells, 128),
        (cells, 128),
        (cells, 45),
    ]
    assert client.get_collection(cells).item_count == 304


def test_four_batches_are_on_their_way_before_the_first_answer(
    client: Client, cells: str, service: FakeService
) -> None:
    answered: list[str] = []
    answered_when_read = []

    def items() -> Iterator[NewItem]:
        for number, item in enumerate(new_items(6 * 128)):
            # Item 512 closes the fourth batch: until then the service answers nothing.
            if number == 512:
                service.hold.set()
            answered_when_read.append(len(answered))
            yield item

    service.hold.clear()
    answered.extend(outcome.item_id for outcome in client.upsert_stream(cells, items()))
    assert [answered_when_read[number] for number in (512, 513, 640, 641)] == [0, 128, 128, 256]
    assert len(answered) == 6 * 128


def test_an_empty_stream_has_no_outcomes(client: Client, cells: str) -> None:
    assert list(client.upsert_stream(cells, [])) == []


def test_a_stream_that_is_not_consumed_to_its_end_is_cancelled(
    client: Client, cells: str, service: FakeService, senders: list[threading.Thread]
) -> None:
    outcomes = client.upsert_stream(cells, new_items(10_000))
    assert next(outcomes).item_id == "0000"
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    assert service.stream_ended.wait(timeout=60)
    assert len(service.requests("StreamUpsertItems")) <= 4
    assert_ended(senders)


def test_what_the_items_raise_comes_through_and_ends_the_stream(
    client: Client, cells: str, service: FakeService, senders: list[threading.Thread]
) -> None:
    def items() -> Iterator[NewItem]:
        yield from new_items(200)
        raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        list(client.upsert_stream(cells, items()))
    assert service.stream_ended.wait(timeout=60)
    assert_ended(senders)


def test_a_stream_that_is_refused_says_why(
    client: Client, service: FakeService, senders: list[threading.Thread]
) -> None:
    with pytest.raises(NotFoundError, match="'nowhere' is not there"):
        list(client.upsert_stream("nowhere", new_items(1000)))
    assert service.stream_ended.wait(timeout=60)
    assert_ended(senders)


def test_a_stream_that_breaks_is_not_retried(client: Client, cells: str, service: FakeService) -> None:
    outcomes = client.upsert_stream(cells, new_items(128 * 10))
    assert next(outcomes).error is None
    service.failures["StreamUpsertItems"] = [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(UnavailableError, match="told to fail"):
        list(outcomes)


def test_a_stream_that_the_service_ends_early_is_a_fault(client: Client, cells: str, service: FakeService) -> None:
    service.answers_to_end = 1
    with pytest.raises(ServerFaultError, match="the stream ended before its last answer"):
        list(client.upsert_stream(cells, new_items(300)))


def test_each_answer_of_a_stream_has_its_time(client: Client, cells: str, service: FakeService) -> None:
    service.hold.clear()
    with pytest.raises(DeadlineExceededError, match=rf"{service.address}: no answer within 0\.05 s \(of a stream\)"):
        list(client.upsert_stream(cells, new_items(10), timeout=0.05))


def test_vectors_go_a_thousand_a_call(client: Client, cells: str, service: FakeService) -> None:
    vector = Vector(values=[0.0, 0.0, 1.0], bundle_digest=client.get_collection(cells).bundle_digest)
    items = [NewItem(item_id=str(number), content=vector) for number in range(2500)]
    assert all(outcome.error is None for outcome in client.upsert_stream(cells, items))
    assert [len(request.items) for request in service.requests("StreamUpsertItems")] == [1000, 1000, 500]
