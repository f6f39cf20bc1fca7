"""A bundle's heat maps beside maps that know nothing of the image."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from farnear_training.evaluate.findings import FaithfulnessFigures, Settings
from farnear_training.evaluate.graph import Graph
from farnear_training.evaluate.perturbation import MEASURES, curves
from farnear_training.metrics import Interval, mean_intervals

OWN = "heatmap"


def judge(graph: Graph, images_NHW3: NDArray[np.uint8], settings: Settings) -> FaithfulnessFigures:
    """What becomes of the embeddings of RGB images, uint8, as pixels go in the order of each contender's map.

    At 160 x 160 px an image takes 0.6 s on one core with the paper's network, nearly half of it to fill pixels in.
    """
    height, width = images_NHW3.shape[1:3]
    maps = contenders(graph.heatmaps(images_NHW3), height, width, settings.seed)
    with tqdm(total=len(maps) * len(images_NHW3), desc="heat maps", unit="map", disable=None) as bar:
        found = {
            name: curves(images_NHW3, importance, graph.embed, seed=settings.seed, progress=bar.update)
            for name, importance in maps.items()
        }
    scores = {name: of_one.scores() for name, of_one in found.items()}

    def intervals(values_NF: NDArray[np.float64]) -> Mapping[str, Interval]:
        means = mean_intervals(values_NF, draws=settings.draws, seed=settings.seed)
        return dict(zip(MEASURES, means, strict=True))

    return FaithfulnessFigures(
        image_count=len(images_NHW3),
        scores={name: intervals(values) for name, values in scores.items()},
        gains={name: intervals(scores[OWN] - values) for name, values in scores.items() if name != OWN},
        curves={
            kind: {name: tuple(getattr(of_one, kind).mean(axis=0).tolist()) for name, of_one in found.items()}
            for kind in ("deletion", "insertion")
        },
    )


def contenders(
    heatmaps_Nhw: NDArray[np.float32], height: int, width: int, seed: int
) -> Mapping[str, NDArray[np.float32]]:
    """The importance of each pixel by the heat maps, and by two that know nothing of the image: (N, height, width).

    `random` is a map as coarse as the heat map; `centre` falls off from the middle, where photographers put things.
    """
    noise = np.random.default_rng(seed).random(heatmaps_Nhw.shape, np.float32)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    centre = np.exp(-2 * (y**2 + x**2)).astype(np.float32)
    return {
        OWN: enlarged(heatmaps_Nhw, height, width),
        "random": enlarged(noise, height, width),
        "centre": np.broadcast_to(centre, (len(heatmaps_Nhw), height, width)),
    }


def enlarged(maps_Nhw: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Maps of another size, bilinear between the middles of their places: (N, height, width)."""
    return np.stack(
        [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR)) for one in maps_Nhw]
    )
