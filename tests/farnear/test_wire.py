from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from farnear import (
    Direction,
    ExplainHits,
    ExplainTarget,
    HeatmapPicture,
    ImageRetention,
    IndexKind,
    IndexSettings,
    ItemId,
    NewItem,
    Opinion,
    Vector,
)
from farnear.attributes import AttributeType
from farnear.v1 import clusters_pb2, collections_pb2, explain_pb2, recommend_pb2, search_pb2, types_pb2
from farnear.wire.clusters import read_map_points
from farnear.wire.collections import read_collection, to_create_request
from farnear.wire.explain import to_explain_hits, to_explain_request
from farnear.wire.items import to_upsert_request
from farnear.wire.queries import to_query
from farnear.wire.recommend import read_interaction, to_record_request
from farnear.wire.search import read_search_results, to_search_request
from farnear.wire.values import read_attributes, to_attributes, to_types


@pytest.mark.parametrize("query", ["a.png", 5, None, ["a"]])
def test_a_query_of_another_type_is_refused(query: Any) -> None:
    with pytest.raises(TypeError, match=r"a query is bytes \(an encoded image\), an ItemId or a Vector, not "):
        to_query(query)


def test_each_query_becomes_its_subject() -> None:
    assert to_query(b"jpeg").image == b"jpeg"
    assert to_query(ItemId("a.png")).item_id == "a.png"
    vector = to_query(Vector(values=[1.0, 2.0], bundle_digest="ab")).vector
    assert (list(vector.values), vector.bundle_digest) == ([1.0, 2.0], "ab")


def test_a_numpy_vector_can_be_sent() -> None:
    values: Any = np.array([0.5, -0.25], dtype=np.float32)
    vector = Vector(values=values, bundle_digest="ab")
    assert list(to_query(vector).vector.values) == [0.5, -0.25]
    (item,) = to_upsert_request("cells", [NewItem(item_id="a", content=vector)]).items
    assert (list(item.vector.values), item.vector.bundle_digest) == ([0.5, -0.25], "ab")


@pytest.mark.parametrize(
    ("value", "kind", "sent", "back"),
    [
        ("", "string_value", "", ""),
        (True, "bool_value", True, True),
        (False, "bool_value", False, False),
        (0, "number_value", 0.0, 0.0),
        (-0.5, "number_value", -0.5, -0.5),
        (np.float64(0.1), "number_value", 0.1, 0.1),
    ],
)
def test_values_keep_their_type_there_and_back(value: Any, kind: str, sent: Any, back: Any) -> None:
    messages = to_attributes({"x": value})
    assert messages["x"].WhichOneof("kind") == kind
    assert getattr(messages["x"], kind) == sent
    found = read_attributes(messages)["x"]
    assert (found, type(found)) == (back, type(back))


@pytest.mark.parametrize(
    ("time", "seconds", "nanos"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0, 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1, 999_999_000),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0, 0),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_799, 999_999_000),
        (datetime(1, 1, 1, tzinfo=UTC), -62_135_596_800, 0),
    ],
)
def test_times_are_exact_to_the_microsecond_there_and_back(time: datetime, seconds: int, nanos: int) -> None:
    messages = to_attributes({"x": time})
    assert (messages["x"].timestamp_value.seconds, messages["x"].timestamp_value.nanos) == (seconds, nanos)
    assert read_attributes(messages) == {"x": time}


@pytest.mark.parametrize("kind", list(AttributeType))
def test_every_type_is_in_the_contract(kind: AttributeType) -> None:
    (number,) = to_types({"x": kind}).values()
    assert types_pb2.AttributeType.Name(number) == f"ATTRIBUTE_TYPE_{kind.name}"


def test_a_type_that_is_none_is_refused() -> None:
    wrong: Any = {"x": "int"}
    with pytest.raises(ValueError, match="'int' is not a valid AttributeType"):
        to_types(wrong)


