"""What happens to the clusters of a collection."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ClusterChange(StrEnum):
    """What can happen to a cluster.

    BORN: it is new, and none of its items was a core point before. GROWN, SHRUNK: only its size changed. MERGED: it
    took up others, which ended. SPLIT: it is new, and has core points of its parents, which live on. DISSOLVED: it
    ended, and none of its core points is one any more.
    """

    BORN = "born"
    GROWN = "grown"
    SHRUNK = "shrunk"
    MERGED = "merged"
    SPLIT = "split"
    DISSOLVED = "dissolved"


@dataclass(frozen=True, kw_only=True)
class ClusterEvent:
    """What happened to one cluster.

    Attributes:
        change: What it was.
        cluster: The number of the cluster.
        size: Members after it.
        size_before: Members before it.
        parents: Of a MERGED cluster itself, then those that it took up; of a SPLIT one those that it comes from.
        time: When, in UTC.
        map_version: The version of the map on which it happened.
    """

    change: ClusterChange
    cluster: int
    size: int
    size_before: int
    parents: tuple[int, ...]
    time: datetime
    map_version: int


@dataclass(frozen=True, kw_only=True)
class EventBatch:
    """Events that came together, and the token to go on behind them."""

    events: tuple[ClusterEvent, ...]
    resume_token: str
