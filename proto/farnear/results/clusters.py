"""The map of a collection and the density clusters on it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MapInfo:
    """How the standing 2-D map of a collection was made and how current it is.

    Attributes:
        version: Counts the fits of the collection, from 1.
        item_count: Items on the map.
        pending_count: Acknowledged items that are not on the map yet.
        eps: DBSCAN radius in map units.
        min_samples: Points within eps, the point itself counted, that make a core point.
        perplexity: t-SNE perplexity of this fit.
    """

    version: int
    item_count: int
    pending_count: int
    eps: float
    min_samples: int
    perplexity: float


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """How many members of a cluster have a label."""

    label: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One density cluster (DBSCAN, Ester et al. 1996).

    Attributes:
        cluster: 0, 1, 2, ...
        size: Members: core and border points.
        core_count: Core points among them.
        medoid_item_id: The member with the least sum of cosine distances to the others.
        classes: Predefined classes among the members, most frequent first.
    """

    cluster: int
    size: int
    core_count: int
    medoid_item_id: str
    classes: tuple[ClassCount, ...]


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """The clusters of the standing map, largest first, and the count of items in none."""

    map: MapInfo
    clusters: tuple[Cluster, ...]
    noise_count: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A freshly fitted map: its facts and what DBSCAN found on it."""

    map: MapInfo
    cluster_count: int
    noise_count: int


@dataclass(frozen=True, kw_only=True)
class MapPoint:
    """An item's place on the map; x and y are in map units, cluster -1 is noise."""

    item_id: str
    x: float
    y: float
    cluster: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Where a query falls on the standing map, without being added.

    Attributes:
        cluster: The cluster of the nearest core point within eps; -1 (noise) where there is none.
        core_distance: Distance to the nearest core point in map units; infinite where the map has no core point.
        x: Position on the map, in map units.
        y: Position on the map, in map units.
        map_version: The version of the map that was used.
    """

    cluster: int
    core_distance: float
    x: float
    y: float
    map_version: int
