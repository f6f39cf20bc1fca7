import json
from collections.abc import Callable
from typing import Any

import pytest
from farnear import Client

from tests.farnear.fake import FakeService

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


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


def test_refit_waits_as_long_as_a_fit_may_take(farnear: Farnear, cells: str, service: FakeService) -> None:
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
