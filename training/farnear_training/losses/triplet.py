"""The triplet margin loss, with three ways to choose its triplets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from farnear_training.losses.pairs import check_positive, distances, mean_over, positives_and_negatives

Triplets = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class TripletLoss:
    """Triplet margin loss (Schroff, Kalenichenko and Philbin, FaceNet, 2015, eq. 2), of distances that are not squared.

    For an anchor a, a positive p, a negative n and Euclidean distances d between 0 and 2:

        L = max(0, d_ap - d_an + margin)

    averaged over those of the triplets that violate the margin, as Hermans, Beyer and Leibe (In Defense of the Triplet
    Loss, 2017) advise; 0 where none does.

    Attributes:
        margin: More than 0.
        mining: `random`: for each positive pair one negative, drawn evenly. `semi-hard`: for each positive pair the
            nearest negative that is farther than the positive (FaceNet, eq. 4), the farthest of all where none is.
            `hard`: for each anchor its farthest positive and its nearest negative (Hermans et al., eq. 5).

    Raises:
        ValueError: A setting is out of bounds.

    Example:
        >>> embeddings = functional.normalize(torch.randn(4, 16))
        >>> loss = TripletLoss(mining="hard")(embeddings, torch.tensor([0, 0, 1, 1]), torch.Generator())
    """

    name: ClassVar[str] = "triplet"

    margin: float = 0.05
    mining: str = "semi-hard"

    def __post_init__(self) -> None:
        check_positive("margin", self.margin)
        if self.mining not in MINING:
            raise ValueError(f"mining: {self.mining!r}; allowed are {', '.join(MINING)}")

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,).

        `generator` (CPU) draws the negatives of `random`. Time is O(B^2 log B) at most, memory O(B^2).
        """
        distance_BB = distances(embeddings_BD)
        positive_BB, negative_BB = positives_and_negatives(labels_B)
        # Only anchors with both sides form triplets.
        positive_BB = positive_BB & negative_BB.any(1, keepdim=True)
        a, p, n = MINING[self.mining](distance_BB.detach(), positive_BB, negative_BB, generator)
        losses_T = functional.relu(distance_BB[a, p] - distance_BB[a, n] + self.margin)
        return mean_over(losses_T, losses_T > 0)


def _random(distance_BB: Tensor, positive_BB: Tensor, negative_BB: Tensor, generator: torch.Generator) -> Triplets:
    a, p = positive_BB.nonzero(as_tuple=True)
    lots_T = torch.rand(len(a), generator=generator, dtype=torch.float64).to(distance_BB.device)
    negatives_first_BB = (~negative_BB).to(torch.uint8).argsort(dim=1, stable=True)
    return a, p, negatives_first_BB[a, (lots_T * negative_BB.sum(1)[a]).long()]


def _semi_hard(distance_BB: Tensor, positive_BB: Tensor, negative_BB: Tensor, _: torch.Generator) -> Triplets:
    a, p = positive_BB.nonzero(as_tuple=True)
    ascending_BB, order_BB = distance_BB.masked_fill(~negative_BB, torch.inf).sort(dim=1)
    farther_BB = torch.searchsorted(ascending_BB, distance_BB, right=True)
    return a, p, order_BB[a, torch.minimum(farther_BB[a, p], negative_BB.sum(1)[a] - 1)]


def _hard(distance_BB: Tensor, positive_BB: Tensor, negative_BB: Tensor, _: torch.Generator) -> Triplets:
    (a,) = positive_BB.any(1).nonzero(as_tuple=True)
    farthest_B = distance_BB.masked_fill(~positive_BB, -torch.inf).argmax(dim=1)
    nearest_B = distance_BB.masked_fill(~negative_BB, torch.inf).argmin(dim=1)
    return a, farthest_B[a], nearest_B[a]


MINING: dict[str, Callable[[Tensor, Tensor, Tensor, torch.Generator], Triplets]] = {
    "random": _random,
    "semi-hard": _semi_hard,
    "hard": _hard,
}
"""From distances, positives and negatives, all of shape (B, B), to T triplets of places in the batch: (a, p, n)."""
