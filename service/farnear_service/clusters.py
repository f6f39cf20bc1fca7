"""Density clusters of a collection: DBSCAN on a t-SNE map (Yasuno et al.: eps 3, min_samples 10).

A map is a pure function of vectors, settings and seed: neighbours are exact (FAISS), the optimisation has one thread.
New points are placed by openTSNE's transform, each on its own, so neither order nor batch changes where one lands.
Clusters are scikit-learn's DBSCAN on the positions of all present items, anew after every change.

References: van der Maaten and Hinton 2008 (t-SNE); Policar et al. 2024 (openTSNE); Ester et al. 1996 (DBSCAN).
"""

import logging
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import faiss
import numpy as np
from numpy.typing import NDArray
from openTSNE import TSNEEmbedding
from openTSNE.affinity import PerplexityBasedNN
from openTSNE.initialization import pca
from openTSNE.nearest_neighbors import KNNIndex
from scipy.spatial import cKDTree
from sklearn.cluster import DBSCAN

from farnear_service.errors import PreconditionError
from farnear_service.types import FloatArray

NOISE = -1

_QUERIES = 1000  # points whose neighbours are compared at a time, some megabytes

log = logging.getLogger(__name__)

logging.getLogger("openTSNE").setLevel(logging.WARNING)  # it tells of every index that it was given

Positions = NDArray[np.float64]
Keys = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """How maps are made: t-SNE `perplexity`, DBSCAN `eps` in map units and `min_samples` with the point itself counted.

    Above `landmark_limit` items a seeded sample of that many is fitted and the rest is placed on its map.
    """

    perplexity: float = 30.0
    eps: float = 3.0
    min_samples: int = 10
    landmark_limit: int = 20_000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class FittedMap:
    """What a fit leaves: L landmarks by `keys` ascending, their unit `vectors` float32 (L, D) and `positions` (L, 2).

    `item_count` and `newest_key` are those of the collection at that time, `version` counts the fits.
    """

    version: int
    perplexity: float
    item_count: int
    newest_key: int
    keys: Keys
    vectors: FloatArray
    positions: Positions

    def place(self, vectors: FloatArray) -> Positions:
        """Positions (N, 2) of unit `vectors` (N, D) among the landmarks, which stay where they are."""
        if not len(vectors):
            return np.empty((0, 2))
        count = len(self.keys)
        # openTSNE's own transform() is these two calls after shifting the landmarks, in place, to the middle of their
        # bounding box: every new point would land off by that shift, 15 map units on a map of 2,624 solar cells.
        placed = self._landmarks.prepare_partial(
            np.ascontiguousarray(vectors, np.float32), perplexity=min(5.0, max(1.0, (count - 1) / 3)), k=min(25, count)
        )
        placed.optimize(250, learning_rate=0.1, exaggeration=1.5, momentum=0.8, max_grad_norm=0.25, inplace=True)
        return np.asarray(placed, np.float64)

    @cached_property
    def _landmarks(self) -> TSNEEmbedding:
        # Barnes-Hut at any size: interpolation (FFT) would let the points of one batch move one another by 1e-4.
        return _embedding(self.vectors, self.positions, self.perplexity, method="bh")


@dataclass(frozen=True, kw_only=True)
class ClusterView:
    """The clusters of one moment: N items by `keys` ascending, `positions` (N, 2), `labels` (N,) and `core` (N,).

    Labels count from 0; -1 is noise. `core` marks DBSCAN's core points.
    """

    fitted: FittedMap
    keys: Keys
    positions: Positions
    labels: NDArray[np.int32]
    core: NDArray[np.bool_]

    @property
    def cluster_count(self) -> int:
        """How many clusters there are, noise not counted."""
        return int(self.labels.max(initial=NOISE)) + 1

    def of(self, key: int) -> int | None:
        """The cluster of an item, -1 for noise, None for an item that is not on the map."""
        row = self._row(key)
        return None if row is None else int(self.labels[row])

    def position_of(self, key: int) -> Positions | None:
        """The position (2,) of an item, None for an item that is not on the map."""
        row = self._row(key)
        return None if row is None else self.positions[row]

    def assign(self, position: Positions, eps: float) -> tuple[int, float]:
        """The cluster of the core point nearest to `position` (2,) if within `eps`, else -1; and that distance."""
        if not self.core.any():
            return NOISE, float("inf")
        distance, nearest = self._core_tree.query(position)
        return (int(self.labels[self.core][nearest]) if distance <= eps else NOISE), float(distance)

    @cached_property
    def _core_tree(self) -> cKDTree:
        return cKDTree(self.positions[self.core])

    def _row(self, key: int) -> int | None:
        row = int(np.searchsorted(self.keys, key))
        return row if row < self.keys.size and self.keys[row] == key else None


