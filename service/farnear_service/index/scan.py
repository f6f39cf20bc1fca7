"""The fused scan: one pass over the vectors proposes the best rows at both ends of the scale.

FAISS flat answers "nearest" and "farthest" in two passes. Here each score is held against two floors, one an end, while
it is at hand, so every vector is read once. Scores come a block at a time, from a compiled loop for a few queries and
from a matrix product for many, and a block is searched only if its extremes reach a floor.

Scores are float32 sums and only propose. For unit vectors of D values such a sum is off by at most D 2^-24, in whatever
order it is taken (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1). So no row that scores less
than the k-th best score by more than twice that is truly among the k best. The floor lies twice as deep again: for its
own rounding, and so that whoever ranks the candidates exactly can tell that they are complete.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from farnear_service.types import FloatArray

LOWEST, HIGHEST = -4.0, 4.0  # floors that every score reaches, and none

_BLOCK = 128  # rows; their scores stay in the nearest cache
_LOOP_QUERIES = 16  # for more of them a matrix product is faster, at 16, 128 and 512 values alike
_MAX_QUERIES = 64  # in one pass
_SHORT = 64  # values; shorter vectors are faster four at a time, longer ones one after the other


@dataclass(frozen=True)
class Candidates:
    """What a scan proposes for one end of one query: `rows` (C,), in no order.

    All that was left out scores less than `floor`: LOWEST if nothing was, HIGHEST if more rows were as good as equal
    than there was room for, so that nothing is known. Scores are signed: more is better at either end.
    """

    rows: NDArray[np.int64]
    floor: float


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
) -> list[tuple[Candidates, Candidates]]:
    """For each unit query (B, D), candidates for the `ask` most similar and the `ask` most divergent rows.

    Args:
        vectors: unit, float32 (N, D), contiguous.
        queries: unit, float32 (B, D).
        ask: 1 or more.
        ends: which ends are asked for; the other ones have no candidates.
        ceilings: an end's signed scores above its ceiling do not count, but for a margin of rounding.
        allowed: by row; others do not count. All do if absent.
        spans: int64 (S, 2), the stretches of `vectors` to look at, from start to stop. All of them if absent.
        row_of: int64 (N,), the row of each vector. Its place if absent.

    Cost: reads N D float32 values, once for every 64 queries.
    """
    margin = np.float32(4 * rounding(vectors.shape[1]))
    count = len(vectors)
    pairs = []
    for start in range(0, len(queries), _MAX_QUERIES):
        some = np.array(queries[start : start + _MAX_QUERIES], np.float32, order="C")
        rows, counts, floors = _scan(
            vectors,
            some,
            ask,
            min(4 * ask + 256, count + 1),
            margin,
            np.array(ends),
            np.array(ceilings, np.float32) + margin,
            np.empty(0, np.uint8) if allowed is None else allowed.view(np.uint8),
            np.array([[0, count]]) if spans is None else spans,
            np.empty(0, np.int64) if row_of is None else row_of,
            len(some) > _LOOP_QUERIES,
        )
        for query in range(len(some)):
            similar, divergent = (
                Candidates(rows[end, query, : counts[end, query]], float(floors[end, query])) for end in (0, 1)
            )
            pairs.append((similar, divergent))
    return pairs


def warm_up() -> None:
    """Compiles the scan, some seconds, or loads what an earlier process compiled and kept beside this file."""
    vectors = np.eye(2, dtype=np.float32)
    scan(vectors, vectors, 1)


# The compiled part. Numba infers the types, so there are no annotations.
# ruff: noqa: ANN001, ANN202


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled at its first call, and kept on disk for other processes if there is any folder for that."""
    # Sums in any order and fused multiply-add: what makes the loop fast, and what the bound above allows.
    fastmath = {"reassoc", "contract", "nsz", "nnan"}
    try:
        return njit(cache=True, nogil=True, fastmath=fastmath)(function)
    except RuntimeError:  # there is none, as in a container that is read-only
        return njit(nogil=True, fastmath=fastmath)(function)


