"""What every loss offers."""

from dataclasses import Field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor


class Loss(Protocol):
    """A frozen dataclass of a loss's settings that computes it; `name` is what `--loss` calls it."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __call__(self, embeddings_BD: Tensor, labels_B: Tensor, generator: torch.Generator) -> Tensor:
        """The loss, a scalar, of unit vectors of shape (B, D) with integer labels of shape (B,).

        What is drawn is drawn from `generator` (CPU). A batch without what the loss contrasts gives 0 with a gradient.
        """
