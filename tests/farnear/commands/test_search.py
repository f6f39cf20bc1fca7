import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farnear import Client
from farnear.v1 import search_pb2

from tests.farnear.conftest import png
from tests.farnear.fake import FakeService
from tests.farnear.page import Page

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_similar_and_divergent(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    query = tmp_path / "query.png"
    query.write_bytes(b"img 1 0 0")
    assert farnear("similar", str(query), "--collection", cells, "-k", "1", "--json") == 0
    assert json_of(capsys) == [{"rank": 1, "item_id": "a", "similarity": 1.0, "label": "crack", "cluster": None}]
    assert farnear("divergent", str(query), "--collection", cells, "-k", "1", "--json") == 0
    assert json_of(capsys) == [{"rank": 1, "item_id": "d", "similarity": -1.0, "label": "", "cluster": None}]
    assert farnear("similar", str(query), "--collection", cells, "-k", "1") == 0
    assert capsys.readouterr().out == ("rank  similarity  cluster  label  item\n   1      1.0000        -  crack  a\n")


def test_both(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    client.recluster(cells)
    assert farnear("both", "id:c", "--collection", cells, "-k", "2", "--json") == 0
    found = json_of(capsys)
    assert list(found) == ["similar", "divergent", "certificates"]
    assert [(hit["item_id"], hit["cluster"]) for hit in found["similar"]] == [("b", 0), ("a", 0)]
    assert [(hit["item_id"], hit["cluster"]) for hit in found["divergent"]] == [("a", 0), ("d", -1)]
    assert farnear("both", "id:c", "--collection", cells, "-k", "1") == 0
    assert capsys.readouterr().out == (
        "most similar\n"
        "rank  similarity  cluster  label  item\n"
        "   1      0.1104        0  crack  b\n"
        "\n"
        "most divergent\n"
        "rank  similarity  cluster  label  item\n"
        "   1      0.0000        0  crack  a\n"
    )


def test_an_image_from_stdin(farnear: Farnear, cells: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"img 0 1 0")))
    assert farnear("similar", "-", "--collection", cells, "-k", "1", "--json") == 0
    assert json_of(capsys)[0]["item_id"] == "c"


def test_an_image_that_cannot_be_read(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    for command in ("similar", "assign"):
        assert farnear(command, str(tmp_path / "no.png"), "--collection", cells) == 1
        assert capsys.readouterr().err == f"farnear: cannot read {tmp_path / 'no.png'}: No such file or directory\n"
    assert farnear("similar", str(tmp_path), "--collection", cells) == 1
    assert "Is a directory" in capsys.readouterr().err


def test_a_filter_limits_what_is_listed(farnear: Farnear, cells: str, capsys: Capture) -> None:
    ask = ("id:a", "--collection", cells, "--where", "label != 'crack'", "--json")
    assert farnear("similar", *ask) == 0
    assert [hit["item_id"] for hit in json_of(capsys)] == ["c", "d"]
    assert farnear("divergent", *ask) == 0
    assert [hit["item_id"] for hit in json_of(capsys)] == ["d", "c"]
    assert farnear("both", "id:a", "--collection", cells, "--where", "label > 3") == 1
    assert capsys.readouterr().err == "farnear: filter: 3.0 is of another type than the field\n"


def test_pages_are_listed_as_one(farnear: Farnear, cells: str, service: FakeService, capsys: Capture) -> None:
    ask = ("id:a", "--collection", cells, "-k", "1", "--json")
    assert farnear("similar", *ask, "--pages", "2") == 0
    assert [(hit["rank"], hit["item_id"]) for hit in json_of(capsys)] == [(1, "b"), (2, "c")]
    assert len(service.requests("Search")) == 2
    assert farnear("both", *ask, "--pages", "all") == 0
    found = json_of(capsys)
    assert [(hit["rank"], hit["item_id"]) for hit in found["similar"]] == [(1, "b"), (2, "c"), (3, "d")]
    assert [(hit["rank"], hit["item_id"]) for hit in found["divergent"]] == [(1, "d"), (2, "c"), (3, "b")]


EXACT = {
    "exact": True,
    "recall": 1.0,
    "calibration_k": None,
    "calibration_queries": None,
    "calibration_time": None,
}


def test_a_list_that_is_not_exact_says_so(farnear: Farnear, cells: str, service: FakeService, capsys: Capture) -> None:
    service.divergent_certificate = search_pb2.Certificate(recall=0.99125, calibration_k=10, calibration_queries=1000)
    service.divergent_certificate.calibration_time.FromJsonString("2026-11-22T18:00:00Z")
    assert farnear("divergent", "id:a", "--collection", cells, "-k", "1") == 0
    assert capsys.readouterr().out == (
        "rank  similarity  cluster  label  item\n"
        "   1     -1.0000        -  -      d\n"
        "not exact: recall 0.9912 at k 10, measured on 1000 queries, 2026-11-22 18:00\n"
    )
    assert farnear("similar", "id:a", "--collection", cells, "-k", "1") == 0
    assert "exact" not in capsys.readouterr().out
    assert farnear("both", "id:a", "--collection", cells, "-k", "1") == 0
    similar, divergent = capsys.readouterr().out.split("\n\n")
    assert "exact" not in similar
    assert divergent.endswith("not exact: recall 0.9912 at k 10, measured on 1000 queries, 2026-11-22 18:00\n")
    assert farnear("both", "id:a", "--collection", cells, "--json") == 0
    assert json_of(capsys)["certificates"] == {
        "similar": EXACT,
        "divergent": {
            "exact": False,
            "recall": 0.99125,
            "calibration_k": 10,
            "calibration_queries": 1000,
            "calibration_time": "2026-11-22T18:00:00+00:00",
        },
    }


def test_hits_can_be_drawn_with_their_heat_maps(
    farnear: Farnear, cells: str, drawing_service: FakeService, tmp_path: Path, capsys: Capture
) -> None:
    query, out = tmp_path / "query.png", tmp_path / "hits.html"
    query.write_bytes(png("blue"))
    assert farnear("both", str(query), "--collection", cells, "-k", "2", "--explain", str(out), "--json") == 0
    assert list(json_of(capsys)["similar"][0]) == ["rank", "item_id", "similarity", "label", "cluster"]
    page = Page(out.read_text("utf-8"))
    assert "query.png in cells" in page.words
    alts = [image["alt"] for image in page.images]
    assert alts[:3] == ["query: query.png", "most similar: a, rank 1, 1.000", "most similar: b, rank 2, 0.994"]
    assert "most divergent: d, rank 1, -1.000" in alts
    assert len(alts) == 1 + 2 * 2 * 3
    for explain, told in (
        (("--explain", str(tmp_path / "no/x.png")), "--explain"),
        (("--explain", str(out), "--pages", "2"), "--explain: goes with one page of hits"),
    ):
        assert farnear("similar", str(query), "--collection", cells, *explain) == 1
        assert told in capsys.readouterr().err
