"""What does a step of the trainer cost over a bare loop of the same network, loss and optimiser?

Baseline, in the same run: a step that takes ready pixels of the same batch from memory and does nothing but forward,
loss, backward and step. The two alternate step by step, so that a neighbour on the machine slows both alike, and from
the same start they must come to the same losses. With an augmentation other than `none` the bare loop's pixels are
changed beforehand, so what the change costs counts as the trainer's. Beside the ratio by the clock stands that of the
processor's seconds, which a busy machine disturbs less, but which does not see a step that waits.

As it comes it takes half a minute; `--image-size 160` is the paper's size, and takes five.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from conditions import print_conditions
from farnear_training.augment import PRESETS, Augmentation
from farnear_training.data import Dataset
from farnear_training.losses import LOSSES
from farnear_training.models import NETWORKS, build, to_pixels
from farnear_training.samplers import uniform
from farnear_training.train.loop import train
from farnear_training.train.settings import TrainSettings
from numpy.typing import NDArray
from torch import Tensor

CLASSES = 5
WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="mn-pair-cnn")
    parser.add_argument("--loss", choices=LOSSES, default="mn-pair")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30, help="steps of each, beside the first three")
    parser.add_argument("--augmentations", nargs="+", choices=PRESETS, default=["none", "random-erasing"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    print_conditions("torch", "kornia", "numpy")

    random = np.random.default_rng(0)
    size, count = arguments.image_size, 8 * arguments.batch_size
    dataset = Dataset(
        item_ids=tuple(map(str, range(count))),
        images=random.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
        labels=random.integers(0, CLASSES, count),
        class_names=tuple(map(str, range(CLASSES))),
    )
    header = f"{'augmentation':<18}{'bare':>12}{'trainer':>12}{'ratio':>8}   {'middle half':<16}"
    print(f"{header}  processor: ratio, middle half")
    for augmentation in arguments.augmentations:
        settings = TrainSettings(
            loss=LOSSES[arguments.loss](),
            network=arguments.network,
            image_size=size,
            batch_size=arguments.batch_size,
            iterations=WARM_UP + arguments.steps,
            augmentation=augmentation,
            threads=arguments.threads,
            checkpoint_every=10**9,
        )
        bare, trainer = _alternate(dataset, settings)
        (low, ratio, high), (cpu_low, cpu_ratio, cpu_high) = np.quantile(trainer / bare, (0.25, 0.5, 0.75), axis=0).T
        of_bare, of_trainer = (1e3 * np.median(seconds[:, 0]) for seconds in (bare, trainer))
        print(
            f"{augmentation:<18}{of_bare:>9.1f} ms{of_trainer:>9.1f} ms{ratio:>8.3f}   {low:.3f} to {high:.3f}"
            f"             {cpu_ratio:.3f}, {cpu_low:.3f} to {cpu_high:.3f}",
            flush=True,
        )


def _alternate(dataset: Dataset, settings: TrainSettings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The seconds of each step after the warm-up, of the bare loop and of the trainer, each of shape (steps, 2).

    The first column is the clock's, the second the processor's.
    """
    bare = _Bare(dataset, settings)
    times: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    began = _clocks()

    def watch(step: int, values: Mapping[str, float]) -> None:
        nonlocal began
        of_trainer = _clocks() - began
        prepared = bare.prepare(step - 1)
        began = _clocks()
        loss = bare.step(*prepared)
        times.append((_clocks() - began, of_trainer))
        assert loss == values["loss"], f"step {step}: the losses differ"
        began = _clocks()

    with tempfile.TemporaryDirectory() as folder:
        train(dataset, settings, checkpoints=Path(folder), watch=watch)
    of_bare, of_trainer = zip(*times[WARM_UP:], strict=True)
    return np.stack(of_bare), np.stack(of_trainer)


def _clocks() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.process_time()])


class _Bare:
    """The plain loop, one step at a time."""

    def __init__(self, dataset: Dataset, settings: TrainSettings) -> None:
        self.dataset, self.settings = dataset, settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.augment = Augmentation(settings.augmentation, settings.image_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = build(settings.network, image_size=settings.image_size, embedding_dim=settings.embedding_dim)
        self.model = model.to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # Torch's stubs leave it out
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), fused=True
        )

    def prepare(self, step: int) -> tuple[Tensor, Tensor, torch.Generator]:
        """Ready pixels and labels; not measured."""
        settings = self.settings
        seed = int(np.random.SeedSequence([settings.seed, step]).generate_state(1, np.uint64)[0])
        indices = uniform(self.dataset.labels, settings.batch_size, settings.seed, step)
        images = torch.from_numpy(self.dataset.images[indices]).to(self.device)
        labels = torch.from_numpy(self.dataset.labels[indices]).to(self.device)
        return self.augment(to_pixels(images), seed), labels, torch.Generator().manual_seed(seed)

    def step(self, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> float:
        """Forward, loss, backward and step; the loss."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            embeddings = self.model.embed(pixels).embedding
        loss = self.settings.loss(embeddings, labels, generator)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
        self.optimizer.step()
        return loss.item()


if __name__ == "__main__":
    main()
