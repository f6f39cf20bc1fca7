"""What was acknowledged stays, whatever happens to the process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import farnear
import pytest

from tests.conftest import picture
from tests.e2e.conftest import Server

COUNT = 600


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("durability") / "pictures"
    for number in range(COUNT):
        path = folder / f"class{number % 3}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return folder


def neighbours(server: Server) -> list[list[str]]:
    """The ids at both ends for a few queries."""
    with farnear.Client(server.address) as client:
        results = [client.both("c", picture(seed), k=20) for seed in (0, 7, 599, 1000)]
    return [[hit.item_id for hit in (*result.similar, *result.divergent)] for result in results]


def test_killed_while_indexing_and_indexed_again_equals_undisturbed(
    pictures: Path, tiny_bundle: Path, tmp_path: Path, start: Callable[..., Server]
) -> None:
    calm = start(tmp_path / "calm", [f"tiny={tiny_bundle}"])
    calm.run("collections", "create", "c", "--bundle", "tiny")
    assert calm.run("index", pictures, "--collection", "c").code == 0
    expected = neighbours(calm)
    calm.stop()

    server = start(tmp_path / "data", [f"tiny={tiny_bundle}"])
    server.run("collections", "create", "c", "--bundle", "tiny")
    indexing = subprocess.Popen(
        [sys.executable, "-m", "farnear", "index", str(pictures), "--collection", "c"],
        env=os.environ | {"FARNEAR_ADDRESS": server.address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with farnear.Client(server.address) as client:
        while client.get_collection("c").item_count == 0:
            assert indexing.poll() is None, "nothing was indexed"
    server.stop(signal.SIGKILL)
    _, complaint = indexing.communicate(timeout=60)
    assert indexing.returncode == 1, complaint
    assert len(complaint.strip().splitlines()[-1]) > 0

    server = start(tmp_path / "data")
    with farnear.Client(server.address) as client:
        kept = [item.item_id for item in client.list_items("c")]
    assert 0 < len(kept) < COUNT
    told = server.run("index", pictures, "--collection", "c", "--json").json()
    assert told == {"indexed": COUNT - len(kept), "skipped": len(kept), "refused": []}
    with farnear.Client(server.address) as client:
        ids = [item.item_id for item in client.list_items("c")]
    assert len(ids) == len(set(ids)) == COUNT
    assert neighbours(server) == expected


def test_a_data_directory_has_one_server(tiny_bundle: Path, tmp_path: Path, start: Callable[..., Server]) -> None:
    first = start(tmp_path / "data", [f"tiny={tiny_bundle}"])
    second = first.run("serve", "--data", tmp_path / "data", "--address", "127.0.0.1:0")
    assert second.code == 1
    assert second.err.strip().splitlines()[-1].endswith(f"is served by process {first.process.pid} already")
    assert first.run("collections", "list").code == 0


def test_sigterm_lets_calls_under_way_end(tiny_bundle: Path, tmp_path: Path, start: Callable[..., Server]) -> None:
    server = start(tmp_path / "data", [f"tiny={tiny_bundle}"])
    large = [farnear.NewItem(item_id=str(seed), content=picture(seed, 1600)) for seed in range(60)]
    with farnear.Client(server.address) as client, ThreadPoolExecutor() as pool:
        client.create_collection("c", bundle="tiny")
        upsert = pool.submit(lambda: list(client.upsert("c", large)))
        while server.metric('farnear_stage_seconds_count{stage="decode"}') == 0:
            assert not upsert.done()
        server.process.send_signal(signal.SIGTERM)
        assert [outcome.error for outcome in upsert.result()] == [None] * len(large)
    assert server.stop() == 0
    restarted = start(tmp_path / "data")
    with farnear.Client(restarted.address) as client:
        assert client.get_collection("c").item_count == len(large)
