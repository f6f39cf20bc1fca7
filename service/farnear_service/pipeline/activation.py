"""Embedding a collection anew, for its move to another bundle."""

import asyncio

from farnear_service.errors import InvalidError, PreconditionError
from farnear_service.pipeline.model import Model
from farnear_service.store import Store
from farnear_service.types import Collection, FloatArray

PART = 64  # images read, embedded and written at a time


async def embed_anew(store: Store, record: Collection, model: Model) -> None:
    """Gives every item of a collection its vector under `model`, beside the one that answers; goes on where it stopped.

    What is written meanwhile is embedded too. Raises PreconditionError for an item that `model` gives no vector.
    """
    while part := await asyncio.to_thread(store.to_embed, record, PART):
        await asyncio.to_thread(
            store.embedded, record, await asyncio.gather(*(_embedded(model, key, image) for key, image in part))
        )


async def _embedded(model: Model, key: int, image: bytes) -> tuple[int, FloatArray]:
    try:
        return key, await model.embed(image, patient=True)
    except InvalidError as error:
        raise PreconditionError(f"item with key {key}: its kept image cannot be embedded ({error})") from error
