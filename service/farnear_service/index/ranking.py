"""The order of hits: inner products in float64 decide, and then the bytes of the item ids."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import ColumnsView
from farnear_service.types import FloatArray

_CHUNK = 4_000_000  # values that are multiplied at a time, 32 MB


@dataclass(frozen=True)
class Position:
    """A hit's place in its list, to go on behind it."""

    similarity: float
    item_id: str


@dataclass(frozen=True)
class Ranking:
    """The first rows of one end, in order: `rows` (K,), and their `similarities` (K,) and `item_ids`.

    `dropped` counts the rows that were ranked and found to lie before the position to go on behind.
    """

    rows: NDArray[np.int64]
    similarities: NDArray[np.float64]
    item_ids: list[str]
    dropped: int

    def __len__(self) -> int:
        return len(self.rows)


def similarities(vectors: FloatArray, query: FloatArray) -> NDArray[np.float64]:
    """The similarity of each of `vectors` (N, D) to `query` (D,): their inner product in float64, within [-1, 1].

    Summed row by row, so that equal vectors get equal values wherever they lie. A matrix product does not promise that.
    """
    exact = query.astype(np.float64)
    step = max(1, _CHUNK // len(query))
    parts = [
        (vectors[start : start + step].astype(np.float64) * exact).sum(axis=1) for start in range(0, len(vectors), step)
    ]
    found: NDArray[np.float64] = np.concatenate([np.empty(0), *parts])
    return found.clip(-1.0, 1.0)


def ranked(
    vectors: FloatArray,
    columns: ColumnsView,
    query: FloatArray,
    rows: NDArray[np.int64],
    k: int,
    *,
    divergent: bool,
    behind: Position | None,
) -> Ranking:
    """The first k of `rows` (C,), most similar or most divergent first, and only those strictly behind `behind`."""
    found = similarities(vectors[rows], query)
    better = -found if divergent else found  # more is better
    total = len(rows)
    if behind is not None:
        mark = -behind.similarity if divergent else behind.similarity
        later = better < mark
        level = np.flatnonzero(better == mark)
        last_id = behind.item_id.encode()
        ids = columns.item_ids(rows[level])
        later[level] = [item_id.encode() > last_id for item_id in ids]
        rows, found, better = rows[later], found[later], better[later]
    dropped = total - len(rows)
    if len(rows) > k:
        last = np.partition(better, len(rows) - k)[len(rows) - k]
        sure, level = np.flatnonzero(better > last), np.flatnonzero(better == last)
        if len(sure) + len(level) > k:
            ids = columns.item_ids(rows[level])
            first = heapq.nsmallest(k - len(sure), range(len(level)), key=lambda place: ids[place].encode())
            level = level[first]
        kept = np.concatenate([sure, level])
        rows, found, better = rows[kept], found[kept], better[kept]
    ids = columns.item_ids(rows)
    values = better.tolist()
    order = sorted(range(len(rows)), key=lambda place: (-values[place], ids[place].encode()))
    return Ranking(rows[order], found[order], [ids[place] for place in order], dropped)
