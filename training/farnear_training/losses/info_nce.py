"""InfoNCE: each positive on its own against all negatives."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from farnear_training.losses.pairs import check_positive, mean_over, positives_and_negatives


@dataclass(frozen=True, kw_only=True)
class InfoNceLoss:
    """InfoNCE (van den Oord et al. 2018, eq. 4) as the NT-Xent loss of SimCLR (Chen et al. 2020, eq. 1), with labels.

    For a positive pair (a, p), the negatives n of a and s = cosine / temperature:

        L_ap = -log( exp s_ap / ( exp s_ap + sum_n exp s_an ) )

    averaged over the positive pairs of the batch, both ways round; 0 where there is none. SimCLR's pairs are two views
    of one image; here they are any two images of a class, and a's other positives stand in no denominator.

    Attributes:
        temperature: More than 0.

    Raises:
        ValueError: A setting is out of bounds.

    Example:
        >>> embeddings = torch.nn.functional.normalize(torch.randn(4, 16))
        >>> loss = InfoNceLoss()(embeddings, torch.tensor([0, 0, 1, 1]), torch.Generator())
    """

    name: ClassVar[str] = "info-nce"

    temperature: float = 0.07

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,); nothing is drawn."""
        positive_BB, negative_BB = positives_and_negatives(labels_B)
        scores_BB = embeddings_BD @ embeddings_BD.T / self.temperature
        # The lowest finite number, not -inf, stands for what is left out: a row of -inf alone has no gradient.
        lowest = torch.finfo(scores_BB.dtype).min
        negatives_B1 = scores_BB.masked_fill(~negative_BB, lowest).logsumexp(1, keepdim=True)
        return mean_over(torch.logaddexp(scores_BB, negatives_B1) - scores_BB, positive_BB)
