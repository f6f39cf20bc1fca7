import grpc
import pytest
from farnear import errors
from farnear.errors import FarnearError, RefusedByServerError, error_for

EXPECTED = {
    "INVALID_ARGUMENT": "InvalidArgumentError",
    "NOT_FOUND": "NotFoundError",
    "ALREADY_EXISTS": "AlreadyExistsError",
    "PERMISSION_DENIED": "PermissionDeniedError",
    "RESOURCE_EXHAUSTED": "ResourceExhaustedError",
    "FAILED_PRECONDITION": "FailedPreconditionError",
    "UNAUTHENTICATED": "UnauthenticatedError",
    "UNAVAILABLE": "UnavailableError",
    "DEADLINE_EXCEEDED": "DeadlineExceededError",
}


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
def test_every_status_has_its_error(status: grpc.StatusCode) -> None:
    error = error_for(status.value[0], "k: 0, allowed are 1 to 1000")
    assert type(error).__name__ == EXPECTED.get(status.name, "ServerFaultError")
    assert isinstance(error, FarnearError)
    assert "k: 0, allowed are 1 to 1000" in str(error)


def test_a_refusal_is_told_from_a_failure() -> None:
    refusals = {kind.__name__ for kind in RefusedByServerError.__subclasses__()}
    assert refusals == set(EXPECTED.values()) - {"UnavailableError", "DeadlineExceededError"}


def test_the_tree_in_the_docstring_names_every_error() -> None:
    classes = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert [name for name in classes if f" {name}" not in (errors.__doc__ or "")] == []
