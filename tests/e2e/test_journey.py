"""From a folder of images to every answer, as a user goes, and again after a restart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear import Client, ExplainHits, ItemId
from PIL import Image

from tests.e2e.conftest import Server, farnear
from tests.e2e.images import surface, write_surfaces

COUNT = 30


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_surfaces(tmp_path_factory.mktemp("journey") / "surfaces", COUNT)


@pytest.fixture(scope="module")
def bundle(surfaces: Path) -> Path:
    out = surfaces.parent / "bundle"
    told = farnear(
        "train", surfaces, "--out", out, "--image-size", "32", "--iterations", "40", "--batch-size", "32", "--json"
    ).json()
    assert told["evaluation"]["precision_at_1"] > told["evaluation"]["chance"]["precision_at_1"]
    return out


def answers(server: Server) -> dict[str, Any]:
    """What a server says about the journey's collection."""
    picture = surface("scratched", 500)
    ask = ("--collection", "surfaces", "--json")
    return {
        "collections": server.run("collections", "list", "--json").json(),
        "similar": server.run("similar", "-", *ask, stdin=picture).json(),
        "divergent": server.run("divergent", "id:spotted/003.png", "-k", "5", *ask).json(),
        "both": server.run("both", "id:scratched/007.png", *ask).json(),
        "clusters": server.run("clusters", "list", *ask).json(),
        "assign": server.run("assign", "-", *ask, stdin=picture).json(),
    }


def test_a_user_gets_every_answer_and_gets_it_again_after_a_restart(
    surfaces: Path, bundle: Path, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path / "data", [f"marks={bundle}"])
    assert server.run("collections", "create", "surfaces", "--bundle", "marks").code == 0
    indexed = server.run("index", surfaces, "--collection", "surfaces", "--json").json()
    assert indexed == {"indexed": 2 * COUNT, "skipped": 0, "refused": []}
    again = server.run("index", surfaces, "--collection", "surfaces", "--json").json()
    assert again == {"indexed": 0, "skipped": 2 * COUNT, "refused": []}
    assert server.run("recluster", "--collection", "surfaces").code == 0

    live = answers(server)
    assert [(entry["name"], entry["bundle"], entry["item_count"]) for entry in live["collections"]] == [
        ("surfaces", "marks", 2 * COUNT)
    ]
    assert len(live["similar"]) == 10
    for hits, sign in ((live["similar"], -1), (live["divergent"], 1), (live["both"]["similar"], -1)):
        assert {"item_id", "similarity", "label", "cluster"} <= set(hits[0])
        similarities = [hit["similarity"] for hit in hits]
        assert similarities == sorted(similarities, key=lambda value: sign * value)
        assert all(hit["label"] == hit["item_id"].split("/")[0] for hit in hits)
        assert all(isinstance(hit["cluster"], int) for hit in hits)
    assert len(live["divergent"]) == 5
    assert "scratched/007.png" not in [hit["item_id"] for hit in live["both"]["similar"]]
    sizes = [cluster["size"] for cluster in live["clusters"]["clusters"]]
    assert sum(sizes) + live["clusters"]["noise_count"] == 2 * COUNT

    # A picture that is in the collection falls into the cluster of its item.
    for number in range(5):
        name = f"spotted/{number:03}.png"
        by_item = server.run("assign", f"id:{name}", "--collection", "surfaces", "--json").json()
        by_picture = server.run("assign", surfaces / name, "--collection", "surfaces", "--json").json()
        assert by_picture["cluster"] == by_item["cluster"]

    assert server.stop() == 0
    # No --bundle: the server keeps its own copy.
    restarted = start(tmp_path / "data")
    assert answers(restarted) == live