@_compiled
def _scan(vectors, queries, ask, room, margin, ends, ceilings, allowed, spans, row_of, product):  # type: ignore[no-untyped-def]
    query_count = len(queries)
    scores = np.empty((2, query_count, room), np.float32)
    rows = np.empty((2, query_count, room), np.int64)
    counts = np.zeros((2, query_count), np.int64)
    limits = np.full((2, query_count), min(2 * ask + 16, room))  # so full a list is thinned out
    floors = np.full((2, query_count), np.float32(LOWEST))
    for end in range(2):
        if not ends[end]:
            floors[end] = HIGHEST
    flat = np.empty(query_count * _BLOCK, np.float32)
    whole_lines = flat.reshape(query_count, _BLOCK)
    away = np.zeros(_BLOCK, np.float32)  # what takes the scores of rows that are not allowed below every floor
    for span in range(len(spans)):
        for start in range(spans[span, 0], spans[span, 1], _BLOCK):
            stop = min(start + _BLOCK, spans[span, 1])
            size = stop - start
            if len(allowed):
                mask = allowed[row_of[start:stop]] if len(row_of) else allowed[start:stop]
                within = 0
                for i in range(size):
                    within += mask[i]
                    away[i] = np.float32(2 * HIGHEST) * np.float32(1 - mask[i])
                if within == 0:
                    continue
            lines = whole_lines if size == _BLOCK else flat[: query_count * size].reshape(query_count, size)
            _multiply(queries, vectors[start:stop], lines, product)
            for query in range(query_count):
                line = lines[query]
                most, least = np.float32(LOWEST), np.float32(HIGHEST)
                if len(allowed):
                    for i in range(size):
                        most = max(most, line[i] - away[i])
                        least = min(least, line[i] + away[i])
                else:
                    for i in range(size):
                        most = max(most, line[i])
                        least = min(least, line[i])
                for end in range(2):
                    floor = floors[end, query]
                    if (-least if end else most) < floor:
                        continue
                    sign = np.float32(1 - 2 * end)
                    count = counts[end, query]
                    for i in range(size):
                        score = sign * line[i] - away[i]
                        if score < floor or score > ceilings[end]:
                            continue
                        scores[end, query, count] = min(score, np.float32(1))
                        rows[end, query, count] = row_of[start + i] if len(row_of) else start + i
                        count += 1
                        if count == limits[end, query]:
                            count, floor = _thin_out(scores[end, query, :count], rows[end, query], ask, margin)
                            limits[end, query] = min(count + ask + 16, room)
                            if count > room // 4 * 3 and room <= len(vectors):
                                count, floor = 0, np.float32(HIGHEST)
                    counts[end, query] = count
                    floors[end, query] = floor
    return rows, counts, floors


@_compiled
def _multiply(queries, block, lines, product):  # type: ignore[no-untyped-def]
    size, dim = block.shape
    if product:
        np.dot(queries, block.T, lines)
        return
    fours = size // 4 * 4 if dim < _SHORT else 0
    for query in range(len(queries)):
        values = queries[query]
        line = lines[query]
        for i in range(0, fours, 4):
            a = b = c = d = np.float32(0)
            for j in range(dim):
                a += block[i, j] * values[j]
                b += block[i + 1, j] * values[j]
                c += block[i + 2, j] * values[j]
                d += block[i + 3, j] * values[j]
            line[i] = a
            line[i + 1] = b
            line[i + 2] = c
            line[i + 3] = d
        for i in range(fours, size):
            a = np.float32(0)
            for j in range(dim):
                a += block[i, j] * values[j]
            line[i] = a


@_compiled
def _thin_out(scores, rows, ask, margin):  # type: ignore[no-untyped-def]
    """Moves to the front what reaches the floor under the best `ask`; returns how many do, and the floor."""
    floor = _best(scores.copy(), ask) - margin
    kept = 0
    for i in range(len(scores)):
        if scores[i] >= floor:
            scores[kept] = scores[i]
            rows[kept] = rows[i]
            kept += 1
    return kept, floor


@_compiled
def _best(values, place):  # type: ignore[no-untyped-def]
    """The value that would come at `place`, from 1, in descending order: Hoare's selection. Reorders `values`."""
    low, high, wanted = 0, len(values) - 1, place - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]
