"""The two drawings of the map: the same points coloured by cluster and by class.

Colours: after Okabe and Ito (2008) for clusters, told apart further by marker; one blue and one orange scale for the
classes, darker with the grade of the defect. Both stay apart for colour-blind readers, and the numbers at the medoids
need no colour at all.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from farnear.results import Cluster, MapPoint

_NOISE_COLOUR = "#b4b9bf"
_CLUSTER_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195", "#4d4d4d")
_CLUSTER_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")
_CLASS_COLOURS = {
    "mono-0.00": "#9ecae1",
    "mono-0.33": "#4a98c9",
    "mono-0.67": "#1f5fa8",
    "mono-1.00": "#08264f",
    "poly-0.00": "#fdc692",
    "poly-0.33": "#f5862f",
    "poly-0.67": "#c24a04",
    "poly-1.00": "#6b2503",
}
_OTHER_CLASS_COLOUR = "#6a6f75"
_LEGEND_CLUSTERS = 19
_INK = "#22262b"


def class_colour(label: str) -> str:
    """The colour of a class as `#rrggbb`; grey for a class that is none of the demo's."""
    return _CLASS_COLOURS.get(label, _OTHER_CLASS_COLOUR)


def map_by_cluster(points: Sequence[MapPoint], clusters: Sequence[Cluster]) -> bytes:
    """Draw the map coloured by cluster, with the number of each at its medoid; a PNG."""
    figure, axes = _axes(points)
    xy, numbers = _positions(points), np.array([point.cluster for point in points])
    noise = numbers == -1
    _scatter(axes, xy[noise], _NOISE_COLOUR, "o", f"noise ({noise.sum():,})", size=5)
    places = {point.item_id: (point.x, point.y) for point in points}
    for position, cluster in enumerate(clusters):
        colour = _CLUSTER_COLOURS[position % len(_CLUSTER_COLOURS)]
        marker = _CLUSTER_MARKERS[position // len(_CLUSTER_COLOURS) % len(_CLUSTER_MARKERS)]
        label = f"{cluster.cluster} ({cluster.size:,})" if position < _LEGEND_CLUSTERS else None
        _scatter(axes, xy[numbers == cluster.cluster], colour, marker, label)
        x, y = places[cluster.medoid_item_id]
        text = axes.text(
            x, y, str(cluster.cluster), ha="center", va="center", fontsize=9, fontweight="bold", color=_INK
        )
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    return _png(figure, axes)


def map_by_class(points: Sequence[MapPoint]) -> bytes:
    """Draw the map coloured by class, the wafer types told apart by marker too; a PNG."""
    figure, axes = _axes(points)
    xy, labels = _positions(points), np.array([point.label for point in points])
    names, counts = np.unique(labels, return_counts=True)
    for name, count in zip(names.tolist(), counts.tolist(), strict=True):
        marker = "^" if name.startswith("poly") else "o"
        # Rare classes over common ones, so that they can be seen.
        above = 2 - count / len(labels)
        _scatter(axes, xy[labels == name], class_colour(name), marker, f"{name} ({count:,})", zorder=above)
    return _png(figure, axes)


def _positions(points: Sequence[MapPoint]) -> NDArray[np.float64]:
    return np.array([(point.x, point.y) for point in points]).reshape(-1, 2)


def _axes(points: Sequence[MapPoint]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 7.2), facecolor="white")
    axes = figure.add_subplot()
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.03)
    axes.tick_params(colors="#53585f", labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c9cdd2")
    axes.set_xlabel(f"map units; {len(points):,} images", fontsize=8, color="#53585f")
    return figure, axes


def _scatter(
    axes: Axes,
    xy: NDArray[np.float64],
    colour: str,
    marker: str,
    label: str | None,
    *,
    size: float = 11,
    zorder: float = 2,
) -> None:
    x, y = xy.T
    axes.scatter(x, y, s=size, c=colour, marker=marker, lw=0.2, edgecolors="white", label=label, zorder=zorder)


def _png(figure: Figure, axes: Axes) -> bytes:
    """Put the legend below the axes, where it covers no point, and write the figure."""
    handles, labels = axes.get_legend_handles_labels()
    # Always four rows, so that the two maps stand level beside each other.
    figure.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.045),
        ncols=max(1, -(-len(labels) // 4)),
        fontsize=8,
        frameon=False,
        markerscale=1.8,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()
