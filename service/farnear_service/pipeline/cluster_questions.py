"""What can be asked about the clusters of one moment."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.dbscan import NOISE, PlaneDbscan
from farnear_service.errors import NotFoundError
from farnear_service.index import Generation
from farnear_service.maps import MapSettings
from farnear_service.pipeline.attribute_summaries import AttributeSummary, attribute_summaries
from farnear_service.pipeline.durable_clusters import ClusterView

CURVE_POINTS = 200
NEAREST = 5
_AT_ONCE = 10_000  # points whose distances are looked up at a time


@dataclass(frozen=True, kw_only=True)
class MapPoints:
    """The N present items on the map: ids, `positions` (N, 2), `clusters` (N,) with noise -1, and labels."""

    item_ids: list[str]
    positions: NDArray[np.float64]
    clusters: NDArray[np.int64]
    labels: list[str]


@dataclass(frozen=True, kw_only=True)
class ClusterSummary:
    """One cluster: members, core points among them, the medoid's item id, and classes, most frequent first."""

    cluster: int
    size: int
    core_count: int
    medoid: str
    classes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class ClusterDetail:
    """One cluster with what is in it; see GetClusterResponse in proto/farnear/v1/clusters.proto."""

    summary: ClusterSummary
    attributes: tuple[AttributeSummary, ...]
    density: float
    nearest: tuple[tuple[int, float], ...]
    member_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """An `eps` for `min_samples`, the k-distance curve that it is the knee of, and what DBSCAN finds with it."""

    eps: float
    min_samples: int
    distances: NDArray[np.float64]
    cluster_count: int
    noise_count: int


def map_points(view: ClusterView, now: Generation) -> MapPoints:
    """Every present item on the map."""
    on_map, rows = _present(view, now)
    return MapPoints(
        item_ids=now.columns.item_ids(rows),
        positions=view.snapshot.points[on_map],
        clusters=view.snapshot.labels[on_map],
        labels=now.columns.labels(rows),
    )


def summaries(view: ClusterView, now: Generation) -> list[ClusterSummary]:
    """The clusters, largest first; O(N D)."""
    on_map, rows = _present(view, now)
    labels, core = view.snapshot.labels[on_map], view.snapshot.core[on_map]
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.array(sorted(view.sizes), np.int64))
    ends = [*bounds[1:].tolist(), len(order)]
    found = []
    for cluster, start, end in zip(sorted(view.sizes), bounds.tolist(), ends, strict=True):
        members = order[start:end]
        if members.size:  # else every member was deleted a moment ago
            found.append(_summary(cluster, now, rows[members], core[members]))
    return sorted(found, key=lambda summary: (-summary.size, summary.cluster))


def medoid(view: ClusterView, now: Generation, cluster: int) -> str:
    """The item id of the medoid of a cluster; NotFoundError where there is no such cluster now."""
    return _medoid(now, _members(view, now, cluster)[1])


def detail(view: ClusterView, now: Generation, cluster: int, *, after: str | None, limit: int) -> ClusterDetail:
    """One cluster, or the noise (-1), with up to `limit` members in order of id from behind `after` on.

    Raises NotFoundError where there is no such cluster now.
    """
    on_map, rows = _members(view, now, cluster)
    core = view.snapshot.core[on_map]
    ids = sorted(now.columns.item_ids(rows))
    if cluster == NOISE:
        summary = ClusterSummary(
            cluster=NOISE, size=len(rows), core_count=0, medoid="", classes=_classes(now.columns.labels(rows))
        )
    else:
        summary = _summary(cluster, now, rows, core)
    return ClusterDetail(
        summary=summary,
        attributes=attribute_summaries(now.columns, rows),
        density=0.0 if cluster == NOISE else _density(view, on_map[core]),
        nearest=() if cluster == NOISE else _nearest(view, cluster),
        member_ids=tuple([one for one in ids if after is None or one > after][:limit]),
    )


def suggestion(view: ClusterView, settings: MapSettings) -> Suggestion:
    """The k-distance curve of the map (Ester et al. 1996) and the eps at its knee (Satopaa et al. 2011).

    The knee is where the curve of ascending distances lies farthest below the straight line between its ends.
    """
    from scipy.spatial import cKDTree

    points, k = view.snapshot.points, min(settings.min_samples, len(view.snapshot.keys))
    tree = cKDTree(points)
    distances = np.concatenate(
        [
            np.empty(0),
            *(tree.query(points[start : start + _AT_ONCE], [k])[0][:, 0] for start in range(0, len(points), _AT_ONCE)),
        ]
    )
    distances.sort()
    span = distances[-1] - distances[0]
    below = np.linspace(0, 1, len(distances)) - (distances - distances[0]) / span if span else np.zeros(len(distances))
    eps = float(distances[np.argmax(below)])
    clusters = noise = 0
    if eps:
        engine = PlaneDbscan(eps=eps, min_samples=settings.min_samples)
        engine.insert(view.snapshot.keys, points)
        clusters, noise = len(engine.sizes), len(points) - sum(engine.sizes.values())
    shown = np.linspace(0, len(distances) - 1, min(CURVE_POINTS, len(distances))).round().astype(np.int64)
    return Suggestion(
        eps=eps,
        min_samples=settings.min_samples,
        distances=distances[shown],
        cluster_count=clusters,
        noise_count=noise,
    )


def _present(view: ClusterView, now: Generation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the items of a generation that are on the map are: their rows of the snapshot, and of the generation."""
    on_map, rows = view.rows_of(now.keys)
    there = now.live[rows]
    return on_map[there], rows[there]


def _members(view: ClusterView, now: Generation, cluster: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    on_map, rows = _present(view, now)
    here = view.snapshot.labels[on_map] == cluster
    if cluster != NOISE and not here.any():
        raise NotFoundError(f"cluster: there is no {cluster} now")
    return on_map[here], rows[here]


def _summary(cluster: int, now: Generation, rows: NDArray[np.int64], core: NDArray[np.bool_]) -> ClusterSummary:
    return ClusterSummary(
        cluster=cluster,
        size=rows.size,
        core_count=int(core.sum()),
        medoid=_medoid(now, rows),
        classes=_classes(now.columns.labels(rows)),
    )


def _medoid(now: Generation, rows: NDArray[np.int64]) -> str:
    unit = now.vectors[rows].astype(np.float64)
    # The sum of cosine distances to the others is least where the product with the sum of all is greatest.
    closeness = (unit * unit.sum(axis=0)).sum(axis=1)
    return min(now.columns.item_ids(rows[closeness >= closeness.max() - 1e-9]))


def _classes(labels: list[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(labels).items(), key=lambda entry: (-entry[1], entry[0])))


def _density(view: ClusterView, cores: NDArray[np.int64]) -> float:
    from scipy.spatial import cKDTree

    points, eps = view.snapshot.points, view.settings.eps
    counts = cKDTree(points).query_ball_point(points[cores], eps, return_length=True)
    return float(np.mean(counts) / (np.pi * eps * eps))


def _nearest(view: ClusterView, cluster: int) -> tuple[tuple[int, float], ...]:
    from scipy.spatial import cKDTree

    now = view.snapshot
    mine = cKDTree(now.points[now.core & (now.labels == cluster)])
    others = np.flatnonzero(now.core & (now.labels != cluster))
    distances = mine.query(now.points[others])[0]
    least: dict[int, float] = {}
    for label, distance in zip(now.labels[others].tolist(), distances.tolist(), strict=True):
        least[label] = min(distance, least.get(label, np.inf))
    return tuple(sorted(least.items(), key=lambda entry: (entry[1], entry[0]))[:NEAREST])
