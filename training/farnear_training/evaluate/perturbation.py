"""Does a heat map show what an embedding comes from? Deletion, insertion and ROAD, without any class.

A classifier is asked how its score falls as pixels go. An embedding has no score. What takes its place here is the
cosine between the embedding of the changed image and that of the image itself: how much of the embedding is left. So
the figure needs no label and no other image, and is of the very vector that searches compare. It is the label-free
importance of Crabbé and van der Schaar (2022), whose shift of the representation is for unit vectors
|a - b|^2 = 2 - 2 cos(a, b). The map's own gradient is that of another score (`Network.heatmaps`), so it can fail here.

* **deletion**: the most important pixels go first, to the mean colour of the image; the area under the cosine over the
  share of pixels gone. The less, the better (Petsiuk et al. 2018).
* **insertion**: they come back first, to a blurred image; the area. The more, the better (the same).
* **road**: they go first, and are filled in from their neighbours, so that no outline tells where they were; the mean
  cosine over three shares. The less, the better (Rong et al. 2022).

References:
    Petsiuk, Das and Saenko, RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018.
    Rong, Leemann, Borisov, Kasneci and Kasneci, A Consistent and Efficient Evaluation Strategy for Attribution
    Methods, ICML 2022.
    Crabbé and van der Schaar, Label-Free Explainability for Unsupervised Models, ICML 2022.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from farnear_training.evaluate.imputation import impute

MEASURES = ("deletion", "insertion", "road")
MORE_IS_BETTER = ("insertion",)
SHARES = tuple(tenth / 10 for tenth in range(11))
ROAD_SHARES = (0.1, 0.3, 0.5)
BLUR = 11 / 224
"""Standard deviation of the blur that insertion starts from, in parts of the image's width.

RISE's 5 / 224 left 0.19 of the cosine on steel at 64 px, this leaves 0.05, and twice as much no less than nothing."""

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What is left of the embeddings of N images, as cosines.

    Attributes:
        deletion: At each of SHARES of the pixels gone, of shape (N, 11).
        insertion: At each of SHARES of the pixels back, of shape (N, 11).
        road: At each of ROAD_SHARES of the pixels filled in, of shape (N, 3).
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    road: NDArray[np.float64]

    def scores(self) -> NDArray[np.float64]:
        """MEASURES of each image, of shape (N, 3)."""
        areas = [np.trapezoid(curve, SHARES, axis=1) for curve in (self.deletion, self.insertion)]
        return np.stack([*areas, self.road.mean(axis=1)], axis=1)


def curves(
    images_NHW3: NDArray[np.uint8],
    importance_NHW: NDArray[np.float32],
    embed: Embed,
    *,
    seed: int,
    progress: Callable[[int], object] = lambda count: None,
) -> Curves:
    """Takes pixels away, and gives them back, in order of importance.

    Args:
        images_NHW3: RGB, uint8.
        importance_NHW: Of each pixel; only its order matters, and equal ones come in a random order.
        embed: Images to unit vectors, of shape (N, D).
        seed: Decides that order and ROAD's noise.
        progress: Is told each image that is done.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for image, importance in zip(images_NHW3, importance_NHW, strict=True):
        ranks = _ranks(importance, generator)
        changed = [
            *(_replaced(image, _mean_colour(image), gone) for gone in _first(ranks, SHARES)),
            *(_replaced(_blurred(image), image, back) for back in _first(ranks, SHARES)),
            *(impute(image, gone, generator) for gone in _first(ranks, ROAD_SHARES)),
        ]
        vectors = embed(np.stack([image, *changed])).astype(np.float64)
        rows.append(vectors[1:] @ vectors[0])
        progress(1)
    deletion, insertion, road = np.split(np.stack(rows), [len(SHARES), 2 * len(SHARES)], axis=1)
    return Curves(deletion=deletion, insertion=insertion, road=road)


def _ranks(importance_HW: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.int64]:
    """0 for the most important pixel, and so on, of shape (H, W)."""
    flat = importance_HW.ravel()
    order = np.lexsort((generator.random(flat.size), -flat))
    ranks = np.empty(flat.size, np.int64)
    ranks[order] = np.arange(flat.size)
    return ranks.reshape(importance_HW.shape)


def _first(ranks_HW: NDArray[np.int64], shares: Sequence[float]) -> list[NDArray[np.bool_]]:
    return [ranks_HW < round(share * ranks_HW.size) for share in shares]


def _replaced(image_HW3: NDArray[np.uint8], by: NDArray[np.uint8], where_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(where_HW[..., None], by, image_HW3)


def _mean_colour(image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    mean: NDArray[np.float64] = image_HW3.mean(axis=(0, 1))
    return mean.round().astype(np.uint8)


def _blurred(image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image_HW3).filter(ImageFilter.GaussianBlur(BLUR * image_HW3.shape[1])))
