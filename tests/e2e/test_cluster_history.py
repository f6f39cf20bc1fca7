"""Clusters keep their numbers and their history, whatever happens to the process."""

import itertools
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import farnear
import numpy as np
import pytest
from farnear.results import ClusterEvent

from tests.e2e.conftest import Server

GROUPS = 4
ROUNDS = 3


def items(digest: str, start: int, count: int, *, group: int | None = None) -> list[farnear.NewItem]:
    """Vectors around four axes, or around one of them."""
    chance = np.random.default_rng(start)
    middles = chance.integers(0, GROUPS, count) if group is None else np.full(count, group)
    vectors = 4 * np.eye(4)[middles] + chance.normal(scale=0.5, size=(count, 4))
    return [
        farnear.NewItem(
            item_id=f"i{start + number:05d}", content=farnear.Vector(values=vector.tolist(), bundle_digest=digest)
        )
        for number, vector in enumerate(vectors)
    ]


def replayed(events: Sequence[ClusterEvent]) -> dict[int, int]:
    """The sizes of the clusters that a history leads to; no number may be given twice."""
    sizes: dict[int, int] = {}
    given: set[int] = set()
    for event in events:
        change, cluster = event.change.value, event.cluster
        if change in ("born", "split"):
            assert cluster not in given, f"{cluster} was given twice"
            given.add(cluster)
        else:
            assert sizes[cluster] == event.size_before
        if change == "merged":
            for parent in event.parents:
                sizes.pop(parent)
        sizes[cluster] = event.size
        if change == "dissolved":
            del sizes[cluster]
    return sizes


def history(client: farnear.Client) -> list[ClusterEvent]:
    """All events so far."""
    found: list[ClusterEvent] = []
    newest = next(iter(client.watch_clusters("c"))).resume_token
    for batch in client.watch_clusters("c", from_start=True):
        found += batch.events
        if batch.resume_token == newest:
            break
    return found


def current(client: farnear.Client) -> farnear.Clustering:
    """The clusters once everything that was acknowledged is part of them."""
    while True:
        clustering = client.clusters("c")
        if clustering.map.pending_count == 0 and clustering.map.item_count == client.get_collection("c").item_count:
            return clustering


def write_until_killed(server: Server, digest: str, start: int, begun: threading.Event) -> None:
    with farnear.Client(server.address) as client:
        for number in itertools.count(start, 20):
            try:
                list(client.upsert("c", items(digest, number, 20)))
                client.delete_items("c", [f"i{gone:05d}" for gone in range(number - 40, number - 30)])
            except farnear.FarnearError:
                return
            begun.set()


@pytest.mark.timeout(240)
def test_killed_again_and_again_while_clusters_change(
    tiny_bundle: Path, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path / "data", [f"tiny={tiny_bundle}"])
    with farnear.Client(server.address) as client:
        digest = client.create_collection("c", bundle="tiny").bundle_digest
        list(client.upsert("c", items(digest, 0, 200)))
        client.recluster("c")
        told = history(client)
    assert replayed(told), "the case must have clusters"
    for attempt in range(ROUNDS):
        begun = threading.Event()
        writer = threading.Thread(target=write_until_killed, args=(server, digest, 10_000 * (attempt + 1), begun))
        writer.start()
        assert begun.wait(30)
        with farnear.Client(server.address) as client:
            for batch in client.watch_clusters("c"):
                if batch.events:  # it is killed while it is at it
                    break
            told = history(client)
        server.stop(signal.SIGKILL)
        writer.join(60)
        server = start(tmp_path / "data")
        with farnear.Client(server.address) as client:
            clustering = current(client)
            again = history(client)
        assert again[: len(told)] == told
        sizes = replayed(again)
        assert {cluster.cluster: cluster.size for cluster in clustering.clusters} == sizes
        assert sum(sizes.values()) + clustering.noise_count == clustering.map.item_count
