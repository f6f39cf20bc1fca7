"""Labelled images -> a trained network, with checkpoints from which a run goes on bit for bit."""

import dataclasses
import hashlib
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from farnear_training.augment import Augmentation
from farnear_training.data import Dataset
from farnear_training.losses import MnPairLoss
from farnear_training.models import MnPairCnn, to_pixels
from farnear_training.samplers import SAMPLERS

CHECKPOINT = "checkpoint.json"


class DivergedError(ArithmeticError):
    """The loss is no finite number any more; the checkpoint before it stands."""


class ResumeError(ValueError):
    """The checkpoint cannot be continued; the message says what does not fit."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything but the images that decides what comes out of a run.

    Attributes:
        loss: The loss with its own settings.
        image_size: Width and height of the images in pixels.
        embedding_dim: D.
        iterations: Steps in all; a resumed run may have more of them.
        batch_size: Images a step; fewer where there are fewer.
        learning_rate: Of Adam with betas (0.9, 0.99), constant.
        sampler: A key of SAMPLERS.
        augmentation: A key of augment.PRESETS.
        seed: Decides the weights to start from, the batches, the augmentations and the pairs drawn.
        threads: CPU threads. Sums are rounded in another order with another number of them.
        checkpoint_every: Steps between checkpoints.
    """

    loss: MnPairLoss
    image_size: int = 160
    embedding_dim: int = 16
    iterations: int = 2000
    batch_size: int = 128
    learning_rate: float = 1e-4
    sampler: str = "uniform"
    augmentation: str = "random-erasing"
    seed: int = 0
    threads: int = 1
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        for field, least in (
            ("iterations", 1),
            ("batch_size", 2),
            ("seed", 0),
            ("threads", 1),
            ("checkpoint_every", 1),
        ):
            if getattr(self, field) < least:
                raise ValueError(f"{field}: {getattr(self, field)}; allowed is {least} or more")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate: {self.learning_rate}; allowed is a finite number more than 0")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler: {self.sampler!r}; allowed are {', '.join(SAMPLERS)}")

    def to_json(self) -> dict[str, Any]:
        """All settings as JSON, the loss with its name."""
        return dataclasses.asdict(self) | {"loss": {"name": self.loss.name} | dataclasses.asdict(self.loss)}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run leaves: the network, on the CPU and in eval mode, and the mean seconds of this run's steps."""

    model: MnPairCnn
    seconds_per_step: float


