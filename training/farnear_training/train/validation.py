"""Retrieval on images that are not learned from, while the run goes on, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from farnear_training.data import Dataset
from farnear_training.metrics import Retrieval, retrieval
from farnear_training.models import Network

_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Validation(Retrieval):
    """Retrieval on the validation images after so many steps."""

    step: int


def validate(model: Network, images: Dataset, step: int) -> Validation:
    """Each image as a query against all others; leaves `model` in train mode.

    Raises ValueError where no class has two images.
    """
    device = next(model.parameters()).device
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = torch.from_numpy(images.images[start : start + _BATCH]).to(device)
            parts.append(model(batch).embedding.cpu().numpy())
    model.train()
    found = retrieval(np.concatenate(parts), images.labels)
    return Validation(
        step=step, precision_at_1=found.precision_at_1, r_precision=found.r_precision, map_at_r=found.map_at_r
    )


def best_of(history: Sequence[Validation]) -> Validation | None:
    """The validation with the highest MAP@R, the earliest of several; None where there was none."""
    return max(history, key=lambda validation: validation.map_at_r, default=None)


def out_of_patience(history: Sequence[Validation], patience: int | None) -> bool:
    """Whether the last `patience` validations brought no higher MAP@R than was there before."""
    best = best_of(history)
    return patience is not None and best is not None and len(history) - 1 - history.index(best) >= patience
