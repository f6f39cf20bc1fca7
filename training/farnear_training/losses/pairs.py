"""Which two images of a batch belong together, and how far apart they lie. B batch, D embedding."""

import math

import torch
from torch import Tensor


def positives_and_negatives(labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of shape (B, B), symmetric: two different images of one class, and two images of different classes."""
    same_BB = labels_B[:, None] == labels_B[None, :]
    itself_BB = torch.eye(len(labels_B), dtype=torch.bool, device=labels_B.device)
    return same_BB & ~itself_BB, ~same_BB


def distances(embeddings_BD: Tensor) -> Tensor:
    """Euclidean distances of unit vectors, of shape (B, B), between 0 and 2.

    Vectors closer than 1e-6 count as that far apart and have no gradient: at 0 the root's is infinite.
    """
    return (2 - 2 * embeddings_BD @ embeddings_BD.T).clamp(min=1e-12).sqrt()


def mean_over(losses: Tensor, counted: Tensor) -> Tensor:
    """The mean of finite `losses` where the mask `counted`, of the same shape, is true; 0, gradient too, if nowhere."""
    return torch.where(counted, losses, 0).sum() / counted.sum().clamp(min=1)


def check_positive(name: str, value: float) -> None:
    """Raises ValueError unless the setting called `name` is a finite number above 0."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name}: {value}; allowed is a finite number more than 0")
