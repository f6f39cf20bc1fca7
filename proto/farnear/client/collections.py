"""The calls about collections."""

import time
from collections.abc import Iterator, Mapping

from farnear.attributes import AttributeType
from farnear.channel import ACTIVATION_POLL_S
from farnear.client.connection import Connection
from farnear.inputs import ImageRetention, IndexSettings
from farnear.results import Collection
from farnear.v1 import collections_pb2
from farnear.wire.collections import read_collection, to_create_request


class CollectionCalls(Connection):
    """Makes, lists, moves and deletes collections."""

    def create_collection(
        self,
        name: str,
        *,
        bundle: str,
        image_retention: ImageRetention = ImageRetention.ORIGINAL,
        attributes: Mapping[str, AttributeType] | None = None,
        index: IndexSettings | None = None,
        timeout: float | None = None,
    ) -> Collection:
        """Makes an empty collection.

        Args:
            name: 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', starting with a letter or digit.
            bundle: The name of a served bundle.
            image_retention: What to keep of images; `activate_bundle` needs the originals.
            attributes: Types of attributes by name. Others are taken up with the type of their first value; 64 in all.
            index: How to search it; by default every item is compared.
            timeout: See the class.

        Raises:
            AlreadyExistsError: If the name is taken.
            NotFoundError: If the bundle is not served.
        """
        request = to_create_request(name, bundle, image_retention, attributes or {}, index or IndexSettings())
        return read_collection(self._call(self._collections.CreateCollection, request, timeout).collection)

    def get_collection(self, name: str, *, timeout: float | None = None) -> Collection:
        """One collection by name; `NotFoundError` if there is none."""
        request = collections_pb2.GetCollectionRequest(name=name)
        return read_collection(self._call(self._collections.GetCollection, request, timeout).collection)

    def list_collections(self, *, timeout: float | None = None) -> Iterator[Collection]:
        """All collections in order of name."""
        request = collections_pb2.ListCollectionsRequest()
        for page in self._pages(self._collections.ListCollections, request, timeout):
            yield from map(read_collection, page.collections)

    def activate_bundle(self, collection: str, bundle: str, *, timeout: float | None = None) -> Collection:
        """Begins to move a collection to another bundle, and returns it as it stands; `watch_activation` waits.

        The service embeds every kept original anew in the background, and then swaps vectors, index and map at once.
        Until then the old ones answer. A restart of the service goes on with it.

        Raises:
            NotFoundError: If there is no such collection, or the bundle is not served.
            FailedPreconditionError: If an item's original is not kept, or another move is under way.
        """
        request = collections_pb2.ActivateBundleRequest(collection=collection, bundle=bundle)
        return read_collection(self._call(self._collections.ActivateBundle, request, timeout).collection)

    def watch_activation(
        self, collection: str, *, interval: float = ACTIVATION_POLL_S, timeout: float | None = None
    ) -> Iterator[Collection]:
        """The collection as it stands, every `interval` seconds, until no move to another bundle is under way.

        Example:
            >>> for state in client.watch_activation("cells"):
            ...     if state.activation is not None:
            ...         print(state.activation.done_count, "of", state.activation.item_count)

        The last state has no activation; its `bundle_digest` tells whether the move was made.
        """
        while True:
            state = self.get_collection(collection, timeout=timeout)
            yield state
            if state.activation is None:
                return
            time.sleep(interval)

    def delete_collection(self, name: str, *, timeout: float | None = None) -> int:
        """Deletes a collection with its items, kept images, interactions and map, and tells how many items went."""
        request = collections_pb2.DeleteCollectionRequest(name=name)
        return self._call(self._collections.DeleteCollection, request, timeout).deleted_item_count
