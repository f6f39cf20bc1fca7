"""The calls about the map of a collection; `farnear.client.clusters` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

import math
from collections.abc import AsyncIterator

import grpc

from farnear.aio.connection import Connection
from farnear.channel import FIT_TIMEOUT_S, translate
from farnear.inputs import Query
from farnear.results import Assignment, ClusterDetails, Clustering, EpsSuggestion, EventBatch, Fit, MapPoint
from farnear.v1 import clusters_pb2
from farnear.wire.clusters import (
    read_assignment,
    read_clustering,
    read_details,
    read_events,
    read_fit,
    read_map_points,
    read_suggestion,
    to_cluster_request,
)
from farnear.wire.queries import to_query


class ClusterCalls(Connection):
    """Clusters, places on the map, and new fits of it."""

    async def clusters(self, collection: str, *, timeout: float | None = None) -> Clustering:
        """The density clusters of the standing map; see `Client.clusters`."""
        request = clusters_pb2.ListClustersRequest(collection=collection)
        return read_clustering([page async for page in self._pages(self._clusters.ListClusters, request, timeout)])

    async def cluster(
        self, collection: str, cluster: int, *, limit: int | None = 100, timeout: float | None = None
    ) -> ClusterDetails:
        """One cluster with what is in it; see `Client.cluster`."""
        pages = self._pages(self._clusters.GetCluster, to_cluster_request(collection, cluster, limit), timeout)
        first = await anext(pages)
        members = list(first.member_item_ids)
        while (limit is None or len(members) < limit) and (page := await anext(pages, None)):
            members += page.member_item_ids
        return read_details(first, members[:limit])

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

    async def recluster(
        self,
        collection: str,
        *,
        eps: float | None = None,
        min_samples: int | None = None,
        perplexity: float | None = None,
        timeout: float = FIT_TIMEOUT_S,
    ) -> Fit:
        """Clusters anew and returns when the new view stands; see `Client.recluster`."""
        request = clusters_pb2.ReclusterRequest(
            collection=collection, eps=eps, min_samples=min_samples, perplexity=perplexity
        )
        return read_fit(await self._call(self._clusters.Recluster, request, timeout))

    async def suggest_eps(
        self, collection: str, *, min_samples: int | None = None, timeout: float | None = None
    ) -> EpsSuggestion:
        """An eps for the standing map; see `Client.suggest_eps`."""
        request = clusters_pb2.SuggestEpsRequest(collection=collection, min_samples=min_samples)
        return read_suggestion(await self._call(self._clusters.SuggestEps, request, timeout))

    async def watch_clusters(
        self, collection: str, *, resume_token: str = "", from_start: bool = False
    ) -> AsyncIterator[EventBatch]:
        """What happens to the clusters, as it happens; see `Client.watch_clusters`."""
        request = clusters_pb2.WatchClustersRequest(
            collection=collection, resume_token=resume_token, from_start=from_start
        )
        stream = self._clusters.WatchClusters(request)
        try:
            async for message in stream:
                yield read_events(message)
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=math.inf) from error
        finally:
            stream.cancel()
