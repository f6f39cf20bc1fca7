import inspect
from typing import Any

import pytest
from farnear import (
    AlreadyExistsError,
    Assignment,
    ClassCount,
    Client,
    Cluster,
    Direction,
    FailedPreconditionError,
    InvalidArgumentError,
    ItemId,
    MapInfo,
    MapPoint,
    NewItem,
    NotFoundError,
    Vector,
)
from farnear.aio import AsyncClient


def test_a_collection_is_made_found_and_deleted(client: Client) -> None:
    made = client.create_collection("cells", bundle="toy")
    assert (made.name, made.bundle, made.item_count, made.embedding_dim, made.keeps_images) == (
        "cells",
        "toy",
        0,
        3,
        True,
    )
    assert made.create_time.isoformat() == "2026-11-22T18:00:00+00:00"
    assert client.get_collection("cells") == made
    client.upsert("cells", [NewItem(item_id="a", content=b"img 1 0 0")])
    assert client.delete_collection("cells") == 1
    assert list(client.list_collections()) == []


def test_images_are_kept_unless_told_otherwise(client: Client, service: Any) -> None:
    client.create_collection("cells", bundle="toy", keep_images=False)
    client.upsert("cells", [NewItem(item_id="a", content=b"img 1 0 0")])
    assert not client.get_collection("cells").keeps_images
    assert not client.get_item("cells", "a").has_image
    with pytest.raises(FailedPreconditionError, match="not kept"):
        client.heatmap("cells", ItemId("a"))


def test_a_taken_name_and_an_unknown_bundle_are_refused(client: Client, cells: str) -> None:
    with pytest.raises(AlreadyExistsError, match="'cells' is taken"):
        client.create_collection(cells, bundle="toy")
    with pytest.raises(NotFoundError, match="served are: toy"):
        client.create_collection("others", bundle="none")


def test_lists_go_through_all_pages(client: Client, service: Any) -> None:
    names = [f"c{number}" for number in range(5)]
    for name in names:
        client.create_collection(name, bundle="toy")
    assert [collection.name for collection in client.list_collections()] == names
    assert [request.page_token for request in service.requests("ListCollections")] == ["", "2", "4"]


def test_items_are_fetched_page_by_page_as_they_are_consumed(client: Client, cells: str, service: Any) -> None:
    items = client.list_items(cells)
    assert [next(items).item_id, next(items).item_id] == ["a", "b"]
    assert len(service.requests("ListItems")) == 1
    assert [item.item_id for item in items] == ["c", "d"]
    assert len(service.requests("ListItems")) == 2


def test_an_item_carries_its_label_and_its_cluster_once_there_is_one(client: Client, cells: str) -> None:
    before = client.get_item(cells, "a")
    assert (before.item_id, before.label, before.cluster, before.has_image) == ("a", "crack", None, True)
    client.recluster(cells)
    assert client.get_item(cells, "a").cluster == 0
    with pytest.raises(NotFoundError, match="'nobody' is not there"):
        client.get_item(cells, "nobody")


def test_upsert_answers_for_each_item_in_order(client: Client, cells: str) -> None:
    digest = client.get_collection(cells).bundle_digest
    outcomes = client.upsert(
        cells,
        [
            NewItem(item_id="e", content=Vector(values=[0.0, 0.0, 2.0], bundle_digest=digest)),
            NewItem(item_id="text", content=b"hello"),
            NewItem(item_id="other", content=Vector(values=[0.0, 0.0, 2.0], bundle_digest="00")),
            NewItem(item_id="f", content=b"img 0 0 1"),
        ],
    )
    assert [outcome.item_id for outcome in outcomes] == ["e", "text", "other", "f"]
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        InvalidArgumentError,
        FailedPreconditionError,
        type(None),
    ]
    assert "not an image" in str(outcomes[1].error)
    assert client.get_collection(cells).item_count == 6


def test_upsert_splits_itself_and_reads_its_items_lazily(client: Client, cells: str, service: Any) -> None:
    calls_before = len(service.requests("UpsertItems"))
    calls_when_read = []

    def items() -> Any:
        for number in range(300):
            calls_when_read.append(len(service.requests("UpsertItems")) - calls_before)
            yield NewItem(item_id=f"{number:03}", content=b"img 1 0 0")

    outcomes = client.upsert(cells, items())
    assert [outcome.item_id for outcome in outcomes] == [f"{number:03}" for number in range(300)]
    assert [len(request.items) for request in service.requests("UpsertItems")[calls_before:]] == [128, 128, 44]
    # The first item of the next batch is what closes a batch, so item 128 is read before the first call.
    assert (calls_when_read[128], calls_when_read[129], calls_when_read[257]) == (0, 1, 2)


def test_nothing_to_upsert_is_no_call(client: Client, cells: str, service: Any) -> None:
    calls_before = len(service.calls)
    assert client.upsert(cells, []) == []
    assert len(service.calls) == calls_before


def test_delete_items_counts_those_that_were_there(client: Client, cells: str) -> None:
    assert client.delete_items(cells, ["a", "nobody", "c"]) == 2
    assert [item.item_id for item in client.list_items(cells)] == ["b", "d"]


def test_delete_items_splits_itself(client: Client, cells: str, service: Any) -> None:
    assert client.delete_items(cells, (f"{number}" for number in range(10_001))) == 0
    assert [len(request.item_ids) for request in service.requests("DeleteItems")] == [10_000, 1]


