"""Survey -> `index.html`, one page with its pictures inside, and the pictures as files beside it."""

from functools import cache
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from farnear.cluster_tables import attribute_text, event_text
from farnear.report.colours import DARK, LIGHT, OTHER, class_styles
from farnear.report.contingency import NOISE, mutual_information, tabulate
from farnear.report.figures import class_counts, map_by_class, map_by_cluster
from farnear.report.folder import PAGE, generator
from farnear.report.pictures import drawing, picture, sheet
from farnear.report.survey import MOST_EVENTS, Survey
from farnear.results import Cluster

NAME = "farnear clusters report"

_TABLE_ROWS = 50
_TABLE_COLUMNS = 12
_CLASSES_NAMED = 3
_ATTRIBUTES_TOLD = 8
_NOISE_COLUMNS = 10


def render(survey: Survey) -> dict[str, bytes]:
    """The files of the report by name. The page needs none of the others."""
    numbers = [cluster.cluster for cluster in survey.clustering.clusters]
    table = tabulate(survey.counts, numbers, rows=_TABLE_ROWS, columns=_TABLE_COLUMNS)
    styles = class_styles(survey.class_counts)
    maps = {
        f"map-by-{what}{suffix}.png": png
        for suffix, theme in (("", LIGHT), ("-dark", DARK))
        for what, png in (
            ("class", map_by_class(survey.points, survey.class_counts, styles, theme)),
            ("cluster", map_by_cluster(survey.points, survey.clustering, theme)),
        )
    }
    files = {**maps, "classes.png": class_counts(table)}
    if survey.rows:
        rows = [(_title(row.details.cluster), row.item_ids) for row in survey.rows]
        files["clusters.png"] = sheet(rows, survey.images)
    if survey.noise_item_ids:
        starts = range(0, len(survey.noise_item_ids), _NOISE_COLUMNS)
        parts = [survey.noise_item_ids[start : start + _NOISE_COLUMNS] for start in starts]
        files["noise.png"] = sheet(
            [("" if place else "noise", part) for place, part in enumerate(parts)], survey.images
        )

    @cache
    def tile(item_id: str) -> str:
        return picture(survey.images[item_id])

    html = (
        environment(Path(__file__).parent)
        .get_template("page.html.jinja")
        .render(
            survey=survey,
            map=survey.clustering.map,
            clusters=survey.clustering.clusters,
            class_counts=survey.class_counts,
            maps={name: drawing(png) for name, png in maps.items()},
            table=table,
            mutual_information=mutual_information(survey.counts, with_noise=True),
            mutual_information_without_noise=mutual_information(survey.counts, with_noise=False),
            noise_count=sum(count for (cluster, _), count in survey.counts.items() if cluster == NOISE),
            styled=styles,
            tile_of=tile,
            class_colour=lambda label: styles.get(label, OTHER).colour,
            class_mix=class_mix,
            attribute_text=attribute_text,
            event_text=event_text,
            generator=Markup(generator(NAME)),
            most_events=MOST_EVENTS,
            most_attributes=_ATTRIBUTES_TOLD,
            version=version("farnear"),
        )
    )
    return {**files, PAGE: html.encode()}


def environment(*folders: Path) -> Environment:
    """Where templates come from, and how they are filled in."""
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def class_mix(cluster: Cluster) -> str:
    """The classes of a cluster in words, the commonest ones by name: `poly-1.00 80 %, poly-0.67 15 %, 2 others 5 %`."""
    shares = [(entry.label or "no class", entry.count) for entry in cluster.classes[:_CLASSES_NAMED]]
    others = cluster.classes[_CLASSES_NAMED:]
    if others:
        shares.append((f"{len(others)} other{'s' if len(others) > 1 else ''}", sum(entry.count for entry in others)))
    return ", ".join(f"{name} {100 * count / cluster.size:.0f} %" for name, count in shares)


def _title(cluster: Cluster) -> str:
    classes = [
        f"{entry.label[:16] or 'no class'} {100 * entry.count / cluster.size:.0f} %" for entry in cluster.classes
    ]
    return "\n".join([f"cluster {cluster.cluster}", f"{cluster.size:,} items", *classes[:4]])
