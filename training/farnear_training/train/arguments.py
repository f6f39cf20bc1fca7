"""The arguments of `farnear train` and the settings they make. Torch is imported when those are made."""

import argparse
import dataclasses
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from farnear_training.arguments import add_number, between, whole

if TYPE_CHECKING:
    from farnear_training.train.settings import TrainSettings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

LOSSES = ("mn-pair", "n-pair", "info-nce", "supcon", "triplet", "contrastive", "cosine")
MINING = ("random", "semi-hard", "hard")
NETWORKS = ("mn-pair-cnn", "strided-cnn", "efficientnet-lite0")
SAMPLERS = ("uniform", "class-balanced", "m-per-class")
AUGMENTATIONS = ("none", "random-erasing", "flips-erasing", "pad-rotate-scale", "simclr", "simclr-mild")
_LOSS_OPTIONS = ("temperature", "positive_weight", "m", "n", "margin", "mining")

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
  farnear train bridges --out b.bundle --validate-every 100 --patience 5      end when it gets no better
  farnear train steel --out s.bundle --network efficientnet-lite0 --freeze-backbone --augmentation none \\
      --image-size 192 --embedding-dim 128 --loss supcon --learning-rate 1e-3 --iterations 200
          start from ImageNet: minutes without a GPU, and often the best with few images
  farnear train bridges --out p.bundle --loss mn-pair --iterations 5000      the paper's settings, all of them
  farnear train sewer --out s.bundle --group-regex '^(run\\d+)_'      frames of one run stay on one side
  farnear train bridges --preview-augmentation changes.png --augmentation simclr      look, do not train

While it runs, BUNDLE.checkpoint holds the state to resume from; it goes away once the bundle is written.
The same DATA, settings and number of threads give the same model.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `farnear train`."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(usage_error=parser.error)
    parser.add_argument("data", metavar="DATA", type=Path, help="folder or uncompressed tar of class/file")
    parser.add_argument("--out", metavar="BUNDLE", type=Path, help="folder to write; must not exist")
    parser.add_argument("--name", type=_name, help="name of the bundle (default: that of the folder BUNDLE)")
    parser.add_argument("--resume", action="store_true", help="go on from BUNDLE.checkpoint, where there is one")
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")
    parser.add_argument("--tensorboard", metavar="DIR", type=Path, help="write losses and validations for TensorBoard")
    parser.add_argument(
        "--preview-augmentation", metavar="PNG", type=Path, help="write a picture of changed images, and end"
    )

    data = parser.add_argument_group("data")
    add_number(data, "--image-size", 160, whole(8, 1024), "width and height in pixels")
    add_number(data, "--test-fraction", 0.3, between(0, 1), "share of every class held out for the evaluation")
    data.add_argument(
        "--group-regex", metavar="REGEX", help="images in whose path it captures the same stay on one side of the split"
    )
    add_number(data, "--max-bad-images", 0, whole(0, 10_000_000), "unreadable images to pass over; more are refused")
    data.add_argument(
        "--augmentation",
        choices=AUGMENTATIONS,
        default="random-erasing",
        help="random changes to the training images (default: %(default)s)",
    )

    network = parser.add_argument_group("network")
    network.add_argument(
        "--network",
        choices=NETWORKS,
        default="mn-pair-cnn",
        help="the paper's; a small one for 28 to 32 pixels; one that has learned ImageNet (default: %(default)s)",
    )
    network.add_argument(
        "--freeze-backbone",
        action="store_true",
        help="train the head of a pretrained network alone; with --augmentation none the rest runs once, not each step",
    )
    add_number(network, "--embedding-dim", 16, whole(2, 4096), "values in a vector")

    loss = parser.add_argument_group("loss", "A loss takes those of these options that it has; each has a default.")
    loss.add_argument(
        "--loss",
        choices=LOSSES,
        default="triplet",
        help="what is minimised; mn-pair is the paper's (default: %(default)s)",
    )
    loss.add_argument("--temperature", metavar="T", type=float, help="lower looks harder at the nearest negatives")
    loss.add_argument("--positive-weight", metavar="V", type=float, help="share of the positives in mn-pair")
    for flag, what in (("--m", "positives"), ("--n", "negatives")):
        loss.add_argument(
            flag,
            metavar="N",
            type=_count_or_all,
            help=f"an anchor of mn-pair has up to N - 1 {what}, or all (default: the number of classes)",
        )
    loss.add_argument("--margin", type=float, help="that negatives are to keep")
    loss.add_argument("--mining", choices=MINING, help="how triplets are chosen")

    run = parser.add_argument_group("run")
    add_number(run, "--iterations", 2000, whole(1, 10_000_000), "training steps")
    add_number(run, "--batch-size", 128, whole(2, 65_536), "images a step")
    run.add_argument(
        "--sampler", choices=SAMPLERS, default="uniform", help="how a batch is drawn (default: %(default)s)"
    )
    run.add_argument(
        "--images-per-class", metavar="N", type=whole(2, 65_536), help="of the sampler m-per-class (default: 4)"
    )
    add_number(run, "--learning-rate", 1e-4, between(0, 1), "step size of Adam")
    run.add_argument(
        "--validate-every",
        metavar="N",
        type=whole(1, 10_000_000),
        help="steps between validations on a fifth of the training images, which is then not learned from",
    )
    run.add_argument(
        "--patience",
        metavar="N",
        type=whole(1, 10_000_000),
        help="validations without a better MAP@R that end the run; the best weights are kept",
    )
    add_number(run, "--seed", 0, whole(0, 2**32 - 1), "decides the split and all that is drawn")
    add_number(run, "--threads", os.cpu_count() or 1, whole(1, 1024), "CPU threads")


def settings_of(arguments: argparse.Namespace, class_count: int) -> "TrainSettings":
    """The settings of a run on so many classes; raises ValueError, starting with the name of what is wrong."""
    from farnear_training import losses
    from farnear_training.train.settings import TrainSettings

    kind = losses.LOSSES[arguments.loss]
    has = [field.name for field in dataclasses.fields(kind)]
    options = {name: getattr(arguments, name) for name in _LOSS_OPTIONS if getattr(arguments, name) is not None}
    for name in options:
        if name not in has:
            raise ValueError(f"{name}: {arguments.loss} has none; it has {', '.join(has)}")
    for name in {"m", "n"}.intersection(has):
        asked = options.get(name, class_count)
        options[name] = None if asked == "all" else asked
    taken = {field.name for field in dataclasses.fields(TrainSettings)} & vars(arguments).keys() - {"loss"}
    return TrainSettings(loss=kind(**options), **{name: getattr(arguments, name) for name in taken})


def check(arguments: argparse.Namespace) -> None:
    """Ends with a usage error where no images could make these arguments work; raises WeightsError without weights."""
    from farnear_training.models import build, freeze_backbone

    if arguments.out is None and arguments.preview_augmentation is None:
        arguments.usage_error("the following arguments are required: --out")
    try:
        settings = settings_of(arguments, class_count=2)
        model = build(settings.network, image_size=settings.image_size, embedding_dim=settings.embedding_dim)
        if settings.freeze_backbone:
            freeze_backbone(model)
    except ValueError as error:
        name, _, what = str(error).partition(":")
        arguments.usage_error(f"argument --{name.replace('_', '-')}:{what}")


def _count_or_all(text: str) -> int | str:
    return text if text == "all" else whole(2, 10_000_000)(text)


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}; allowed are 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', starting with a letter or digit"
        )
    return text
