"""The demo: images -> bundle -> server -> similar, divergent, clusters, heat maps -> a report."""

import json
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from farnear.client import Client
from farnear.command import RefusedError
from farnear.demo import cells, report, summary
from farnear.demo.conditions import observe
from farnear.demo.findings import ClusterRow, Findings, Question, Score, Training
from farnear.demo.server import serving
from farnear.demo.training import train
from farnear.demo.workspace import Workspace
from farnear.elapsed import elapsed
from farnear.errors import AlreadyExistsError
from farnear.images import list_images
from farnear.indexing import index_images
from farnear.inputs import HeatmapPicture, ItemId
from farnear.report.survey import nearest_members
from farnear.results import Clustering
from farnear.tables import show

COLLECTION = "cells"
BUNDLE = "elpv"

_HITS = 10
_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What decides the model of a run."""

    iterations: int
    image_size: int
    seed: int


def demo(settings: TrainingSettings, *, work: Path, report_folder: Path, reuse: bool, as_json: bool) -> None:
    """Run the demo from the images to the report and show a summary on stdout; progress goes to stderr.

    Args:
        settings: Of the training; its seed also draws the cells that are asked about.
        work: Where images, bundle and the service's data go; cleared at the start.
        report_folder: Where the report goes.
        reuse: Whether to clear nothing and keep the model and the index where an earlier run had the same settings.
        as_json: Whether the summary is JSON.

    Raises:
        RefusedError: A folder may not be used, or training, server or indexing did not come to their end.
    """
    began = time.perf_counter()
    originals = cells.source()
    report.check(report_folder)
    workspace = Workspace(work)
    is_kept = workspace.open(asdict(settings), reuse=reuse)

    class_counts = cells.lay_out(originals, workspace.cells)
    _say(f"{sum(class_counts.values()):,} solar cells of {len(class_counts)} classes in {workspace.cells}")

    if is_kept:
        _say(f"reusing the bundle {workspace.bundle}")
    else:
        record = train(workspace.cells, workspace.bundle, **asdict(settings))
        workspace.training_record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    training = _read_training(workspace.training_record, settings, is_reused=is_kept)
    held_out = frozenset(json.loads((workspace.bundle / "split.json").read_text(encoding="utf-8"))["test"])

    with (
        serving(data=workspace.data, bundle=workspace.bundle, name=BUNDLE, log=workspace.server_log) as address,
        Client(address) as client,
    ):
        _say(f"serving {workspace.data} on {address}, logging to {workspace.server_log}")
        _index(client, workspace.cells)
        with elapsed("fitting the map"):
            client.recluster(COLLECTION)
        clustering = client.clusters(COLLECTION)
        points = tuple(client.map_points(COLLECTION))
        questions = _ask(client, held_out, seed=settings.seed)
        rows = _explain(client, clustering)

    findings = Findings(
        images=workspace.cells,
        class_counts=class_counts,
        held_out=held_out,
        training=training,
        questions=questions,
        clustering=clustering,
        points=points,
        rows=rows,
        conditions=observe(seconds=time.perf_counter() - began),
    )
    page = report.write(findings, report_folder)
    show(
        as_json,
        summary.document(findings, data=workspace.data, collection=COLLECTION, page=page),
        summary.text(findings, data=workspace.data, collection=COLLECTION, page=page),
    )


def _read_training(record: Path, settings: TrainingSettings, *, is_reused: bool) -> Training:
    facts: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    evaluation = facts["evaluation"]
    return Training(
        digest=facts["digest"],
        learned=Score.read(evaluation),
        raw_pixels=Score.read(evaluation["raw_pixels"]),
        chance=Score.read(evaluation["chance"]),
        iterations=settings.iterations,
        image_size=settings.image_size,
        seed=settings.seed,
        seconds_per_step=facts["seconds_per_step"],
        seconds=facts["seconds"],
        is_reused=is_reused,
    )


def _index(client: Client, folder: Path) -> None:
    try:
        client.create_collection(COLLECTION, bundle=BUNDLE)
    except AlreadyExistsError:
        _say(f"the collection {COLLECTION} is there: what is in it stays")
    outcome = index_images(client, COLLECTION, list_images(folder))
    if outcome.refused:
        raise RefusedError(f"the service refused {len(outcome.refused)} of the images")
    _say(f"indexed {outcome.indexed:,} images, {outcome.skipped:,} were there")


def _ask(client: Client, held_out: Iterable[str], *, seed: int) -> tuple[Question, ...]:
    """Both ends for one held-out image of each class."""
    by_class: dict[str, list[str]] = {}
    for item_id in sorted(held_out):
        by_class.setdefault(item_id.partition("/")[0], []).append(item_id)
    draw = random.Random(seed)
    return tuple(
        Question(item_id=chosen, label=label, result=client.both(COLLECTION, ItemId(chosen), k=_HITS))
        for label, chosen in [(label, draw.choice(item_ids)) for label, item_ids in by_class.items()]
    )


def _explain(client: Client, clustering: Clustering) -> tuple[ClusterRow, ...]:
    """The medoids of the largest clusters, each with the members nearest to it, and the heat maps of all of them."""
    rows = []
    for cluster in tqdm(clustering.clusters[:_ROWS], desc="explaining", unit=" rows", disable=None):
        item_ids = tuple(nearest_members(client, COLLECTION, cluster))
        overlays = []
        queries = [ItemId(item_id) for item_id in item_ids]
        for explanation in client.explain(COLLECTION, queries, picture=HeatmapPicture.OVERLAY):
            if explanation.error is not None:
                raise explanation.error
            assert explanation.heatmap is not None
            assert explanation.heatmap.picture_png is not None, "an overlay was asked for"
            overlays.append(explanation.heatmap.picture_png)
        rows.append(ClusterRow(cluster=cluster, item_ids=item_ids, overlays=tuple(overlays)))
    return tuple(rows)


def _say(text: str) -> None:
    sys.stderr.write(f"farnear demo: {text}\n")
