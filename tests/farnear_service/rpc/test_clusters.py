import asyncio
from typing import Any

import grpc
import pytest
from farnear.v1 import clusters_pb2 as clusters
from farnear.v1 import collections_pb2 as collections
from farnear.v1 import items_pb2 as items
from farnear.v1 import types_pb2 as types
from farnear_service.rpc import clusters as clusters_module

from tests.farnear_service.rpc.conftest import Service, pages, refused

Code = grpc.StatusCode


async def test_clusters(service: Service, quick_maps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters_module, "MAP_CHUNK", 25)
    by_id = types.Query(item_id="v000")
    for call in (
        service.clusters.ListClusters(clusters.ListClustersRequest(collection="cells")),
        service.clusters.Assign(clusters.AssignRequest(collection="cells", query=by_id)),
        service.clusters.Recluster(clusters.ReclusterRequest(collection="cells")),
        service.clusters.GetMap(clusters.GetMapRequest(collection="cells")).read(),
    ):
        code, told = await refused(call)
        assert (code, told) == (Code.FAILED_PRECONDITION, "collection: has 0 items; a map needs at least 5")
    await service.put_groups(60)
    fit = await service.clusters.Recluster(clusters.ReclusterRequest(collection="cells"))
    assert (fit.map.item_count, fit.map.pending_count, fit.map.eps, fit.map.min_samples) == (60, 0, 3.0, 5)
    assert fit.map.perplexity == 8
    assert fit.cluster_count > 0

    chunks = [chunk async for chunk in service.clusters.GetMap(clusters.GetMapRequest(collection="cells"))]
    assert [len(chunk.item_ids) for chunk in chunks] == [25, 25, 10]
    assert all(chunk.map == fit.map for chunk in chunks)
    points = {
        item_id: (x, y, cluster, label)
        for chunk in chunks
        for item_id, x, y, cluster, label in zip(
            chunk.item_ids, chunk.xs, chunk.ys, chunk.clusters, chunk.labels, strict=True
        )
    }
    assert sorted(points) == [f"v{i:03d}" for i in range(60)]
    assert {label for *_, label in points.values()} == {"group 0", "group 1", "group 2"}

    listed = await service.clusters.ListClusters(clusters.ListClustersRequest(collection="cells"))
    assert listed.map == fit.map
    assert len(listed.clusters) == fit.cluster_count
    assert listed.noise_count == fit.noise_count == sum(cluster == -1 for _, _, cluster, _ in points.values())
    assert [entry.size for entry in listed.clusters] == sorted((entry.size for entry in listed.clusters), reverse=True)
    for entry in listed.clusters:
        members = [item_id for item_id, (_, _, cluster, _) in points.items() if cluster == entry.cluster]
        assert entry.size == len(members)
        assert entry.medoid_item_id in members
        assert 0 < entry.core_count <= entry.size
        assert sum(one.count for one in entry.classes) == entry.size
    numbers = [entry.cluster for entry in listed.clusters]
    for size in (1, 2, 0):
        found = await pages(
            service.clusters.ListClusters, clusters.ListClustersRequest, "cluster", size, collection="cells"
        )
        assert found == numbers

    placed = await service.clusters.Assign(clusters.AssignRequest(collection="cells", query=by_id))
    assert (placed.x, placed.y) == pytest.approx(points["v000"][:2], rel=1e-6)
    assert placed.map_version == fit.map.version
    item = (await service.items.GetItem(items.GetItemRequest(collection="cells", item_id="v000"))).item
    assert item.HasField("cluster")
    assert item.cluster == points["v000"][2]
    for request in (
        clusters.ListClustersRequest(collection="cells", page_token="%"),  # noqa: S106 - of a page
        clusters.ListClustersRequest(collection="cells", page_token="OTk5"),  # noqa: S106 - of a page: cluster 999
        clusters.ListClustersRequest(collection="cells", page_size=1001),
    ):
        assert (await refused(service.clusters.ListClusters(request)))[0] is Code.INVALID_ARGUMENT


