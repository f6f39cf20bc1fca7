"""Errors to gRPC statuses, and every call counted and timed: the one place that does either."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from farnear.v1 import types_pb2
from google.protobuf.message import DecodeError

from farnear_service.errors import (
    AlreadyExistsError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    ServiceError,
)
from farnear_service.metrics import Metrics

STATUS: dict[type[ServiceError], grpc.StatusCode] = {
    InvalidError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

# gRPC puts messages into a header, where bytes can take three times their room, and breaks off a call above 8 KiB.
_MESSAGE_BYTES = 2_500

log = logging.getLogger(__name__)


def status_of(error: ServiceError) -> grpc.StatusCode:
    """The status of a refusal: that of the nearest class in the table."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def item_error(error: ServiceError) -> types_pb2.ItemError:
    """A refusal of one entry of a batch."""
    return types_pb2.ItemError(code=status_of(error).value[0], message=_message(error))


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Turns a handler's errors into statuses, and counts and times its calls.

    Faults of ours are logged, and told as INTERNAL without detail.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler of one of our own methods; those of health and reflection stay as they are."""
        method = str(handler_call_details.method)
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith("/farnear."):
            return handler
        self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        # Requests come as bytes: grpc would tell of one that it cannot read as a fault of ours, and count nothing.
        assert handler.request_deserializer is not None
        parse = partial(_parsed, handler.request_deserializer)
        write = handler.response_serializer
        if handler.unary_unary is not None:
            answer = self._unary(method, handler.unary_unary, parse)
            return grpc.unary_unary_rpc_method_handler(answer, response_serializer=write)
        if handler.unary_stream is not None:
            stream = self._stream(method, handler.unary_stream, parse)
            return grpc.unary_stream_rpc_method_handler(stream, response_serializer=write)
        assert handler.stream_stream is not None, "the contract has no other kind"
        stream = self._stream(method, handler.stream_stream, lambda requests: _all_parsed(parse, requests))
        return grpc.stream_stream_rpc_method_handler(stream, response_serializer=write)

    def _unary(self, method: str, handle: Callable[..., Any], parse: Callable[[Any], Any]) -> Callable[..., Any]:
        async def answer(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
            async with _Call(method, context, self._metrics):
                return await handle(parse(request), context)

        return answer

    def _stream(self, method: str, handle: Callable[..., Any], parse: Callable[[Any], Any]) -> Callable[..., Any]:
        async def answer(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[object]:
            async with _Call(method, context, self._metrics):
                async for message in handle(parse(request), context):
                    yield message

        return answer


def _parsed(parse: Callable[[bytes], object], data: bytes) -> object:
    try:
        return parse(data)
    except DecodeError as error:
        raise InvalidError(f"request: cannot be read ({error})") from error


async def _all_parsed(parse: Callable[[bytes], object], requests: AsyncIterator[bytes]) -> AsyncIterator[object]:
    async for data in requests:
        yield parse(data)


class _Call:
    """One call under way."""

    def __init__(self, method: str, context: grpc.aio.ServicerContext[Any, Any], metrics: Metrics) -> None:
        self._method = method
        self._context = context
        self._metrics = metrics

    async def __aenter__(self) -> None:
        self._start = time.perf_counter()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        code, message = _told(error)
        if code is grpc.StatusCode.INTERNAL:
            log.error("%s failed", self._method, exc_info=error)
        self._metrics.requests.labels(self._method, code.name).inc()
        self._metrics.request_seconds.labels(self._method).observe(time.perf_counter() - self._start)
        if isinstance(error, Exception):
            await self._context.abort(code, message)


def _message(error: ServiceError) -> str:
    told = str(error).encode()  # with what came, however long that is
    if len(told) <= _MESSAGE_BYTES:
        return str(error)
    return f"{told[:_MESSAGE_BYTES].decode(errors='ignore')} ..."


def _told(error: BaseException | None) -> tuple[grpc.StatusCode, str]:
    if error is None:
        return grpc.StatusCode.OK, ""
    if isinstance(error, ServiceError):
        return status_of(error), _message(error)
    if not isinstance(error, Exception):  # the caller went away or its deadline passed: asyncio cancels the handler
        return grpc.StatusCode.CANCELLED, ""
    return grpc.StatusCode.INTERNAL, "the service failed; its log says why"
