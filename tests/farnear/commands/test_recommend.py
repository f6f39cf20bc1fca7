import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farnear.v1 import explain_pb2, recommend_pb2, types_pb2

from tests.farnear.fake import FakeService

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_recommendations(farnear: Farnear, cells: str, capsys: Capture) -> None:
    ask = ("recommend", "--collection", cells, "--like", "id:a", "--mode", "similar")
    assert farnear(*ask, "-k", "2") == 0
    assert capsys.readouterr().out.splitlines() == [
        "rank  relevance  cluster  label  item",
        "   1     0.9939        -  crack  b",
        "   2     0.0000        -  rust   c",
    ]
    assert farnear(*ask, "--seen", "b", "--where", "exists(severity)", "--json") == 0
    assert json_of(capsys) == [{"rank": 1, "item_id": "c", "similarity": 0.0, "label": "rust", "cluster": None}]


def test_everything_that_is_said_arrives(farnear: Farnear, cells: str, tmp_path: Path, service: FakeService) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"img 0 0 1")
    ask = ("recommend", "--collection", cells, "--user", "ada", "--mode", "diverse", "--pool", "50", "-k", "3")
    ask += ("--like", "id:a", str(photo), "--like", "id:b", "--dislike", "id:d", "--seen", "c")
    assert farnear(*ask) == 0
    assert farnear("recommend", "--collection", cells, "--novelty", "0.3") == 0
    first, second = service.requests("Recommend")
    assert first == recommend_pb2.RecommendRequest(
        collection=cells,
        user="ada",
        liked=[
            types_pb2.Query(item_id="a"),
            types_pb2.Query(image=b"img 0 0 1"),
            types_pb2.Query(item_id="b"),
        ],
        disliked=[types_pb2.Query(item_id="d")],
        seen_item_ids=["c"],
        mode=recommend_pb2.RECOMMEND_MODE_DIVERSE,
        k=3,
        pool=50,
    )
    assert second == recommend_pb2.RecommendRequest(collection=cells, novelty=0.3, k=10)


def test_a_refused_recommendation_is_one_line(farnear: Farnear, cells: str, tmp_path: Path, capsys: Capture) -> None:
    ask = ("recommend", "--collection", cells, "--mode", "similar", "--like")
    assert farnear(*ask, "id:nobody") == 1
    assert capsys.readouterr().err == "farnear: item_id: 'nobody' is not there\n"
    assert farnear(*ask, str(tmp_path / "no.png")) == 1
    assert capsys.readouterr().err == f"farnear: cannot read {tmp_path / 'no.png'}: No such file or directory\n"


def test_interactions(farnear: Farnear, cells: str, capsys: Capture) -> None:
    of_ada = ("--collection", cells, "--user", "ada")
    assert farnear("interactions", "record", *of_ada, "--like", "a", "--seen", "b", "c") == 0
    assert capsys.readouterr().out == "recorded 3 for ada\n"
    assert farnear("interactions", "record", *of_ada, "--dislike", "c", "--json") == 0
    assert json_of(capsys) == {"user": "ada", "recorded_count": 1}
    assert farnear("interactions", "list", *of_ada) == 0
    assert capsys.readouterr().out.splitlines() == [
        "time              opinion   item",
        "2026-11-22 18:00  liked     a",
        "2026-11-22 18:00  seen      b",
        "2026-11-22 18:00  disliked  c",
    ]
    assert farnear("interactions", "list", *of_ada, "--limit", "1", "--json") == 0
    assert json_of(capsys) == [{"item_id": "a", "opinion": "liked", "time": "2026-11-22T18:00:00+00:00"}]
    assert farnear("recommend", *of_ada, "--mode", "similar", "--json") == 0
    assert [hit["item_id"] for hit in json_of(capsys)] == ["d"]
    assert farnear("interactions", "forget", *of_ada) == 0
    assert capsys.readouterr().out == "forgot 3 of ada\n"
    assert farnear("interactions", "forget", *of_ada, "--json") == 0
    assert json_of(capsys) == {"user": "ada", "deleted_count": 0}


def test_nothing_to_record_is_refused(farnear: Farnear, cells: str, service: FakeService, capsys: Capture) -> None:
    service.calls.clear()
    assert farnear("interactions", "record", "--collection", cells, "--user", "ada") == 1
    assert capsys.readouterr().err == "farnear: nothing to record: give --like, --dislike or --seen\n"
    assert farnear("interactions", "record", "--collection", cells, "--user", "ada", "--like", "nobody") == 1
    assert capsys.readouterr().err == "farnear: interactions: 'nobody' is not there\n"
    assert len(service.calls) == 1


def test_recommendations_can_be_drawn_with_their_heat_maps(
    farnear: Farnear, cells: str, drawing_service: FakeService, tmp_path: Path
) -> None:
    out = tmp_path / "recommended.png"
    argv = ("recommend", "--collection", cells, "--like", "id:a", "--novelty", "0", "-k", "2", "--explain", str(out))
    assert farnear(*argv) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert drawing_service.requests("Recommend")[-1].explain.picture == explain_pb2.HEATMAP_PICTURE_OVERLAY
