"""What commands print: tables for people, JSON for machines."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from farnear.results import Assignment, Clustering, Collection, Hit

_Cell = str | int | float | None


def show(as_json: bool, document: Any, text: str) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Writes the document as JSON, or else the text, to stdout; what its encoding lacks is escaped."""
    written = json.dumps(document, indent=2, allow_nan=False) if as_json else text
    encoding = sys.stdout.encoding
    sys.stdout.write(written.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def table(headers: Sequence[str], rows: Iterable[Sequence[_Cell]]) -> str:
    """Lays out rows under headers, numbers to the right; a missing value and an empty text show as '-'."""
    body = [list(row) for row in rows]
    texts = [list(headers), *([_text(cell) for cell in row] for row in body)]
    widths = [max(len(line[column]) for line in texts) for column in range(len(headers))]
    to_right = [_is_numeric(row[column] for row in body) for column in range(len(headers))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in texts
    )


def collection_table(collections: Iterable[Collection]) -> str:
    """One line a collection."""
    return table(
        ("name", "bundle", "items", "made"),
        [(c.name, c.bundle, c.item_count, f"{c.create_time:%Y-%m-%d %H:%M}") for c in collections],
    )


def collection_json(collection: Collection) -> dict[str, Any]:
    """The stable keys of a collection."""
    return {**asdict(collection), "create_time": collection.create_time.isoformat()}


def hit_table(hits: Iterable[Hit]) -> str:
    """One line a hit, in order of rank."""
    return table(
        ("rank", "similarity", "cluster", "label", "item"),
        [(hit.rank, hit.similarity, _cluster_name(hit.cluster), hit.label, hit.item_id) for hit in hits],
    )


def hits_json(hits: Iterable[Hit]) -> list[dict[str, Any]]:
    """The stable keys of hits: rank, item_id, similarity, label, cluster (null while unknown)."""
    return [asdict(hit) for hit in hits]


def cluster_table(clustering: Clustering) -> str:
    """The map in a line, one line a cluster, and the noise."""
    facts = clustering.map
    clusters = table(
        ("cluster", "size", "core", "medoid", "classes"),
        [
            (
                cluster.cluster,
                cluster.size,
                cluster.core_count,
                cluster.medoid_item_id,
                ", ".join(f"{_text(entry.label)} {entry.count}" for entry in cluster.classes),
            )
            for cluster in clustering.clusters
        ],
    )
    return (
        f"map {facts.version}: {facts.item_count} items, {facts.pending_count} pending, eps {facts.eps:g}, "
        f"min_samples {facts.min_samples}, perplexity {facts.perplexity:g}\n{clusters}\nnoise: {clustering.noise_count}"
    )


def assignment_text(assignment: Assignment) -> str:
    """The assignment in a line."""
    place = f"at ({assignment.x:.2f}, {assignment.y:.2f}) on map {assignment.map_version}"
    if math.isinf(assignment.core_distance):
        return f"noise, {place}, which has no core point"
    name = "noise" if assignment.cluster == -1 else f"cluster {assignment.cluster}"
    return f"{name}, {place}, {assignment.core_distance:.2f} map units from the nearest core point"


def assignment_json(assignment: Assignment) -> dict[str, Any]:
    """The stable keys of an assignment: JSON has no infinity, so an infinite core_distance is null."""
    infinite = math.isinf(assignment.core_distance)
    return {**asdict(assignment), "core_distance": None if infinite else assignment.core_distance}


def _is_numeric(column: Iterable[_Cell]) -> bool:
    cells = list(column)
    return any(isinstance(cell, int | float) for cell in cells) or not any(isinstance(cell, str) for cell in cells)


def _cluster_name(cluster: int | None) -> int | str | None:
    return "noise" if cluster == -1 else cluster


def _text(cell: _Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.4f}"
    if cell is None or cell == "":
        return "-"
    # A label may hold control characters, which must not reach the terminal.
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(cell))
