"""Losses over the pairs of a batch, one a file: `loss(embeddings (B, D), labels (B,), generator)` gives a scalar."""

from farnear_training.losses.mn_pair import MnPairLoss

__all__ = ["MnPairLoss"]
