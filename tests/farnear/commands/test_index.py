import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from farnear import AttributeType, Client

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_index_then_again(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "crack").mkdir()
    (tmp_path / "crack/1.png").write_bytes(b"img 1 1 0")
    index = ("index", str(tmp_path), "--collection", cells)
    assert farnear(*index, "--json") == 0
    assert json_of(capsys) == {"indexed": 1, "skipped": 0, "refused": []}
    (tmp_path / "crack/2.png").write_bytes(b"junk")
    assert farnear(*index, "--json") == 1
    out, err = capsys.readouterr()
    reason = "image: not an image;\nallowed are JPEG, PNG, WebP, BMP and TIFF"
    assert json.loads(out) == {"indexed": 0, "skipped": 1, "refused": [{"item_id": "crack/2.png", "error": reason}]}
    assert err.startswith("farnear: refused crack/2.png: image: not an image; allowed are")
    assert farnear(*index) == 1
    assert capsys.readouterr().out == "indexed 0, skipped 1, refused 1\n"


def test_index_refuses_what_is_no_image_set(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    assert farnear("index", str(tmp_path), "--collection", cells) == 1
    assert "holds no images" in capsys.readouterr().err
    assert farnear("index", str(tmp_path / "nowhere"), "--collection", cells) == 1
    assert capsys.readouterr().err == f"farnear: cannot read {tmp_path / 'nowhere'}: No such file or directory\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("crack/1.png", "crack/2 b.png", "rust/1.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"img 0 0 1")
    return tmp_path / "photos"


@pytest.fixture
def empty(client: Client) -> str:
    client.create_collection("empty", bundle="toy", attributes={"code": AttributeType.STRING})
    return "empty"


def test_what_a_file_says_is_indexed_with_the_images(
    farnear: Farnear, client: Client, empty: str, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "photos.csv"
    file.write_text(
        "item_id,severity,code,taken\ncrack/1.png,3,7,2026-11-22\nrust/1.png,,8,\ngone/1.png,1,9,\ngone/2.png,1,9,\n"
    )
    assert farnear("index", str(photos), "--collection", empty, "--attributes", str(file), "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"indexed": 3, "skipped": 0, "refused": []}
    assert err == f"farnear: {file}: 2 item ids are of no image; the first is 'gone/1.png'\n"
    assert [(item.item_id, item.attributes) for item in client.list_items(empty)] == [
        ("crack/1.png", {"code": "7", "severity": 3.0, "taken": datetime(2026, 11, 22, tzinfo=UTC)}),
        ("crack/2 b.png", {}),
        ("rust/1.png", {"code": "8"}),
    ]


def test_what_is_there_is_replaced_only_when_asked_for(
    farnear: Farnear, client: Client, empty: str, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert farnear("index", str(photos), "--collection", empty) == 0
    file = tmp_path / "photos.jsonl"
    file.write_text('{"item_id": "crack/1.png", "severity": 3}')
    index = ("index", str(photos), "--collection", empty, "--attributes", str(file))
    assert farnear(*index) == 0
    assert capsys.readouterr().out.splitlines()[1] == "indexed 0, skipped 3, refused 0"
    assert client.get_item(empty, "crack/1.png").attributes == {}
    assert farnear(*index, "--replace") == 0
    assert capsys.readouterr().out == "indexed 3, skipped 0, refused 0\n"
    assert client.get_item(empty, "crack/1.png").attributes == {"severity": 3.0}


@pytest.mark.parametrize("base", ["file:///archive/photos", "file:///archive/photos/"])
def test_a_source_is_kept_only_when_asked_for(
    farnear: Farnear, client: Client, empty: str, photos: Path, base: str
) -> None:
    assert farnear("index", str(photos), "--collection", empty) == 0
    assert {item.source_uri for item in client.list_items(empty)} == {""}
    assert farnear("index", str(photos), "--collection", empty, "--replace", "--source-base", base) == 0
    assert [item.source_uri for item in client.list_items(empty)] == [
        "file:///archive/photos/crack/1.png",
        "file:///archive/photos/crack/2%20b.png",
        "file:///archive/photos/rust/1.png",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("item_id,x\ngone,1\n", "no item_id in it is that of an image; the first is 'gone'"),
        ("item_id,code:number\ncrack/1.png,1\n", "'code:number': in the collection code is a string"),
        ("item_id,x:bool\ncrack/1.png,1\n", "line 2: x: '1' is neither true nor false"),
    ],
)
def test_a_file_that_cannot_be_meant_stops_everything(
    content: str,
    complaint: str,
    farnear: Farnear,
    client: Client,
    empty: str,
    photos: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    file = tmp_path / "photos.csv"
    file.write_text(content)
    assert farnear("index", str(photos), "--collection", empty, "--attributes", str(file)) == 1
    assert capsys.readouterr().err == f"farnear: {file}: {complaint}\n"
    assert client.count_items(empty) == 0


def test_a_file_that_is_not_there_is_refused(
    farnear: Farnear, empty: str, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "nowhere.csv"
    assert farnear("index", str(photos), "--collection", empty, "--attributes", str(file)) == 1
    assert capsys.readouterr().err == f"farnear: cannot read {file}: No such file or directory\n"
