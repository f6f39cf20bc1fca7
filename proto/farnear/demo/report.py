"""The demo's report: one HTML page with its pictures inside, to read, print or send to a colleague."""

from functools import cache
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from farnear.command import RefusedError
from farnear.demo.figures import class_colour, map_by_class, map_by_cluster
from farnear.demo.findings import Findings
from farnear.demo.pictures import drawing, thumbnail
from farnear.results import Cluster

_PAGE = "index.html"
_GENERATOR = '<meta name="generator" content="farnear demo">'
_CLASSES_NAMED = 3


def check(folder: Path) -> None:
    """Refuse a folder whose page another program wrote, before the work of a run is done.

    Raises:
        RefusedError: If the report would replace something that is no report of the demo.
    """
    page = folder / _PAGE
    if folder.exists() and not folder.is_dir():
        raise RefusedError(f"--report: {folder} is not a folder")
    if page.exists() and _GENERATOR not in page.read_text(encoding="utf-8", errors="replace"):
        raise RefusedError(f"--report: {page} was not written by farnear demo: name another folder")


def write(findings: Findings, folder: Path) -> Path:
    """Write the report to `folder/index.html`, making the folder where it is missing; returns that path."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / _PAGE
    page.write_text(render(findings), encoding="utf-8")
    return page


def render(findings: Findings) -> str:
    """The page as HTML, without any reference to another file."""

    @cache
    def picture(item_id: str) -> str:
        return thumbnail((findings.images / item_id).read_bytes())

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        findings=findings,
        training=findings.training,
        labels={point.item_id: point.label for point in findings.points},
        clusters={point.item_id: point.cluster for point in findings.points},
        map_by_cluster=drawing(map_by_cluster(findings.points, findings.clustering.clusters)),
        map_by_class=drawing(map_by_class(findings.points)),
        picture=picture,
        overlay=thumbnail,
        class_colour=class_colour,
        class_mix=class_mix,
        stem=lambda item_id: PurePosixPath(item_id).stem,
        verdict=verdict(findings),
    )


def verdict(findings: Findings) -> str:
    """Whether the learned embedding is of use on images it has not seen, in a sentence."""
    learned, pixels, chance = findings.training.learned, findings.training.raw_pixels, findings.training.chance
    if learned.is_above(pixels) and learned.is_above(chance):
        return (
            "On cells it has never seen, the learned embedding finds cells of the same class better than a comparison "
            "of raw pixels does, and better than chance, in both measures."
        )
    if pixels.is_above(learned):
        return (
            "In this run the learned embedding is below raw pixels in both measures: as it stands, a comparison of "
            "pixels finds cells of the same class better. More iterations may change that."
        )
    return (
        "In this run the learned embedding is not above raw pixels and chance in both measures (see the table), so its "
        "answers are not those of a good model. More iterations may change that."
    )


def class_mix(cluster: Cluster) -> str:
    """The classes of a cluster in words, the commonest ones by name: `poly-1.00 80 %, poly-0.67 15 %, 2 others 5 %`."""
    shares = [(entry.label, entry.count) for entry in cluster.classes[:_CLASSES_NAMED]]
    others = cluster.classes[_CLASSES_NAMED:]
    if others:
        shares.append((f"{len(others)} other{'s' if len(others) > 1 else ''}", sum(entry.count for entry in others)))
    return ", ".join(f"{name} {100 * count / cluster.size:.0f} %" for name, count in shares)