def train(dataset: Dataset, settings: TrainSettings, *, checkpoints: Path, resume: bool = False) -> Trained:
    """Trains on all images of `dataset`, on the GPU in bfloat16 where there is one.

    Every step is a function of the settings, the images and the state before it. With `resume` the run goes on from the
    checkpoint in the folder `checkpoints`, or starts where there is none; on a CPU it ends with exactly the weights of
    a run that was never interrupted.

    Raises:
        ResumeError: The checkpoint is of other images or settings, or beyond `settings.iterations`.
        DivergedError: The loss is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(settings.threads)
    model = _initial(settings).to(device)
    _lay_out(model, torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)
    augment = Augmentation(settings.augmentation)
    sampler = SAMPLERS[settings.sampler]
    origin = {"settings": _comparable(settings), "images": _fingerprint(dataset)}
    start = _restore(checkpoints, model, optimizer, origin) if resume else 0
    if start > settings.iterations:
        raise ResumeError(
            f"{checkpoints}: is at step {start}; allowed are at least as many iterations, not {settings.iterations}"
        )

    began = time.perf_counter()
    bar = tqdm(range(start, settings.iterations), "train", initial=start, total=settings.iterations, disable=None)
    for step in bar:
        seed = int(np.random.SeedSequence([settings.seed, step]).generate_state(1, np.uint64)[0])
        indices = sampler(dataset.labels, settings.batch_size, settings.seed, step)
        images = torch.from_numpy(dataset.images[indices]).to(device)
        labels = torch.from_numpy(dataset.labels[indices]).to(device)

        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            embeddings = model.embed(augment(to_pixels(images), seed)).embedding
        loss = settings.loss(embeddings, labels, torch.Generator().manual_seed(seed))

        value = loss.item()  # waits for the GPU; a step that must not be taken has to be known before it is
        if not math.isfinite(value):
            raise DivergedError(
                f"loss: {value} at step {step + 1}; a lower learning rate than {settings.learning_rate} helps"
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
        optimizer.step()

        done = step + 1
        rate = (done - start) * len(indices) / (time.perf_counter() - began)
        bar.set_postfix_str(f"loss {value:.4f}, {rate:.0f} images/s", refresh=False)
        if done % settings.checkpoint_every == 0 or done == settings.iterations:
            _save(checkpoints, model, optimizer, {**origin, "step": done})
    seconds = time.perf_counter() - began
    model.cpu().eval()
    _lay_out(model, torch.contiguous_format)  # what exporters expect
    return Trained(model=model, seconds_per_step=seconds / max(1, settings.iterations - start))


def _initial(settings: TrainSettings) -> MnPairCnn:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return MnPairCnn(image_size=settings.image_size, embedding_dim=settings.embedding_dim)


def _lay_out(model: MnPairCnn, memory_format: torch.memory_format) -> None:
    model.to(memory_format=memory_format)  # type: ignore[call-overload]  # Torch's stubs leave it out


def _comparable(settings: TrainSettings) -> dict[str, Any]:
    """The settings that a resumed run must share."""
    return {
        field: value for field, value in settings.to_json().items() if field not in ("iterations", "checkpoint_every")
    }


def _fingerprint(dataset: Dataset) -> str:
    digest = hashlib.sha256(json.dumps([dataset.item_ids, dataset.class_names, dataset.images.shape]).encode())
    digest.update(dataset.labels.tobytes())
    digest.update(np.ascontiguousarray(dataset.images).data)
    return digest.hexdigest()


def _state(model: MnPairCnn, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """The weights and the optimiser's moments by name: the live tensors, not copies."""
    state = {f"weights.{name}": weights.data for name, weights in model.named_parameters()}
    for name, weights in model.named_parameters():
        if not optimizer.state[weights]:
            optimizer.state[weights] = {
                "step": torch.zeros((), device=weights.device),
                "exp_avg": torch.zeros_like(weights),
                "exp_avg_sq": torch.zeros_like(weights),
            }
        state |= {f"{key}.{name}": tensor for key, tensor in optimizer.state[weights].items()}
    return state


def _save(folder: Path, model: MnPairCnn, optimizer: torch.optim.Adam, description: dict[str, Any]) -> None:
    """Writes the tensors, then the description that names their file: at any moment one whole checkpoint stands."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / f"step-{description['step']:08d}.safetensors"
    unfinished = tensors.with_suffix(".tmp")
    safetensors.torch.save_file({name: t.contiguous() for name, t in _state(model, optimizer).items()}, unfinished)
    _put(unfinished, tensors)
    unfinished = folder / "checkpoint.tmp"
    unfinished.write_text(json.dumps({**description, "tensors": tensors.name}))
    _put(unfinished, folder / CHECKPOINT)
    for other in folder.glob("step-*"):
        if other != tensors:
            other.unlink()


def _put(unfinished: Path, target: Path) -> None:
    """Gives a written file its name once it is on disk."""
    with unfinished.open("rb") as stream:
        os.fsync(stream.fileno())
    unfinished.replace(target)


def _restore(folder: Path, model: MnPairCnn, optimizer: torch.optim.Adam, origin: dict[str, Any]) -> int:
    """Sets weights and moments to those of the checkpoint; returns the steps behind it, 0 where there is none."""
    if not (folder / CHECKPOINT).exists():
        return 0
    try:
        description = json.loads((folder / CHECKPOINT).read_text())
        saved = safetensors.torch.load_file(folder / description["tensors"])
        if description["images"] != origin["images"]:
            raise ResumeError(f"{folder}: is of other training images; allowed is the same data, split and image size")
        for field, now in origin["settings"].items():
            if description["settings"][field] != now:
                raise ResumeError(
                    f"{folder}: {field} was {description['settings'][field]}, now {now}; allowed is the same"
                )
        for name, tensor in _state(model, optimizer).items():
            tensor.copy_(saved[name])
        return int(description["step"])
    except (OSError, KeyError, TypeError, safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise ResumeError(f"{folder}: is damaged ({error}); allowed is a checkpoint as it was written") from error
