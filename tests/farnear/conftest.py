"""A small Farnear service in this process: real gRPC on a free port, items in a dict, answers by NumPy brute force.

Its "images" are texts such as `b"img 1 0 0"`, which embed as the unit vector along the numbers they hold.
"""
# ruff: noqa: N802 - servicer methods are named by the contract

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pytest
from farnear import Client, NewItem
from farnear.v1 import (
    clusters_pb2,
    clusters_pb2_grpc,
    collections_pb2,
    collections_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
    items_pb2,
    items_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    types_pb2,
)
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

DIGEST = "ab" * 32
MADE = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
MIB = 2**20


def image(*values: float) -> bytes:
    """The "image" that embeds along `values`."""
    return b"img " + b" ".join(str(value).encode() for value in values)


@dataclass
class StoredItem:
    label: str
    vector: NDArray[np.float32]
    image: bytes | None
    cluster: int | None = None


@dataclass
class StoredCollection:
    bundle: str
    retention: int
    items: dict[str, StoredItem] = field(default_factory=dict)
    map_version: int = 0


class EntryError(Exception):
    """One entry of a batch is refused."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.message = types_pb2.ItemError(code=code, message=message)


class FakeService:
    """The five servicers over one dict of collections.

    Attributes:
        calls: Name, request and seconds to the deadline of every call that arrived, failed ones too.
        failures: By name of a call, statuses to fail its next calls with.
        page_limit: The most entries of a page, whatever the client asks for.
        hold: Cleared, it lets every call wait until it is set.
        overlay: The picture of every heat map.
        endless_map: Whether a map is streamed over and over until the client has enough.
        stream_ended: Set when a map's stream has ended, whatever ended it.
    """

    def __init__(self) -> None:
        self.collections: dict[str, StoredCollection] = {}
        self.calls: list[tuple[str, Any, float]] = []
        self.failures: dict[str, list[grpc.StatusCode]] = {}
        self.page_limit = 2
        self.hold = threading.Event()
        self.hold.set()
        self.overlay = b"\x89PNG overlay"
        self.endless_map = False
        self.stream_ended = threading.Event()
        self.address = ""

    def requests(self, name: str) -> list[Any]:
        return [request for called, request, _ in self.calls if called == name]

    def _enter(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        self.calls.append((name, request, context.time_remaining()))
        if self.failures.get(name):
            context.abort(self.failures[name].pop(0), f"{name} was told to fail")
        self.hold.wait()

    def _collection(self, name: str, context: grpc.ServicerContext) -> StoredCollection:
        if name not in self.collections:
            context.abort(grpc.StatusCode.NOT_FOUND, f"collection: {name!r} is not there")
        return self.collections[name]

    def _page(self, entries: list[Any], token: str) -> tuple[list[Any], str]:
        start = int(token or 0)
        end = start + self.page_limit
        return entries[start:end], str(end) if end < len(entries) else ""

    def _describe(self, name: str) -> collections_pb2.Collection:
        stored = self.collections[name]
        return collections_pb2.Collection(
            name=name,
            bundle=stored.bundle,
            bundle_digest=DIGEST,
            item_count=len(stored.items),
            embedding_dim=3,
            create_time=_timestamp(),
            image_retention=stored.retention,
        )

    def CreateCollection(self, request: Any, context: Any) -> collections_pb2.CreateCollectionResponse:
        self._enter("CreateCollection", request, context)
        if request.name in self.collections:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"name: {request.name!r} is taken")
        if request.bundle != "toy":
            context.abort(grpc.StatusCode.NOT_FOUND, f"bundle: {request.bundle!r} is not served; served are: toy")
        self.collections[request.name] = StoredCollection(bundle=request.bundle, retention=request.image_retention)
        return collections_pb2.CreateCollectionResponse(collection=self._describe(request.name))

    def GetCollection(self, request: Any, context: Any) -> collections_pb2.GetCollectionResponse:
        self._enter("GetCollection", request, context)
        self._collection(request.name, context)
        return collections_pb2.GetCollectionResponse(collection=self._describe(request.name))

    def ListCollections(self, request: Any, context: Any) -> collections_pb2.ListCollectionsResponse:
        self._enter("ListCollections", request, context)
        names, token = self._page(sorted(self.collections), request.page_token)
        return collections_pb2.ListCollectionsResponse(
            collections=[self._describe(name) for name in names], next_page_token=token
        )

    def DeleteCollection(self, request: Any, context: Any) -> collections_pb2.DeleteCollectionResponse:
        self._enter("DeleteCollection", request, context)
        count = len(self._collection(request.name, context).items)
        del self.collections[request.name]
        return collections_pb2.DeleteCollectionResponse(deleted_item_count=count)

    def UpsertItems(self, request: Any, context: Any) -> items_pb2.UpsertItemsResponse:
        self._enter("UpsertItems", request, context)
        stored = self._collection(request.collection, context)
        results = []
        for new in request.items:
            try:
                vector = _embed(new.image) if new.HasField("image") else _vector(new.vector)
            except EntryError as error:
                results.append(items_pb2.UpsertResult(item_id=new.item_id, error=error.message))
                continue
            kept = stored.retention != collections_pb2.IMAGE_RETENTION_NONE and new.HasField("image")
            stored.items[new.item_id] = StoredItem(new.label, vector, new.image if kept else None)
            results.append(items_pb2.UpsertResult(item_id=new.item_id))
        return items_pb2.UpsertItemsResponse(results=results)

    def GetItem(self, request: Any, context: Any) -> items_pb2.GetItemResponse:
        self._enter("GetItem", request, context)
        items = self._collection(request.collection, context).items
        if request.item_id not in items:
            context.abort(grpc.StatusCode.NOT_FOUND, f"item_id: {request.item_id!r} is not there")
        return items_pb2.GetItemResponse(item=_item(request.item_id, items[request.item_id]))

    def ListItems(self, request: Any, context: Any) -> items_pb2.ListItemsResponse:
        self._enter("ListItems", request, context)
        items = self._collection(request.collection, context).items
        ids, token = self._page(sorted(items), request.page_token)
        return items_pb2.ListItemsResponse(items=[_item(name, items[name]) for name in ids], next_page_token=token)

    def DeleteItems(self, request: Any, context: Any) -> items_pb2.DeleteItemsResponse:
        self._enter("DeleteItems", request, context)
        items = self._collection(request.collection, context).items
        return items_pb2.DeleteItemsResponse(
            deleted_count=sum(items.pop(name, None) is not None for name in request.item_ids)
        )

    def Search(self, request: Any, context: Any) -> search_pb2.SearchResponse:
        self._enter("Search", request, context)
        stored = self._collection(request.collection, context)
        if not 1 <= request.k <= 1000:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"k: {request.k}, allowed are 1 to 1000")
        if request.direction == search_pb2.DIRECTION_UNSPECIFIED:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "direction: UNSPECIFIED")
        return search_pb2.SearchResponse(results=[_search(stored, query, request) for query in request.queries])

    def ListClusters(self, request: Any, context: Any) -> clusters_pb2.ListClustersResponse:
        self._enter("ListClusters", request, context)
        stored = self._mapped(request.collection, context)
        labels = [item.cluster for item in stored.items.values()]
        found = [_cluster(stored, number) for number in sorted({n for n in labels if n is not None and n >= 0})]
        clusters, token = self._page(found, request.page_token)
        return clusters_pb2.ListClustersResponse(
            clusters=clusters, noise_count=labels.count(-1), map=_map_info(stored), next_page_token=token
        )

    def Assign(self, request: Any, context: Any) -> clusters_pb2.AssignResponse:
        self._enter("Assign", request, context)
        stored = self._mapped(request.collection, context)
        try:
            vector, _ = _resolve(stored, request.query)
        except EntryError as error:
            context.abort(_status(error.message.code), error.message.message)
        core = [item for item in stored.items.values() if item.cluster is not None and item.cluster >= 0]
        distances = [float(np.linalg.norm(vector[:2] - item.vector[:2])) for item in core]
        nearest = int(np.argmin(distances)) if core else -1
        inside = bool(core) and distances[nearest] <= 0.5
        return clusters_pb2.AssignResponse(
            cluster=(core[nearest].cluster or 0) if inside else -1,
            core_distance=distances[nearest] if core else float("inf"),
            x=float(vector[0]),
            y=float(vector[1]),
            map_version=stored.map_version,
        )

    def GetMap(self, request: Any, context: Any) -> Iterator[clusters_pb2.GetMapResponse]:
        self._enter("GetMap", request, context)
        context.add_callback(self.stream_ended.set)
        stored = self._mapped(request.collection, context)
        points = sorted(stored.items.items())
        for name, item in itertools.cycle(points) if self.endless_map else points:
            yield clusters_pb2.GetMapResponse(
                item_ids=[name],
                xs=[float(item.vector[0])],
                ys=[float(item.vector[1])],
                clusters=[-1 if item.cluster is None else item.cluster],
                labels=[item.label],
                map=_map_info(stored),
            )

    def Recluster(self, request: Any, context: Any) -> clusters_pb2.ReclusterResponse:
        self._enter("Recluster", request, context)
        stored = self._collection(request.collection, context)
        if not stored.items:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "collection: 0 items, a map needs 1 or more")
        fit(stored)
        clusters = [item.cluster for item in stored.items.values()]
        return clusters_pb2.ReclusterResponse(
            map=_map_info(stored), cluster_count=len(set(clusters) - {-1}), noise_count=clusters.count(-1)
        )

    def Explain(self, request: Any, context: Any) -> explain_pb2.ExplainResponse:
        self._enter("Explain", request, context)
        stored = self._collection(request.collection, context)
        results = []
        for query in request.queries:
            try:
                vector = _resolve_image(stored, query)
            except EntryError as error:
                results.append(explain_pb2.ExplainResult(error=error.message))
                continue
            overlay = self.overlay if request.picture == explain_pb2.HEATMAP_PICTURE_OVERLAY else b""
            heatmap = explain_pb2.Heatmap(height=1, width=3, values=np.abs(vector).tolist(), picture_png=overlay)
            results.append(explain_pb2.ExplainResult(heatmap=heatmap))
        return explain_pb2.ExplainResponse(results=results)

    def _mapped(self, name: str, context: grpc.ServicerContext) -> StoredCollection:
        stored = self._collection(name, context)
        if stored.map_version == 0:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"collection: {name!r} has no map yet")
        return stored


def fit(stored: StoredCollection) -> None:
    """Clusters by the axis of a vector's largest value; what leans to no axis is noise."""
    stored.map_version += 1
    for item in stored.items.values():
        item.cluster = int(np.argmax(item.vector)) if float(np.max(item.vector)) > 0.8 else -1


