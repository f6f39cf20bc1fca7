import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from farnear import Client, ImageRetention, NewItem

from tests.farnear.fake import FakeService

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]

A = {
    "item_id": "a",
    "label": "crack",
    "cluster": None,
    "create_time": "2026-11-22T18:00:00+00:00",
    "has_image": True,
    "attributes": {"reviewed": True, "severity": 3.0},
    "source_uri": "",
}


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_items_are_listed(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    client.recluster(cells)
    assert farnear("items", "list", "--collection", cells) == 0
    assert capsys.readouterr().out.splitlines() == [
        "cluster  label  attributes                  item",
        "      0  crack  reviewed=true, severity=3   a",
        "      0  crack  severity=1                  b",
        "      1  rust   reviewed=false, severity=5  c",
        "  noise  -      -                           d",
    ]


def test_items_are_listed_and_counted_by_a_filter(
    farnear: Farnear, cells: str, service: FakeService, capsys: Capture
) -> None:
    ask = ("--collection", cells, "--where", "severity >= 3")
    assert farnear("items", "list", *ask, "--json") == 0
    assert [item["item_id"] for item in json_of(capsys)] == ["a", "c"]
    assert farnear("items", "list", *ask, "--limit", "1", "--json") == 0
    assert json_of(capsys) == [A]
    assert farnear("items", "count", *ask, "--json") == 0
    assert json_of(capsys) == {"count": 2}
    assert farnear("items", "count", "--collection", cells) == 0
    assert capsys.readouterr().out == "4\n"
    assert farnear("items", "count", "--collection", cells, "--where", "size = 1") == 1
    assert capsys.readouterr().err == "farnear: filter: 'size' is no field\n"


def test_an_item(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    client.upsert(
        cells,
        [
            NewItem(
                item_id="e",
                content=b"img 0 0 1",
                attributes={"taken": datetime(2026, 11, 22, 10, 0, 0, 500_000, tzinfo=UTC), "severity": 1e-5},
                source_uri="file:///archive/e.png",
            )
        ],
    )
    assert farnear("items", "get", "e", "--collection", cells) == 0
    assert capsys.readouterr().out.splitlines() == [
        "item      e",
        "label     -",
        "cluster   -",
        "made      2026-11-22 18:00",
        "image     kept",
        "source    file:///archive/e.png",
        "severity  1e-05",
        "taken     2026-11-22T10:00:00.500000Z",
    ]
    assert farnear("items", "get", "e", "--collection", cells, "--json") == 0
    assert json_of(capsys)["attributes"] == {"severity": 1e-05, "taken": "2026-11-22T10:00:00.500000+00:00"}
    assert farnear("items", "get", "a", "--collection", cells, "--json") == 0
    assert json_of(capsys) == A
    assert farnear("items", "get", "nobody", "--collection", cells) == 1
    assert capsys.readouterr().err == "farnear: item_id: 'nobody' is not there\n"


def test_the_kept_image_is_written(
    farnear: Farnear, client: Client, cells: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "a.png"
    assert farnear("items", "image", "a", "--collection", cells, "--out", str(out)) == 0
    assert capsys.readouterr().out == f"{out}: image/toy, 9 bytes, original\n"
    assert out.read_bytes() == b"img 1 0 0"
    client.create_collection("small", bundle="toy", image_retention=ImageRetention.THUMBNAIL)
    client.upsert("small", [NewItem(item_id="a", content=b"img 0 1 0")])
    assert farnear("items", "image", "a", "--collection", "small", "--out", str(out), "--json") == 0
    assert json_of(capsys) == {
        "item_id": "a",
        "out": str(out),
        "media_type": "image/toy",
        "original": False,
        "bytes": 9,
    }
    assert out.read_bytes() == b"img 0 1 0"


def test_an_image_that_is_not_there_leaves_the_file_alone(
    farnear: Farnear, cells: str, tmp_path: Path, service: FakeService, capsys: Capture
) -> None:
    out = tmp_path / "a.png"
    out.write_bytes(b"older")
    assert farnear("items", "image", "nobody", "--collection", cells, "--out", str(out)) == 1
    assert out.read_bytes() == b"older"
    service.calls.clear()
    nowhere = tmp_path / "nowhere/a.png"
    assert farnear("items", "image", "a", "--collection", cells, "--out", str(nowhere)) == 1
    assert capsys.readouterr().err.endswith(f"--out {nowhere}: there is no folder {nowhere.parent}\n")
    assert service.calls == []


def test_items_are_deleted(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    assert farnear("items", "delete", "a", "nobody", "c", "--collection", cells) == 0
    assert capsys.readouterr().out == "deleted 2 of 3\n"
    assert farnear("items", "delete", "b", "--collection", cells, "--json") == 0
    assert json_of(capsys) == {"deleted_count": 1}
    assert [item.item_id for item in client.list_items(cells)] == ["d"]