def test_a_user_looks_into_the_clusters_and_changes_them(
    surfaces: Path, bundle: Path, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path / "data", [f"marks={bundle}"])
    ask = ("--collection", "surfaces")
    server.run("collections", "create", "surfaces", "--bundle", "marks")
    server.run("index", surfaces, *ask)
    server.run("recluster", *ask)
    listed = server.run("clusters", "list", *ask, "--json").json()
    largest = listed["clusters"][0]
    whole = server.run("clusters", "get", str(largest["cluster"]), *ask, "--limit", "1000", "--json").json()
    assert len(whole["member_item_ids"]) == largest["size"]
    assert largest["medoid_item_id"] in whole["member_item_ids"]
    found = server.run("clusters", "suggest", *ask, "--json").json()
    changed = server.run("recluster", *ask, "--eps", str(found["eps"]), "--json").json()
    assert changed["cluster_count"] == found["cluster_count"]
    assert changed["map"]["version"] == listed["map"]["version"], "other settings on the same map"
    with Client(server.address) as client:
        first = next(iter(client.watch_clusters("surfaces", from_start=True)))
        newest = next(batch for batch in client.watch_clusters("surfaces", from_start=True) if batch.events)
    assert first.events == ()
    assert {event.change.value for event in newest.events} >= {"born"}
    out = tmp_path / "report"
    assert server.run("clusters", "report", *ask, "--out", out).code == 0
    page = (out / "index.html").read_text()
    assert f"{2 * COUNT}" in page
    for name in ("map-by-class.png", "map-by-cluster.png"):
        with Image.open(out / name) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 0


def has_torch(server: Server) -> bool:
    """Whether the server's process has loaded Torch."""
    return "libtorch" in Path(f"/proc/{server.process.pid}/maps").read_text()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads the loaded libraries from /proc")
def test_heat_maps_come_from_the_graph_and_equal_those_of_torch(
    surfaces: Path, bundle: Path, tmp_path: Path, start: Callable[..., Server]
) -> None:
    told, pictures, pairs = [], [], []
    for way in ("graph", "torch"):
        server = start(tmp_path / way, [f"marks={bundle}"], "--explain-with", way)
        server.run("collections", "create", "surfaces", "--bundle", "marks")
        server.run("index", surfaces / "scratched", "--collection", "surfaces")
        server.run("similar", "id:000.png", "--collection", "surfaces")
        assert not has_torch(server)
        out = tmp_path / f"{way}.png"
        told.append(server.run("explain", "id:000.png", "--collection", "surfaces", "--out", out, "--json").json())
        assert has_torch(server) == (way == "torch")
        with Image.open(out) as picture:
            pictures.append(np.asarray(picture.convert("RGB"), np.int16))
        assert server.metric('farnear_items{collection="surfaces"}') == COUNT
        assert server.metric('farnear_requests_total{code="OK",method="/farnear.v1.ExplainService/Explain"}') == 1
        assert server.metric('farnear_stage_seconds_count{stage="explain"}') == 1
        with Client(server.address) as client:
            hits = client.similar("surfaces", ItemId("000.png"), k=5, explain=ExplainHits())
            pairs.append([(hit.item_id, hit.heatmap, hit.query_heatmap) for hit in hits])
            assert has_torch(server) == (way == "torch")
    assert (told[0]["height"], told[0]["width"]) == (4, 4)
    assert told[0]["maximum"] == pytest.approx(told[1]["maximum"], rel=1e-5)
    assert pictures[0].shape == (48, 48, 3)
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert pictures[0].std() > 0
    for by_graph, by_torch in zip(*pairs, strict=True):
        assert by_graph[0] == by_torch[0]
        for ours, theirs in zip(by_graph[1:], by_torch[1:], strict=True):
            assert ours is not None
            assert theirs is not None
            # Images that are much alike have next to no gradient, and so more rounding beside it.
            assert ours.values == pytest.approx(theirs.values, abs=1e-3 * max(map(abs, theirs.values)))


def test_tables_are_for_people(surfaces: Path, bundle: Path, tmp_path: Path, start: Callable[..., Server]) -> None:
    server = start(tmp_path / "data", [f"marks={bundle}"])
    server.run("collections", "create", "surfaces", "--bundle", "marks")
    server.run("index", surfaces, "--collection", "surfaces")
    table = server.run("similar", surfaces / "spotted" / "001.png", "--collection", "surfaces", "-k", "2")
    first, best, second = table.out.splitlines()
    assert first.split() == ["rank", "similarity", "cluster", "label", "item"]
    assert best.split()[-1] == "spotted/001.png"
    assert float(best.split()[1]) >= float(second.split()[1])
    with pytest.raises(json.JSONDecodeError):
        json.loads(table.out)
