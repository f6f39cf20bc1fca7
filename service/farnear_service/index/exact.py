"""Exact search: a scan proposes in float32, float64 and item ids decide.

The answer is what a comparison with every item gives: ids, order and similarities. For what a scan leaves out scores
less than its floor, so its true similarity is less than the floor plus the rounding of a score. Where k ranked hits are
above that, they are the first k. Where not, more candidates are asked for, at last all.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.ranking import Positions, Rankings, ranked
from farnear_service.index.scan import HIGHEST, Candidates, scan
from farnear_service.types import FloatArray

SIMILAR, DIVERGENT = 0, 1
"""The two ends, as places in a pair."""

Ends = tuple[bool, bool]

_TOGETHER = 64  # queries that share one pass; what a pass keeps of each takes memory


def exact(
    vectors: FloatArray,
    columns: ColumnsView,
    queries: FloatArray,
    k: int,
    *,
    ends: Ends,
    allowed: NDArray[np.bool_] | None = None,
    behind: Positions = (None, None),
) -> Rankings:
    """For each unit query (B, D), the first k of unit `vectors` (N, D) at each end that is asked for.

    Only rows that are `allowed` (N,) count, and only what is strictly `behind` the positions.
    """
    source, row_of = vectors, None
    if allowed is not None and _are_few(allowed, vectors.shape[1], len(queries)):
        row_of = np.flatnonzero(allowed)
        source, allowed = vectors[row_of], None
    similar, divergent = behind
    ceilings = (
        HIGHEST if similar is None else similar.similarity,
        HIGHEST if divergent is None else -divergent.similarity,
    )

    def propose(some: FloatArray, ask: int) -> Candidates:
        return scan(source, some, ask, ends=ends, ceilings=ceilings, allowed=allowed, row_of=row_of)

    parts = [
        settled(vectors, columns, queries[start : start + _TOGETHER], k, behind, propose)
        for start in range(0, max(len(queries), 1), _TOGETHER)
    ]
    return Rankings(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))) if parts[1:] else parts[0]


def settled(
    vectors: FloatArray,
    columns: ColumnsView,
    queries: FloatArray,
    k: int,
    behind: Positions,
    propose: Callable[[FloatArray, int], Candidates],
    ask: int | None = None,
) -> Rankings:
    """The first k of what is proposed to queries (B, D) that ask for `ask`, or else k, and for more where in doubt."""
    ask = ask or k
    found = ranked(vectors, columns, queries, propose(queries, ask), k, behind)
    if not found.sure.all():
        for query in np.flatnonzero(~found.sure.all(axis=0)):
            one = queries[query, None]
            again = settled(vectors, columns, one, k, behind, propose, 8 * ask)
            for before, after in zip(found, again, strict=True):
                before[:, query] = after[:, 0]
    return found


def _are_few(allowed: NDArray[np.bool_], dim: int, query_count: int) -> bool:
    # Measured: a lone row costs what reading 600 values in a row does, and six times its own. Many queries share that.
    share = dim / (600 + 6 * dim) if query_count <= 16 else 1 / 2
    return bool(np.count_nonzero(allowed) <= share * len(allowed))
