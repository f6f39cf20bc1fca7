from datetime import UTC, datetime

import pytest
from farnear import (
    Assignment,
    AttributeSummary,
    ClassCount,
    Client,
    Cluster,
    ClusterChange,
    ClusterDetails,
    ClusterEvent,
    EpsSuggestion,
    FailedPreconditionError,
    ItemId,
    MapInfo,
    MapPoint,
    NearCluster,
    NewItem,
    NotFoundError,
    UnavailableError,
    ValueCount,
)
from farnear.v1 import clusters_pb2

from tests.farnear.fake import FakeService

MAP = MapInfo(version=1, item_count=4, pending_count=0, eps=0.5, min_samples=1, perplexity=30.0, drift=0.25)


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
    assert clustering.map == MAP
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


def test_one_cluster_with_what_is_in_it(client: Client, cells: str) -> None:
    client.recluster(cells)
    assert client.cluster(cells, 0) == ClusterDetails(
        cluster=Cluster(
            cluster=0, size=2, core_count=2, medoid_item_id="a", classes=(ClassCount(label="crack", count=2),)
        ),
        attributes=(
            AttributeSummary(
                name="reviewed",
                count=1,
                values=(ValueCount(value=True, count=1),),
                least=None,
                median=None,
                greatest=None,
            ),
            AttributeSummary(name="severity", count=2, values=(), least=1.0, median=1.0, greatest=3.0),
        ),
        density=2.5,
        nearest=(NearCluster(cluster=1, distance=1.0),),
        member_item_ids=("a", "b"),
        map=MAP,
    )
    with pytest.raises(NotFoundError, match="no cluster 7"):
        client.cluster(cells, 7)


def test_the_noise_is_asked_like_a_cluster(client: Client, cells: str) -> None:
    client.recluster(cells)
    noise = client.cluster(cells, -1)
    assert (noise.cluster.cluster, noise.cluster.size, noise.cluster.medoid_item_id) == (-1, 1, "")
    assert (noise.density, noise.nearest, noise.member_item_ids) == (0, (), ("d",))


@pytest.mark.parametrize(
    ("limit", "members", "page_sizes"),
    [(None, "abcde", [10_000] * 3), (3, "abc", [3] * 2), (2, "ab", [2]), (1, "a", [1])],
)
def test_members_are_gathered_up_to_the_limit(
    client: Client, cells: str, service: FakeService, limit: int | None, members: str, page_sizes: list[int]
) -> None:
    client.upsert(cells, [NewItem(item_id=name, content=b"img 1 0 0") for name in "abcde"])
    client.recluster(cells)
    assert "".join(client.cluster(cells, 0, limit=limit).member_item_ids) == members
    assert [request.page_size for request in service.requests("GetCluster")] == page_sizes


def test_a_limit_of_no_members_is_refused(client: Client, cells: str) -> None:
    with pytest.raises(ValueError, match="limit: 0, allowed are 1 or more, and None for all members"):
        client.cluster(cells, 0, limit=0)


def test_settings_of_recluster_stay_as_they_are_unless_given(client: Client, cells: str, service: FakeService) -> None:
    assert client.recluster(cells, eps=0.25, min_samples=3).map.eps == 0.25
    fit = client.recluster(cells, perplexity=5)
    assert (fit.map.eps, fit.map.min_samples, fit.map.perplexity) == (0.25, 3, 5)
    first, second = service.requests("Recluster")
    assert [field.name for field, _ in first.ListFields()] == ["collection", "eps", "min_samples"]
    assert [field.name for field, _ in second.ListFields()] == ["collection", "perplexity"]


def test_an_eps_is_suggested(client: Client, cells: str, service: FakeService) -> None:
    client.recluster(cells)
    assert client.suggest_eps(cells) == EpsSuggestion(
        distances=(0.1, 0.2, 0.3, 4.0), eps=0.3, cluster_count=2, noise_count=1, min_samples=1, map=MAP
    )
    assert client.suggest_eps(cells, min_samples=4).min_samples == 4
    assert [request.HasField("min_samples") for request in service.requests("SuggestEps")] == [False, True]


def event(change: "clusters_pb2.ClusterChange.ValueType", cluster: int, size: int = 0) -> clusters_pb2.ClusterEvent:
    return clusters_pb2.ClusterEvent(change=change, cluster=cluster, size=size, parents=[2, 3], map_version=4)


def test_a_watch_begins_at_once_and_goes_on_behind_a_token(client: Client, cells: str, service: FakeService) -> None:
    born = event(clusters_pb2.CLUSTER_CHANGE_BORN, 0, 12)
    born.time.FromDatetime(datetime(2026, 11, 22, 18, 0, 0, 5, tzinfo=UTC))
    service.happen(cells, born)
    watch = client.watch_clusters(cells)
    assert next(watch).events == ()
    service.happen(cells, event(clusters_pb2.CLUSTER_CHANGE_GROWN, 0), event(clusters_pb2.CLUSTER_CHANGE_SHRUNK, 1))
    batch = next(watch)
    assert [(entry.change, entry.cluster) for entry in batch.events] == [
        (ClusterChange.GROWN, 0),
        (ClusterChange.SHRUNK, 1),
    ]
    service.happen(cells, event(clusters_pb2.CLUSTER_CHANGE_DISSOLVED, 0))
    assert [entry.change for entry in next(watch).events] == [ClusterChange.DISSOLVED]
    resumed = next(client.watch_clusters(cells, resume_token=batch.resume_token))
    assert [entry.change for entry in resumed.events] == [ClusterChange.DISSOLVED]
    service.page_limit = 10
    everything = next(client.watch_clusters(cells, from_start=True))
    assert everything.events[0] == ClusterEvent(
        change=ClusterChange.BORN,
        cluster=0,
        size=12,
        size_before=0,
        parents=(2, 3),
        time=datetime(2026, 11, 22, 18, 0, 0, 5, tzinfo=UTC),
        map_version=4,
    )
    assert len(everything.events) == 4


def test_a_watch_that_is_left_is_cancelled(client: Client, cells: str, service: FakeService) -> None:
    watch = client.watch_clusters(cells)
    next(watch)
    assert not service.stream_ended.is_set()
    watch.close()
    assert service.stream_ended.wait(timeout=60)


def test_a_watch_ends_with_its_collection(client: Client, cells: str) -> None:
    watch = client.watch_clusters(cells)
    next(watch)
    client.delete_collection(cells)
    with pytest.raises(NotFoundError, match="'cells' is not there"):
        next(watch)


def test_a_watch_without_a_service_says_so() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1: "):
        next(client.watch_clusters("cells"))
