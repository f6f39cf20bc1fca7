"""Exact search at both ends of the cosine scale, with FAISS.

On the unit sphere the item farthest from q is the one nearest to its antipode -q, as <q, x> and <-q, x> sum to zero. So
exact search for -q is exact farthest search. (An approximate index tuned for near queries is not: it finds .33-.98.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from farnear_service.types import FloatArray, Hit

# FAISS sums in float32: for unit vectors of D values a score is off by at most D times this.
_ROUNDING = 2.0**-24

# Candidates held at a time, 12 bytes each.
_MAX_SCORES = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One consistent state of N items: `keys` (N,) ascending and unit `vectors` float32 (N, D), not to be modified.

    Entry i of `item_ids` and `labels` belongs to row i; the lists may have grown behind row N.
    """

    keys: NDArray[np.int64]
    vectors: FloatArray
    item_ids: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    def nearest(self, queries: FloatArray, k: int) -> list[list[Hit]]:
        """The k items of highest cosine similarity to each unit query (B, D), highest first, ties in order of item id.

        Fewer where there are fewer. Similarities are inner products in float64 of the stored float32 values.
        """
        return _search(self, queries, k, sign=1.0)

    def farthest(self, queries: FloatArray, k: int) -> list[list[Hit]]:
        """The k items of lowest cosine similarity to each unit query (B, D), lowest first, ties in order of item id."""
        return _search(self, queries, k, sign=-1.0)


class FlatIndex:
    """The items of one collection in memory: `dim` float32 values each.

    Readers work on the generation that stands when they begin, while one writer at a time makes the next: items are
    appended behind it in place, removals copy what stays.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._keys = np.empty(0, np.int64)
        self._vectors = np.empty((0, dim), np.float32)
        self._now = Generation(keys=self._keys, vectors=self._vectors, item_ids=[], labels=[])

    def __len__(self) -> int:
        return len(self._now)

    def now(self) -> Generation:
        """The present generation."""
        return self._now

    def add(self, keys: NDArray[np.int64], item_ids: Sequence[str], labels: Sequence[str], vectors: FloatArray) -> None:
        """Appends items: unit `vectors` float32 (N, D), `keys` ascending and above every key that was ever added."""
        now = self._now
        start, stop = len(now), len(now) + len(keys)
        if stop > len(self._keys):
            room = max(stop, 2 * len(self._keys), 1024)
            self._keys = np.concatenate([now.keys, np.empty(room - start, np.int64)])
            self._vectors = np.concatenate([now.vectors, np.empty((room - start, self._dim), np.float32)])
        self._keys[start:stop] = keys
        self._vectors[start:stop] = vectors
        now.item_ids.extend(item_ids)
        now.labels.extend(labels)
        self._now = Generation(
            keys=self._keys[:stop], vectors=self._vectors[:stop], item_ids=now.item_ids, labels=now.labels
        )

    def remove(self, keys: Sequence[int]) -> None:
        """Removes items by key; keys that are not there are no error. Costs a copy of what stays."""
        now = self._now
        stays = np.flatnonzero(~np.isin(now.keys, np.asarray(keys, np.int64)))
        self._keys, self._vectors = now.keys[stays], now.vectors[stays]
        self._now = Generation(
            keys=self._keys,
            vectors=self._vectors,
            item_ids=[now.item_ids[row] for row in stays],
            labels=[now.labels[row] for row in stays],
        )


def _search(now: Generation, queries_BD: FloatArray, k: int, *, sign: float) -> list[list[Hit]]:
    answers: list[list[Hit]] = [[] for _ in queries_BD]
    if len(now) == 0:
        return answers
    dim = now.vectors.shape[1]
    # From about this size on a matrix product beats one pass a query; the wheel's own threshold is never reached.
    faiss.cvar.distance_compute_blas_threshold = 8 * dim
    signed_BD = np.ascontiguousarray(sign * queries_BD, np.float32)
    unanswered = np.arange(len(queries_BD))
    ask = k + 8
    while unanswered.size:
        ask = min(ask, len(now))
        rows = unanswered[: max(1, _MAX_SCORES // ask)]
        scores, found = faiss.knn(signed_BD[rows], now.vectors, ask, metric=faiss.METRIC_INNER_PRODUCT)
        # An item that was left out scores at most the last one found. Where that is not clearly below the k-th,
        # items of the answer may be missing, so more are asked for.
        margin = 4 * dim * _ROUNDING
        whole = (ask == len(now)) | (scores[:, min(k, ask) - 1] - scores[:, -1] > margin)
        for row, places in zip(rows[whole], found[whole], strict=True):
            answers[row] = _ranked(now, signed_BD[row], places, k, sign)
        unanswered = np.setdiff1d(unanswered, rows[whole])
        if not whole.any():
            ask *= 4
    return answers


def _ranked(now: Generation, signed_query: FloatArray, places: NDArray[np.int64], k: int, sign: float) -> list[Hit]:
    # Summed row by row: equal vectors get equal scores wherever they lie, which a matrix product does not promise.
    scores = (now.vectors[places].astype(np.float64) * signed_query.astype(np.float64)).sum(axis=1)
    order = sorted(range(len(places)), key=lambda place: (-scores[place], now.item_ids[places[place]].encode()))[:k]
    return [
        Hit(
            key=int(now.keys[places[place]]),
            item_id=now.item_ids[places[place]],
            label=now.labels[places[place]],
            similarity=float(np.clip(sign * scores[place], -1.0, 1.0)),
        )
        for place in order
    ]
