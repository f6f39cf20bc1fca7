"""What commands print: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from farnear.attributes import Attributes, AttributeValue
from farnear.inputs import IndexKind, Interaction
from farnear.results import Certificate, Collection, Hit, Item

_Cell = str | int | float | None

_HIT_KEYS = ("rank", "item_id", "similarity", "label", "cluster")


def show(as_json: bool, document: Any, text: str) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Writes the document as JSON, or else the text, to stdout; what its encoding lacks is escaped."""
    written = json.dumps(document, indent=2, allow_nan=False) if as_json else text
    encoding = sys.stdout.encoding
    sys.stdout.write(written.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def table(headers: Sequence[str], rows: Iterable[Sequence[_Cell]]) -> str:
    """Lays out rows under headers, numbers to the right; a missing value and an empty text show as '-'."""
    body = [list(row) for row in rows]
    texts = [list(headers), *([cell_text(cell) for cell in row] for row in body)]
    widths = [max(len(line[column]) for line in texts) for column in range(len(headers))]
    to_right = [_is_numeric(row[column] for row in body) for column in range(len(headers))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in texts
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Lays out names and what they stand for, a line each."""
    entries = list(pairs)
    width = max(len(name) for name, _ in entries)
    return "\n".join(f"{name.ljust(width)}  {cell_text(value)}" for name, value in entries)


def cell_text(cell: _Cell) -> str:
    """What stands for a cell: a label may hold control characters, which must not reach the terminal."""
    if isinstance(cell, float):
        return f"{cell:.4f}"
    if cell is None or cell == "":
        return "-"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(cell))


def cluster_name(cluster: int | None) -> int | str | None:
    """A cluster's number, or that it is the noise; None while no map is fitted."""
    return "noise" if cluster == -1 else cluster


def value_text(value: AttributeValue) -> str:
    """The value of an attribute for people."""
    match value:
        case str():
            return value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case bool():
            return "true" if value else "false"
        case _:
            return repr(value).removesuffix(".0")


def value_json(value: AttributeValue) -> str | float | bool:
    """The value of an attribute for machines: a time as ISO 8601 writes it."""
    return value.isoformat() if isinstance(value, datetime) else value


def collection_table(collections: Iterable[Collection]) -> str:
    """One line a collection."""
    return table(
        ("name", "bundle", "items", "made"),
        [(c.name, _bundle(c), c.item_count, _time(c.create_time)) for c in collections],
    )


def collection_facts(collection: Collection) -> str:
    """All that is known of a collection, a line each."""
    index = collection.index
    recall = f", target recall {index.target_recall:g}" if index.kind is IndexKind.APPROXIMATE else ""
    return facts(
        [
            ("name", collection.name),
            ("bundle", _bundle(collection)),
            ("digest", collection.bundle_digest),
            ("items", f"{collection.item_count}"),
            ("dimension", f"{collection.embedding_dim}"),
            ("made", _time(collection.create_time)),
            ("images kept", collection.image_retention),
            ("index", index.kind + recall),
            *((name, kind) for name, kind in collection.attributes.items()),
        ]
    )


def collection_json(collection: Collection) -> dict[str, Any]:
    """The stable keys of a collection."""
    return {**asdict(collection), "create_time": collection.create_time.isoformat()}


def item_table(items: Iterable[Item]) -> str:
    """One line an item."""
    return table(
        ("cluster", "label", "attributes", "item"),
        [(cluster_name(item.cluster), item.label, _attributes(item.attributes), item.item_id) for item in items],
    )


def item_facts(item: Item) -> str:
    """All that is known of an item, a line each."""
    return facts(
        [
            ("item", item.item_id),
            ("label", item.label),
            ("cluster", str(cluster_name(item.cluster) if item.cluster is not None else "")),
            ("made", _time(item.create_time)),
            ("image", "kept" if item.has_image else "not kept"),
            ("source", item.source_uri),
            *((name, value_text(value)) for name, value in item.attributes.items()),
        ]
    )


def item_json(item: Item) -> dict[str, Any]:
    """The stable keys of an item."""
    attributes = {name: value_json(value) for name, value in item.attributes.items()}
    return {**asdict(item), "create_time": item.create_time.isoformat(), "attributes": attributes}


def hit_table(hits: Iterable[Hit], *, measure: str = "similarity") -> str:
    """One line a hit, in order of rank."""
    return table(
        ("rank", measure, "cluster", "label", "item"),
        [(hit.rank, hit.similarity, cluster_name(hit.cluster), hit.label, hit.item_id) for hit in hits],
    )


def hits_json(hits: Iterable[Hit]) -> list[dict[str, Any]]:
    """The stable keys of hits: rank, item_id, similarity, label, cluster (null while unknown)."""
    return [{name: getattr(hit, name) for name in _HIT_KEYS} for hit in hits]


def certificate_text(certificate: Certificate) -> str:
    """What is promised of a list that is not exact."""
    return (
        f"not exact: recall {certificate.recall:.4f} at k {certificate.calibration_k}, measured on "
        f"{certificate.calibration_queries} queries, {_time(certificate.calibration_time)}"
    )


def certificate_json(certificate: Certificate) -> dict[str, Any]:
    """The stable keys of a certificate; of an exact list, what a calibration would tell is null."""
    time = certificate.calibration_time
    return {**asdict(certificate), "calibration_time": None if time is None else time.isoformat()}


def interaction_table(interactions: Iterable[Interaction]) -> str:
    """One line an interaction."""
    return table(
        ("time", "opinion", "item"), [(_time(entry.time), entry.opinion, entry.item_id) for entry in interactions]
    )


def interaction_json(interaction: Interaction) -> dict[str, Any]:
    """The stable keys of an interaction."""
    return {**asdict(interaction), "time": None if interaction.time is None else interaction.time.isoformat()}


def _is_numeric(column: Iterable[_Cell]) -> bool:
    cells = list(column)
    return any(isinstance(cell, int | float) for cell in cells) or not any(isinstance(cell, str) for cell in cells)


def _bundle(collection: Collection) -> str:
    move = collection.activation
    if move is None:
        return collection.bundle
    return f"{collection.bundle} -> {move.bundle} ({move.done_count} of {move.item_count})"


def _attributes(attributes: Attributes) -> str:
    return ", ".join(f"{name}={value_text(value)}" for name, value in attributes.items())


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M}"
