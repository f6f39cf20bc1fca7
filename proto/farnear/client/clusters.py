"""The calls about the map of a collection and the density clusters on it."""

from collections.abc import Iterator

import grpc

from farnear.channel import FIT_TIMEOUT_S, translate
from farnear.client.connection import Connection
from farnear.inputs import Query
from farnear.results import Assignment, Clustering, Fit, MapPoint
from farnear.v1 import clusters_pb2
from farnear.wire.clusters import read_assignment, read_clustering, read_fit, read_map_points
from farnear.wire.queries import to_query


class ClusterCalls(Connection):
    """Clusters, places on the map, and new fits of it."""

    def clusters(self, collection: str, *, timeout: float | None = None) -> Clustering:
        """The density clusters of the standing map; `FailedPreconditionError` while no map is fitted yet."""
        request = clusters_pb2.ListClustersRequest(collection=collection)
        return read_clustering(self._pages(self._clusters.ListClusters, request, timeout))

    def assign(self, collection: str, query: Query, *, timeout: float | None = None) -> Assignment:
        """Which cluster a query falls into, without adding it; `FailedPreconditionError` while no map is fitted yet."""
        request = clusters_pb2.AssignRequest(collection=collection, query=to_query(query))
        return read_assignment(self._call(self._clusters.Assign, request, timeout))

    def map_points(self, collection: str, *, timeout: float | None = None) -> Iterator[MapPoint]:
        """Every placed item with its position, streamed; the timeout spans the whole stream.

        Raises:
            FailedPreconditionError: While no map is fitted yet.
        """
        seconds = self._timeout if timeout is None else timeout
        stream = self._clusters.GetMap(clusters_pb2.GetMapRequest(collection=collection), timeout=seconds)
        try:
            for chunk in stream:
                yield from read_map_points(chunk)
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=seconds) from error
        finally:
            # A caller that stops early must not leave the service sending.
            stream.cancel()

    def recluster(self, collection: str, *, timeout: float = FIT_TIMEOUT_S) -> Fit:
        """Fits a new map of all items acknowledged so far and returns when it stands.

        The fit goes on in the service if this call is given up.

        Raises:
            FailedPreconditionError: If the collection has too few items for a map.
        """
        request = clusters_pb2.ReclusterRequest(collection=collection)
        return read_fit(self._call(self._clusters.Recluster, request, timeout))
