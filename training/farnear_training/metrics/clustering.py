"""The groups that show on a map of the embeddings: t-SNE to two dimensions, then DBSCAN.

Settings as in Yasuno, Okano and Fujii 2023 (arXiv:2301.06077): eps 3 map units, min_samples 10.
References: van der Maaten and Hinton 2008 (t-SNE); Policar et al. 2024 (openTSNE); Ester et al. 1996 (DBSCAN).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openTSNE import TSNE
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import DBSCAN
from sklearn.neighbors import radius_neighbors_graph

from farnear_training.metrics.bootstrap import PERCENTILES, Interval

NOISE = -1
FIT_STEPS = 750
REPORT_EVERY = 50


def lay_out(
    vectors_ND: NDArray[np.float32], perplexity: float, seed: int, progress: Callable[[int], object] | None = None
) -> NDArray[np.float64]:
    """Positions of shape (N, 2), in map units, of unit vectors: 250 steps of t-SNE with exaggeration 12, 500 without.

    Neighbours are exact and one thread does it all, so a map is a function of its arguments. `progress` is told
    after every `REPORT_EVERY` of the `FIT_STEPS` steps how many it were. Time is O(N^2 D + steps x N log N).

    Raises ValueError for a perplexity above (N - 1) / 3.
    """
    if not 1 <= perplexity <= (len(vectors_ND) - 1) / 3:
        raise ValueError(
            f"perplexity: {perplexity}; allowed is 1 to {(len(vectors_ND) - 1) / 3:g}, a third of the rest"
        )

    def report(step: int, error: float, embedding: NDArray[np.float64]) -> None:
        if progress is not None:
            progress(REPORT_EVERY)

    spread = vectors_ND.shape[1] > 1 and vectors_ND.std(axis=0).any()
    layout = TSNE(
        perplexity=perplexity,
        initialization="pca" if spread else "random",  # where PCA has no two directions to find
        neighbors="exact",
        early_exaggeration=12,
        early_exaggeration_iter=250,
        n_iter=500,
        n_jobs=1,
        random_state=seed,
        callbacks=[report],
        callbacks_every_iters=REPORT_EVERY,
    )
    return np.array(layout.fit(np.ascontiguousarray(vectors_ND, np.float32)), np.float64)


def density_clusters(positions_N2: NDArray[np.float64], eps: float, min_samples: int) -> NDArray[np.int64]:
    """The cluster of each position, of shape (N,): 0, 1, ... or -1 for noise."""
    labels = DBSCAN(eps=eps, min_samples=min_samples).fit(positions_N2).labels_
    return np.asarray(labels, np.int64)


def cluster_count(
    positions_N2: NDArray[np.float64],
    eps: float,
    min_samples: int,
    *,
    draws: int,
    seed: int,
    progress: Callable[[int], object] | None = None,
) -> Interval:
    """How many clusters there are, and the middle 95 % of how many there are when the images are weighed anew.

    The positions stay and the clusters are found anew in every draw: connected parts of the graph that joins core
    points within eps, where a core point has images of a weight of `min_samples` within eps. The weights are those of
    the Bayesian bootstrap (Rubin 1981), uniform over all that sum to N: drawing images with replacement instead would
    leave out a third of them, and break up what they join. A few images can join two clusters all the same, so the
    range can lie beside the value: then the count hangs on those few. `progress` is told after each draw.
    """
    near_NN = radius_neighbors_graph(positions_N2, eps, include_self=True)

    def count(weights_N: NDArray[np.float64]) -> int:
        core = np.flatnonzero(near_NN @ weights_N >= min_samples)
        return int(connected_components(near_NN[core][:, core], directed=False)[0]) if core.size else 0

    generator = np.random.default_rng(seed)
    counts = []
    for _ in range(draws):
        counts.append(count(len(positions_N2) * generator.dirichlet(np.ones(len(positions_N2)))))
        if progress is not None:
            progress(1)
    low, high = np.percentile(counts, PERCENTILES, method="nearest")
    return Interval(value=float(count(np.ones(len(positions_N2)))), low=float(low), high=float(high))


def normalized_mutual_information(
    labels_N: NDArray[np.int64], clusters_N: NDArray[np.int64], *, draws: int, seed: int
) -> Interval:
    """What cluster and class tell of each other, 0 to 1, over the mean of their entropies; noise is one more cluster.

    In a draw the clusters stay, so that a draw of images is a draw from the table of counts.
    """
    _, rows = np.unique(labels_N, return_inverse=True)
    _, columns = np.unique(clusters_N, return_inverse=True)
    table_LK = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table_LK, (rows, columns), 1)
    drawn = np.random.default_rng(seed).multinomial(len(rows), table_LK.ravel() / len(rows), size=draws)
    low, high = np.percentile(_shared_information(drawn.reshape(draws, *table_LK.shape)), PERCENTILES)
    return Interval(value=float(_shared_information(table_LK[None])[0]), low=float(low), high=float(high))


def _shared_information(tables_SLK: NDArray[Any]) -> NDArray[np.float64]:
    joint_SLK = tables_SLK / tables_SLK.sum(axis=(1, 2), keepdims=True)
    both = _entropy(joint_SLK, (1, 2))
    apart = _entropy(joint_SLK.sum(axis=2), (1,)) + _entropy(joint_SLK.sum(axis=1), (1,))
    # One class and one cluster are the same grouping.
    shared: NDArray[np.float64] = np.divide(2 * (apart - both), apart, out=np.ones_like(apart), where=apart > 0)
    return shared.clip(0, 1)


def _entropy(shares: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy: NDArray[np.float64] = -(shares * logarithms).sum(axis=axes)
    return entropy
