"""The words of the contract to those of the service, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from farnear.v1 import (
    collections_pb2,
    items_pb2,
    recommend_pb2,
    search_pb2,
    types_pb2,
)
from google.protobuf.timestamp_pb2 import Timestamp

from farnear_service.errors import InvalidError
from farnear_service.filters import Filter
from farnear_service.pipeline import KeptImage, Mode, Wish
from farnear_service.store import Activation
from farnear_service.types import (
    Attributes,
    AttributeType,
    AttributeValue,
    Collection,
    Direction,
    Image,
    ImageRetention,
    IndexKind,
    IndexSettings,
    Interaction,
    Item,
    ItemRef,
    NewItem,
    Opinion,
    Query,
    Schema,
    Vector,
)

T = TypeVar("T")

_LAST_NANOSECOND = 253_402_300_799_999_999_999  # since 1970, of the year 9999

_RETENTIONS = {
    collections_pb2.IMAGE_RETENTION_UNSPECIFIED: ImageRetention.ORIGINAL,
    collections_pb2.IMAGE_RETENTION_ORIGINAL: ImageRetention.ORIGINAL,
    collections_pb2.IMAGE_RETENTION_NONE: ImageRetention.NONE,
    collections_pb2.IMAGE_RETENTION_THUMBNAIL: ImageRetention.THUMBNAIL,
}
_RETENTION_NAMES = {
    ImageRetention.ORIGINAL: collections_pb2.IMAGE_RETENTION_ORIGINAL,
    ImageRetention.NONE: collections_pb2.IMAGE_RETENTION_NONE,
    ImageRetention.THUMBNAIL: collections_pb2.IMAGE_RETENTION_THUMBNAIL,
}
_INDEX_KINDS = {
    collections_pb2.INDEX_KIND_UNSPECIFIED: IndexKind.FLAT,
    collections_pb2.INDEX_KIND_FLAT: IndexKind.FLAT,
    collections_pb2.INDEX_KIND_APPROXIMATE: IndexKind.APPROXIMATE,
}
_INDEX_KIND_NAMES = {
    IndexKind.FLAT: collections_pb2.INDEX_KIND_FLAT,
    IndexKind.APPROXIMATE: collections_pb2.INDEX_KIND_APPROXIMATE,
}
_ATTRIBUTE_TYPES = {
    types_pb2.ATTRIBUTE_TYPE_STRING: AttributeType.STRING,
    types_pb2.ATTRIBUTE_TYPE_NUMBER: AttributeType.NUMBER,
    types_pb2.ATTRIBUTE_TYPE_BOOL: AttributeType.BOOL,
    types_pb2.ATTRIBUTE_TYPE_TIMESTAMP: AttributeType.TIMESTAMP,
}
_ATTRIBUTE_TYPE_NAMES = {kind: number for number, kind in _ATTRIBUTE_TYPES.items()}
_MODES = {
    recommend_pb2.RECOMMEND_MODE_UNSPECIFIED: None,
    recommend_pb2.RECOMMEND_MODE_SIMILAR: Mode.SIMILAR,
    recommend_pb2.RECOMMEND_MODE_DIVERGENT: Mode.DIVERGENT,
    recommend_pb2.RECOMMEND_MODE_DIVERSE: Mode.DIVERSE,
}
_OPINIONS = {
    recommend_pb2.OPINION_UNSPECIFIED: Opinion.SEEN,
    recommend_pb2.OPINION_LIKED: Opinion.LIKED,
    recommend_pb2.OPINION_DISLIKED: Opinion.DISLIKED,
}
_OPINION_NAMES = {opinion: number for number, opinion in _OPINIONS.items()}
_DIRECTIONS = {
    search_pb2.DIRECTION_SIMILAR: Direction.SIMILAR,
    search_pb2.DIRECTION_DIVERGENT: Direction.DIVERGENT,
    search_pb2.DIRECTION_BOTH: Direction.BOTH,
}


def retention(value: int) -> ImageRetention:
    """Raises InvalidError for a value that this version does not know."""
    return known("image_retention", value, _RETENTIONS)


def direction(value: int) -> Direction:
    """Raises InvalidError for UNSPECIFIED and for a value that this version does not know."""
    return known("direction", value, _DIRECTIONS)


def query(message: types_pb2.Query) -> Query | None:
    """What is asked about; None where nothing is set."""
    match message.WhichOneof("subject"):
        case "image":
            return Image(data=message.image)
        case "item_id":
            return ItemRef(item_id=message.item_id)
        case "vector":
            return vector(message.vector)
        case _:
            return None


def vector(message: types_pb2.Vector) -> Vector:
    """A ready vector."""
    return Vector(values=np.array(message.values, np.float32), bundle_digest=message.bundle_digest)


def new_item(message: items_pb2.NewItem) -> NewItem:
    """An item to store; its content is None where nothing is set, and so is an attribute without a usable value."""
    content: Image | Vector | None = None
    match message.WhichOneof("content"):
        case "image":
            content = Image(data=message.image)
        case "vector":
            content = vector(message.vector)
    attributes: dict[str, AttributeValue | None] = {}
    for name, value in message.attributes.items():
        try:
            attributes[name] = attribute(name, value)
        except InvalidError:
            attributes[name] = None
    return NewItem(
        item_id=message.item_id,
        label=message.label,
        content=content,
        attributes=attributes,
        source_uri=message.source_uri,
    )


def attribute(field: str, message: types_pb2.AttributeValue) -> AttributeValue:
    """One value of an attribute; raises InvalidError where nothing is set or a time is out of range."""
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            return message.number_value
        case "bool_value":
            return message.bool_value
        case "timestamp_value":
            return _datetime(field, message.timestamp_value)
        case _:
            raise InvalidError(f"{field}: is not set; allowed are a string, a number, a bool and a timestamp")


def attribute_messages(attributes: Attributes) -> dict[str, types_pb2.AttributeValue]:
    """The attributes of an item."""
    return {name: attribute_message(value) for name, value in attributes.items()}


def schema(message: Mapping[str, int]) -> Schema:
    """Declared attributes; raises InvalidError for UNSPECIFIED and for a type that this version does not know."""
    return {name: known(f"attributes[{name!r}]", value, _ATTRIBUTE_TYPES) for name, value in message.items()}


def index_settings(message: collections_pb2.IndexSettings) -> IndexSettings:
    """How a collection is to be searched."""
    kind = known("index.kind", message.kind, _INDEX_KINDS)
    return IndexSettings(kind=kind, target_recall=message.target_recall or IndexSettings().target_recall)


def wish(request: recommend_pb2.RecommendRequest, where: Filter | None) -> Wish:
    """What is to be recommended, among the items that match `where`."""
    return Wish(
        k=request.k,
        mode=known("mode", request.mode, _MODES),
        novelty=request.novelty if request.HasField("novelty") else None,
        user=request.user,
        liked=tuple(query(one) for one in request.liked),
        disliked=tuple(query(one) for one in request.disliked),
        seen=tuple(request.seen_item_ids),
        pool=request.pool,
        where=where,
    )


def interaction(message: recommend_pb2.Interaction, now: float) -> Interaction:
    """What a user did with an item, `now` where no time is given."""
    time = _datetime("interactions.time", message.time).timestamp() if message.HasField("time") else now
    return Interaction(item_id=message.item_id, opinion=known("opinion", message.opinion, _OPINIONS), time=time)


def interaction_message(record: Interaction) -> recommend_pb2.Interaction:
    """What a user did with an item."""
    return recommend_pb2.Interaction(
        item_id=record.item_id, opinion=_OPINION_NAMES[record.opinion], time=timestamp(record.time)
    )


def collection_message(
    record: Collection, item_count: int, activation: Activation | None = None, activation_error: str = ""
) -> collections_pb2.Collection:
    """A collection."""
    return collections_pb2.Collection(
        name=record.name,
        bundle=record.bundle_name,
        bundle_digest=record.bundle_digest,
        item_count=item_count,
        embedding_dim=record.dim,
        create_time=timestamp(record.created),
        image_retention=_RETENTION_NAMES[record.retention],
        attributes={name: _ATTRIBUTE_TYPE_NAMES[kind] for name, kind in record.schema.items()},
        index=collections_pb2.IndexSettings(
            kind=_INDEX_KIND_NAMES[record.index.kind],
            target_recall=record.index.target_recall if record.index.kind is IndexKind.APPROXIMATE else 0,
        ),
        activation=None
        if activation is None
        else collections_pb2.Activation(
            bundle=activation.bundle_name,
            bundle_digest=activation.bundle_digest,
            done_count=activation.done_count,
            item_count=activation.item_count,
        ),
        activation_error=activation_error,
    )


def item_message(item: Item) -> types_pb2.Item:
    """An item."""
    return types_pb2.Item(
        item_id=item.item_id,
        label=item.label,
        cluster=item.cluster,
        create_time=timestamp(item.created),
        has_image=item.has_image,
        attributes=attribute_messages(item.attributes),
        source_uri=item.source_uri,
    )


def image_message(kept: KeptImage) -> items_pb2.GetItemImageResponse:
    """The image that is kept of an item."""
    return items_pb2.GetItemImageResponse(image=kept.data, media_type=kept.media_type, original=kept.original)


def attribute_message(value: AttributeValue) -> types_pb2.AttributeValue:
    """One value of an attribute."""
    match value:
        case bool():
            return types_pb2.AttributeValue(bool_value=value)
        case str():
            return types_pb2.AttributeValue(string_value=value)
        case datetime():
            message = types_pb2.AttributeValue()
            message.timestamp_value.FromDatetime(value)
            return message
        case _:
            return types_pb2.AttributeValue(number_value=value)


def known(field: str, value: int, table: Mapping[Any, T]) -> T:
    """What a number stands for; raises InvalidError for one that is not in the table."""
    if value not in table:
        raise InvalidError(f"{field}: is {value}; allowed are {', '.join(str(key) for key in table)}")
    return table[value]


def _datetime(field: str, message: Timestamp) -> datetime:
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{field}: is no timestamp of the years 1 to 9999") from error


def timestamp(seconds: float) -> Timestamp:
    """A time, in Unix seconds."""
    message = Timestamp()
    # Of the last microseconds of the year 9999 the nearest double lies behind it.
    message.FromNanoseconds(min(round(seconds * 1e9), _LAST_NANOSECOND))
    return message
