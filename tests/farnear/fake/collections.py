# ruff: noqa: N802 - servicer methods are named by the contract
from typing import Any

import grpc
from farnear.v1 import collections_pb2

from tests.farnear.fake.base import DIGESTS, FakeBase, StoredCollection, made


class FakeCollections(FakeBase):
    def CreateCollection(self, request: Any, context: Any) -> collections_pb2.CreateCollectionResponse:
        self.enter("CreateCollection", request, context)
        if request.name in self.collections:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"name: {request.name!r} is taken")
        self._check_bundle(request.bundle, context)
        self.collections[request.name] = StoredCollection(
            bundle=request.bundle,
            retention=request.image_retention,
            index=request.index,
            attributes=dict(request.attributes),
        )
        return collections_pb2.CreateCollectionResponse(collection=self._describe(request.name))

    def GetCollection(self, request: Any, context: Any) -> collections_pb2.GetCollectionResponse:
        self.enter("GetCollection", request, context)
        stored = self.collection(request.name, context)
        response = collections_pb2.GetCollectionResponse(collection=self._describe(request.name))
        if stored.activation is not None:
            self._go_on(stored, stored.activation)
        return response

    def ListCollections(self, request: Any, context: Any) -> collections_pb2.ListCollectionsResponse:
        self.enter("ListCollections", request, context)
        names, token = self.page(sorted(self.collections), request.page_token)
        return collections_pb2.ListCollectionsResponse(
            collections=[self._describe(name) for name in names], next_page_token=token
        )

    def ActivateBundle(self, request: Any, context: Any) -> collections_pb2.ActivateBundleResponse:
        self.enter("ActivateBundle", request, context)
        stored = self.collection(request.collection, context)
        self._check_bundle(request.bundle, context)
        if stored.activation is not None:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"bundle: a move to {stored.activation.bundle} goes on")
        stored.activation = collections_pb2.Activation(
            bundle=request.bundle, bundle_digest=DIGESTS[request.bundle], item_count=len(stored.items)
        )
        return collections_pb2.ActivateBundleResponse(collection=self._describe(request.collection))

    def DeleteCollection(self, request: Any, context: Any) -> collections_pb2.DeleteCollectionResponse:
        self.enter("DeleteCollection", request, context)
        count = len(self.collection(request.name, context).items)
        with self.changed:
            del self.collections[request.name]
            self.changed.notify_all()
        return collections_pb2.DeleteCollectionResponse(deleted_item_count=count)

    def _go_on(self, stored: StoredCollection, activation: collections_pb2.Activation) -> None:
        """Embeds half of the items between one look and the next."""
        if activation.done_count < activation.item_count:
            activation.done_count = min(activation.item_count, activation.done_count + activation.item_count // 2)
            return
        stored.activation = None
        if self.activation_fails:
            stored.activation_error = "store: the disk is full"
        else:
            stored.bundle = activation.bundle

    def _check_bundle(self, bundle: str, context: Any) -> None:
        if bundle not in DIGESTS:
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"bundle: {bundle!r} is not served; served are: {', '.join(DIGESTS)}"
            )

    def _describe(self, name: str) -> collections_pb2.Collection:
        stored = self.collections[name]
        return collections_pb2.Collection(
            name=name,
            bundle=stored.bundle,
            bundle_digest=DIGESTS[stored.bundle],
            item_count=len(stored.items),
            embedding_dim=3,
            create_time=made(),
            image_retention=stored.retention,  # type: ignore[arg-type]  # an enum's number
            attributes=stored.attributes,  # type: ignore[arg-type]  # an enum's numbers
            index=stored.index,
            activation=stored.activation,
            activation_error=stored.activation_error,
        )
