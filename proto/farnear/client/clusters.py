"""The calls about the map of a collection and the density clusters on it."""

import math
from collections.abc import Iterator

import grpc

from farnear.channel import FIT_TIMEOUT_S, translate
from farnear.client.connection import Connection
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

    def clusters(self, collection: str, *, timeout: float | None = None) -> Clustering:
        """The density clusters of the standing map; `FailedPreconditionError` while no map is fitted yet."""
        request = clusters_pb2.ListClustersRequest(collection=collection)
        return read_clustering(self._pages(self._clusters.ListClusters, request, timeout))

    def cluster(
        self, collection: str, cluster: int, *, limit: int | None = 100, timeout: float | None = None
    ) -> ClusterDetails:
        """One cluster, or with -1 the noise, with what is in it and the first of its members.

        For the most typical members first, search from the medoid: `where=f"cluster = {cluster}"`. With the same filter
        `list_items` gives the members with all that is known of them.

        Args:
            collection: Where it is.
            cluster: Its number.
            limit: The most ids of members to return, in order of id; None for all of them.
            timeout: See the class; for each page of 10,000 members.

        Raises:
            FailedPreconditionError: While no map is fitted yet.
            NotFoundError: If there is no cluster of this number now.
            ValueError: If the limit is below 1.
        """
        pages = self._pages(self._clusters.GetCluster, to_cluster_request(collection, cluster, limit), timeout)
        first = next(pages)
        members = list(first.member_item_ids)
        while (limit is None or len(members) < limit) and (page := next(pages, None)):
            members += page.member_item_ids
        return read_details(first, members[:limit])

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

    def recluster(
        self,
        collection: str,
        *,
        eps: float | None = None,
        min_samples: int | None = None,
        perplexity: float | None = None,
        timeout: float = FIT_TIMEOUT_S,
    ) -> Fit:
        """Clusters all items acknowledged so far anew, and returns when the new view stands; until then the old serves.

        With eps or min_samples alone the standing map stays, and clusters are found anew on it, in seconds; otherwise a
        new map is fitted, in minutes. Either goes on in the service if this call is given up.

        Args:
            collection: What to cluster. Settings that are given stay with it; None leaves one as it is.
            eps: DBSCAN radius in map units, more than 0; see `suggest_eps`.
            min_samples: Points within eps, the point itself counted, that make a core point: 2 to 10,000.
            perplexity: About how many neighbours count for an item in t-SNE: 1 to 1,000.
            timeout: In seconds.

        Raises:
            FailedPreconditionError: If the collection has fewer than min_samples items.
            InvalidArgumentError: If a setting is out of range.
        """
        request = clusters_pb2.ReclusterRequest(
            collection=collection, eps=eps, min_samples=min_samples, perplexity=perplexity
        )
        return read_fit(self._call(self._clusters.Recluster, request, timeout))

    def suggest_eps(
        self, collection: str, *, min_samples: int | None = None, timeout: float | None = None
    ) -> EpsSuggestion:
        """An eps for the standing map, and what DBSCAN would find with it; nothing changes.

        Args:
            collection: Whose map.
            min_samples: The density to suggest for, 2 to 10,000; None for the collection's.
            timeout: See the class.

        Raises:
            FailedPreconditionError: While no map is fitted yet.
        """
        request = clusters_pb2.SuggestEpsRequest(collection=collection, min_samples=min_samples)
        return read_suggestion(self._call(self._clusters.SuggestEps, request, timeout))

    def watch_clusters(
        self, collection: str, *, resume_token: str = "", from_start: bool = False
    ) -> Iterator[EventBatch]:
        """What happens to the clusters, as it happens: it waits for as long as nothing does, without a timeout.

        The first batch comes at once, and may be empty: whoever lists the clusters after it misses nothing. What broke
        off goes on without a gap behind the last token:

            >>> token = ""
            >>> while True:
            ...     try:
            ...         for batch in client.watch_clusters("cells", resume_token=token):
            ...             for event in batch.events:
            ...                 print(event.time, event.change, event.cluster, event.size)
            ...             token = batch.resume_token
            ...     except UnavailableError:
            ...         time.sleep(1)

        Args:
            collection: What to watch.
            resume_token: Go on behind the batch that had it; empty: from now on.
            from_start: Without a token, begin with the first event that is kept. Births, merges, splits and endings are
                kept as long as the collection; of growth and shrinkage the newest 100,000 events.

        Raises:
            NotFoundError: If there is no such collection, or when it is deleted.
            UnavailableError: If the service cannot be reached, or goes away.
        """
        request = clusters_pb2.WatchClustersRequest(
            collection=collection, resume_token=resume_token, from_start=from_start
        )
        stream = self._clusters.WatchClusters(request)
        try:
            yield from map(read_events, stream)
        except grpc.RpcError as error:
            raise translate(error, address=self._address, timeout=math.inf) from error
        finally:
            stream.cancel()
