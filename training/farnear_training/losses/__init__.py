"""Losses over the pairs of a batch, one a file: `loss(embeddings (B, D), labels (B,), generator)` gives a scalar.

Where a loss has been put in one form by many hands, its defaults are those of pytorch-metric-learning; those of mn-pair
are the paper's.

`farnear train` minimises triplet unless told otherwise: of the seven, each at its defaults and at equal budget, it has
the best mean rank by MAP@R on validation images of four sets (benchmarks/losses.py). On the test images it is level
with the best or ahead, but on solar cells, where contrastive reaches 0.415 and triplet 0.403.
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
