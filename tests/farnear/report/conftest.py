"""A small survey, made up: twelve images of three classes in two clusters, with one in none."""

import io
from datetime import UTC, datetime

import pytest
from farnear.inputs import ImageRetention, IndexSettings
from farnear.report.survey import ClusterRow, Survey
from farnear.results import (
    AttributeSummary,
    ClassCount,
    Cluster,
    ClusterChange,
    ClusterDetails,
    ClusterEvent,
    Clustering,
    Collection,
    MapInfo,
    MapPoint,
    NearCluster,
)
from PIL import Image

TIME = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
MAP = MapInfo(version=3, item_count=12, pending_count=1, eps=3.0, min_samples=10, perplexity=30.0, drift=0.125)
CLASSES = ("crack", "crack", "crack", "rust", "rust", "rust", "rust", "rust", "", "", "sound", "sound")
CLUSTERS = (4, 4, 4, 4, 4, 4, 7, 7, 7, 7, 7, -1)


def png(shade: int = 128, side: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side), shade).save(buffer, format="PNG")
    return buffer.getvalue()


def cluster(number: int, medoid: str, **classes: int) -> Cluster:
    return Cluster(
        cluster=number,
        size=sum(classes.values()),
        core_count=sum(classes.values()) - 1,
        medoid_item_id=medoid,
        classes=tuple(ClassCount(label=label, count=count) for label, count in classes.items()),
    )


@pytest.fixture
def survey() -> Survey:
    first, second = cluster(4, "i/01.png", crack=3, rust=3), cluster(7, "i/06.png", rust=2, sound=3)
    points = tuple(
        MapPoint(item_id=f"i/{place:02}.png", x=float(10 * number), y=float(place), cluster=number, label=label)
        for place, (number, label) in enumerate(zip(CLUSTERS, CLASSES, strict=True))
    )
    depth = AttributeSummary(name="depth", count=2, values=(), least=1.0, median=2.0, greatest=3.0)
    return Survey(
        collection=Collection(
            name="bridges",
            bundle="concrete",
            bundle_digest="ab" * 32,
            item_count=13,
            embedding_dim=16,
            create_time=TIME,
            image_retention=ImageRetention.ORIGINAL,
            attributes={},
            index=IndexSettings(),
            activation=None,
        ),
        clustering=Clustering(map=MAP, clusters=(first, second), noise_count=1),
        counts={(4, "crack"): 3, (4, "rust"): 3, (7, "rust"): 2, (7, ""): 2, (7, "sound"): 1, (-1, "sound"): 1},
        points=points,
        rows=(
            ClusterRow(
                details=ClusterDetails(
                    cluster=first,
                    attributes=(depth,),
                    density=1.25,
                    nearest=(NearCluster(cluster=7, distance=21.5),),
                    member_item_ids=(),
                    map=MAP,
                ),
                item_ids=("i/01.png", "i/00.png", "i/02.png"),
            ),
            ClusterRow(
                details=ClusterDetails(
                    cluster=second, attributes=(), density=0.5, nearest=(), member_item_ids=(), map=MAP
                ),
                item_ids=("i/06.png", "i/08.png"),
            ),
        ),
        noise_item_ids=("i/11.png",),
        labels={point.item_id: point.label for point in points},
        images={f"i/{place:02}.png": Image.new("L", (20, 20), 20 * place) for place in (0, 1, 2, 6, 11)},
        events=(
            ClusterEvent(
                change=ClusterChange.MERGED, cluster=4, size=6, size_before=2, parents=(4, 5), time=TIME, map_version=3
            ),
        ),
        time=TIME,
    )
