"""Which cluster is which: identities that outlive change, and what happened to them.

A cluster is its core points. Of the clusters before a change and those after it, the two that share most core points are the
same cluster; of what is left again the two that share most, and so on. Then of clusters that merge the largest keeps its
identity, and of a cluster that splits the largest part. This is greedy: a Hungarian assignment could share more points in
all, by taking a large cluster's identity away for the sake of two small ones.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from farnear_service.dbscan.snapshot import NOISE, Snapshot


class Change(StrEnum):
    """What can happen to a cluster."""

    BORN = "born"
    GROWN = "grown"
    SHRUNK = "shrunk"
    MERGED = "merged"
    SPLIT = "split"
    DISSOLVED = "dissolved"


@dataclass(frozen=True, kw_only=True)
class ClusterEvent:
    """What a batch did to one cluster, whose members were `size_before` and are `size`, border points included.

    born: new, of points that were core points of no cluster. split: new, of core points of the `parents`, which may live on.
    merged: it took up the other `parents`, which ended; it is the first. dissolved: it ended without an heir. grown and shrunk:
    only its size changed.
    """

    change: Change
    cluster: int
    size: int
    size_before: int
    parents: tuple[int, ...] = ()


def identify(
    before: Mapping[int, int],
    after: Mapping[int, int],
    shared: Mapping[tuple[int, int], int],
    smallest_keys: Callable[[Sequence[int]], Sequence[int]],
    next_id: int,
) -> tuple[dict[int, int], tuple[ClusterEvent, ...]]:
    """Gives every cluster after a change an identity.

    Args:
        before: Sizes by identity.
        after: Sizes by whatever stands for the clusters after the change.
        shared: How many core points, at least one, a cluster before has in common with one after.
        smallest_keys: The smallest keys among the core points of clusters after: parts that share as much with a
            cluster are ranked by them, and new identities are given in their order.
        next_id: The first new identity.

    Returns:
        The identities of the clusters after, and an event for each cluster that changed, by identity.
    """
    pairs = _ranked(shared, smallest_keys)
    ids: dict[int, int] = {}
    living: set[int] = set()
    for old, cluster in pairs:
        if old not in living and cluster not in ids:
            ids[cluster] = old
            living.add(old)
    unnamed = [cluster for cluster in after if cluster not in ids]
    if unnamed:
        _, ordered = zip(*sorted(zip(smallest_keys(unnamed), unnamed, strict=True)), strict=True)
        ids |= {cluster: next_id + number for number, cluster in enumerate(ordered)}
    return ids, _events(before, after, ids, pairs, living)


def match_clusters(before: Snapshot, after: Snapshot) -> tuple[dict[int, int], tuple[ClusterEvent, ...]]:
    """Carries identities over from one clustering to another of (some of) the same keys, say after a refit of their map.

    Returns:
        The identity of each label of `after`, new ones counted from `before.next_id`, and an event for each cluster that changed.
    """
    _, here, there = np.intersect1d(before.keys, after.keys, assume_unique=True, return_indices=True)
    core = before.core[here] & after.core[there]
    pairs, counts = np.unique(
        np.stack([before.labels[here][core], after.labels[there][core]]), axis=1, return_counts=True
    )
    labels, first = np.unique(after.labels[after.core], return_index=True)
    smallest = dict(zip(labels.tolist(), after.keys[after.core][first].tolist(), strict=True))
    return identify(
        _sizes(before.labels),
        _sizes(after.labels),
        dict(zip(zip(*pairs.tolist(), strict=True), counts.tolist(), strict=True)),
        lambda clusters: [smallest[cluster] for cluster in clusters],
        before.next_id,
    )


def _sizes(labels: NDArray[np.int64]) -> dict[int, int]:
    found, counts = np.unique(labels[labels != NOISE], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _ranked(
    shared: Mapping[tuple[int, int], int], smallest_keys: Callable[[Sequence[int]], Sequence[int]]
) -> list[tuple[int, int]]:
    """Pairs of clusters before and after: those that share most first, then the older, then the smallest key."""
    parts = Counter((old, cores) for (old, _), cores in shared.items())
    tied = sorted({cluster for (old, cluster), cores in shared.items() if parts[old, cores] > 1})
    rank = dict(zip(tied, smallest_keys(tied), strict=True)) if tied else {}
    return sorted(shared, key=lambda pair: (-shared[pair], pair[0], rank.get(pair[1], 0)))


def _events(
    before: Mapping[int, int],
    after: Mapping[int, int],
    ids: Mapping[int, int],
    pairs: Sequence[tuple[int, int]],
    living: set[int],
) -> tuple[ClusterEvent, ...]:
    origins: dict[int, list[int]] = {}  # of a cluster: all that share core points with it
    ended_in: dict[int, int] = {}  # where most core points went of a cluster that ended
    for old, cluster in pairs:
        origins.setdefault(cluster, []).append(old)
        if old not in living:
            ended_in.setdefault(old, cluster)
    events = []
    for cluster, size in after.items():
        identity = ids[cluster]
        size_before = before.get(identity, 0)
        parents: list[int] = []
        if identity not in living:
            parents = sorted(origins.get(cluster, []))
            change = Change.SPLIT if parents else Change.BORN
        else:
            taken_up = sorted(old for old in origins[cluster] if ended_in.get(old) == cluster)
            if taken_up:
                change, parents = Change.MERGED, [identity, *taken_up]
            elif size == size_before:
                continue
            else:
                change = Change.GROWN if size > size_before else Change.SHRUNK
        events.append(
            ClusterEvent(change=change, cluster=identity, size=size, size_before=size_before, parents=tuple(parents))
        )
    for old in before.keys() - living - ended_in.keys():
        events.append(ClusterEvent(change=Change.DISSOLVED, cluster=old, size=0, size_before=before[old]))
    return tuple(sorted(events, key=lambda event: event.cluster))
