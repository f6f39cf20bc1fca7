import io
from dataclasses import replace

import numpy as np
import pytest
from farnear.report.colours import DARK, LIGHT, OTHER, Theme, class_styles, style
from farnear.report.contingency import tabulate
from farnear.report.figures import class_counts, map_by_class, map_by_cluster
from farnear.report.survey import Survey
from farnear.results import Cluster, Clustering, MapPoint
from PIL import Image

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def shows(png: bytes, colour: str) -> bool:
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return bool((pixels == tuple(bytes.fromhex(colour[1:]))).all(1).any())


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        return image.size


@THEMES
def test_clusters_and_noise_show_in_their_colours(survey: Survey, theme: Theme) -> None:
    png = map_by_cluster(survey.points, survey.clustering, theme)
    for colour in (style(0).colour, style(1).colour, theme.noise, theme.paper, theme.ink):
        assert shows(png, colour)
    assert not shows(png, style(2).colour)


@THEMES
def test_classes_show_in_their_colours(survey: Survey, theme: Theme) -> None:
    styles = class_styles(survey.class_counts, limit=2)
    png = map_by_class(survey.points, survey.class_counts, styles, theme)
    for look in (*styles.values(), OTHER):
        assert shows(png, look.colour)
    assert shows(png, theme.noise)  # those without a class
    assert not shows(png, style(2).colour)


def test_a_map_without_clusters_is_all_noise(survey: Survey) -> None:
    points = [replace(point, cluster=-1) for point in survey.points]
    png = map_by_cluster(points, replace(survey.clustering, clusters=(), noise_count=12))
    assert shows(png, LIGHT.noise)
    assert not shows(png, style(0).colour)


@pytest.mark.parametrize("count", [20, 80])
def test_more_clusters_than_styles_and_legend_are_drawn(survey: Survey, count: int) -> None:
    points = [MapPoint(item_id=str(n), x=float(n), y=0.0, cluster=n, label="crack") for n in range(count)]
    clusters = tuple(Cluster(cluster=n, size=1, core_count=1, medoid_item_id=str(n), classes=()) for n in range(count))
    many = Clustering(map=survey.clustering.map, clusters=clusters, noise_count=0)
    assert shows(map_by_cluster(points, many), style(0).colour)


def test_both_maps_have_one_size_whatever_their_legends(survey: Survey) -> None:
    long = {f"{'very ' * 9}long {place} $x$": 1 for place in range(30)}
    by_class = map_by_class(survey.points, long, class_styles(long))
    assert size(by_class) == size(map_by_cluster(survey.points, survey.clustering))


def test_a_medoid_that_is_not_drawn_has_no_number(survey: Survey) -> None:
    numbered = map_by_cluster(survey.points, survey.clustering)
    medoids = {cluster.medoid_item_id for cluster in survey.clustering.clusters}
    points = [replace(p, item_id="x") if p.item_id in medoids else p for p in survey.points]
    assert map_by_cluster(points, survey.clustering) != numbered


def test_counts_are_shaded_by_their_share_of_the_row(survey: Survey) -> None:
    table = tabulate({(3, "a"): 9, (8, "a"): 1, (8, "b"): 1}, [3, 8], rows=5, columns=5)
    png = class_counts(table)
    assert shows(png, "#08306b")  # all of a row, the dark end of Blues
    assert shows(png, "#f7fbff")  # none of one
