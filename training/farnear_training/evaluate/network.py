"""Retrieval on held-out images: the network's beside raw pixels' and chance's."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from farnear_training.data import Dataset
from farnear_training.metrics import Retrieval, chance, retrieval
from farnear_training.models import Network

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Retrieval over the same images by the network's embeddings, by the decoded pixels, and by a random order."""

    learned: Retrieval
    raw_pixels: Retrieval
    chance: Retrieval

    def to_json(self) -> dict[str, Any]:
        """The form of `evaluation` in bundle.json."""
        return {
            **asdict(self.learned),
            "raw_pixels": asdict(self.raw_pixels),
            "chance": asdict(self.chance),
        }


def evaluate(model: Network, dataset: Dataset) -> Evaluation:
    """Each image of `dataset` as a query against all others of it, ranked by cosine; raw pixels flattened as they are.

    Raises ValueError where no class has two images.
    """
    pixels = dataset.images.reshape(len(dataset), -1)
    return Evaluation(
        learned=retrieval(embed(model, dataset.images), dataset.labels),
        raw_pixels=retrieval(pixels, dataset.labels),
        chance=chance(dataset.labels),
    )


def embed(model: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit vectors, float32 of shape (N, D), of RGB images, uint8 of shape (N, H, W, 3)."""
    starts = tqdm(range(0, len(images), _BATCH), "embed", unit="batch", disable=None)
    with torch.inference_mode():
        parts = [model(torch.from_numpy(images[start : start + _BATCH])).embedding.numpy() for start in starts]
    return np.concatenate(parts)
