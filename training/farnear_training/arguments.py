"""What `farnear train` and `farnear evaluate` ask of their arguments alike."""

import argparse
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from farnear.command import RefusedError


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number in these bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}; allowed is a whole number from {least} to {most}")
        return int(text)

    return parse


def between(low: float, high: float) -> Callable[[str], float]:
    """Reads a number between these two."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value < high:
            raise argparse.ArgumentTypeError(f"{text!r}; allowed is a number above {low} and below {high}")
        return value

    return parse


def add_number(
    parser: argparse._ActionsContainer, flag: str, default: float, kind: Callable[[str], float], text: str
) -> None:
    """Declares an argument that takes a number, its default in the help."""
    parser.add_argument(flag, metavar="N", type=kind, default=default, help=f"{text} (default: %(default)s)")


def refuse_unwritable(flag: str, path: Path) -> None:
    """Refuses, before the work is done, a path at which nothing can be made; makes nothing that stays."""
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            pass
    except OSError as error:
        raise RefusedError(f"{flag}: nothing can be written to {nearest} ({error.strerror})") from error
