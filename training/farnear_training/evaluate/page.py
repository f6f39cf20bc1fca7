"""Findings -> `evaluation.html`: one page with its pictures inside, to read, print or send to a colleague."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from farnear_training.evaluate.document import document
from farnear_training.evaluate.figures import (
    confusion_matrix,
    map_by_class,
    map_by_cluster,
    perturbation_curves,
    training_curve,
)
from farnear_training.evaluate.findings import FaithfulnessFigures, Findings, Neighbours
from farnear_training.evaluate.perturbation import MEASURES, MORE_IS_BETTER, SHARES
from farnear_training.metrics import Interval

_SIDE = 112
_JPEG_QUALITY = 85
_CONTENDERS = {"heatmap": "The heat map", "random": "A random map", "centre": "A map of the middle"}


def render(findings: Findings) -> str:
    """The page as HTML, without any reference to another file."""

    @cache
    def picture(position: int) -> str:
        image = Image.fromarray(findings.measured.images[position])
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
        return _data_uri("image/jpeg", buffer.getvalue())

    def label(position: int) -> str:
        return findings.measured.class_names[int(findings.measured.labels[position])]

    def right(row: Neighbours) -> int:
        return sum(label(position) == label(row.query) for position in row.nearest)

    names, drawn_map = findings.measured.class_names, findings.map
    curve = training_curve(findings.bundle.history)
    by_class = by_cluster = None
    if drawn_map is not None:
        by_class = _drawing(map_by_class(drawn_map.positions, findings.measured.labels[drawn_map.images], names))
        by_cluster = _drawing(map_by_cluster(drawn_map.positions, drawn_map.clusters))
    kept = None
    if findings.faithfulness is not None:
        kept = _drawing(perturbation_curves(SHARES, findings.faithfulness.curves, _CONTENDERS))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    html: str = environment.get_template("page.html.jinja").render(
        findings=findings,
        facts=document(findings),
        verdict=verdict(findings),
        curve=None if curve is None else _drawing(curve),
        confusion=_drawing(confusion_matrix(findings.classification.confusion, names)),
        by_class=by_class,
        by_cluster=by_cluster,
        contenders=_CONTENDERS,
        kept=kept,
        maps_verdict=None if findings.faithfulness is None else maps_verdict(findings.faithfulness),
        picture=picture,
        label=label,
        right=right,
        range=range_of,
    )
    return html


def verdict(findings: Findings) -> str:
    """In a sentence whether the embedding is of use on these images, by MAP@R."""
    gain, learned = findings.retrieval.gain["map_at_r"], findings.retrieval.learned["map_at_r"]
    seen = {0: "not trained on", len(findings.measured): "trained on"}.get(
        findings.part.trained_on, "partly trained on"
    )
    opening = f"On {len(findings.measured):,} images that it was {seen}, the model finds images of the same class"
    if learned.low <= findings.retrieval.chance.map_at_r:
        return f"{opening} no better than chance, as far as these images can tell."
    if gain.low > 0:
        return f"{opening} better than a comparison of raw pixels does."
    if gain.high < 0:
        return f"{opening} less well than a comparison of raw pixels does."
    return f"{opening} about as well as a comparison of raw pixels does: the difference may be chance."


def maps_verdict(figures: FaithfulnessFigures) -> str:
    """In a sentence by which measures the heat map is better than both maps that know nothing of the image."""

    def is_better(measure: str) -> bool:
        gains = [by_measure[measure] for by_measure in figures.gains.values()]
        return all(gain.low > 0 if measure in MORE_IS_BETTER else gain.high < 0 for gain in gains)

    better = [measure for measure in MEASURES if is_better(measure)]
    if not better:
        return "By no measure is the heat map better, beyond chance, than both maps that know nothing of the image."
    rest = [measure for measure in MEASURES if measure not in better]
    but = f"; by {_listed(rest)} it is not, or not beyond chance" if rest else ""
    return f"By {_listed(better)} the heat map is better than both maps that know nothing of the image{but}."


def _listed(measures: Sequence[str]) -> str:
    names = ["ROAD" if measure == "road" else measure for measure in measures]
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def range_of(interval: Interval, decimals: int = 3) -> str:
    """`0.698 to 0.772`."""
    return f"{interval.low:.{decimals}f} to {interval.high:.{decimals}f}".replace("-", "−")  # noqa: RUF001  # a minus


def _drawing(png: bytes) -> str:
    return _data_uri("image/png", png)


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
