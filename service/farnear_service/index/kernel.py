"""The compiled loops of the scan."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from farnear_service.compiled import compiled
from farnear_service.types import FloatArray

LOWEST, HIGHEST = -4.0, 4.0
"""A floor that every score reaches, and one that none does."""

_BLOCK = 128  # rows; their scores stay in the nearest cache
_WORD = 8  # flags that are looked at together
_SHORT = 64  # values; shorter vectors are multiplied faster four at a time, longer ones one after the other


# Sums in any order and fused multiply-add: what makes the loops fast, and what the bound of the scan allows.
_fast = partial(compiled, fastmath={"reassoc", "contract", "nsz"})


@_fast
def scan_blocks(
    vectors: FloatArray,
    queries: FloatArray,
    ask: int,
    room: int,
    margin: np.float32,
    ends: NDArray[np.bool_],
    ceilings: FloatArray,
    allowed: NDArray[np.uint8],
    spans: NDArray[np.int64],
    row_of: NDArray[np.int64],
    product: bool,
) -> tuple[NDArray[np.int64], FloatArray]:
    """One pass over `vectors`, for the ends and arguments of `scan`: the rows and floors of candidates.

    Args:
        vectors: (N, D).
        queries: (B, D).
        ask: how many of the best are wanted.
        room: for so many candidates of each query at each end.
        margin: how far below the `ask`-th best score the floor lies.
        ends: (2,), whether similar and divergent rows are wanted.
        ceilings: (2,), which signed scores do not exceed.
        allowed: by row, 1 or 0; empty if all are.
        spans: (S, 2), the stretches of `vectors` to look at.
        row_of: (N,), the row of each vector; empty if that is its place.
        product: whether a product of matrices makes the scores, or loops.

    Returns:
        Rows (2, B, C), -1 behind the candidates of a shorter list, and floors (2, B).
    """
    query_count = len(queries)
    scores = np.empty((2, query_count, room), np.float32)
    rows = np.empty((2, query_count, room), np.int64)
    counts = np.zeros((2, query_count), np.int64)
    best = np.full((2, query_count, min(ask, len(vectors) + 1)), np.float32(LOWEST))  # heaps
    floors = np.full((2, query_count), np.float32(LOWEST))
    for end in range(2):
        if not ends[end]:
            floors[end] = HIGHEST
    flat = np.empty(query_count * _BLOCK, np.float32)
    whole_lines = flat.reshape(query_count, _BLOCK)
    away = np.zeros(_BLOCK, np.float32)  # NaN takes the scores of rows that are not allowed off both ends
    flags = np.zeros(_BLOCK, np.bool_)
    words = flags.view(np.uint64)
    for span in range(len(spans)):
        for start in range(spans[span, 0], spans[span, 1], _BLOCK):
            stop = min(start + _BLOCK, spans[span, 1])
            size = stop - start
            if len(allowed):
                mask = allowed[row_of[start:stop]] if len(row_of) else allowed[start:stop]
                within = 0
                for i in range(size):
                    within += mask[i]
                    away[i] = np.float32(0) if mask[i] else np.float32(np.nan)
                if within == 0:
                    continue
            lines = whole_lines if size == _BLOCK else flat[: query_count * size].reshape(query_count, size)
            multiply(queries, vectors[start:stop], lines, product)
            for query in range(query_count):
                line = lines[query]
                high, low = floors[0, query], -floors[1, query]
                reached = False
                for i in range(size):
                    score = line[i] + away[i]
                    reached |= (score >= high) | (score <= low)
                if not reached:
                    continue
                for i in range(size):
                    score = line[i] + away[i]
                    flags[i] = (score >= high) | (score <= low)
                for word in range(len(words)):
                    if words[word] == 0:
                        continue
                    for i in range(_WORD * word, min(_WORD * (word + 1), size)):
                        for end in range(2):
                            score = (-line[i] if end else line[i]) + away[i]
                            if not floors[end, query] <= score <= ceilings[end]:
                                continue
                            score = min(score, np.float32(1))
                            count, heap = counts[end, query], best[end, query]
                            scores[end, query, count] = score
                            rows[end, query, count] = row_of[start + i] if len(row_of) else start + i
                            count += 1
                            if score > heap[0]:
                                replace_least(heap, score)
                                floors[end, query] = max(heap[0] - margin, np.float32(LOWEST))
                            if count == room:
                                count = thin_out(scores[end, query], rows[end, query], count, floors[end, query])
                                if count > room // 4 * 3:
                                    count, floors[end, query] = 0, np.float32(HIGHEST)
                            counts[end, query] = count
    for end in range(2):
        for query in range(query_count):
            line, count = rows[end, query], counts[end, query]
            counts[end, query] = thin_out(scores[end, query], line, count, floors[end, query])
            line[counts[end, query] :] = -1
        if not ends[end]:
            floors[end] = LOWEST
    return rows[:, :, : counts.max()].copy() if query_count else rows[:, :, :0], floors


@_fast
def multiply(queries: FloatArray, block: FloatArray, lines: FloatArray, product: bool) -> None:
    """The scores of a block (n, D) for each query (B, D), into `lines` (B, n), by a product of matrices or by loops."""
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
        rest, rest_line = block[fours:], line[fours:]
        for i in range(len(rest)):
            a = np.float32(0)
            for j in range(dim):
                a += rest[i, j] * values[j]
            rest_line[i] = a


@_fast
def replace_least(heap: FloatArray, score: np.float32) -> None:
    """Puts a score in the place of the least, which is the first of a heap."""
    place, child = 0, 1
    while child < len(heap):
        if child + 1 < len(heap) and heap[child + 1] < heap[child]:
            child += 1
        if score <= heap[child]:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = score


@_fast
def thin_out(scores: FloatArray, rows: NDArray[np.int64], count: int, floor: np.float32) -> int:
    """Moves to the front what scores `floor` or more among the first `count`, and returns how many do."""
    kept = 0
    for i in range(count):
        score = scores[i]
        scores[kept] = score
        rows[kept] = rows[i]
        kept += score >= floor
    return kept
