"""The services of the contract but that for clusters, each a thin turn of words around the pipeline."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

import grpc
from farnear.v1 import (
    collections_pb2,
    collections_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
    items_pb2,
    items_pb2_grpc,
    recommend_pb2,
    recommend_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)

from farnear_service.errors import InvalidError
from farnear_service.pipeline import Answer, Pipeline
from farnear_service.rpc import conditions, heatmaps, hits, pages, wire
from farnear_service.rpc.status import item_error
from farnear_service.types import ExplainTarget

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

STREAM_DEPTH = 4  # batches of one stream that wait for their answer


class Collections(collections_pb2_grpc.CollectionsServiceServicer):
    """See proto/farnear/v1/collections.proto."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def CreateCollection(
        self, request: collections_pb2.CreateCollectionRequest, context: Context
    ) -> collections_pb2.CreateCollectionResponse:
        record = await self._pipeline.catalog.create_collection(
            request.name,
            request.bundle,
            wire.retention(request.image_retention),
            wire.schema(request.attributes),
            wire.index_settings(request.index),
        )
        return collections_pb2.CreateCollectionResponse(collection=wire.collection_message(record, 0))

    async def GetCollection(
        self, request: collections_pb2.GetCollectionRequest, context: Context
    ) -> collections_pb2.GetCollectionResponse:
        return collections_pb2.GetCollectionResponse(collection=self._collection(request.name))

    async def ActivateBundle(
        self, request: collections_pb2.ActivateBundleRequest, context: Context
    ) -> collections_pb2.ActivateBundleResponse:
        await self._pipeline.catalog.activate(request.collection, request.bundle)
        return collections_pb2.ActivateBundleResponse(collection=self._collection(request.collection))

    async def ListCollections(
        self, request: collections_pb2.ListCollectionsRequest, context: Context
    ) -> collections_pb2.ListCollectionsResponse:
        size = pages.page_size(request.page_size, default=100, limit=1000)
        after = pages.page_start(request)
        records = [record for record, _ in self._pipeline.catalog.collections()]
        names = [record.name for record in records if after is None or record.name > after]
        page = names[:size]
        return collections_pb2.ListCollectionsResponse(
            collections=[self._collection(name) for name in page],
            next_page_token=pages.page_token(request, page[-1]) if len(names) > size else "",
        )

    def _collection(self, name: str) -> collections_pb2.Collection:
        catalog = self._pipeline.catalog
        return wire.collection_message(
            *catalog.collection(name), catalog.activation(name), catalog.activation_error(name)
        )

    async def DeleteCollection(
        self, request: collections_pb2.DeleteCollectionRequest, context: Context
    ) -> collections_pb2.DeleteCollectionResponse:
        count = await self._pipeline.catalog.delete_collection(request.name)
        return collections_pb2.DeleteCollectionResponse(deleted_item_count=count)


