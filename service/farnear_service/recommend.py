"""Recommendations from what somebody liked, disliked and has seen: more of the same, or out of the bubble.

With cosines s(x, y), clipped to [-1, 1] as a search clips them, and M the set of everything met so far:

* relevance r(x) = s(x, d), with the direction d = mean(liked) - 0.2 mean(disliked), scaled to unit length: Rocchio's
  formula without a query. With dislikes alone it points away from them. Where nothing was liked or disliked, or all of
  it cancels out, there is no direction and every relevance is 0.
* similar: the highest r.
* divergent: each pick minimises max over M of s(x, m), and joins M: farthest-first traversal. Where M is empty that
  maximum is -1 for every item, so the traversal begins with the first id and spreads over the collection.
* novelty v from 0 to 1 between these two: each pick maximises (1 - v) r(x) - v max over M of s(x, m), and joins M:
  maximal marginal relevance.
* diverse: each pick maximises the determinant of the picks' block of diag(q) (S + 0.01 I) diag(q), S being all cosines
  and q = (1 + r) / 2, or 1 without a direction: the greedy MAP of a determinantal point process.

Ties go to the lower item id by its UTF-8 bytes. What was met is never recommended. All decisions are taken in float64,
by inner products that are summed row by row, so that equal vectors get equal scores wherever they lie.

References:
    Rocchio 1971, Relevance feedback in information retrieval; Manning, Raghavan and Schütze 2008, Introduction to
    information retrieval, section 9.1.1 (weights .75 and .15). Gonzalez 1985, Clustering to minimize the maximum
    intercluster distance. Carbonell and Goldstein 1998, The use of MMR. Chen, Zhang and Zhou 2018, Fast greedy MAP
    inference for determinantal point process.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.errors import InvalidError
from farnear_service.index import Generation
from farnear_service.types import Direction, FloatArray, Hit

AWAY = 0.2
"""How much a dislike weighs beside a like."""

RIDGE = 0.01
"""What sets an item apart from all others, however equal their vectors.

