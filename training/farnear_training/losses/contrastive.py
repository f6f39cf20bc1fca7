"""The contrastive loss: positives pulled together, negatives pushed a margin apart."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from farnear_training.losses.pairs import check_positive, distances, mean_over, positives_and_negatives


@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss:
    """Contrastive loss of Hadsell, Chopra and LeCun (Dimensionality Reduction by Learning an Invariant Mapping), eq. 4.

    For Euclidean distances d between 0 and 2:

        L = 1/2 d^2 of a positive pair,  1/2 max(0, margin - d)^2 of a negative pair

    The mean over the positive pairs plus the mean over the negative pairs that violate the margin: so both sides weigh
    alike, however many classes there are, and negatives that are far enough already do not thin out the rest.

    Attributes:
        margin: More than 0.

    Raises:
        ValueError: A setting is out of bounds.

    Example:
        >>> embeddings = functional.normalize(torch.randn(4, 16))
        >>> loss = ContrastiveLoss()(embeddings, torch.tensor([0, 0, 1, 1]), torch.Generator())
    """

    name: ClassVar[str] = "contrastive"

    margin: float = 1.0

    def __post_init__(self) -> None:
        check_positive("margin", self.margin)

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,); nothing is drawn."""
        positive_BB, negative_BB = positives_and_negatives(labels_B)
        distance_BB = distances(embeddings_BD)
        short_BB = functional.relu(self.margin - distance_BB)
        pull = mean_over(distance_BB.square() / 2, positive_BB)
        return pull + mean_over(short_BB.square() / 2, negative_BB & (short_BB > 0))
