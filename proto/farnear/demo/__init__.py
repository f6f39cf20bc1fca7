"""`farnear demo`: the whole of Farnear on real images in one command, told in a report.

Only this module loads with `farnear --help`; what the demo needs is imported when it runs.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from farnear.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Learns 2,624 real images of solar cells, serves and indexes them, asks for the most similar and the most\n"
        "divergent, clusters, explains, and writes a report with pictures. Takes some eight minutes on two cores."
    )
    parser.epilog = (
        "Every run starts afresh: it deletes what an earlier demo left in the work folder, and refuses a folder that\n"
        "no demo made. The images are those of the package elpv-dataset (CC BY-NC-SA 4.0).\n\n"
        "examples:\n  farnear demo\n  farnear demo --reuse              keep the model of the run before\n"
        "  farnear demo --iterations 100     a quick look, with a worse model"
    )
    parser.add_argument("--work", type=Path, default=Path("demo-work"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--report", type=Path, default=Path("demo-report"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--iterations", type=_whole(1), default=2000, metavar="N", help="training steps (default: %(default)s)"
    )
    parser.add_argument(
        "--image-size",
        type=_whole(8, step=8),
        default=64,
        metavar="N",
        help="width and height in pixels that the model sees, a multiple of 8 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=_whole(0), default=0, metavar="S", help="decides split, training and examples (default: 0)"
    )
    parser.add_argument(
        "--reuse", action="store_true", help="keep the model and the index of a run with the same settings"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    from farnear.demo.run import TrainingSettings, demo

    # So that a demo that is told to end, or whose terminal goes, still stops the server and the training it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    demo(
        TrainingSettings(iterations=arguments.iterations, image_size=arguments.image_size, seed=arguments.seed),
        work=arguments.work,
        report_folder=arguments.report,
        reuse=arguments.reuse,
        as_json=arguments.json,
    )
    return 0


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _whole(least: int, *, step: int = 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least or int(text) % step:
            multiple = f", a multiple of {step}" if step > 1 else ""
            raise argparse.ArgumentTypeError(f"{text!r}; allowed is a whole number of {least} or more{multiple}")
        return int(text)

    return parse


COMMANDS = (
    Command(
        name="demo",
        help="learn, serve and explore real images, and write a report",
        add_arguments=_add_arguments,
        run=_run,
        extra="service,training,cpu,explain-torch,demo",
    ),
)
