"""The pointing game: does the maximum of a heat map lie in the damage (Zhang et al. 2016)?"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

TOLERANCE = 15 / 375
"""In parts of an image's side."""
PLACE = 8.0
"""Width and height of a place of the heat map in pixels."""


def maxima(maps_NHW: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row and column where each map is largest, of shape (N,) each.

    Of equal pixels the innermost: from the middles of its outermost places to the edge an enlarged map only repeats
    itself, and the middle is what the map has said.
    """
    height, width = maps_NHW.shape[1:]
    y, x = np.arange(height), np.arange(width)
    inwards_HW = np.minimum(y, height - 1 - y)[:, None] + np.minimum(x, width - 1 - x)
    largest_NHW = maps_NHW == maps_NHW.max(axis=(1, 2), keepdims=True)
    places = np.where(largest_NHW, inwards_HW, -1).reshape(len(maps_NHW), -1).argmax(axis=1)
    return np.divmod(places, width)


def distances(maps_NHW: NDArray[np.float32], masks_NHW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """From the maximum of each map to the nearest pixel of damage, in pixels; 0 where it lies in it."""
    return np.array(
        [distance_transform_edt(~mask)[y, x] for mask, y, x in zip(masks_NHW, *maxima(maps_NHW), strict=True)]
    )


def in_outermost(maps_NHW: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the maximum of each map lies in an outermost place."""
    height, width = maps_NHW.shape[1:]
    y, x = maxima(maps_NHW)
    return np.minimum.reduce([y, x, height - 1 - y, width - 1 - x]) < PLACE
