"""Two images whose likeness is to be explained."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from farnear_service.types import FloatArray, Image, ItemRef

View = tuple[Image | ItemRef, FloatArray | None]
"""An image to draw a heat map of, and the vector (D,) to compare it with; None of an image alone."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """The other side of a pair: a unit vector, float32 (D,), its image where it has one, its id where it is an item."""

    vector: FloatArray
    image: Image | ItemRef | None = None
    item_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An `image` with its unit vector, float32 (D,), and the other side.

    `divergent` asks for what makes them unlike. `cluster` is set where the other side is the medoid of it.
    """

    image: Image | ItemRef
    vector: FloatArray
    other: Side
    divergent: bool = False
    cluster: int | None = None

    @property
    def similarity(self) -> float:
        """The cosine of the two."""
        return float(np.clip(self.vector.astype(np.float64) @ self.other.vector.astype(np.float64), -1, 1))

    def views(self) -> Iterator[View]:
        """What to draw: the image, and that of the other side where it has one."""
        sign = -1 if self.divergent else 1  # the map of minus a cosine is that of the opposite target
        yield self.image, sign * self.other.vector
        if self.other.image is not None:
            yield self.other.image, sign * self.vector
