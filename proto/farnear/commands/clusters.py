"""The commands about the density clusters."""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from farnear.arguments import (
    add_collection_arguments,
    add_query_arguments,
    connect,
    count,
    number,
    positive,
    read_query,
    utf8,
)
from farnear.channel import FIT_TIMEOUT_S
from farnear.cluster_tables import (
    assignment_json,
    assignment_text,
    batch_json,
    cluster_table,
    details_json,
    details_text,
    event_lines,
    fit_text,
    suggestion_text,
)
from farnear.command import Command, group
from farnear.elapsed import elapsed
from farnear.tables import show


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    parser.epilog = "example:\n  farnear clusters list --collection cells"


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        clustering = client.clusters(arguments.collection)
    show(arguments.json, asdict(clustering), cluster_table(clustering))
    return 0


def _add_get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cluster", type=count, metavar="CLUSTER", help="the cluster's number; -1 for the noise")
    add_collection_arguments(parser)
    parser.add_argument(
        "--limit", type=positive, default=20, metavar="N", help="name at most N members (default: %(default)s)"
    )
    parser.epilog = (
        "Members come in order of id. The most typical first: farnear similar id:MEDOID --where 'cluster = N'\n\n"
        "examples:\n"
        "  farnear clusters get 3 --collection cells\n"
        "  farnear clusters get -1 --collection cells --limit 100"
    )


def _get(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        details = client.cluster(arguments.collection, arguments.cluster, limit=arguments.limit)
    show(arguments.json, details_json(details), details_text(details))
    return 0


def _add_suggest(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    parser.add_argument(
        "--min-samples", type=count, metavar="N", help="the density to suggest for (default: the collection's)"
    )
    parser.epilog = (
        "Where the curve bends, dense regions end and noise begins. Nothing changes: 'farnear recluster' does that.\n\n"
        "example:\n  farnear clusters suggest --collection cells"
    )


def _suggest(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        suggestion = client.suggest_eps(arguments.collection, min_samples=arguments.min_samples)
    show(arguments.json, asdict(suggestion), suggestion_text(suggestion, arguments.collection))
    return 0


def _add_watch(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", type=utf8, default="", metavar="TOKEN", help="go on where a watch ended")
    begin.add_argument("--from-start", action="store_true", help="begin with the first event that is kept")
    parser.epilog = (
        "It goes on until Ctrl-C, and then names the token to go on with. With --json each line is an object: events\n"
        "that came together, and the token to go on behind them.\n\n"
        "examples:\n"
        "  farnear clusters watch --collection cells\n"
        "  farnear clusters watch --collection cells --from-start --json"
    )


def _watch(arguments: argparse.Namespace) -> int:
    token = ""
    try:
        with connect(arguments) as client:
            for batch in client.watch_clusters(
                arguments.collection, resume_token=arguments.resume, from_start=arguments.from_start
            ):
                for line in [json.dumps(batch_json(batch))] if arguments.json else event_lines(batch):
                    print(line)
                sys.stdout.flush()
                token = batch.resume_token
    finally:
        if token and not arguments.json:
            collection, told = shlex.quote(arguments.collection), shlex.quote(token)
            sys.stderr.write(f"to go on: farnear clusters watch --collection {collection} --resume {told}\n")
    return 0


def _add_report(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder for the report; made where it is missing"
    )
    parser.epilog = (
        "Writes DIR/index.html, one page with everything inside, and its pictures as PNG files beside it: the map by\n"
        "class and by cluster, each cluster by its most typical members, the noise, and each cluster's classes.\n\n"
        "example:\n  farnear clusters report --collection cells --out cells-report"
    )


def _report(arguments: argparse.Namespace) -> int:
    from farnear.report import report

    with connect(arguments) as client:
        page = report(client, arguments.collection, arguments.out)
    show(arguments.json, {"report": str(page)}, str(page))
    return 0


def _add_recluster(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    parser.add_argument("--eps", type=number, metavar="X", help="DBSCAN radius in map units")
    parser.add_argument(
        "--min-samples",
        type=count,
        metavar="N",
        help="items within eps, itself counted, that make an item a core point",
    )
    parser.add_argument("--perplexity", type=number, metavar="X", help="about how many neighbours count for an item")
    parser.epilog = (
        "What is given stays with the collection. With --eps or --min-samples alone the map stays too, and it takes\n"
        "seconds; otherwise a new map is fitted, in minutes. The old clusters answer until then, and Ctrl-C ends the\n"
        "waiting, not the work.\n\n"
        "examples:\n"
        "  farnear recluster --collection cells\n"
        "  farnear recluster --collection cells --eps 2.5 --min-samples 8"
    )


def _recluster(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client, elapsed(f"clustering {arguments.collection} anew"):
        fit = client.recluster(
            arguments.collection,
            eps=arguments.eps,
            min_samples=arguments.min_samples,
            perplexity=arguments.perplexity,
            timeout=arguments.timeout or FIT_TIMEOUT_S,
        )
    show(arguments.json, asdict(fit), fit_text(fit))
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


CLUSTERS = group(
    name="clusters",
    help="list, show, watch and report the density clusters",
    actions=(
        Command(name="list", help="list the clusters of a collection", add_arguments=_add_list, run=_list),
        Command(name="get", help="tell what is in a cluster", add_arguments=_add_get, run=_get),
        Command(name="suggest", help="suggest an eps for DBSCAN", add_arguments=_add_suggest, run=_suggest),
        Command(
            name="watch", help="print what happens to the clusters, as it happens", add_arguments=_add_watch, run=_watch
        ),
        Command(
            name="report", help="write the clusters with pictures to a page", add_arguments=_add_report, run=_report
        ),
    ),
    examples=(
        "examples:\n"
        "  farnear clusters list --collection cells\n"
        "  farnear clusters report --collection cells --out cells-report"
    ),
    extra="report",
)
RECLUSTER = Command(
    name="recluster", help="cluster anew, with other settings if wanted", add_arguments=_add_recluster, run=_recluster
)
ASSIGN = Command(name="assign", help="tell which cluster an image falls into", add_arguments=_add_assign, run=_assign)