def check_enough(count: int, settings: MapSettings) -> None:
    """Raises PreconditionError for fewer items than could make one core point."""
    if count < settings.min_samples:
        raise PreconditionError(f"collection: has {count} items; a map needs at least {settings.min_samples}")


def fit_map(keys: Keys, vectors: FloatArray, settings: MapSettings, version: int) -> FittedMap:
    """Fits a map of unit `vectors` (N, D), by ascending `keys` (N,). Seconds to minutes; O(L^2 D) for the neighbours.

    Early exaggeration 12 for 250 iterations, then 500 without (van der Maaten 2014; openTSNE's defaults).
    """
    check_enough(len(keys), settings)
    item_count, newest_key = len(keys), int(keys[-1])
    if item_count > settings.landmark_limit:
        rows = np.random.default_rng(settings.seed).choice(item_count, settings.landmark_limit, replace=False)
        rows.sort()
        keys, vectors = keys[rows], vectors[rows]
    perplexity = min(settings.perplexity, (len(keys) - 1) / 3)
    embedding = _embedding(
        vectors, _start(vectors, settings.seed), perplexity, method="bh" if len(keys) < 10_000 else "fft"
    )
    embedding.optimize(250, exaggeration=12, momentum=0.5, inplace=True)
    embedding.optimize(500, momentum=0.8, inplace=True)
    return FittedMap(
        version=version,
        perplexity=perplexity,
        item_count=item_count,
        newest_key=newest_key,
        keys=keys.copy(),
        vectors=vectors.copy(),
        positions=np.array(embedding, np.float64),
    )


def view_of(
    fitted: FittedMap, keys: Keys, vectors: FloatArray, settings: MapSettings, before: ClusterView | None = None
) -> ClusterView:
    """The clusters of the items `keys` (N,) ascending with unit `vectors` (N, D) on a map.

    Positions that `before` or the landmarks give are taken over, all others are placed.
    """
    positions = np.empty((len(keys), 2))
    missing = np.ones(len(keys), bool)
    known = [(fitted.keys, fitted.positions)]
    if before is not None and before.fitted is fitted:
        known.append((before.keys, before.positions))
    for known_keys, known_positions in known:
        _, here, there = np.intersect1d(keys, known_keys, assume_unique=True, return_indices=True)
        positions[here] = known_positions[there]
        missing[here] = False
    positions[missing] = fitted.place(vectors[missing])
    labels = np.full(len(keys), NOISE, np.int32)
    core = np.zeros(len(keys), bool)
    if len(keys):
        found = DBSCAN(eps=settings.eps, min_samples=settings.min_samples).fit(positions)
        labels[:] = found.labels_
        core[found.core_sample_indices_] = True
    return ClusterView(fitted=fitted, keys=keys.copy(), positions=positions, labels=labels, core=core)


