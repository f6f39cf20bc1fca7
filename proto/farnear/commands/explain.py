"""The command that draws heat maps."""

import argparse

from farnear.arguments import add_out_argument, add_query_arguments, check_out, connect, read_query, write_out
from farnear.command import Command
from farnear.inputs import ItemId
from farnear.tables import show


def _add(parser: argparse.ArgumentParser) -> None:
    add_query_arguments(parser)
    add_out_argument(parser, "PNG")
    parser.epilog = "example:\n  farnear explain id:crack/017.png --collection cells --out heat.png"


def _explain(arguments: argparse.Namespace) -> int:
    check_out(arguments.out)
    query = read_query(arguments.image)
    with connect(arguments) as client:
        heatmap = client.heatmap(arguments.collection, query, overlay=True)
    assert heatmap.overlay_png is not None, "an overlay was asked for"
    write_out(arguments.out, heatmap.overlay_png)
    facts = {
        "item_id": query.value if isinstance(query, ItemId) else None,
        "out": str(arguments.out),
        "height": heatmap.height,
        "width": heatmap.width,
        "maximum": max(heatmap.values),
    }
    show(arguments.json, facts, f"{facts['out']}: {facts['height']} x {facts['width']}, maximum {facts['maximum']:.4g}")
    return 0


EXPLAIN = Command(
    name="explain", help="draw where in an image its embedding comes from", add_arguments=_add, run=_explain
)
