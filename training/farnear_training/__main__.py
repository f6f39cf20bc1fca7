"""The subcommands `train` and `evaluate` of `farnear`.

Torch is imported when they run, so that `farnear --help` stays quick.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farnear.command import Command, RefusedError

from farnear_training.arguments import refuse_unwritable
from farnear_training.evaluate import command as evaluate_command
from farnear_training.train import arguments as train_arguments

if TYPE_CHECKING:
    from farnear_training.data import Dataset

_PARITY_IMAGES = 64
_PREVIEW_IMAGES, _PREVIEW_VERSIONS = 8, 7
_VALIDATION_FRACTION = 0.2


def _run(arguments: argparse.Namespace) -> int:
    import torch

    from farnear_training.data import DataError
    from farnear_training.export import ParityError
    from farnear_training.models import WeightsError
    from farnear_training.samplers import BatchError
    from farnear_training.train.checkpoint import ResumeError
    from farnear_training.train.loop import DivergedError

    try:
        train_arguments.check(arguments)
        if arguments.preview_augmentation is not None:
            return _preview(arguments)
        outcome = _train(arguments)
    except (BatchError, DataError, DivergedError, ParityError, ResumeError, WeightsError, OSError) as error:
        raise RefusedError(str(error)) from error
    except (MemoryError, RuntimeError) as error:
        # Where there is no GPU, Torch has no type of its own for it.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise RefusedError(f"out of memory; a smaller --batch-size or --image-size needs less ({error})") from error
    except KeyboardInterrupt as error:
        raise RefusedError("stopped; --resume goes on from the last checkpoint, if there is one yet") from error
    sys.stdout.write(json.dumps(outcome) + "\n" if arguments.json else _summary(outcome))
    return 0


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    """From images to a bundle; returns what `--json` prints."""
    import numpy as np

    from farnear_training.evaluate import evaluate
    from farnear_training.export import Provenance, export
    from farnear_training.train.course import course
    from farnear_training.train.loop import train

    out: Path = arguments.out.absolute()
    checkpoints = out.with_name(f"{out.name}.checkpoint")
    name = arguments.name or out.name
    if not train_arguments.NAME.fullmatch(name):
        raise RefusedError(f"--out: {name!r} cannot be the bundle's name; give one with --name")
    if out.exists():
        raise RefusedError(f"--out: {out} exists; allowed is a path for a new bundle")
    if checkpoints.exists() and not arguments.resume:
        raise RefusedError(f"--out: {checkpoints} holds an unfinished run; --resume goes on with it, or delete it")
    refuse_unwritable("--out", out)
    with _tensorboard(arguments.tensorboard) as watch:
        dataset = _load(arguments)
        seen, held_out = _split(dataset, arguments.test_fraction, "--test-fraction", arguments)
        learned, validation = seen, None
        if arguments.validate_every is not None:
            learned, validation = _split(seen, _VALIDATION_FRACTION, "--validate-every", arguments)
        class_count = len(dataset.class_names)
        settings = train_arguments.settings_of(arguments, class_count)
        trained = train(
            learned, settings, checkpoints=checkpoints, resume=arguments.resume, validation=validation, watch=watch
        )
    evaluation = evaluate(trained.model, held_out).to_json()
    counts = np.bincount(dataset.labels, minlength=class_count).tolist()
    description: dict[str, Any] = {
        "image_count": len(dataset),
        "train_count": len(seen),
        "test_count": len(held_out),
        "class_counts": dict(zip(dataset.class_names, counts, strict=True)),
    }
    if validation is not None:
        description["validation_count"] = len(validation)  # of the training images
    if dataset.bad:
        description["bad_images"] = dict(dataset.bad)
    history = course(trained.losses, trained.history)
    digest = export(
        trained.model,
        out,
        Provenance(
            name=name,
            class_names=dataset.class_names,
            training=settings.to_json()
            | {
                "test_fraction": arguments.test_fraction,
                "group_regex": arguments.group_regex,
                "steps": trained.steps,
                "kept_step": trained.step,
                "history": history,
            },
            dataset=description,
            evaluation=evaluation,
            split={"train": seen.item_ids, "test": held_out.item_ids},
        ),
        parity_images=held_out.images[:_PARITY_IMAGES],
    )
    shutil.rmtree(checkpoints)
    return {
        "bundle": str(out),
        "name": name,
        "digest": digest,
        "iterations": settings.iterations,
        "steps": trained.steps,
        "kept_step": trained.step,
        "seconds_per_step": trained.seconds_per_step,
        "dataset": description,
        "evaluation": evaluation,
        "history": history,
    }


def _preview(arguments: argparse.Namespace) -> int:
    """Writes a picture of some images, each with changed versions of it, and trains nothing."""
    import numpy as np
    from PIL import Image

    from farnear_training.augment import preview

    out: Path = arguments.preview_augmentation
    if out.suffix.lower() != ".png":
        raise RefusedError(f"--preview-augmentation: {out}; allowed is a name that ends in .png")
    refuse_unwritable("--preview-augmentation", out)
    dataset = _load(arguments)
    spread = np.unique(np.linspace(0, len(dataset) - 1, _PREVIEW_IMAGES).round().astype(np.int64))
    grid = preview(dataset.images[spread], arguments.augmentation, versions=_PREVIEW_VERSIONS, seed=arguments.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid).save(out, "PNG")
    rows = {
        "preview": str(out),
        "augmentation": arguments.augmentation,
        "images": [dataset.item_ids[i] for i in spread],
    }
    sys.stdout.write(json.dumps(rows) + "\n" if arguments.json else f"preview  {out}\n")
    return 0


def _load(arguments: argparse.Namespace) -> "Dataset":
    from farnear_training import data

    size = arguments.image_size
    return data.load(arguments.data, size, size, threads=arguments.threads, max_bad_images=arguments.max_bad_images)


def _split(
    dataset: "Dataset", fraction: float, flag: str, arguments: argparse.Namespace
) -> tuple["Dataset", "Dataset"]:
    """Parts `dataset` in two with that share in the second, each with a class of two images."""
    import numpy as np

    from farnear_training import data

    pattern = arguments.group_regex
    groups = data.groups_of(dataset.item_ids, pattern) if pattern is not None else None
    sides = data.split(dataset.labels, fraction, arguments.seed, groups, class_names=dataset.class_names)
    first, second = (dataset.subset(indices) for indices in sides)
    for part, side in ((first, "left to learn from"), (second, "held out")):
        if np.bincount(part.labels).max() < 2:
            raise RefusedError(f"{flag}: no class has two images {side}; another share or more images are needed")
    return first, second


@contextmanager
def _tensorboard(folder: Path | None) -> Iterator[Callable[[int, Mapping[str, float]], None] | None]:
    """A function that writes what it is told of a run to `folder`; None without one."""
    if folder is None:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RefusedError("--tensorboard: the package is missing: pip install tensorboard") from error

    def watch(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar("loss" if name == "loss" else f"validation/{name}", value, step)

    with SummaryWriter(folder) as writer:
        yield watch


def _summary(outcome: dict[str, Any]) -> str:
    evaluation, dataset = outcome["evaluation"], outcome["dataset"]
    steps = f"{outcome['steps']} steps"
    if outcome["kept_step"] != outcome["steps"]:
        steps += f", the weights of step {outcome['kept_step']} kept"
    bad = dataset.get("bad_images", {})
    lines = [
        f"bundle   {outcome['bundle']}",
        f"name     {outcome['name']}",
        f"digest   {outcome['digest']}",
        f"images   {dataset['train_count']} learned from, {dataset['test_count']} held out,"
        f" {len(dataset['class_counts'])} classes",
        *(f"passed   {item_id}: {reason}" for item_id, reason in bad.items()),
        f"time     {outcome['seconds_per_step']:.3f} s a step, {steps}",
        "",
        f"{'held-out retrieval':<20}{'precision@1':>12}{'R-precision':>13}{'MAP@R':>8}",
    ]
    for title, row in (
        ("embeddings", evaluation),
        ("raw pixels", evaluation["raw_pixels"]),
        ("chance", evaluation["chance"]),
    ):
        lines.append(f"{title:<20}{row['precision_at_1']:>12.3f}{row['r_precision']:>13.3f}{row['map_at_r']:>8.3f}")
    if evaluation["map_at_r"] <= evaluation["raw_pixels"]["map_at_r"]:
        lines += ["", "No better than raw pixels: more --iterations, or another --learning-rate, may help."]
    return "\n".join(lines) + "\n"


COMMANDS: tuple[Command, ...] = (
    Command(
        name="train",
        help="learn from labelled images and write a bundle",
        add_arguments=train_arguments.add_arguments,
        run=_run,
        extra="training,cpu",
    ),
    Command(
        name="evaluate",
        help="measure how good a bundle is on labelled images",
        add_arguments=evaluate_command.add_arguments,
        run=evaluate_command.run,
        extra="training,cpu",
    ),
)
