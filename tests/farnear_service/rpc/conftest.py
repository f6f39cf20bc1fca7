"""A served pipeline and its stubs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from farnear.v1 import collections_pb2 as collections
from farnear.v1 import items_pb2 as items
from farnear.v1 import types_pb2 as types
from farnear.v1.clusters_pb2_grpc import ClustersServiceStub
from farnear.v1.collections_pb2_grpc import CollectionsServiceStub
from farnear.v1.explain_pb2_grpc import ExplainServiceStub
from farnear.v1.items_pb2_grpc import ItemsServiceStub
from farnear.v1.recommend_pb2_grpc import RecommendServiceStub
from farnear.v1.search_pb2_grpc import SearchServiceStub
from farnear_service.metrics import Metrics
from farnear_service.pipeline import Pipeline
from farnear_service.rpc import RpcServer


@dataclass(frozen=True, kw_only=True)
class Service:
    """A server on a free port, with the stubs of a client and what is behind it."""

    pipeline: Pipeline
    metrics: Metrics
    server: RpcServer
    channel: grpc.aio.Channel
    address: str
    collections: Any
    items: Any
    search: Any
    recommend: Any
    clusters: Any
    explain: Any

    @property
    def digest(self) -> str:
        return self.pipeline.catalog.bundles()["tiny"].digest

    def vector_item(self, item_id: str, values: Any, label: str = "") -> items.NewItem:
        return items.NewItem(item_id=item_id, label=label, vector=self.vector(values))

    def vector(self, values: Any) -> types.Vector:
        return types.Vector(values=[float(value) for value in values], bundle_digest=self.digest)

    async def put_groups(self, count: int, *, seed: int = 0) -> None:
        """`count` items in three groups, labelled by group."""
        made = 4 * np.eye(4)[np.arange(count) % 3] + np.random.default_rng(seed).normal(size=(count, 4))
        new = [self.vector_item(f"v{i:03d}", vector, f"group {i % 3}") for i, vector in enumerate(made)]
        answer = await self.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=new))
        assert not any(result.HasField("error") for result in answer.results)


@asynccontextmanager
async def serving(
    opened: Callable[..., AbstractAsyncContextManager[Pipeline]], **changes: Any
) -> AsyncIterator[Service]:
    metrics = Metrics()
    async with opened(metrics=metrics, **changes) as pipeline:
        server = RpcServer(pipeline, metrics)
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            made = Service(
                pipeline=pipeline,
                metrics=metrics,
                server=server,
                channel=channel,
                address=f"127.0.0.1:{port}",
                collections=CollectionsServiceStub(channel),
                items=ItemsServiceStub(channel),
                search=SearchServiceStub(channel),
                recommend=RecommendServiceStub(channel),
                clusters=ClustersServiceStub(channel),
                explain=ExplainServiceStub(channel),
            )
            await made.collections.CreateCollection(collections.CreateCollectionRequest(name="cells", bundle="tiny"))
            yield made
        await server.drain(0)


@pytest.fixture
async def service(opened: Callable[..., AbstractAsyncContextManager[Pipeline]]) -> AsyncIterator[Service]:
    async with serving(opened) as made:
        yield made


@pytest.fixture
async def explaining_service(
    opened: Callable[..., AbstractAsyncContextManager[Pipeline]], heatmap_bundle: Path
) -> AsyncIterator[Service]:
    async with serving(opened, bundles={"tiny": heatmap_bundle}) as made:
        yield made


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Status and message that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await call
    return told.value.code(), told.value.details() or ""


async def pages(call: Any, request: Any, field: str, size: int, **arguments: Any) -> list[str]:
    """One field of all entries, page by page; no page is larger than asked for, and none but an only one is empty."""
    seen: list[str] = []
    token = ""
    while True:
        page = await call(request(page_size=size, page_token=token, **arguments))
        (entries,) = [value for descriptor, value in page.ListFields() if descriptor.is_repeated] or [[]]
        assert not size or len(entries) <= size
        assert entries or not token
        seen += [getattr(entry, field) for entry in entries]
        token = page.next_page_token
        if not token:
            return seen
