"""What commands print of clusters: tables for people, JSON for machines."""

import math
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from farnear.attributes import AttributeValue
from farnear.results import (
    Assignment,
    AttributeSummary,
    ClassCount,
    ClusterChange,
    ClusterDetails,
    ClusterEvent,
    Clustering,
    EpsSuggestion,
    EventBatch,
    Fit,
    MapInfo,
)
from farnear.tables import cell_text, cluster_name, facts, table, value_json, value_text

_CURVE_COLUMNS, _CURVE_LINES = 60, 12


def cluster_table(clustering: Clustering) -> str:
    """The map in a line, one line a cluster, and the noise."""
    clusters = table(
        ("cluster", "size", "core", "medoid", "classes"),
        [
            (cluster.cluster, cluster.size, cluster.core_count, cluster.medoid_item_id, class_text(cluster.classes))
            for cluster in clustering.clusters
        ],
    )
    return f"{_map_text(clustering.map)}\n{clusters}\nnoise: {clustering.noise_count}"


def class_text(classes: Iterable[ClassCount]) -> str:
    """The classes of a cluster in a line."""
    return ", ".join(f"{cell_text(entry.label)} {entry.count}" for entry in classes)


def details_text(details: ClusterDetails) -> str:
    """All that is known of a cluster: facts, attributes, and the members that were asked for."""
    cluster = details.cluster
    is_noise = cluster.cluster == -1
    told = [
        ("cluster", str(cluster_name(cluster.cluster))),
        ("size", f"{cluster.size}" if is_noise else f"{cluster.size}, {cluster.core_count} of them core points"),
        ("classes", class_text(cluster.classes)),
    ]
    if not is_noise:
        near = ", ".join(f"{other.cluster} at {other.distance:.2f}" for other in details.nearest)
        told += [
            ("medoid", cluster.medoid_item_id),
            ("density", f"{details.density:.3g} items a square map unit"),
            ("nearest", near),
        ]
    parts = [f"{_map_text(details.map)}\n{facts(told)}"]
    if details.attributes:
        parts.append(table(("attribute", "members", "values"), map(_attribute_row, details.attributes)))
    shown = len(details.member_item_ids)
    first = "" if shown >= cluster.size else f", the first {shown} of {cluster.size}"
    parts.append("\n".join([f"members{first}:", *(f"  {cell_text(item_id)}" for item_id in details.member_item_ids)]))
    return "\n\n".join(parts)


def details_json(details: ClusterDetails) -> dict[str, Any]:
    """The stable keys of a cluster and what is in it."""
    return {**asdict(details), "attributes": list(map(_attribute_json, details.attributes))}


def attribute_text(summary: AttributeSummary) -> str:
    """What the members of a cluster say of an attribute, without its name."""
    if summary.least is not None and summary.median is not None and summary.greatest is not None:
        least, median, greatest = map(value_text, (summary.least, summary.median, summary.greatest))
        return least if least == greatest else f"{least} to {greatest}, median {median}"
    return ", ".join(f"{value_text(entry.value)} {entry.count}" for entry in summary.values)


def fit_text(fit: Fit) -> str:
    """A fresh view of a collection in two lines."""
    return f"{_map_text(fit.map)}\n{_found(fit.cluster_count, fit.noise_count)}"


def suggestion_text(suggestion: EpsSuggestion, collection: str) -> str:
    """An eps, what it would find, the curve that it was read from, and the command to use it."""
    standing, min_samples = suggestion.map, suggestion.min_samples
    if not suggestion.eps:
        return f"{_map_text(standing)}\nno eps to suggest: all items lie in one place, where any will do"
    density = "" if min_samples == standing.min_samples else f" --min-samples {min_samples}"
    return "\n".join(
        (
            _map_text(standing),
            f"eps {suggestion.eps:.4g}, min_samples {min_samples}: "
            f"{_found(suggestion.cluster_count, suggestion.noise_count)}",
            "",
            f"how far the {min_samples} nearest of an item reach, itself counted, in map units",
            _curve(suggestion),
            "",
            f"to use it: farnear recluster --collection {shlex.quote(collection)} --eps {suggestion.eps:g}{density}",
        )
    )


