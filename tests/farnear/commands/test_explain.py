import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.farnear.fake import FakeService

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_explain(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "heat.png"
    out.write_bytes(b"older")
    assert farnear("explain", "id:c", "--collection", cells, "--out", str(out), "--json") == 0
    assert json_of(capsys) == {"item_id": "c", "out": str(out), "height": 1, "width": 3, "maximum": 1.0}
    assert out.read_bytes() == b"\x89PNG overlay"
    assert [path.name for path in tmp_path.iterdir()] == ["heat.png"]
    query = tmp_path / "query.png"
    query.write_bytes(b"img 0 1 0")
    assert farnear("explain", str(query), "--collection", cells, "--out", str(out), "--json") == 0
    assert json_of(capsys)["item_id"] is None


def test_a_refused_explain_leaves_the_file_alone(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "heat.png"
    out.write_bytes(b"older")
    assert farnear("explain", "id:nobody", "--collection", cells, "--out", str(out)) == 1
    assert capsys.readouterr().err == "farnear: item_id: 'nobody' is not there\n"
    assert out.read_bytes() == b"older"


def test_explain_asks_nothing_where_it_could_not_write(
    farnear: Farnear, cells: str, tmp_path: Path, service: FakeService, capsys: Capture
) -> None:
    service.calls.clear()
    out = tmp_path / "nowhere/heat.png"
    assert farnear("explain", "id:a", "--collection", cells, "--out", str(out)) == 1
    assert capsys.readouterr().err == f"farnear: --out {out}: there is no folder {out.parent}\n"
    assert service.calls == []


def test_explain_onto_a_folder_is_refused(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    assert farnear("explain", "id:a", "--collection", cells, "--out", str(out)) == 1
    assert capsys.readouterr().err == f"farnear: --out {out}: Is a directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
