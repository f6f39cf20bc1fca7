# ruff: noqa: N802 - servicer methods are named by the contract
import itertools
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
from farnear.v1 import clusters_pb2, explain_pb2, types_pb2
from numpy.typing import NDArray

from tests.farnear.fake.base import EntryError, FakeBase, StoredCollection, resolve, status


class FakeMaps(FakeBase):
    def ListClusters(self, request: Any, context: Any) -> clusters_pb2.ListClustersResponse:
        self.enter("ListClusters", request, context)
        stored = self._mapped(request.collection, context)
        labels = [item.cluster for item in stored.items.values()]
        found = [_cluster(stored, number) for number in sorted({n for n in labels if n is not None and n >= 0})]
        clusters, token = self.page(found, request.page_token)
        return clusters_pb2.ListClustersResponse(
            clusters=clusters, noise_count=labels.count(-1), map=_map_info(stored), next_page_token=token
        )

    def Assign(self, request: Any, context: Any) -> clusters_pb2.AssignResponse:
        self.enter("Assign", request, context)
        stored = self._mapped(request.collection, context)
        try:
            vector, _ = resolve(stored, request.query)
        except EntryError as error:
            context.abort(status(error.message.code), error.message.message)
        core = [item for item in stored.items.values() if item.cluster is not None and item.cluster >= 0]
        distances = [float(np.linalg.norm(vector[:2] - item.vector[:2])) for item in core]
        nearest = int(np.argmin(distances)) if core else -1
        inside = bool(core) and distances[nearest] <= 0.5
        return clusters_pb2.AssignResponse(
            cluster=(core[nearest].cluster or 0) if inside else -1,
            core_distance=distances[nearest] if core else float("inf"),
            x=float(vector[0]),
            y=float(vector[1]),
            map_version=stored.map_version,
        )

    def GetMap(self, request: Any, context: Any) -> Iterator[clusters_pb2.GetMapResponse]:
        self.enter("GetMap", request, context)
        context.add_callback(self.stream_ended.set)
        stored = self._mapped(request.collection, context)
        points = sorted(stored.items.items())
        for name, item in itertools.cycle(points) if self.endless_map else points:
            yield clusters_pb2.GetMapResponse(
                item_ids=[name],
                xs=[float(item.vector[0])],
                ys=[float(item.vector[1])],
                clusters=[-1 if item.cluster is None else item.cluster],
                labels=[item.label],
                map=_map_info(stored),
            )

    def Recluster(self, request: Any, context: Any) -> clusters_pb2.ReclusterResponse:
        self.enter("Recluster", request, context)
        stored = self.collection(request.collection, context)
        if not stored.items:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "collection: 0 items, a map needs 1 or more")
        _fit(stored)
        clusters = [item.cluster for item in stored.items.values()]
        return clusters_pb2.ReclusterResponse(
            map=_map_info(stored), cluster_count=len(set(clusters) - {-1}), noise_count=clusters.count(-1)
        )

    def Explain(self, request: Any, context: Any) -> explain_pb2.ExplainResponse:
        self.enter("Explain", request, context)
        stored = self.collection(request.collection, context)
        results = []
        for query in request.queries:
            try:
                vector = _resolve_image(stored, query)
            except EntryError as error:
                results.append(explain_pb2.ExplainResult(error=error.message))
                continue
            overlay = self.overlay if request.picture == explain_pb2.HEATMAP_PICTURE_OVERLAY else b""
            heatmap = explain_pb2.Heatmap(height=1, width=3, values=np.abs(vector).tolist(), picture_png=overlay)
            results.append(explain_pb2.ExplainResult(heatmap=heatmap))
        return explain_pb2.ExplainResponse(results=results)

    def _mapped(self, name: str, context: grpc.ServicerContext) -> StoredCollection:
        stored = self.collection(name, context)
        if stored.map_version == 0:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"collection: {name!r} has no map yet")
        return stored


def _fit(stored: StoredCollection) -> None:
    """Clusters by the axis of a vector's largest value; what leans to no axis is noise."""
    stored.map_version += 1
    for item in stored.items.values():
        item.cluster = int(np.argmax(item.vector)) if float(np.max(item.vector)) > 0.8 else -1


def _resolve_image(stored: StoredCollection, query: types_pb2.Query) -> NDArray[np.float32]:
    vector, kept = resolve(stored, query)
    if kept is None:
        raise EntryError(9, "item_id: its image is not kept")
    return vector


def _cluster(stored: StoredCollection, number: int) -> clusters_pb2.Cluster:
    members = {name: item for name, item in stored.items.items() if item.cluster == number}
    labels = [item.label for item in members.values()]
    counts = sorted(((labels.count(label), label) for label in set(labels)), key=lambda pair: (-pair[0], pair[1]))
    return clusters_pb2.Cluster(
        cluster=number,
        size=len(members),
        core_count=len(members),
        medoid_item_id=min(members),
        classes=[clusters_pb2.ClassCount(label=label, count=count) for count, label in counts],
    )


def _map_info(stored: StoredCollection) -> clusters_pb2.MapInfo:
    placed = sum(item.cluster is not None for item in stored.items.values())
    return clusters_pb2.MapInfo(
        version=stored.map_version,
        item_count=placed,
        pending_count=len(stored.items) - placed,
        eps=0.5,
        min_samples=1,
        perplexity=30.0,
    )
