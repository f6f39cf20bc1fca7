import io

import numpy as np
import pytest
from farnear.demo.figures import class_colour, map_by_class, map_by_cluster
from farnear.demo.findings import Findings
from farnear.results import Cluster, MapPoint
from PIL import Image

NOISE = "#b4b9bf"
FIRST_CLUSTER, SECOND_CLUSTER = "#0072b2", "#e69f00"


def shows(png: bytes, colour: str) -> bool:
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return bool((pixels == tuple(bytes.fromhex(colour[1:]))).all(1).any())


def test_the_classes_of_the_demo_have_colours_of_their_own() -> None:
    classes = [f"{wafer}-{grade}" for wafer in ("mono", "poly") for grade in ("0.00", "0.33", "0.67", "1.00")]
    assert len({class_colour(label) for label in [*classes, "anything else"]}) == 9


def test_clusters_and_noise_show_in_their_colours(findings: Findings) -> None:
    png = map_by_cluster(findings.points, findings.clustering.clusters)
    assert shows(png, FIRST_CLUSTER)
    assert shows(png, SECOND_CLUSTER)
    assert shows(png, NOISE)


def test_classes_show_in_their_colours(findings: Findings) -> None:
    png = map_by_class(findings.points)
    for label in findings.class_counts:
        assert shows(png, class_colour(label))
    assert not shows(png, class_colour("poly-0.00"))


def test_a_map_without_clusters_is_all_noise(findings: Findings) -> None:
    points = [MapPoint(item_id=p.item_id, x=p.x, y=p.y, cluster=-1, label=p.label) for p in findings.points]
    png = map_by_cluster(points, [])
    assert shows(png, NOISE)
    assert not shows(png, FIRST_CLUSTER)


@pytest.mark.parametrize("count", [20, 80])
def test_more_clusters_than_colours_and_markers_are_drawn(count: int) -> None:
    points = [MapPoint(item_id=str(n), x=float(n), y=0.0, cluster=n, label="mono-0.00") for n in range(count)]
    clusters = [Cluster(cluster=n, size=1, core_count=1, medoid_item_id=str(n), classes=()) for n in range(count)]
    assert shows(map_by_cluster(points, clusters), FIRST_CLUSTER)


def test_both_maps_have_one_size(findings: Findings) -> None:
    sizes = []
    for png in (map_by_cluster(findings.points, findings.clustering.clusters), map_by_class(findings.points)):
        with Image.open(io.BytesIO(png)) as image:
            sizes.append(image.size)
    assert abs(sizes[0][0] - sizes[1][0]) <= 20
    assert abs(sizes[0][1] - sizes[1][1]) <= 60