@pytest.mark.parametrize("direction", list(Direction))
def test_every_direction_is_in_the_contract(direction: Direction) -> None:
    request = to_search_request("cells", [ItemId("a")], direction, 3, None)
    assert search_pb2.Direction.Name(request.direction) == f"DIRECTION_{direction.name}"
    assert not request.HasField("filter")


def test_cluster_zero_is_not_an_unknown_cluster() -> None:
    request = to_search_request("cells", [ItemId("a")], Direction.SIMILAR, 3, None)
    response = search_pb2.SearchResponse(
        results=[search_pb2.SearchResult(similar=[search_pb2.Hit(cluster=0), search_pb2.Hit()])]
    )
    ((first, second),) = [result.similar for result in read_search_results(request, response)]
    assert (first.cluster, second.cluster) == (0, None)


def test_a_map_chunk_with_lists_of_different_length_is_a_fault() -> None:
    chunk = clusters_pb2.GetMapResponse(item_ids=["a", "b"], xs=[0.0], ys=[0.0], clusters=[0], labels=[""])
    with pytest.raises(ValueError, match="shorter"):
        list(read_map_points(chunk))


@pytest.mark.parametrize("retention", list(ImageRetention))
def test_every_retention_is_in_the_contract_there_and_back(retention: ImageRetention) -> None:
    request = to_create_request("cells", "toy", retention, {}, IndexSettings())
    assert collections_pb2.ImageRetention.Name(request.image_retention) == f"IMAGE_RETENTION_{retention.name}"
    message = collections_pb2.Collection(image_retention=request.image_retention)
    assert read_collection(message).image_retention is retention


@pytest.mark.parametrize("kind", list(IndexKind))
def test_every_kind_of_index_is_in_the_contract_there_and_back(kind: IndexKind) -> None:
    request = to_create_request("cells", "toy", ImageRetention.NONE, {}, IndexSettings(kind=kind))
    assert collections_pb2.IndexKind.Name(request.index.kind) == f"INDEX_KIND_{kind.name}"
    assert read_collection(collections_pb2.Collection(index=request.index)).index == IndexSettings(kind=kind)


def test_what_a_service_leaves_out_of_a_collection_is_the_default() -> None:
    found = read_collection(collections_pb2.Collection())
    assert (found.image_retention, found.index) == (ImageRetention.ORIGINAL, IndexSettings())


@pytest.mark.parametrize("opinion", list(Opinion))
def test_every_opinion_is_in_the_contract_there_and_back(opinion: Opinion) -> None:
    message = recommend_pb2.Interaction(item_id="a")
    message.time.FromJsonString("2026-11-22T18:00:00Z")
    message.opinion = {
        Opinion.SEEN: recommend_pb2.OPINION_UNSPECIFIED,
        Opinion.LIKED: recommend_pb2.OPINION_LIKED,
        Opinion.DISLIKED: recommend_pb2.OPINION_DISLIKED,
    }[opinion]
    found = read_interaction(message)
    assert found.opinion is opinion
    assert to_record_request("cells", "ada", [found]).interactions[0] == message


def test_every_target_and_picture_is_in_the_contract() -> None:
    for target in ExplainTarget:
        request = to_explain_request("cells", [ItemId("a")], target=target)
        name = f"EXPLAIN_TARGET_{target.name}"
        assert explain_pb2.ExplainTarget.Name(request.target) == name
        assert to_explain_hits(ExplainHits(target=target)) == explain_pb2.ExplainHits(target=request.target)
    for picture in HeatmapPicture:
        request = to_explain_request("cells", [ItemId("a")], picture=picture)
        assert explain_pb2.HeatmapPicture.Name(request.picture) == f"HEATMAP_PICTURE_{picture.name}"
        assert to_explain_hits(ExplainHits(picture=picture)) == explain_pb2.ExplainHits(picture=request.picture)
    assert to_explain_hits(None) is None
    assert to_explain_hits(ExplainHits()) == explain_pb2.ExplainHits()
    with pytest.raises(ValueError, match="'everything' is not a valid ExplainTarget"):
        to_explain_request("cells", [], target="everything")  # type: ignore[arg-type]
