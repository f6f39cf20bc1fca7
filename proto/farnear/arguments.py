"""The arguments that client commands share, and what they stand for: a connection, a query, a filter."""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from farnear.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S
from farnear.command import RefusedError
from farnear.images import read_file
from farnear.inputs import ExplainHits, HeatmapPicture, ItemId, Query

if TYPE_CHECKING:
    from farnear.client import Client
    from farnear.v1.filters_pb2 import Filter

WHERE_GUIDE = """
EXPR compares attributes, or item_id, label, cluster (-1 is noise) and create_time, with values, and joins conditions
by and, or, not and parentheses:
  severity >= 3 and label in ('crack', 'rust')      = != < <= > >= in, not in
  inspector = "O'Brien" or not exists(inspector)    texts in quotes of either kind
  reviewed = true and taken >= @2026-11-22T10:00Z   times behind an @; a date alone is its beginning in UTC
What lacks an attribute matches no condition on it."""


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares --address, --timeout and --json."""
    parser.add_argument(
        "--address",
        default=os.environ.get("FARNEAR_ADDRESS") or DEFAULT_ADDRESS,
        metavar="HOST:PORT",
        help="where the service listens (default: $FARNEAR_ADDRESS, now %(default)s)",
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help=f"how long a call may take (default: {DEFAULT_TIMEOUT_S:g})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for machines instead of a table for people")


def add_collection_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares --collection and the client arguments."""
    parser.add_argument("--collection", required=True, type=utf8, metavar="NAME", help="the collection to use")
    add_client_arguments(parser)


def add_query_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares IMAGE, --collection and the client arguments."""
    parser.add_argument(
        "image", type=image, metavar="IMAGE", help="an image file, '-' for stdin, or id:ITEM for a stored item"
    )
    add_collection_arguments(parser)


def add_where_argument(parser: argparse.ArgumentParser) -> None:
    """Declares --where."""
    parser.add_argument("--where", type=where, metavar="EXPR", help="only items that match; see below")


def add_out_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Declares --out."""
    parser.add_argument("--out", required=True, type=Path, metavar=what, help="where to write the picture")


def add_explain_argument(parser: argparse.ArgumentParser) -> None:
    """Declares --explain."""
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="FILE",
        help="draw the hits with their heat maps, as a PNG or, where FILE ends in .html, a page; at most 100 hits",
    )


def read_explain(arguments: argparse.Namespace) -> ExplainHits | None:
    """What --explain asks for, None for nothing; refuses a file that may not be written."""
    if arguments.explain is None:
        return None
    check_out(arguments.explain, "--explain")
    return ExplainHits(picture=HeatmapPicture.OVERLAY)


def connect(arguments: argparse.Namespace) -> "Client":
    """Opens the client that the arguments ask for."""
    from farnear.client import Client

    timeout = DEFAULT_TIMEOUT_S if arguments.timeout is None else arguments.timeout
    return Client(arguments.address, timeout=timeout)


def read_query(argument: str) -> Query:
    """Reads what an IMAGE argument names.

    Raises:
        RefusedError: If it names a file that cannot be read or sent.
    """
    if argument.startswith("id:"):
        return ItemId(argument.removeprefix("id:"))
    if argument == "-":
        return sys.stdin.buffer.read()
    try:
        return read_file(Path(argument))
    except OSError as error:
        raise RefusedError(f"cannot read {argument}: {error.strerror}") from error
    except ValueError as error:
        raise RefusedError(f"cannot send {argument}: {error}") from error


def check_out(path: Path, option: str = "--out") -> None:
    """Raises RefusedError where an option names a place that cannot be: before the service is asked, not after."""
    if not path.parent.is_dir():
        raise RefusedError(f"{option} {path}: there is no folder {path.parent}")


def write_out(path: Path, content: bytes) -> None:
    """Writes what --out names, whole or not at all.

    Raises:
        RefusedError: If it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise RefusedError(f"--out {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def utf8(argument: str) -> str:
    """The type of arguments that travel as text: refuses bytes that are not UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("not UTF-8") from error
    return argument


def image(argument: str) -> str:
    """The type of images: a path may hold any bytes, an id may not."""
    return utf8(argument) if argument.startswith("id:") else argument


def count(argument: str) -> int:
    """The type of counts: a whole number that fits the contract's int32; the service judges its range."""
    try:
        number = int(argument)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{argument!r} is not a whole number") from error
    if abs(number) >= 2**31:
        raise argparse.ArgumentTypeError(f"{argument} is out of range")
    return number


def positive(argument: str) -> int:
    """The type of counts that the service never sees: 1 or more."""
    found = count(argument)
    if found < 1:
        raise argparse.ArgumentTypeError(f"{argument} is not 1 or more")
    return found


def number(argument: str) -> float:
    """The type of numbers; the service judges their range."""
    try:
        return float(argument)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{argument!r} is not a number") from error


def where(argument: str) -> "Filter":
    """The type of filters."""
    from farnear.filters import parse

    try:
        return parse(utf8(argument))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(argument: str) -> float:
    seconds = number(argument)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{argument!r} is not a number of seconds above 0")
    return seconds
