"""The training loop."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from farnear_training.augment import Augmentation
from farnear_training.data import Dataset
from farnear_training.models import EfficientNetLite0, Network, build, freeze_backbone, to_pixels
from farnear_training.samplers import SAMPLERS, m_per_class
from farnear_training.train.checkpoint import Checkpoint, ResumeError, load, origin, save
from farnear_training.train.frozen import head_alone
from farnear_training.train.settings import TrainSettings
from farnear_training.train.validation import Validation, best_of, out_of_patience, validate

Watch = Callable[[int, Mapping[str, float]], None]


class DivergedError(ArithmeticError):
    """The loss or a weight is no finite number any more; the last checkpoint stands."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run leaves.

    Attributes:
        model: The network, on the CPU and in eval mode.
        step: The steps behind its weights; with `patience` those of the best validation.
        steps: The steps taken in all.
        history: The validations in order.
        losses: Of every step taken.
        seconds_per_step: The mean of this run's steps, with validations and checkpoints.
    """

    model: Network
    step: int
    steps: int
    history: tuple[Validation, ...]
    losses: tuple[float, ...]
    seconds_per_step: float


def train(
    dataset: Dataset,
    settings: TrainSettings,
    *,
    checkpoints: Path,
    resume: bool = False,
    validation: Dataset | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Trains on all images of `dataset`, on the GPU in bfloat16 where there is one.

    Every step is a function of the settings, the images and the state before it. With `resume` the run goes on from the
    checkpoint in the folder `checkpoints`, or starts where there is none; on a CPU it ends with exactly the weights and
    validations of a run that was never interrupted.

    Args:
        dataset: The images to learn from.
        settings: All else that decides the outcome.
        checkpoints: The folder of the checkpoint; made where it is missing.
        resume: Whether to go on from it.
        validation: Images to validate on, needed for `settings.validate_every`.
        watch: Is told each step's loss, and each validation, by the number of steps behind it.

    Raises:
        ResumeError: The checkpoint is damaged, of other images or settings, or beyond `settings.iterations`.
        BatchError: The sampler cannot draw such a batch from these images.
        DivergedError: The loss or a weight is not finite.
        ValueError: The network cannot be built so, or there is nothing to validate on.
    """
    if settings.validate_every is not None and validation is None:
        raise ValueError(f"validate_every: {settings.validate_every}; needed are validation images")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(settings.threads)
    model = _initial(settings).to(device)
    _lay_out(model, torch.channels_last)
    model.train()
    learning = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)
    augment = Augmentation(settings.augmentation, settings.image_size)
    sampler = SAMPLERS[settings.sampler]
    if settings.images_per_class is not None:
        sampler = partial(m_per_class, per_class=settings.images_per_class)

    of = origin(settings.origin(), dataset, validation)
    start = 0
    history: list[Validation] = []
    losses: list[float] = []
    best: dict[str, Tensor] = {}
    saved = load(checkpoints, of) if resume else None
    if saved is not None:
        start, history, losses = saved.step, list(saved.history), list(saved.losses)
        best = _restore(model, optimizer, saved.tensors, checkpoints)
    if start > settings.iterations:
        raise ResumeError(
            f"{checkpoints}: is at step {start}; allowed are at least as many iterations, not {settings.iterations}"
        )

    embed_again = None
    if isinstance(model, EfficientNetLite0) and settings.freeze_backbone and settings.augmentation == "none":
        embed_again = head_alone(model, dataset)

    began = time.perf_counter()
    done = stands = start
    ended = out_of_patience(history, settings.patience)
    with tqdm(desc="train", initial=start, total=settings.iterations, disable=None) as bar:
        while done < settings.iterations and not ended:
            seed = int(np.random.SeedSequence([settings.seed, done]).generate_state(1, np.uint64)[0])
            indices = sampler(dataset.labels, settings.batch_size, settings.seed, done)
            labels = torch.from_numpy(dataset.labels[indices]).to(device)
            if embed_again is None:
                images = torch.from_numpy(dataset.images[indices]).to(device)
                pixels = augment(to_pixels(images), seed)
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    embeddings = model.embed(pixels).embedding
            else:
                embeddings = embed_again(indices)
            loss = settings.loss(embeddings, labels, torch.Generator().manual_seed(seed))

            value = loss.item()  # waits for the GPU; a step that must not be taken has to be known before it is
            if not math.isfinite(value):
                raise DivergedError(_diverged(f"loss: {value} at step {done + 1}", checkpoints, stands, done, settings))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
            optimizer.step()
            done += 1
            losses.append(value)
            if watch is not None:
                watch(done, {"loss": value})

            if validation is not None and settings.validate_every and done % settings.validate_every == 0:
                history.append(validate(model, validation, done))
                if settings.patience is not None and best_of(history) is history[-1]:
                    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                ended = out_of_patience(history, settings.patience)
                if watch is not None:
                    watch(done, {name: found for name, found in asdict(history[-1]).items() if name != "step"})

            rate = (done - start) * len(indices) / (time.perf_counter() - began)
            retrieval = f", validation MAP@R {history[-1].map_at_r:.3f}" if history else ""
            bar.set_postfix_str(f"loss {value:.4f}, {rate:.0f} images/s{retrieval}", refresh=False)
            bar.update()
            if done % settings.checkpoint_every == 0 or done == settings.iterations or ended:
                tensors = _state(model, optimizer, best)
                if not all(tensor.isfinite().all() for tensor in tensors.values()):
                    raise DivergedError(
                        _diverged(f"weights: not finite after step {done}", checkpoints, stands, done, settings)
                    )
                state = Checkpoint(step=done, history=tuple(history), losses=tuple(losses), tensors=tensors)
                save(checkpoints, state, of)
                stands = done
    seconds = time.perf_counter() - began

    kept = best_of(history) if settings.patience is not None else None
    if kept is not None:
        model.load_state_dict(best)
    model.cpu().eval()
    _lay_out(model, torch.contiguous_format)  # what exporters expect
    return Trained(
        model=model,
        step=done if kept is None else kept.step,
        steps=done,
        history=tuple(history),
        losses=tuple(losses),
        seconds_per_step=seconds / max(1, done - start),
    )


