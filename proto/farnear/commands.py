"""The commands that ask a running service. Declaring them takes argparse alone; gRPC loads when one connects."""

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from farnear.arguments import (
    add_client_arguments,
    add_collection_arguments,
    add_query_arguments,
    connect,
    count,
    read_query,
    utf8,
)
from farnear.channel import FIT_TIMEOUT_S
from farnear.command import Command, RefusedError
from farnear.elapsed import elapsed
from farnear.images import list_images
from farnear.inputs import ItemId
from farnear.tables import (
    assignment_json,
    assignment_text,
    cluster_table,
    collection_json,
    collection_table,
    hit_table,
    hits_json,
    show,
)


def _add_collections(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def add(name: str, help_text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=help_text, description=help_text)
        action.set_defaults(run_action=run)
        add_client_arguments(action)
        return action

    create = add("create", "make an empty collection under a model bundle", _create_collection)
    create.add_argument("name", type=utf8, metavar="NAME")
    create.add_argument("--bundle", required=True, type=utf8, metavar="NAME", help="a bundle that the service serves")
    add("list", "list all collections", _list_collections)
    delete = add("delete", "delete a collection with its items, kept images and map", _delete_collection)
    delete.add_argument("name", type=utf8, metavar="NAME")
    parser.epilog = "examples:\n  farnear collections create cells --bundle elpv\n  farnear collections list --json"


def _collections(arguments: argparse.Namespace) -> int:
    run_action: Callable[[argparse.Namespace], int] = arguments.run_action
    return run_action(arguments)


def _create_collection(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        collection = client.create_collection(arguments.name, bundle=arguments.bundle)
    show(arguments.json, collection_json(collection), collection_table([collection]))
    return 0


def _list_collections(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        collections = list(client.list_collections())
    show(arguments.json, [collection_json(collection) for collection in collections], collection_table(collections))
    return 0


def _delete_collection(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        count = client.delete_collection(arguments.name)
    facts = {"name": arguments.name, "deleted_item_count": count}
    show(arguments.json, facts, f"deleted {arguments.name} with {count} items")
    return 0


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder or uncompressed tar of class/file")
    add_collection_arguments(parser)
    parser.epilog = (
        "The id of an item is its path within DATA, its label the first folder of that path. Run again after an\n"
        "interruption: what is there already is skipped. The exit code is 1 if any image was refused; the others are\n"
        "indexed all the same.\n\n"
        "example:\n  farnear index photos/ --collection cells"
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
        report = index_images(client, arguments.collection, images)
    summary = f"indexed {report.indexed}, skipped {report.skipped}, refused {len(report.refused)}"
    show(arguments.json, asdict(report), summary)
    return 1 if report.refused else 0


def _add_search(parser: argparse.ArgumentParser) -> None:
    add_query_arguments(parser)
    parser.add_argument("-k", type=count, default=10, metavar="N", help="how many to list (default: 10)")
    parser.epilog = (
        "examples:\n"
        f"  {parser.prog} photo.jpg --collection cells\n"
        f"  {parser.prog} id:crack/017.png --collection cells -k 3 --json"
    )


def _similar(arguments: argparse.Namespace) -> int:
    query = read_query(arguments.image)
    with connect(arguments) as client:
        hits = client.similar(arguments.collection, query, k=arguments.k)
    show(arguments.json, hits_json(hits), hit_table(hits))
    return 0


def _divergent(arguments: argparse.Namespace) -> int:
    query = read_query(arguments.image)
    with connect(arguments) as client:
        hits = client.divergent(arguments.collection, query, k=arguments.k)
    show(arguments.json, hits_json(hits), hit_table(hits))
    return 0


def _both(arguments: argparse.Namespace) -> int:
    query = read_query(arguments.image)
    with connect(arguments) as client:
        result = client.both(arguments.collection, query, k=arguments.k)
    show(
        arguments.json,
        {"similar": hits_json(result.similar), "divergent": hits_json(result.divergent)},
        f"most similar\n{hit_table(result.similar)}\n\nmost divergent\n{hit_table(result.divergent)}",
    )
    return 0


def _add_clusters(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    parser.add_argument("--refit", action="store_true", help="fit a new map of all items first, and wait for it")
    parser.epilog = "examples:\n  farnear clusters --collection cells\n  farnear clusters --collection cells --refit"


def _clusters(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        if arguments.refit:
            with elapsed(f"fitting a map of {arguments.collection}"):
                client.recluster(arguments.collection, timeout=arguments.timeout or FIT_TIMEOUT_S)
        clustering = client.clusters(arguments.collection)
    show(arguments.json, asdict(clustering), cluster_table(clustering))
    return 0


def _add_assign(parser: argparse.ArgumentParser) -> None:
    add_query_arguments(parser)
    parser.epilog = "example:\n  farnear assign photo.jpg --collection cells"


def _assign(arguments: argparse.Namespace) -> int:
    query = read_query(arguments.image)
    with connect(arguments) as client:
        assignment = client.assign(arguments.collection, query)
    show(arguments.json, assignment_json(assignment), assignment_text(assignment))
    return 0


def _add_explain(parser: argparse.ArgumentParser) -> None:
    add_query_arguments(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="PNG", help="where to write the picture")
    parser.epilog = "example:\n  farnear explain id:crack/017.png --collection cells --out heat.png"


def _explain(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out
    if not out.parent.is_dir():
        raise RefusedError(f"--out {out}: there is no folder {out.parent}")
    query = read_query(arguments.image)
    with connect(arguments) as client:
        heatmap = client.heatmap(arguments.collection, query, overlay=True)
    assert heatmap.overlay_png is not None, "an overlay was asked for"
    try:
        _replace(out, heatmap.overlay_png)
    except OSError as error:
        raise RefusedError(f"--out {out}: {error.strerror}") from error
    facts = {
        "item_id": query.value if isinstance(query, ItemId) else None,
        "out": str(out),
        "height": heatmap.height,
        "width": heatmap.width,
        "maximum": max(heatmap.values),
    }
    show(arguments.json, facts, f"{out}: {facts['height']} x {facts['width']}, maximum {facts['maximum']:.4g}")
    return 0


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


COMMANDS = (
    Command(
        name="collections", help="make, list and delete collections", add_arguments=_add_collections, run=_collections
    ),
    Command(name="index", help="store the images of a folder or tar", add_arguments=_add_index, run=_index),
    Command(name="similar", help="list what is most like an image", add_arguments=_add_search, run=_similar),
    Command(name="divergent", help="list what is most unlike an image", add_arguments=_add_search, run=_divergent),
    Command(name="both", help="list both ends for an image", add_arguments=_add_search, run=_both),
    Command(
        name="clusters", help="list the density clusters of a collection", add_arguments=_add_clusters, run=_clusters
    ),
    Command(name="assign", help="tell which cluster an image falls into", add_arguments=_add_assign, run=_assign),
    Command(
        name="explain", help="draw where in an image its embedding comes from", add_arguments=_add_explain, run=_explain
    ),
)