def _embed(content: bytes) -> NDArray[np.float32]:
    if not content.startswith(b"img "):
        raise EntryError(3, "image: not an image;\nallowed are JPEG, PNG, WebP, BMP and TIFF")
    vector = np.array(content.split()[1:4], dtype=np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def _vector(message: types_pb2.Vector) -> NDArray[np.float32]:
    if message.bundle_digest != DIGEST:
        raise EntryError(9, f"vector.bundle_digest: {message.bundle_digest!r}, the collection is under {DIGEST!r}")
    if len(message.values) != 3:
        raise EntryError(3, f"vector.values: {len(message.values)} values, allowed are 3")
    vector = np.array(message.values, dtype=np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def _resolve(stored: StoredCollection, query: types_pb2.Query) -> tuple[NDArray[np.float32], bytes | None]:
    match query.WhichOneof("subject"):
        case "image":
            return _embed(query.image), query.image
        case "vector":
            return _vector(query.vector), None
    if query.item_id not in stored.items:
        raise EntryError(5, f"item_id: {query.item_id!r} is not there")
    return stored.items[query.item_id].vector, stored.items[query.item_id].image


def _resolve_image(stored: StoredCollection, query: types_pb2.Query) -> NDArray[np.float32]:
    vector, kept = _resolve(stored, query)
    if kept is None:
        raise EntryError(9, "item_id: its image is not kept")
    return vector


def _search(stored: StoredCollection, query: types_pb2.Query, request: Any) -> search_pb2.SearchResult:
    try:
        vector, _ = _resolve(stored, query)
    except EntryError as error:
        return search_pb2.SearchResult(error=error.message)
    others = [name for name in sorted(stored.items) if name != query.item_id]
    similarities = np.array([stored.items[name].vector @ vector for name in others])

    def hits(order: NDArray[np.int64]) -> list[search_pb2.Hit]:
        found = [(others[i], stored.items[others[i]], float(similarities[i])) for i in order[: request.k]]
        return [
            search_pb2.Hit(rank=rank, item_id=name, similarity=similarity, label=item.label, cluster=item.cluster)
            for rank, (name, item, similarity) in enumerate(found, start=1)
        ]

    similar = request.direction in (search_pb2.DIRECTION_SIMILAR, search_pb2.DIRECTION_BOTH)
    divergent = request.direction in (search_pb2.DIRECTION_DIVERGENT, search_pb2.DIRECTION_BOTH)
    return search_pb2.SearchResult(
        similar=hits(np.argsort(-similarities, kind="stable")) if similar else [],
        divergent=hits(np.argsort(similarities, kind="stable")) if divergent else [],
        certificate=search_pb2.Certificate(exact=True),
    )


def _cluster(stored: StoredCollection, number: int) -> clusters_pb2.Cluster:
    members = {name: item for name, item in stored.items.items() if item.cluster == number}
    labels = [item.label for item in members.values()]
    counts = sorted(((labels.count(label), label) for label in set(labels)), key=lambda pair: (-pair[0], pair[1]))
    return clusters_pb2.Cluster(
        cluster=number,
        size=len(members),
        core_count=len(members),
        medoid_item_id=min(members),
        classes=[clusters_pb2.ClassCount(label=label, count=count) for count, label in counts],
    )


def _map_info(stored: StoredCollection) -> clusters_pb2.MapInfo:
    placed = sum(item.cluster is not None for item in stored.items.values())
    return clusters_pb2.MapInfo(
        version=stored.map_version,
        item_count=placed,
        pending_count=len(stored.items) - placed,
        eps=0.5,
        min_samples=1,
        perplexity=30.0,
    )


def _item(item_id: str, item: StoredItem) -> types_pb2.Item:
    return types_pb2.Item(
        item_id=item_id,
        label=item.label,
        cluster=item.cluster,
        create_time=_timestamp(),
        has_image=item.image is not None,
    )


def _timestamp() -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(MADE)
    return timestamp


def _status(code: int) -> grpc.StatusCode:
    return next(status for status in grpc.StatusCode if status.value[0] == code)


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
    clusters_pb2_grpc.add_ClustersServiceServicer_to_server(fake, server)
    explain_pb2_grpc.add_ExplainServiceServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    fake.hold.set()
    server.stop(grace=10).wait()


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
            NewItem(item_id="a", label="crack", content=image(1, 0, 0)),
            NewItem(item_id="b", label="crack", content=image(0.9, 0.1, 0)),
            NewItem(item_id="c", label="rust", content=image(0, 1, 0)),
            NewItem(item_id="d", content=image(-1, 0, 0)),
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
