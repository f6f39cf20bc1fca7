"""Approximate search: inverted lists, probed at either end as deep as that end needs.

The items are parted among centroids, and a search looks through the lists of a few of them only: of the centroids nearest
to the query for similar items, of those farthest from it for divergent ones. How many lists that takes differs from end
to end, so each is measured on its own (`build`). Within the lists, and among items that came later, search is exact.

Reference: Jégou, Douze and Schmid 2011, Product quantization for nearest neighbor search, section IV (IVF).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.exact import DIVERGENT, SIMILAR, settled
from farnear_service.index.memory import moved
from farnear_service.index.ranking import Ranking
from farnear_service.index.scan import Candidates, scan
from farnear_service.types import Certificate, FloatArray


@dataclass(frozen=True, kw_only=True)
class Probing:
    """How one end is searched: in `lists` of the lists. `certificates`, by k ascending, say what that found."""

    lists: int
    certificates: tuple[Certificate, ...]

    def certificate(self, k: int) -> Certificate | None:
        """What is promised of the first k: what was measured at k or, where it was not, at the next higher k."""
        return next((one for one in self.certificates if k <= one.k), None)


@dataclass(frozen=True, kw_only=True)
class Approximate:
    """N items of a generation in L lists: list i is `vectors[starts[i]:starts[i + 1]]`.

    Unit float32 `centroids` (L, D) and `vectors` (N, D), and int64 `rows` (N,), the rows that these have in the generation.
    `probing` has None for an end that is better searched exactly; where both are, there are no lists.

    `item_count` items stood in the first `row_count` rows when it was built; later ones are not in the lists. `numbering`
    is that of the generation's rows.
    """

    centroids: FloatArray
    vectors: FloatArray
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    probing: tuple[Probing | None, Probing | None]
    item_count: int
    row_count: int
    numbering: int

    def search(
        self,
        vectors: FloatArray,
        columns: ColumnsView,
        query: FloatArray,
        k: int,
        end: int,
        *,
        live: NDArray[np.bool_] | None,
    ) -> Ranking:
        """The first k rows at an end that has a probing; with `live`, only live rows.

        `vectors`, `columns` and `live` are those of a generation with the same numbering.
        """
        probing = self.probing[end]
        assert probing is not None
        far = self.centroids @ query if end == DIVERGENT else -(self.centroids @ query)
        lists = np.sort(np.argpartition(far, probing.lists - 1)[: probing.lists])
        spans = np.stack([self.starts[lists], self.starts[lists + 1]], axis=1)
        later = np.array([[self.row_count, len(vectors)]])
        ends = (end == SIMILAR, end == DIVERGENT)

        def propose(ask: int) -> Candidates:
            (listed,) = scan(self.vectors, query[None], ask, ends=ends, allowed=live, spans=spans, row_of=self.rows)
            (added,) = scan(vectors, query[None], ask, ends=ends, allowed=live, spans=later)
            return Candidates(
                np.concatenate([listed[end].rows, added[end].rows]), max(listed[end].floor, added[end].floor)
            )

        return settled(vectors, columns, query, k, end, None, propose(k), propose)

    def renumbered(self, new_rows: NDArray[np.int64]) -> "Approximate":
        """The same for a generation whose row i is now `new_rows[i]`, or gone where that is negative."""
        rows = new_rows[self.rows]
        stay = rows >= 0
        kept = np.flatnonzero(stay)
        return replace(
            self,
            vectors=moved(self.vectors, len(kept), kept),
            rows=rows[kept],
            starts=np.concatenate([[0], np.cumsum(stay)])[self.starts],
            row_count=int(np.count_nonzero(new_rows[: self.row_count] >= 0)),
            numbering=self.numbering + 1,
        )
