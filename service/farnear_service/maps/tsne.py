"""All that knows openTSNE: its embedding over exact neighbours.

References: van der Maaten and Hinton 2008 (t-SNE); Policar et al. 2024 (openTSNE).
"""

import logging

import faiss
import numpy as np
from numpy.typing import NDArray
from openTSNE import TSNEEmbedding, _tsne
from openTSNE.affinity import PerplexityBasedNN
from openTSNE.initialization import pca
from openTSNE.nearest_neighbors import KNNIndex
from openTSNE.quad_tree import QuadTree
from scipy.sparse import csr_matrix

from farnear_service.maps.fitted import Positions
from farnear_service.types import FloatArray

_QUERIES = 1000  # points whose neighbours are compared at a time, some megabytes

logging.getLogger("openTSNE").setLevel(logging.WARNING)  # it tells of every index that it was given


def embedding(vectors: FloatArray, positions: Positions, perplexity: float, *, method: str) -> TSNEEmbedding:
    """A map of unit `vectors` (N, D) that lie at `positions` (N, 2), ready to be optimised or to place others on.

    `method` is "bh" (Barnes-Hut) or "fft" (interpolation). One thread, so that the same input gives the same map.
    """
    data = np.ascontiguousarray(vectors, np.float32)
    neighbours = min(len(data) - 1, int(3 * perplexity))
    affinities = PerplexityBasedNN(
        perplexity=perplexity, knn_index=ExactNeighbours(data, k=neighbours, metric="euclidean"), n_jobs=1
    )
    return TSNEEmbedding(
        np.array(positions, np.float64),
        affinities,
        negative_gradient_method=method,
        n_jobs=1,
        random_state=0,
    )


class Landmarks:
    """A map that stands, L unit `vectors` (L, D) at `positions` (L, 2), to place others on."""

    def __init__(self, vectors: FloatArray, positions: Positions) -> None:
        self._count = len(vectors)
        # Barnes-Hut at any size: interpolation (FFT) would let the points of one batch move one another by 1e-4. The
        # perplexity is that of the landmarks among themselves, which move no more: the least is the quickest.
        self._embedding = embedding(vectors, positions, perplexity=1.0, method="bh")
        self._tree = QuadTree(self._embedding)

    def place(self, vectors: FloatArray) -> Positions:
        """Positions (N, 2) of unit `vectors` (N, D), each on its own."""
        # openTSNE's own transform() is these two calls after shifting the landmarks, in place, to the middle of their
        # bounding box: every new point would land off by that shift, 15 map units on a map of 2,624 solar cells.
        placed = self._embedding.prepare_partial(
            np.ascontiguousarray(vectors, np.float32),
            perplexity=min(5.0, max(1.0, (self._count - 1) / 3)),
            k=min(25, self._count),
        )
        placed.optimize(
            250,
            learning_rate=0.1,
            exaggeration=1.5,
            momentum=0.8,
            max_grad_norm=0.25,
            inplace=True,
            negative_gradient_method=self._gradient,
        )
        return np.asarray(placed, np.float64)

    def _gradient(
        self, placed: Positions, affinities: csr_matrix, *, dof: float, bh_params: dict[str, float], **_: object
    ) -> tuple[float, Positions]:
        """What openTSNE's kl_divergence_bh gives, without a new tree of the landmarks for each of 250 steps."""
        gradient = np.zeros_like(placed, dtype=np.float64)
        _tsne.estimate_negative_gradient_bh(
            self._tree, placed, gradient, **bh_params, dof=dof, num_threads=1, pairwise_normalization=False
        )
        _tsne.estimate_positive_gradient_nn(
            affinities.indices,
            affinities.indptr,
            affinities.data,
            placed,
            self._embedding,
            gradient,
            dof,
            num_threads=1,
            should_eval_error=False,
        )
        return 0.0, gradient


def first_positions(vectors: FloatArray, seed: int) -> Positions:
    """Where the optimisation starts for want of a better place: PCA, as small as openTSNE wants it."""
    if vectors.shape[1] < 2 or not vectors.std(axis=0).any():  # the two main directions that PCA needs are not there
        return np.random.default_rng(seed).normal(scale=1e-4, size=(len(vectors), 2))
    return np.asarray(pca(vectors, random_state=seed), np.float64)


class ExactNeighbours(KNNIndex):  # type: ignore[misc] # openTSNE has no types
    """openTSNE's neighbour index over FAISS: exact, and so the same in every run."""

    VALID_METRICS = ("euclidean",)

    def build(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows and distances (L, k) of the nearest others of each landmark."""
        squared, found = faiss.knn(self.data, self.data, self.k + 1, metric=faiss.METRIC_L2)
        rows, distances = np.asarray(found), np.sqrt(np.maximum(squared, 0))
        # Each point finds itself, but not always first: equal vectors are at distance 0 too.
        others: NDArray[np.bool_] = rows != np.arange(len(rows))[:, None]
        others[others.all(axis=1), -1] = False
        shape = (len(rows), self.k)
        return rows[others].reshape(shape), distances[others].reshape(shape)

    def query(self, query: FloatArray, k: int) -> tuple[NDArray[np.int64], Positions]:
        """Rows and distances (N, k) of the landmarks nearest to each of N points, equal ones in order of row."""
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
