"""Incremental DBSCAN on the unit sphere."""

import numpy as np
from numpy.typing import ArrayLike

from farnear_service.dbscan.engine import IncrementalDbscan
from farnear_service.dbscan.scan import delete_vectors, insert_vectors
from farnear_service.dbscan.tables import Numbers, Points

# Dividing by the length leaves the squared length of a vector that near to 1; and so it is not divided a second time.
_UNIT = 1e-12


class SphereDbscan(IncrementalDbscan):
    """Points are the directions of vectors of `dim` values, and eps is a cosine distance: 1 - <x, y> of unit vectors.

    That is scikit-learn's metric "cosine". An inner product is summed in float64 in order of the dimensions, there in
    an order of BLAS's choice: of points whose distance is within some 1e-16 of eps it can say otherwise.

    Neighbours are found by scans of all vectors, O(n dim) each. An insertion takes one, and one for every other point
    that becomes core. A deletion takes one, one for every other point that loses its core status or its anchor, and, if
    the core points around do not hold together by themselves, one for each step of the searches.
    """

    cosine = True

    def __init__(self, *, dim: int, eps: float, min_samples: int) -> None:
        if dim < 1:
            raise ValueError(f"dim: is {dim}, and must be at least 1")
        if not 1e-9 <= eps <= 2:
            raise ValueError(f"eps: is {eps}, and must be from 1e-9, so that it holds for equal vectors, to 2")
        super().__init__(eps=eps, min_samples=min_samples, dim=dim)
        self._vectors = np.zeros((dim, 0))
        self._distances = np.empty(0)

    def _check(self, points: ArrayLike) -> Points:
        vectors = np.asarray(points, np.float64)
        if vectors.ndim != 2 or vectors.shape[1] != self._dim:
            raise ValueError(f"points: must be of shape (N, {self._dim}), and are of {vectors.shape}")
        squared = (vectors * vectors).sum(axis=1, keepdims=True)
        if not ((squared > 0) & (squared < np.inf)).all():
            raise ValueError("points: vectors must be numbers, and not 0 throughout")
        return np.where(np.abs(squared - 1) <= _UNIT, vectors, vectors / np.sqrt(squared))

    def _make_room(self, more: int) -> None:
        super()._make_room(more)
        before, capacity = len(self._distances), len(self._tables.points)
        if capacity > before:
            vectors = np.zeros((self._dim, capacity))
            vectors[:, :before] = self._vectors
            self._vectors, self._distances = vectors, np.empty(capacity)

    def _insert(self, keys: Numbers, points: Points) -> None:
        insert_vectors(self._tables, self._vectors, self._distances, keys, points)

    def _delete(self, keys: Numbers) -> None:
        delete_vectors(self._tables, self._vectors, self._distances, keys)

    def _points_at(self, rows: Numbers) -> Points:
        return self._vectors[:, rows].T.copy()
