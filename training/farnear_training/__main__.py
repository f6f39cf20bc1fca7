"""The `train` subcommand of `farnear`. Torch is imported when it runs, so that `farnear --help` stays quick."""

import argparse
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farnear.command import Command, RefusedError

_PARITY_IMAGES = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_DESCRIPTION = """\
Learns from labelled images what makes two of them alike, measures on images held out how well it finds the same class
again, and writes a bundle: the model with everything `farnear serve` needs.
"""

_EXAMPLES = """\
DATA holds the images by class, as a folder or an uncompressed tar of it: JPEG, PNG, WebP, BMP or TIFF.

    bridges/crack/017.jpg
    bridges/crack/018.jpg
    bridges/rust/003.jpg

examples:
  farnear train bridges --out bridges.bundle
  farnear train bridges --out bridges.bundle --resume      go on with a run that was stopped
  farnear train bridges.tar --out small.bundle --image-size 64 --learning-rate 1e-3      smaller, quicker
  farnear train cells --out cells.bundle --augmentation flips-erasing      subjects without an up or a left

While it runs, BUNDLE.checkpoint holds the state to resume from; it goes away once the bundle is written.
The same DATA, settings and number of threads give the same model.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("data", metavar="DATA", type=Path, help="folder or uncompressed tar of class/file")
    parser.add_argument("--out", metavar="BUNDLE", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument("--name", type=_name, help="name of the bundle (default: that of the folder BUNDLE)")
    parser.add_argument(
        "--loss", choices=["mn-pair"], default="mn-pair", help="what is minimised (default: %(default)s)"
    )
    number = parser.add_argument_group("numbers")
    for flag, default, kind, text in (
        ("--iterations", 2000, _whole(1, 10_000_000), "training steps"),
        ("--batch-size", 128, _whole(2, 65_536), "images a step"),
        ("--image-size", 160, _image_size, "width and height in pixels, a multiple of 8"),
        ("--embedding-dim", 16, _whole(2, 4096), "values in a vector"),
        ("--learning-rate", 1e-4, _between(0, 1), "step size of Adam"),
        ("--temperature", 0.3, _between(0, 100), "of the loss: lower looks harder at the nearest negatives"),
        ("--test-fraction", 0.3, _between(0, 1), "share of every class held out for the evaluation"),
        ("--seed", 0, _whole(0, 2**32 - 1), "decides the split and all that is drawn"),
        ("--threads", os.cpu_count() or 1, _whole(1, 1024), "CPU threads"),
    ):
        number.add_argument(flag, metavar="N", type=kind, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--augmentation",
        choices=["none", "random-erasing", "flips-erasing"],
        default="random-erasing",
        help="random changes to the training images (default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from BUNDLE.checkpoint, where there is one")
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    from farnear_training.data import DataError
    from farnear_training.export import ParityError
    from farnear_training.train import DivergedError, ResumeError

    try:
        outcome = _train(arguments)
    except (DataError, DivergedError, ParityError, ResumeError, OSError) as error:
        raise RefusedError(str(error)) from error
    except KeyboardInterrupt as error:
        raise RefusedError("stopped; --resume goes on from the last checkpoint") from error
    sys.stdout.write(json.dumps(outcome) + "\n" if arguments.json else _summary(outcome))
    return 0


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    """From images to a bundle; returns what `--json` prints."""
    import numpy as np

    from farnear_training import data
    from farnear_training.evaluate import evaluate
    from farnear_training.export import Provenance, export
    from farnear_training.losses import MnPairLoss
    from farnear_training.train import TrainSettings, train

    out: Path = arguments.out.absolute()
    checkpoints = out.with_name(f"{out.name}.checkpoint")
    name = arguments.name or out.name
    if not _NAME.fullmatch(name):
        raise RefusedError(f"--out: {name!r} cannot be the bundle's name; give one with --name")
    if out.exists():
        raise RefusedError(f"--out: {out} exists; allowed is a path for a new bundle")
    if checkpoints.exists() and not arguments.resume:
        raise RefusedError(f"--out: {checkpoints} holds an unfinished run; --resume goes on with it, or delete it")

    dataset = data.load(arguments.data, arguments.image_size, arguments.image_size, threads=arguments.threads)
    train_indices, test_indices = data.split(dataset.labels, arguments.test_fraction, arguments.seed)
    learned, held_out = dataset.subset(train_indices), dataset.subset(test_indices)
    for part in (learned, held_out):
        if np.bincount(part.labels).max() < 2:
            raise RefusedError("--test-fraction: no class has two images on either side; more images are needed")

    class_count = len(dataset.class_names)
    settings = TrainSettings(
        loss=MnPairLoss(temperature=arguments.temperature, m=class_count, n=class_count),
        image_size=arguments.image_size,
        embedding_dim=arguments.embedding_dim,
        iterations=arguments.iterations,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        augmentation=arguments.augmentation,
        seed=arguments.seed,
        threads=arguments.threads,
    )
    trained = train(learned, settings, checkpoints=checkpoints, resume=arguments.resume)
    evaluation = evaluate(trained.model, held_out).to_json()
    counts = np.bincount(dataset.labels, minlength=class_count).tolist()
    description = {
        "image_count": len(dataset),
        "train_count": len(learned),
        "test_count": len(held_out),
        "class_counts": dict(zip(dataset.class_names, counts, strict=True)),
    }
    digest = export(
        trained.model,
        out,
        Provenance(
            name=name,
            class_names=dataset.class_names,
            training=settings.to_json() | {"test_fraction": arguments.test_fraction},
            dataset=description,
            evaluation=evaluation,
            split={"train": learned.item_ids, "test": held_out.item_ids},
        ),
        parity_images=held_out.images[:_PARITY_IMAGES],
    )
    shutil.rmtree(checkpoints)
    return {
        "bundle": str(out),
        "name": name,
        "digest": digest,
        "iterations": settings.iterations,
        "seconds_per_step": trained.seconds_per_step,
        "dataset": description,
        "evaluation": evaluation,
    }


def _summary(outcome: dict[str, Any]) -> str:
    evaluation, dataset = outcome["evaluation"], outcome["dataset"]
    lines = [
        f"bundle   {outcome['bundle']}",
        f"name     {outcome['name']}",
        f"digest   {outcome['digest']}",
        f"images   {dataset['train_count']} learned from, {dataset['test_count']} held out,"
        f" {len(dataset['class_counts'])} classes",
        f"time     {outcome['seconds_per_step']:.3f} s a step, {outcome['iterations']} steps",
        "",
        f"{'held-out retrieval':<20}{'precision@1':>12}{'R-precision':>13}{'MAP@R':>8}",
    ]
    for title, row in (
        ("embeddings", evaluation),
        ("raw pixels", evaluation["raw_pixels"]),
        ("chance", evaluation["chance"]),
    ):
        lines.append(f"{title:<20}{row['precision_at_1']:>12.3f}{row['r_precision']:>13.3f}{row['map_at_r']:>8.3f}")
    return "\n".join(lines) + "\n"


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}; allowed is a whole number from {least} to {most}")
        return int(text)

    return parse


def _between(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value < high:
            raise argparse.ArgumentTypeError(f"{text!r}; allowed is a number above {low} and below {high}")
        return value

    return parse


def _image_size(text: str) -> int:
    size = _whole(8, 1024)(text)
    if size % 8:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is a multiple of 8")
    return size


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}; allowed are 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', starting with a letter or digit"
        )
    return text


COMMANDS: tuple[Command, ...] = (
    Command(
        name="train",
        help="learn from labelled images and write a bundle",
        add_arguments=_add_arguments,
        run=_run,
        extra="training",
    ),
)
