"""What a report tells of a collection, asked of the service.

However large the collection is, what is kept of it is bounded: points to draw, clusters with pictures, events.
"""

import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from PIL import Image
from tqdm import tqdm

from farnear.client import Client
from farnear.errors import FailedPreconditionError, NotFoundError
from farnear.inputs import ImageRetention, ItemId
from farnear.report.pictures import small
from farnear.results import Cluster, ClusterChange, ClusterDetails, ClusterEvent, Clustering, Collection, MapPoint

MOST_POINTS = 100_000
MOST_ROWS = 50
MOST_NOISE = 20
MOST_EVENTS = 50
NEAREST = 9

_SIZES = (ClusterChange.GROWN, ClusterChange.SHRUNK)


@dataclass(frozen=True, kw_only=True)
class ClusterRow:
    """A cluster, its medoid and the members most similar to that, most similar first."""

    details: ClusterDetails
    item_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All of it.

    Attributes:
        collection: What it is of.
        clustering: Every cluster, largest first.
        counts: Items by cluster and label, all of them; -1 is the noise, the empty label no class.
        points: Of the map, at most `MOST_POINTS` and the medoids: all, or a fair sample.
        rows: The largest clusters, largest first, at most `MOST_ROWS`.
        noise_item_ids: Items of the noise drawn at random, at most `MOST_NOISE`.
        labels: Of every item that is shown.
        images: Small images of those items of which one is kept.
        events: The newest of what happened to clusters, newest first, without mere growth and shrinkage.
        time: When it was asked, in UTC.
    """

    collection: Collection
    clustering: Clustering
    counts: Mapping[tuple[int, str], int]
    points: tuple[MapPoint, ...]
    rows: tuple[ClusterRow, ...]
    noise_item_ids: tuple[str, ...]
    labels: Mapping[str, str]
    images: Mapping[str, Image.Image]
    events: tuple[ClusterEvent, ...]
    time: datetime

    @property
    def item_count(self) -> int:
        """Items on the map."""
        return sum(self.counts.values())

    @property
    def class_counts(self) -> dict[str, int]:
        """Items of each class, the empty label being those without one, commonest first."""
        counts: Counter[str] = Counter()
        for (_, label), count in self.counts.items():
            counts[label] += count
        return dict(counts.most_common())


def survey(client: Client, collection: str) -> Survey:
    """Asks for all of it; writes, and so changes of clusters, may go on meanwhile."""
    described = client.get_collection(collection)
    clustering = client.clusters(collection)
    counts, points, noise = _read_map(client, collection, clustering)
    rows, labels = _rows(client, collection, clustering.clusters[:MOST_ROWS])
    labels |= {point.item_id: point.label for point in noise}
    images = {} if described.image_retention == ImageRetention.NONE else _images(client, collection, labels)
    return Survey(
        collection=described,
        clustering=clustering,
        counts=counts,
        points=points,
        rows=rows,
        noise_item_ids=tuple(point.item_id for point in noise),
        labels=labels,
        images=images,
        events=structural_events(client, collection),
        time=datetime.now(UTC),
    )


def nearest_members(client: Client, collection: str, cluster: Cluster) -> dict[str, str]:
    """The labels of the medoid of a cluster and of the members most similar to it, by item id, most similar first."""
    medoid = cluster.medoid_item_id
    hits = client.similar(collection, ItemId(medoid), k=NEAREST, where=f"cluster = {cluster.cluster}")
    label = client.get_item(collection, medoid).label
    return {medoid: label, **{hit.item_id: hit.label for hit in hits}}


def structural_events(client: Client, collection: str) -> tuple[ClusterEvent, ...]:
    """The newest births, merges, splits and endings that are kept, newest first."""
    newest: deque[ClusterEvent] = deque(maxlen=MOST_EVENTS)
    for batch in client.watch_clusters(collection, from_start=True):
        newest.extend(event for event in batch.events if event.change not in _SIZES)
        # The feed does not tell where the past ends: it does where a watch from now on begins.
        if batch.resume_token == next(client.watch_clusters(collection)).resume_token:
            break
    return tuple(reversed(newest))


def _read_map(
    client: Client, collection: str, clustering: Clustering
) -> tuple[dict[tuple[int, str], int], tuple[MapPoint, ...], list[MapPoint]]:
    """Counts every point and keeps fair samples: of all, with every medoid, and of the noise."""
    medoids = {cluster.medoid_item_id for cluster in clustering.clusters}
    counts: Counter[tuple[int, str]] = Counter()
    kept_medoids: list[MapPoint] = []
    drawn, noise = _Sample(MOST_POINTS), _Sample(MOST_NOISE)
    stream = client.map_points(collection)
    for point in tqdm(
        stream, desc="reading the map", unit=" items", total=clustering.map.item_count, disable=None, leave=False
    ):
        counts[point.cluster, point.label] += 1
        if point.item_id in medoids:
            kept_medoids.append(point)
        else:
            drawn.offer(point)
        if point.cluster == -1:
            noise.offer(point)
    return dict(counts), (*drawn.points, *kept_medoids), sorted(noise.points, key=lambda point: point.item_id)


class _Sample:
    """A fair sample of a stream of unknown length, the same for the same stream (Vitter 1985, algorithm R)."""

    def __init__(self, size: int) -> None:
        self.points: list[MapPoint] = []
        self._size = size
        self._offered = 0
        self._draw = random.Random(0)

    def offer(self, point: MapPoint) -> None:
        self._offered += 1
        if len(self.points) < self._size:
            self.points.append(point)
        elif (place := self._draw.randrange(self._offered)) < self._size:
            self.points[place] = point


def _rows(
    client: Client, collection: str, clusters: Sequence[Cluster]
) -> tuple[tuple[ClusterRow, ...], dict[str, str]]:
    rows = []
    labels: dict[str, str] = {}
    for cluster in tqdm(clusters, desc="asking for members", unit=" clusters", disable=None, leave=False):
        try:
            details = client.cluster(collection, cluster.cluster, limit=1)
            found = nearest_members(client, collection, details.cluster)
        except NotFoundError:  # it ended, or lost its medoid, since the clusters were listed
            continue
        rows.append(ClusterRow(details=details, item_ids=tuple(found)))
        labels |= found
    return tuple(rows), labels


def _images(client: Client, collection: str, item_ids: Iterable[str]) -> dict[str, Image.Image]:
    images = {}
    for item_id in tqdm([*item_ids], desc="fetching images", unit=" images", disable=None, leave=False):
        try:
            images[item_id] = small(client.get_item_image(collection, item_id).data)
        except (NotFoundError, FailedPreconditionError):  # it is gone since, or was stored as a vector
            continue
    return images
