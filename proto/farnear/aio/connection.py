"""The connection under the asyncio client: one way to make a call, and to turn pages."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

import grpc
import grpc.aio

from farnear.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, OPTIONS, PageRequest, PageResponse, translate
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
    """A channel to a service and its stubs; see `farnear.aio.AsyncClient`."""

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        self._address = address
        self._timeout = timeout
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._collections = CollectionsServiceStub(self._channel)
        self._items = ItemsServiceStub(self._channel)
        self._search = SearchServiceStub(self._channel)
        self._recommend = RecommendServiceStub(self._channel)
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
