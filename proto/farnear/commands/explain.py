"""The command that draws heat maps."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from farnear.arguments import (
    add_collection_arguments,
    add_out_argument,
    check_out,
    connect,
    count,
    image,
    read_query,
    write_out,
)
from farnear.command import Command, RefusedError
from farnear.images import list_images
from farnear.inputs import ExplainTarget, HeatmapPicture, ItemId
from farnear.tables import show

if TYPE_CHECKING:
    from farnear.client import Client
    from farnear.heatmaps.questions import Subject


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "image",
        nargs="?",
        type=image,
        metavar="IMAGE",
        help="an image file, '-' for stdin, id:ITEM for a stored item, or a folder of images",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--with", dest="other", type=image, metavar="OTHER", help="what makes the two alike, and unlike")
    what.add_argument(
        "--cluster",
        type=count,
        metavar="N",
        help="in place of IMAGE: the medoid of a cluster and the nine members nearest to it",
    )
    parser.add_argument("--tie", action="store_true", help="what makes each image like the medoid of its cluster")
    add_collection_arguments(parser)
    add_out_argument(parser, "FILE")
    parser.epilog = (
        "FILE is a PNG, or where its name ends in .html one page with its pictures inside. The PNG of one image is\n"
        "its heat map over it. All else is a sheet of images with heat maps below them, by the extra 'report'.\n"
        "The exit code is 1 if any image of a folder was refused; the others are drawn all the same.\n\n"
        "examples:\n"
        "  farnear explain id:crack/017.png --collection cells --out heat.png\n"
        "  farnear explain photo.jpg --with id:crack/017.png --collection cells --out pair.png\n"
        "  farnear explain --cluster 3 --collection cells --out cluster-3.png\n"
        "  farnear explain photos/ --collection cells --out photos.html"
    )


def _explain(arguments: argparse.Namespace) -> int:
    check_out(arguments.out)
    if (arguments.image is None) == (arguments.cluster is None):
        raise RefusedError("name what to explain: IMAGE, or --cluster N")
    is_folder = arguments.image is not None and not arguments.image.startswith("id:") and Path(arguments.image).is_dir()
    if arguments.other is not None and is_folder:
        raise RefusedError(f"--with: {arguments.image} is a folder; a pair is two images")
    with connect(arguments) as client:
        if arguments.other is not None:
            return _pair(client, arguments)
        if arguments.cluster is not None:
            return _cluster(client, arguments)
        if is_folder:
            return _folder(client, arguments)
        return _image(client, arguments)


def _image(client: "Client", arguments: argparse.Namespace) -> int:
    query, target = read_query(arguments.image), _target(arguments)
    if arguments.out.suffix == ".html":
        from farnear.heatmaps.questions import subject_of

        subject = subject_of(arguments.image, query)
        return _sheet(client, arguments, [subject], title=subject.name)
    (found,) = client.explain(arguments.collection, [query], target=target, picture=HeatmapPicture.OVERLAY)
    if found.error is not None:
        raise found.error
    assert found.heatmap is not None, "it was not refused"
    assert found.heatmap.picture_png is not None, "an overlay was asked for"
    write_out(arguments.out, found.heatmap.picture_png)
    facts = {
        "item_id": query.value if isinstance(query, ItemId) else None,
        "out": str(arguments.out),
        "height": found.heatmap.height,
        "width": found.heatmap.width,
        "maximum": found.heatmap.greatest,
    }
    show(arguments.json, facts, f"{facts['out']}: {facts['height']} x {facts['width']}, maximum {facts['maximum']:.4g}")
    return 0


def _folder(client: "Client", arguments: argparse.Namespace) -> int:
    from farnear.heatmaps.questions import Subject

    try:
        images = list_images(Path(arguments.image))
    except OSError as error:
        raise RefusedError(f"cannot read {error.filename or arguments.image}: {error.strerror}") from error
    except ValueError as error:
        raise RefusedError(str(error)) from error
    subjects = [Subject(name=found.item_id, read=found.read) for found in images]
    return _sheet(client, arguments, subjects, title=Path(arguments.image).resolve().name)


def _cluster(client: "Client", arguments: argparse.Namespace) -> int:
    from farnear.heatmaps.questions import Subject
    from farnear.report.survey import nearest_members

    if arguments.cluster == -1:
        raise RefusedError("--cluster: -1 is the noise, which has no medoid")
    cluster = client.cluster(arguments.collection, arguments.cluster, limit=1).cluster
    subjects = [Subject(name=item_id) for item_id in nearest_members(client, arguments.collection, cluster)]
    return _sheet(client, arguments, subjects, title=f"Cluster {cluster.cluster} of {arguments.collection}")


def _sheet(client: "Client", arguments: argparse.Namespace, subjects: "Sequence[Subject]", *, title: str) -> int:
    from farnear.heatmaps.questions import of_images
    from farnear.heatmaps.sheet import write

    sheet, refused = of_images(client, arguments.collection, subjects, target=_target(arguments), title=title)
    if len(refused) == len(subjects):
        raise RefusedError(f"{refused[0].item_id}: {refused[0].error}")
    write(sheet, arguments.out)
    for one in refused:
        sys.stderr.write(f"farnear: refused {one.item_id}: {' '.join(one.error.split())}\n")
    explained = len(subjects) - len(refused)
    facts = {"out": str(arguments.out), "explained": explained, "refused": [asdict(one) for one in refused]}
    show(arguments.json, facts, f"{arguments.out}: explained {explained}, refused {len(refused)}")
    return 1 if refused else 0


def _pair(client: "Client", arguments: argparse.Namespace) -> int:
    from farnear.heatmaps.questions import of_pair, subject_of
    from farnear.heatmaps.sheet import write

    sides = [subject_of(name, read_query(name)) for name in (arguments.image, arguments.other)]
    sheet, similarity = of_pair(client, arguments.collection, *sides)
    write(sheet, arguments.out)
    facts = {"out": str(arguments.out), "similarity": similarity}
    show(arguments.json, facts, f"{arguments.out}: cosine similarity {similarity:.4f}")
    return 0


def _target(arguments: argparse.Namespace) -> ExplainTarget:
    return ExplainTarget.CLUSTER if arguments.tie else ExplainTarget.SELF


EXPLAIN = Command(
    name="explain",
    help="draw where in images their embedding, or their likeness, comes from",
    add_arguments=_add,
    run=_explain,
    extra="report",
)
