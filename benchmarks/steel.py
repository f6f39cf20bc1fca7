"""How well is steel told apart: with an ImageNet backbone, frozen or fine-tuned, and from scratch?

NEU surface defects: 1,800 images of 6 classes, 70 % to learn from, 30 % to judge on. Each way is a command line of
`farnear train`, and what runs here is what that command runs. No test image had a part in its settings: those of the
frozen backbone come from five-fold cross-validation of the training images, those of the fine-tuned one from a fifth of
them (as `--judge validation` takes), those from scratch were not searched. Seeds change weights and batches, never the
split. Baselines in the same run: raw pixels, and the backbone's pooled features without training.

As it comes this is one seed of the frozen backbone, one to two minutes. All of it, about an hour of one core:

    steel.py --ways frozen fine-tuned scratch --seeds 3

The images lie in the folder that FARNEAR_DATA names.
"""

import argparse
import os
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from conditions import print_conditions
from farnear_training import data
from farnear_training.data import Dataset
from farnear_training.evaluate import embed
from farnear_training.metrics import MEASURES, askable, mean_intervals, query_scores
from farnear_training.models import EfficientNetLite0, to_pixels
from farnear_training.train import arguments as train_arguments
from farnear_training.train.loop import train
from losses import image_set
from numpy.typing import NDArray

PRETRAINED = "--network efficientnet-lite0 --augmentation none"
WAYS = {
    "frozen": f"{PRETRAINED} --freeze-backbone --image-size 192 --learning-rate 1e-3 --iterations 200 --loss supcon"
    " --embedding-dim 128",
    "fine-tuned": f"{PRETRAINED} --image-size 96 --learning-rate 3e-4 --iterations 45 --batch-size 32 --loss supcon"
    " --embedding-dim 128",
    "scratch": "--loss mn-pair --image-size 64 --learning-rate 1e-3 --iterations 800 --validate-every 100",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["frozen"])
    parser.add_argument("--judge", choices=["test", "validation"], default="test")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--options", default="", help="more options of farnear train, for every way")
    arguments = parser.parse_args()
    print_conditions("torch", "kornia", "numpy")
    for way in arguments.ways:
        run(f"{WAYS[way]} {arguments.options}".strip(), way, arguments)


def run(options: str, way: str, arguments: argparse.Namespace) -> None:
    """Trains one way with every seed, and prints how each is judged."""
    print(f"{way}: farnear train neu_steel.tar --out {way}.bundle {options}")
    parsed = parse(options, arguments.threads)
    size = parsed.image_size
    dataset = data.load(image_set("neu_steel.tar"), size, size, threads=arguments.threads)
    learned, judged = halves(dataset, parsed.test_fraction)
    if arguments.judge == "validation":
        learned, judged = halves(learned, 0.2)
    validation = None
    if parsed.validate_every is not None:
        learned, validation = halves(learned, 0.2)
    print(f"  {len(learned)} images learned from, judged on {len(judged)} {arguments.judge} images, {size} px")

    if parsed.network == EfficientNetLite0.name:
        report("pooled features, untrained", [scores(pooled(judged), judged)])
    report("raw pixels", [scores(judged.images.reshape(len(judged), -1), judged)])
    found = []
    for seed in range(arguments.seeds):
        settings = train_arguments.settings_of(parse(f"{options} --seed {seed}", arguments.threads), 6)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            trained = train(learned, settings, checkpoints=Path(folder), validation=validation)
        seconds = time.perf_counter() - began
        found.append(scores(embed(trained.model, judged.images), judged))
        report(f"seed {seed}, {seconds:.0f} s", found[-1:])
        if trained.history:
            curve = (f"{row.step} {row.precision_at_1:.3f} {row.map_at_r:.3f}" for row in trained.history)
            print(f"    validation, step precision@1 MAP@R: {'; '.join(curve)}", flush=True)
    report("mean of the seeds", found)
    print(flush=True)


def parse(options: str, threads: int) -> argparse.Namespace:
    """What `farnear train` makes of these options."""
    parser = argparse.ArgumentParser()
    train_arguments.add_arguments(parser)
    return parser.parse_args(["neu_steel.tar", *shlex.split(options), "--threads", str(threads)])


def halves(dataset: Dataset, fraction: float) -> tuple[Dataset, Dataset]:
    first, second = data.split(dataset.labels, fraction, 0)
    return dataset.subset(first), dataset.subset(second)


def pooled(dataset: Dataset) -> NDArray[np.float32]:
    model = EfficientNetLite0(image_size=dataset.images.shape[1], embedding_dim=2).eval()
    with torch.inference_mode():
        parts = [
            model.pooled(to_pixels(torch.from_numpy(dataset.images[start : start + 32]))).numpy()
            for start in range(0, len(dataset), 32)
        ]
    return np.concatenate(parts)


def scores(vectors: NDArray[np.generic], dataset: Dataset) -> NDArray[np.float64]:
    """Each image as a query against all others, by cosine: MEASURES, of shape (N, 3)."""
    return query_scores(vectors, dataset.labels, askable(dataset.labels))


def report(title: str, found: Sequence[NDArray[np.float64]]) -> None:
    """Prints means over the queries with bootstrap 95 % intervals; of several seeds each query's mean goes in."""
    intervals = dict(zip(MEASURES, mean_intervals(np.mean(found, axis=0), draws=2000, seed=0), strict=True))
    told = ", ".join(
        f"{name} {intervals[key].value:.4f} ({intervals[key].low:.4f} to {intervals[key].high:.4f})"
        for name, key in (("precision@1", "precision_at_1"), ("MAP@R", "map_at_r"))
    )
    print(f"  {title:<28}{told}", flush=True)


if __name__ == "__main__":
    main()
