"""How far a collection has drifted from what its map was fitted to."""

from collections import deque

from farnear_service.maps.fitted import FittedMap
from farnear_service.maps.quality import distances_to_nearest
from farnear_service.types import FloatArray

JUDGED_AT_ONCE = 50  # items of one batch that are compared with all landmarks
JUDGED = 500  # the newest of them, which make the drift
JUDGED_AT_LEAST = 50


class Drift:
    """The share of the newest placed items that lie farther from the nearest landmark than 99 of 100 landmarks do."""

    def __init__(self) -> None:
        self._far: deque[bool] = deque(maxlen=JUDGED)

    @property
    def value(self) -> float:
        """From 0 to 1; about 0.01 while nothing changes, 0 while too few items were judged."""
        far = list(self._far)
        return sum(far) / len(far) if len(far) >= JUDGED_AT_LEAST else 0.0

    def judge(self, fitted: FittedMap, vectors: FloatArray) -> None:
        """Takes some of the unit `vectors` (N, D) of items that were placed on a map into account."""
        some = vectors[:: -(-len(vectors) // JUDGED_AT_ONCE)]
        # Where most items are there twice the reach is 0, and float32 products of equal vectors are off by this much.
        reach = max(fitted.reach, 1e-6)
        self._far.extend((distances_to_nearest(fitted.vectors, some) > reach).tolist())
