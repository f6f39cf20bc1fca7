"""The synchronous client."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar

import grpc

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


class Client:
    """A connection to a Farnear service; safe to share between threads. Close it, or use it in a `with` statement.

    Every method takes `timeout`, the seconds that each call to the service may take; a method that makes several calls
    (lists, `upsert`, `delete_items`) gives it to each. Calls that are safe to repeat are retried when the service is
    unavailable: all but `create_collection` and `delete_collection`.

    Args:
        address: `host:port` of the service. Nothing is sent before the first call.
        timeout: Default for `timeout` in seconds, for all methods but `recluster`.

    Raises:
        FarnearError: From every method; `farnear.errors` draws the tree.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        self._address = address
        self._timeout = timeout
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._collections = CollectionsServiceStub(self._channel)
        self._items = ItemsServiceStub(self._channel)
        self._search = SearchServiceStub(self._channel)
        self._clusters = ClustersServiceStub(self._channel)
        self._explain = ExplainServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        self._channel.close()

    def create_collection(
        self, name: str, *, bundle: str, keep_images: bool = True, timeout: float | None = None
    ) -> Collection:
        """Makes an empty collection.

        Args:
            name: 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', starting with a letter or digit.
            bundle: The name of a served bundle.
            keep_images: Whether to keep the original bytes of images, so that items can be explained by id.
            timeout: See the class.

        Raises:
            AlreadyExistsError: If the name is taken.
            NotFoundError: If the bundle is not served.
        """
        request = wire.to_create_request(name, bundle, keep_images)
        return wire.read_collection(self._call(self._collections.CreateCollection, request, timeout).collection)

    def get_collection(self, name: str, *, timeout: float | None = None) -> Collection:
        """One collection by name; `NotFoundError` if there is none."""
        request = collections_pb2.GetCollectionRequest(name=name)
        return wire.read_collection(self._call(self._collections.GetCollection, request, timeout).collection)

    def list_collections(self, *, timeout: float | None = None) -> Iterator[Collection]:
        """All collections in order of name."""
        request = collections_pb2.ListCollectionsRequest()
        for page in self._pages(self._collections.ListCollections, request, timeout):
            yield from map(wire.read_collection, page.collections)

    def delete_collection(self, name: str, *, timeout: float | None = None) -> int:
        """Deletes a collection with its items, kept images and map, and tells how many items went with it."""
        request = collections_pb2.DeleteCollectionRequest(name=name)
        return self._call(self._collections.DeleteCollection, request, timeout).deleted_item_count

    def upsert(self, collection: str, items: Iterable[NewItem], *, timeout: float | None = None) -> list[UpsertOutcome]:
        """Stores items; one whose id is there already is replaced. What was acknowledged is on the service's disk.

        The items are read lazily and sent in calls of at most 128 items and 16 MiB, so a generator may yield millions.
        If a call fails the calls before it stand, and repeating the whole is safe.

        Returns:
            One outcome for each item, in order. A refused item never fails its neighbours.
        """
        outcomes: list[UpsertOutcome] = []
        for batch in batches(items):
            request = wire.to_upsert_request(collection, batch)
            outcomes += wire.read_outcomes(self._call(self._items.UpsertItems, request, timeout))
        return outcomes

    def get_item(self, collection: str, item_id: str, *, timeout: float | None = None) -> Item:
        """One item by id; `NotFoundError` if there is none."""
        request = items_pb2.GetItemRequest(collection=collection, item_id=item_id)
        return wire.read_item(self._call(self._items.GetItem, request, timeout).item)

    def list_items(self, collection: str, *, timeout: float | None = None) -> Iterator[Item]:
        """All items in order of id (by bytes), fetched page by page as they are consumed."""
        request = items_pb2.ListItemsRequest(collection=collection, page_size=LIST_ITEMS_PAGE)
        for page in self._pages(self._items.ListItems, request, timeout):
            yield from map(wire.read_item, page.items)

    def delete_items(self, collection: str, item_ids: Iterable[str], *, timeout: float | None = None) -> int:
        """Deletes items by id and tells how many of the ids were there. Unknown ids are no error."""
        remaining = iter(item_ids)
        deleted_count = 0
        while batch := list(islice(remaining, DELETE_ITEMS_BATCH)):
            request = items_pb2.DeleteItemsRequest(collection=collection, item_ids=batch)
            deleted_count += self._call(self._items.DeleteItems, request, timeout).deleted_count
        return deleted_count

    def search(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        direction: Direction,
        k: int = 10,
        timeout: float | None = None,
    ) -> list[SearchResult]:
        """The k items most similar to, most divergent from, or both, for each query.

        Args:
            collection: Where to search.
            queries: 1 to 1,000 images, item ids or vectors, at most 64 MiB together.
            direction: Which end of the cosine scale.
            k: Hits in each list, 1 to 1,000; fewer come where the collection is smaller.
            timeout: See the class.

        Returns:
            One result for each query, in order. A refused query has its `error` set; its neighbours are served.
        """
        request = wire.to_search_request(collection, queries, direction, k)
        return wire.read_search_results(self._call(self._search.Search, request, timeout))

    def similar(self, collection: str, query: Query, *, k: int = 10, timeout: float | None = None) -> tuple[Hit, ...]:
        """The k items most similar to one query, highest cosine similarity first."""
        request = wire.to_search_request(collection, [query], Direction.SIMILAR, k)
        return wire.read_search_result(self._call(self._search.Search, request, timeout)).similar

    def divergent(self, collection: str, query: Query, *, k: int = 10, timeout: float | None = None) -> tuple[Hit, ...]:
        """The k items most divergent from one query, lowest cosine similarity first."""
        request = wire.to_search_request(collection, [query], Direction.DIVERGENT, k)
        return wire.read_search_result(self._call(self._search.Search, request, timeout)).divergent

    def both(self, collection: str, query: Query, *, k: int = 10, timeout: float | None = None) -> SearchResult:
        """Both ends for one query: the k most similar and the k most divergent items."""
        request = wire.to_search_request(collection, [query], Direction.BOTH, k)
        return wire.read_search_result(self._call(self._search.Search, request, timeout))

    def clusters(self, collection: str, *, timeout: float | None = None) -> Clustering:
        """The density clusters of the standing map; `FailedPreconditionError` while no map is fitted yet."""
        request = clusters_pb2.ListClustersRequest(collection=collection)
        return wire.read_clustering(self._pages(self._clusters.ListClusters, request, timeout))

    def assign(self, collection: str, query: Query, *, timeout: float | None = None) -> Assignment:
        """Which cluster a query falls into, without adding it; `FailedPreconditionError` while no map is fitted yet."""
        request = clusters_pb2.AssignRequest(collection=collection, query=wire.to_query(query))
        return wire.read_assignment(self._call(self._clusters.Assign, request, timeout))

    def map_points(self, collection: str, *, timeout: float | None = None) -> Iterator[MapPoint]:
        """Every placed item with its position, streamed; the timeout spans the whole stream.

        Raises:
            FailedPreconditionError: While no map is fitted yet.
        """
        seconds = self._timeout if timeout is None else timeout
        stream = self._clusters.GetMap(clusters_pb2.GetMapRequest(collection=collection), timeout=seconds)
        try:
            for chunk in stream:
                yield from wire.read_map_points(chunk)
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=seconds) from error
        finally:
            # A caller that stops early must not leave the service sending.
            stream.cancel()

    def recluster(self, collection: str, *, timeout: float = FIT_TIMEOUT_S) -> Fit:
        """Fits a new map of all items acknowledged so far and returns when it stands.

        The fit goes on in the service if this call is given up.

        Raises:
            FailedPreconditionError: If the collection has too few items for a map.
        """
        request = clusters_pb2.ReclusterRequest(collection=collection)
        return wire.read_fit(self._call(self._clusters.Recluster, request, timeout))

    def explain(
        self, collection: str, queries: Sequence[Query], *, overlay: bool = False, timeout: float | None = None
    ) -> list[Explanation]:
        """Heat maps: where in each image its embedding comes from.

        Args:
            collection: Whose bundle explains.
            queries: 1 to 100 images, or ids of items whose image is kept.
            overlay: Whether to draw each map over its image as a PNG of at most 1,024 px a side.
            timeout: See the class.

        Returns:
            One explanation for each query, in order. A refused query has its `error` set; its neighbours are served.
        """
        request = wire.to_explain_request(collection, queries, overlay)
        return wire.read_explanations(self._call(self._explain.Explain, request, timeout))

    def heatmap(self, collection: str, query: Query, *, overlay: bool = False, timeout: float | None = None) -> Heatmap:
        """The heat map of one query; see `explain`."""
        request = wire.to_explain_request(collection, [query], overlay)
        return wire.read_heatmap(self._call(self._explain.Explain, request, timeout))

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request, timeout: float | None
    ) -> _Response:
        seconds = self._timeout if timeout is None else timeout
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=seconds) from error

    def _pages(
        self,
        method: "grpc.UnaryUnaryMultiCallable[_PageRequest, _PageResponse]",
        request: _PageRequest,
        timeout: float | None,
    ) -> Iterator[_PageResponse]:
        while True:
            page = self._call(method, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
