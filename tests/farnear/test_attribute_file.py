import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from farnear.attribute_file import read_attribute_file
from farnear.attributes import AttributeType, AttributeValue

MORNING = datetime(2026, 11, 22, 10, tzinfo=UTC)
KINDS = {"severity": AttributeType.NUMBER, "taken": AttributeType.TIMESTAMP}

Found = dict[str, dict[str, AttributeValue]]


def read(folder: Path, name: str, content: str | bytes, types: dict[str, AttributeType] | None = None) -> Found:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_attribute_file(path, types or {})


def test_a_csv_file_with_types(tmp_path: Path) -> None:
    content = (
        "severity:number,item_id,code:string,reviewed:bool,taken:timestamp\n"
        "3,crack/1.png,007,true,2026-11-22T10:00Z\n"
        ',"crack/2, left.png",,FALSE,\n'
        "\n"
        '-0.5,rust/1.png,"two\nlines", true ,2026-11-22T11:00+01:00\n'
    )
    assert read(tmp_path, "photos.csv", content) == {
        "crack/1.png": {"severity": 3, "code": "007", "reviewed": True, "taken": MORNING},
        "crack/2, left.png": {"reviewed": False},
        "rust/1.png": {"severity": -0.5, "code": "two\nlines", "reviewed": True, "taken": MORNING},
    }


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["3", "-0.5", "1e3"], [3, -0.5, 1000.0]),
        (["0", "0.5", "-0"], [0, 0.5, 0]),
        (["true", "False", ""], [True, False, None]),
        (["2026-11-22", "2026-11-22T10:00Z"], [datetime(2026, 11, 22, tzinfo=UTC), MORNING]),
        (["007", "008"], ["007", "008"]),
        (["3", "high"], ["3", "high"]),
        (["true", "1"], ["true", "1"]),
        (["2026-11-22T10:00", "2026-11-22"], ["2026-11-22T10:00", "2026-11-22"]),
        (["9007199254740993"], ["9007199254740993"]),
        (["1e999"], ["1e999"]),
    ],
)
def test_a_column_without_a_type_has_the_one_that_all_its_cells_can_be(
    cells: list[str], values: list[AttributeValue | None], tmp_path: Path
) -> None:
    content = "item_id,x\n" + "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    found = [row.get("x") for row in read(tmp_path, "photos.csv", content).values()]
    assert [(value, type(value)) for value in found] == [(value, type(value)) for value in values]


def test_the_collections_types_come_before_what_cells_look_like(tmp_path: Path) -> None:
    types = {"code": AttributeType.STRING, "taken": AttributeType.TIMESTAMP}
    rows = "item_id,code,taken\na,3,2026-11-22T10:00Z\n", '{"item_id": "a", "code": "3", "taken": "2026-11-22T10:00Z"}'
    for name, content in zip(("p.csv", "p.jsonl"), rows, strict=True):
        assert read(tmp_path, name, content, types) == {"a": {"code": "3", "taken": MORNING}}


def test_a_spreadsheets_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert read(tmp_path, "photos.CSV", b"\xef\xbb\xbfitem_id,x\r\na,1\r\n") == {"a": {"x": 1}}


@pytest.mark.parametrize("name", ["photos.jsonl", "photos.ndjson"])
def test_json_lines(name: str, tmp_path: Path) -> None:
    content = (
        '{"item_id": "crack/1.png", "severity": 3, "code": "007", "reviewed": true, "taken:timestamp": "2026-11-22"}\n'
        "\n"
        '{"item_id": "Riß.png", "severity": null, "reviewed": false}\n'
        '{"severity": 0.5, "item_id": "empty.png", "code": ""}\n'
    )
    assert read(tmp_path, name, content) == {
        "crack/1.png": {
            "severity": 3,
            "code": "007",
            "reviewed": True,
            "taken": datetime(2026, 11, 22, tzinfo=UTC),
        },
        "Riß.png": {"reviewed": False},
        "empty.png": {"severity": 0.5, "code": ""},
    }


