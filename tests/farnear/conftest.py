"""Fixtures around the fake service."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from farnear import Client, NewItem
from farnear.v1 import (
    clusters_pb2_grpc,
    collections_pb2_grpc,
    explain_pb2_grpc,
    items_pb2_grpc,
    recommend_pb2_grpc,
    search_pb2_grpc,
)
from PIL import Image

from tests.farnear.fake import FakeService

MIB = 2**20


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake: Any = FakeService()
    server = grpc.server(
        ThreadPoolExecutor(4),
        options=[("grpc.max_receive_message_length", 68 * MIB), ("grpc.max_send_message_length", 68 * MIB)],
    )
    collections_pb2_grpc.add_CollectionsServiceServicer_to_server(fake, server)
    items_pb2_grpc.add_ItemsServiceServicer_to_server(fake, server)
    search_pb2_grpc.add_SearchServiceServicer_to_server(fake, server)
    recommend_pb2_grpc.add_RecommendServiceServicer_to_server(fake, server)
    clusters_pb2_grpc.add_ClustersServiceServicer_to_server(fake, server)
    explain_pb2_grpc.add_ExplainServiceServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    fake.hold.set()
    server.stop(grace=10).wait()


def png(colour: str) -> bytes:
    """A picture of one colour, which the fake service takes for `img 1 0 0`."""
    out = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def drawing_service(service: FakeService) -> FakeService:
    """The fake service with pictures that can be opened: kept images are blue, heat maps red."""
    service.picture, service.overlay = png("blue"), png("red")
    return service


@pytest.fixture
def client(service: FakeService) -> Iterator[Client]:
    with Client(service.address) as connected:
        yield connected


@pytest.fixture
def cells(client: Client) -> str:
    """A collection of four items that can be checked by eye: a and b lie close, c across, d opposite to a."""
    client.create_collection("cells", bundle="toy")
    client.upsert(
        "cells",
        [
            NewItem(item_id="a", label="crack", content=b"img 1 0 0", attributes={"severity": 3, "reviewed": True}),
            NewItem(item_id="b", label="crack", content=b"img 0.9 0.1 0", attributes={"severity": 1}),
            NewItem(item_id="c", label="rust", content=b"img 0 1 0", attributes={"severity": 5, "reviewed": False}),
            NewItem(item_id="d", content=b"img -1 0 0"),
        ],
    )
    return "cells"


@pytest.fixture
def farnear(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a client command against the fake service: `farnear("similar", "id:a", "--collection", "cells")`."""
    from farnear.__main__ import run
    from farnear.commands import COMMANDS

    monkeypatch.setenv("FARNEAR_ADDRESS", service.address)

    def call(*argv: str) -> int:
        return run({"client": COMMANDS}, argv)

    return call
