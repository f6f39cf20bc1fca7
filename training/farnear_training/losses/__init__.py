"""Losses over the pairs of a batch, one a file: `loss(embeddings (B, D), labels (B,), generator)` gives a scalar.

Where a loss has been put in one form by many hands, its defaults are those of pytorch-metric-learning.
"""

from farnear_training.losses.contrastive import ContrastiveLoss
from farnear_training.losses.cosine import CosineLoss
from farnear_training.losses.info_nce import InfoNceLoss
from farnear_training.losses.loss import Loss
from farnear_training.losses.mn_pair import MnPairLoss
from farnear_training.losses.n_pair import NPairLoss
from farnear_training.losses.supcon import SupConLoss
from farnear_training.losses.triplet import TripletLoss

LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (MnPairLoss, NPairLoss, InfoNceLoss, SupConLoss, TripletLoss, ContrastiveLoss, CosineLoss)
}
"""Every loss by its name."""

__all__ = [
    "LOSSES",
    "ContrastiveLoss",
    "CosineLoss",
    "InfoNceLoss",
    "Loss",
    "MnPairLoss",
    "NPairLoss",
    "SupConLoss",
    "TripletLoss",
]
