"""The MN-pair loss: a weighted contrast of several positives with several negatives."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from farnear_training.losses.pairs import check_positive, mean_over, positives_and_negatives


@dataclass(frozen=True, kw_only=True)
class MnPairLoss:
    """MN-pair loss of Yasuno, Okano and Fujii (MN-pair contrastive damage representation), eq. 5, over a batch.

    For an anchor a with up to M - 1 positives p, up to N - 1 negatives n and s = cosine / temperature:

        L_a = -log( v sum_p exp s_ap / ( v sum_p exp s_ap + w sum_n exp s_an ) ),  w = 1 - v

    averaged over the anchors that have a positive in the batch; 0 where none has. v = 0.5 weighs both sides alike: with
    M = 2 that is the N-pair loss (InfoNCE).

    Attributes:
        temperature: More than 0.
        positive_weight: v, between 0 and 1.
        m: M, at least 2; None takes every positive of the batch.
        n: N, at least 2; None takes every negative of the batch.

    Raises:
        ValueError: A setting is out of bounds.

    Example:
        >>> embeddings = torch.nn.functional.normalize(torch.randn(4, 16))
        >>> loss = MnPairLoss(m=2, n=2)(embeddings, torch.tensor([0, 0, 1, 1]), torch.Generator())
    """

    name: ClassVar[str] = "mn-pair"

    temperature: float = 0.3
    positive_weight: float = 0.15
    m: int | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)
        if not 0 < self.positive_weight < 1:
            raise ValueError(f"positive_weight: {self.positive_weight}; allowed is more than 0 and less than 1")
        for field, size in (("m", self.m), ("n", self.n)):
            if size is not None and size < 2:
                raise ValueError(f"{field}: {size}; allowed is 2 or more, or None for the whole batch")

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,).

        `generator` (CPU) draws which positives and negatives count where there are more than M - 1 and N - 1.
        """
        positive_BB, negative_BB = positives_and_negatives(labels_B)
        positive_BB = _drawn(positive_BB, self.m, generator)
        negative_BB = _drawn(negative_BB, self.n, generator)

        scores_BB = embeddings_BD @ embeddings_BD.T / self.temperature
        # The lowest finite number, not -inf, stands for what is left out: a row of -inf alone has no gradient.
        lowest = torch.finfo(scores_BB.dtype).min
        positives_B = scores_BB.masked_fill(~positive_BB, lowest).logsumexp(1) + math.log(self.positive_weight)
        negatives_B = scores_BB.masked_fill(~negative_BB, lowest).logsumexp(1) + math.log(1 - self.positive_weight)
        losses_B = torch.logaddexp(positives_B, negatives_B) - positives_B

        return mean_over(losses_B, positive_BB.any(1))


def _drawn(allowed_BB: Tensor, cap: int | None, generator: torch.Generator) -> Tensor:
    """At most cap - 1 of each row's allowed places, drawn evenly; a mask of the same shape (B, B)."""
    if cap is None or cap > allowed_BB.shape[1]:
        return allowed_BB
    lots_BB = torch.rand(allowed_BB.shape, generator=generator).to(allowed_BB.device).masked_fill(~allowed_BB, -1)
    drawn_BB = torch.zeros_like(allowed_BB).scatter(1, lots_BB.topk(cap - 1, dim=1).indices, True)
    return drawn_BB & allowed_BB
