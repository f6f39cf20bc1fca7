"""One consistent state of a collection's items, and the search in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.approximate import Approximate
from farnear_service.index.exact import DIVERGENT, SIMILAR, Positions, exact
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

        Exact, but for the ends and the k for which an approximate index was certified: it answers there unless
        `allowed` or `behind` is given, for then its certificate would not hold.
        """
        wanted = (direction is not Direction.DIVERGENT, direction is not Direction.SIMILAR)
        unlimited = allowed is None and behind is None
        certificates = self._certificates(k) if unlimited else (None, None)
        if len(self) < len(self.keys):
            allowed = self.live if allowed is None else allowed & self.live
        pairs = exact(
            self.vectors,
            self.columns,
            queries,
            k,
            ends=(wanted[SIMILAR] and not certificates[SIMILAR], wanted[DIVERGENT] and not certificates[DIVERGENT]),
            allowed=allowed,
            behind=behind or (None, None),
        )
        results = []
        for query, pair in zip(queries, pairs, strict=True):
            similar, divergent = (
                self._certified(query, k, end, certificate) if want and certificate else self._hits(ranking)
                for end, want, certificate, ranking in zip(
                    (SIMILAR, DIVERGENT), wanted, certificates, pair, strict=True
                )
            )
            results.append(SearchResult(similar=similar, divergent=divergent))
        return results

    def _certificates(self, k: int) -> tuple[Certificate | None, Certificate | None]:
        """What the approximate index promises of the first k at either end."""
        if self.approximate is None:
            return None, None
        similar, divergent = (
            None if probing is None else probing.certificate(k) for probing in self.approximate.probing
        )
        return similar, divergent

    def _certified(self, query: FloatArray, k: int, end: int, certificate: Certificate) -> Hits | None:
        assert self.approximate is not None
        live = None if len(self) == len(self.keys) else self.live
        ranking = self.approximate.search(self.vectors, self.columns, query, k, end, live=live)
        if len(ranking) == min(k, len(self)):
            return self._hits(ranking, certificate)
        ends = (end == SIMILAR, end == DIVERGENT)
        (pair,) = exact(self.vectors, self.columns, query[None], k, ends=ends, allowed=live)
        return self._hits(pair[end])

    def _hits(self, ranking: Ranking | None, certificate: Certificate | None = None) -> Hits | None:
        if ranking is None:
            return None
        rows = ranking.rows
        return Hits(
            hits=tuple(
                Hit(key=key, item_id=item_id, label=label, similarity=similarity)
                for key, item_id, label, similarity in zip(
                    self.keys[rows].tolist(),
                    ranking.item_ids,
                    self.columns.labels(rows),
                    ranking.similarities.tolist(),
                    strict=True,
                )
            ),
            certificate=certificate,
        )
