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

    async def subject(
        self, live: LiveCollection, query: Query | None, *, patient: bool, decoded: DecodedImage | None = None
    ) -> Subject:
        """The vector of a query. `decoded` is its image, where it has one that was decoded before."""
        match query:
            case ItemRef(item_id=item_id):
                key, vector = await asyncio.to_thread(self._catalog.store.vector, live.record, item_id)
                return Subject(vector=vector, key=key, item_id=item_id)
            case Vector():
                return Subject(vector=own_vector(live, query))
            case Image(data=data):
                model = self._catalog.model_of(live)
                image = await model.decode(data) if decoded is None else decoded
                return Subject(vector=await model.embed_decoded(image, patient=patient))
            case None:
                raise InvalidError("query.subject: is not set; allowed are image, item_id and vector")

    async def image(self, live: LiveCollection, query: Query | None) -> DecodedImage:
        """The image of a query; PreconditionError where an item's is not kept."""
        match query:
            case ItemRef(item_id=item_id):
                data = await asyncio.to_thread(self._catalog.store.image, live.record, item_id)
            case Image(data=data):
                pass
            case Vector() | None:
                came = "not set" if query is None else "a vector"
                raise InvalidError(f"query.subject: is {came}; allowed are image and item_id")
        return await self._catalog.model_of(live).decode(data)

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


def own_vector(live: LiveCollection, vector: Vector) -> FloatArray:
    """A ready vector as a unit vector; PreconditionError for one of another bundle than the collection's."""
    if vector.bundle_digest != live.record.bundle_digest:
        raise PreconditionError(
            f"vector.bundle_digest: is {vector.bundle_digest!r}; the collection is under {live.record.bundle_digest!r}"
        )
    return unit_vector("vector.values", vector.values, live.record.dim)