def event_text(event: ClusterEvent) -> str:
    """What happened to a cluster, in a sentence without its time."""
    parents = ", ".join(map(str, event.parents))
    match event.change:
        case ClusterChange.BORN:
            return f"cluster {event.cluster} is new: {event.size} items"
        case ClusterChange.GROWN:
            return f"cluster {event.cluster} grew from {event.size_before} to {event.size} items"
        case ClusterChange.SHRUNK:
            return f"cluster {event.cluster} shrank from {event.size_before} to {event.size} items"
        case ClusterChange.MERGED:
            taken_up = ", ".join(str(parent) for parent in event.parents if parent != event.cluster)
            return f"cluster {event.cluster} took up {taken_up}: {event.size} items, {event.size_before} before"
        case ClusterChange.SPLIT:
            return f"cluster {event.cluster} split off from {parents}: {event.size} items"
        case ClusterChange.DISSOLVED:
            return f"cluster {event.cluster} dissolved: it had {event.size_before} items"


def event_lines(batch: EventBatch) -> Iterable[str]:
    """One line an event, with its time in UTC."""
    return (f"{event.time:%Y-%m-%d %H:%M:%S}  {event_text(event)}" for event in batch.events)


def batch_json(batch: EventBatch) -> dict[str, Any]:
    """The stable keys of events and the token to go on behind them."""
    events = [{**asdict(event), "time": event.time.isoformat()} for event in batch.events]
    return {"events": events, "resume_token": batch.resume_token}


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


def _map_text(standing: MapInfo) -> str:
    return (
        f"map {standing.version}: {standing.item_count} items, {standing.pending_count} pending, eps {standing.eps:g}, "
        f"min_samples {standing.min_samples}, perplexity {standing.perplexity:g}, drift {standing.drift:.2f}"
    )


def _found(cluster_count: int, noise_count: int) -> str:
    return f"{cluster_count} clusters, {noise_count} items of noise"


def _attribute_row(summary: AttributeSummary) -> tuple[str, int, str]:
    return summary.name, summary.count, attribute_text(summary)


def _attribute_json(summary: AttributeSummary) -> dict[str, Any]:
    def bound(value: AttributeValue | None) -> str | float | bool | None:
        return None if value is None else value_json(value)

    return {
        "name": summary.name,
        "count": summary.count,
        "values": [{"value": value_json(entry.value), "count": entry.count} for entry in summary.values],
        "least": bound(summary.least),
        "median": bound(summary.median),
        "greatest": bound(summary.greatest),
    }


def _curve(suggestion: EpsSuggestion) -> str:
    """The k-distance curve as a plot of text, with a line at the suggested eps."""
    distances = suggestion.distances
    last = len(distances) - 1
    top = distances[-1]
    lines = [[" "] * _CURVE_COLUMNS for _ in range(_CURVE_LINES)]

    def line_of(distance: float) -> int:
        return round((1 - distance / top) * (_CURVE_LINES - 1))

    knee = line_of(suggestion.eps)
    lines[knee] = ["-"] * _CURVE_COLUMNS
    for column in range(_CURVE_COLUMNS):
        lines[line_of(distances[round(column * last / (_CURVE_COLUMNS - 1))])][column] = "*"
    named = {0: f"{top:.3g}", _CURVE_LINES - 1: "0", knee: f"eps {suggestion.eps:.3g}"}
    width = max(map(len, named.values()))
    return "\n".join(
        (
            *(f"{named.get(number, ''):>{width}} |{''.join(line).rstrip()}" for number, line in enumerate(lines)),
            f"{'':{width}} +{'-' * _CURVE_COLUMNS}",
            f"{'':{width}}  {'nearest together':<{_CURVE_COLUMNS - 16}}{'farthest apart':>16}",
        )
    )
