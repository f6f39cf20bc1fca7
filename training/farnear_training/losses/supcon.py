"""The supervised contrastive loss: all positives of an anchor share one softmax over the batch."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from farnear_training.losses.pairs import check_positive, mean_over, positives_and_negatives


@dataclass(frozen=True, kw_only=True)
class SupConLoss:
    """L_out of Khosla et al. (Supervised Contrastive Learning, 2020), eq. 2.

    For an anchor a with the positives P, all other images A of the batch and s = cosine / temperature:

        L_a = -1/|P| sum_{p in P} log( exp s_ap / sum_{i in A} exp s_ai )

    averaged over the anchors that have a positive; 0 where none has.

    Attributes:
        temperature: More than 0.

    Raises:
        ValueError: A setting is out of bounds.

    Example:
        >>> embeddings = torch.nn.functional.normalize(torch.randn(4, 16))
        >>> loss = SupConLoss()(embeddings, torch.tensor([0, 0, 1, 1]), torch.Generator())
    """

    name: ClassVar[str] = "supcon"

    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,); nothing is drawn."""
        positive_BB, negative_BB = positives_and_negatives(labels_B)
        scores_BB = embeddings_BD @ embeddings_BD.T / self.temperature
        lowest = torch.finfo(scores_BB.dtype).min
        others_B = scores_BB.masked_fill(~(positive_BB | negative_BB), lowest).logsumexp(1)
        count_B = positive_BB.sum(1)
        mean_positive_B = scores_BB.masked_fill(~positive_BB, 0).sum(1) / count_B.clamp(min=1)
        return mean_over(others_B - mean_positive_B, count_B > 0)