@pytest.mark.parametrize("name", ["photos.csv", "photos.jsonl"])
def test_a_file_may_say_nothing_of_an_item(name: str, tmp_path: Path) -> None:
    content = "item_id,x\na,\n" if name.endswith("csv") else '{"item_id": "a", "x": null}'
    assert read(tmp_path, name, content) == {"a": {}}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "its first line has no column item_id, but nothing"),
        ("id;severity\n", "its first line has no column item_id, but id;severity"),
        ("item_id,x,x\n", "its first line names a column twice: item_id, x, x"),
        ("item_id,x\na,1,2\n", "line 2: 3 cells under 2 names"),
        ('item_id,x\n"two\nlines",1\nb\n', "line 4: 1 cells under 2 names"),
        ("item_id,x\na,1\na,2\n", "line 3: 'a' was there already"),
        ("item_id,x y\na,1\n", "'x y' can be no attribute; allowed are 1 to 64 of a-z"),
        ("item_id,label\na,1\n", "'label' can be no attribute; allowed are 1 to 64 of a-z"),
        ("item_id,x:int\na,1\n", "'x:int': 'int' is no type; allowed are string, number, bool, timestamp"),
        ("item_id,x:\na,1\n", "'x:': '' is no type"),
        ("item_id,x,x:number\na,1,2\n", "'x' is there with and without a type, or with two"),
        ("item_id,severity:string\na,3\n", "'severity:string': in the collection severity is a number"),
        ("item_id,severity\na,3\nb,high\n", "line 3: severity: 'high' is no number; allowed are such as"),
        ("item_id,severity\na,1e999\n", "line 2: severity: inf is no finite number"),
        ("item_id,x:bool\na,yes\n", "line 2: x: 'yes' is neither true nor false"),
        ("item_id,taken\na,2026-11-22T10:00\n", "line 2: taken: '2026-11-22T10:00' has no time zone"),
        ('item_id,x\na,"1\n', "unexpected end of data"),
        (b"item_id,x\na,\xff\n", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_is_wrong_in_a_csv_file(content: str | bytes, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'photos.csv'}: {complaint}")):
        read(tmp_path, "photos.csv", content, KINDS)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"item_id": "a"}\n{"item_id": "b",}', "line 2: not JSON: "),
        ("[]", "line 1: not an object with a text as item_id"),
        ('{"x": 3}', "line 1: not an object with a text as item_id"),
        ('{"item_id": 3}', "line 1: not an object with a text as item_id"),
        ('{"item_id": "a"}\n{"item_id": "a"}', "line 2: 'a' was there already"),
        ('{"item_id": "a", "x": 1}\n{"item_id": "b", "x": true}', "line 2: x: true is no number"),
        ('{"item_id": "a", "x": [1]}', "line 1: x: [1] is no string"),
        ('{"item_id": "a", "x": NaN}', "line 1: x: nan is no finite number"),
        ('{"item_id": "a", "x": 9007199254740993}', "line 1: x: 9007199254740993 is no finite number"),
        ('{"item_id": "a", "x": "\\ud800"}', "line 1: x: '\\ud800' is not UTF-8"),
        ('{"item_id": "a", "severity": "3"}', 'line 1: severity: "3" is no number'),
        ('{"item_id": "a", "taken": 3}', "line 1: taken: 3 is no timestamp"),
        ('{"item_id": "a", "taken": "today"}', "line 1: taken: 'today' is no time"),
        ('{"item_id": "a", "cluster": 3}', "'cluster' can be no attribute"),
    ],
)
def test_what_is_wrong_in_a_file_of_json_lines(content: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'photos.jsonl'}: {complaint}")):
        read(tmp_path, "photos.jsonl", content, KINDS)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"photos\.xlsx: is no \.csv, \.jsonl, \.ndjson file"):
        read(tmp_path, "photos.xlsx", "")


def test_a_file_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_attribute_file(tmp_path / "photos.csv", {})
