"""One consistent state of a collection's items, and the search in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, repeat

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.approximate import Approximate
from farnear_service.index.exact import Ends, exact
from farnear_service.index.ranking import Positions, Rankings
from farnear_service.types import Certificate, Direction, FloatArray, Hit, Hits, SearchResult

Certificates = tuple[Certificate | None, Certificate | None]


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
        return self._results(found, ends)

    def _certified(
        self,
        approximate: Approximate,
        certificates: Certificates,
        query: FloatArray,
        k: int,
        ends: Ends,
        live: NDArray[np.bool_] | None,
    ) -> SearchResult:
        found = approximate.search(self.vectors, self.columns, query, k, ends=ends, live=live)
        if any(end and count < min(k, len(self)) for end, count in zip(ends, found.counts[:, 0], strict=True)):
            # The lists that were probed have lost so many items that the certificates do not hold.
            found = exact(self.vectors, self.columns, query[None], k, ends=ends, allowed=live)
            certificates = (None, None)
        return self._results(found, ends, certificates)[0]

    def _results(self, found: Rankings, ends: Ends, certificates: Certificates = (None, None)) -> list[SearchResult]:
        within = np.arange(found.rows.shape[2]) < found.counts[:, :, None]
        rows = found.rows[within]
        fields = zip(
            self.keys[rows].tolist(),
            self.columns.item_ids(rows),
            self.columns.labels(rows),
            found.similarities[within].tolist(),
            repeat(None),
            repeat(None),
            strict=False,
        )
        hits: Iterator[Hit] = map(tuple.__new__, repeat(Hit), fields)  # as Hit() does, in half its time
        similar, divergent = (
            [Hits(hits=tuple(islice(hits, count)), certificate=certificate) if end else None for count in counts]
            for end, certificate, counts in zip(ends, certificates, found.counts.tolist(), strict=True)
        )
        return [SearchResult(similar=one, divergent=other) for one, other in zip(similar, divergent, strict=True)]
