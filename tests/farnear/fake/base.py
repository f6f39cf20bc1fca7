"""What is stored, what a test can see and set, and what every call does first."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
from farnear.v1 import clusters_pb2, collections_pb2, search_pb2, types_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

DIGESTS = {"toy": "ab" * 32, "toy-2": "cd" * 32}
MADE = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)


@dataclass
class StoredItem:
    label: str
    vector: NDArray[np.float32]
    image: bytes | None
    attributes: dict[str, types_pb2.AttributeValue]
    source_uri: str
    cluster: int | None = None


@dataclass
class StoredCollection:
    bundle: str
    retention: int
    index: collections_pb2.IndexSettings
    attributes: dict[str, int]
    items: dict[str, StoredItem] = field(default_factory=dict)
    interactions: dict[str, dict[str, Any]] = field(default_factory=dict)
    map_version: int = 0
    eps: float = 0.5
    min_samples: int = 1
    perplexity: float = 30.0
    events: list[clusters_pb2.ClusterEvent] = field(default_factory=list)
    activation: collections_pb2.Activation | None = None
    activation_error: str = ""


class EntryError(Exception):
    """One entry of a batch is refused."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.message = types_pb2.ItemError(code=code, message=message)


class FakeBase:
    """The part that all servicers share.

    Attributes:
        collections: By name.
        calls: Name, request and seconds to the deadline of every call that arrived, failed ones too; of a stream of
            requests, of every request.
        failures: By name of a call, statuses to fail its next calls with.
        page_limit: The most entries of a page, whatever the client asks for.
        hold: Cleared, it lets every call wait until it is set.
        overlay: The picture of every heat map.
        picture: What is answered with for every image that is kept; None for what was stored.
        similar_certificate: What every search says of its similar end.
        divergent_certificate: What every search says of its divergent end.
        endless_map: Whether a map is streamed over and over until the client has enough.
        answers_to_end: How many batches of a stream are answered before it is ended early; None for all.
        stream_ended: Set when a stream has ended, whatever ended it.
        activation_fails: Whether a move to another bundle comes to no end.
        watch_limit: How many batches of events are told before a watch is failed; None for all.
        changed: Notified when something has happened to clusters, or a watcher has gone.
    """

    def __init__(self) -> None:
        self.collections: dict[str, StoredCollection] = {}
        self.calls: list[tuple[str, Any, float]] = []
        self.failures: dict[str, list[grpc.StatusCode]] = {}
        self.page_limit = 2
        self.hold = threading.Event()
        self.hold.set()
        self.overlay = b"\x89PNG overlay"
        self.picture: bytes | None = None
        self.similar_certificate = search_pb2.Certificate(exact=True)
        self.divergent_certificate = search_pb2.Certificate(exact=True)
        self.endless_map = False
        self.answers_to_end: int | None = None
        self.stream_ended = threading.Event()
        self.activation_fails = False
        self.watch_limit: int | None = None
        self.changed = threading.Condition()
        self.address = ""

    def requests(self, name: str) -> list[Any]:
        return [request for called, request, _ in self.calls if called == name]

    def happen(self, collection: str, *events: clusters_pb2.ClusterEvent) -> None:
        """Tells whoever watches what happened to clusters."""
        with self.changed:
            self.collections[collection].events += events
            self.changed.notify_all()

    def enter(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        self.calls.append((name, request, context.time_remaining()))
        if self.failures.get(name):
            context.abort(self.failures[name].pop(0), f"{name} was told to fail")
        self.hold.wait()

    def collection(self, name: str, context: grpc.ServicerContext) -> StoredCollection:
        if name not in self.collections:
            context.abort(grpc.StatusCode.NOT_FOUND, f"collection: {name!r} is not there")
        return self.collections[name]

    def page(self, entries: list[Any], token: str) -> tuple[list[Any], str]:
        start = int(token or 0)
        end = start + self.page_limit
        return entries[start:end], str(end) if end < len(entries) else ""


def embed(content: bytes) -> NDArray[np.float32]:
    if content.startswith(b"\x89PNG"):
        return np.array([1, 0, 0], np.float32)
    if not content.startswith(b"img "):
        raise EntryError(3, "image: not an image;\nallowed are JPEG, PNG, WebP, BMP and TIFF")
    vector = np.array(content.split()[1:4], dtype=np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def read_vector(message: types_pb2.Vector) -> NDArray[np.float32]:
    if message.bundle_digest != DIGESTS["toy"]:
        raise EntryError(
            9, f"vector.bundle_digest: {message.bundle_digest!r}, the collection is under {DIGESTS['toy']!r}"
        )
    if len(message.values) != 3:
        raise EntryError(3, f"vector.values: {len(message.values)} values, allowed are 3")
    vector = np.array(message.values, dtype=np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def resolve(stored: StoredCollection, query: types_pb2.Query) -> tuple[NDArray[np.float32], bytes | None]:
    match query.WhichOneof("subject"):
        case "image":
            return embed(query.image), query.image
        case "vector":
            return read_vector(query.vector), None
    if query.item_id not in stored.items:
        raise EntryError(5, f"item_id: {query.item_id!r} is not there")
    return stored.items[query.item_id].vector, stored.items[query.item_id].image


def made() -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(MADE)
    return timestamp


def status(code: int) -> grpc.StatusCode:
    return next(status for status in grpc.StatusCode if status.value[0] == code)
