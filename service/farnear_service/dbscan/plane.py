"""Incremental DBSCAN in the plane."""

import numpy as np
from numpy.typing import ArrayLike

from farnear_service.dbscan.deletion import delete_points
from farnear_service.dbscan.engine import IncrementalDbscan
from farnear_service.dbscan.grid import MARGIN, MAX_CELL
from farnear_service.dbscan.insertion import insert_points
from farnear_service.dbscan.tables import Numbers, Points


class PlaneDbscan(IncrementalDbscan):
    """Points are positions (x, y), and eps is a Euclidean distance.

    Two points are within eps if dx * dx + dy * dy <= eps * eps in float64, as scikit-learn's k-d tree compares points
    in its leaves. (Nodes as a whole it compares otherwise: of points whose squared distance is the next float64 above
    eps * eps it says one thing or the other, depending on the points around. Fewer than 12 points it compares without
    a tree, by a formula that rounds more.)

    What an insertion or deletion costs depends on the points around and not on how many there are elsewhere, but for
    this: to join two clusters costs as much as the smaller has cells of side eps / sqrt(2), and to take one apart as
    much as its second largest part has.
    """

    cosine = False

    def __init__(self, *, eps: float, min_samples: int) -> None:
        if not 1e-150 <= eps <= 1e150:
            raise ValueError(f"eps: is {eps}, and must be from 1e-150 to 1e150, so that float64 holds its square")
        super().__init__(eps=eps, min_samples=min_samples, dim=2)
        self._side = eps / np.sqrt(2) * (1 - MARGIN)
        store = self._tables.store
        store["squared_eps"] = eps * eps
        store["side"] = self._side
        store["reach"] = (eps / self._side) ** 2 * (1 + MARGIN)

    def _check(self, points: ArrayLike) -> Points:
        positions = np.asarray(points, np.float64)
        if positions.ndim != 2 or positions.shape[1] != 2:
            raise ValueError(f"points: must be of shape (N, 2), and are of {positions.shape}")
        farthest = self._side * MAX_CELL
        if not (np.abs(positions) < farthest).all():
            raise ValueError(f"points: coordinates must be numbers between -{farthest:g} and {farthest:g} for this eps")
        return positions

    def _insert(self, keys: Numbers, points: Points) -> None:
        if len(keys) > 1:
            # Row by row, so that of what one insertion read the next finds much in the processor's cache.
            columns, rows = np.floor(points / self._side).T
            order = np.lexsort((columns, rows))
            keys, points = keys[order], points[order]
        insert_points(self._tables, keys, points)

    def _delete(self, keys: Numbers) -> None:
        delete_points(self._tables, keys)

    def _points_at(self, rows: Numbers) -> Points:
        return np.column_stack((self._tables.points["x"], self._tables.points["y"])).take(rows, axis=0)


def warm_up() -> None:
    """Compiles what the plane needs, twelve seconds, or loads what an earlier process compiled and kept."""
    engine = PlaneDbscan(eps=1.0, min_samples=2)
    engine.load([1, 2, 3], [[0, 0], [1, 0], [2, 0]])
    engine.delete([2])
    engine.snapshot().assign([0.0, 0.0])
