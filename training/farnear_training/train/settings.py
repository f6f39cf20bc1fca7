"""What decides, with the images, what comes out of a run."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from farnear_training.augment import PRESETS
from farnear_training.losses import Loss
from farnear_training.samplers import SAMPLERS


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything but the images that decides what comes out of a run.

    Attributes:
        loss: The loss with its own settings.
        network: A key of models.NETWORKS.
        freeze_backbone: Whether a pretrained network's backbone stays as it is, and its head alone learns.
        image_size: Width and height of the images in pixels.
        embedding_dim: D.
        iterations: Steps in all; a resumed run may have more of them.
        batch_size: Images a step; fewer where there are fewer.
        learning_rate: Of Adam with betas (0.9, 0.99), constant.
        sampler: A key of SAMPLERS.
        images_per_class: M of the sampler m-per-class; None is its default.
        augmentation: A key of augment.PRESETS.
        validate_every: Steps between validations, at most `iterations`; None validates never.
        patience: Validations in a row without a better MAP@R after which the run ends; the weights of the best one are
            kept. None runs to the last step and keeps its weights.
        seed: Decides the weights to start from, the batches, the augmentations and the pairs drawn.
        threads: CPU threads. Sums are rounded in another order with another number of them.
        checkpoint_every: Steps between checkpoints.

    Raises:
        ValueError: A setting is out of bounds; the message starts with its name.
    """

    loss: Loss
    network: str = "mn-pair-cnn"
    freeze_backbone: bool = False
    image_size: int = 160
    embedding_dim: int = 16
    iterations: int = 2000
    batch_size: int = 128
    learning_rate: float = 1e-4
    sampler: str = "uniform"
    images_per_class: int | None = None
    augmentation: str = "random-erasing"
    validate_every: int | None = None
    patience: int | None = None
    seed: int = 0
    threads: int = 1
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        for field, least in (
            ("iterations", 1),
            ("batch_size", 2),
            ("images_per_class", 2),
            ("validate_every", 1),
            ("patience", 1),
            ("seed", 0),
            ("threads", 1),
            ("checkpoint_every", 1),
        ):
            value = getattr(self, field)
            if value is not None and value < least:
                raise ValueError(f"{field}: {value}; allowed is {least} or more")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate: {self.learning_rate}; allowed is a finite number more than 0")
        for field, name, names in (("sampler", self.sampler, SAMPLERS), ("augmentation", self.augmentation, PRESETS)):
            if name not in names:
                raise ValueError(f"{field}: {name!r}; allowed are {', '.join(names)}")
        if self.images_per_class is not None and self.sampler != "m-per-class":
            raise ValueError(f"images_per_class: {self.sampler} has none; allowed with the sampler m-per-class")
        if self.validate_every is not None and self.validate_every > self.iterations:
            raise ValueError(f"validate_every: {self.validate_every}; allowed is at most iterations, {self.iterations}")
        if self.patience is not None and self.validate_every is None:
            raise ValueError(f"patience: {self.patience}; allowed with validate_every, as it counts validations")

    def to_json(self) -> dict[str, Any]:
        """All settings as JSON, the loss with its name."""
        return dataclasses.asdict(self) | {"loss": {"name": self.loss.name} | dataclasses.asdict(self.loss)}

    def origin(self) -> dict[str, Any]:
        """The settings, as JSON, that a resumed run must share: all that decide a step."""
        return {
            field: value for field, value in self.to_json().items() if field not in ("iterations", "checkpoint_every")
        }
