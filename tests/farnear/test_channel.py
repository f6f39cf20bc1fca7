import socket
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from farnear import (
    Client,
    DeadlineExceededError,
    Direction,
    HeatmapPicture,
    Interaction,
    ItemId,
    NewItem,
    ResourceExhaustedError,
    ServerFaultError,
    UnavailableError,
)

from tests.farnear.fake import FakeService

MIB = 2**20
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

CALLS: dict[str, Callable[[Client], Any]] = {
    "CreateCollection": lambda client: client.create_collection("new", bundle="toy"),
    "GetCollection": lambda client: client.get_collection("cells"),
    "ListCollections": lambda client: list(client.list_collections()),
    "UpsertItems": lambda client: client.upsert("cells", [NewItem(item_id="e", content=b"img 0 0 1")]),
    "StreamUpsertItems": lambda client: list(
        client.upsert_stream("cells", [NewItem(item_id="e", content=b"img 0 0 1")])
    ),
    "GetItem": lambda client: client.get_item("cells", "a"),
    "GetItemImage": lambda client: client.get_item_image("cells", "a"),
    "ListItems": lambda client: list(client.list_items("cells")),
    "CountItems": lambda client: client.count_items("cells"),
    "Search": lambda client: client.similar("cells", ItemId("a")),
    "ListClusters": lambda client: client.clusters("cells"),
    "Assign": lambda client: client.assign("cells", ItemId("a")),
    "GetMap": lambda client: list(client.map_points("cells")),
    "Recluster": lambda client: client.recluster("cells"),
    "Explain": lambda client: client.explain("cells", [ItemId("a")]),
    "Recommend": lambda client: client.recommend("cells", novelty=0.5),
    "RecordInteractions": lambda client: client.record_interactions("cells", "ada", [Interaction(item_id="a")]),
    "ListInteractions": lambda client: list(client.list_interactions("cells", "ada")),
    "DeleteInteractions": lambda client: client.delete_interactions("cells", "ada"),
    "ActivateBundle": lambda client: client.activate_bundle("cells", "toy-2"),
    "DeleteItems": lambda client: client.delete_items("cells", ["a"]),
    "DeleteCollection": lambda client: client.delete_collection("cells"),
}
NOT_RETRIED = {"CreateCollection", "ActivateBundle", "DeleteCollection", "StreamUpsertItems"}


@pytest.mark.parametrize("name", sorted(CALLS.keys() - NOT_RETRIED))
def test_a_call_that_is_safe_to_repeat_is_retried(name: str, client: Client, cells: str, service: FakeService) -> None:
    client.recluster(cells)
    service.calls.clear()
    service.failures[name] = [UNAVAILABLE]
    CALLS[name](client)
    first, second = service.requests(name)[:2]
    assert first == second


@pytest.mark.parametrize("name", sorted(NOT_RETRIED))
def test_other_calls_are_not(name: str, client: Client, cells: str, service: FakeService) -> None:
    service.calls.clear()
    service.failures[name] = [UNAVAILABLE]
    with pytest.raises(UnavailableError, match=f"{service.address}: {name} was told to fail"):
        CALLS[name](client)
    assert len(service.requests(name)) == 1


def test_retries_end_after_four_attempts(client: Client, cells: str, service: FakeService) -> None:
    service.failures["Search"] = [UNAVAILABLE] * 10
    with pytest.raises(UnavailableError):
        client.similar(cells, ItemId("a"))
    assert len(service.requests("Search")) == 4


def test_only_unavailable_is_retried(client: Client, cells: str, service: FakeService) -> None:
    service.failures["Search"] = [grpc.StatusCode.INTERNAL]
    with pytest.raises(ServerFaultError, match="status 13: Search was told to fail"):
        client.similar(cells, ItemId("a"))
    assert len(service.requests("Search")) == 1


def test_a_large_batch_is_retried_too(client: Client, cells: str, service: FakeService) -> None:
    service.failures["UpsertItems"] = [UNAVAILABLE]
    padding = b" " * (7 * MIB)
    outcomes = client.upsert(cells, [NewItem(item_id=name, content=b"img 0 0 1" + padding) for name in ("e", "f")])
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert [len(request.items) for request in service.requests("UpsertItems")] == [4, 2, 2]


def test_an_image_of_the_contracts_limit_passes(client: Client, cells: str) -> None:
    content = b"img 0 0 1".ljust(64 * MIB)
    (outcome,) = client.upsert(cells, [NewItem(item_id="e", content=content)])
    assert outcome.error is None


def test_an_answer_may_be_as_large(client: Client, cells: str, service: FakeService) -> None:
    service.overlay = bytes(64 * MIB)
    assert client.heatmap(cells, ItemId("a"), picture=HeatmapPicture.OVERLAY).picture_png == service.overlay


def test_a_call_that_is_larger_is_not_sent(client: Client, cells: str) -> None:
    with pytest.raises(ResourceExhaustedError, match="Sent message larger than max"):
        client.search(cells, [bytes(35 * MIB)] * 2, direction=Direction.SIMILAR)


def test_every_call_has_a_deadline(client: Client, cells: str, service: FakeService) -> None:
    client.recluster(cells)
    service.calls.clear()
    for call in CALLS.values():
        call(client)
    seen = {name: seconds for name, _, seconds in service.calls}
    # A stream of writes may go on for hours: there each answer has its time.
    assert seen.pop("StreamUpsertItems") > 1e9
    expected = {name: 3600 if name == "Recluster" else 60 for name in seen}
    assert expected.keys() == CALLS.keys() - {"StreamUpsertItems"}
    # A wide margin: gRPC rounds a deadline to three digits on the wire.
    assert seen == pytest.approx(expected, rel=0.1)


def test_the_client_and_the_call_override_the_deadline(service: FakeService, cells: str) -> None:
    service.calls.clear()
    with Client(service.address, timeout=500) as client:
        client.get_collection(cells)
        client.get_collection(cells, timeout=1000)
    (_, _, of_client), (_, _, of_call) = service.calls
    assert (of_client, of_call) == pytest.approx((500, 1000), rel=0.1)


def test_no_answer_in_time(service: FakeService, cells: str) -> None:
    service.hold.clear()
    with Client(service.address, timeout=0.05) as client:
        with pytest.raises(DeadlineExceededError, match=rf"{service.address}: no answer within 0\.05 s"):
            client.get_collection(cells)
        with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.02 s"):
            list(client.map_points(cells, timeout=0.02))


def test_nobody_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening, so that nobody else can take the port
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Client(address) as client, pytest.raises(UnavailableError, match=f"^{address}: "):
            client.get_collection("cells")


def test_the_environments_proxy_is_not_used(service: FakeService, cells: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Client(service.address) as client:
        assert client.get_collection(cells).name == cells
