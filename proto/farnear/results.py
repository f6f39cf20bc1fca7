"""What a client answers with. All of it is plain, immutable Python: no array library is needed to read it."""

from dataclasses import dataclass
from datetime import datetime

from farnear.errors import FarnearError


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Items that share one embedding space.

    Attributes:
        name: Unique in the service.
        bundle: The name under which its model bundle is served.
        bundle_digest: Content digest of the bundle, 64 hex digits; never changes for a collection.
        item_count: Acknowledged items.
        embedding_dim: Length D of the vectors.
        create_time: When it was made, in UTC.
        keeps_images: Whether the original image bytes are kept, so that items can be explained by id.
    """

    name: str
    bundle: str
    bundle_digest: str
    item_count: int
    embedding_dim: int
    create_time: datetime
    keeps_images: bool


@dataclass(frozen=True, kw_only=True)
class Item:
    """A stored item.

    Attributes:
        item_id: Unique within the collection.
        label: The predefined class, or empty where none is known.
        cluster: The density cluster the item is in now: 0, 1, 2, ...; -1 is noise; None until the first map is fitted.
        create_time: When the item was first acknowledged, in UTC.
        has_image: Whether its image is kept, so that it can be explained by its id.
    """

    item_id: str
    label: str
    cluster: int | None
    create_time: datetime
    has_image: bool


@dataclass(frozen=True, kw_only=True)
class UpsertOutcome:
    """What became of one item: stored where `error` is None."""

    item_id: str
    error: FarnearError | None


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One answer of a search.

    Attributes:
        rank: 1 is the first of its list.
        item_id: The item that was found.
        similarity: Cosine similarity to the query, -1 to 1.
        label: Its predefined class, or empty.
        cluster: See `Item.cluster`.
    """

    rank: int
    item_id: str
    similarity: float
    label: str
    cluster: int | None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        similar: Highest similarity first; empty unless SIMILAR or BOTH was asked.
        divergent: Lowest similarity first; empty unless DIVERGENT or BOTH was asked.
        exact: Whether the lists are exactly what a comparison with every item gives, ties in order of item id.
        error: Set where this query was refused; its neighbours are served.
    """

    similar: tuple[Hit, ...]
    divergent: tuple[Hit, ...]
    exact: bool
    error: FarnearError | None


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


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """Which places of the feature layer the embedding comes from (Grad-CAM, Selvaraju et al. 2017, for a metric).

    Attributes:
        height: Rows of the grid.
        width: Columns of the grid.
        values: `height * width` values, row by row from the top left; 0 or more, not scaled, larger is more important.
        overlay_png: The map drawn over the image as a PNG; None unless it was asked for.
    """

    height: int
    width: int
    values: tuple[float, ...]
    overlay_png: bytes | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The answer to one query: a heat map, or the error it was refused with."""

    heatmap: Heatmap | None
    error: FarnearError | None
