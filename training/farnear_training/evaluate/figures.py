"""The drawings of the report, each as a PNG: training curve, maps, confusion matrix, what is left as pixels go.

Colours after Okabe and Ito (2008), which stay apart for colour-blind readers, and markers, which need no colour.
"""

import io
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from farnear_training.metrics.clustering import NOISE

_NOISE_COLOUR = "#b4b9bf"
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195", "#4d4d4d")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")
_INK, _SOFT, _LINE = "#22262b", "#53585f", "#c9cdd2"
_LEGEND = 16
_NUMBERED = 20
_CURVES = {
    "loss": "training loss",
    "map_at_r": "MAP@R",
    "precision_at_1": "precision at 1",
    "r_precision": "R-precision",
}


def training_curve(history: object) -> bytes | None:
    """The loss by step, and beside it the validation measures; None where `history` has no two points of any of them.

    `history` is a list of {"step", "loss", "map_at_r", ...}; what is absent, null or no number is passed over.
    """
    curves = {key: points for key in _CURVES if len(points := _points(history, key)) > 1}
    if not curves:
        return None
    panels = [keys for keys in (["loss"], [key for key in _CURVES if key != "loss"]) if curves.keys() & set(keys)]
    figure = Figure(figsize=(5.2 * len(panels), 3.0), facecolor="white", layout="constrained")
    for axes, keys in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for key, colour, style in zip(keys, _COLOURS, ("-", "--", ":"), strict=False):
            if key in curves:
                steps, values = zip(*curves[key], strict=True)
                marker = "o" if len(steps) <= 30 else ""
                axes.plot(steps, values, style, color=colour, marker=marker, ms=3.5, lw=1.6, label=_CURVES[key])
        _plain(axes)
        axes.set_xlabel("step", fontsize=9, color=_SOFT)
        axes.grid(axis="y", color="#eceef1", lw=0.8)
        axes.set_axisbelow(True)
        axes.legend(fontsize=9, frameon=False)
    return _png(figure)


def map_by_class(positions_N2: NDArray[np.float64], labels_N: NDArray[np.int64], class_names: Sequence[str]) -> bytes:
    """The map with a colour and marker for each class."""
    return _map(positions_N2, labels_N, class_names)


def map_by_cluster(positions_N2: NDArray[np.float64], clusters_N: NDArray[np.int64]) -> bytes:
    """The map with a colour and marker for each cluster, its number at its middle member; noise is grey."""
    return _map(positions_N2, clusters_N, [str(number) for number in range(clusters_N.max(initial=NOISE) + 1)], True)


def confusion_matrix(counts_CC: NDArray[np.int64], class_names: Sequence[str]) -> bytes:
    """Rows: what an image is; columns: what it was taken for. Shade: share of the row; numbers: images."""
    count = len(class_names)
    shares_CC = counts_CC / np.maximum(counts_CC.sum(axis=1, keepdims=True), 1)
    side = min(11.0, 2.6 + 0.55 * count)
    figure = Figure(figsize=(side + 1, side), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares_CC, cmap="Blues", vmin=0, vmax=1)
    size = 9 if count <= _NUMBERED else max(3, 9 - count // 12)
    names = [_short(name) for name in class_names]
    axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.set_xlabel("taken for", fontsize=9, color=_SOFT)
    axes.set_ylabel("is", fontsize=9, color=_SOFT)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if count <= _NUMBERED:
        for row, column in np.argwhere(counts_CC > 0):
            colour = "white" if shares_CC[row, column] > 0.55 else _INK
            axes.text(column, row, str(counts_CC[row, column]), ha="center", va="center", fontsize=9, color=colour)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.03)
    bar.set_label("share of the row", fontsize=9, color=_SOFT)
    bar.ax.tick_params(labelsize=8, colors=_SOFT)
    bar.outline.set_visible(False)
    return _png(figure)


