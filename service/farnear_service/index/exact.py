"""Exact search: a scan proposes in float32, float64 and item ids decide.

The answer is what a comparison with every item gives: ids, order and similarities. For what a scan leaves out scores
less than its floor, so its true similarity is less than the floor plus the rounding of a score. Where k ranked hits are
above that, they are the first k. Where not, more candidates are asked for, at last all.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.ranking import Position, Ranking, ranked
from farnear_service.index.scan import HIGHEST, LOWEST, Candidates, rounding, scan
from farnear_service.types import FloatArray

SIMILAR, DIVERGENT = 0, 1
"""The two ends, as places in a pair."""

Ends = tuple[bool, bool]
Positions = tuple[Position | None, Position | None]
Rankings = tuple[Ranking | None, Ranking | None]


def exact(
    vectors: FloatArray,
    columns: ColumnsView,
    queries: FloatArray,
    k: int,
    *,
    ends: Ends,
    allowed: NDArray[np.bool_] | None = None,
    behind: Positions = (None, None),
) -> list[Rankings]:
    """For each unit query (B, D), the first k of unit `vectors` (N, D) at each end that is asked for.

    Only rows that are `allowed` (N,) count, and only what is strictly `behind` the positions.
    """
    if not any(ends):
        return [(None, None)] * len(queries)
    source, row_of = vectors, None
    if allowed is not None and _are_few(allowed, vectors.shape[1], len(queries)):
        row_of = np.flatnonzero(allowed)
        source, allowed = vectors[row_of], None
    similar, divergent = behind
    ceilings = (
        HIGHEST if similar is None else similar.similarity,
        HIGHEST if divergent is None else -divergent.similarity,
    )

    def first(query: FloatArray, end: int, candidates: Candidates) -> Ranking | None:
        def propose(ask: int) -> Candidates:
            only = (end == SIMILAR, end == DIVERGENT)
            (pair,) = scan(source, query[None], ask, ends=only, ceilings=ceilings, allowed=allowed, row_of=row_of)
            return pair[end]

        if not ends[end]:
            return None
        return settled(vectors, columns, query, k, end, behind[end], candidates, propose)

    proposed = scan(source, queries, k, ends=ends, ceilings=ceilings, allowed=allowed, row_of=row_of)
    return [
        (first(query, SIMILAR, similar), first(query, DIVERGENT, divergent))
        for query, (similar, divergent) in zip(queries, proposed, strict=True)
    ]


def settled(
    vectors: FloatArray,
    columns: ColumnsView,
    query: FloatArray,
    k: int,
    end: int,
    behind: Position | None,
    candidates: Candidates,
    propose: Callable[[int], Candidates],
) -> Ranking:
    """The first k of what is proposed: of `candidates`, and of more for as long as those leave doubt."""
    ask = k
    while True:
        ranking = ranked(vectors, columns, query, candidates.rows, k, divergent=end == DIVERGENT, behind=behind)
        if candidates.floor == LOWEST:
            return ranking
        if len(ranking) == k:
            last = float(ranking.similarities[-1])
            if (-last if end == DIVERGENT else last) > candidates.floor + rounding(vectors.shape[1]):
                return ranking
        ask = 8 * ask
        candidates = propose(ask)


def _are_few(allowed: NDArray[np.bool_], dim: int, query_count: int) -> bool:
    # Measured: to fetch a lone row costs what reading some 500 values in a row does, and many queries share it.
    share = min(1 / 8, dim / 512) if query_count <= 16 else 1 / 2
    return bool(np.count_nonzero(allowed) <= share * len(allowed))
