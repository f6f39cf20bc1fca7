from typing import Any

import numpy as np
import pytest
from farnear import Direction, ItemId, Vector, wire
from farnear.v1 import clusters_pb2, collections_pb2, search_pb2


@pytest.mark.parametrize("query", ["a.png", 5, None, ["a"]])
def test_a_query_of_another_type_is_refused(query: Any) -> None:
    with pytest.raises(TypeError, match=r"a query is bytes \(an encoded image\), an ItemId or a Vector, not "):
        wire.to_query(query)


def test_each_query_becomes_its_subject() -> None:
    assert wire.to_query(b"jpeg").image == b"jpeg"
    assert wire.to_query(ItemId("a.png")).item_id == "a.png"
    vector = wire.to_query(Vector(values=[1.0, 2.0], bundle_digest="ab")).vector
    assert (list(vector.values), vector.bundle_digest) == ([1.0, 2.0], "ab")


def test_a_numpy_vector_can_be_sent() -> None:
    values: Any = np.array([0.5, -0.25], dtype=np.float32)
    assert list(wire.to_query(Vector(values=values, bundle_digest="ab")).vector.values) == [0.5, -0.25]


@pytest.mark.parametrize("direction", list(Direction))
def test_every_direction_is_in_the_contract(direction: Direction) -> None:
    request = wire.to_search_request("cells", [ItemId("a")], direction, 3)
    assert search_pb2.Direction.Name(request.direction) == f"DIRECTION_{direction.name}"


def test_cluster_zero_is_not_an_unknown_cluster() -> None:
    response = search_pb2.SearchResponse(
        results=[search_pb2.SearchResult(similar=[search_pb2.Hit(cluster=0), search_pb2.Hit()])]
    )
    ((first, second),) = [result.similar for result in wire.read_search_results(response)]
    assert (first.cluster, second.cluster) == (0, None)


def test_a_map_chunk_with_lists_of_different_length_is_a_fault() -> None:
    chunk = clusters_pb2.GetMapResponse(item_ids=["a", "b"], xs=[0.0], ys=[0.0], clusters=[0], labels=[""])
    with pytest.raises(ValueError, match="shorter"):
        list(wire.read_map_points(chunk))


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (collections_pb2.IMAGE_RETENTION_UNSPECIFIED, True),
        (collections_pb2.IMAGE_RETENTION_ORIGINAL, True),
        (collections_pb2.IMAGE_RETENTION_NONE, False),
    ],
)
def test_originals_are_kept_by_default(retention: Any, kept: bool) -> None:
    assert wire.read_collection(collections_pb2.Collection(image_retention=retention)).keeps_images is kept
