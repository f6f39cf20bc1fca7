import numpy as np
import pytest
from farnear.v1 import collections_pb2, explain_pb2, items_pb2, search_pb2, types_pb2
from farnear_service.errors import InvalidError, NotFoundError
from farnear_service.rpc import wire
from farnear_service.types import (
    Collection,
    Direction,
    Heatmap,
    Hit,
    Image,
    ImageRetention,
    Item,
    ItemRef,
    SearchResult,
    Vector,
)


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


def test_retentions_and_pictures() -> None:
    assert wire.retention(collections_pb2.IMAGE_RETENTION_UNSPECIFIED) is ImageRetention.ORIGINAL
    assert wire.retention(collections_pb2.IMAGE_RETENTION_ORIGINAL) is ImageRetention.ORIGINAL
    assert wire.retention(collections_pb2.IMAGE_RETENTION_NONE) is ImageRetention.NONE
    with pytest.raises(InvalidError, match="image_retention: is 3"):
        wire.retention(3)
    assert not wire.picture(explain_pb2.HEATMAP_PICTURE_UNSPECIFIED)
    assert wire.picture(explain_pb2.HEATMAP_PICTURE_OVERLAY)
    with pytest.raises(InvalidError, match="picture: is 2"):
        wire.picture(2)


def test_page_sizes() -> None:
    assert [wire.page_size(value, default=10, limit=20) for value in (0, 1, 20)] == [10, 1, 20]
    for value in (-1, 21):
        with pytest.raises(InvalidError, match=rf"page_size: is {value}; allowed are 0 \(for 10\) to 20"):
            wire.page_size(value, default=10, limit=20)


@pytest.mark.parametrize("last", ["a", "crack/017.png", "ä", "\U0001f600\uff5e", "?>~", "x" * 512])
def test_page_tokens_go_there_and_back(last: str) -> None:
    token = wire.page_token(last)
    assert token.isascii()
    assert wire.page_start(token) == last


def test_the_first_page_has_no_token() -> None:
    assert wire.page_start("") is None


@pytest.mark.parametrize("token", ["a", "%%%%", "ü", "YQ==x", "YQ", "_w==", "\n", "YQ==\n", "Y Q="])
def test_tokens_from_elsewhere_are_refused(token: str) -> None:
    with pytest.raises(InvalidError, match="page_token: "):
        wire.page_start(token)


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


def test_search_results() -> None:
    hits = tuple(
        Hit(key=i, item_id=f"h{i}", label="l", similarity=0.5, cluster=cluster)
        for i, cluster in enumerate((None, -1, 0))
    )
    message = wire.search_message(SearchResult(similar=hits, divergent=hits[:1]))
    assert [(hit.rank, hit.item_id) for hit in message.similar] == [(1, "h0"), (2, "h1"), (3, "h2")]
    assert [hit.HasField("cluster") for hit in message.similar] == [False, True, True]
    assert len(message.divergent) == 1
    assert message.certificate.exact
    assert not message.HasField("error")
    refused = wire.search_message(NotFoundError("item_id: none"))
    assert (refused.error.code, refused.error.message) == (5, "item_id: none")
    assert not refused.HasField("certificate")


def test_heatmaps_row_by_row() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    heatmap = wire.heatmap_message(Heatmap(values=values, picture=b"png")).heatmap
    assert (heatmap.height, heatmap.width, heatmap.picture_png) == (2, 3, b"png")
    assert list(heatmap.values) == [0, 1, 2, 3, 4, 5]
    assert wire.heatmap_message(InvalidError("x")).error.code == 3
