import inspect
import logging
from typing import Any

import grpc
import pytest
from farnear_service import errors
from farnear_service.errors import (
    AlreadyExistsError,
    BundleError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    ServiceError,
)
from farnear_service.metrics import Metrics
from farnear_service.rpc.status import StatusInterceptor, item_error, status_of

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("kind", "code", "number"),
    [
        (InvalidError, Code.INVALID_ARGUMENT, 3),
        (NotFoundError, Code.NOT_FOUND, 5),
        (AlreadyExistsError, Code.ALREADY_EXISTS, 6),
        (OverloadedError, Code.RESOURCE_EXHAUSTED, 8),
        (PreconditionError, Code.FAILED_PRECONDITION, 9),
        (BundleError, Code.FAILED_PRECONDITION, 9),
    ],
)
def test_the_table(kind: type[ServiceError], code: grpc.StatusCode, number: int) -> None:
    assert status_of(kind("field: told")) is code
    error = item_error(kind("field: told"))
    assert (error.code, error.message) == (number, "field: told")


def test_every_refusal_has_a_status() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ServiceError)]
    assert len(kinds) == 7
    for kind in kinds:
        if kind is not ServiceError:
            assert status_of(kind("told")) is not Code.INTERNAL


class AbortedError(Exception):
    pass


class FakeContext:
    def __init__(self) -> None:
        self.aborted: list[Any] = []

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        self.aborted.append((code, message))
        raise AbortedError


async def called(handle: Any, metrics: Metrics) -> Any:
    """What the interceptor makes of a unary handler: its answer, or what the call was aborted with."""

    async def continuation(_: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=bytes.decode)

    class Details:
        method = "/farnear.v1.SearchService/Search"

    handler = await StatusInterceptor(metrics).intercept_service(continuation, Details())  # type: ignore[arg-type]
    assert handler is not None
    context = FakeContext()
    try:
        return await handler.unary_unary(b"request", context)
    except AbortedError:
        return context.aborted


def count(metrics: Metrics, code: str) -> float | None:
    labels = {"method": "/farnear.v1.SearchService/Search", "code": code}
    return metrics.registry.get_sample_value("farnear_requests_total", labels)


async def test_an_answer_passes_and_is_counted() -> None:
    metrics = Metrics()

    async def handle(request: str, _: Any) -> str:
        return request.upper()

    assert await called(handle, metrics) == "REQUEST"
    assert count(metrics, "OK") == 1
    labels = {"method": "/farnear.v1.SearchService/Search"}
    assert metrics.registry.get_sample_value("farnear_request_seconds_count", labels) == 1


async def test_a_refusal_is_told_with_its_words() -> None:
    metrics = Metrics()

    async def handle(*_: Any) -> None:
        raise NotFoundError("collection: there is no 'x'")

    assert await called(handle, metrics) == [(Code.NOT_FOUND, "collection: there is no 'x'")]
    assert count(metrics, "NOT_FOUND") == 1


async def test_a_fault_of_ours_is_told_without_detail_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()

    async def handle(*_: Any) -> None:
        raise RuntimeError("password=secret")

    with caplog.at_level(logging.ERROR):
        ((code, message),) = await called(handle, metrics)
    assert code is Code.INTERNAL
    assert "secret" not in message
    assert "password=secret" in caplog.text
    assert count(metrics, "INTERNAL") == 1


async def test_the_handlers_of_others_stay_as_they_are() -> None:
    theirs = grpc.unary_unary_rpc_method_handler(lambda request, context: request)

    async def continuation(_: Any) -> Any:
        return theirs

    async def nothing(_: Any) -> Any:
        return None

    class Details:
        method = "/grpc.health.v1.Health/Check"

    interceptor = StatusInterceptor(Metrics())
    assert await interceptor.intercept_service(continuation, Details()) is theirs  # type: ignore[arg-type]
    Details.method = "/farnear.v1.SearchService/Nothing"
    assert await interceptor.intercept_service(nothing, Details()) is None  # type: ignore[arg-type]
