"""Which cluster is which: identities that outlive change, and what happened to them.

What makes a cluster the same is its core points. Of the clusters before a change and those after it, the two that
share most core points are the same cluster; of the others again the two that share most, and so on. So of clusters that
merge the largest keeps its identity, and of a cluster that splits the largest part does. This is greedy: a Hungarian
assignment could share more points in all, but by taking its identity from a large cluster for two small ones' sake.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from farnear_service.dbscan.snapshot import NOISE, Snapshot

SmallestKeys = Callable[[Sequence[int]], Sequence[int]]


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

    * born: it is new, and none of its points was a core point before.
    * split: it is new, and has core points of its `parents`, which live on.
    * merged: it took up other clusters, which ended; `parents` are itself, then these.
    * dissolved: it ended, and none of its core points is one any more.
    * grown, shrunk: only its size changed.
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
    smallest_keys: SmallestKeys,
    next_id: int,
) -> tuple[dict[int, int], tuple[ClusterEvent, ...]]:
    """Gives every cluster after a change an identity.

    Args:
        before: Sizes by identity.
        after: Sizes by whatever stands for the clusters after the change.
        shared: How many core points, at least one, a cluster before and one after have in common.
        smallest_keys: The smallest key of a core point of each of some clusters after. Parts that share as much with
            a cluster come in their order, and so do new clusters.
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
        in_order = sorted(zip(smallest_keys(unnamed), unnamed, strict=True))
        ids |= {cluster: next_id + number for number, (_, cluster) in enumerate(in_order)}

    parts: dict[int, list[int]] = {}  # of a cluster after: those before that it has core points of
    ended_in: dict[int, int] = {}  # of a cluster that ended: the one after that has most of its core points
    for old, cluster in pairs:
        parts.setdefault(cluster, []).append(old)
        if old not in living:
            ended_in.setdefault(old, cluster)
    events: list[ClusterEvent] = []
    for cluster, size in after.items():
        identity = ids[cluster]
        if identity in living:
            taken_up = sorted(old for old in parts[cluster] if ended_in.get(old) == cluster)
            if not taken_up:
                events += size_changes(before, {identity: size})
                continue
            change, parents = Change.MERGED, (identity, *taken_up)
        else:
            parents = tuple(sorted(parts.get(cluster, [])))
            change = Change.SPLIT if parents else Change.BORN
        events.append(
            ClusterEvent(
                change=change, cluster=identity, size=size, size_before=before.get(identity, 0), parents=parents
            )
        )
    for old in before.keys() - living - ended_in.keys():
        events.append(ClusterEvent(change=Change.DISSOLVED, cluster=old, size=0, size_before=before[old]))
    return ids, tuple(sorted(events, key=lambda event: event.cluster))


def size_changes(before: Mapping[int, int], after: Mapping[int, int]) -> tuple[ClusterEvent, ...]:
    """Events of clusters that merely grow and shrink, by identity."""
    return tuple(
        ClusterEvent(
            change=Change.GROWN if size > before[identity] else Change.SHRUNK,
            cluster=identity,
            size=size,
            size_before=before[identity],
        )
        for identity, size in sorted(after.items())
        if size != before[identity]
    )


def match_clusters(before: Snapshot, after: Snapshot) -> tuple[dict[int, int], tuple[ClusterEvent, ...]]:
    """Carries identities over to another clustering of (some of) the same keys, say after a refit of their map.

    Returns:
        The identity of each label of `after`, new ones from `before.next_id` on, and an event for each cluster that
        changed.
    """
    _, here, there = np.intersect1d(before.keys, after.keys, assume_unique=True, return_indices=True)
    core = before.core[here] & after.core[there]
    pairs, counts = np.unique(
        np.stack([before.labels[here][core], after.labels[there][core]]), axis=1, return_counts=True
    )
    shared = dict(zip(zip(*pairs.tolist(), strict=True), counts.tolist(), strict=True))
    labels, first = np.unique(after.labels[after.core], return_index=True)
    smallest = dict(zip(labels.tolist(), after.keys[after.core][first].tolist(), strict=True))
    return identify(
        _sizes(before.labels),
        _sizes(after.labels),
        shared,
        lambda clusters: [smallest[cluster] for cluster in clusters],
        before.next_id,
    )


def _sizes(labels: NDArray[np.int64]) -> dict[int, int]:
    found, counts = np.unique(labels[labels != NOISE], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _ranked(shared: Mapping[tuple[int, int], int], smallest_keys: SmallestKeys) -> list[tuple[int, int]]:
    """Pairs of clusters before and after: those that share most first, then the older, then by smallest key."""
    alike = Counter((old, cores) for (old, _), cores in shared.items())
    tied = sorted({cluster for (old, cluster), cores in shared.items() if alike[old, cores] > 1})
    rank = dict(zip(tied, smallest_keys(tied), strict=True)) if tied else {}
    return sorted(shared, key=lambda pair: (-shared[pair], pair[0], rank.get(pair[1], 0)))
