from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from farnear.v1 import collections_pb2, items_pb2, recommend_pb2, search_pb2, types_pb2
from farnear_service.errors import InvalidError
from farnear_service.filters import Exists
from farnear_service.pipeline import KeptImage, Mode, Wish
from farnear_service.rpc import wire
from farnear_service.store import Activation
from farnear_service.types import (
    AttributeType,
    Collection,
    Direction,
    Image,
    ImageRetention,
    IndexKind,
    IndexSettings,
    Interaction,
    Item,
    ItemRef,
    Opinion,
    Vector,
)
from google.protobuf.timestamp_pb2 import Timestamp


def test_queries() -> None:
    assert wire.query(types_pb2.Query(image=b"x")) == Image(data=b"x")
    assert wire.query(types_pb2.Query(image=b"")) == Image(data=b"")
    assert wire.query(types_pb2.Query(item_id="a")) == ItemRef(item_id="a")
    assert wire.query(types_pb2.Query()) is None
    vector = wire.query(types_pb2.Query(vector=types_pb2.Vector(values=[1, 2], bundle_digest="d")))
    assert isinstance(vector, Vector)
    assert vector.bundle_digest == "d"
    np.testing.assert_array_equal(vector.values, np.array([1, 2], np.float32))
    assert vector.values.dtype == np.float32


def test_new_items() -> None:
    item = wire.new_item(items_pb2.NewItem(item_id="a", label="l", image=b"x"))
    assert (item.item_id, item.label, item.content) == ("a", "l", Image(data=b"x"))
    assert wire.new_item(items_pb2.NewItem(item_id="a")).content is None
    content = wire.new_item(items_pb2.NewItem(item_id="a", vector=types_pb2.Vector(values=[1]))).content
    assert isinstance(content, Vector)


def test_directions() -> None:
    assert wire.direction(search_pb2.DIRECTION_SIMILAR) is Direction.SIMILAR
    assert wire.direction(search_pb2.DIRECTION_DIVERGENT) is Direction.DIVERGENT
    assert wire.direction(search_pb2.DIRECTION_BOTH) is Direction.BOTH
    for value in (search_pb2.DIRECTION_UNSPECIFIED, 4, -1):
        with pytest.raises(InvalidError, match=f"direction: is {value}; allowed are 1, 2, 3"):
            wire.direction(value)


def test_retentions() -> None:
    assert wire.retention(collections_pb2.IMAGE_RETENTION_UNSPECIFIED) is ImageRetention.ORIGINAL
    assert wire.retention(collections_pb2.IMAGE_RETENTION_ORIGINAL) is ImageRetention.ORIGINAL
    assert wire.retention(collections_pb2.IMAGE_RETENTION_NONE) is ImageRetention.NONE
    with pytest.raises(InvalidError, match="image_retention: is 9"):
        wire.retention(9)


def test_items_and_collections() -> None:
    message = wire.item_message(Item(key=1, item_id="a", label="l", created=1.25, has_image=True))
    assert (message.item_id, message.label, message.has_image) == ("a", "l", True)
    assert not message.HasField("cluster")
    assert message.create_time.ToNanoseconds() == 1_250_000_000
    for cluster in (0, -1, 5):
        message = wire.item_message(Item(key=1, item_id="a", label="", created=0, has_image=False, cluster=cluster))
        assert message.HasField("cluster")
        assert message.cluster == cluster
    record = Collection(
        key=1, name="n", bundle_name="b", bundle_digest="d", dim=16, retention=ImageRetention.NONE, created=2.0
    )
    collection = wire.collection_message(record, 7)
    assert (collection.name, collection.bundle, collection.bundle_digest) == ("n", "b", "d")
    assert (collection.item_count, collection.embedding_dim) == (7, 16)
    assert collection.image_retention == collections_pb2.IMAGE_RETENTION_NONE
    assert collection.create_time.seconds == 2


VALUES: dict[str, Any] = {
    "text": "é",
    "number": -2.5,
    "whole": 3.0,
    "flag": False,
    "time": datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC),
}


