"""The order of hits: inner products in float64 decide, and then the item ids.

Python compares strings by code points, which is the order of their UTF-8 bytes.
"""

import heapq
from collections.abc import Sequence
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


def similarities(
    vectors: FloatArray, rows: NDArray[np.int64], queries: FloatArray, query_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The similarity (C,) of `vectors[rows[i]]` to `queries[query_of[i]]`: inner products in float64, within [-1, 1].

    Summed row by row, so that equal vectors get equal values wherever they lie. A matrix product does not promise that.
    """
    step = max(1, _CHUNK // vectors.shape[1])
    found = np.empty(len(rows))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        products = vectors[rows[part]].astype(np.float64) * queries[query_of[part]]
        found[part] = products.sum(axis=1)
    return found.clip(-1.0, 1.0)


def ranked_without_ties(
    vectors: FloatArray,
    columns: ColumnsView,
    queries: FloatArray,
    proposals: Sequence[tuple[int, bool, NDArray[np.int64]]],
    k: int,
) -> list[Ranking | None]:
    """`ranked` for many at once, at a fraction of its cost: None where similarities leave the order to the ids.

    A proposal is the number of its query, whether the most divergent come first, and its rows.
    """
    sizes = [len(rows) for _, _, rows in proposals]
    all_rows = np.concatenate([np.empty(0, np.int64), *(rows for _, _, rows in proposals)])
    query_of = np.repeat([query for query, _, _ in proposals], sizes)
    all_found = similarities(vectors, all_rows, queries, query_of)
    rankings: list[Ranking | None] = []
    stop = 0
    for (_, divergent, rows), size in zip(proposals, sizes, strict=True):
        start, stop = stop, stop + size
        found = all_found[start:stop]
        order = (found if divergent else -found).argsort()[: k + 1]
        ordered = found[order]
        if (ordered[1:] == ordered[:-1]).any():
            rankings.append(None)
        else:
            chosen = rows[order[:k]]
            rankings.append(Ranking(chosen, ordered[:k], columns.item_ids(chosen)))
    return rankings


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
    found = similarities(vectors, rows, query[None], np.zeros(len(rows), np.int64))
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
