"""The commands about collections."""

import argparse

from farnear.arguments import add_client_arguments, connect, number, utf8
from farnear.attributes import AttributeType
from farnear.channel import ACTIVATION_POLL_S
from farnear.command import Command, RefusedError, group
from farnear.inputs import ImageRetention, IndexKind, IndexSettings
from farnear.tables import collection_facts, collection_json, collection_table, show


def _add_create(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--bundle", required=True, type=utf8, metavar="NAME", help="a bundle that the service serves")
    parser.add_argument(
        "--keep",
        choices=[retention.value for retention in ImageRetention],
        default=ImageRetention.ORIGINAL,
        help="what to keep of the images: an original can be shown, explained and moved to another bundle, a thumbnail "
        "of 256 px shown and explained (default: %(default)s)",
    )
    parser.add_argument(
        "--attribute",
        action="append",
        default=[],
        type=_attribute,
        metavar="NAME=TYPE",
        help=f"declare an attribute ({', '.join(AttributeType)}); give it as often as needed. One that is not declared "
        "gets its type from its first value",
    )
    parser.add_argument(
        "--index",
        choices=[kind.value for kind in IndexKind],
        default=IndexKind.FLAT,
        help="flat compares every item; approximate is for large collections, and tells what it may miss "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--target-recall",
        type=_recall,
        metavar="X",
        help=f"what an approximate index must reach at both ends (default: {IndexSettings.target_recall:g})",
    )
    add_client_arguments(parser)
    parser.epilog = (
        "examples:\n"
        "  farnear collections create cells --bundle elpv\n"
        "  farnear collections create cells --bundle elpv --attribute severity=number --attribute taken=timestamp\n"
        "  farnear collections create frames --bundle sewer --keep none --index approximate --target-recall 0.95"
    )


def _create(arguments: argparse.Namespace) -> int:
    names = [name for name, _ in arguments.attribute]
    if len(set(names)) < len(names):
        raise RefusedError(f"--attribute: a name is there twice: {', '.join(names)}")
    if arguments.target_recall is not None and arguments.index != IndexKind.APPROXIMATE:
        raise RefusedError(f"--target-recall {arguments.target_recall:g}: only with --index {IndexKind.APPROXIMATE}")
    index = IndexSettings(
        kind=IndexKind(arguments.index), target_recall=arguments.target_recall or IndexSettings.target_recall
    )
    with connect(arguments) as client:
        collection = client.create_collection(
            arguments.name,
            bundle=arguments.bundle,
            image_retention=ImageRetention(arguments.keep),
            attributes=dict(arguments.attribute),
            index=index,
        )
    show(arguments.json, collection_json(collection), collection_table([collection]))
    return 0


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_client_arguments(parser)
    parser.epilog = "example:\n  farnear collections list --json"


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        collections = list(client.list_collections())
    show(arguments.json, [collection_json(collection) for collection in collections], collection_table(collections))
    return 0


def _add_one(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_client_arguments(parser)
    parser.epilog = f"example:\n  {parser.prog} cells"


def _get(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        collection = client.get_collection(arguments.name)
    show(arguments.json, collection_json(collection), collection_facts(collection))
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        count = client.delete_collection(arguments.name)
    facts = {"name": arguments.name, "deleted_item_count": count}
    show(arguments.json, facts, f"deleted {arguments.name} with {count} items")
    return 0


def _add_activate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", type=utf8, metavar="COLLECTION", help="the collection to move")
    parser.add_argument("bundle", type=utf8, metavar="BUNDLE", help="the bundle to move it to; the service serves it")
    add_client_arguments(parser)
    parser.epilog = (
        "Every kept original is embedded anew in the background, and then all vectors are swapped at once; until then\n"
        "the old ones answer. Ctrl-C ends the waiting, not the move: run it again to go on waiting.\n\n"
        "example:\n  farnear activate cells elpv-2"
    )


def _activate(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    with connect(arguments) as client:
        state = client.get_collection(arguments.collection)
        if state.activation is None or state.activation.bundle != arguments.bundle:
            state = client.activate_bundle(arguments.collection, arguments.bundle)
        move = state.activation
        with tqdm(desc=f"embedding {arguments.collection} anew", unit=" items", disable=None) as bar:
            for state in client.watch_activation(arguments.collection, interval=ACTIVATION_POLL_S):
                if state.activation is not None:
                    bar.total = state.activation.item_count
                    bar.update(state.activation.done_count - bar.n)
    if move is not None and state.bundle_digest != move.bundle_digest:
        raise RefusedError(
            f"{arguments.collection} is still under {state.bundle}: the move to {arguments.bundle} came to no end"
            + (f" ({state.activation_error})" if state.activation_error else "; the service's log says why")
        )
    show(arguments.json, collection_json(state), collection_table([state]))
    return 0


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=utf8, metavar="NAME", help="the collection's name")


def _attribute(argument: str) -> tuple[str, AttributeType]:
    name, _, kind = utf8(argument).partition("=")
    if not name or kind not in list(AttributeType):
        raise argparse.ArgumentTypeError(f"{argument!r} is not NAME=TYPE with one of {', '.join(AttributeType)}")
    return name, AttributeType(kind)


def _recall(argument: str) -> float:
    recall = number(argument)
    if not 0 < recall < 1:
        raise argparse.ArgumentTypeError(f"{argument} is not above 0 and below 1")
    return recall


COLLECTIONS = group(
    name="collections",
    help="make, list and delete collections",
    actions=(
        Command(
            name="create",
            help="make an empty collection under a model bundle",
            add_arguments=_add_create,
            run=_create,
        ),
        Command(name="list", help="list all collections", add_arguments=_add_list, run=_list),
        Command(name="get", help="tell what is known of a collection", add_arguments=_add_one, run=_get),
        Command(
            name="delete",
            help="delete a collection with its items, kept images, interactions and map",
            add_arguments=_add_one,
            run=_delete,
        ),
    ),
    examples="examples:\n  farnear collections create cells --bundle elpv\n  farnear collections list --json",
)
ACTIVATE = Command(
    name="activate", help="move a collection to another bundle", add_arguments=_add_activate, run=_activate
)
