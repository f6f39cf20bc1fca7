"""The map of a collection and the density clusters on it."""

from dataclasses import dataclass

from farnear.attributes import AttributeValue


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
        drift: The share of the newest 500 placed items that lie farther from the nearest item of the fit than 99 of 100
            of those do from one another; above 0.2 a new fit is due. 0 for fewer than 50.
    """

    version: int
    item_count: int
    pending_count: int
    eps: float
    min_samples: int
    perplexity: float
    drift: float


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """How many members of a cluster have a label."""

    label: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One density cluster (DBSCAN, Ester et al. 1996).

    Attributes:
        cluster: Its number, 0 or more, which it keeps through growth, shrinkage and refits; -1 stands for the noise.
        size: Members: core and border points.
        core_count: Core points among them.
        medoid_item_id: The member with the least sum of cosine distances to the others; empty for noise.
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
class ValueCount:
    """How many members of a cluster have a value of an attribute."""

    value: AttributeValue
    count: int


@dataclass(frozen=True, kw_only=True)
class AttributeSummary:
    """What the members of a cluster say of one attribute.

    Attributes:
        name: Of the attribute.
        count: Members that have it.
        values: Of strings and bools, the values, most frequent first, at most ten; else empty.
        least: Of numbers and timestamps, the least value; else None.
        median: The median, being a value of a member; else None.
        greatest: The greatest value; else None.
    """

    name: str
    count: int
    values: tuple[ValueCount, ...]
    least: AttributeValue | None
    median: AttributeValue | None
    greatest: AttributeValue | None


@dataclass(frozen=True, kw_only=True)
class NearCluster:
    """Another cluster, and the distance in map units between the nearest core points of the two."""

    cluster: int
    distance: float


@dataclass(frozen=True, kw_only=True)
class ClusterDetails:
    """One cluster, or the noise, with what is in it.

    Attributes:
        cluster: As it is listed.
        attributes: One for each attribute that a member has, in order of name.
        density: The mean number of items within eps of a core point, itself counted, by the area of that circle: items
            a square map unit; 0 for noise.
        nearest: The five nearest clusters, nearest first; none for noise.
        member_item_ids: Members in order of item id, as many as were asked for.
        map: The map it is on.
    """

    cluster: Cluster
    attributes: tuple[AttributeSummary, ...]
    density: float
    nearest: tuple[NearCluster, ...]
    member_item_ids: tuple[str, ...]
    map: MapInfo


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fresh view of a collection: the facts of its map, and what DBSCAN found on it."""

    map: MapInfo
    cluster_count: int
    noise_count: int


@dataclass(frozen=True, kw_only=True)
class EpsSuggestion:
    """An eps for the standing map, and the curve that it was read from.

    Attributes:
        distances: The k-distance curve (Ester et al. 1996): the distances in map units of items to their min_samples-th
            nearest, themselves counted, ascending; at most 200, evenly spaced among all of them.
        eps: The distance at the knee of that curve (Satopaa et al. 2011); 0 where all items lie in one place.
        cluster_count: Clusters that DBSCAN finds on the standing map with it.
        noise_count: Items in none of them.
        min_samples: The density that it is suggested for.
        map: The standing map, with the eps and min_samples that hold now.
    """

    distances: tuple[float, ...]
    eps: float
    cluster_count: int
    noise_count: int
    min_samples: int
    map: MapInfo


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
