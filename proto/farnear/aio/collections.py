"""The calls about collections; `farnear.client.collections` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

import asyncio
from collections.abc import AsyncIterator, Mapping

from farnear.aio.connection import Connection
from farnear.attributes import AttributeType
from farnear.channel import ACTIVATION_POLL_S
from farnear.inputs import ImageRetention, IndexSettings
from farnear.results import Collection
from farnear.v1 import collections_pb2
from farnear.wire.collections import read_collection, to_create_request


class CollectionCalls(Connection):
    """Makes, lists, moves and deletes collections."""

    async def create_collection(
        self,
        name: str,
        *,
        bundle: str,
        image_retention: ImageRetention = ImageRetention.ORIGINAL,
        attributes: Mapping[str, AttributeType] | None = None,
        index: IndexSettings | None = None,
        timeout: float | None = None,
    ) -> Collection:
        """Makes an empty collection; see `Client.create_collection`."""
        request = to_create_request(name, bundle, image_retention, attributes or {}, index or IndexSettings())
        return read_collection((await self._call(self._collections.CreateCollection, request, timeout)).collection)

    async def get_collection(self, name: str, *, timeout: float | None = None) -> Collection:
        """One collection by name; see `Client.get_collection`."""
        request = collections_pb2.GetCollectionRequest(name=name)
        return read_collection((await self._call(self._collections.GetCollection, request, timeout)).collection)

    async def list_collections(self, *, timeout: float | None = None) -> AsyncIterator[Collection]:
        """All collections in order of name; see `Client.list_collections`."""
        request = collections_pb2.ListCollectionsRequest()
        async for page in self._pages(self._collections.ListCollections, request, timeout):
            for collection in page.collections:
                yield read_collection(collection)

    async def activate_bundle(self, collection: str, bundle: str, *, timeout: float | None = None) -> Collection:
        """Begins to move a collection to another bundle; see `Client.activate_bundle`."""
        request = collections_pb2.ActivateBundleRequest(collection=collection, bundle=bundle)
        return read_collection((await self._call(self._collections.ActivateBundle, request, timeout)).collection)

    async def watch_activation(
        self, collection: str, *, interval: float = ACTIVATION_POLL_S, timeout: float | None = None
    ) -> AsyncIterator[Collection]:
        """The collection until no move to another bundle is under way; see `Client.watch_activation`."""
        while True:
            state = await self.get_collection(collection, timeout=timeout)
            yield state
            if state.activation is None:
                return
            await asyncio.sleep(interval)

    async def delete_collection(self, name: str, *, timeout: float | None = None) -> int:
        """Deletes a collection and counts its items; see `Client.delete_collection`."""
        request = collections_pb2.DeleteCollectionRequest(name=name)
        return (await self._call(self._collections.DeleteCollection, request, timeout)).deleted_item_count
