"""The connection under the synchronous client: one way to make a call, to turn pages, and to wait in a stream."""

from collections.abc import Iterator
from threading import Event, Timer
from types import TracebackType
from typing import Self, TypeVar

import grpc

from farnear.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, OPTIONS, PageRequest, PageResponse, late, translate
from farnear.v1.clusters_pb2_grpc import ClustersServiceStub
from farnear.v1.collections_pb2_grpc import CollectionsServiceStub
from farnear.v1.explain_pb2_grpc import ExplainServiceStub
from farnear.v1.items_pb2_grpc import ItemsServiceStub
from farnear.v1.recommend_pb2_grpc import RecommendServiceStub
from farnear.v1.search_pb2_grpc import SearchServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_PageRequest = TypeVar("_PageRequest", bound=PageRequest)
_PageResponse = TypeVar("_PageResponse", bound=PageResponse)


class Connection:
    """A channel to a service and its stubs; see `farnear.client.Client`."""

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        self._address = address
        self._timeout = timeout
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._collections = CollectionsServiceStub(self._channel)
        self._items = ItemsServiceStub(self._channel)
        self._search = SearchServiceStub(self._channel)
        self._recommend = RecommendServiceStub(self._channel)
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

    def _answer(self, stream: "grpc._CallIterator[_Response]", timeout: float | None) -> _Response | None:
        """The next answer of a stream without a deadline of its own, as it may go on for hours; None at its end."""
        seconds = self._timeout if timeout is None else timeout
        is_late = Event()

        def expire() -> None:
            is_late.set()
            stream.cancel()

        watchdog = Timer(seconds, expire)
        watchdog.daemon = True
        watchdog.start()
        try:
            return next(stream, None)
        except grpc.RpcError as error:
            if is_late.is_set():
                raise late("of a stream", address=self._address, timeout=seconds) from error
            raise translate(error, address=self._address, timeout=seconds) from error
        finally:
            watchdog.cancel()
