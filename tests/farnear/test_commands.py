import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farnear import Client

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


COLLECTION = {
    "name": "cells",
    "bundle": "toy",
    "bundle_digest": "ab" * 32,
    "item_count": 0,
    "embedding_dim": 3,
    "create_time": "2026-11-22T18:00:00+00:00",
    "keeps_images": True,
}


def test_collections(farnear: Farnear, capsys: Capture) -> None:
    assert farnear("collections", "list", "--json") == 0
    assert json_of(capsys) == []
    assert farnear("collections", "create", "cells", "--bundle", "toy", "--json") == 0
    assert json_of(capsys) == COLLECTION
    assert farnear("collections", "list", "--json") == 0
    assert json_of(capsys) == [COLLECTION]
    assert farnear("collections", "list") == 0
    assert capsys.readouterr().out == "name   bundle  items  made\ncells  toy         0  2026-11-22 18:00\n"
    assert farnear("collections", "delete", "cells", "--json") == 0
    assert json_of(capsys) == {"name": "cells", "deleted_item_count": 0}


def test_a_refusal_is_one_line_and_code_1(farnear: Farnear, cells: str, capsys: Capture) -> None:
    assert farnear("collections", "create", cells, "--bundle", "toy") == 1
    assert capsys.readouterr() == ("", "farnear: name: 'cells' is taken\n")
    assert farnear("similar", "id:a", "--collection", "nowhere", "--json") == 1
    assert capsys.readouterr() == ("", "farnear: collection: 'nowhere' is not there\n")


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
    assert list(found) == ["similar", "divergent"]
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


def test_clusters(farnear: Farnear, cells: str, capsys: Capture) -> None:
    assert farnear("clusters", "--collection", cells) == 1
    assert capsys.readouterr().err == "farnear: collection: 'cells' has no map yet\n"
    assert farnear("clusters", "--collection", cells, "--refit", "--json") == 0
    assert json_of(capsys) == {
        "map": {"version": 1, "item_count": 4, "pending_count": 0, "eps": 0.5, "min_samples": 1, "perplexity": 30.0},
        "clusters": [
            {
                "cluster": 0,
                "size": 2,
                "core_count": 2,
                "medoid_item_id": "a",
                "classes": [{"label": "crack", "count": 2}],
            },
            {
                "cluster": 1,
                "size": 1,
                "core_count": 1,
                "medoid_item_id": "c",
                "classes": [{"label": "rust", "count": 1}],
            },
        ],
        "noise_count": 1,
    }
    assert farnear("clusters", "--collection", cells) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "noise: 1"


def test_refit_waits_as_long_as_a_fit_may_take(farnear: Farnear, cells: str, service: Any) -> None:
    assert farnear("clusters", "--collection", cells, "--refit") == 0
    assert farnear("clusters", "--collection", cells, "--refit", "--timeout", "100") == 0
    deadlines = [seconds for name, _, seconds in service.calls if name == "Recluster"]
    assert deadlines == pytest.approx([3600, 100], rel=0.1)


def test_assign(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    client.recluster(cells)
    assert farnear("assign", "id:c", "--collection", cells, "--json") == 0
    assert json_of(capsys) == {"cluster": 1, "core_distance": 0.0, "x": 0.0, "y": 1.0, "map_version": 1}
    client.delete_items(cells, ["a", "b", "c"])
    assert farnear("assign", "id:d", "--collection", cells, "--json") == 0
    assert json_of(capsys) == {"cluster": -1, "core_distance": None, "x": -1.0, "y": 0.0, "map_version": 1}


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
    farnear: Farnear, cells: str, tmp_path: Path, service: Any, capsys: Capture
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


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["similar", "--collection", "cells"], "required: IMAGE"),
        (["similar", "id:a"], "required: --collection"),
        (["similar", "id:a", "--collection", "cells", "-k", "many"], "argument -k: 'many' is not a whole number"),
        (["similar", "id:a", "--collection", "cells", "-k", "2147483648"], "argument -k: 2147483648 is out of range"),
        (["similar", "id:a", "--collection", "cells", "--timeout", "0"], "--timeout: '0' is not a number of seconds"),
        (["similar", "id:a", "--collection", "cells", "--timeout", "nan"], "--timeout: 'nan' is not a number"),
        (["similar", "id:\udcff", "--collection", "cells"], "argument IMAGE: not UTF-8"),
        (["similar", "id:a", "--collection", "\udcff"], "argument --collection: not UTF-8"),
        (["collections"], "required: ACTION"),
        (["collections", "create", "cells"], "required: --bundle"),
        (["explain", "id:a", "--collection", "cells"], "required: --out"),
    ],
)
def test_wrong_usage_is_code_2(farnear: Farnear, argv: list[str], complaint: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        farnear(*argv)
    assert stop.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_address_given_wins_over_the_environments(
    farnear: Farnear, service: Any, cells: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("FARNEAR_ADDRESS", "127.0.0.1:1")
    assert farnear("collections", "list", "--json", "--address", service.address) == 0
    assert [collection["name"] for collection in json_of(capsys)] == [cells]
    assert farnear("collections", "list", "--json") == 1
    assert capsys.readouterr().err.startswith("farnear: no service at 127.0.0.1:1: ")
