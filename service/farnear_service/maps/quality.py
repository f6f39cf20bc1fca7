"""How far items lie from what a map was fitted to: what its drift is measured by."""

import numpy as np
from numpy.typing import NDArray

from farnear_service.types import FloatArray

_AT_ONCE = 1000  # points that are compared with all landmarks at a time


def distances_to_nearest(
    landmarks: FloatArray, vectors: FloatArray, own: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """The cosine distance (N,) of each of N points from the nearest landmark; infinite where there is none.

    An item that is far from all landmarks is placed beside the nearest ones for want of better: a map says little of
    items that are farther from it than its own landmarks are from one another (conformal anomaly detection, Laxhammar
    and Falkman 2010).

    Args:
        landmarks: Unit vectors (L, D).
        vectors: Unit vectors (N, D) of the points.
        own: Where the points are landmarks themselves: their rows (N,), which do not count.
    """
    nearest = np.full(len(vectors), np.inf)
    for start in range(0, len(vectors), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        products = vectors[part] @ landmarks.T
        if own is not None:
            products[np.arange(len(products)), own[part]] = -np.inf
        nearest[part] = 1.0 - products.max(axis=1, initial=-np.inf)
    return nearest
