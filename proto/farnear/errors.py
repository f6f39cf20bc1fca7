"""What can go wrong between a client and the service.

    FarnearError
    ├── RefusedByServerError            the service is well and said no: the message names the field and what is allowed
    │   ├── InvalidArgumentError        not an image, k out of range, wrong dimension, ...
    │   ├── NotFoundError               no such collection, item, cluster or bundle
    │   ├── AlreadyExistsError          the name is taken
    │   ├── FailedPreconditionError     no map yet, a vector of another bundle, ...
    │   ├── ResourceExhaustedError      queue full, quota, or a message over the size limit
    │   ├── UnauthenticatedError        no valid credentials
    │   └── PermissionDeniedError       credentials that do not allow this
    ├── UnavailableError                no service answers at the address
    ├── DeadlineExceededError           no answer within the timeout
    └── ServerFaultError                every other status: a fault of the service

A batch reports per item: there the same errors stand as values in `SearchResult.error`, `UpsertOutcome.error` and
`Explanation.error`.
"""


class FarnearError(Exception):
    """Base of every error a client raises for an answer (or for none) of the service."""


class RefusedByServerError(FarnearError):
    """The service understood the call, or one entry of it, and refused it."""


class InvalidArgumentError(RefusedByServerError):
    """A field holds a value that is not allowed."""


class NotFoundError(RefusedByServerError):
    """There is no such collection, item, cluster or bundle."""


class AlreadyExistsError(RefusedByServerError):
    """The name is taken."""


class FailedPreconditionError(RefusedByServerError):
    """The call is sound but not in this state, such as clusters before the first map."""


class ResourceExhaustedError(RefusedByServerError):
    """The service's queue is full, a quota is used up, or a message is over the size limit."""


class UnauthenticatedError(RefusedByServerError):
    """The call carries no valid credentials."""


class PermissionDeniedError(RefusedByServerError):
    """The credentials do not allow this call."""


class UnavailableError(FarnearError):
    """No service answers at the address, also after the retries that are safe."""


class DeadlineExceededError(FarnearError):
    """The answer did not come within the timeout. A write may have been done all the same."""


class ServerFaultError(FarnearError):
    """The service failed: the call may be right."""


# Keys are google.rpc.Code numbers, which gRPC statuses and the contract's ItemError share.
_BY_CODE: dict[int, type[FarnearError]] = {
    3: InvalidArgumentError,
    4: DeadlineExceededError,
    5: NotFoundError,
    6: AlreadyExistsError,
    7: PermissionDeniedError,
    8: ResourceExhaustedError,
    9: FailedPreconditionError,
    14: UnavailableError,
    16: UnauthenticatedError,
}


def error_for(code: int, message: str) -> FarnearError:
    """The error that stands for a google.rpc.Code other than OK."""
    kind = _BY_CODE.get(code)
    if kind is None:
        return ServerFaultError(f"status {code}: {message}")
    return kind(message)
