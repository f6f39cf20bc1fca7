"""How sure a figure is: the percentile bootstrap (Efron 1979; Efron and Tibshirani 1993, chapter 13).

The images asked about are drawn anew, with replacement, as many as there are; the figure of each such draw is one that
might have come out with other images of the same kind. An interval holds the middle 95 % of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
PERCENTILES = (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2)
_CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with the 95 % interval around it."""

    value: float
    low: float
    high: float


def resamples(count: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `count` images is drawn, in blocks of shape (draws of the block, count), `draws` in all.

    Every row sums to `count`.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, _CELLS // count)
    for start in range(0, draws, rows):
        block = min(rows, draws - start)
        picked = generator.integers(count, size=(block, count)) + count * np.arange(block)[:, None]
        yield np.bincount(picked.ravel(), minlength=block * count).reshape(block, count).astype(np.float64)


def mean_intervals(values_QF: NDArray[np.float64], *, draws: int, seed: int) -> list[Interval]:
    """The mean of each column of `values_QF`, one row a query, with its interval.

    All columns see the same draws, so a column of differences is a paired comparison.
    Raises ValueError where there is no row.
    """
    if not len(values_QF):
        raise ValueError("values: no query; needed is at least one")
    count = len(values_QF)
    means_SF = np.concatenate([weights @ values_QF / count for weights in resamples(count, draws, seed)])
    lows, highs = np.percentile(means_SF, PERCENTILES, axis=0)
    return [
        Interval(value=float(value), low=float(low), high=float(high))
        for value, low, high in zip(values_QF.mean(axis=0), lows, highs, strict=True)
    ]
