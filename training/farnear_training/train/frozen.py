"""A frozen backbone runs once: of images that nothing changes it makes the same in every step."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from farnear_training.data import Dataset
from farnear_training.models import EfficientNetLite0, to_pixels

_BATCH = 64


def head_alone(model: EfficientNetLite0, dataset: Dataset) -> Callable[[NDArray[np.int64]], Tensor]:
    """Runs the backbone over all images and keeps what it gives, 5 KiB an image.

    Returns:
        A function from positions of shape (B,) in `dataset` to embeddings of shape (B, D), as `model` gives of those
        images, by the head alone.
    """
    device = next(model.parameters()).device
    parts = []
    with torch.no_grad():
        for start in tqdm(range(0, len(dataset), _BATCH), "backbone", unit="batch", disable=None):
            images = torch.from_numpy(dataset.images[start : start + _BATCH]).to(device)
            parts.append(model.pooled(to_pixels(images)).cpu())
    pooled_NK = torch.cat(parts)

    def embed(indices: NDArray[np.int64]) -> Tensor:
        return model.embed_pooled(pooled_NK[indices].to(device))

    return embed
