"""Questions that overlap with the moment in which a collection moves to another bundle."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from farnear_service.errors import ServiceError
from farnear_service.pipeline.catalog import Catalog

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class HasCatalog(Protocol):
    """What asks questions of the collections of a catalog."""

    catalog: Catalog


Asker = TypeVar("Asker", bound=HasCatalog)


def again_after_a_move(
    ask: Callable[Concatenate[Asker, str, Arguments], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Asker, str, Arguments], Coroutine[Any, Any, Result]]:
    """Asks the collection of this name again where it moved meanwhile.

    From the moment in which the store swaps the vectors until the new collection stands, the store knows nothing of
    the one that answered so far: what was asked by id would not be found.
    """

    @wraps(ask)
    async def asked(asker: Asker, name: str, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        while True:
            live = asker.catalog.live(name)
            try:
                result = await ask(asker, name, *args, **kwargs)
            except ServiceError:
                if not await asker.catalog.has_moved(live):
                    raise
            else:
                if not await asker.catalog.has_moved(live):
                    return result

    return asked