async def test_a_client_that_goes_away_does_not_stop_a_fit(service: Service, quick_maps: None) -> None:
    await service.put_groups(40)
    call = service.clusters.Recluster(clusters.ReclusterRequest(collection="cells"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    fit = await service.clusters.Recluster(clusters.ReclusterRequest(collection="cells"))
    assert fit.map.item_count == 40


async def grouped(service: Service, count: int = 60) -> clusters.ReclusterResponse:
    await service.put_groups(count)
    answer: clusters.ReclusterResponse = await service.clusters.Recluster(
        clusters.ReclusterRequest(collection="cells", eps=4)
    )
    return answer


async def test_one_cluster_with_its_members(service: Service, quick_maps: None) -> None:
    await grouped(service)
    listed = await service.clusters.ListClusters(clusters.ListClustersRequest(collection="cells"))
    for entry in listed.clusters:
        whole = await service.clusters.GetCluster(
            clusters.GetClusterRequest(collection="cells", cluster=entry.cluster, page_size=1000)
        )
        assert whole.cluster == entry
        assert len(whole.member_item_ids) == entry.size
        assert whole.density > 0
        assert {near.cluster for near in whole.nearest} == {one.cluster for one in listed.clusters} - {entry.cluster}
        assert whole.map == listed.map
        paged: list[str] = []
        token = ""
        while token or not paged:
            page = await service.clusters.GetCluster(
                clusters.GetClusterRequest(collection="cells", cluster=entry.cluster, page_size=7, page_token=token)
            )
            paged += page.member_item_ids
            token = page.next_page_token
        assert paged == list(whole.member_item_ids)
    noise = await service.clusters.GetCluster(clusters.GetClusterRequest(collection="cells", cluster=-1))
    assert (noise.cluster.cluster, noise.cluster.size) == (-1, listed.noise_count)
    code, told = await refused(service.clusters.GetCluster(clusters.GetClusterRequest(collection="cells", cluster=99)))
    assert (code, told) == (Code.NOT_FOUND, "cluster: there is no 99 now")


async def test_attributes_of_a_cluster(service: Service, quick_maps: None) -> None:
    await service.put_groups(60)
    new = [service.vector_item(f"a{number}", [4, 0.1 * number, 0, 0]) for number in range(12)]
    for number, item in enumerate(new):
        item.attributes["depth"].number_value = number
        item.attributes["who"].string_value = "ada" if number % 3 else "bob"
        item.attributes["taken"].timestamp_value.FromSeconds(1_700_000_000 + number)
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=new))
    await service.clusters.Recluster(clusters.ReclusterRequest(collection="cells"))
    everything = clusters.ReclusterRequest(collection="cells", eps=1e5)
    assert (await service.clusters.Recluster(everything)).cluster_count == 1
    listed = await service.clusters.ListClusters(clusters.ListClustersRequest(collection="cells"))
    request = clusters.GetClusterRequest(collection="cells", cluster=listed.clusters[0].cluster)
    depth, taken, who = (await service.clusters.GetCluster(request)).attributes
    assert (depth.name, depth.count) == ("depth", 12)
    assert [value.number_value for value in (depth.least, depth.median, depth.greatest)] == [0, 5, 11]
    assert taken.greatest.timestamp_value.seconds == 1_700_000_011
    assert [(entry.value.string_value, entry.count) for entry in who.values] == [("ada", 8), ("bob", 4)]


async def test_an_eps_is_suggested(service: Service, quick_maps: None) -> None:
    await grouped(service)
    found = await service.clusters.SuggestEps(clusters.SuggestEpsRequest(collection="cells", min_samples=4))
    assert found.min_samples == 4
    assert list(found.distances) == sorted(found.distances)
    assert len(found.distances) == 60
    assert found.eps in found.distances
    again = await service.clusters.Recluster(
        clusters.ReclusterRequest(collection="cells", eps=found.eps, min_samples=4)
    )
    assert (again.cluster_count, again.noise_count) == (found.cluster_count, found.noise_count)
    assert (again.map.eps, again.map.min_samples) == (found.eps, 4)
    assert (await service.clusters.SuggestEps(clusters.SuggestEpsRequest(collection="cells"))).min_samples == 4


