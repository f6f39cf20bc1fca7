"""How both clients talk to the service: deadlines, retries, message sizes, keepalive, and what its statuses become."""

import json
from typing import TYPE_CHECKING, Protocol

from farnear.errors import DeadlineExceededError, FarnearError, ServerFaultError, error_for
from farnear.inputs import MAX_CONTENT_BYTES

if TYPE_CHECKING:
    import grpc

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 60.0
FIT_TIMEOUT_S = 3600.0
"""Fitting a map takes minutes where other calls take milliseconds, so it has a default of its own."""

DELETE_ITEMS_BATCH = 10_000
RECORD_INTERACTIONS_BATCH = 10_000

UPSERT_WINDOW = 4
"""Batches of a stream that may be without an answer: enough that the service decodes one while it embeds another."""

ACTIVATION_POLL_S = 1.0

# Room for ids, labels and framing beside the 64 MiB of content that the contract allows.
_MAX_MESSAGE_BYTES = MAX_CONTENT_BYTES + 4 * 2**20

# CreateCollection, ActivateBundle and DeleteCollection are missing on purpose: were the first answer lost, the second
# try would report ALREADY_EXISTS, FAILED_PRECONDITION or NOT_FOUND for what had just succeeded. StreamUpsertItems is
# missing as gRPC 1.85 can lose a pending read when the retries of a stream come to nothing: it waits for ever then.
_RETRIED = [
    {"service": "farnear.v1.CollectionsService", "method": "GetCollection"},
    {"service": "farnear.v1.CollectionsService", "method": "ListCollections"},
    *(
        {"service": "farnear.v1.ItemsService", "method": method}
        for method in ("UpsertItems", "GetItem", "GetItemImage", "ListItems", "CountItems", "DeleteItems")
    ),
    {"service": "farnear.v1.SearchService"},
    {"service": "farnear.v1.ClustersService"},
    {"service": "farnear.v1.ExplainService"},
    {"service": "farnear.v1.RecommendService"},
]
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": _RETRIED, "retryPolicy": _RETRY_POLICY}]})),
    # gRPC keeps 256 KiB of a request for a retry and silently does not retry a larger one: keep all of it.
    ("grpc.per_rpc_retry_buffer_size", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # A gRPC server hangs up on a client that pings more than every 5 minutes while no data flows, as during a fit.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC would send even 127.0.0.1 through the environment's proxy; the service is reached directly.
    ("grpc.enable_http_proxy", 0),
)


class PageRequest(Protocol):
    """A request of a paged list."""

    page_token: str


class PageResponse(Protocol):
    """A response of a paged list; the token is empty on the last page."""

    next_page_token: str


def translate(error: "grpc.RpcError", *, address: str, timeout: float) -> FarnearError:
    """The client's own error for a failed call to `address` that was given `timeout` seconds."""
    code, name = error.code().value
    details = error.details() or name
    if name == "unavailable":
        details = f"{address}: {details}"
    elif name == "deadline exceeded":
        return late(details, address=address, timeout=timeout)
    return error_for(code, details)


def late(details: str, *, address: str, timeout: float) -> FarnearError:
    """The error of an answer from `address` that did not come within `timeout` seconds."""
    return DeadlineExceededError(f"{address}: no answer within {timeout:g} s ({details})")


def cut_short(*, address: str) -> FarnearError:
    """The error of a stream that the service ended before it had answered every batch."""
    return ServerFaultError(f"{address}: the stream ended before its last answer")
