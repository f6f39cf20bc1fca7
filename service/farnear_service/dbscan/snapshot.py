"""What an engine held at one moment, for readers beside its writer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farnear_service.compiled import compiled
from farnear_service.dbscan.tables import Numbers, Points

NOISE = -1


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """N points by `keys` int64 (N,) ascending; the arrays are read-only.

    `points` float64 (N, D) are positions in the plane or, if `cosine`, unit vectors. `labels` int64 (N,) are the
    identities of their clusters, -1 for noise, and `core` bool (N,) marks core points. `next_id` will be the next new
    identity.

    Keys, points, `representatives` and `next_id` are all that must be kept to go on from here: see
    `IncrementalDbscan.restore`.
    """

    keys: Numbers
    points: Points
    labels: Numbers
    core: NDArray[np.bool_]
    next_id: int
    eps: float
    cosine: bool

    def of(self, key: int) -> int | None:
        """The cluster of a point, -1 for noise, None for a key that is not there. O(log N)."""
        row = self._row(key)
        return None if row is None else int(self.labels[row])

    def position_of(self, key: int) -> Points | None:
        """The point (D,) of a key, None for one that is not there. O(log N)."""
        row = self._row(key)
        return None if row is None else self.points[row]

    def _row(self, key: int) -> int | None:
        row = int(np.searchsorted(self.keys, key))
        return row if row < len(self.keys) and self.keys[row] == key else None

    def representatives(self, before: Mapping[int, int], clusters: Collection[int]) -> dict[int, int]:
        """The key of one core point of each of `clusters`: the one of `before` while it is one, else the smallest."""
        chosen = {cluster: before[cluster] for cluster in clusters if cluster in before}
        keys, labels = np.array(list(chosen.values()), np.int64), np.array(list(chosen), np.int64)
        rows = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        stale = (self.keys[rows] != keys) | (self.labels[rows] != labels) | ~self.core[rows]
        for cluster in labels[stale].tolist():
            del chosen[cluster]
        if len(chosen) < len(clusters):
            cores = np.flatnonzero(self.core)
            found, first = np.unique(self.labels[cores], return_index=True)
            smallest = dict(zip(found.tolist(), self.keys[cores[first]].tolist(), strict=True))
            chosen |= {cluster: smallest[cluster] for cluster in clusters if cluster not in chosen}
        return chosen

    def assign(self, point: ArrayLike) -> tuple[int, float]:
        """The cluster to which a point (D,) would belong as a border point, -1 for none, without adding it.

        And its distance from the nearest core point, Euclidean or cosine, infinite where there is none. O(N D).

        Raises:
            ValueError: The point is not of the space.
        """
        place = np.asarray(point, np.float64)
        length = np.linalg.norm(place)
        if place.shape != self.points.shape[1:] or not np.isfinite(length) or (self.cosine and not length):
            raise ValueError(f"point: is {place}, and not of the space")
        if self.cosine:
            place = place / length
        row, distance = _nearest_core(self.points, self.core, place, self.cosine)
        if row < 0:
            return NOISE, float("inf")
        label = int(self.labels[row]) if distance <= (self.eps if self.cosine else self.eps * self.eps) else NOISE
        return label, distance if self.cosine else float(np.sqrt(distance))


@compiled
def _nearest_core(points: Points, core: NDArray[np.bool_], place: Points, cosine: bool) -> tuple[int, float]:
    """The first row of a nearest core point, and its distance, squared if Euclidean."""
    nearest, smallest = -1, np.inf
    for row in range(len(points)):
        if core[row]:
            product = squares = 0.0
            for d in range(len(place)):
                difference = points[row, d] - place[d]
                squares += difference * difference
                product += points[row, d] * place[d]
            distance = 1.0 - product if cosine else squares
            if distance < smallest:
                nearest, smallest = row, distance
    return nearest, smallest
