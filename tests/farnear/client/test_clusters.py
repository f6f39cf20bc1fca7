import pytest
from farnear import (
    Assignment,
    ClassCount,
    Client,
    Cluster,
    FailedPreconditionError,
    ItemId,
    MapInfo,
    MapPoint,
    NotFoundError,
)

from tests.farnear.fake import FakeService


def test_clusters_need_a_map(client: Client, cells: str) -> None:
    with pytest.raises(FailedPreconditionError, match="no map yet"):
        client.clusters(cells)
    with pytest.raises(FailedPreconditionError, match="no map yet"):
        list(client.map_points(cells))


def test_clusters_gather_all_pages(client: Client, cells: str, service: FakeService) -> None:
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


def test_a_map_that_is_not_read_to_its_end_is_cancelled(client: Client, cells: str, service: FakeService) -> None:
    client.recluster(cells)
    service.endless_map = True
    points = client.map_points(cells, timeout=600)
    assert next(points).item_id == "a"
    assert not service.stream_ended.is_set()
    points.close()
    assert service.stream_ended.wait(timeout=60)
