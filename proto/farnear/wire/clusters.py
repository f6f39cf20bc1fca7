"""The map of a collection and the density clusters on it."""

from collections.abc import Iterable, Iterator

from farnear.results import Assignment, ClassCount, Cluster, Clustering, Fit, MapInfo, MapPoint
from farnear.v1 import clusters_pb2


def read_clustering(pages: Iterable[clusters_pb2.ListClustersResponse]) -> Clustering:
    """Reads the pages of a ListClusters, of which there is at least one."""
    clusters: list[Cluster] = []
    for page in pages:
        clusters += [_read_cluster(cluster) for cluster in page.clusters]
    return Clustering(map=_read_map_info(page.map), clusters=tuple(clusters), noise_count=page.noise_count)


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
    )


def _read_cluster(message: clusters_pb2.Cluster) -> Cluster:
    return Cluster(
        cluster=message.cluster,
        size=message.size,
        core_count=message.core_count,
        medoid_item_id=message.medoid_item_id,
        classes=tuple(ClassCount(label=entry.label, count=entry.count) for entry in message.classes),
    )
