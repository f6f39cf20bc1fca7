"""The `evaluate` subcommand of `farnear`.

What measures is imported when it runs, so that `farnear --help` stays quick.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from farnear.command import RefusedError

from farnear_training.arguments import add_number, refuse_unwritable, whole

DOCUMENT = "evaluation.json"
PAGE = "evaluation.html"

_DESCRIPTION = """\
Measures how good a bundle's model is on labelled images: does it find images of the same class, can classes be told
from its vectors, which clusters show on a map, do its heat maps show what matters. Every figure comes with a bootstrap
95 % interval.
"""

_EXAMPLES = """\
DATA holds the images by class, as for `farnear train`; its classes need not be the bundle's.

examples:
  farnear evaluate bridges.bundle bridges              on the images that training held out
  farnear evaluate bridges.bundle other-town           on images of another origin: all of them
  farnear evaluate bridges.bundle bridges.tar --out report --json
  farnear evaluate sewer.bundle sewer --split all --group-regex '^(run\\d+)_'      no frame is told by its neighbours

Writes evaluation.json, with every figure, and evaluation.html, a page to read or send on, to the folder --out.
An evaluation that stands there is replaced.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `farnear evaluate`."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder that `farnear train` wrote")
    parser.add_argument("data", metavar="DATA", type=Path, help="folder or uncompressed tar of class/file")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder to write to (default: BUNDLE.evaluation)")
    parser.add_argument(
        "--split",
        choices=["test", "train", "all"],
        help="which images of DATA: the bundle's test or training images, or all"
        " (default: test where DATA holds them, else all)",
    )
    parser.add_argument(
        "--group-regex",
        metavar="REGEX",
        help="where classes are told from known images, those in whose path it captures the same are not among them",
    )
    add_number(parser, "--max-bad-images", 0, whole(0, 10_000_000), "unreadable images to pass over; more are refused")
    add_number(parser, "--seed", 0, whole(0, 2**32 - 1), "decides all that is drawn")
    add_number(parser, "--threads", os.cpu_count() or 1, whole(1, 1024), "CPU threads")
    parser.add_argument("--json", action="store_true", help="print what evaluation.json holds")


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, writes the two files and prints a summary; raises RefusedError where that cannot be done."""
    from farnear_training.data import DataError
    from farnear_training.evaluate.bundle import BundleError
    from farnear_training.evaluate.document import document
    from farnear_training.evaluate.findings import Settings
    from farnear_training.evaluate.measure import measure
    from farnear_training.evaluate.page import render
    from farnear_training.evaluate.part import PartError

    bundle: Path = arguments.bundle.absolute()
    out: Path = arguments.out or bundle.with_name(f"{bundle.name}.evaluation")
    if out.exists() and not out.is_dir():
        raise RefusedError(f"--out: {out} is a file; allowed is a folder")
    if (out / "bundle.json").exists():
        raise RefusedError(f"--out: {out} is a bundle; allowed is another folder")
    refuse_unwritable("--out", out / PAGE)
    settings = Settings(
        seed=arguments.seed,
        threads=arguments.threads,
        group_regex=arguments.group_regex,
        max_bad_images=arguments.max_bad_images,
    )
    try:
        findings = measure(arguments.bundle, arguments.data, arguments.split, settings)
        outcome = document(findings)
        out.mkdir(parents=True, exist_ok=True)
        _write(out / PAGE, render(findings))
        _write(out / DOCUMENT, json.dumps(outcome, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    except (BundleError, DataError, PartError, OSError) as error:
        raise RefusedError(str(error)) from error
    sys.stdout.write(json.dumps(outcome) + "\n" if arguments.json else _summary(outcome, out))
    return 0


def _write(path: Path, text: str) -> None:
    """Writes `path` whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _summary(outcome: dict[str, Any], out: Path) -> str:
    part, retrieval, classification = outcome["part"], outcome["retrieval"], outcome["classification"]
    lines = [
        f"bundle   {outcome['bundle']['name']}  {outcome['bundle']['digest']}",
        f"images   {part['image_count']} of {len(outcome['classes'])} classes, part {part['name']}: {part['reason']}",
        *(f"passed   {item_id}: {reason}" for item_id, reason in outcome["data"]["bad_images"].items()),
        *(f"note     {note}" for note in outcome["notes"]),
        "",
        f"{'retrieval':<22}{'precision@1':<26}{'R-precision':<26}MAP@R",
    ]
    for title, key in (
        ("embeddings", "learned"),
        ("raw pixels", "raw_pixels"),
        ("difference", "learned_minus_raw_pixels"),
    ):
        lines.append(f"{title:<22}" + "".join(f"{_figure(figure):<26}" for figure in retrieval[key].values()).rstrip())
    lines.append(f"{'chance':<22}" + "".join(f"{figure:<26.3f}" for figure in retrieval["chance"].values()).rstrip())
    lines += ["", "class told"]
    for title, key in (
        (f"{classification['k']} nearest", "knn_accuracy"),
        ("logistic regression", "logistic_regression_accuracy"),
        ("among its top 3", "top_3_accuracy"),
        ("commonest class", "commonest_class_accuracy"),
    ):
        if classification[key] is not None:
            lines.append(f"{title:<22}{_figure(classification[key])}")
    if outcome["map"] is not None:
        lines += ["", "map"]
        for title, key, decimals in (("clusters", "cluster_count", 0), ("noise", "noise_share", 3), ("NMI", "nmi", 3)):
            lines.append(f"{title:<22}{_figure(outcome['map'][key], decimals)}")
    if outcome["faithfulness"] is not None:
        lines += ["", f"{'heat maps':<22}{'deletion, low is good':<26}{'insertion, high is good':<26}ROAD, low is good"]
        for title, key in (
            ("heat map", "heatmap"),
            ("random map", "random"),
            ("map of the middle", "centre"),
            ("less random", "heatmap_minus_random"),
            ("less middle", "heatmap_minus_centre"),
        ):
            figures = outcome["faithfulness"][key].values()
            lines.append(f"{title:<22}" + "".join(f"{_figure(figure):<26}" for figure in figures).rstrip())
    return "\n".join([*lines, "", f"report   {out / PAGE}"]) + "\n"


def _figure(interval: dict[str, float], decimals: int = 3) -> str:
    value, low, high = (f"{interval[key]:.{decimals}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
