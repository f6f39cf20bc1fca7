"""The command that stores the images of a folder or tar."""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from farnear.arguments import add_collection_arguments, connect, utf8
from farnear.attribute_file import read_attribute_file
from farnear.attributes import Attributes, AttributeType
from farnear.command import Command, RefusedError
from farnear.images import list_images
from farnear.tables import show


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder or uncompressed tar of class/file")
    add_collection_arguments(parser)
    parser.add_argument(
        "--attributes", type=Path, metavar="FILE", help="what else is known of the images: .csv or .jsonl; see below"
    )
    parser.add_argument(
        "--source-base",
        type=_uri,
        metavar="URI",
        help="keep URI/path as the source of each image. Without it none is kept, as the names of folders can tell "
        "more than they should",
    )
    parser.add_argument(
        "--replace", action="store_true", help="send what is there already too, in place of what is stored of it"
    )
    parser.epilog = (
        "The id of an item is its path within DATA, its label the first folder of that path. Run again after an\n"
        "interruption: what is there already is skipped. The exit code is 1 if any image was refused; the others are\n"
        "indexed all the same.\n\n"
        "FILE has a line for each image, found by its item_id. A name may carry its type (string, number, bool or\n"
        "timestamp); else the type is the collection's, or what all its values can be. An empty cell, or null, is no\n"
        "attribute. Times are ISO 8601 with a zone; a date alone is its beginning in UTC.\n"
        "  item_id,severity,inspector:string,taken:timestamp\n"
        "  crack/017.png,3,Ada,2026-11-22T10:00Z\n"
        "or, as JSON Lines:\n"
        '  {"item_id": "crack/017.png", "severity": 3, "inspector": "Ada", "taken:timestamp": "2026-11-22T10:00Z"}\n\n'
        "examples:\n"
        "  farnear index photos/ --collection cells\n"
        "  farnear index photos/ --collection cells --attributes photos.csv --source-base file:///archive/photos"
    )


def _index(arguments: argparse.Namespace) -> int:
    from farnear.indexing import index_images

    try:
        images = list_images(arguments.data)
    except OSError as error:
        raise RefusedError(f"cannot read {error.filename or arguments.data}: {error.strerror}") from error
    except ValueError as error:
        raise RefusedError(str(error)) from error
    with connect(arguments) as client:
        attributes: Mapping[str, Attributes] = {}
        if arguments.attributes is not None:
            types = client.get_collection(arguments.collection).attributes
            attributes = _read_attributes(arguments.attributes, types, [image.item_id for image in images])
        report = index_images(
            client,
            arguments.collection,
            images,
            attributes=attributes,
            source_base=arguments.source_base,
            replace=arguments.replace,
        )
    summary = f"indexed {report.indexed}, skipped {report.skipped}, refused {len(report.refused)}"
    show(arguments.json, asdict(report), summary)
    return 1 if report.refused else 0


def _read_attributes(
    path: Path, types: Mapping[str, AttributeType], item_ids: Iterable[str]
) -> Mapping[str, Attributes]:
    try:
        attributes = read_attribute_file(path, types)
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RefusedError(str(error)) from error
    strays = sorted(attributes.keys() - set(item_ids))
    if strays and len(strays) == len(attributes):
        raise RefusedError(f"{path}: no item_id in it is that of an image; the first is {strays[0]!r}")
    if strays:
        sys.stderr.write(f"farnear: {path}: {len(strays)} item ids are of no image; the first is {strays[0]!r}\n")
    return attributes


def _uri(argument: str) -> str:
    # A scheme has two letters or more here: one alone is a drive of Windows.
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", utf8(argument)):
        raise argparse.ArgumentTypeError(
            f"{argument!r} is no URI such as file:///archive/photos or https://host/photos"
        )
    return argument


INDEX = Command(name="index", help="store the images of a folder or tar", add_arguments=_add, run=_index)
