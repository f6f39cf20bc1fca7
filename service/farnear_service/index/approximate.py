"""Approximate search: inverted lists, probed at either end as deep as that end needs.

The items are parted among centroids, and a search looks through the lists of a few of them only: of those nearest to
the query for similar items, of those farthest from it for divergent ones. How many lists that takes differs from end
to end, so each is measured on its own (`build`). Within the lists, and among items that came later, search is exact.

Reference: Jégou, Douze and Schmid 2011, Product quantization for nearest neighbor search, section IV (IVF).
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.exact import DIVERGENT, SIMILAR, Ends, settled
from farnear_service.index.memory import moved
from farnear_service.index.ranking import Rankings
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

    Unit float32 `centroids` (L, D) and `vectors` (N, D), and int64 `rows` (N,), which rows of the generation these are.
    `probing` has None for an end that is better searched exactly; where both are, there are no lists.

    `item_count` items stood in the first `row_count` rows when it was built; later rows are not in the lists.
    `numbering` is the generation's.
    """

    centroids: FloatArray
    vectors: FloatArray
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    probing: tuple[Probing | None, Probing | None]
    item_count: int
    row_count: int
    numbering: int

    def certificates(self, k: int) -> tuple[Certificate | None, Certificate | None]:
        """What is promised of the first k at either end; None for nothing."""
        similar, divergent = (None if probing is None else probing.certificate(k) for probing in self.probing)
        return similar, divergent

    def search(
        self,
        vectors: FloatArray,
        columns: ColumnsView,
        query: FloatArray,
        k: int,
        *,
        ends: Ends,
        live: NDArray[np.bool_] | None,
    ) -> Rankings:
        """The first k live rows at each end that is asked for, which has a probing; `live` None for all.

        `vectors`, `columns` and `live` are those of a generation of the same numbering.
        """
        closeness = self.centroids @ query
        later = np.array([[self.row_count, len(vectors)]])

        def spans(end: int, nearness: FloatArray) -> NDArray[np.int64]:
            probing = self.probing[end]
            if not ends[end] or probing is None:
                return np.empty((0, 2), np.int64)
            lists = np.sort(np.argpartition(-nearness, probing.lists - 1)[: probing.lists])
            return np.stack([self.starts[lists], self.starts[lists + 1]], axis=1)

        near, far = spans(SIMILAR, closeness), spans(DIVERGENT, -closeness)

        def propose(queries: FloatArray, ask: int) -> Candidates:
            look = partial(scan, queries=queries, ask=ask, allowed=live)
            parts = [
                look(self.vectors, ends=(True, False), spans=near, row_of=self.rows),
                look(self.vectors, ends=(False, True), spans=far, row_of=self.rows),
                look(vectors, ends=ends, spans=later),
            ]
            rows = np.concatenate([part.rows for part in parts], axis=2)
            return Candidates(rows, np.max([part.floors for part in parts], axis=0))

        return settled(vectors, columns, query[None], k, (None, None), propose)

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
