"""The drawings of the map and of the classes in clusters, each as a PNG."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from farnear.report.colours import LIGHT, OTHER, Style, Theme, style
from farnear.report.contingency import Contingency
from farnear.results import Clustering, MapPoint

_NUMBERED = 60
_LONGEST = 24
_LEGEND_LINES = 5
_NARROW = 20


def map_by_cluster(points: Sequence[MapPoint], clustering: Clustering, theme: Theme = LIGHT) -> bytes:
    """Draws the map coloured by cluster, with the number of each of the largest at its medoid.

    Args:
        points: The map, or some of it.
        clustering: Its clusters, largest first, whose medoids are numbered if they are among the points.
        theme: Its paper and ink.
    """
    figure, axes = _axes(points, clustering.map.item_count, theme)
    xy, numbers = _positions(points), np.array([point.cluster for point in points])
    size = _size(len(points))
    noise = Style(colour=theme.noise, marker="o")
    groups = [(xy[numbers == -1], noise, f"noise ({clustering.noise_count:,})", size / 2)]
    for position, cluster in enumerate(clustering.clusters):
        label = f"{cluster.cluster} ({cluster.size:,})"
        groups.append((xy[numbers == cluster.cluster], style(position), label, size))
    for members, look, label, points_size in groups:
        _scatter(axes, members, look, label, points_size, theme)
    places = {point.item_id: (point.x, point.y) for point in points}
    for cluster in clustering.clusters[:_NUMBERED]:
        if cluster.medoid_item_id in places:
            x, y = places[cluster.medoid_item_id]
            text = axes.text(x, y, str(cluster.cluster), ha="center", va="center", fontsize=12, fontweight="bold")
            text.set_color(theme.ink)
            text.set_path_effects([withStroke(linewidth=3, foreground=theme.paper)])
    return _png(figure, axes, theme)


def map_by_class(
    points: Sequence[MapPoint], counts: Mapping[str, int], styles: Mapping[str, Style], theme: Theme = LIGHT
) -> bytes:
    """Draws the map coloured by class.

    Args:
        points: The map, or some of it.
        counts: Items of each class on the whole map, the empty label being those without one.
        styles: Of the classes; those that have none are drawn as one, in grey.
        theme: Its paper and ink.
    """
    total = sum(counts.values())
    figure, axes = _axes(points, total, theme)
    xy, labels = _positions(points), np.array([point.label for point in points])
    size = _size(len(points))
    others = [label for label in counts if label and label not in styles]
    if others:
        label = f"{len(others):,} other classes ({sum(counts[name] for name in others):,})"
        _scatter(axes, xy[np.isin(labels, others)], OTHER, label, size, theme)
    if counts.get(""):
        nameless = Style(colour=theme.noise, marker="o")
        _scatter(axes, xy[labels == ""], nameless, f"no class ({counts['']:,})", size / 2, theme)
    for name, look in styles.items():
        if counts.get(name):
            # Rare classes over common ones, so that they can be seen.
            above = 3 - counts[name] / total
            _scatter(axes, xy[labels == name], look, f"{_short(name)} ({counts[name]:,})", size, theme, zorder=above)
    return _png(figure, axes, theme)


def class_counts(contingency: Contingency, theme: Theme = LIGHT) -> bytes:
    """Draws the counts of classes in clusters; shade: share of the cluster."""
    counts = contingency.counts
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows, columns = counts.shape
    figure = Figure(figsize=(2.2 + 0.62 * columns, 1.6 + 0.34 * rows), facecolor=theme.paper, layout="constrained")
    axes = figure.add_subplot(facecolor=theme.paper)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    names = [_short(name) for name in contingency.column_names]
    axes.set_xticks(range(columns), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(rows), contingency.row_names, fontsize=9)
    axes.set_ylabel("cluster", fontsize=9, color=theme.soft)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=theme.ink)
    for row, column in np.argwhere(counts > 0):
        colour = "white" if shares[row, column] > 0.55 else LIGHT.ink
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=9, color=colour)
    return _written(figure)


def _positions(points: Sequence[MapPoint]) -> NDArray[np.float64]:
    return np.array([(point.x, point.y) for point in points]).reshape(-1, 2)


def _size(count: int) -> float:
    """The area of a point: small enough that 100,000 still show where they lie."""
    return float(np.clip(11 * (4000 / max(count, 1)) ** 0.5, 1.5, 16))


def _axes(points: Sequence[MapPoint], total: int, theme: Theme) -> tuple[Figure, Axes]:
    # Axes and legend have fixed places, so that two maps stand level beside each other.
    figure = Figure(figsize=(7.2, 8.0), facecolor=theme.paper)
    axes = figure.add_axes((0.055, 0.205, 0.935, 0.785), facecolor=theme.paper)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.03)
    axes.tick_params(colors=theme.soft, labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.line)
    drawn = f"{len(points):,} of {total:,}" if len(points) < total else f"{total:,}"
    axes.set_xlabel(f"map units; {drawn} items", fontsize=8, color=theme.soft)
    return figure, axes


def _scatter(
    axes: Axes,
    xy: NDArray[np.float64],
    look: Style,
    label: str,
    size: float,
    theme: Theme,
    *,
    zorder: float = 2,
) -> None:
    x, y = xy.T
    line = 0.2 if size > 6 else 0
    axes.scatter(
        x, y, s=size, c=look.colour, marker=look.marker, lw=line, edgecolors=theme.paper, label=label, zorder=zorder
    )


def _short(name: str) -> str:
    plain = name.replace("$", r"\$")  # a pair of them would be read as a formula
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"


def _png(figure: Figure, axes: Axes, theme: Theme) -> bytes:
    """Puts the legend below the axes, where it covers no point, and writes the figure."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 4 if max(map(len, labels)) <= _NARROW else 3
    room = columns * _LEGEND_LINES
    if len(labels) > room:
        more = axes.scatter([], [], alpha=0)
        handles, labels = [*handles[: room - 1], more], [*labels[: room - 1], f"and {len(labels) - room + 1} more"]
    legend = figure.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.145),
        ncols=-(-len(labels) // _LEGEND_LINES),
        fontsize=9,
        frameon=False,
        labelcolor=theme.ink,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set(sizes=[30])
    return _written(figure)


def _written(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