S has the rank of the vectors, D at most: without it every determinant of more than D picks would be 0, and the greedy
choice would end there. With it a choice goes on, by relevance and by the directions that were picked least.
"""

_ROWS, _ANCHORS = 512, 256  # of a block, so that its products stay in the cache
_GATHERED = 0.25  # a smaller share of the collection is copied, to be compared without the rest

Doubles = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Taste:
    """What somebody met: unit vectors float32 of what was `liked` (L, D), `disliked` (M, D) or else `seen` (S, D).

    `keys` (K,) are those of all of it that are items of the collection, in any order; keys that are gone do no harm.
    """

    liked: FloatArray
    disliked: FloatArray
    seen: FloatArray
    keys: NDArray[np.int64]

    def met(self) -> FloatArray:
        """All vectors, (L + M + S, D)."""
        return np.concatenate([self.liked, self.disliked, self.seen])

    def direction(self) -> FloatArray | None:
        """The unit vector (D,) of relevance; None where nothing was liked or disliked, or all of it cancels out."""
        direction = np.zeros(self.liked.shape[1])
        for vectors, weight in ((self.liked, 1.0), (self.disliked, -AWAY)):
            if len(vectors):
                direction += weight * vectors.mean(axis=0, dtype=np.float64)
        length = np.linalg.norm(direction)
        # What is shorter is nothing but the rounding of the vectors.
        return (direction / length).astype(np.float32) if length > 1e-6 else None


def similar(now: Generation, taste: Taste, k: int, *, allowed: NDArray[np.bool_] | None = None) -> tuple[Hit, ...]:
    """The k most relevant items, by the index's own search. `allowed` (N,) says which rows may be recommended.

    Raises:
        InvalidError: where there is no direction.
    """
    direction = taste.direction()
    if direction is None:
        raise InvalidError(
            "liked: gives no direction; allowed are likes or dislikes that do not cancel out, or another mode"
        )
    return _most_relevant(now, direction, k, _eligible(now, taste, allowed))


def divergent(now: Generation, taste: Taste, k: int, *, allowed: NDArray[np.bool_] | None = None) -> tuple[Hit, ...]:
    """The k items of a farthest-first traversal from everything met, over the whole collection. Cost: as `novel`."""
    return novel(now, taste, k, 1.0, allowed=allowed)


def novel(
    now: Generation, taste: Taste, k: int, novelty: float, *, allowed: NDArray[np.bool_] | None = None
) -> tuple[Hit, ...]:
    """The k items of greatest marginal relevance, over the whole collection; `novelty` 0 is `similar`, 1 `divergent`.

    Float32 products propose. Those of unit vectors are within D 2^-24 of the true ones (Higham 2002, eq. 3.5), and so
    are maxima of them. A row that scores more than twice that below another cannot win; all others are compared in
    float64. Hence the picks are those of an exhaustive search in float64.

    Cost: with S vectors met, N (S + k) D products in float32, and in float64 those of a few rows a pick; at worst,
    where all rows tie, N (S + 2 k) D.

    Raises:
        InvalidError: for a novelty outside 0 to 1, or 0 where there is no direction.
    """
    if not 0 <= novelty <= 1:
        raise InvalidError(f"novelty: is {novelty}; allowed are 0 to 1")
    if novelty == 0:
        return similar(now, taste, k, allowed=allowed)
    vectors, rows, eligible = _compared(now, _eligible(now, taste, allowed))
    direction, met = taste.direction(), taste.met()
    likely = np.zeros(len(rows)) if direction is None else _proposed(vectors, direction[np.newaxis])
    close = _proposed(vectors, met)
    nearest, known = np.full(len(rows), -1.0), np.zeros(len(rows), np.bool_)
    margin = 2 * vectors.shape[1] * 2.0**-24
    count = min(k, int(eligible.sum()))
    with_picks = np.concatenate([met, np.empty((count, vectors.shape[1]), np.float32)])
    picks: list[int] = []
    for size in range(len(met), len(with_picks)):
        scores = np.where(eligible, (1 - novelty) * likely - novelty * close, -np.inf)
        candidates = np.flatnonzero(scores >= scores.max() - 2 * margin)
        unknown = candidates[~known[candidates]]
        nearest[unknown] = _nearest(vectors[unknown], with_picks[:size])
        known[unknown] = True
        exact = (1 - novelty) * _relevance(vectors[candidates], direction) - novelty * nearest[candidates]
        pick = _first(now, rows, candidates[exact == exact.max()])
        picks.append(pick)
        eligible[pick] = False
        with_picks[size] = vectors[pick]
        close = np.maximum(close, _proposed(vectors, vectors[[pick]]))
        nearest[known] = np.maximum(nearest[known], _similarities(vectors[known], vectors[pick]))
    return _hits(now, rows[picks], direction)


def diverse(
    now: Generation, taste: Taste, k: int, *, allowed: NDArray[np.bool_] | None = None, pool: int = 0
) -> tuple[Hit, ...]:
    """The k items that are relevant and unlike one another, among the `pool` most relevant, or for 0 in the collection.

    Item i multiplies the determinant by q_i^2 c_i, where c_i = 1 + RIDGE - sum of (x_i . u)^2 over one u for each pick,
    u_j = (x_j - sum of (x_j . u) u over the picks before) / sqrt(c_j). These are the Cholesky updates of Chen et al.,
    whose e_i is q_i x_i . u; as S is made of vectors of D values, a row of the factor takes D numbers instead of N.

    Cost: N k D products in float64, N being `pool` where that is set.

    Raises:
        InvalidError: for a pool below 0, or above 0 where there is no direction.
    """
    eligible, direction = _eligible(now, taste, allowed), taste.direction()
    if pool < 0 or (pool and direction is None):
        raise InvalidError(f"pool: is {pool}; allowed are 0, and more where likes or dislikes give a direction")
    if direction is not None and 0 < pool < np.count_nonzero(eligible):
        eligible = np.isin(now.keys, [hit.key for hit in _most_relevant(now, direction, pool, eligible)])
    vectors, rows, eligible = _compared(now, eligible)
    weight = np.ones(len(rows))
    if direction is not None:
        weight = ((1 + _products(vectors, direction).clip(-1, 1)) / 2) ** 2
    apart = np.full(len(rows), 1 + RIDGE)
    units = np.empty((0, vectors.shape[1]))
    picks: list[int] = []
    for _ in range(min(k, int(eligible.sum()))):
        scores = np.where(eligible, weight * apart, -np.inf)
        pick = _first(now, rows, np.flatnonzero(scores == scores.max()))
        picks.append(pick)
        eligible[pick] = False
        vector = vectors[pick].astype(np.float64)
        unit = (vector - (units @ vector) @ units) / np.sqrt(apart[pick])
        units = np.concatenate([units, unit[np.newaxis]])
        apart -= _products(vectors, unit) ** 2
    return _hits(now, rows[picks], direction)


def _eligible(now: Generation, taste: Taste, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    eligible = now.live & np.isin(now.keys, taste.keys, invert=True)
    return eligible if allowed is None else eligible & allowed


def _compared(now: Generation, eligible: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.bool_]]:
    """Vectors to go over, the rows that they have in the collection, and which of them are eligible (a copy)."""
    rows = np.flatnonzero(eligible)
    if len(rows) < _GATHERED * len(eligible):
        return now.vectors[rows], rows, np.ones(len(rows), np.bool_)
    return now.vectors, np.arange(len(eligible)), eligible.copy()


def _most_relevant(now: Generation, direction: FloatArray, k: int, eligible: NDArray[np.bool_]) -> tuple[Hit, ...]:
    (result,) = now.search(direction[np.newaxis], k, Direction.SIMILAR, allowed=eligible)
    assert result.similar is not None
    return result.similar.hits


def _relevance(vectors: FloatArray, direction: FloatArray | None) -> Doubles:
    return np.zeros(len(vectors)) if direction is None else _similarities(vectors, direction)


def _similarities(vectors: FloatArray, query: FloatArray) -> Doubles:
    """Inner products (N,) in float64 within [-1, 1], summed row by row, as a search compares them."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS):
        found[start : start + _ROWS] = (vectors[start : start + _ROWS].astype(np.float64) * query).sum(axis=1)
    return found.clip(-1.0, 1.0)


