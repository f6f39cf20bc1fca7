"""The commands about the density clusters."""

import argparse
from dataclasses import asdict

from farnear.arguments import add_collection_arguments, add_query_arguments, connect, read_query
from farnear.channel import FIT_TIMEOUT_S
from farnear.command import Command
from farnear.elapsed import elapsed
from farnear.tables import assignment_json, assignment_text, cluster_table, show


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


CLUSTERS = Command(
    name="clusters", help="list the density clusters of a collection", add_arguments=_add_clusters, run=_clusters
)
ASSIGN = Command(name="assign", help="tell which cluster an image falls into", add_arguments=_add_assign, run=_assign)
