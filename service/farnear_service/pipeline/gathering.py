"""Searches by one query each, gathered: those that wait at the same moment share a thread and a pass over the vectors.

To search a hundred thousand short vectors takes less time than what surrounds it: the turns of threads and of the
interpreter's lock. Many callers, each with one query after the other, get about half as many answers again from one
pass for all of them. Larger collections have nothing to gain, and with a thread for each query the use of every core.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from farnear_service.batcher import Batcher
from farnear_service.index import Index
from farnear_service.metrics import Metrics
from farnear_service.types import Direction, FloatArray, SearchResult

MAX_TOGETHER = 16  # queries in one pass; more at once are no faster each
MAX_WAITING = 1000  # as many as calls that the server takes at once
MAX_VALUES = 2**22  # of all vectors, which a pass reads in about a millisecond


@dataclass(frozen=True, kw_only=True)
class LoneQuery:
    """A unit vector, float32 (D,), and what is asked of it; no filter, and no page but the first."""

    vector: FloatArray
    k: int
    direction: Direction


class GatheredSearches:
    """Single searches of one index. Belongs to one event loop."""

    def __init__(self, index: Index, metrics: Metrics) -> None:
        self._index = index
        self._metrics = metrics
        self._batcher = Batcher[LoneQuery, SearchResult](self._search, max_batch=MAX_TOGETHER, max_waiting=MAX_WAITING)

    async def search(self, query: LoneQuery) -> SearchResult:
        """The answer of `Generation.search`, at a generation no older than the one that stands now."""
        if self._index.now().vectors.size <= MAX_VALUES:
            return await self._batcher.submit(query)
        (result,) = await asyncio.to_thread(self._search, [query])
        return result

    def _search(self, queries: Sequence[LoneQuery]) -> list[SearchResult]:
        now = self._index.now()
        alike: dict[tuple[int, Direction], list[int]] = {}
        for place, query in enumerate(queries):
            alike.setdefault((query.k, query.direction), []).append(place)
        found: dict[int, SearchResult] = {}
        with self._metrics.stage("search"):
            for (k, direction), places in alike.items():
                vectors = np.stack([queries[place].vector for place in places])
                found.update(zip(places, now.search(vectors, k, direction), strict=True))
        return [found[place] for place in range(len(queries))]
