"""What scikit-learn, and the rules spelled out over plain sets, say of the points that an engine should hold."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from farnear_service.dbscan import NOISE, Change, ClusterEvent, IncrementalDbscan, Snapshot
from sklearn.cluster import DBSCAN

Cores = frozenset[int]


def scikit_learn(points: np.ndarray, eps: float, min_samples: int, *, cosine: bool) -> tuple[np.ndarray, np.ndarray]:
    """Labels and core flags of DBSCAN from scratch.

    In the plane by a k-d tree that is one leaf, and that has a point far away besides: so every pair is compared by the
    leaf's formula, never the whole node, for which scikit-learn rounds in another way.
    """
    if not len(points):
        return np.empty(0, int), np.empty(0, bool)
    settings: dict[str, Any] = {"metric": "cosine"}
    if not cosine:
        settings = {"algorithm": "kd_tree", "leaf_size": len(points) + 2}
        points = np.vstack([points, np.full((1, 2), np.abs(points).max() + 100 * eps)])
    found = DBSCAN(eps=eps, min_samples=min_samples, **settings).fit(points)
    core = np.zeros(len(points), bool)
    core[found.core_sample_indices_] = True
    return (found.labels_, core) if cosine else (found.labels_[:-1], core[:-1])


def check(engine: IncrementalDbscan, held: Mapping[int, Iterable[float]], eps: float, min_samples: int) -> Snapshot:
    """Asserts that an engine holds these points, by key, clustered as scikit-learn clusters them."""
    now = engine.snapshot()
    assert now.keys.tolist() == sorted(held)
    assert len(engine) == len(held)
    points = np.array([held[key] for key in sorted(held)]).reshape(now.points.shape)
    labels, core = scikit_learn(points, eps, min_samples, cosine=now.cosine)
    np.testing.assert_array_equal(now.core, core)
    np.testing.assert_array_equal(now.labels == NOISE, labels == NOISE)
    pairs = set(zip(labels[core].tolist(), now.labels[core].tolist(), strict=True))
    assert len(pairs) == len({label for label, _ in pairs}) == len({label for _, label in pairs})
    for row in np.flatnonzero((labels != NOISE) & ~core).tolist():
        assert now.labels[row] == now.labels[_nearest_core(now, row)]
    found, counts = np.unique(now.labels[now.labels != NOISE], return_counts=True)
    assert dict(engine.sizes) == dict(zip(found.tolist(), counts.tolist(), strict=True))
    return now


def _nearest_core(now: Snapshot, row: int) -> int:
    core = np.flatnonzero(now.core)
    if now.cosine:
        products = np.zeros(len(core))
        for d in range(now.points.shape[1]):
            products += now.points[core, d] * now.points[row, d]
        return int(core[np.argmin(1.0 - products)])
    dx, dy = (now.points[core] - now.points[row]).T
    return int(core[np.argmin(dx * dx + dy * dy)])


def cores_of(now: Snapshot) -> dict[int, Cores]:
    """The keys of each cluster's core points, by identity."""
    return {
        label: frozenset(now.keys[now.core & (now.labels == label)].tolist())
        for label in np.unique(now.labels[now.core]).tolist()
    }


def sizes_of(now: Snapshot) -> dict[int, int]:
    """The number of members of each cluster, by identity."""
    return {label: int((now.labels == label).sum()) for label in np.unique(now.labels[now.core]).tolist()}


def names_after(before: Mapping[int, Cores], after: Iterable[Cores], next_id: int) -> dict[Cores, int]:
    """The identities of the clusters after a change, by what identity.py promises."""
    names: dict[Cores, int] = {}
    old, new = dict(before), set(after)
    while True:
        pairs = [
            (-len(cores & kept), identity, min(cores), cores)
            for identity, kept in old.items()
            for cores in new
            if cores & kept
        ]
        if not pairs:
            break
        _, identity, _, cores = min(pairs)
        names[cores] = identity
        del old[identity]
        new.remove(cores)
    return names | {cores: next_id + number for number, cores in enumerate(sorted(new, key=min))}


def events_between(before: Snapshot, after: Snapshot) -> tuple[ClusterEvent, ...]:
    """What ClusterEvent promises to tell of two moments, whose identities are given."""
    old, new = cores_of(before), cores_of(after)
    old_sizes, new_sizes = sizes_of(before), sizes_of(after)
    went_to = {
        identity: max((len(cores & kept), -min(cores), name) for name, cores in new.items())
        for identity, kept in old.items()
        if identity not in new and any(cores & kept for cores in new.values())
    }
    events = []
    for identity in sorted(old.keys() | new.keys()):
        size, size_before = new_sizes.get(identity, 0), old_sizes.get(identity, 0)
        parents: list[int] = []
        if identity not in new:
            if identity in went_to:
                continue
            change = Change.DISSOLVED
        elif identity not in old:
            parents = sorted(name for name, kept in old.items() if kept & new[identity])
            change = Change.SPLIT if parents else Change.BORN
        elif taken_up := sorted(name for name, (_, _, home) in went_to.items() if home == identity):
            change, parents = Change.MERGED, [identity, *taken_up]
        elif size == size_before:
            continue
        else:
            change = Change.GROWN if size > size_before else Change.SHRUNK
        events.append(
            ClusterEvent(change=change, cluster=identity, size=size, size_before=size_before, parents=tuple(parents))
        )
    return tuple(events)
