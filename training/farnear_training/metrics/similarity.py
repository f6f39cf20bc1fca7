"""Cosine similarity of a few vectors to many, block by block, so that no second copy of the many is made."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2048
_CHUNK = 512


def cosine(queries_QD: NDArray[Any], vectors_ND: NDArray[Any]) -> NDArray[np.float32]:
    """Cosines, float32 of shape (Q, N), of vectors of any length and number type; a zero vector has 0 to all."""
    similarity_QN = np.empty((len(queries_QD), len(vectors_ND)), np.float32)
    unit_QD = _unit(queries_QD)
    for start in range(0, len(vectors_ND), _BLOCK):
        similarity_QN[:, start : start + _BLOCK] = unit_QD @ _unit(vectors_ND[start : start + _BLOCK]).T
    return similarity_QN


def nearest(
    queries_QD: NDArray[Any], vectors_ND: NDArray[Any], k: int, *, own: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions and cosines, each of shape (Q, k), of the k vectors most like each query, most alike first.

    Equals come in order of position. With `own`, of shape (Q,), each query's own position in `vectors_ND` is left out.
    Raises ValueError where fewer than k vectors are left.
    """
    available = len(vectors_ND) - (own is not None)
    if not 1 <= k <= available:
        raise ValueError(f"k: {k}; allowed is 1 to {available}")
    positions_Qk = np.empty((len(queries_QD), k), np.int64)
    similarity_Qk = np.empty((len(queries_QD), k), np.float32)
    for start in range(0, len(queries_QD), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        similarity_QN = cosine(queries_QD[chunk], vectors_ND)
        if own is not None:
            similarity_QN[np.arange(len(similarity_QN)), own[chunk]] = -np.inf
        positions_Qk[chunk] = np.argsort(-similarity_QN, axis=1, kind="stable")[:, :k]
        similarity_Qk[chunk] = np.take_along_axis(similarity_QN, positions_Qk[chunk], axis=1)
    return positions_Qk, similarity_Qk


def _unit(vectors_ND: NDArray[Any]) -> NDArray[np.float32]:
    floats_ND = np.asarray(vectors_ND, np.float32)
    lengths_N1 = np.linalg.norm(floats_ND, axis=1, keepdims=True)
    unit_ND: NDArray[np.float32] = floats_ND / np.maximum(lengths_N1, np.finfo(np.float32).tiny)
    return unit_ND
