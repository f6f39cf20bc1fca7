"""Which of two losses and three augmentations teaches a small network most about MNIST and CIFAR-10?

The protocol of a lab report on contrastive learning: the small strided CNN with 32 values, batches of 1024, 10 epochs
of plain SGD at 0.05 (pairwise cosine) and 0.15 (triplet), then a logistic regression on the embeddings of the training
images, judged on the test images. The report's best is 96 % on MNIST, with simclr and triplet. It leaves two things
open, which are decided here: the two learning rates go by loss, and its pairs are made in both of the usual ways,

* `classes`: two images of a class are a positive pair, so the labels teach the embedding;
* `views`: two changed copies of one image are a positive pair, and all else is negative, as in SimCLR, so that the
  labels teach the logistic regression alone. With the augmentation `none` both copies are the same.

Both losses are the library's at its defaults, over all pairs of a batch. The baseline is the same network untrained.
Accuracies come with bootstrap 95 % intervals over the test images. Maps of 1,000 test images (t-SNE) and confusion
matrices are drawn into the folder `--output`. `simclr-mild` is no part of the report.

As it comes this is a taste of three minutes. The report's own table, some hours of one core:

    augmentations.py --sets mnist cifar10 --pairs classes views --images 60000 --epochs 10 --record runs.jsonl

A run that is in the record already is not run again, so a stopped benchmark goes on where it was. The images lie in the
folder that FARNEAR_DATA names.
"""

import argparse
import dataclasses
import gzip
import json
import os
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from conditions import print_conditions
from farnear_training.augment import Augmentation
from farnear_training.data import decode
from farnear_training.evaluate import embed
from farnear_training.evaluate.figures import confusion_matrix, map_by_class
from farnear_training.losses import CosineLoss, Loss, TripletLoss
from farnear_training.metrics import mean_intervals
from farnear_training.metrics.classification import confusion, logistic_regression
from farnear_training.metrics.clustering import lay_out
from farnear_training.models import Network, build, to_pixels
from farnear_training.samplers import uniform
from losses import image_set
from numpy.typing import NDArray
from tqdm import tqdm

