"""How maps and the clusters on them are made."""

import math
from dataclasses import dataclass

from farnear_service.errors import InvalidError, PreconditionError

MAX_EPS = 1e6
MIN_SAMPLES = range(2, 10_001)
MAX_PERPLEXITY = 1000.0


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """How maps are made: t-SNE `perplexity`, DBSCAN `eps` in map units and `min_samples` with the point itself counted.

    Above `landmark_limit` items a seeded sample of that many is fitted and the rest is placed on its map.
    """

    perplexity: float = 30.0
    eps: float = 3.0
    min_samples: int = 10
    landmark_limit: int = 20_000
    seed: int = 0

    def check(self) -> None:
        """Raises InvalidError for values that no map or clustering can be made with."""
        if not 0 < self.eps <= MAX_EPS:
            raise InvalidError(f"eps: is {self.eps}; allowed are values above 0, at most {MAX_EPS:g}")
        if self.min_samples not in MIN_SAMPLES:
            raise InvalidError(f"min_samples: is {self.min_samples}; allowed are {MIN_SAMPLES[0]} to {MIN_SAMPLES[-1]}")
        if not (math.isfinite(self.perplexity) and 1 <= self.perplexity <= MAX_PERPLEXITY):
            raise InvalidError(f"perplexity: is {self.perplexity}; allowed are 1 to {MAX_PERPLEXITY:g}")


def check_enough(count: int, settings: MapSettings) -> None:
    """Raises PreconditionError for fewer items than could make one core point."""
    if count < settings.min_samples:
        raise PreconditionError(f"collection: has {count} items; a map needs at least {settings.min_samples}")
