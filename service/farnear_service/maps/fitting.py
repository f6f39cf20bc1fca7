"""Fitting a map of a whole collection. Runs in a process of its own, at low priority.

References: van der Maaten 2014 and Policar et al. 2024 (how t-SNE is optimised); Schoenemann 1966 (orthogonal
Procrustes).
"""

from dataclasses import dataclass

import numpy as np

from farnear_service.maps.fitted import FittedMap, Keys, Positions
from farnear_service.maps.quality import distances_to_nearest
from farnear_service.maps.settings import MapSettings, check_enough
from farnear_service.types import FloatArray

_PLACED_AT_ONCE = 1000
_JUDGED = 1000  # landmarks whose distances from one another tell how far the map reaches

Before = tuple[Keys, Positions]
"""The map that stood: keys (M,) ascending and positions (M, 2)."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A new map, and the `positions` (N, 2) on it of all items that it was made for."""

    fitted: FittedMap
    positions: Positions


def fit_map(keys: Keys, vectors: FloatArray, settings: MapSettings, version: int, before: Before | None = None) -> Fit:
    """Fits a map of unit `vectors` (N, D), by ascending `keys` (N,). Seconds to minutes; O(L^2 D) for the neighbours.

    Early exaggeration 12 for 250 iterations, then 500 without (openTSNE's defaults). With `before` it starts from where
    the items were, and is turned and shifted, but not scaled, to lie on that map as closely as it can: a person finds
    things where they were. A pure function of its arguments.

    Raises PreconditionError for fewer items than could make one core point.
    """
    check_enough(len(keys), settings)
    rows = np.arange(len(keys))
    if len(keys) > settings.landmark_limit:
        rows = np.random.default_rng(settings.seed).choice(len(keys), settings.landmark_limit, replace=False)
        rows.sort()
    landmarks = vectors[rows]
    perplexity = min(settings.perplexity, (len(rows) - 1) / 3)
    places = _optimised(landmarks, _start(keys[rows], landmarks, settings.seed, before), perplexity)
    if before is not None:
        places = _aligned(places, keys[rows], before)
    fitted = FittedMap(
        version=version,
        perplexity=perplexity,
        item_count=len(keys),
        newest_key=int(keys[-1]),
        reach=_reach(landmarks, settings.seed),
        keys=keys[rows],
        vectors=landmarks,
        positions=places,
    )
    positions = np.empty((len(keys), 2))
    positions[rows] = places
    rest = np.setdiff1d(np.arange(len(keys)), rows, assume_unique=True)
    for start in range(0, len(rest), _PLACED_AT_ONCE):
        part = rest[start : start + _PLACED_AT_ONCE]
        positions[part] = fitted.place(vectors[part])
    return Fit(fitted=fitted, positions=positions)


def _optimised(vectors: FloatArray, start: Positions, perplexity: float) -> Positions:
    from farnear_service.maps.tsne import embedding

    fit = embedding(vectors, start, perplexity, method="bh" if len(vectors) < 10_000 else "fft")
    fit.optimize(250, exaggeration=12, momentum=0.5, inplace=True)
    fit.optimize(500, momentum=0.8, inplace=True)
    return np.array(fit, np.float64)


def _start(keys: Keys, vectors: FloatArray, seed: int, before: Before | None) -> Positions:
    """The positions before, made as small as t-SNE must start; new items lie at those that they are most similar to."""
    from farnear_service.maps.tsne import first_positions

    known, there = _common(keys, before)
    if before is None or len(known) < len(keys) / 2:
        return first_positions(vectors, seed)
    start: Positions = np.empty((len(keys), 2))
    start[known] = before[1][there]
    new = np.setdiff1d(np.arange(len(keys)), known, assume_unique=True)
    known_vectors = vectors[known]
    for row in new:
        start[row] = start[known[np.argmax(known_vectors @ vectors[row])]]
    spread = start[:, 0].std()
    if not spread:
        return first_positions(vectors, seed)
    start = 1e-4 * (start - start.mean(axis=0)) / spread
    # What lies in one place would stay together for want of a force between: equal positions are moved apart a little.
    start += np.random.default_rng(seed).normal(scale=1e-7, size=start.shape)
    return start


def _aligned(places: Positions, keys: Keys, before: Before) -> Positions:
    """Turned, mirrored and shifted so that the sum of squared distances from the positions before is least."""
    known, there = _common(keys, before)
    if len(known) < 2:
        return places
    here, target = places[known], before[1][there]
    middle, target_middle = here.mean(axis=0), target.mean(axis=0)
    left, _, right = np.linalg.svd((here - middle).T @ (target - target_middle))
    aligned: Positions = (places - middle) @ (left @ right) + target_middle
    return aligned


def _common(keys: Keys, before: Before | None) -> tuple[Keys, Keys]:
    if before is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    _, known, there = np.intersect1d(keys, before[0], assume_unique=True, return_indices=True)
    return known, there


def _reach(landmarks: FloatArray, seed: int) -> float:
    judged = np.random.default_rng(seed).permutation(len(landmarks))[:_JUDGED]
    return float(np.quantile(distances_to_nearest(landmarks, landmarks[judged], judged), 0.99))
