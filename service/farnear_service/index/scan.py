"""The fused scan: one pass over the vectors proposes the best rows at both ends of the scale.

FAISS flat answers "nearest" and "farthest" in two passes. Here each score is held against two floors, one an end, while
it is at hand, so every vector is read once. Scores come a block at a time, from a compiled loop for a few queries and
from a matrix product for many, and a block is searched only if its extremes reach a floor.

Scores are float32 sums and only propose. For unit vectors of D values such a sum is off by at most D 2^-24, in whatever
order it is taken (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1). So no row that scores less
than the k-th best score by more than twice that is truly among the k best. The floor lies twice as deep again: for its
own rounding, and so that whoever ranks the candidates exactly can tell that they are complete.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.index.kernel import HIGHEST, LOWEST, scan_blocks
from farnear_service.types import FloatArray

_LOOP_QUERIES = 16  # for more of them a matrix product is faster, at 16, 128 and 512 values alike
_ALL = np.empty(0, np.uint8)
_IN_PLACE = np.empty(0, np.int64)

__all__ = ["HIGHEST", "LOWEST", "Candidates", "rounding", "scan"]


@dataclass(frozen=True)
class Candidates:
    """What is proposed for both ends of B queries: `rows` int64 (2, B, C), in no order, and -1 where there is none.

    Of the rows that count, those that were left out score less than `floors` (2, B): LOWEST if none was, HIGHEST if
    more rows were as good as equal than there was room for, so that nothing is known. Scores are signed: more is better
    at either end.
    """

    rows: NDArray[np.int64]
    floors: FloatArray


def rounding(dim: int) -> float:
    """By how much the score of a scan can differ from the true inner product of unit vectors of `dim` values."""
    return dim * 2.0**-24


def scan(
    vectors: FloatArray,
    queries: FloatArray,
    ask: int,
    *,
    ends: tuple[bool, bool] = (True, True),
    ceilings: tuple[float, float] = (HIGHEST, HIGHEST),
    allowed: NDArray[np.bool_] | None = None,
    spans: NDArray[np.int64] | None = None,
    row_of: NDArray[np.int64] | None = None,
) -> Candidates:
    """Candidates for the `ask` most similar and the `ask` most divergent rows of each unit query (B, D).

    Args:
        vectors: unit, float32 (N, D), contiguous.
        queries: unit, float32 (B, D).
        ask: 1 or more.
        ends: which ends are asked for; the other ones have no candidates.
        ceilings: an end's signed scores above its ceiling do not count, but for a margin of rounding.
        allowed: by row; others do not count. All do if absent.
        spans: int64 (S, 2), the stretches of `vectors` to look at, from start to stop. All of them if absent.
        row_of: int64 (N,), the row of each vector. Its place if absent.

    Cost: reads N D float32 values once.
    """
    margin = np.float32(4 * rounding(vectors.shape[1]))
    count = len(vectors)
    rows, floors = scan_blocks(
        vectors,
        np.require(queries, np.float32, ["C", "W"]),
        ask,
        min(4 * ask + 256, count + 1),
        margin,
        np.array(ends),
        np.array(ceilings, np.float32) + margin,
        _ALL if allowed is None else np.require(allowed.view(np.uint8), requirements=["C", "W"]),
        np.array([[0, count]]) if spans is None else spans,
        _IN_PLACE if row_of is None else row_of,
        len(queries) > _LOOP_QUERIES,
    )
    return Candidates(rows, floors)
