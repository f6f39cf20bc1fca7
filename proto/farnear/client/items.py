"""The calls about items."""

from collections.abc import Iterable, Iterator
from queue import SimpleQueue

from farnear.channel import DELETE_ITEMS_BATCH, UPSERT_WINDOW, cut_short
from farnear.client.connection import Connection
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
    to_stream_request,
    to_upsert_request,
)


class ItemCalls(Connection):
    """Stores, finds, counts and deletes items."""

    def upsert(self, collection: str, items: Iterable[NewItem], *, timeout: float | None = None) -> list[UpsertOutcome]:
        """Stores items; one whose id is there already is replaced. What was acknowledged is on the service's disk.

        The items are read lazily and sent one batch after the other, of at most 128 images, 1,000 items and 16 MiB. If
        a call fails the calls before it stand, and repeating the whole is safe. `upsert_stream` is faster for many.

        Returns:
            One outcome for each item, in order. A refused item never fails its neighbours.
        """
        outcomes: list[UpsertOutcome] = []
        for batch in batches(items):
            request = to_upsert_request(collection, batch)
            outcomes += read_outcomes(self._call(self._items.UpsertItems, request, timeout).results)
        return outcomes

    def upsert_stream(
        self, collection: str, items: Iterable[NewItem], *, timeout: float | None = None
    ) -> Iterator[UpsertOutcome]:
        """Stores items like `upsert`, with several batches on their way at a time, as its outcomes are consumed.

        The items are read lazily, in the caller's thread, at most four batches ahead of the answers, so a generator may
        yield millions. The timeout is for each answer. A stream that breaks is not retried: what was answered for is
        stored, and repeating the whole is safe.

        Yields:
            One outcome for each item, in order. A refused item never fails its neighbours.
        """
        outbox: SimpleQueue[items_pb2.StreamUpsertItemsRequest | None] = SimpleQueue()
        stream = self._items.StreamUpsertItems(iter(outbox.get, None))

        def outcomes() -> list[UpsertOutcome]:
            answer = self._answer(stream, timeout)
            if answer is None:
                raise cut_short(address=self._address)
            return read_outcomes(answer.results)

        try:
            unanswered = 0
            for batch in batches(items):
                outbox.put(to_stream_request(collection, batch))
                unanswered += 1
                if unanswered == UPSERT_WINDOW:
                    yield from outcomes()
                    unanswered -= 1
            outbox.put(None)
            for _ in range(unanswered):
                yield from outcomes()
            self._answer(stream, timeout)  # the end: a call that is cancelled before it counts as failed
        finally:
            # A caller that stops early must leave neither the service nor gRPC's sending thread waiting for more.
            outbox.put(None)
            stream.cancel()

    def get_item(self, collection: str, item_id: str, *, timeout: float | None = None) -> Item:
        """One item by id; `NotFoundError` if there is none."""
        request = items_pb2.GetItemRequest(collection=collection, item_id=item_id)
        return read_item(self._call(self._items.GetItem, request, timeout).item)

    def get_item_image(self, collection: str, item_id: str, *, timeout: float | None = None) -> ItemImage:
        """The image that is kept of an item, the original or a thumbnail.

        Raises:
            NotFoundError: If there is no such item.
            FailedPreconditionError: If no image of it is kept.
        """
        request = items_pb2.GetItemImageRequest(collection=collection, item_id=item_id)
        return read_item_image(self._call(self._items.GetItemImage, request, timeout))

    def list_items(
        self, collection: str, *, where: Where | None = None, timeout: float | None = None
    ) -> Iterator[Item]:
        """The items that match, or all, in order of id (by bytes), fetched page by page as they are consumed."""
        request = to_list_request(collection, where)
        for page in self._pages(self._items.ListItems, request, timeout):
            yield from map(read_item, page.items)

    def count_items(self, collection: str, *, where: Where | None = None, timeout: float | None = None) -> int:
        """How many items match, or how many there are."""
        return self._call(self._items.CountItems, to_count_request(collection, where), timeout).count

    def delete_items(self, collection: str, item_ids: Iterable[str], *, timeout: float | None = None) -> int:
        """Deletes items by id and tells how many of the ids were there. Unknown ids are no error."""
        deleted_count = 0
        for portion in portions(item_ids, DELETE_ITEMS_BATCH):
            request = items_pb2.DeleteItemsRequest(collection=collection, item_ids=portion)
            deleted_count += self._call(self._items.DeleteItems, request, timeout).deleted_count
        return deleted_count
