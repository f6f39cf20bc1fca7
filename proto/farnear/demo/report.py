"""The demo's report: one HTML page with its pictures inside, to read, print or send to a colleague."""

from functools import cache
from pathlib import Path, PurePosixPath

import farnear.report
from farnear.demo.colours import CLASS_STYLES
from farnear.demo.findings import Findings
from farnear.report import folder as place
from farnear.report.colours import OTHER
from farnear.report.figures import map_by_class, map_by_cluster
from farnear.report.page import class_mix, environment
from farnear.report.pictures import drawing, thumbnail


def check(folder: Path) -> None:
    """Refuse a folder whose page another program wrote, before the work of a run is done.

    Raises:
        RefusedError: If the report would replace something that is no report of the demo.
    """
    place.check(folder, "farnear demo", option="--report")


def write(findings: Findings, folder: Path) -> Path:
    """Write the report to `folder/index.html`, making the folder where it is missing; returns that path."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / place.PAGE
    page.write_text(render(findings), encoding="utf-8")
    return page


def render(findings: Findings) -> str:
    """The page as HTML, without any reference to another file."""

    @cache
    def picture(item_id: str) -> str:
        return thumbnail((findings.images / item_id).read_bytes())

    folders = Path(__file__).parent, Path(farnear.report.__file__).parent
    return (
        environment(*folders)
        .get_template("report.html.jinja")
        .render(
            findings=findings,
            training=findings.training,
            labels={point.item_id: point.label for point in findings.points},
            clusters={point.item_id: point.cluster for point in findings.points},
            map_by_cluster=drawing(map_by_cluster(findings.points, findings.clustering)),
            map_by_class=drawing(map_by_class(findings.points, findings.class_counts, CLASS_STYLES)),
            picture=picture,
            overlay=thumbnail,
            class_colour=lambda label: CLASS_STYLES.get(label, OTHER).colour,
            class_mix=class_mix,
            stem=lambda item_id: PurePosixPath(item_id).stem,
            verdict=verdict(findings),
        )
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