def perturbation_curves(
    shares: Sequence[float], curves: Mapping[str, Mapping[str, Sequence[float]]], names: Mapping[str, str]
) -> bytes:
    """A panel for each of `curves`, in it a line for each contender, under the name it has in `names`."""
    figure = Figure(figsize=(5.2 * len(curves), 3.0), facecolor="white", layout="constrained")
    for axes, (kind, by_name) in zip(np.atleast_1d(figure.subplots(1, len(curves))), curves.items(), strict=True):
        for (name, curve), colour, style in zip(by_name.items(), _COLOURS, ("-", "--", ":"), strict=False):
            axes.plot(shares, curve, style, color=colour, marker="o", ms=3.5, lw=1.6, label=names[name])
        _plain(axes)
        axes.set_title(kind, fontsize=10, color=_INK)
        axes.set_xlabel("share of the pixels, most important first", fontsize=9, color=_SOFT)
        axes.set_ylabel("cosine with the undisturbed", fontsize=9, color=_SOFT)
        axes.grid(axis="y", color="#eceef1", lw=0.8)
        axes.set_axisbelow(True)
        axes.legend(fontsize=9, frameon=False)
    return _png(figure)


def _map(
    positions_N2: NDArray[np.float64], groups_N: NDArray[np.int64], names: Sequence[str], is_numbered: bool = False
) -> bytes:
    # Axes at the same place in both maps, so that they compare, and as tall as the map asks for.
    wide, tall = np.ptp(positions_N2, axis=0)
    across, legend = 5.9, 1.65
    down = across * float(np.clip(tall / wide if wide else 1, 0.5, 1.2))
    figure = Figure(figsize=(6.4, down + legend), facecolor="white")
    axes = figure.add_axes((0.07, (legend - 0.1) / (down + legend), across / 6.4, down / (down + legend)))
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.03)
    _plain(axes)
    noise = groups_N == NOISE
    if noise.any():
        _scatter(axes, positions_N2[noise], _NOISE_COLOUR, "x", f"noise ({noise.sum():,})", size=9, line=0.8)
    for number, name in enumerate(names):
        members_M2 = positions_N2[groups_N == number]
        if not len(members_M2):
            continue
        colour = _COLOURS[number % len(_COLOURS)]
        marker = _MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)]  # 64 pairs, no two alike
        _scatter(axes, members_M2, colour, marker, f"{_short(name)} ({len(members_M2):,})")
        if is_numbered:
            x, y = members_M2[((members_M2 - members_M2.mean(axis=0)) ** 2).sum(axis=1).argmin()]
            text = axes.text(x, y, name, ha="center", va="center", fontsize=11, fontweight="bold", color=_INK)
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > _LEGEND:
        labels[_LEGEND - 1] = f"and {len(handles) - _LEGEND + 1} more"
    figure.legend(
        handles[:_LEGEND],
        labels[:_LEGEND],
        loc="upper center",
        bbox_to_anchor=(0.5, (legend - 0.4) / (down + legend)),
        ncols=max(1, -(-min(len(labels), _LEGEND) // 6)),
        fontsize=9,
        frameon=False,
        markerscale=1.6,
    )
    return _png(figure)


def _points(history: object, key: str) -> list[tuple[float, float]]:
    records: list[Mapping[str, Any]] = [record for record in _list(history) if isinstance(record, Mapping)]
    return [
        (float(record["step"]), float(record[key]))
        for record in records
        if all(isinstance(record.get(field), Real) and np.isfinite(record[field]) for field in ("step", key))
    ]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _short(name: str) -> str:
    plain = name.replace("$", r"\$")  # a pair of them would be read as a formula
    return plain if len(plain) <= 24 else f"{plain[:23]}…"


def _plain(axes: Axes) -> None:
    axes.tick_params(colors=_SOFT, labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)


def _scatter(
    axes: Axes,
    positions_M2: NDArray[np.float64],
    colour: str,
    marker: str,
    label: str,
    *,
    size: float = 14,
    line: float = 0.25,
) -> None:
    x, y = positions_M2.T
    edge = None if marker == "x" else "white"  # a cross has no edge
    axes.scatter(x, y, s=size, c=colour, marker=marker, lw=line, edgecolors=edge, label=label)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
