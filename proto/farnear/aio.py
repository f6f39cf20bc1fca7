"""The asyncio client: `farnear.client.Client` with `await`. The methods are described there."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar

import grpc
import grpc.aio

from farnear import wire
from farnear.channel import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_S,
    DELETE_ITEMS_BATCH,
    FIT_TIMEOUT_S,
    LIST_ITEMS_PAGE,
    OPTIONS,
    PageRequest,
    PageResponse,
    translate,
)
from farnear.inputs import Direction, NewItem, Query, batches
from farnear.results import (
    Assignment,
    Clustering,
    Collection,
    Explanation,
    Fit,
    Heatmap,
    Hit,
    Item,
    MapPoint,
    SearchResult,
    UpsertOutcome,
)
from farnear.v1 import clusters_pb2, collections_pb2, items_pb2
from farnear.v1.clusters_pb2_grpc import ClustersServiceStub
from farnear.v1.collections_pb2_grpc import CollectionsServiceStub
from farnear.v1.explain_pb2_grpc import ExplainServiceStub
from farnear.v1.items_pb2_grpc import ItemsServiceStub
from farnear.v1.search_pb2_grpc import SearchServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_PageRequest = TypeVar("_PageRequest", bound=PageRequest)
_PageResponse = TypeVar("_PageResponse", bound=PageResponse)


class AsyncClient:
    """A connection to a Farnear service for asyncio: make it in a running event loop and use it in `async with`.

    Arguments, results, errors, timeouts and retries are those of `farnear.client.Client`.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        self._address = address
        self._timeout = timeout
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._collections = CollectionsServiceStub(self._channel)
        self._items = ItemsServiceStub(self._channel)
        self._search = SearchServiceStub(self._channel)
        self._clusters = ClustersServiceStub(self._channel)
        self._explain = ExplainServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        await self._channel.close()

    async def create_collection(
        self, name: str, *, bundle: str, keep_images: bool = True, timeout: float | None = None
    ) -> Collection:
        """Makes an empty collection; see `Client.create_collection`."""
        request = wire.to_create_request(name, bundle, keep_images)
        response = await self._call(self._collections.CreateCollection, request, timeout)
        return wire.read_collection(response.collection)

    async def get_collection(self, name: str, *, timeout: float | None = None) -> Collection:
        """One collection by name; see `Client.get_collection`."""
        request = collections_pb2.GetCollectionRequest(name=name)
        response = await self._call(self._collections.GetCollection, request, timeout)
        return wire.read_collection(response.collection)

    async def list_collections(self, *, timeout: float | None = None) -> AsyncIterator[Collection]:
        """All collections in order of name; see `Client.list_collections`."""
        request = collections_pb2.ListCollectionsRequest()
        async for page in self._pages(self._collections.ListCollections, request, timeout):
            for collection in page.collections:
                yield wire.read_collection(collection)

    async def delete_collection(self, name: str, *, timeout: float | None = None) -> int:
        """Deletes a collection and counts its items; see `Client.delete_collection`."""
        request = collections_pb2.DeleteCollectionRequest(name=name)
        return (await self._call(self._collections.DeleteCollection, request, timeout)).deleted_item_count

    async def upsert(
        self, collection: str, items: Iterable[NewItem], *, timeout: float | None = None
    ) -> list[UpsertOutcome]:
        """Stores items in batches, one outcome each; see `Client.upsert`."""
        outcomes: list[UpsertOutcome] = []
        for batch in batches(items):
            request = wire.to_upsert_request(collection, batch)
            outcomes += wire.read_outcomes(await self._call(self._items.UpsertItems, request, timeout))
        return outcomes

    async def get_item(self, collection: str, item_id: str, *, timeout: float | None = None) -> Item:
        """One item by id; see `Client.get_item`."""
        request = items_pb2.GetItemRequest(collection=collection, item_id=item_id)
        return wire.read_item((await self._call(self._items.GetItem, request, timeout)).item)

    async def list_items(self, collection: str, *, timeout: float | None = None) -> AsyncIterator[Item]:
        """All items in order of id; see `Client.list_items`."""
        request = items_pb2.ListItemsRequest(collection=collection, page_size=LIST_ITEMS_PAGE)
        async for page in self._pages(self._items.ListItems, request, timeout):
            for item in page.items:
                yield wire.read_item(item)

    async def delete_items(self, collection: str, item_ids: Iterable[str], *, timeout: float | None = None) -> int:
        """Deletes items by id and counts those that were there; see `Client.delete_items`."""
        remaining = iter(item_ids)
        deleted_count = 0
        while batch := list(islice(remaining, DELETE_ITEMS_BATCH)):
            request = items_pb2.DeleteItemsRequest(collection=collection, item_ids=batch)
            deleted_count += (await self._call(self._items.DeleteItems, request, timeout)).deleted_count
        return deleted_count

    async def search(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        direction: Direction,
        k: int = 10,
        timeout: float | None = None,
    ) -> list[SearchResult]:
        """The k items at one or both ends for each query; see `Client.search`."""
        request = wire.to_search_request(collection, queries, direction, k)
        return wire.read_search_results(await self._call(self._search.Search, request, timeout))

    async def similar(
        self, collection: str, query: Query, *, k: int = 10, timeout: float | None = None
    ) -> tuple[Hit, ...]:
        """The k items most similar to one query; see `Client.similar`."""
        request = wire.to_search_request(collection, [query], Direction.SIMILAR, k)
        return wire.read_search_result(await self._call(self._search.Search, request, timeout)).similar

    async def divergent(
        self, collection: str, query: Query, *, k: int = 10, timeout: float | None = None
    ) -> tuple[Hit, ...]:
        """The k items most divergent from one query; see `Client.divergent`."""
        request = wire.to_search_request(collection, [query], Direction.DIVERGENT, k)
        return wire.read_search_result(await self._call(self._search.Search, request, timeout)).divergent

    async def both(self, collection: str, query: Query, *, k: int = 10, timeout: float | None = None) -> SearchResult:
        """Both ends for one query; see `Client.both`."""
        request = wire.to_search_request(collection, [query], Direction.BOTH, k)
        return wire.read_search_result(await self._call(self._search.Search, request, timeout))

    async def clusters(self, collection: str, *, timeout: float | None = None) -> Clustering:
        """The density clusters of the standing map; see `Client.clusters`."""
        request = clusters_pb2.ListClustersRequest(collection=collection)
        return wire.read_clustering([page async for page in self._pages(self._clusters.ListClusters, request, timeout)])

    async def assign(self, collection: str, query: Query, *, timeout: float | None = None) -> Assignment:
        """Which cluster a query falls into; see `Client.assign`."""
        request = clusters_pb2.AssignRequest(collection=collection, query=wire.to_query(query))
        return wire.read_assignment(await self._call(self._clusters.Assign, request, timeout))

    async def map_points(self, collection: str, *, timeout: float | None = None) -> AsyncIterator[MapPoint]:
        """Every placed item with its position; see `Client.map_points`."""
        seconds = self._timeout if timeout is None else timeout
        stream = self._clusters.GetMap(clusters_pb2.GetMapRequest(collection=collection), timeout=seconds)
        try:
            async for chunk in stream:
                for point in wire.read_map_points(chunk):
                    yield point
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=seconds) from error
        finally:
            # A caller that stops early must not leave the service sending.
            stream.cancel()

    async def recluster(self, collection: str, *, timeout: float = FIT_TIMEOUT_S) -> Fit:
        """Fits a new map and returns when it stands; see `Client.recluster`."""
        request = clusters_pb2.ReclusterRequest(collection=collection)
        return wire.read_fit(await self._call(self._clusters.Recluster, request, timeout))

    async def explain(
        self, collection: str, queries: Sequence[Query], *, overlay: bool = False, timeout: float | None = None
    ) -> list[Explanation]:
        """A heat map for each query; see `Client.explain`."""
        request = wire.to_explain_request(collection, queries, overlay)
        return wire.read_explanations(await self._call(self._explain.Explain, request, timeout))

    async def heatmap(
        self, collection: str, query: Query, *, overlay: bool = False, timeout: float | None = None
    ) -> Heatmap:
        """The heat map of one query; see `Client.heatmap`."""
        request = wire.to_explain_request(collection, [query], overlay)
        return wire.read_heatmap(await self._call(self._explain.Explain, request, timeout))

    async def _call(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request, timeout: float | None
    ) -> _Response:
        seconds = self._timeout if timeout is None else timeout
        try:
            return await method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=seconds) from error

    async def _pages(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[_PageRequest, _PageResponse]",
        request: _PageRequest,
        timeout: float | None,
    ) -> AsyncIterator[_PageResponse]:
        while True:
            page = await self._call(method, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