def test_attributes_go_there_and_back() -> None:
    messages = wire.attribute_messages(VALUES)
    back = {name: wire.attribute(name, message) for name, message in messages.items()}
    assert back == VALUES
    assert [type(value) for value in back.values()] == [str, float, float, bool, datetime]
    item = items_pb2.NewItem(item_id="a", attributes=messages, source_uri="file:///a")
    assert wire.new_item(item).attributes == VALUES
    assert wire.new_item(item).source_uri == "file:///a"
    stored = Item(key=1, item_id="a", label="", created=0, has_image=False, attributes=VALUES, source_uri="u")
    assert dict(wire.item_message(stored).attributes) == messages
    assert wire.item_message(stored).source_uri == "u"


def test_an_attribute_without_a_value_is_left_to_its_item() -> None:
    late = types_pb2.AttributeValue()
    late.timestamp_value.seconds = 10**12
    item = items_pb2.NewItem(item_id="a", attributes={"unset": types_pb2.AttributeValue(), "late": late})
    assert wire.new_item(item).attributes == {"unset": None, "late": None}


def test_what_a_collection_declares() -> None:
    numbers = {"a": 1, "b": 2, "c": 3, "d": 4}
    schema = wire.schema(numbers)
    assert schema == dict(zip("abcd", AttributeType, strict=True))
    index = IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.9)
    record = Collection(
        key=1,
        name="n",
        bundle_name="b",
        bundle_digest="d",
        dim=16,
        retention=ImageRetention.THUMBNAIL,
        created=2.0,
        schema=schema,
        index=index,
    )
    move = Activation(bundle_name="next", bundle_digest="e", dim=8, done_count=3, item_count=4)
    message = wire.collection_message(record, 4, move)
    assert dict(message.attributes) == numbers
    assert wire.index_settings(message.index) == index
    assert message.image_retention == collections_pb2.IMAGE_RETENTION_THUMBNAIL
    assert message.activation == collections_pb2.Activation(
        bundle="next", bundle_digest="e", done_count=3, item_count=4
    )
    assert not wire.collection_message(record, 4).HasField("activation")


def test_an_index_by_default() -> None:
    assert wire.index_settings(collections_pb2.IndexSettings()) == IndexSettings()
    with pytest.raises(InvalidError, match=r"index\.kind: is 9; allowed are"):
        wire.index_settings(collections_pb2.IndexSettings(kind=9))  # type: ignore[arg-type] # of a later version
    for unknown in (0, 9):
        with pytest.raises(InvalidError, match=rf"attributes\['a'\]: is {unknown}; allowed are"):
            wire.schema({"a": unknown})


def test_wishes() -> None:
    request = recommend_pb2.RecommendRequest(
        user="u",
        liked=[types_pb2.Query(item_id="a")],
        disliked=[types_pb2.Query(item_id="b"), types_pb2.Query()],
        seen_item_ids=["c"],
        mode=recommend_pb2.RECOMMEND_MODE_DIVERSE,
        k=5,
        pool=7,
    )
    assert wire.wish(request, Exists("x")) == Wish(
        k=5,
        mode=Mode.DIVERSE,
        user="u",
        liked=(ItemRef(item_id="a"),),
        disliked=(ItemRef(item_id="b"), None),
        seen=("c",),
        pool=7,
        where=Exists("x"),
    )
    assert wire.wish(recommend_pb2.RecommendRequest(novelty=0, k=1), None) == Wish(k=1, novelty=0)


def test_interactions() -> None:
    message = recommend_pb2.Interaction(item_id="a", opinion=recommend_pb2.OPINION_DISLIKED)
    assert wire.interaction(message, 7.5) == Interaction(item_id="a", opinion=Opinion.DISLIKED, time=7.5)
    message.time.FromNanoseconds(2_500_000_000)
    kept = wire.interaction(message, 7.5)
    assert kept.time == 2.5
    assert wire.interaction_message(kept) == message
    message.time.seconds = 10**12
    with pytest.raises(InvalidError, match=r"interactions\.time: is no timestamp of the years 1 to 9999"):
        wire.interaction(message, 0)


def test_kept_images() -> None:
    message = wire.image_message(KeptImage(data=b"x", media_type="image/png", original=True))
    assert (message.image, message.media_type, message.original) == (b"x", "image/png", True)


def test_an_interaction_at_the_very_end_of_time_comes_back() -> None:
    last = Timestamp(seconds=253_402_300_799, nanos=999_999_999)
    kept = wire.interaction(recommend_pb2.Interaction(item_id="a", time=last), 0.0)
    assert wire.interaction_message(kept) == recommend_pb2.Interaction(item_id="a", time=last)
