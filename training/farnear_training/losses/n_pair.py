"""The N-pair loss: a softmax over one image of every class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from farnear_training.losses.pairs import check_positive, mean_over


@dataclass(frozen=True, kw_only=True)
class NPairLoss:
    """Multi-class N-pair loss of Sohn (Improved Deep Metric Learning with Multi-class N-pair Loss, 2016), eq. 2 and 6.

    For an anchor a, one positive p, one negative n of each other class in the batch and s = cosine / temperature:

        L_a = -log( exp s_ap / ( exp s_ap + sum_n exp s_an ) )

    averaged over the anchors that have a positive; 0 where none has. Sohn takes one anchor of each class; here every
    image is one, with its own draw, so that no image of the batch is idle. He bounds the length of the vectors, which
    is 1 here, so a temperature takes its place.

    Attributes:
        temperature: More than 0.

    Raises:
        ValueError: A setting is out of bounds.

    Example:
        >>> embeddings = functional.normalize(torch.randn(6, 16))
        >>> loss = NPairLoss()(embeddings, torch.tensor([0, 0, 1, 1, 2, 2]), torch.Generator())
    """

    name: ClassVar[str] = "n-pair"

    temperature: float = 0.3

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,).

        `generator` (CPU) draws each anchor's positive and negatives. Time and memory are O(B^2), and a sort.
        """
        drawn_BK, class_B, count_K = _one_of_each_class(labels_B, generator)
        scores_BK = (embeddings_BD @ embeddings_BD.T / self.temperature).gather(1, drawn_BK)
        anchor_B = count_K[class_B] > 1
        losses_B = functional.cross_entropy(scores_BK, class_B, reduction="none")
        return mean_over(losses_B, anchor_B)


def _one_of_each_class(labels_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """For each image one place in the batch for each of K classes, of shape (B, K); its own only where it is alone.

    Beside it each image's position among the classes, of shape (B,), and their sizes, of shape (K,).
    """
    _, class_B, count_K = torch.unique(labels_B, return_inverse=True, return_counts=True)
    # One sort of class + lot shuffles every row within the classes; an anchor's own lot is the last of its class.
    lots_BB = torch.rand(len(labels_B), len(labels_B), generator=generator, dtype=torch.float64)
    lots_BB = (lots_BB * 0.9).fill_diagonal_(0.95).to(labels_B.device)
    order_BB = (class_B + lots_BB).argsort(dim=1)
    return order_BB[:, count_K.cumsum(0) - count_K], class_B, count_K
