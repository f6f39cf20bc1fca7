# ruff: noqa: N802 - servicer methods are named by the contract
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from farnear.v1 import collections_pb2, items_pb2, types_pb2

from tests.farnear.fake.base import EntryError, FakeBase, StoredCollection, StoredItem, embed, made, read_vector
from tests.farnear.fake.filters import matching

_TYPES = {
    "string_value": types_pb2.ATTRIBUTE_TYPE_STRING,
    "number_value": types_pb2.ATTRIBUTE_TYPE_NUMBER,
    "bool_value": types_pb2.ATTRIBUTE_TYPE_BOOL,
    "timestamp_value": types_pb2.ATTRIBUTE_TYPE_TIMESTAMP,
}


class FakeItems(FakeBase):
    def UpsertItems(self, request: Any, context: Any) -> items_pb2.UpsertItemsResponse:
        self.enter("UpsertItems", request, context)
        stored = self.collection(request.collection, context)
        return items_pb2.UpsertItemsResponse(results=[_upsert(stored, new) for new in request.items])

    def StreamUpsertItems(self, requests: Any, context: Any) -> Iterator[items_pb2.StreamUpsertItemsResponse]:
        context.add_callback(self.stream_ended.set)
        for number, request in enumerate(requests):
            self.enter("StreamUpsertItems", request, context)
            if number == self.answers_to_end:
                return
            stored = self.collection(request.collection, context)
            yield items_pb2.StreamUpsertItemsResponse(results=[_upsert(stored, new) for new in request.items])

    def GetItem(self, request: Any, context: Any) -> items_pb2.GetItemResponse:
        self.enter("GetItem", request, context)
        stored = self._item(request, context)
        return items_pb2.GetItemResponse(item=_describe(request.item_id, stored))

    def GetItemImage(self, request: Any, context: Any) -> items_pb2.GetItemImageResponse:
        self.enter("GetItemImage", request, context)
        image = self._item(request, context).image
        if image is None:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"item_id: no image is kept of {request.item_id!r}")
        assert image is not None
        retention = self.collections[request.collection].retention
        return items_pb2.GetItemImageResponse(
            image=self.picture or image,
            media_type="image/toy",
            original=retention != collections_pb2.IMAGE_RETENTION_THUMBNAIL,
        )

    def ListItems(self, request: Any, context: Any) -> items_pb2.ListItemsResponse:
        self.enter("ListItems", request, context)
        stored = self.collection(request.collection, context)
        ids, token = self.page(matching(stored, request, context), request.page_token)
        return items_pb2.ListItemsResponse(
            items=[_describe(name, stored.items[name]) for name in ids], next_page_token=token
        )

    def CountItems(self, request: Any, context: Any) -> items_pb2.CountItemsResponse:
        self.enter("CountItems", request, context)
        stored = self.collection(request.collection, context)
        return items_pb2.CountItemsResponse(count=len(matching(stored, request, context)))

    def DeleteItems(self, request: Any, context: Any) -> items_pb2.DeleteItemsResponse:
        self.enter("DeleteItems", request, context)
        items = self.collection(request.collection, context).items
        return items_pb2.DeleteItemsResponse(
            deleted_count=sum(items.pop(name, None) is not None for name in request.item_ids)
        )

    def _item(self, request: Any, context: Any) -> StoredItem:
        items = self.collection(request.collection, context).items
        if request.item_id not in items:
            context.abort(grpc.StatusCode.NOT_FOUND, f"item_id: {request.item_id!r} is not there")
        return items[request.item_id]


def _upsert(stored: StoredCollection, new: items_pb2.NewItem) -> items_pb2.UpsertResult:
    types = {name: _TYPES[str(value.WhichOneof("kind"))] for name, value in new.attributes.items()}
    try:
        _check(types, stored)
        vector = embed(new.image) if new.HasField("image") else read_vector(new.vector)
    except EntryError as error:
        return items_pb2.UpsertResult(item_id=new.item_id, error=error.message)
    stored.attributes.update(types)
    kept = stored.retention != collections_pb2.IMAGE_RETENTION_NONE and new.HasField("image")
    stored.items[new.item_id] = StoredItem(
        label=new.label,
        vector=vector,
        image=new.image if kept else None,
        attributes=dict(new.attributes),
        source_uri=new.source_uri,
    )
    return items_pb2.UpsertResult(item_id=new.item_id)


def _check(types: Mapping[str, int], stored: StoredCollection) -> None:
    for name, kind in types.items():
        if stored.attributes.get(name, kind) != kind:
            raise EntryError(3, f"attributes[{name!r}]: is of another type than in the collection")


def _describe(item_id: str, item: StoredItem) -> types_pb2.Item:
    return types_pb2.Item(
        item_id=item_id,
        label=item.label,
        cluster=item.cluster,
        create_time=made(),
        has_image=item.image is not None,
        attributes=item.attributes,
        source_uri=item.source_uri,
    )
