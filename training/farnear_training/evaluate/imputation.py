"""Pixels that are gone, filled in from those around them: the noisy linear imputation of ROAD (Rong et al. 2022).

Each pixel that is gone is the weighted mean of its neighbours in the image, known or gone alike, with weight 1/6 for
those beside, above and below it and 1/12 for those across a corner; then noise is added. So nothing tells where a pixel
went, which a fill of one colour does: it draws the outline of what is gone.

Rong, Leemann, Borisov, Kasneci and Kasneci, A Consistent and Efficient Evaluation Strategy for Attribution Methods,
ICML 2022, section 4.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

NOISE = 0.01 * 255
"""Standard deviation of the noise in grey levels; a hundredth of their range, as in the paper's experiments."""

_NEIGHBOURS = tuple(
    (down, right, 1 / 12 if down and right else 1 / 6)
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if (down, right) != (0, 0)
)


def impute(
    image_HW3: NDArray[np.uint8], gone_HW: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """A copy of an image, uint8 of shape (H, W, 3), whose pixels `gone_HW` are filled in.

    Solves one sparse system of as many unknowns as pixels are gone: 0.03 s for a third of 160 x 160 on one core.
    Raises ValueError where no pixel is left.
    """
    if gone_HW.all():
        raise ValueError("gone: every pixel; at least one must be left to fill in from")
    if not gone_HW.any():
        return image_HW3.copy()
    filled = image_HW3.copy()
    smooth = _linear(image_HW3, gone_HW)
    noisy = smooth + generator.normal(scale=NOISE, size=smooth.shape)
    filled[gone_HW] = np.clip(noisy.round(), 0, 255).astype(np.uint8)
    return filled


def _linear(image_HW3: NDArray[np.uint8], gone_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The weighted means, of shape (pixels gone, 3): for each such pixel i, sum_j w_ij (x_i - x_j) = 0."""
    count = int(gone_HW.sum())
    # A border all around spares asking at every neighbour whether it is in the image.
    unknown = np.pad(np.where(gone_HW, np.cumsum(gone_HW).reshape(gone_HW.shape) - 1, -1), 1, constant_values=-1)
    inside = np.pad(np.ones_like(gone_HW), 1)
    values = np.pad(image_HW3.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    y, x = np.nonzero(gone_HW)

    own = np.arange(count)
    diagonal, known = np.zeros(count), np.zeros((count, 3))
    rows, columns, weights = [], [], []
    for down, right, weight in _NEIGHBOURS:
        place = (y + 1 + down, x + 1 + right)
        diagonal += weight * inside[place]
        column = unknown[place]
        known += weight * np.where((column < 0)[:, None], values[place], 0)  # outside the image all values are 0
        linked = column >= 0
        rows.append(own[linked])
        columns.append(column[linked])
        weights.append(np.full(linked.sum(), -weight))
    matrix = coo_matrix(
        (np.concatenate([*weights, diagonal]), (np.concatenate([*rows, own]), np.concatenate([*columns, own]))),
        shape=(count, count),
    ).tocsc()
    # Symmetric and diagonally dominant, so that no pivoting is needed and this ordering keeps the factors sparse.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solution: NDArray[np.float64] = factors.solve(known)
    return solution
