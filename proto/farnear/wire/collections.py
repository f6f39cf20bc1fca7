"""Collections, and their moves to another bundle."""

from collections.abc import Mapping

from farnear.attributes import AttributeType
from farnear.inputs import ImageRetention, IndexKind, IndexSettings
from farnear.results import Activation, Collection
from farnear.v1 import collections_pb2
from farnear.wire.values import read_time, read_types, to_types

_RETENTIONS = {
    ImageRetention.ORIGINAL: collections_pb2.IMAGE_RETENTION_ORIGINAL,
    ImageRetention.THUMBNAIL: collections_pb2.IMAGE_RETENTION_THUMBNAIL,
    ImageRetention.NONE: collections_pb2.IMAGE_RETENTION_NONE,
}
_KINDS = {
    IndexKind.FLAT: collections_pb2.INDEX_KIND_FLAT,
    IndexKind.APPROXIMATE: collections_pb2.INDEX_KIND_APPROXIMATE,
}
# UNSPECIFIED is the contract's word for the default.
_RETENTION_NAMES = {number: retention for retention, number in _RETENTIONS.items()} | {
    collections_pb2.IMAGE_RETENTION_UNSPECIFIED: ImageRetention.ORIGINAL
}
_KIND_NAMES = {number: kind for kind, number in _KINDS.items()} | {
    collections_pb2.INDEX_KIND_UNSPECIFIED: IndexKind.FLAT
}


def to_create_request(
    name: str,
    bundle: str,
    image_retention: ImageRetention,
    attributes: Mapping[str, AttributeType],
    index: IndexSettings,
) -> collections_pb2.CreateCollectionRequest:
    """Writes a CreateCollectionRequest.

    Raises:
        ValueError: If the retention, the kind of index, or the type of an attribute is none.
    """
    kind = IndexKind(index.kind)
    return collections_pb2.CreateCollectionRequest(
        name=name,
        bundle=bundle,
        image_retention=_RETENTIONS[ImageRetention(image_retention)],
        attributes=to_types(attributes),
        index=collections_pb2.IndexSettings(
            kind=_KINDS[kind], target_recall=index.target_recall if kind is IndexKind.APPROXIMATE else 0
        ),
    )


def read_collection(message: collections_pb2.Collection) -> Collection:
    """Reads a Collection."""
    return Collection(
        name=message.name,
        bundle=message.bundle,
        bundle_digest=message.bundle_digest,
        item_count=message.item_count,
        embedding_dim=message.embedding_dim,
        create_time=read_time(message.create_time),
        image_retention=_RETENTION_NAMES[message.image_retention],
        attributes=read_types(message.attributes),
        index=_read_index(message.index),
        activation=_read_activation(message.activation) if message.HasField("activation") else None,
        activation_error=message.activation_error,
    )


def _read_index(message: collections_pb2.IndexSettings) -> IndexSettings:
    # Of a flat index the contract has no target.
    return IndexSettings(
        kind=_KIND_NAMES[message.kind], target_recall=message.target_recall or IndexSettings.target_recall
    )


def _read_activation(message: collections_pb2.Activation) -> Activation:
    return Activation(
        bundle=message.bundle,
        bundle_digest=message.bundle_digest,
        done_count=message.done_count,
        item_count=message.item_count,
    )
