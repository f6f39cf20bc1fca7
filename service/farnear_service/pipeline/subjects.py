"""What queries ask about: vectors, stored items and images."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from farnear_service.errors import InvalidError, PreconditionError, ServiceError
from farnear_service.metrics import Metrics
from farnear_service.pipeline.catalog import Catalog
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.model import DecodedImage
from farnear_service.types import FloatArray, Image, ItemRef, Query, Vector, unit_vector

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is asked about: a unit vector, float32 (D,), and key and id where it is a stored item."""

    vector: FloatArray
    key: int | None = None
    item_id: str | None = None


class Subjects:
    """Turns the queries of requests into what they stand for."""

    def __init__(self, catalog: Catalog, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics

    async def subject(self, live: LiveCollection, query: Query | None, *, patient: bool) -> Subject:
        """The vector of a query."""
        match query:
            case ItemRef(item_id=item_id):
                key, vector = await asyncio.to_thread(self._catalog.store.vector, live.record, item_id)
                return Subject(vector=vector, key=key, item_id=item_id)
            case Vector():
                return Subject(vector=own_vector(live, query))
            case Image(data=data):
                return Subject(vector=await self._catalog.model_of(live).embed(data, patient=patient))
            case None:
                raise InvalidError("query.subject: is not set; allowed are image, item_id and vector")

    async def image(self, live: LiveCollection, query: Image | ItemRef) -> DecodedImage:
        """The image of a query; PreconditionError where an item's is not kept."""
        match query:
            case ItemRef(item_id=item_id):
                data = await asyncio.to_thread(self._catalog.store.image, live.record, item_id)
            case Image(data=data):
                pass
        return await self._catalog.model_of(live).decode(data)

    async def image_if_kept(self, live: LiveCollection, query: Query | None) -> Image | ItemRef | None:
        """The query itself where `image` finds one for it, else None; NotFoundError where it is no item any more."""
        match query:
            case ItemRef(item_id=item_id):
                item = await asyncio.to_thread(self._catalog.store.item, live.record, item_id)
                return query if item.has_image else None
            case Image():
                return query
            case _:
                return None

    async def settled(self, work: Sequence[Awaitable[T]]) -> list[T | ServiceError]:
        """All results in order, a refusal in place of the result of what was refused."""

        async def settle(one: Awaitable[T]) -> T | ServiceError:
            try:
                return await one
            except ServiceError as error:
                self._metrics.refused_entries.labels(type(error).__name__).inc()
                return error

        if len(work) == 1:
            return [await settle(work[0])]  # a task of its own would cost a small request more than all of this
        return await asyncio.gather(*(settle(one) for one in work))


def with_image(query: Query | None) -> Image | ItemRef:
    """A query that can have an image; InvalidError for what has none."""
    if isinstance(query, Image | ItemRef):
        return query
    came = "not set" if query is None else "a vector"
    raise InvalidError(f"query.subject: is {came}; allowed are image and item_id")


def own_vector(live: LiveCollection, vector: Vector) -> FloatArray:
    """A ready vector as a unit vector; PreconditionError for one of another bundle than the collection's."""
    if vector.bundle_digest != live.record.bundle_digest:
        raise PreconditionError(
            f"vector.bundle_digest: is {vector.bundle_digest!r}; the collection is under {live.record.bundle_digest!r}"
        )
    return unit_vector("vector.values", vector.values, live.record.dim)