def save_map(fitted: FittedMap, settings: MapSettings, path: Path) -> None:
    """Writes a map so that a restart finds the same one: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        np.savez(
            stream,
            settings=np.array(repr(settings)),
            version=np.array(fitted.version),
            perplexity=np.array(fitted.perplexity),
            item_count=np.array(fitted.item_count),
            newest_key=np.array(fitted.newest_key),
            keys=fitted.keys,
            vectors=fitted.vectors,
            positions=fitted.positions,
        )
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def load_map(path: Path, settings: MapSettings, dim: int) -> FittedMap | None:
    """The map of `dim`-dimensional vectors that `save_map` wrote with these settings.

    None where there is none or it cannot be used: a map is derived, and a fresh one is fitted in its place.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            if str(saved["settings"]) != repr(settings):
                return None
            fitted = FittedMap(
                version=int(saved["version"]),
                perplexity=float(saved["perplexity"]),
                item_count=int(saved["item_count"]),
                newest_key=int(saved["newest_key"]),
                keys=saved["keys"],
                vectors=saved["vectors"],
                positions=saved["positions"],
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError, BadZipFile) as error:
        log.warning("map %s cannot be read and is fitted anew (%s)", path, error)
        return None
    shapes = fitted.keys.shape, fitted.vectors.shape, fitted.positions.shape
    count = fitted.keys.size
    if shapes != ((count,), (count, dim), (count, 2)) or not np.isfinite(fitted.positions).all():
        log.warning("map %s is of another collection and is fitted anew", path)
        return None
    return fitted


class _ExactNeighbours(KNNIndex):  # type: ignore[misc] # openTSNE has no types
    """openTSNE's neighbour index over FAISS: exact, and so the same in every run."""

    VALID_METRICS = ("euclidean",)

    def build(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        squared, found = faiss.knn(self.data, self.data, self.k + 1, metric=faiss.METRIC_L2)
        rows, distances = np.asarray(found), np.sqrt(np.maximum(squared, 0))
        # Each point finds itself, but not always first: equal vectors are at distance 0 too.
        others: NDArray[np.bool_] = rows != np.arange(len(rows))[:, None]
        others[others.all(axis=1), -1] = False
        shape = (len(rows), self.k)
        return rows[others].reshape(shape), distances[others].reshape(shape)

    def query(self, query: FloatArray, k: int) -> tuple[NDArray[np.int64], Positions]:
        rows, distances = np.empty((len(query), k), np.int64), np.empty((len(query), k))
        for start in range(0, len(query), _QUERIES):
            part = slice(start, start + _QUERIES)
            rows[part], distances[part] = self._nearest(query[part], k)
        return rows, distances

    def _nearest(self, query: FloatArray, k: int) -> tuple[NDArray[np.int64], Positions]:
        # FAISS scores in another way in larger batches, and a point's place must not depend on that: it proposes, and
        # float64 distances point by point decide, equal ones in order of row.
        count, dim = self.data.shape
        ask = min(k + 16, count)
        scores, found = faiss.knn(np.ascontiguousarray(query, np.float32), self.data, ask, metric=faiss.METRIC_L2)
        rows: NDArray[np.int64] = np.sort(found, axis=1)
        squared = ((self.data[rows].astype(np.float64) - query[:, None].astype(np.float64)) ** 2).sum(axis=2)
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        rows, squared = np.take_along_axis(rows, order, axis=1), np.take_along_axis(squared, order, axis=1)
        # Where the last proposal is not clearly farther than the k-th, others as near may be missing: all are compared.
        doubtful = squared[:, -1] > scores[:, -1] - 16 * dim * 2.0**-24
        for number in np.flatnonzero(doubtful) if ask < count else ():
            everything = ((self.data.astype(np.float64) - query[number].astype(np.float64)) ** 2).sum(axis=1)
            rows[number] = np.argsort(everything, kind="stable")[:k]
            squared[number] = everything[rows[number]]
        return rows, np.sqrt(squared)


def _start(vectors: FloatArray, seed: int) -> Positions:
    if vectors.shape[1] < 2 or not vectors.std(axis=0).any():  # the two main directions that PCA needs are not there
        return np.random.default_rng(seed).normal(scale=1e-4, size=(len(vectors), 2))
    return np.asarray(pca(vectors, random_state=seed), np.float64)


def _embedding(vectors: FloatArray, positions: Positions, perplexity: float, *, method: str) -> TSNEEmbedding:
    data = np.ascontiguousarray(vectors, np.float32)
    neighbours = min(len(data) - 1, int(3 * perplexity))
    affinities = PerplexityBasedNN(
        perplexity=perplexity, knn_index=_ExactNeighbours(data, k=neighbours, metric="euclidean"), n_jobs=1
    )
    return TSNEEmbedding(
        np.array(positions, np.float64),
        affinities,
        negative_gradient_method=method,
        n_jobs=1,
        random_state=0,
    )
