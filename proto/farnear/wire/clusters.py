"""The map of a collection and the density clusters on it."""

from collections.abc import Iterable, Iterator

from farnear.results import (
    Assignment,
    AttributeSummary,
    ClassCount,
    Cluster,
    ClusterChange,
    ClusterDetails,
    ClusterEvent,
    Clustering,
    EpsSuggestion,
    EventBatch,
    Fit,
    MapInfo,
    MapPoint,
    NearCluster,
    ValueCount,
)
from farnear.v1 import clusters_pb2
from farnear.wire.values import read_time, read_value

_MEMBERS_PAGE = 10_000

_CHANGES = {
    clusters_pb2.CLUSTER_CHANGE_BORN: ClusterChange.BORN,
    clusters_pb2.CLUSTER_CHANGE_GROWN: ClusterChange.GROWN,
    clusters_pb2.CLUSTER_CHANGE_SHRUNK: ClusterChange.SHRUNK,
    clusters_pb2.CLUSTER_CHANGE_MERGED: ClusterChange.MERGED,
    clusters_pb2.CLUSTER_CHANGE_SPLIT: ClusterChange.SPLIT,
    clusters_pb2.CLUSTER_CHANGE_DISSOLVED: ClusterChange.DISSOLVED,
}


def read_clustering(pages: Iterable[clusters_pb2.ListClustersResponse]) -> Clustering:
    """Reads the pages of a ListClusters, of which there is at least one."""
    clusters: list[Cluster] = []
    for page in pages:
        clusters += [_read_cluster(cluster) for cluster in page.clusters]
    return Clustering(map=_read_map_info(page.map), clusters=tuple(clusters), noise_count=page.noise_count)


def to_cluster_request(collection: str, cluster: int, limit: int | None) -> clusters_pb2.GetClusterRequest:
    """Writes the request for the first page of a GetCluster.

    Raises:
        ValueError: If the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit: {limit}, allowed are 1 or more, and None for all members")
    page_size = _MEMBERS_PAGE if limit is None else min(limit, _MEMBERS_PAGE)
    return clusters_pb2.GetClusterRequest(collection=collection, cluster=cluster, page_size=page_size)


def read_details(page: clusters_pb2.GetClusterResponse, member_item_ids: Iterable[str]) -> ClusterDetails:
    """Reads a page of a GetCluster, with the members of this and other pages."""
    return ClusterDetails(
        cluster=_read_cluster(page.cluster),
        attributes=tuple(map(_read_attribute, page.attributes)),
        density=page.density,
        nearest=tuple(NearCluster(cluster=other.cluster, distance=other.distance) for other in page.nearest),
        member_item_ids=tuple(member_item_ids),
        map=_read_map_info(page.map),
    )


def read_suggestion(response: clusters_pb2.SuggestEpsResponse) -> EpsSuggestion:
    """Reads a SuggestEpsResponse."""
    return EpsSuggestion(
        distances=tuple(response.distances),
        eps=response.eps,
        cluster_count=response.cluster_count,
        noise_count=response.noise_count,
        min_samples=response.min_samples,
        map=_read_map_info(response.map),
    )


def read_events(response: clusters_pb2.WatchClustersResponse) -> EventBatch:
    """Reads a WatchClustersResponse."""
    return EventBatch(events=tuple(map(_read_event, response.events)), resume_token=response.resume_token)


def read_assignment(response: clusters_pb2.AssignResponse) -> Assignment:
    """Reads an AssignResponse."""
    return Assignment(
        cluster=response.cluster,
        core_distance=response.core_distance,
        x=response.x,
        y=response.y,
        map_version=response.map_version,
    )


def read_map_points(chunk: clusters_pb2.GetMapResponse) -> Iterator[MapPoint]:
    """Reads one chunk of a map."""
    for item_id, x, y, cluster, label in zip(
        chunk.item_ids, chunk.xs, chunk.ys, chunk.clusters, chunk.labels, strict=True
    ):
        yield MapPoint(item_id=item_id, x=x, y=y, cluster=cluster, label=label)


def read_fit(response: clusters_pb2.ReclusterResponse) -> Fit:
    """Reads a ReclusterResponse."""
    return Fit(map=_read_map_info(response.map), cluster_count=response.cluster_count, noise_count=response.noise_count)


def _read_map_info(message: clusters_pb2.MapInfo) -> MapInfo:
    return MapInfo(
        version=message.version,
        item_count=message.item_count,
        pending_count=message.pending_count,
        eps=message.eps,
        min_samples=message.min_samples,
        perplexity=message.perplexity,
        drift=message.drift,
    )


def _read_cluster(message: clusters_pb2.Cluster) -> Cluster:
    return Cluster(
        cluster=message.cluster,
        size=message.size,
        core_count=message.core_count,
        medoid_item_id=message.medoid_item_id,
        classes=tuple(ClassCount(label=entry.label, count=entry.count) for entry in message.classes),
    )


def _read_attribute(message: clusters_pb2.AttributeSummary) -> AttributeSummary:
    return AttributeSummary(
        name=message.name,
        count=message.count,
        values=tuple(ValueCount(value=read_value(entry.value), count=entry.count) for entry in message.values),
        least=read_value(message.least) if message.HasField("least") else None,
        median=read_value(message.median) if message.HasField("median") else None,
        greatest=read_value(message.greatest) if message.HasField("greatest") else None,
    )


def _read_event(message: clusters_pb2.ClusterEvent) -> ClusterEvent:
    return ClusterEvent(
        change=_CHANGES[message.change],
        cluster=message.cluster,
        size=message.size,
        size_before=message.size_before,
        parents=tuple(message.parents),
        time=read_time(message.time),
        map_version=message.map_version,
    )
