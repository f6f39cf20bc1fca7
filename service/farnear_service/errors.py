"""What the service refuses, and why.

    ServiceError
    ├── InvalidError          the request itself is at fault
    ├── NotFoundError         no such collection, item, bundle or cluster
    ├── AlreadyExistsError    the name is taken
    ├── PreconditionError     right in itself, but not in the present state
    │   └── BundleError       a bundle that is damaged, incomplete or of another schema
    └── OverloadedError       no room now; the same request may succeed later

No error names the transport: `rpc` turns them into statuses. Every message names the field, what came, and what is
allowed.
"""


class ServiceError(Exception):
    """A request that the service understood and refuses; the message is for the caller."""


class InvalidError(ServiceError):
    """The request is at fault and will never succeed as it is."""


class NotFoundError(ServiceError):
    """What the request names is not there."""


class AlreadyExistsError(ServiceError):
    """What the request would make is there already."""


class PreconditionError(ServiceError):
    """The request does not fit the present state of the service."""


class BundleError(PreconditionError):
    """A model bundle cannot be served."""


class OverloadedError(ServiceError):
    """The service has no room for the request now."""
