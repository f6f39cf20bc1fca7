"""Items: those to store, those that are stored, and their kept images."""

from collections.abc import Iterable

from farnear.filters import Where, to_filter
from farnear.inputs import NewItem
from farnear.results import Item, ItemImage, UpsertOutcome
from farnear.v1 import items_pb2, types_pb2
from farnear.wire.values import read_attributes, read_error, read_time, to_attributes

_LIST_PAGE = 1000  # with attributes an item can have 36 KiB: more of them could break the limit of a message


def to_upsert_request(collection: str, items: Iterable[NewItem]) -> items_pb2.UpsertItemsRequest:
    """Writes an UpsertItemsRequest."""
    return items_pb2.UpsertItemsRequest(collection=collection, items=[_to_new_item(item) for item in items])


def to_stream_request(collection: str, items: Iterable[NewItem]) -> items_pb2.StreamUpsertItemsRequest:
    """Writes one batch of a StreamUpsertItems."""
    return items_pb2.StreamUpsertItemsRequest(collection=collection, items=[_to_new_item(item) for item in items])


def to_list_request(collection: str, where: Where | None) -> items_pb2.ListItemsRequest:
    """Writes the request for the first page of a ListItems."""
    return items_pb2.ListItemsRequest(collection=collection, page_size=_LIST_PAGE, filter=to_filter(where))


def to_count_request(collection: str, where: Where | None) -> items_pb2.CountItemsRequest:
    """Writes a CountItemsRequest."""
    return items_pb2.CountItemsRequest(collection=collection, filter=to_filter(where))


def read_item(message: types_pb2.Item) -> Item:
    """Reads an Item."""
    return Item(
        item_id=message.item_id,
        label=message.label,
        cluster=message.cluster if message.HasField("cluster") else None,
        create_time=read_time(message.create_time),
        has_image=message.has_image,
        attributes=read_attributes(message.attributes),
        source_uri=message.source_uri,
    )


def read_item_image(response: items_pb2.GetItemImageResponse) -> ItemImage:
    """Reads a GetItemImageResponse."""
    return ItemImage(data=response.image, media_type=response.media_type, original=response.original)


def read_outcomes(results: Iterable[items_pb2.UpsertResult]) -> list[UpsertOutcome]:
    """Reads what became of a batch."""
    return [
        UpsertOutcome(item_id=result.item_id, error=read_error(result.error) if result.HasField("error") else None)
        for result in results
    ]


def _to_new_item(item: NewItem) -> items_pb2.NewItem:
    message = items_pb2.NewItem(
        item_id=item.item_id,
        label=item.label,
        attributes=to_attributes(item.attributes),
        source_uri=item.source_uri,
    )
    if isinstance(item.content, bytes):
        message.image = item.content
    else:
        # Filled in place, for the thousands of a batch: a message of its own would be copied.
        message.vector.values.extend(item.content.values)
        message.vector.bundle_digest = item.content.bundle_digest
    return message
