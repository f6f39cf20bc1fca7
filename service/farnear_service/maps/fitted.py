"""What a fit leaves: landmarks in both spaces, among which every other item has its place."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from farnear_service.types import FloatArray

if TYPE_CHECKING:
    from farnear_service.maps.tsne import Landmarks

Positions = NDArray[np.float64]
Keys = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FittedMap:
    """L landmarks by `keys` ascending, their unit `vectors` float32 (L, D) and `positions` (L, 2) in map units.

    `version` counts the fits. `item_count` and `newest_key` are those of the collection at that time. 99 of 100
    landmarks have another one within the cosine distance `reach`.
    """

    version: int
    perplexity: float
    item_count: int
    newest_key: int
    reach: float
    keys: Keys
    vectors: FloatArray
    positions: Positions

    def place(self, vectors: FloatArray) -> Positions:
        """Positions (N, 2) of unit `vectors` (N, D) among the landmarks, which stay where they are.

        Each is placed on its own, so neither order nor batch changes where one lands. Some 2 ms each among 20,000.
        """
        return self._landmarks.place(vectors) if len(vectors) else np.empty((0, 2))

    @cached_property
    def _landmarks(self) -> "Landmarks":
        from farnear_service.maps.tsne import Landmarks

        return Landmarks(self.vectors, self.positions)
