"""The calls about the map of a collection; `farnear.client.clusters` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

from collections.abc import AsyncIterator

import grpc

from farnear.aio.connection import Connection
from farnear.channel import FIT_TIMEOUT_S, translate
from farnear.inputs import Query
from farnear.results import Assignment, Clustering, Fit, MapPoint
from farnear.v1 import clusters_pb2
from farnear.wire.clusters import read_assignment, read_clustering, read_fit, read_map_points
from farnear.wire.queries import to_query


class ClusterCalls(Connection):
    """Clusters, places on the map, and new fits of it."""

    async def clusters(self, collection: str, *, timeout: float | None = None) -> Clustering:
        """The density clusters of the standing map; see `Client.clusters`."""
        request = clusters_pb2.ListClustersRequest(collection=collection)
        return read_clustering([page async for page in self._pages(self._clusters.ListClusters, request, timeout)])

    async def assign(self, collection: str, query: Query, *, timeout: float | None = None) -> Assignment:
        """Which cluster a query falls into; see `Client.assign`."""
        request = clusters_pb2.AssignRequest(collection=collection, query=to_query(query))
        return read_assignment(await self._call(self._clusters.Assign, request, timeout))

    async def map_points(self, collection: str, *, timeout: float | None = None) -> AsyncIterator[MapPoint]:
        """Every placed item with its position; see `Client.map_points`."""
        seconds = self._timeout if timeout is None else timeout
        stream = self._clusters.GetMap(clusters_pb2.GetMapRequest(collection=collection), timeout=seconds)
        try:
            async for chunk in stream:
                for point in read_map_points(chunk):
                    yield point
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=seconds) from error
        finally:
            # A caller that stops early must not leave the service sending.
            stream.cancel()

    async def recluster(self, collection: str, *, timeout: float = FIT_TIMEOUT_S) -> Fit:
        """Fits a new map and returns when it stands; see `Client.recluster`."""
        request = clusters_pb2.ReclusterRequest(collection=collection)
        return read_fit(await self._call(self._clusters.Recluster, request, timeout))