class Items(items_pb2_grpc.ItemsServiceServicer):
    """See proto/farnear/v1/items.proto."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def UpsertItems(
        self, request: items_pb2.UpsertItemsRequest, context: Context
    ) -> items_pb2.UpsertItemsResponse:
        return items_pb2.UpsertItemsResponse(results=await self._upsert(request.collection, request.items))

    async def StreamUpsertItems(
        self, request_iterator: AsyncIterator[items_pb2.StreamUpsertItemsRequest], context: Context
    ) -> AsyncIterator[items_pb2.StreamUpsertItemsResponse]:
        under_way = asyncio.Queue[asyncio.Task[list[items_pb2.UpsertResult]] | None](STREAM_DEPTH)
        reading = asyncio.create_task(self._read_stream(request_iterator, under_way))
        try:
            while (batch := await under_way.get()) is not None:
                yield items_pb2.StreamUpsertItemsResponse(results=await batch)
            await reading  # raises what ended it
        finally:
            reading.cancel()

    async def _read_stream(
        self,
        requests: AsyncIterator[items_pb2.StreamUpsertItemsRequest],
        under_way: asyncio.Queue[asyncio.Task[list[items_pb2.UpsertResult]] | None],
    ) -> None:
        collection = ""
        try:
            async for request in requests:
                collection = _same_collection(collection, request.collection)
                await under_way.put(asyncio.create_task(self._upsert(collection, request.items)))
        finally:
            await under_way.put(None)

    async def _upsert(self, collection: str, items: Sequence[items_pb2.NewItem]) -> list[items_pb2.UpsertResult]:
        outcomes = await self._pipeline.upsert(collection, [wire.new_item(item) for item in items])
        return [
            items_pb2.UpsertResult(item_id=item.item_id, error=None if outcome is None else item_error(outcome))
            for item, outcome in zip(items, outcomes, strict=True)
        ]

    async def GetItemImage(
        self, request: items_pb2.GetItemImageRequest, context: Context
    ) -> items_pb2.GetItemImageResponse:
        return wire.image_message(await self._pipeline.item_image(request.collection, request.item_id))

    async def CountItems(self, request: items_pb2.CountItemsRequest, context: Context) -> items_pb2.CountItemsResponse:
        count = await self._pipeline.count(request.collection, conditions.where(request))
        return items_pb2.CountItemsResponse(count=count)

    async def GetItem(self, request: items_pb2.GetItemRequest, context: Context) -> items_pb2.GetItemResponse:
        return items_pb2.GetItemResponse(
            item=wire.item_message(await self._pipeline.item(request.collection, request.item_id))
        )

    async def ListItems(self, request: items_pb2.ListItemsRequest, context: Context) -> items_pb2.ListItemsResponse:
        size = pages.page_size(request.page_size, default=1000, limit=10_000)
        items = await self._pipeline.items(
            request.collection,
            after=pages.page_start(request),
            limit=size + 1,
            where=conditions.where(request),
        )
        return items_pb2.ListItemsResponse(
            items=[wire.item_message(item) for item in items[:size]],
            next_page_token=pages.page_token(request, items[size - 1].item_id) if len(items) > size else "",
        )

    async def DeleteItems(
        self, request: items_pb2.DeleteItemsRequest, context: Context
    ) -> items_pb2.DeleteItemsResponse:
        count = await self._pipeline.delete_items(request.collection, request.item_ids)
        return items_pb2.DeleteItemsResponse(deleted_count=count)


class Search(search_pb2_grpc.SearchServiceServicer):
    """See proto/farnear/v1/search.proto."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def Search(self, request: search_pb2.SearchRequest, context: Context) -> search_pb2.SearchResponse:
        results = await self._pipeline.search(
            request.collection,
            [wire.query(query) for query in request.queries],
            wire.direction(request.direction),
            request.k,
            where=conditions.where(request),
            behind=pages.search_page_start(request),
            explain=heatmaps.explain_hits(request.explain) if request.HasField("explain") else None,
        )
        pageable = len(request.queries) == 1
        return search_pb2.SearchResponse(
            results=[
                hits.search_message(
                    answer,
                    pages.search_page_token(request, answer.behind) if pageable and isinstance(answer, Answer) else "",
                )
                for answer in results
            ]
        )


class Explain(explain_pb2_grpc.ExplainServiceServicer):
    """See proto/farnear/v1/explain.proto."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def Explain(self, request: explain_pb2.ExplainRequest, context: Context) -> explain_pb2.ExplainResponse:
        results = await self._pipeline.explain(
            request.collection,
            [wire.query(query) for query in request.queries],
            target=heatmaps.target(request.target) or ExplainTarget.SELF,
            others=[wire.query(query) for query in request.others],
            picture=heatmaps.picture(request.picture),
        )
        return explain_pb2.ExplainResponse(results=[heatmaps.explanation_message(result) for result in results])


class Recommend(recommend_pb2_grpc.RecommendServiceServicer):
    """See proto/farnear/v1/recommend.proto."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: Context
    ) -> recommend_pb2.RecommendResponse:
        found = await self._pipeline.recommendations.recommend(
            request.collection,
            wire.wish(request, conditions.where(request)),
            explain=heatmaps.explain_hits(request.explain) if request.HasField("explain") else None,
        )
        return recommend_pb2.RecommendResponse(hits=hits.hit_messages(found))

    async def RecordInteractions(
        self, request: recommend_pb2.RecordInteractionsRequest, context: Context
    ) -> recommend_pb2.RecordInteractionsResponse:
        now = time.time()
        await self._pipeline.recommendations.record(
            request.collection, request.user, [wire.interaction(entry, now) for entry in request.interactions]
        )
        return recommend_pb2.RecordInteractionsResponse()

    async def ListInteractions(
        self, request: recommend_pb2.ListInteractionsRequest, context: Context
    ) -> recommend_pb2.ListInteractionsResponse:
        size = pages.page_size(request.page_size, default=1000, limit=10_000)
        found = await self._pipeline.recommendations.interactions(
            request.collection, request.user, behind=pages.interaction_start(request), limit=size + 1
        )
        return recommend_pb2.ListInteractionsResponse(
            interactions=[wire.interaction_message(entry) for entry in found[:size]],
            next_page_token=pages.interaction_token(request, found[size - 1]) if len(found) > size else "",
        )

    async def DeleteInteractions(
        self, request: recommend_pb2.DeleteInteractionsRequest, context: Context
    ) -> recommend_pb2.DeleteInteractionsResponse:
        count = await self._pipeline.recommendations.forget(request.collection, request.user)
        return recommend_pb2.DeleteInteractionsResponse(deleted_count=count)


def _same_collection(before: str, now: str) -> str:
    if before and now and now != before:
        raise InvalidError(f"collection: is {now!r} after {before!r}; allowed is one collection a stream")
    return now or before
