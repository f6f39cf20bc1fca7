import math
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from farnear.cluster_tables import (
    assignment_json,
    assignment_text,
    batch_json,
    cluster_table,
    details_json,
    details_text,
    event_lines,
    event_text,
    suggestion_text,
)
from farnear.results import (
    Assignment,
    AttributeSummary,
    ClassCount,
    Cluster,
    ClusterChange,
    ClusterDetails,
    ClusterEvent,
    Clustering,
    EpsSuggestion,
    EventBatch,
    MapInfo,
    NearCluster,
    ValueCount,
)

MAP = MapInfo(version=2, item_count=10, pending_count=1, eps=3.0, min_samples=10, perplexity=30.0, drift=0.125)
MAP_LINE = "map 2: 10 items, 1 pending, eps 3, min_samples 10, perplexity 30, drift 0.12"
TAKEN = datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_clusters() -> None:
    classes = (ClassCount(label="crack", count=7), ClassCount(label="", count=1))
    clustering = Clustering(
        map=MAP,
        clusters=(Cluster(cluster=0, size=8, core_count=5, medoid_item_id="crack/1.png", classes=classes),),
        noise_count=2,
    )
    assert cluster_table(clustering).splitlines() == [
        MAP_LINE,
        "cluster  size  core  medoid       classes",
        "      0     8     5  crack/1.png  crack 7, - 1",
        "noise: 2",
    ]


@pytest.mark.parametrize(
    ("cluster", "core_distance", "text", "json_distance"),
    [
        (4, 0.25, "cluster 4, at (1.00, -2.50) on map 7, 0.25 map units from the nearest core point", 0.25),
        (-1, 9.5, "noise, at (1.00, -2.50) on map 7, 9.50 map units from the nearest core point", 9.5),
        (-1, math.inf, "noise, at (1.00, -2.50) on map 7, which has no core point", None),
    ],
)
def test_an_assignment(cluster: int, core_distance: float, text: str, json_distance: float | None) -> None:
    assignment = Assignment(cluster=cluster, core_distance=core_distance, x=1.0, y=-2.5, map_version=7)
    assert assignment_text(assignment) == text
    assert assignment_json(assignment)["core_distance"] == json_distance


def details() -> ClusterDetails:
    none = {"least": None, "median": None, "greatest": None}
    return ClusterDetails(
        cluster=Cluster(
            cluster=3, size=8, core_count=5, medoid_item_id="b", classes=(ClassCount(label="crack", count=8),)
        ),
        attributes=(
            AttributeSummary(name="depth", count=4, values=(), least=0.5, median=2.0, greatest=3.0),
            AttributeSummary(name="note", count=2, values=(ValueCount(value="\x1b[2J", count=2),), **none),
            AttributeSummary(name="taken", count=1, values=(), least=TAKEN, median=TAKEN, greatest=TAKEN),
        ),
        density=1.5,
        nearest=(NearCluster(cluster=1, distance=4.25), NearCluster(cluster=0, distance=7.0)),
        member_item_ids=("a", "b"),
        map=MAP,
    )


def test_one_cluster() -> None:
    assert details_text(details()).splitlines() == [
        MAP_LINE,
        "cluster  3",
        "size     8, 5 of them core points",
        "classes  crack 8",
        "medoid   b",
        "density  1.5 items a square map unit",
        "nearest  1 at 4.25, 0 at 7.00",
        "",
        "attribute  members  values",
        "depth            4  0.5 to 3, median 2",
        "note             2  \\x1b[2J 2",
        "taken            1  2026-11-22T10:00:00Z",
        "",
        "members, the first 2 of 8:",
        "  a",
        "  b",
    ]
    document = details_json(details())
    assert document["attributes"][2]["median"] == "2026-11-22T10:00:00+00:00"
    assert document["attributes"][1] == {
        "name": "note",
        "count": 2,
        "values": [{"value": "\x1b[2J", "count": 2}],
        "least": None,
        "median": None,
        "greatest": None,
    }


def suggestion(distances: Sequence[float], eps: float, min_samples: int = 10) -> EpsSuggestion:
    return EpsSuggestion(
        distances=tuple(distances), eps=eps, cluster_count=2, noise_count=7, min_samples=min_samples, map=MAP
    )


def test_a_suggestion_with_its_curve() -> None:
    # Flat at 2 for most items, then straight up to 11: one line of the plot for each map unit.
    text = suggestion_text(suggestion([2.0] * 51 + [2.0 + distance for distance in range(1, 10)], 3.0), "cells")
    lines = text.splitlines()
    assert lines[:5] == [
        MAP_LINE,
        "eps 3, min_samples 10: 2 clusters, 7 items of noise",
        "",
        "how far the 10 nearest of an item reach, itself counted, in map units",
        "   11 |" + " " * 59 + "*",
    ]
    assert lines[5:12] == ["      |" + " " * (58 - step) + "*" for step in range(7)]
    assert lines[12] == "eps 3 |" + "-" * 51 + "*" + "-" * 8
    assert lines[13] == "      |" + "*" * 51
    assert lines[14:16] == ["      |", "    0 |"]
    assert lines[16] == "      +" + "-" * 60
    assert lines[-1] == "to use it: farnear recluster --collection cells --eps 3"


def test_a_suggestion_for_another_density_tells_how_to_use_it() -> None:
    text = suggestion_text(suggestion([1.0, 2.0], 1.5, min_samples=5), "cells")
    assert text.endswith("to use it: farnear recluster --collection cells --eps 1.5 --min-samples 5")


def test_no_eps_for_items_in_one_place() -> None:
    assert "all items lie in one place" in suggestion_text(suggestion([0.0, 0.0], 0.0), "cells")


def event(change: ClusterChange, parents: tuple[int, ...] = ()) -> ClusterEvent:
    return ClusterEvent(change=change, cluster=3, size=12, size_before=9, parents=parents, time=TAKEN, map_version=2)


@pytest.mark.parametrize(
    ("change", "parents", "text"),
    [
        (ClusterChange.BORN, (), "cluster 3 is new: 12 items"),
        (ClusterChange.GROWN, (), "cluster 3 grew from 9 to 12 items"),
        (ClusterChange.SHRUNK, (), "cluster 3 shrank from 9 to 12 items"),
        (ClusterChange.MERGED, (3, 5, 7), "cluster 3 took up 5, 7: 12 items, 9 before"),
        (ClusterChange.SPLIT, (1, 2), "cluster 3 split off from 1, 2: 12 items"),
        (ClusterChange.DISSOLVED, (), "cluster 3 dissolved: it had 9 items"),
    ],
)
def test_an_event(change: ClusterChange, parents: tuple[int, ...], text: str) -> None:
    assert event_text(event(change, parents)) == text


def test_a_batch_of_events() -> None:
    behind = "t7"
    batch = EventBatch(events=(event(ClusterChange.MERGED, (3, 5)),), resume_token=behind)
    assert list(event_lines(batch)) == ["2026-11-22 10:00:00  cluster 3 took up 5: 12 items, 9 before"]
    assert batch_json(batch) == {
        "events": [
            {
                "change": "merged",
                "cluster": 3,
                "size": 12,
                "size_before": 9,
                "parents": (3, 5),
                "time": "2026-11-22T10:00:00+00:00",
                "map_version": 2,
            }
        ],
        "resume_token": behind,
    }
