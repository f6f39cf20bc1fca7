"""How well a ranking by cosine finds images of the same class.

The measures are those of Musgrave, Belongie and Lim, "A Metric Learning Reality Check" (ECCV 2020), section 3.2.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farnear_training.metrics.similarity import cosine

_CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Means over the queries, each between 0 and 1; R is the number of other images of the query's class.

    Attributes:
        precision_at_1: Share of queries whose nearest image is of their class.
        r_precision: Share of the query's class among its R nearest.
        map_at_r: Mean average precision at R: (1 / R) sum_{i=1..R} P(i), where P(i) is the precision at i if the i-th
            nearest is of the query's class, and 0 otherwise.
    """

    precision_at_1: float
    r_precision: float
    map_at_r: float


MEASURES = tuple(field.name for field in fields(Retrieval))


def retrieval(vectors_ND: NDArray[Any], labels_N: NDArray[np.int64]) -> Retrieval:
    """Every image as a query against all others, ranked by cosine; equals rank in order of position.

    Args:
        vectors_ND: Of any length and number type, shape (N, D); a zero vector has similarity 0 to all.
        labels_N: Classes, shape (N,). Queries that are alone in their class are left out.

    Raises:
        ValueError: No class has two images.

    Time is O(N^2 (D + log N)), memory O(N) beside the vectors.
    """
    scores_Q3 = query_scores(vectors_ND, labels_N, askable(labels_N))
    return Retrieval(**dict(zip(MEASURES, scores_Q3.mean(axis=0).tolist(), strict=True)))


def askable(labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of images that share their class with another; raises ValueError where there is none."""
    return np.flatnonzero(_others(labels_N) > 0)


def query_scores(
    vectors_ND: NDArray[Any],
    labels_N: NDArray[np.int64],
    queries_Q: NDArray[np.int64],
    progress: Callable[[int], object] | None = None,
) -> NDArray[np.float64]:
    """What each query adds to the means of `retrieval`: shape (Q, 3), one column a measure in order of `MEASURES`.

    `queries_Q` are positions out of `askable`. `progress` is told of so many queries more each time.
    """
    others_N = _others(labels_N)
    scores_Q3 = np.empty((len(queries_Q), len(MEASURES)))
    for start in range(0, len(queries_Q), _CHUNK):
        chunk = queries_Q[start : start + _CHUNK]
        similarity_QN = cosine(vectors_ND[chunk], vectors_ND)
        similarity_QN[np.arange(len(chunk)), chunk] = -np.inf
        depth = int(others_N[chunk].max())
        nearest_QR = np.argsort(-similarity_QN, axis=1, kind="stable")[:, :depth]
        ranks_R = np.arange(1, depth + 1)
        others_Q1 = others_N[chunk, None]
        hits_QR = (labels_N[nearest_QR] == labels_N[chunk, None]) & (ranks_R <= others_Q1)
        precision_QR = np.cumsum(hits_QR, axis=1) / ranks_R
        scores_Q3[start : start + len(chunk)] = np.stack(
            [
                hits_QR[:, 0],
                (hits_QR / others_Q1).sum(axis=1),
                (hits_QR * precision_QR / others_Q1).sum(axis=1),
            ],
            axis=1,
        )
        if progress is not None:
            progress(len(chunk))
    return scores_Q3


def chance(labels_N: NDArray[np.int64]) -> Retrieval:
    """What a random order is expected to reach, in closed form.

    With n other images, R of them relevant, a place holds a relevant one with probability p = R / n, and then another
    place does so too with q = (R - 1) / (n - 1). So precision at 1 and R-precision are p, the i-th place adds
    (p / i) (1 + (i - 1) q) / R to MAP@R, and their sum over i = 1..R is

        MAP@R = (p / R) ( (1 - q) H_R + q R ),  H_R = 1 + 1/2 + ... + 1/R

    Raises ValueError where no class has two images.
    """
    relevant = _others(labels_N)
    relevant = relevant[relevant > 0]
    n = len(labels_N) - 1
    p = relevant / n
    q = (relevant - 1) / max(n - 1, 1)
    harmonic = np.cumsum(1 / np.arange(1, relevant.max() + 1))[relevant - 1]
    precision = float(p.mean())
    return Retrieval(
        precision_at_1=precision,
        r_precision=precision,
        map_at_r=float((p / relevant * ((1 - q) * harmonic + q * relevant)).mean()),
    )


def _others(labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each image, how many others share its class."""
    _, inverse, counts = np.unique(labels_N, return_inverse=True, return_counts=True)
    others = counts[inverse] - 1
    if not (others > 0).any():
        raise ValueError("labels: no class has two images; allowed is at least one that does")
    return others