def test_both_ends_of_the_scale(client: Client, cells: str) -> None:
    query = b"img 1 0 0"
    similar = client.similar(cells, query, k=2)
    assert [(hit.rank, hit.item_id, hit.label) for hit in similar] == [(1, "a", "crack"), (2, "b", "crack")]
    assert [hit.similarity for hit in similar] == pytest.approx([1.0, 0.9 / 0.82**0.5])
    divergent = client.divergent(cells, query, k=2)
    assert [(hit.rank, hit.item_id) for hit in divergent] == [(1, "d"), (2, "c")]
    assert [hit.similarity for hit in divergent] == pytest.approx([-1.0, 0.0])
    both = client.both(cells, query, k=2)
    assert (both.similar, both.divergent, both.exact, both.error) == (similar, divergent, True, None)


def test_a_stored_item_is_left_out_of_its_own_hits(client: Client, cells: str) -> None:
    assert [hit.item_id for hit in client.similar(cells, ItemId("a"))] == ["b", "c", "d"]


def test_a_vector_finds_what_its_image_finds(client: Client, cells: str) -> None:
    vector = Vector(values=[5.0, 0.0, 0.0], bundle_digest=client.get_collection(cells).bundle_digest)
    assert client.similar(cells, vector) == client.similar(cells, b"img 1 0 0")


def test_search_answers_each_query_and_a_bad_one_fails_no_neighbour(client: Client, cells: str) -> None:
    results = client.search(cells, [b"img 0 1 0", b"junk", ItemId("nobody")], direction=Direction.SIMILAR, k=1)
    assert [[hit.item_id for hit in result.similar] for result in results] == [["c"], [], []]
    assert all(result.divergent == () for result in results)
    assert [type(result.error) for result in results] == [type(None), InvalidArgumentError, NotFoundError]


def test_the_shorthands_raise_what_search_reports(client: Client, cells: str) -> None:
    for ask in (client.similar, client.divergent, client.both):
        with pytest.raises(InvalidArgumentError, match="not an image"):
            ask(cells, b"junk")
    with pytest.raises(InvalidArgumentError, match="k: 0"):
        client.similar(cells, b"img 1 0 0", k=0)


def test_clusters_need_a_map(client: Client, cells: str) -> None:
    with pytest.raises(FailedPreconditionError, match="no map yet"):
        client.clusters(cells)
    with pytest.raises(FailedPreconditionError, match="no map yet"):
        list(client.map_points(cells))


def test_clusters_gather_all_pages(client: Client, cells: str, service: Any) -> None:
    service.page_limit = 1
    fit = client.recluster(cells)
    assert (fit.map.version, fit.cluster_count, fit.noise_count) == (1, 2, 1)
    clustering = client.clusters(cells)
    assert clustering.clusters == (
        Cluster(cluster=0, size=2, core_count=2, medoid_item_id="a", classes=(ClassCount(label="crack", count=2),)),
        Cluster(cluster=1, size=1, core_count=1, medoid_item_id="c", classes=(ClassCount(label="rust", count=1),)),
    )
    assert clustering.noise_count == 1
    assert clustering.map == MapInfo(version=1, item_count=4, pending_count=0, eps=0.5, min_samples=1, perplexity=30.0)
    assert len(service.requests("ListClusters")) == 2


def test_assign_places_a_query(client: Client, cells: str) -> None:
    client.recluster(cells)
    assert client.assign(cells, b"img 0 1 0") == Assignment(cluster=1, core_distance=0.0, x=0.0, y=1.0, map_version=1)
    assert client.assign(cells, ItemId("d")).cluster == -1
    with pytest.raises(NotFoundError, match="'nobody' is not there"):
        client.assign(cells, ItemId("nobody"))


def test_map_points_stream(client: Client, cells: str) -> None:
    client.recluster(cells)
    points = list(client.map_points(cells))
    assert points[2] == MapPoint(item_id="c", x=0.0, y=1.0, cluster=1, label="rust")
    assert [(point.item_id, point.cluster) for point in points] == [("a", 0), ("b", 0), ("c", 1), ("d", -1)]


def test_a_map_that_is_not_read_to_its_end_is_cancelled(client: Client, cells: str, service: Any) -> None:
    client.recluster(cells)
    service.endless_map = True
    points = client.map_points(cells, timeout=600)
    assert next(points).item_id == "a"
    assert not service.stream_ended.is_set()
    points.close()
    assert service.stream_ended.wait(timeout=60)


def test_explain_answers_each_query(client: Client, cells: str) -> None:
    explanations = client.explain(cells, [b"img 3 -4 0", b"junk", ItemId("c")])
    heatmap = explanations[0].heatmap
    assert heatmap is not None
    assert (heatmap.height, heatmap.width, heatmap.overlay_png) == (1, 3, None)
    assert heatmap.values == pytest.approx((0.6, 0.8, 0.0))
    assert (explanations[1].heatmap, type(explanations[1].error)) == (None, InvalidArgumentError)
    assert explanations[2].error is None


def test_a_heatmap_can_be_drawn_over_its_image(client: Client, cells: str) -> None:
    assert client.heatmap(cells, ItemId("a"), overlay=True).overlay_png == b"\x89PNG overlay"
    with pytest.raises(InvalidArgumentError, match="not an image"):
        client.heatmap(cells, b"junk")


def test_a_closed_client_refuses_calls(service: Any) -> None:
    with Client(service.address) as client:
        pass
    with pytest.raises(ValueError, match="closed"):
        client.get_collection("cells")


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[inspect.Parameter]]:
        public = {name: member for name, member in vars(kind).items() if not name.startswith("_")}
        return {name: list(inspect.signature(member).parameters.values()) for name, member in public.items()}

    assert methods(AsyncClient) == methods(Client)
