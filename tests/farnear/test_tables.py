import math
from datetime import UTC, datetime

import pytest
from farnear.results import Assignment, ClassCount, Cluster, Clustering, Hit, Item, MapInfo
from farnear.tables import (
    assignment_json,
    assignment_text,
    cluster_table,
    facts,
    hit_table,
    item_json,
    item_table,
    show,
    table,
)


def hit(rank: int, similarity: float, label: str = "crack", cluster: int | None = 3) -> Hit:
    return Hit(rank=rank, item_id=f"{label}/{rank}.png", similarity=similarity, label=label, cluster=cluster)


def test_numbers_stand_to_the_right_and_gaps_show() -> None:
    assert table(("name", "count"), [("a", 5), ("bcdef", 1000), ("", None)]) == (
        "name   count\na          5\nbcdef   1000\n-          -"
    )


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(("name", "count"), []) == "name  count"


def test_hits() -> None:
    hits = [hit(1, 0.99994), hit(2, -0.5, cluster=-1), hit(10, 0.0, label="", cluster=None)]
    assert hit_table(hits).splitlines() == [
        "rank  similarity  cluster  label  item",
        "   1      0.9999        3  crack  crack/1.png",
        "   2     -0.5000    noise  crack  crack/2.png",
        "  10      0.0000        -  -      /10.png",
    ]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\\x1b[2Jcrack" in hit_table([hit(1, 1.0, label="\x1b[2Jcrack")])


def test_clusters() -> None:
    classes = (ClassCount(label="crack", count=7), ClassCount(label="", count=1))
    clustering = Clustering(
        map=MapInfo(version=2, item_count=10, pending_count=1, eps=3.0, min_samples=10, perplexity=30.0),
        clusters=(Cluster(cluster=0, size=8, core_count=5, medoid_item_id="crack/1.png", classes=classes),),
        noise_count=2,
    )
    assert cluster_table(clustering).splitlines() == [
        "map 2: 10 items, 1 pending, eps 3, min_samples 10, perplexity 30",
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


def test_json_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    show(True, {"label": "Riß"}, "Riß")
    assert capsys.readouterr().out == '{\n  "label": "Ri\\u00df"\n}\n'
    show(False, {"label": "Riß"}, "Riß \udcff")
    assert capsys.readouterr().out == "Riß \\udcff\n"


def test_facts_stand_in_two_columns() -> None:
    assert facts([("name", "cells"), ("images kept", ""), ("x", "\x1b[2J")]) == (
        "name         cells\nimages kept  -\nx            \\x1b[2J"
    )


def test_attributes_in_a_line() -> None:
    item = Item(
        item_id="a",
        label="",
        cluster=None,
        create_time=datetime(2026, 11, 22, 18, tzinfo=UTC),
        has_image=False,
        attributes={
            "count": 3.0,
            "depth": 0.1,
            "huge": 1e300,
            "reviewed": False,
            "taken": datetime(2026, 11, 22, 10, tzinfo=UTC),
            "note": "\x1b[2J",
        },
        source_uri="",
    )
    assert item_table([item]).splitlines()[1] == (
        "      -  -      count=3, depth=0.1, huge=1e+300, reviewed=false, taken=2026-11-22T10:00:00Z, note=\\x1b[2J  a"
    )
    assert item_json(item)["attributes"]["taken"] == "2026-11-22T10:00:00+00:00"
