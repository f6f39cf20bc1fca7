"""Two images whose likeness is to be explained."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from farnear_service.pipeline.model import DecodedImage
from farnear_service.types import FloatArray

# The cosine of two vectors as near as this to one another, or to opposite ones, is at its end: its gradient there is 0,
# and a map of what is left of it would be one of the rounding.
_AT_THE_END = 1e-4


@dataclass(frozen=True, kw_only=True)
class Side:
    """The other side of a pair: a unit vector, float32 (D,), its image where it has one, its id where it is an item."""

    vector: FloatArray
    image: DecodedImage | None = None
    item_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An `image` with its unit vector, float32 (D,), and the other side.

    `divergent` asks for what makes them unlike. `cluster` is set where the other side is the medoid of it.
    """

    image: DecodedImage
    vector: FloatArray
    other: Side
    divergent: bool = False
    cluster: int | None = None

    @property
    def similarity(self) -> float:
        """The cosine of the two."""
        return float(np.clip(self.vector.astype(np.float64) @ self.other.vector.astype(np.float64), -1, 1))

    def views(self) -> Iterator[tuple[DecodedImage, FloatArray]]:
        """The images to draw a map of, each with the vector (D,) to compare it with: zeros where nothing differs."""
        yield self.image, self._toward(self.vector, self.other.vector)
        if self.other.image is not None:
            yield self.other.image, self._toward(self.other.vector, self.vector)

    def _toward(self, vector: FloatArray, other: FloatArray) -> FloatArray:
        apart = other.astype(np.float64) - self.similarity * vector.astype(np.float64)
        if np.linalg.norm(apart) < _AT_THE_END:
            return np.zeros_like(other)
        return -other if self.divergent else other  # the gradient of minus a cosine is that with minus the target
