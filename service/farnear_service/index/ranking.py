"""The order of hits: inner products in float64 decide, and then the item ids.

Python compares strings by code points, which is the order of their UTF-8 bytes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.compiled import compiled
from farnear_service.index.scan import LOWEST, Candidates, rounding
from farnear_service.types import ByteArray, FloatArray

_PAIRWISE = 128  # values that are added up without being halved
_LANES = 8  # sums that run beside one another


@dataclass(frozen=True)
class Position:
    """A hit's place in its list, to go on behind it."""

    similarity: float
    item_id: str


Positions = tuple[Position | None, Position | None]


class Rankings(NamedTuple):
    """The first rows at both ends for B queries, in order.

    Attributes:
        rows: int64 (2, B, K).
        similarities: float64 (2, B, K).
        counts: int64 (2, B), how many of these there are.
        sure: (2, B), whether no row that was not proposed can be among them.
    """

    rows: NDArray[np.int64]
    similarities: NDArray[np.float64]
    counts: NDArray[np.int64]
    sure: NDArray[np.bool_]


def ranked(
    vectors: FloatArray, columns: ColumnsView, queries: FloatArray, candidates: Candidates, k: int, behind: Positions
) -> Rankings:
    """The first k candidates at both ends of each unit query (B, D), and only those strictly behind the positions.

    A similarity is the inner product in float64, within [-1, 1], added up in the order of NumPy's `sum`: the same to
    the last bit for equal vectors, and for whoever compares with every item.
    """
    return Rankings(
        *rank(
            vectors,
            columns.ids.text,
            columns.ids.stops,
            np.require(queries, np.float32, ["C", "W"]),
            candidates.rows,
            candidates.floors,
            k,
            rounding(vectors.shape[1]),
            *(_EVERYTHING if behind == (None, None) else _marks(behind)),
        )
    )


def _marks(behind: Positions) -> tuple[NDArray[np.float64], tuple[ByteArray, ByteArray]]:
    """What a signed similarity, or else an id, must come behind at either end."""
    signed = [np.inf if one is None else sign * one.similarity for sign, one in zip((1, -1), behind, strict=True)]
    near, far = (np.frombuffer(b"" if one is None else one.item_id.encode(), np.uint8) for one in behind)
    return np.array(signed), (near, far)


_EVERYTHING = _marks((None, None))


@compiled
def rank(
    vectors: FloatArray,
    text: ByteArray,
    stops: NDArray[np.int64],
    queries: FloatArray,
    candidates: NDArray[np.int64],
    floors: FloatArray,
    k: int,
    rounding: float,
    marks: NDArray[np.float64],
    mark_ids: tuple[ByteArray, ByteArray],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """The fields of `Rankings`, by a heap sort.

    Args:
        vectors: (N, D).
        text: of all ids.
        stops: (N + 1,), where each stops in it.
        queries: (B, D).
        candidates: (2, B, C), rows or -1.
        floors: (2, B), below which everything scores that is not among them.
        k: how many of the first are wanted.
        rounding: by how much a score can differ from a similarity.
        marks: (2,), signed similarities.
        mark_ids: at each end, what an id of that similarity must come behind.
    """
    _, query_count, room = candidates.shape
    width = min(k, len(vectors))
    found = np.empty((2, query_count, width), np.int64)
    similarities = np.empty((2, query_count, width))
    counts = np.zeros((2, query_count), np.int64)
    sure = np.ones((2, query_count), np.bool_)
    rows, signed, heap, sums = np.empty(room, np.int64), np.empty(room), np.empty(width, np.int64), np.empty(_LANES)
    for end in range(2):
        sign = -1.0 if end else 1.0
        for query in range(query_count):
            count = 0
            for row in candidates[end, query]:
                if row < 0:
                    continue
                value = sign * min(max(inner(vectors[row], queries[query], sums), -1.0), 1.0)
                if value > marks[end]:
                    continue
                if value == marks[end] and not is_less(mark_ids[end], text[stops[row] : stops[row + 1]]):
                    continue
                rows[count], signed[count] = row, value
                count += 1
            size = min(count, k)
            first = heap[:size]
            for place in range(size):
                first[place] = place
            for place in range(size // 2 - 1, -1, -1):
                sift(first, place, rows, signed, text, stops)
            for other in range(size, count):
                if precedes(other, first[0], rows, signed, text, stops):
                    first[0] = other
                    sift(first, 0, rows, signed, text, stops)
            for stop in range(size - 1, -1, -1):
                last = first[0]
                found[end, query, stop], similarities[end, query, stop] = rows[last], sign * signed[last]
                first[0] = first[stop]
                sift(first[:stop], 0, rows, signed, text, stops)
            counts[end, query] = size
            floor = floors[end, query]
            sure[end, query] = floor == LOWEST or (
                size == k and sign * similarities[end, query, k - 1] > floor + rounding
            )
    return found, similarities, counts, sure


@compiled
def sift(
    heap: NDArray[np.int64],
    place: int,
    rows: NDArray[np.int64],
    signed: NDArray[np.float64],
    text: ByteArray,
    stops: NDArray[np.int64],
) -> None:
    """Lets what lies at a place of a heap, of which the last is the first, sink to where it belongs."""
    child = 2 * place + 1
    while child < len(heap):
        if child + 1 < len(heap) and precedes(heap[child], heap[child + 1], rows, signed, text, stops):
            child += 1
        if precedes(heap[child], heap[place], rows, signed, text, stops):
            break
        heap[place], heap[child] = heap[child], heap[place]
        place, child = child, 2 * child + 1


@compiled
def precedes(
    one: int,
    other: int,
    rows: NDArray[np.int64],
    signed: NDArray[np.float64],
    text: ByteArray,
    stops: NDArray[np.int64],
) -> bool:
    """Whether one hit comes before another."""
    if signed[one] != signed[other]:
        return bool(signed[one] > signed[other])
    a, b = rows[one], rows[other]
    return bool(is_less(text[stops[a] : stops[a + 1]], text[stops[b] : stops[b + 1]]))


@compiled
def is_less(one: ByteArray, other: ByteArray) -> bool:
    """Whether a text comes before another by its bytes."""
    for i in range(min(len(one), len(other))):
        if one[i] != other[i]:
            return bool(one[i] < other[i])
    return len(one) < len(other)


@compiled
def inner(one: FloatArray, other: FloatArray, sums: NDArray[np.float64]) -> float:
    """The inner product in float64 of two float32 vectors, where the products are exact; `sums` (8,) is written to.

    NumPy's order: eight sums run beside one another, and more than 128 values are halved first (Higham 1993, The
    accuracy of floating point summation, section 3).
    """
    count = len(one)
    if count > _PAIRWISE:
        half = count // 2 // _LANES * _LANES
        return float(inner(one[:half], other[:half], sums) + inner(one[half:], other[half:], sums))
    whole = count // _LANES * _LANES
    total = 0.0
    if whole:
        sums[:] = 0.0
        for i in range(whole):
            sums[i % _LANES] += np.float64(one[i]) * np.float64(other[i])
        total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, count):
        total += np.float64(one[i]) * np.float64(other[i])
    return total
