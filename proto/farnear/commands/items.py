"""The commands about items."""

import argparse
from itertools import islice

from farnear.arguments import (
    WHERE_GUIDE,
    add_collection_arguments,
    add_out_argument,
    add_where_argument,
    check_out,
    connect,
    positive,
    utf8,
    write_out,
)
from farnear.command import Command, group
from farnear.tables import item_facts, item_json, item_table, show


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    add_where_argument(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="list at most N items (default: all)")
    parser.epilog = (
        f"{WHERE_GUIDE}\n\n"
        "examples:\n"
        "  farnear items list --collection cells --where \"severity >= 3 and label != 'crack'\"\n"
        "  farnear items list --collection cells --where 'cluster = -1' --limit 20"
    )


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        items = list(islice(client.list_items(arguments.collection, where=arguments.where), arguments.limit))
    show(arguments.json, [item_json(item) for item in items], item_table(items))
    return 0


def _add_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", type=utf8, metavar="ITEM", help="the item's id")
    add_collection_arguments(parser)
    parser.epilog = "example:\n  farnear items get crack/017.png --collection cells"


def _get(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        item = client.get_item(arguments.collection, arguments.item)
    show(arguments.json, item_json(item), item_facts(item))
    return 0


def _add_image(parser: argparse.ArgumentParser) -> None:
    _add_one(parser)
    add_out_argument(parser, "FILE")
    parser.epilog = "example:\n  farnear items image crack/017.png --collection cells --out 017.png"


def _image(arguments: argparse.Namespace) -> int:
    check_out(arguments.out)
    with connect(arguments) as client:
        image = client.get_item_image(arguments.collection, arguments.item)
    write_out(arguments.out, image.data)
    facts = {
        "item_id": arguments.item,
        "out": str(arguments.out),
        "media_type": image.media_type,
        "original": image.original,
        "bytes": len(image.data),
    }
    kind = "original" if image.original else "thumbnail"
    show(arguments.json, facts, f"{arguments.out}: {image.media_type}, {len(image.data):,} bytes, {kind}")
    return 0


def _add_count(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    add_where_argument(parser)
    parser.epilog = (
        f"{WHERE_GUIDE}\n\nexample:\n  farnear items count --collection cells --where 'not exists(severity)'"
    )


def _count(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.count_items(arguments.collection, where=arguments.where)
    show(arguments.json, {"count": found}, str(found))
    return 0


def _add_delete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("items", nargs="+", type=utf8, metavar="ITEM", help="an item's id")
    add_collection_arguments(parser)
    parser.epilog = (
        "Ids that are not there are no error.\n\n"
        "example:\n  farnear items delete crack/017.png rust/003.png --collection cells"
    )


def _delete(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        deleted = client.delete_items(arguments.collection, arguments.items)
    show(arguments.json, {"deleted_count": deleted}, f"deleted {deleted} of {len(arguments.items)}")
    return 0


ITEMS = group(
    name="items",
    help="list, count, show and delete items",
    actions=(
        Command(name="list", help="list the items of a collection", add_arguments=_add_list, run=_list),
        Command(name="count", help="count the items of a collection", add_arguments=_add_count, run=_count),
        Command(name="get", help="tell what is known of an item", add_arguments=_add_one, run=_get),
        Command(name="image", help="write the image that is kept of an item", add_arguments=_add_image, run=_image),
        Command(name="delete", help="delete items by id", add_arguments=_add_delete, run=_delete),
    ),
    examples=(
        "examples:\n"
        "  farnear items list --collection cells --where 'severity >= 3'\n"
        "  farnear items get crack/017.png --collection cells"
    ),
)
