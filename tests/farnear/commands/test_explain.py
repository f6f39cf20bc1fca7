import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farnear import Client
from farnear.v1 import explain_pb2

from tests.farnear.conftest import png
from tests.farnear.fake import FakeService
from tests.farnear.page import Page

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


def test_explain_a_pair(
    farnear: Farnear, cells: str, drawing_service: FakeService, tmp_path: Path, capsys: Capture
) -> None:
    for out, start in ((tmp_path / "pair.png", b"\x89PNG"), (tmp_path / "pair.html", b"<!DOCTYPE html>")):
        assert farnear("explain", "id:a", "--with", "id:d", "--collection", cells, "--out", str(out), "--json") == 0
        assert json_of(capsys) == {"out": str(out), "similarity": -1.0}
        assert out.read_bytes().startswith(start)


def test_explain_a_cluster(
    farnear: Farnear, client: Client, cells: str, drawing_service: FakeService, tmp_path: Path, capsys: Capture
) -> None:
    client.recluster(cells)
    out = tmp_path / "cluster.html"
    assert farnear("explain", "--cluster", "0", "--collection", cells, "--out", str(out), "--json") == 0
    assert json_of(capsys) == {"out": str(out), "explained": 2, "refused": []}
    page = Page(out.read_text("utf-8"))
    assert "Cluster 0 of cells" in page.words
    assert [image["alt"] for image in page.images] == [
        "images: a",
        "images: b",
        "heat maps: 0 to 1",
        "heat maps: 0 to 0.99",
    ]
    assert farnear("explain", "--cluster", "0", "--tie", "--collection", cells, "--out", str(out)) == 0
    assert "cluster 0, 0.994 to a" in Page(out.read_text("utf-8")).words
    capsys.readouterr()
    for number, told in (("-1", "--cluster: -1 is the noise, which has no medoid"), ("7", "there is no cluster 7")):
        assert farnear("explain", "--cluster", number, "--collection", cells, "--out", str(out)) == 1
        assert told in capsys.readouterr().err


def test_explain_ties_an_image(
    farnear: Farnear, client: Client, cells: str, service: FakeService, tmp_path: Path
) -> None:
    client.recluster(cells)
    out = tmp_path / "tie.png"
    assert farnear("explain", "id:b", "--tie", "--collection", cells, "--out", str(out)) == 0
    assert service.requests("Explain")[-1].target == explain_pb2.EXPLAIN_TARGET_CLUSTER
    assert out.read_bytes() == service.overlay


def test_explain_a_folder(
    farnear: Farnear, cells: str, tmp_path: Path, drawing_service: FakeService, capsys: Capture
) -> None:
    folder = tmp_path / "photos"
    (folder / "crack").mkdir(parents=True)
    (folder / "2.png").write_bytes(b"junk")
    out = tmp_path / "photos.html"
    argv = ("explain", str(folder), "--collection", cells, "--out", str(out), "--json")
    assert farnear(*argv) == 1
    assert "farnear: 2.png: image: not an image" in capsys.readouterr().err
    assert not out.exists()
    (folder / "crack/1.png").write_bytes(png("blue"))
    assert farnear(*argv) == 1
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert (facts["explained"], [one["item_id"] for one in facts["refused"]]) == (1, ["2.png"])
    assert "farnear: refused 2.png: image: not an image" in told.err
    assert [image["alt"] for image in Page(out.read_text("utf-8")).images] == [
        "images: crack/1.png",
        "heat maps: 0 to 1",
    ]
    (folder / "2.png").unlink()
    assert farnear(*argv) == 0


def test_what_to_explain_must_be_named(
    farnear: Farnear, cells: str, tmp_path: Path, service: FakeService, capsys: Capture
) -> None:
    service.calls.clear()
    for arguments, told in (
        ((), "name what to explain: IMAGE, or --cluster N"),
        (("id:a", "--cluster", "0"), "name what to explain: IMAGE, or --cluster N"),
        ((str(tmp_path), "--with", "id:a"), "is a folder; a pair is two images"),
        ((str(tmp_path),), f"{tmp_path} holds no images"),
    ):
        assert farnear("explain", *arguments, "--collection", cells, "--out", str(tmp_path / "x.png")) == 1
        assert told in capsys.readouterr().err
    assert service.calls == []


def test_explain_onto_a_folder_is_refused(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    assert farnear("explain", "id:a", "--collection", cells, "--out", str(out)) == 1
    assert capsys.readouterr().err == f"farnear: --out {out}: Is a directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