SETS = ("mnist", "cifar10")
PAIRS = ("classes", "views")
AUGMENTATIONS = ("none", "pad-rotate-scale", "simclr")
MILD = "simclr-mild"
LOSSES: dict[str, tuple[Loss, float]] = {"cosine": (CosineLoss(), 0.05), "triplet": (TripletLoss(), 0.15)}
"""Each with its learning rate."""
NETWORK = "strided-cnn"
DIM = 32
MAPPED = 1000
PERPLEXITY = 30
DIGITS = tuple("0123456789")


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that decides what comes out of a run; without a loss the network stays as it was built.

    Of `images` that many, drawn, are learned from; None takes all.
    """

    pack: str
    pairs: str | None = None
    loss: str | None = None
    augmentation: str | None = None
    learning_rate: float = 0.0
    momentum: float = 0.0
    epochs: int = 0
    images: int | None = None
    batch_size: int
    seed: int

    @property
    def title(self) -> str:
        """What was changed, in words."""
        momentum = f"momentum {self.momentum}" if self.momentum else None
        return " ".join(part for part in (self.pairs, self.loss, self.augmentation, momentum) if part) or "untrained"


@dataclass(frozen=True, kw_only=True)
class Images:
    """RGB, uint8 of shape (N, side, side, 3), with their labels, int64 of shape (N,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A set with its own split."""

    train: Images
    test: Images
    class_names: tuple[str, ...]

    def of(self, images: int | None, seed: int) -> "Pack":
        """With so many training images, drawn."""
        if images is None:
            return self
        drawn = np.random.default_rng(seed).choice(len(self.train.labels), images, replace=False)
        return dataclasses.replace(self, train=Images(pixels=self.train.pixels[drawn], labels=self.train.labels[drawn]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["mnist"])
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=["classes"])
    parser.add_argument("--losses", nargs="+", choices=list(LOSSES), default=list(LOSSES))
    parser.add_argument("--augmentations", nargs="+", choices=[*AUGMENTATIONS, MILD], default=AUGMENTATIONS)
    parser.add_argument("--images", type=int, default=6000, help="training images, drawn, where there are more")
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, help="folder (default: a new one among the temporary files)")
    parser.add_argument("--record", type=Path, help="JSON, a line a run (default: record.jsonl in --output)")
    arguments = parser.parse_args()
    print_conditions("torch", "kornia", "scikit-learn", "numpy")
    torch.set_num_threads(arguments.threads)
    output = arguments.output or Path(tempfile.mkdtemp(prefix="farnear-augmentations-"))
    output.mkdir(parents=True, exist_ok=True)

    record = Record(arguments.record or output / "record.jsonl")
    for name in arguments.sets:
        pack = {"mnist": mnist, "cifar10": cifar10}[name]()
        images = arguments.images if arguments.images < len(pack.train.labels) else None
        untrained = Run(pack=name, images=images, batch_size=arguments.batch_size, seed=arguments.seed)
        runs = [
            dataclasses.replace(
                untrained,
                pairs=pairs,
                loss=loss,
                augmentation=preset,
                learning_rate=LOSSES[loss][1],
                momentum=arguments.momentum,
                epochs=arguments.epochs,
            )
            for pairs in arguments.pairs
            for loss in arguments.losses
            for preset in arguments.augmentations
        ]
        rows = {run: record.judged(run, pack.of(images, arguments.seed), output) for run in (untrained, *runs)}
        report(pack.of(images, arguments.seed), rows)
    print(f"drawings  {output}")


class Record:
    """What was run so far, in a file of JSON with a line a run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self._rows: dict[Run, dict[str, Any]] = {Run(**row["run"]): row for row in rows}

    def judged(self, run: Run, pack: Pack, output: Path) -> dict[str, Any]:
        """Learns, judges and draws; or what that found when it was done before."""
        if run not in self._rows:
            began = time.perf_counter()
            model, losses = learn(run, pack.train)
            learned = time.perf_counter()
            row: dict[str, Any] = {"run": dataclasses.asdict(run), "losses": losses, **judge(run, model, pack, output)}
            row |= {"seconds": round(learned - began, 1), "judging": round(time.perf_counter() - learned, 1)}
            with self._path.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            self._rows[run] = row
        return self._rows[run]


def learn(run: Run, images: Images) -> tuple[Network, list[float]]:
    """The network after the run, on the CPU and in eval mode, and the mean loss of each epoch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(run.seed)
    side = images.pixels.shape[1]
    model = build(NETWORK, image_size=side, embedding_dim=DIM).to(device).train()
    losses = []
    if run.loss is not None and run.augmentation is not None:
        loss, _ = LOSSES[run.loss]
        augment = Augmentation(run.augmentation, side)
        optimizer = torch.optim.SGD(model.parameters(), lr=run.learning_rate, momentum=run.momentum)
        for step in tqdm(range(run.epochs * (len(images.labels) // run.batch_size)), run.title, disable=None):
            drawn = uniform(images.labels, run.batch_size, run.seed, step)
            pixels = to_pixels(torch.from_numpy(images.pixels[drawn]).to(device))
            labels = torch.from_numpy(images.labels[drawn]).to(device)
            if run.pairs == "views":
                pixels = torch.cat([pixels, pixels])
                labels = torch.arange(run.batch_size, device=device).repeat(2)
            embeddings = model.embed(augment(pixels, step)).embedding
            value = loss(embeddings, labels, torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
            optimizer.step()
            losses.append(value.item())
    model.cpu().eval()
    return model, [float(part.mean().round(5)) for part in np.split(np.array(losses), run.epochs or 1) if part.size]


def judge(run: Run, model: Network, pack: Pack, output: Path) -> dict[str, Any]:
    """Shares of test images told, with their intervals; draws the map and the confusion matrix."""
    vectors = embed(model, pack.test.pixels)
    ranking = logistic_regression(embed(model, pack.train.pixels), pack.train.labels, vectors)
    hits = np.stack([ranking.hits(pack.test.labels, k) for k in (1, 3)], axis=1)
    told = confusion(pack.test.labels, ranking.labels[:, 0], len(pack.class_names))
    shown = np.random.default_rng(run.seed).choice(len(vectors), MAPPED, replace=False)
    stem = f"{run.pack} {run.title}".replace(" ", "_")
    (output / f"{stem}_confusion.png").write_bytes(confusion_matrix(told, pack.class_names))
    positions = lay_out(vectors[shown], PERPLEXITY, run.seed)
    (output / f"{stem}_map.png").write_bytes(map_by_class(positions, pack.test.labels[shown], pack.class_names))
    accuracy, top_3 = mean_intervals(hits.astype(np.float64), draws=2000, seed=0)
    return {
        "accuracy": dataclasses.asdict(accuracy),
        "top_3": dataclasses.asdict(top_3),
        "has_converged": ranking.has_converged,
        "confusion": told.tolist(),
    }


def report(pack: Pack, rows: dict[Run, dict[str, Any]]) -> None:
    """Prints the table of a set, and of its best run by accuracy which classes were taken for which."""
    name = next(iter(rows)).pack
    print(f"{name}: {len(pack.train.labels)} training and {len(pack.test.labels)} test images\n")
    print(f"{'pairs':<10}{'loss':<9}{'augmentation':<18}{'rate':>5}{'momentum':>10}{'epochs':>8}", end="  ")
    print(f"{'accuracy, 95 % interval':<26}{'top-3, 95 % interval':<26}{'loss, first to last epoch':<27}learning")
    for run, row in rows.items():
        losses = f"{row['losses'][0]:.4f} to {row['losses'][-1]:.4f}" if row["losses"] else ""
        print(f"{run.pairs or 'untrained':<10}{run.loss or '':<9}{run.augmentation or '':<18}", end="")
        print(f"{run.learning_rate:>5}{run.momentum:>10}{run.epochs:>8}", end="  ")
        print(f"{told(row['accuracy']):<26}{told(row['top_3']):<26}{losses:<27}{row['seconds']:.0f} s", end="")
        print("" if row["has_converged"] else ", regression not converged")
    best = max(rows, key=lambda run: rows[run]["accuracy"]["value"])
    width = max(map(len, pack.class_names)) + 2
    print(f"\n{best.title}: what a test image is (row) and was taken for (column)")
    print(" " * width + "".join(f"{class_name[:6]:>7}" for class_name in pack.class_names))
    for class_name, counts in zip(pack.class_names, rows[best]["confusion"], strict=True):
        print(f"{class_name:<{width}}" + "".join(f"{count:>7}" for count in counts))
    print(flush=True)


def told(interval: dict[str, float]) -> str:
    return f"{interval['value']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"


def mnist() -> Pack:
    """Grey images as RGB with three equal channels, 28 x 28."""

    def part(archive: tarfile.TarFile, name: str) -> Images:
        pixels = idx(archive.extractfile(f"{name}-images-idx3-ubyte.gz"))
        labels = idx(archive.extractfile(f"{name}-labels-idx1-ubyte.gz"))
        return Images(pixels=np.repeat(pixels[..., None], 3, axis=3), labels=labels.astype(np.int64))

    with tarfile.open(image_set("mnist.tar")) as archive:
        return Pack(train=part(archive, "train"), test=part(archive, "t10k"), class_names=DIGITS)


def idx(stream: IO[bytes] | None) -> NDArray[np.uint8]:
    """The array in a gzipped idx file of bytes: two zeros, the type, the number of sides, the sides, the values."""
    assert stream is not None
    content = gzip.decompress(stream.read())
    sides = np.frombuffer(content, ">u4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(sides)).reshape(sides)


def cifar10() -> Pack:
    """`split/class/file`, 32 x 32."""
    pixels: dict[str, list[NDArray[np.uint8]]] = {"train": [], "test": []}
    names: dict[str, list[str]] = {"train": [], "test": []}
    with tarfile.open(image_set("cifar10.tar.gz")) as archive:
        for member in tqdm(archive, "cifar10", unit="img", disable=None):
            stream = archive.extractfile(member)
            if stream is not None:
                split, class_name, _ = member.name.removeprefix("./").split("/")
                pixels[split].append(decode(stream.read(), 32, 32))
                names[split].append(class_name)
    class_names, labels = np.unique(names["train"], return_inverse=True)
    test_labels = np.searchsorted(class_names, names["test"])
    return Pack(
        train=Images(pixels=np.stack(pixels["train"]), labels=labels.astype(np.int64)),
        test=Images(pixels=np.stack(pixels["test"]), labels=test_labels.astype(np.int64)),
        class_names=tuple(map(str, class_names)),
    )


if __name__ == "__main__":
    main()
