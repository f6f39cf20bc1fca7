"""The compiled loops of the scan."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from farnear_service.compiled import compiled
from farnear_service.types import FloatArray

LOWEST, HIGHEST = -4.0, 4.0
"""A floor that every score reaches, and one that none does."""

_BLOCK = 128  # rows; their scores stay in the nearest cache
_SHORT = 64  # values; shorter vectors are multiplied faster four at a time, longer ones one after the other


# Sums in any order and fused multiply-add: what makes the loops fast, and what the bound of the scan allows.
_fast = partial(compiled, fastmath={"reassoc", "contract", "nsz", "nnan"})


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
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """One pass over `vectors`, for the ends and arguments of `scan`: candidate rows, their counts, and floors.

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
        Rows (2, B, room), of which as many count as the counts (2, B) say, and the floors (2, B).
    """
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
            multiply(queries, vectors[start:stop], lines, product)
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
                            count, floor = thin_out(scores[end, query, :count], rows[end, query], ask, margin)
                            limits[end, query] = min(count + ask + 16, room)
                            if count > room // 4 * 3 and room <= len(vectors):
                                count, floor = 0, np.float32(HIGHEST)
                    counts[end, query] = count
                    floors[end, query] = floor
    return rows, counts, floors


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
def thin_out(scores: FloatArray, rows: NDArray[np.int64], ask: int, margin: np.float32) -> tuple[int, np.float32]:
    """Moves to the front what scores at most `margin` less than the `ask`-th best; how many do, and the least score."""
    floor = select(scores.copy(), ask) - margin
    kept = 0
    for i in range(len(scores)):
        if scores[i] >= floor:
            scores[kept] = scores[i]
            rows[kept] = rows[i]
            kept += 1
    return kept, floor


@_fast
def select(values: FloatArray, place: int) -> np.float32:
    """The value that comes at `place`, counted from 1, in descending order; reorders `values` (Hoare 1961, Find)."""
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
    found: np.float32 = values[wanted]
    return found
