"""Exact search: a scan proposes in float32, float64 and item ids decide.

The answer is what a comparison with every item gives: ids, order and similarities. For what a scan leaves out scores
less than its floor, so its true similarity is less than the floor plus the rounding of a score. Where k ranked hits are
above that, they are the first k. Where not, more candidates are asked for, at last all.
"""

from collections.abc import Callable
from functools import partial
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.index.ranking import Position, Ranking, ranked, ranked_without_ties
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
    source, row_of = vectors, None
    if allowed is not None and _are_few(allowed, vectors.shape[1], len(queries)):
        row_of = np.flatnonzero(allowed)
        source, allowed = vectors[row_of], None
    similar, divergent = behind
    ceilings = (
        HIGHEST if similar is None else similar.similarity,
        HIGHEST if divergent is None else -divergent.similarity,
    )

    def propose(query: int, end: int, ask: int) -> Candidates:
        only, one = (end == SIMILAR, end == DIVERGENT), queries[query, None]
        return scan(source, one, ask, ends=only, ceilings=ceilings, allowed=allowed, row_of=row_of)[0][end]

    pairs = scan(source, queries, k, ends=ends, ceilings=ceilings, allowed=allowed, row_of=row_of)
    asked = [(query, end) for query in range(len(queries)) for end in (SIMILAR, DIVERGENT) if ends[end]]
    proposals = [(query, end == DIVERGENT, pairs[query][end].rows) for query, end in asked]
    quick = ranked_without_ties(vectors, columns, queries, proposals, k) if behind == (None, None) else repeat(None)
    found: list[list[Ranking | None]] = [[None, None] for _ in queries]
    for (query, end), ranking in zip(asked, quick, strict=False):
        candidates = pairs[query][end]
        if ranking is None or not _is_complete(ranking, candidates, k, vectors.shape[1], end):
            again = partial(propose, query, end)
            ranking = settled(vectors, columns, queries[query], k, end, behind[end], candidates, again)
        found[query][end] = ranking
    return [(similar, divergent) for similar, divergent in found]


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
        if _is_complete(ranking, candidates, k, vectors.shape[1], end):
            return ranking
        ask *= 8
        candidates = propose(ask)


def _is_complete(ranking: Ranking, candidates: Candidates, k: int, dim: int, end: int) -> bool:
    if candidates.floor == LOWEST:
        return True
    if len(ranking) < k:
        return False
    last = float(ranking.similarities[-1])
    return (-last if end == DIVERGENT else last) > candidates.floor + rounding(dim)


def _are_few(allowed: NDArray[np.bool_], dim: int, query_count: int) -> bool:
    # Measured: to fetch a lone row costs what reading some 500 values in a row does, and many queries share it.
    share = min(1 / 8, dim / 512) if query_count <= 16 else 1 / 2
    return bool(np.count_nonzero(allowed) <= share * len(allowed))
