"""The order of hits: inner products in float64 decide, and then the item ids.

Python compares strings by code points, which is the order of their UTF-8 bytes.
"""

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
    """The first rows of one end, in order: `rows` (K,), and their `similarities` (K,) and `item_ids`."""

    rows: NDArray[np.int64]
    similarities: NDArray[np.float64]
    item_ids: list[str]

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
    if behind is not None:
        mark = -behind.similarity if divergent else behind.similarity
        later = better < mark
        level = np.flatnonzero(better == mark)
        later[level] = [item_id > behind.item_id for item_id in columns.item_ids(rows[level])]
        rows, found, better = rows[later], found[later], better[later]
    if len(rows) > k:
        last = np.partition(better, len(rows) - k)[len(rows) - k]
        sure, level = np.flatnonzero(better > last), np.flatnonzero(better == last)
        if len(sure) + len(level) > k:
            ids = columns.item_ids(rows[level])
            first = heapq.nsmallest(k - len(sure), range(len(level)), key=ids.__getitem__)
            level = level[first]
        kept = np.concatenate([sure, level])
        rows, found, better = rows[kept], found[kept], better[kept]
    ids = columns.item_ids(rows)
    values = better.tolist()
    order = sorted(range(len(rows)), key=lambda place: (-values[place], ids[place]))
    return Ranking(rows[order], found[order], [ids[place] for place in order])
