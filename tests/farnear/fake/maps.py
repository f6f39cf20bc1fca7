# ruff: noqa: N802 - servicer methods are named by the contract
import itertools
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
from farnear.v1 import clusters_pb2, types_pb2

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

    def GetCluster(self, request: Any, context: Any) -> clusters_pb2.GetClusterResponse:
        self.enter("GetCluster", request, context)
        stored = self._mapped(request.collection, context)
        names = sorted(name for name, item in stored.items.items() if item.cluster == request.cluster)
        if not names and request.cluster != -1:
            context.abort(grpc.StatusCode.NOT_FOUND, f"cluster: there is no cluster {request.cluster}")
        members, token = self.page(names, request.page_token)
        others = sorted({item.cluster for item in stored.items.values() if item.cluster is not None} - {-1})
        is_noise = request.cluster == -1
        return clusters_pb2.GetClusterResponse(
            cluster=_cluster(stored, request.cluster),
            attributes=[_summary(stored, names, name) for name in sorted(_attribute_names(stored, names))],
            density=0 if is_noise else 2.5,
            nearest=[
                clusters_pb2.NearCluster(cluster=other, distance=abs(other - request.cluster))
                for other in others
                if other != request.cluster and not is_noise
            ],
            member_item_ids=members[: request.page_size],
            next_page_token=token,
            map=_map_info(stored),
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
        for name in ("eps", "min_samples", "perplexity"):
            if request.HasField(name):
                setattr(stored, name, getattr(request, name))
        _fit(stored)
        clusters = [item.cluster for item in stored.items.values()]
        return clusters_pb2.ReclusterResponse(
            map=_map_info(stored), cluster_count=len(set(clusters) - {-1}), noise_count=clusters.count(-1)
        )

    def SuggestEps(self, request: Any, context: Any) -> clusters_pb2.SuggestEpsResponse:
        self.enter("SuggestEps", request, context)
        stored = self._mapped(request.collection, context)
        return clusters_pb2.SuggestEpsResponse(
            distances=[0.1, 0.2, 0.3, 4.0],
            eps=0.3,
            cluster_count=2,
            noise_count=1,
            min_samples=request.min_samples if request.HasField("min_samples") else stored.min_samples,
            map=_map_info(stored),
        )

    def WatchClusters(self, request: Any, context: Any) -> Iterator[clusters_pb2.WatchClustersResponse]:
        self.enter("WatchClusters", request, context)
        stored = self.collection(request.collection, context)
        context.add_callback(self._gone)
        behind = int(request.resume_token) if request.resume_token else 0 if request.from_start else len(stored.events)
        told = 0
        while context.is_active():
            if told == self.watch_limit:
                context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            with self.changed:
                if request.collection not in self.collections:
                    context.abort(grpc.StatusCode.NOT_FOUND, f"collection: {request.collection!r} is not there")
                events = stored.events[behind : behind + self.page_limit]
                if not events and told:
                    self.changed.wait()
                    continue
            behind += len(events)
            told += 1
            yield clusters_pb2.WatchClustersResponse(events=events, resume_token=str(behind))

    def _gone(self) -> None:
        self.stream_ended.set()
        with self.changed:
            self.changed.notify_all()

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


def _cluster(stored: StoredCollection, number: int) -> clusters_pb2.Cluster:
    members = {name: item for name, item in stored.items.items() if item.cluster == number}
    labels = [item.label for item in members.values()]
    counts = sorted(((labels.count(label), label) for label in set(labels)), key=lambda pair: (-pair[0], pair[1]))
    return clusters_pb2.Cluster(
        cluster=number,
        size=len(members),
        core_count=len(members) if number != -1 else 0,
        medoid_item_id=min(members) if number != -1 else "",
        classes=[clusters_pb2.ClassCount(label=label, count=count) for count, label in counts],
    )


def _map_info(stored: StoredCollection) -> clusters_pb2.MapInfo:
    placed = sum(item.cluster is not None for item in stored.items.values())
    return clusters_pb2.MapInfo(
        version=stored.map_version,
        item_count=placed,
        pending_count=len(stored.items) - placed,
        eps=stored.eps,
        min_samples=stored.min_samples,
        perplexity=stored.perplexity,
        drift=0.25,
    )


def _attribute_names(stored: StoredCollection, members: list[str]) -> set[str]:
    return {name for member in members for name in stored.items[member].attributes}


def _summary(stored: StoredCollection, members: list[str], name: str) -> clusters_pb2.AttributeSummary:
    values = [stored.items[member].attributes[name] for member in members if name in stored.items[member].attributes]
    summary = clusters_pb2.AttributeSummary(name=name, count=len(values))
    if values[0].WhichOneof("kind") == "number_value":
        ordered = sorted(values, key=lambda value: value.number_value)
        for field, place in (("least", 0), ("median", (len(ordered) - 1) // 2), ("greatest", -1)):
            getattr(summary, field).CopyFrom(ordered[place])
        return summary
    counts = {value.SerializeToString(): values.count(value) for value in values}
    for raw, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        summary.values.add(value=types_pb2.AttributeValue.FromString(raw), count=count)
    return summary
