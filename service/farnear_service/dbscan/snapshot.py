"""What an engine held at one moment, for readers beside its writer."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from farnear_service.dbscan.clusters import Numbers

NOISE = -1

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """N points by `keys` int64 (N,) ascending, all arrays read-only.

    `points` float64 (N, D) are positions in the plane, or unit vectors if `cosine`. `labels` int64 (N,) are identities of
    clusters, -1 for noise; `core` (N,) marks core points. `next_id` will be the next new identity.

    It is all that a server must keep to go on where it was: see `IncrementalDbscan.load`.
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
        row = int(np.searchsorted(self.keys, key))
        return int(self.labels[row]) if row < len(self.keys) and self.keys[row] == key else None

    def assign(self, point: Points) -> tuple[int, float]:
        """The cluster that a point (D,) would belong to if it became no core point, else -1; and how far the nearest core point is.

        Distances are Euclidean, or cosine distances of `point` as a unit vector; infinite where no core point is. O(N D).
        """
        row, distance = _nearest_core(self.points, self.core, point, self.cosine)
        if row < 0:
            return NOISE, float("inf")
        limit = self.eps if self.cosine else self.eps * self.eps
        label = int(self.labels[row]) if distance <= limit else NOISE
        return label, distance if self.cosine else float(np.sqrt(distance))


@njit(cache=True, nogil=True)
def _nearest_core(points: Points, core: NDArray[np.bool_], point: Points, cosine: bool) -> tuple[int, float]:
    """The row of the nearest core point, the first where several are as near, and its distance, squared if Euclidean."""
    nearest, smallest = -1, np.inf
    for row in range(len(points)):
        if core[row]:
            distance = 0.0
            for d in range(len(point)):
                difference = points[row, d] - point[d]
                distance += points[row, d] * point[d] if cosine else difference * difference
            if cosine:
                distance = 1.0 - distance
            if distance < smallest:
                nearest, smallest = row, distance
    return nearest, smallest
