import grpc
import pytest
from farnear import Client, ImageRetention, NewItem
from farnear.report import survey as surveys
from farnear.report.survey import MOST_EVENTS, structural_events, survey
from farnear.v1 import clusters_pb2

from tests.farnear.fake import FakeService
from tests.farnear.report.conftest import png


@pytest.fixture
def pictured(client: Client, cells: str, service: FakeService) -> str:
    """The four cells on a map: a and b in cluster 0, c in 1, d in none; all images are one grey square."""
    service.picture = png()
    client.recluster(cells)
    return cells


def test_all_of_a_collection(client: Client, pictured: str) -> None:
    found = survey(client, pictured)
    assert found.collection == client.get_collection(pictured)
    assert found.clustering == client.clusters(pictured)
    assert found.counts == {(0, "crack"): 2, (1, "rust"): 1, (-1, ""): 1}
    assert (found.item_count, found.class_counts) == (4, {"crack": 2, "rust": 1, "": 1})
    assert sorted(found.points, key=lambda point: point.item_id) == list(client.map_points(pictured))
    assert [row.item_ids for row in found.rows] == [("a", "b"), ("c",)]
    assert [row.details.cluster for row in found.rows] == list(found.clustering.clusters)
    assert found.noise_item_ids == ("d",)
    assert found.labels == {"a": "crack", "b": "crack", "c": "rust", "d": ""}
    assert {item_id: image.size for item_id, image in found.images.items()} == dict.fromkeys("abcd", (20, 20))
    assert found.events == ()


def test_large_maps_are_counted_whole_and_drawn_in_part(
    client: Client, pictured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.upsert(pictured, [NewItem(item_id=f"e{n:03}", content=b"img 1 0 0") for n in range(100)])
    client.upsert(pictured, [NewItem(item_id=f"n{n:03}", content=b"img -1 0 0") for n in range(100)])
    client.recluster(pictured)
    monkeypatch.setattr(surveys, "MOST_POINTS", 60)
    monkeypatch.setattr(surveys, "MOST_NOISE", 3)
    monkeypatch.setattr(surveys, "MOST_ROWS", 1)
    found = survey(client, pictured)
    assert found.counts == {(0, "crack"): 2, (0, ""): 100, (1, "rust"): 1, (-1, ""): 101}
    assert len(found.points) == 60 + 2
    drawn = {point.item_id for point in found.points}
    assert {"a", "c"} <= drawn  # the medoids
    assert 15 <= sum(item_id.startswith("n") for item_id in drawn) <= 45  # fair: half of them, give or take
    assert len(found.noise_item_ids) == 3
    assert len(found.rows) == 1
    assert survey(client, pictured).points == found.points


def test_clusters_and_images_that_are_gone_meanwhile_are_left_out(
    client: Client, pictured: str, service: FakeService
) -> None:
    service.failures["GetCluster"] = [grpc.StatusCode.NOT_FOUND]
    service.failures["GetItemImage"] = [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION]
    found = survey(client, pictured)
    assert [row.item_ids for row in found.rows] == [("c",)]
    assert found.images == {}


def test_no_image_is_asked_of_a_collection_that_keeps_none(client: Client, service: FakeService) -> None:
    client.create_collection("bare", bundle="toy", image_retention=ImageRetention.NONE)
    client.upsert("bare", [NewItem(item_id="a", content=b"img 1 0 0")])
    client.recluster("bare")
    assert survey(client, "bare").images == {}
    assert service.requests("GetItemImage") == []


def event(change: "clusters_pb2.ClusterChange.ValueType", cluster: int) -> clusters_pb2.ClusterEvent:
    return clusters_pb2.ClusterEvent(change=change, cluster=cluster)


def test_events_are_read_to_where_the_present_begins(client: Client, cells: str, service: FakeService) -> None:
    born, grown = clusters_pb2.CLUSTER_CHANGE_BORN, clusters_pb2.CLUSTER_CHANGE_GROWN
    # Five batches of two, the way the service tells them.
    service.happen(cells, *(event(born if number % 3 else grown, number) for number in range(10)))
    assert [found.cluster for found in structural_events(client, cells)] == [8, 7, 5, 4, 2, 1]
    service.happen(cells, *(event(born, number) for number in range(100, 200)))
    service.page_limit = 1000
    assert [found.cluster for found in structural_events(client, cells)] == list(range(199, 199 - MOST_EVENTS, -1))