def _initial(settings: TrainSettings) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build(settings.network, image_size=settings.image_size, embedding_dim=settings.embedding_dim)
    if settings.freeze_backbone:
        freeze_backbone(model)
    return model


def _lay_out(model: Network, memory_format: torch.memory_format) -> None:
    model.to(memory_format=memory_format)  # type: ignore[call-overload]  # Torch's stubs leave it out


def _diverged(what: str, checkpoints: Path, stands: int, done: int, settings: TrainSettings) -> str:
    checkpoint = (
        f"the checkpoint of step {stands} in {checkpoints} stands" if stands else "no checkpoint was written yet"
    )
    helps = f"a lower learning rate than {settings.learning_rate} helps" if done else f"{settings.loss} cannot be used"
    return f"{what}; {checkpoint}; {helps}"


def _state(model: Network, optimizer: torch.optim.Adam, best: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights and buffers, the optimiser's moments and the best weights by name: the live tensors, not copies."""
    state = {f"weights.{name}": tensor for name, tensor in model.state_dict().items()}
    state |= {f"best.{name}": tensor for name, tensor in best.items()}
    for name, weights in model.named_parameters():
        if not weights.requires_grad:
            continue
        if not optimizer.state[weights]:
            optimizer.state[weights] = {
                "step": torch.zeros((), device=weights.device),
                "exp_avg": torch.zeros_like(weights),
                "exp_avg_sq": torch.zeros_like(weights),
            }
        state |= {f"{key}.{name}": tensor for key, tensor in optimizer.state[weights].items()}
    return state


def _restore(
    model: Network, optimizer: torch.optim.Adam, saved: Mapping[str, Tensor], folder: Path
) -> dict[str, Tensor]:
    """Sets weights, buffers and moments to those saved; returns the best weights, none where none were saved."""
    state = _state(model, optimizer, {})
    if state.keys() - saved.keys():
        raise ResumeError(f"{folder}: is damaged (tensors are missing); allowed is a checkpoint as it was written")
    for name, tensor in state.items():
        tensor.copy_(saved[name])
    return {name.removeprefix("best."): tensor for name, tensor in saved.items() if name.startswith("best.")}
