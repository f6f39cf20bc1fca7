"""The service for clusters, and its words."""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from farnear.v1 import clusters_pb2, clusters_pb2_grpc

from farnear_service.dbscan import Change
from farnear_service.errors import InvalidError
from farnear_service.pipeline import AttributeSummary, ClusterSummary, MapPoints, MapState, Pipeline
from farnear_service.rpc import pages, wire
from farnear_service.store import RecordedEvent

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

MAP_CHUNK = 5000  # points in one message of GetMap, some hundred kilobytes

_CHANGES = {
    Change.BORN: clusters_pb2.CLUSTER_CHANGE_BORN,
    Change.GROWN: clusters_pb2.CLUSTER_CHANGE_GROWN,
    Change.SHRUNK: clusters_pb2.CLUSTER_CHANGE_SHRUNK,
    Change.MERGED: clusters_pb2.CLUSTER_CHANGE_MERGED,
    Change.SPLIT: clusters_pb2.CLUSTER_CHANGE_SPLIT,
    Change.DISSOLVED: clusters_pb2.CLUSTER_CHANGE_DISSOLVED,
}


class Clusters(clusters_pb2_grpc.ClustersServiceServicer):
    """See proto/farnear/v1/clusters.proto."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def ListClusters(
        self, request: clusters_pb2.ListClustersRequest, context: Context
    ) -> clusters_pb2.ListClustersResponse:
        size = pages.page_size(request.page_size, default=1000, limit=1000)
        after = pages.page_start(request)
        state, summaries = await self._pipeline.clustering.summaries(request.collection)
        names = [str(summary.cluster) for summary in summaries]
        if after is not None and after not in names:
            raise InvalidError("page_token: the clusters have changed since that page; start again without a token")
        start = 0 if after is None else names.index(after) + 1
        page = summaries[start : start + size]
        return clusters_pb2.ListClustersResponse(
            clusters=[_cluster(summary) for summary in page],
            noise_count=state.view.noise_count,
            map=_map_info(state),
            next_page_token=pages.page_token(request, str(page[-1].cluster)) if start + size < len(summaries) else "",
        )

    async def GetCluster(
        self, request: clusters_pb2.GetClusterRequest, context: Context
    ) -> clusters_pb2.GetClusterResponse:
        size = pages.page_size(request.page_size, default=100, limit=10_000)
        state, found = await self._pipeline.clustering.detail(
            request.collection, request.cluster, after=pages.page_start(request), limit=size + 1
        )
        return clusters_pb2.GetClusterResponse(
            cluster=_cluster(found.summary),
            attributes=[_attribute(summary) for summary in found.attributes],
            density=found.density,
            nearest=[clusters_pb2.NearCluster(cluster=other, distance=far) for other, far in found.nearest],
            member_item_ids=found.member_ids[:size],
            next_page_token=pages.page_token(request, found.member_ids[size - 1])
            if len(found.member_ids) > size
            else "",
            map=_map_info(state),
        )

    async def Assign(self, request: clusters_pb2.AssignRequest, context: Context) -> clusters_pb2.AssignResponse:
        placement = await self._pipeline.clustering.assign(request.collection, wire.query(request.query))
        return clusters_pb2.AssignResponse(
            cluster=placement.cluster,
            core_distance=placement.core_distance,
            x=placement.position[0],
            y=placement.position[1],
            map_version=placement.map_version,
        )

    async def GetMap(
        self, request: clusters_pb2.GetMapRequest, context: Context
    ) -> AsyncIterator[clusters_pb2.GetMapResponse]:
        state, points = await self._pipeline.clustering.map_points(request.collection)
        for start in range(0, len(points.item_ids), MAP_CHUNK):
            yield _map_chunk(state, points, slice(start, start + MAP_CHUNK))

    async def Recluster(
        self, request: clusters_pb2.ReclusterRequest, context: Context
    ) -> clusters_pb2.ReclusterResponse:
        state = await self._pipeline.clustering.recluster(
            request.collection,
            eps=request.eps if request.HasField("eps") else None,
            min_samples=request.min_samples if request.HasField("min_samples") else None,
            perplexity=request.perplexity if request.HasField("perplexity") else None,
        )
        return clusters_pb2.ReclusterResponse(
            map=_map_info(state), cluster_count=len(state.view.sizes), noise_count=state.view.noise_count
        )

    async def SuggestEps(
        self, request: clusters_pb2.SuggestEpsRequest, context: Context
    ) -> clusters_pb2.SuggestEpsResponse:
        state, found = await self._pipeline.clustering.suggest_eps(
            request.collection, request.min_samples if request.HasField("min_samples") else None
        )
        return clusters_pb2.SuggestEpsResponse(
            distances=found.distances.tolist(),
            eps=found.eps,
            cluster_count=found.cluster_count,
            noise_count=found.noise_count,
            min_samples=found.min_samples,
            map=_map_info(state),
        )

    async def WatchClusters(
        self, request: clusters_pb2.WatchClustersRequest, context: Context
    ) -> AsyncIterator[clusters_pb2.WatchClustersResponse]:
        after = pages.event_start(request)
        async for number, events in self._pipeline.clustering.watch(request.collection, after=after):
            yield clusters_pb2.WatchClustersResponse(
                events=[_event(event) for event in events], resume_token=pages.event_token(request, number)
            )


def _map_info(state: MapState) -> clusters_pb2.MapInfo:
    return clusters_pb2.MapInfo(
        version=state.view.version,
        item_count=len(state.view.snapshot.keys),
        pending_count=state.pending,
        eps=state.view.settings.eps,
        min_samples=state.view.settings.min_samples,
        perplexity=state.perplexity,
        drift=state.drift,
    )


def _cluster(summary: ClusterSummary) -> clusters_pb2.Cluster:
    return clusters_pb2.Cluster(
        cluster=summary.cluster,
        size=summary.size,
        core_count=summary.core_count,
        medoid_item_id=summary.medoid,
        classes=[clusters_pb2.ClassCount(label=label, count=count) for label, count in summary.classes],
    )


def _attribute(summary: AttributeSummary) -> clusters_pb2.AttributeSummary:
    message = clusters_pb2.AttributeSummary(
        name=summary.name,
        count=summary.count,
        values=[
            clusters_pb2.ValueCount(value=wire.attribute_message(value), count=count) for value, count in summary.values
        ],
    )
    if summary.range is not None:
        for field, value in zip((message.least, message.median, message.greatest), summary.range, strict=True):
            field.CopyFrom(wire.attribute_message(value))
    return message


def _map_chunk(state: MapState, points: MapPoints, rows: slice) -> clusters_pb2.GetMapResponse:
    return clusters_pb2.GetMapResponse(
        item_ids=points.item_ids[rows],
        xs=points.positions[rows, 0].tolist(),
        ys=points.positions[rows, 1].tolist(),
        clusters=points.clusters[rows].tolist(),
        labels=points.labels[rows],
        map=_map_info(state),
    )


def _event(recorded: RecordedEvent) -> clusters_pb2.ClusterEvent:
    event = recorded.event
    return clusters_pb2.ClusterEvent(
        change=_CHANGES[event.change],
        cluster=event.cluster,
        size=event.size,
        size_before=event.size_before,
        parents=event.parents,
        time=wire.timestamp(recorded.time),
        map_version=recorded.version,
    )
