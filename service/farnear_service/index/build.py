"""How an approximate index is built, and how deep it is probed at either end: measured, not guessed.

A true neighbour is found exactly if its list is among those that are probed. So where the true neighbours of some
queries lie tells the recall of every depth at once, and nothing has to be searched to find the depth.
"""

import math
import time
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from farnear_service.index.approximate import Approximate, Probing
from farnear_service.index.exact import DIVERGENT, SIMILAR, exact
from farnear_service.index.generation import Generation
from farnear_service.index.memory import moved
from farnear_service.types import Certificate, FloatArray, IndexSettings

QUERIES = 512
"""Items that are drawn to calibrate with: half of them choose the depth, the other half certify it."""

CALIBRATED_K = (16, 128)

_TRAINED_ON = 64  # items a centroid
_ROUNDS = 10  # of k-means
_WORTHWHILE = 0.5  # of the items; an end that has to look at more of them is searched exactly
_CHUNK = 4096  # items that are compared with all centroids at a time

Depths = NDArray[np.int64]


def build(generation: Generation, settings: IndexSettings, *, seed: int = 0) -> Approximate:
    """An approximate index of a generation, calibrated at both ends to find `settings.target_recall`.

    The queries are items that the centroids were not trained on, and none is an answer to itself. An end is probed in
    so many lists that the first half of them finds the target at every k that is calibrated, with a standard error to
    spare. What the second half then finds is its certificate. An end that takes half of all items has no probing.

    A pure function of vectors, settings and seed, but for the times in the certificates. Takes 3 s for a million items
    of 16 values, grows with N^1.5, and lets other threads work. Raises ValueError for fewer than 1,024 items.
    """
    items = np.flatnonzero(generation.live)
    if len(items) < 2 * QUERIES:
        raise ValueError(f"generation has {len(items)} items; an approximate index takes {2 * QUERIES} or more")
    list_count = round(math.sqrt(len(items)))
    drawn = np.random.default_rng(seed).permutation(items)[: QUERIES + _TRAINED_ON * list_count]
    centroids = _centroids(generation.vectors[drawn[QUERIES:]], list_count, seed)
    list_of = _nearest(generation.vectors, centroids)
    rows = items[np.argsort(list_of[items], kind="stable")]
    sizes = np.bincount(list_of[items], minlength=list_count)
    probing = _calibrated(generation, drawn[:QUERIES], centroids, list_of, sizes, settings.target_recall)
    if probing == (None, None):
        centroids, rows, sizes = centroids[:0], rows[:0], sizes[:0]
    return Approximate(
        centroids=centroids,
        vectors=moved(generation.vectors, len(rows), rows),
        rows=rows,
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        probing=probing,
        item_count=len(items),
        row_count=len(generation.keys),
        numbering=generation.numbering,
    )


def _centroids(vectors: FloatArray, count: int, seed: int) -> FloatArray:
    """Unit centroids (count, D) of unit vectors: spherical k-means."""
    import faiss  # 14 MB, which a server without an approximate index does without

    kmeans = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=_ROUNDS,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=_TRAINED_ON,
    )
    kmeans.train(vectors)
    return np.asarray(kmeans.centroids, np.float32)


def _nearest(vectors: FloatArray, centroids: FloatArray) -> NDArray[np.int64]:
    """The centroid nearest to each of the vectors (N, D), as a number, (N,)."""
    nearest = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        nearest[part] = (vectors[part] @ centroids.T).argmax(axis=1)
    return nearest


def _calibrated(
    generation: Generation,
    asked: NDArray[np.int64],
    centroids: FloatArray,
    list_of: NDArray[np.int64],
    sizes: NDArray[np.int64],
    target: float,
) -> tuple[Probing | None, Probing | None]:
    """What the rows `asked` tell as queries of either end."""
    queries, most = generation.vectors[asked], max(CALIBRATED_K)
    answers = exact(
        generation.vectors, generation.columns, queries, most + 1, ends=(True, True), allowed=generation.live
    )
    closeness = queries @ centroids.T
    ends: list[Probing | None] = []
    for end, nearness in ((SIMILAR, closeness), (DIVERGENT, -closeness)):
        order = np.argsort(-nearness, axis=1, kind="stable")
        places = np.empty_like(order)  # of each list in the order of probing
        np.put_along_axis(places, order, np.arange(len(centroids))[None], axis=1)
        depths = np.empty((len(asked), most), np.int64)
        for query, (row, ranked) in enumerate(zip(asked, answers.rows[end], strict=True)):
            others = ranked[ranked != row][:most]
            depths[query] = places[query, list_of[others]] + 1
        looked_at = sizes[order].cumsum(axis=1).mean(axis=0) / sizes.sum()
        ends.append(_probing(depths, looked_at, target))
    similar, divergent = ends
    return similar, divergent


def _probing(depths: Depths, looked_at: NDArray[np.float64], target: float) -> Probing | None:
    """How to probe an end where neighbour j of query i is found from `depths[i, j]` lists on, of int64 (Q, K).

    `looked_at[i]` is the share of the items that a search in i + 1 lists looks at.
    """
    half = len(depths) // 2
    choosing, certifying = depths[:half], depths[half:]

    def is_enough(lists: int) -> bool:
        found = [_recalls(choosing, lists, k) for k in CALIBRATED_K]
        return all(bool(recalls.mean() - recalls.std() / math.sqrt(half) >= target) for recalls in found)

    lists = 1 + bisect_left(range(1, len(looked_at) + 1), True, key=is_enough)
    while lists <= len(looked_at) and looked_at[lists - 1] <= _WORTHWHILE:
        recalls = [float(_recalls(certifying, lists, k).mean()) for k in CALIBRATED_K]
        if min(recalls) >= target:
            now = time.time()
            return Probing(
                lists=lists,
                certificates=tuple(
                    Certificate(recall=recall, k=k, queries=len(certifying), time=now)
                    for k, recall in zip(CALIBRATED_K, recalls, strict=True)
                ),
            )
        lists += max(1, lists // 8)  # the second half may be unluckier than the first
    return None


def _recalls(depths: Depths, lists: int, k: int) -> NDArray[np.float64]:
    """The share of the first k neighbours that each query finds in so many lists."""
    shares: NDArray[np.float64] = (depths[:, :k] <= lists).mean(axis=1)
    return shares