async def test_refusals_of_settings(service: Service, quick_maps: None) -> None:
    await grouped(service)
    for request, told in (
        (clusters.ReclusterRequest(collection="cells", eps=0), "eps: is 0.0; allowed are values above 0"),
        (clusters.ReclusterRequest(collection="cells", min_samples=1), "min_samples: is 1; allowed are 2 to 10000"),
        (clusters.ReclusterRequest(collection="cells", perplexity=0.5), "perplexity: is 0.5; allowed are 1 to 1000"),
    ):
        code, found = await refused(service.clusters.Recluster(request))
        assert code is Code.INVALID_ARGUMENT
        assert told in found
    bad = clusters.SuggestEpsRequest(collection="cells", min_samples=1)
    assert (await refused(service.clusters.SuggestEps(bad)))[0] is Code.INVALID_ARGUMENT


async def test_what_happens_to_clusters_is_told_as_it_happens(service: Service, quick_maps: None) -> None:
    fit = await grouped(service)
    watch = service.clusters.WatchClusters
    stream = watch(clusters.WatchClustersRequest(collection="cells"))
    first = await stream.read()
    assert not first.events
    new = [service.vector_item(f"new{number}", [0, 0, 0, -1 - 0.001 * number]) for number in range(20)]
    await service.items.UpsertItems(items.UpsertItemsRequest(collection="cells", items=new))
    told = await stream.read()
    assert told.events
    everything = clusters.ReclusterRequest(collection="cells", eps=1e5)
    merged = (await service.clusters.Recluster(everything)).map
    while not any(event.change == clusters.CLUSTER_CHANGE_MERGED for event in told.events):
        told = await stream.read()
    (event,) = [event for event in told.events if event.change == clusters.CLUSTER_CHANGE_MERGED]
    assert event.cluster in event.parents
    assert (event.size, event.map_version) == (80, merged.version)
    assert event.time.seconds > 1_700_000_000

    async def until_the_merger(request: clusters.WatchClustersRequest) -> list[clusters.ClusterEvent]:
        found: list[clusters.ClusterEvent] = []
        async for message in watch(request):
            found += message.events
            if any(event.change == clusters.CLUSTER_CHANGE_MERGED for event in found):
                return found
        raise AssertionError("the stream has ended")

    whole = await until_the_merger(clusters.WatchClustersRequest(collection="cells", from_start=True))
    assert [event.change for event in whole[: fit.cluster_count]] == [clusters.CLUSTER_CHANGE_BORN] * fit.cluster_count
    later = await until_the_merger(clusters.WatchClustersRequest(collection="cells", resume_token=first.resume_token))
    assert later == whole[-len(later) :]
    assert len(later) < len(whole)
    for token in ("%", "OTk5", "ZXZlbnQgLTE="):
        bad = watch(clusters.WatchClustersRequest(collection="cells", resume_token=token))
        code, found = await refused(bad.read())
        assert code is Code.INVALID_ARGUMENT
        assert found.startswith(f"resume_token: '{token}'")


async def test_a_feed_ends_when_its_collection_is_deleted(service: Service, quick_maps: None) -> None:
    await grouped(service)
    stream = service.clusters.WatchClusters(clusters.WatchClustersRequest(collection="cells"))
    await stream.read()
    waiting = asyncio.ensure_future(stream.read())
    await service.collections.DeleteCollection(collections.DeleteCollectionRequest(name="cells"))
    assert await refused(waiting) == (Code.NOT_FOUND, "collection: there is no 'cells'")


async def test_a_feed_does_not_hold_up_a_server_that_stops(service: Service, quick_maps: None) -> None:
    await grouped(service)
    stream = service.clusters.WatchClusters(clusters.WatchClustersRequest(collection="cells"))
    await stream.read()
    waiting: Any = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await service.server.drain(60)
        assert await waiting is grpc.aio.EOF
