"""The cosine embedding loss over all pairs of a batch."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from farnear_training.losses.pairs import mean_over, positives_and_negatives


@dataclass(frozen=True, kw_only=True)
class CosineLoss:
    """Cosine embedding loss as `torch.nn.CosineEmbeddingLoss` defines it, over all pairs of different images.

        L = 1 - cos of a positive pair,  max(0, cos - margin) of a negative pair

    averaged over the pairs; 0 where the batch is one image.

    Attributes:
        margin: The cosine that negatives may have, from -1 to 1.

    Raises:
        ValueError: A setting is out of bounds.

    Example:
        >>> embeddings = functional.normalize(torch.randn(4, 16))
        >>> loss = CosineLoss()(embeddings, torch.tensor([0, 0, 1, 1]), torch.Generator())
    """

    name: ClassVar[str] = "cosine"

    margin: float = 0.0

    def __post_init__(self) -> None:
        if not -1 <= self.margin <= 1:
            raise ValueError(f"margin: {self.margin}; allowed is -1 to 1")

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,); nothing is drawn."""
        positive_BB, negative_BB = positives_and_negatives(labels_B)
        cosine_BB = embeddings_BD @ embeddings_BD.T
        losses_BB = torch.where(positive_BB, 1 - cosine_BB, functional.relu(cosine_BB - self.margin))
        return mean_over(losses_BB, positive_BB | negative_BB)
