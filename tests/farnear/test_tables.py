from datetime import UTC, datetime

import pytest
from farnear.results import Hit, Item
from farnear.tables import (
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
