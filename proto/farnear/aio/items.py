"""The calls about items; `farnear.client.items` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from farnear.aio.connection import Connection
from farnear.channel import DELETE_ITEMS_BATCH, UPSERT_WINDOW
from farnear.filters import Where
from farnear.inputs import NewItem, batches, portions
from farnear.results import Item, ItemImage, UpsertOutcome
from farnear.v1 import items_pb2
from farnear.wire.items import (
    read_item,
    read_item_image,
    read_outcomes,
    to_count_request,
    to_list_request,
    to_upsert_request,
)


class ItemCalls(Connection):
    """Stores, finds, counts and deletes items."""

    async def upsert(
        self, collection: str, items: Iterable[NewItem], *, timeout: float | None = None
    ) -> list[UpsertOutcome]:
        """Stores items in batches, one outcome each; see `Client.upsert`."""
        outcomes: list[UpsertOutcome] = []
        for batch in batches(items):
            request = to_upsert_request(collection, batch)
            outcomes += read_outcomes((await self._call(self._items.UpsertItems, request, timeout)).results)
        return outcomes

    async def upsert_stream(
        self, collection: str, items: Iterable[NewItem], *, timeout: float | None = None
    ) -> AsyncIterator[UpsertOutcome]:
        """Stores items with several batches on their way at a time; see `Client.upsert_stream`.

        Here each batch is a call of its own, and so retried: a stream of gRPC's asyncio can lose the status that the
        service ends it with (https://github.com/grpc/grpc/issues/36066).
        """
        under_way: deque[tuple[set[str], asyncio.Task[items_pb2.UpsertItemsResponse]]] = deque()
        try:
            for batch in batches(items):
                item_ids = {item.item_id for item in batch}
                # Calls that overlap may end in any order, and of two items with the same id the later one must stand.
                while any(not item_ids.isdisjoint(others) for others, _ in under_way):
                    for outcome in await _first(under_way):
                        yield outcome
                request = to_upsert_request(collection, batch)
                call = asyncio.create_task(self._call(self._items.UpsertItems, request, timeout))
                under_way.append((item_ids, call))
                if len(under_way) == UPSERT_WINDOW:
                    for outcome in await _first(under_way):
                        yield outcome
            while under_way:
                for outcome in await _first(under_way):
                    yield outcome
        finally:
            calls = [call for _, call in under_way]
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def get_item(self, collection: str, item_id: str, *, timeout: float | None = None) -> Item:
        """One item by id; see `Client.get_item`."""
        request = items_pb2.GetItemRequest(collection=collection, item_id=item_id)
        return read_item((await self._call(self._items.GetItem, request, timeout)).item)

    async def get_item_image(self, collection: str, item_id: str, *, timeout: float | None = None) -> ItemImage:
        """The image that is kept of an item; see `Client.get_item_image`."""
        request = items_pb2.GetItemImageRequest(collection=collection, item_id=item_id)
        return read_item_image(await self._call(self._items.GetItemImage, request, timeout))

    async def list_items(
        self, collection: str, *, where: Where | None = None, timeout: float | None = None
    ) -> AsyncIterator[Item]:
        """The items that match, or all, in order of id; see `Client.list_items`."""
        request = to_list_request(collection, where)
        async for page in self._pages(self._items.ListItems, request, timeout):
            for item in page.items:
                yield read_item(item)

    async def count_items(self, collection: str, *, where: Where | None = None, timeout: float | None = None) -> int:
        """How many items match; see `Client.count_items`."""
        return (await self._call(self._items.CountItems, to_count_request(collection, where), timeout)).count

    async def delete_items(self, collection: str, item_ids: Iterable[str], *, timeout: float | None = None) -> int:
        """Deletes items by id and counts those that were there; see `Client.delete_items`."""
        deleted_count = 0
        for portion in portions(item_ids, DELETE_ITEMS_BATCH):
            request = items_pb2.DeleteItemsRequest(collection=collection, item_ids=portion)
            deleted_count += (await self._call(self._items.DeleteItems, request, timeout)).deleted_count
        return deleted_count


async def _first(
    under_way: "deque[tuple[set[str], asyncio.Task[items_pb2.UpsertItemsResponse]]]",
) -> list[UpsertOutcome]:
    _, call = under_way.popleft()
    return read_outcomes((await call).results)
