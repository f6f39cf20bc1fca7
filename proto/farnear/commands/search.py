"""The commands that search: one end of the scale, the other, or both."""

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from farnear.arguments import (
    WHERE_GUIDE,
    add_explain_argument,
    add_query_arguments,
    add_where_argument,
    connect,
    count,
    positive,
    read_explain,
    read_query,
)
from farnear.command import Command, RefusedError
from farnear.inputs import Direction, Query
from farnear.results import Certificate, Hit, SearchResult
from farnear.tables import certificate_json, certificate_text, hit_table, hits_json, show

if TYPE_CHECKING:
    from farnear.client import Client


def _add(parser: argparse.ArgumentParser) -> None:
    add_query_arguments(parser)
    parser.add_argument("-k", type=count, default=10, metavar="N", help="how many to list (default: 10)")
    parser.add_argument(
        "--pages", type=_pages, default=1, metavar="N", help="list N times as many, or 'all' there are (default: 1)"
    )
    add_where_argument(parser)
    add_explain_argument(parser)
    parser.epilog = (
        f"{WHERE_GUIDE}\n\n"
        "examples:\n"
        f"  {parser.prog} photo.jpg --collection cells\n"
        f"  {parser.prog} id:crack/017.png --collection cells -k 3 --json\n"
        f"  {parser.prog} photo.jpg --collection cells --where \"label = 'rust' and severity >= 3\"\n"
        f"  {parser.prog} photo.jpg --collection cells -k 1000 --pages all --json\n"
        f"  {parser.prog} photo.jpg --collection cells --explain hits.html"
    )


def _search(direction: Direction, arguments: argparse.Namespace) -> int:
    explain = read_explain(arguments)
    if explain is not None and arguments.pages != 1:
        raise RefusedError("--explain: goes with one page of hits")
    query = read_query(arguments.image)
    with connect(arguments) as client:
        pages = client.search_pages(
            arguments.collection,
            query,
            direction=direction,
            k=arguments.k,
            where=arguments.where,
            explain=explain,
        )
        found = list(islice(pages, arguments.pages))
        similar = [hit for page in found for hit in page.similar]
        divergent = [hit for page in found for hit in page.divergent]
        if explain is not None:
            _draw(client, arguments, query, similar, divergent)
    match direction:
        case Direction.SIMILAR:
            show(arguments.json, hits_json(similar), _list(similar, _of_similar(found)))
        case Direction.DIVERGENT:
            show(arguments.json, hits_json(divergent), _list(divergent, _of_divergent(found)))
        case Direction.BOTH:
            certificates = {"similar": _of_similar(found), "divergent": _of_divergent(found)}
            document = {
                "similar": hits_json(similar),
                "divergent": hits_json(divergent),
                "certificates": {end: certificate_json(promise) for end, promise in certificates.items()},
            }
            lists = _list(similar, certificates["similar"]), _list(divergent, certificates["divergent"])
            show(arguments.json, document, "most similar\n{}\n\nmost divergent\n{}".format(*lists))
    return 0


def _draw(
    client: "Client", arguments: argparse.Namespace, query: Query, similar: Sequence[Hit], divergent: Sequence[Hit]
) -> None:
    from farnear.heatmaps.questions import of_hits, subject_of
    from farnear.heatmaps.sheet import write

    asked = subject_of(arguments.image, query)
    lists = [("most similar", similar), ("most divergent", divergent)]
    title = f"{asked.name} in {arguments.collection}"
    write(of_hits(client, arguments.collection, lists, title=title, query=asked), arguments.explain)


def _of_similar(pages: Sequence[SearchResult]) -> Certificate:
    return _weakest([page.similar_certificate for page in pages])


def _of_divergent(pages: Sequence[SearchResult]) -> Certificate:
    return _weakest([page.divergent_certificate for page in pages])


def _weakest(certificates: Sequence[Certificate | None]) -> Certificate:
    return min((promise for promise in certificates if promise is not None), key=lambda promise: promise.recall)


def _list(hits: Sequence[Hit], certificate: Certificate) -> str:
    return hit_table(hits) if certificate.exact else f"{hit_table(hits)}\n{certificate_text(certificate)}"


def _pages(argument: str) -> int | None:
    return None if argument == "all" else positive(argument)


def _command(name: str, help_text: str, direction: Direction) -> Command:
    return Command(name=name, help=help_text, add_arguments=_add, run=partial(_search, direction), extra="report")


SIMILAR = _command("similar", "list what is most like an image", Direction.SIMILAR)
DIVERGENT = _command("divergent", "list what is most unlike an image", Direction.DIVERGENT)
BOTH = _command("both", "list both ends for an image", Direction.BOTH)
