import pytest
from farnear import (
    Activation,
    AlreadyExistsError,
    AttributeType,
    Client,
    FailedPreconditionError,
    ImageRetention,
    IndexKind,
    IndexSettings,
    ItemId,
    NewItem,
    NotFoundError,
)
from farnear.v1 import collections_pb2, types_pb2

from tests.farnear.fake import FakeService


def test_a_taken_name_and_an_unknown_bundle_are_refused(client: Client, cells: str) -> None:
    with pytest.raises(AlreadyExistsError, match="'cells' is taken"):
        client.create_collection(cells, bundle="toy")
    with pytest.raises(NotFoundError, match="served are: toy"):
        client.create_collection("others", bundle="none")


def test_lists_go_through_all_pages(client: Client, service: FakeService) -> None:
    names = [f"c{number}" for number in range(5)]
    for name in names:
        client.create_collection(name, bundle="toy")
    assert [collection.name for collection in client.list_collections()] == names
    assert [request.page_token for request in service.requests("ListCollections")] == ["", "2", "4"]


def test_a_collection_is_made_found_and_deleted(client: Client) -> None:
    made = client.create_collection("cells", bundle="toy")
    assert (made.name, made.bundle, made.item_count, made.embedding_dim) == ("cells", "toy", 0, 3)
    assert (made.image_retention, made.index, made.attributes) == (ImageRetention.ORIGINAL, IndexSettings(), {})
    assert made.activation is None
    assert made.create_time.isoformat() == "2026-11-22T18:00:00+00:00"
    assert client.get_collection("cells") == made
    client.upsert("cells", [NewItem(item_id="a", content=b"img 1 0 0")])
    assert client.delete_collection("cells") == 1
    assert list(client.list_collections()) == []


def test_every_choice_of_a_collection_arrives_and_comes_back(client: Client, service: FakeService) -> None:
    attributes = {
        "severity": AttributeType.NUMBER,
        "inspector": AttributeType.STRING,
        "reviewed": AttributeType.BOOL,
        "taken": AttributeType.TIMESTAMP,
    }
    index = IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.95)
    made = client.create_collection(
        "cells", bundle="toy", image_retention=ImageRetention.THUMBNAIL, attributes=attributes, index=index
    )
    assert (made.image_retention, made.attributes, made.index) == (ImageRetention.THUMBNAIL, attributes, index)
    (request,) = service.requests("CreateCollection")
    assert request == collections_pb2.CreateCollectionRequest(
        name="cells",
        bundle="toy",
        image_retention=collections_pb2.IMAGE_RETENTION_THUMBNAIL,
        attributes={
            "severity": types_pb2.ATTRIBUTE_TYPE_NUMBER,
            "inspector": types_pb2.ATTRIBUTE_TYPE_STRING,
            "reviewed": types_pb2.ATTRIBUTE_TYPE_BOOL,
            "taken": types_pb2.ATTRIBUTE_TYPE_TIMESTAMP,
        },
        index=collections_pb2.IndexSettings(kind=collections_pb2.INDEX_KIND_APPROXIMATE, target_recall=0.95),
    )


def test_a_flat_index_has_no_target(client: Client, service: FakeService) -> None:
    client.create_collection("cells", bundle="toy", index=IndexSettings(target_recall=0.5))
    (request,) = service.requests("CreateCollection")
    assert request.index == collections_pb2.IndexSettings(kind=collections_pb2.INDEX_KIND_FLAT)


def test_the_first_item_with_an_attribute_gives_it_its_type(client: Client, cells: str) -> None:
    assert client.get_collection(cells).attributes == {"reviewed": AttributeType.BOOL, "severity": AttributeType.NUMBER}


def test_images_are_kept_unless_told_otherwise(client: Client) -> None:
    client.create_collection("cells", bundle="toy", image_retention=ImageRetention.NONE)
    client.upsert("cells", [NewItem(item_id="a", content=b"img 1 0 0")])
    assert client.get_collection("cells").image_retention is ImageRetention.NONE
    assert not client.get_item("cells", "a").has_image
    with pytest.raises(FailedPreconditionError, match="not kept"):
        client.heatmap("cells", ItemId("a"))


def test_a_move_to_another_bundle_is_begun_and_watched(client: Client, cells: str) -> None:
    begun = client.activate_bundle(cells, "toy-2")
    assert begun.bundle == "toy"
    assert begun.activation == Activation(bundle="toy-2", bundle_digest="cd" * 32, done_count=0, item_count=4)
    states = list(client.watch_activation(cells, interval=0))
    assert [state.activation and state.activation.done_count for state in states] == [0, 2, 4, None]
    assert [state.bundle for state in states] == ["toy", "toy", "toy", "toy-2"]
    assert states[-1].bundle_digest == "cd" * 32


def test_a_second_move_and_an_unknown_bundle_are_refused(client: Client, cells: str) -> None:
    with pytest.raises(NotFoundError, match="'toy-3' is not served"):
        client.activate_bundle(cells, "toy-3")
    client.activate_bundle(cells, "toy-2")
    with pytest.raises(FailedPreconditionError, match="a move to toy-2 goes on"):
        client.activate_bundle(cells, "toy")


def test_watching_what_does_not_move_is_one_look(client: Client, cells: str) -> None:
    assert list(client.watch_activation(cells)) == [client.get_collection(cells)]
