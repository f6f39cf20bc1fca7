"""The commands that recommend, and that keep what users met."""

import argparse
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from farnear.arguments import (
    WHERE_GUIDE,
    add_collection_arguments,
    add_explain_argument,
    add_where_argument,
    connect,
    count,
    image,
    number,
    positive,
    read_explain,
    read_query,
    utf8,
)
from farnear.command import Command, RefusedError, group
from farnear.inputs import Interaction, Opinion, RecommendMode
from farnear.results import Hit
from farnear.tables import hit_table, hits_json, interaction_json, interaction_table, show

if TYPE_CHECKING:
    from farnear.client import Client


def _add_recommend(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    parser.add_argument("--user", type=utf8, default="", metavar="USER", help="whose recorded interactions count")
    for flag, meaning in (("--like", "liked"), ("--dislike", "disliked")):
        parser.add_argument(
            flag,
            nargs="+",
            action="extend",
            default=[],
            type=image,
            metavar="IMAGE",
            help=f"what was {meaning}: image files, or id:ITEM for stored items",
        )
    _add_items(parser, "--seen", "ids of items that were seen")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--mode",
        choices=[mode.value for mode in RecommendMode],
        help="similar: toward what was liked, away from what was disliked; divergent: farthest from everything seen; "
        "diverse: relevant, and unlike one another",
    )
    how.add_argument("--novelty", type=number, metavar="X", help="in between: 0 ranks as similar does, 1 as divergent")
    parser.add_argument("-k", type=count, default=10, metavar="N", help="how many to list (default: 10)")
    parser.add_argument(
        "--pool",
        type=positive,
        default=0,
        metavar="N",
        help="for --mode diverse: choose among the N most relevant items (default: all)",
    )
    add_where_argument(parser)
    add_explain_argument(parser)
    parser.epilog = (
        f"{WHERE_GUIDE}\n\n"
        "What was seen, liked or disliked is never recommended.\n\n"
        "examples:\n"
        "  farnear recommend --collection cells --like id:crack/017.png --dislike id:rust/003.png --mode similar\n"
        "  farnear recommend --collection cells --user ada --mode divergent -k 5\n"
        "  farnear recommend --collection cells --user ada --novelty 0.3 --where 'severity >= 3'"
    )


def _recommend(arguments: argparse.Namespace) -> int:
    explain = read_explain(arguments)
    liked = [read_query(argument) for argument in arguments.like]
    disliked = [read_query(argument) for argument in arguments.dislike]
    with connect(arguments) as client:
        hits = client.recommend(
            arguments.collection,
            user=arguments.user,
            liked=liked,
            disliked=disliked,
            seen=arguments.seen,
            mode=None if arguments.mode is None else RecommendMode(arguments.mode),
            novelty=arguments.novelty,
            k=arguments.k,
            where=arguments.where,
            pool=arguments.pool,
            explain=explain,
        )
        if explain is not None:
            _draw(client, arguments, hits)
    show(arguments.json, hits_json(hits), hit_table(hits, measure="relevance"))
    return 0


def _draw(client: "Client", arguments: argparse.Namespace, hits: Sequence[Hit]) -> None:
    from farnear.heatmaps.questions import of_hits
    from farnear.heatmaps.sheet import write

    title = f"Recommended from {arguments.collection}"
    write(of_hits(client, arguments.collection, [("recommended", hits)], title=title, query=None), arguments.explain)


def _add_record(parser: argparse.ArgumentParser) -> None:
    _add_user(parser)
    _add_items(parser, "--like", "ids of items that the user liked")
    _add_items(parser, "--dislike", "ids of items that the user disliked")
    _add_items(parser, "--seen", "ids of items that the user saw, no more")
    parser.epilog = (
        "The last word on an item stands. Nothing is recorded if one of the items is not there.\n\n"
        "example:\n"
        "  farnear interactions record --collection cells --user ada --like crack/017.png --seen rust/003.png"
    )


def _record(arguments: argparse.Namespace) -> int:
    met = {Opinion.SEEN: arguments.seen, Opinion.LIKED: arguments.like, Opinion.DISLIKED: arguments.dislike}
    interactions = [
        Interaction(item_id=item_id, opinion=opinion) for opinion, item_ids in met.items() for item_id in item_ids
    ]
    if not interactions:
        raise RefusedError("nothing to record: give --like, --dislike or --seen")
    with connect(arguments) as client:
        client.record_interactions(arguments.collection, arguments.user, interactions)
    facts = {"user": arguments.user, "recorded_count": len(interactions)}
    show(arguments.json, facts, f"recorded {len(interactions)} for {arguments.user}")
    return 0


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_user(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="list the newest N (default: all)")
    parser.epilog = "example:\n  farnear interactions list --collection cells --user ada --limit 20"


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = list(islice(client.list_interactions(arguments.collection, arguments.user), arguments.limit))
    show(arguments.json, [interaction_json(entry) for entry in found], interaction_table(found))
    return 0


def _add_forget(parser: argparse.ArgumentParser) -> None:
    _add_user(parser)
    parser.epilog = "example:\n  farnear interactions forget --collection cells --user ada"


def _forget(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        deleted = client.delete_interactions(arguments.collection, arguments.user)
    show(
        arguments.json,
        {"user": arguments.user, "deleted_count": deleted},
        f"forgot {deleted} of {arguments.user}",
    )
    return 0


def _add_user(parser: argparse.ArgumentParser) -> None:
    add_collection_arguments(parser)
    parser.add_argument("--user", required=True, type=utf8, metavar="USER", help="the user, by any name you choose")


def _add_items(parser: argparse.ArgumentParser, flag: str, help_text: str) -> None:
    parser.add_argument(flag, nargs="+", action="extend", default=[], type=utf8, metavar="ITEM", help=help_text)


RECOMMEND = Command(
    name="recommend",
    help="list what to look at next, from what was liked, disliked and seen",
    add_arguments=_add_recommend,
    run=_recommend,
    extra="report",
)
INTERACTIONS = group(
    name="interactions",
    help="record, list and forget what users saw, liked and disliked",
    actions=(
        Command(
            name="record", help="take down what a user saw, liked or disliked", add_arguments=_add_record, run=_record
        ),
        Command(name="list", help="list what is kept of a user, newest first", add_arguments=_add_list, run=_list),
        Command(name="forget", help="forget all that is kept of a user", add_arguments=_add_forget, run=_forget),
    ),
    examples="example:\n  farnear interactions record --collection cells --user ada --like crack/017.png",
)
