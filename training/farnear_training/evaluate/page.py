"""Findings -> `evaluation.html`: one page with its pictures inside, to read, print or send to a colleague."""

import base64
import io
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from farnear_training.evaluate.document import document
from farnear_training.evaluate.figures import confusion_matrix, map_by_class, map_by_cluster, training_curve
from farnear_training.evaluate.findings import Findings, Neighbours
from farnear_training.metrics import Interval

_SIDE = 112
_JPEG_QUALITY = 85


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


def range_of(interval: Interval, decimals: int = 3) -> str:
    """`0.698 to 0.772`."""
    return f"{interval.low:.{decimals}f} to {interval.high:.{decimals}f}".replace("-", "−")  # noqa: RUF001  # a minus


def _drawing(png: bytes) -> str:
    return _data_uri("image/png", png)


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