def _proposed(vectors: FloatArray, anchors: FloatArray) -> Doubles:
    """The highest similarity of each vector to an anchor, computed in float32; -1 where there are none."""
    best = np.full(len(vectors), -1, np.float32)
    step = _ROWS * _ANCHORS // min(max(1, len(anchors)), _ANCHORS)
    for start in range(0, len(vectors), step):
        block, part = vectors[start : start + step].T, best[start : start + step]
        for first in range(0, len(anchors), _ANCHORS):
            np.maximum(part, (anchors[first : first + _ANCHORS] @ block).max(axis=0), out=part)
    return np.minimum(best, 1).astype(np.float64)


def _nearest(vectors: FloatArray, anchors: FloatArray) -> Doubles:
    """The highest similarity of each vector to an anchor, in float64; -1 where there are none."""
    nearest = np.full(len(vectors), -1.0)
    if len(vectors) < len(anchors):
        for place, vector in enumerate(vectors):
            nearest[place] = _similarities(anchors, vector).max()
    else:
        for anchor in anchors:
            nearest = np.maximum(nearest, _similarities(vectors, anchor))
    return nearest


def _products(vectors: FloatArray, direction: NDArray[np.floating]) -> Doubles:
    """Inner products (N,) in float64, each summed by itself: a matrix product would sum by where a row lies."""
    exact = direction.astype(np.float64)
    products = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS].astype(np.float64)
        np.einsum("nd,d->n", block, exact, out=products[start : start + _ROWS])
    return products


def _first(now: Generation, rows: NDArray[np.int64], tied: NDArray[np.int64]) -> int:
    # Python's order of strings is by code point, as that of their UTF-8 bytes is.
    ids = now.columns.item_ids(rows[tied])
    return int(tied[min(range(len(ids)), key=ids.__getitem__)])


def _hits(now: Generation, rows: NDArray[np.int64], direction: FloatArray | None) -> tuple[Hit, ...]:
    columns, relevance = now.columns, _relevance(now.vectors[rows], direction)
    return tuple(
        Hit(key=key, item_id=item_id, label=label, similarity=similarity)
        for key, item_id, label, similarity in zip(
            now.keys[rows].tolist(), columns.item_ids(rows), columns.labels(rows), relevance.tolist(), strict=True
        )
    )
