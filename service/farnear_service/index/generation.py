"""One consistent state of a collection's items, and the search in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.approximate import Approximate
from farnear_service.index.exact import DIVERGENT, SIMILAR, Ends, Positions, exact
from farnear_service.index.ranking import Ranking
from farnear_service.types import Certificate, Direction, FloatArray, Hit, Hits, SearchResult


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One state of the items: N rows, of which those count that are `live` (N,); the items of the others were removed.

    Row i is key `keys[i]`, ascending, the unit vector `vectors[i]` of float32 (N, D), and row i of `columns`. Nothing
    of it is to be modified. `len()` is the number of items: `count`, the live rows.

    A row means the same in all generations of one `numbering`, that of `approximate` included.
    """

    keys: NDArray[np.int64]
    vectors: FloatArray
    columns: ColumnsView
    live: NDArray[np.bool_]
    count: int
    numbering: int = 0
    approximate: Approximate | None = None

    def __len__(self) -> int:
        return self.count

    def search(
        self,
        queries: FloatArray,
        k: int,
        direction: Direction,
        *,
        allowed: NDArray[np.bool_] | None = None,
        behind: Positions | None = None,
    ) -> list[SearchResult]:
        """The k items most similar to, most divergent from, or both, for each unit query float32 (B, D).

        In order of similarity, which is the float64 inner product of the float32 values within [-1, 1], and then of the
        bytes of the item ids. Only rows that are `allowed` (N,) count, and only hits strictly `behind` the positions,
        one in the list of similar and one in that of divergent items. Fewer than k hits come only where fewer count.

        Exact, unless an approximate index is certified for this k at every end that is asked for. Its certificates
        would not hold where `allowed` or `behind` is given.
        """
        ends = (direction is not Direction.DIVERGENT, direction is not Direction.SIMILAR)
        live = None if len(self) == len(self.keys) else self.live
        if allowed is None and behind is None and self.approximate is not None:
            certificates = self.approximate.certificates(k)
            if all(certificate for end, certificate in zip(ends, certificates, strict=True) if end):
                return [self._certified(self.approximate, certificates, query, k, ends, live) for query in queries]
        if allowed is None:
            allowed = live
        elif live is not None:
            allowed = allowed & live
        found = exact(self.vectors, self.columns, queries, k, ends=ends, allowed=allowed, behind=behind or (None, None))
        return [
            SearchResult(similar=self._hits(similar), divergent=self._hits(divergent)) for similar, divergent in found
        ]

    def _certified(
        self,
        approximate: Approximate,
        certificates: tuple[Certificate | None, Certificate | None],
        query: FloatArray,
        k: int,
        ends: Ends,
        live: NDArray[np.bool_] | None,
    ) -> SearchResult:
        similar, divergent = approximate.search(self.vectors, self.columns, query, k, ends=ends, live=live)
        if any(ranking is not None and len(ranking) < min(k, len(self)) for ranking in (similar, divergent)):
            # The lists that were probed have lost so many items that the certificates do not hold.
            ((similar, divergent),) = exact(self.vectors, self.columns, query[None], k, ends=ends, allowed=live)
            certificates = (None, None)
        return SearchResult(
            similar=self._hits(similar, certificates[SIMILAR]),
            divergent=self._hits(divergent, certificates[DIVERGENT]),
        )

    def _hits(self, ranking: Ranking | None, certificate: Certificate | None = None) -> Hits | None:
        if ranking is None:
            return None
        rows = ranking.rows
        return Hits(
            hits=tuple(
                map(
                    Hit,
                    self.keys[rows].tolist(),
                    ranking.item_ids,
                    self.columns.labels(rows),
                    ranking.similarities.tolist(),
                )
            ),
            certificate=certificate,
        )
