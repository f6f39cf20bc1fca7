import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from farnear import Client
from farnear.v1 import clusters_pb2

from tests.farnear.fake import FakeService

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


MAP = {
    "version": 1,
    "item_count": 4,
    "pending_count": 0,
    "eps": 0.5,
    "min_samples": 1,
    "perplexity": 30.0,
    "drift": 0.25,
}
CRACKS = {
    "cluster": 0,
    "size": 2,
    "core_count": 2,
    "medoid_item_id": "a",
    "classes": [{"label": "crack", "count": 2}],
}


def test_list(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    assert farnear("clusters", "list", "--collection", cells) == 1
    assert capsys.readouterr().err == "farnear: collection: 'cells' has no map yet\n"
    client.recluster(cells)
    assert farnear("clusters", "list", "--collection", cells, "--json") == 0
    rust = {"cluster": 1, "size": 1, "core_count": 1, "medoid_item_id": "c"}
    assert json_of(capsys) == {
        "map": MAP,
        "clusters": [CRACKS, {**rust, "classes": [{"label": "rust", "count": 1}]}],
        "noise_count": 1,
    }
    assert farnear("clusters", "list", "--collection", cells) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "noise: 1"


def test_get(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    client.recluster(cells)
    assert farnear("clusters", "get", "0", "--collection", cells, "--limit", "1", "--json") == 0
    found = json_of(capsys)
    assert (found["cluster"], found["map"], found["member_item_ids"]) == (CRACKS, MAP, ["a"])
    assert farnear("clusters", "get", "-1", "--collection", cells) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["cluster", "noise"]
    assert farnear("clusters", "get", "7", "--collection", cells) == 1
    assert capsys.readouterr().err == "farnear: cluster: there is no cluster 7\n"


def test_suggest(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    client.recluster(cells)
    assert farnear("clusters", "suggest", "--collection", cells, "--min-samples", "4", "--json") == 0
    assert json_of(capsys) == {
        "distances": [0.1, 0.2, 0.3, 4.0],
        "eps": 0.3,
        "cluster_count": 2,
        "noise_count": 1,
        "min_samples": 4,
        "map": MAP,
    }
    assert farnear("clusters", "suggest", "--collection", cells) == 0
    assert capsys.readouterr().out.endswith("to use it: farnear recluster --collection cells --eps 0.3\n")


def change(kind: "clusters_pb2.ClusterChange.ValueType") -> clusters_pb2.ClusterEvent:
    return clusters_pb2.ClusterEvent(change=kind, cluster=3, size=12, size_before=11)


@pytest.fixture
def watched(farnear: Farnear, service: FakeService, cells: str) -> Callable[..., int]:
    """Watches clusters after two events; the service goes away after the first batch."""
    service.happen(cells, change(clusters_pb2.CLUSTER_CHANGE_BORN), change(clusters_pb2.CLUSTER_CHANGE_GROWN))

    def call(*argv: str) -> int:
        service.watch_limit = 1
        return farnear("clusters", "watch", "--collection", cells, *argv)

    return call


def test_watch(watched: Callable[..., int], capsys: Capture) -> None:
    assert watched("--from-start") == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "1970-01-01 00:00:00  cluster 3 is new: 12 items",
        "1970-01-01 00:00:00  cluster 3 grew from 11 to 12 items",
    ]
    assert printed.err.splitlines()[0] == "to go on: farnear clusters watch --collection cells --resume 2"


def test_watch_resumes(watched: Callable[..., int], capsys: Capture) -> None:
    assert watched("--resume", "1") == 1
    assert capsys.readouterr().out.splitlines() == ["1970-01-01 00:00:00  cluster 3 grew from 11 to 12 items"]


def test_watch_in_json_is_a_line_a_batch(watched: Callable[..., int], capsys: Capture) -> None:
    assert watched("--resume", "1", "--json") == 1
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    event = {"change": "grown", "cluster": 3, "size": 12, "size_before": 11, "parents": [], "map_version": 0}
    assert json.loads(line) == {
        "events": [{**event, "time": "1970-01-01T00:00:00+00:00"}],
        "resume_token": "2",
    }
    assert "to go on" not in printed.err


def test_watch_ends_with_ctrl_c(farnear: Farnear, cells: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupt(_: object) -> Iterator[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("farnear.commands.clusters.event_lines", interrupt)
    assert farnear("clusters", "watch", "--collection", cells) == 130


def test_recluster(farnear: Farnear, cells: str, service: FakeService, capsys: Capture) -> None:
    assert farnear("recluster", "--collection", cells, "--eps", "0.25", "--min-samples", "3", "--json") == 0
    assert json_of(capsys) == {
        "map": {**MAP, "eps": 0.25, "min_samples": 3},
        "cluster_count": 2,
        "noise_count": 1,
    }
    assert farnear("recluster", "--collection", cells, "--perplexity", "5") == 0
    assert capsys.readouterr().out.splitlines() == [
        "map 2: 4 items, 0 pending, eps 0.25, min_samples 3, perplexity 5, drift 0.25",
        "2 clusters, 1 items of noise",
    ]


def test_recluster_waits_as_long_as_a_fit_may_take(farnear: Farnear, cells: str, service: FakeService) -> None:
    assert farnear("recluster", "--collection", cells) == 0
    assert farnear("recluster", "--collection", cells, "--timeout", "100") == 0
    deadlines = [seconds for name, _, seconds in service.calls if name == "Recluster"]
    assert deadlines == pytest.approx([3600, 100], rel=0.1)


def test_assign(farnear: Farnear, client: Client, cells: str, capsys: Capture) -> None:
    client.recluster(cells)
    assert farnear("assign", "id:c", "--collection", cells, "--json") == 0
    assert json_of(capsys) == {"cluster": 1, "core_distance": 0.0, "x": 0.0, "y": 1.0, "map_version": 1}
    client.delete_items(cells, ["a", "b", "c"])
    assert farnear("assign", "id:d", "--collection", cells, "--json") == 0
    assert json_of(capsys) == {"cluster": -1, "core_distance": None, "x": -1.0, "y": 0.0, "map_version": 1}
