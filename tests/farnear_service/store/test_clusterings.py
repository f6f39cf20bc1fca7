import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.dbscan import Change, ClusterEvent
from farnear_service.store import ClusteringChange, Store, clusterings
from farnear_service.types import Collection

from tests.farnear_service.store.conftest import keys_of, new_collection, row


def change(keys: list[int], *, version: int = 1, **others: Any) -> ClusteringChange:
    """A step that adds items at (key, -key)."""
    positions = np.array([(key, -key) for key in keys], np.float64).reshape(len(keys), 2)
    made = ClusteringChange(
        version=version,
        eps=3.0,
        min_samples=10,
        perplexity=30.0,
        next_id=2,
        identities={0: 5, 1: 7},
        added=np.array(keys, np.int64),
        positions=positions,
        removed=(),
        events=(),
    )
    return replace(made, **others)


def event(kind: Change, cluster: int, size: int = 1, parents: tuple[int, ...] = ()) -> ClusterEvent:
    return ClusterEvent(change=kind, cluster=cluster, size=size, size_before=0, parents=parents)


def placed(store: Store, collection: Collection) -> list[int]:
    saved = store.clustering(collection)
    assert saved is not None
    assert saved.positions.tolist() == [[key, -key] for key in saved.keys.tolist()]
    return saved.keys.tolist()


def test_a_collection_has_no_clusters_at_first(store: Store, cells: Collection) -> None:
    assert store.clustering(cells) is None
    assert store.cluster_events(cells, after=0, limit=10) == []
    assert store.newest_cluster_event(cells) == 0


def test_steps_add_up_and_survive_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    cells = new_collection(store, "cells")
    other = new_collection(store, "other")
    store.save_clustering(cells, change([7, 5, 6]))
    store.save_clustering(other, change([1]))
    store.save_clustering(cells, change([9, 8], removed=(6, 1000), identities={1: 9, 3: 8}, next_id=4, eps=2.5))
    store.close()
    store = Store(tmp_path / "data")
    saved = store.clustering(cells)
    assert saved is not None
    assert placed(store, cells) == [5, 7, 8, 9]
    assert placed(store, other) == [1]
    assert (saved.version, saved.eps, saved.min_samples, saved.perplexity, saved.next_id) == (1, 2.5, 10, 30.0, 4)
    assert saved.identities == {1: 9, 3: 8}
    store.close()


def test_a_step_is_written_whole_or_not_at_all(store: Store, cells: Collection) -> None:
    store.save_clustering(cells, change([5, 7]))
    with pytest.raises(sqlite3.IntegrityError):
        store.save_clustering(cells, change([8, 5], identities={4: 8}, next_id=9, events=[event(Change.BORN, 4)]))
    saved = store.clustering(cells)
    assert saved is not None
    assert placed(store, cells) == [5, 7]
    assert (saved.identities, saved.next_id) == ({0: 5, 1: 7}, 2)
    assert store.cluster_events(cells, after=0, limit=10) == []


def test_staged_places_count_from_the_step_that_goes_over_to_them(
    store: Store, cells: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusterings, "_ROWS_AT_ONCE", 2)
    first = change([5, 6, 7])
    store.save_clustering(cells, first)
    for keys in ([1, 2, 3, 4, 5], [5, 6, 7]):  # the first attempt was cut off
        staged = change(keys, version=2)
        store.stage_placements(cells, 2, staged.added, staged.positions)
    assert placed(store, cells) == [5, 6, 7]
    store.save_clustering(cells, change([8], version=2, removed=(5,)))
    assert placed(store, cells) == [6, 7, 8]
    with contextlib.closing(sqlite3.connect(store._path)) as other:
        assert other.execute("SELECT DISTINCT version FROM placements").fetchall() == [(2,)]


def test_staging_alone_is_no_clustering(store: Store, cells: Collection) -> None:
    staged = change([5])
    store.stage_placements(cells, 1, staged.added, staged.positions)
    assert store.clustering(cells) is None


def test_events_come_in_order_and_go_on_behind_a_number(store: Store, cells: Collection) -> None:
    other = new_collection(store, "other")
    events = [event(Change.BORN, 0, 12), event(Change.MERGED, 3, 40, (3, 1, 2))]
    store.save_clustering(cells, change([5], events=events))
    store.save_clustering(other, change([1], events=[event(Change.BORN, 0)]))
    store.save_clustering(cells, change([6], version=2, events=[event(Change.GROWN, 0, 13)]))
    found = store.cluster_events(cells, after=0, limit=10)
    assert [one.event for one in found] == [*events, event(Change.GROWN, 0, 13)]
    assert [one.version for one in found] == [1, 1, 2]
    assert found[0].time == found[1].time <= found[2].time
    numbers = [one.number for one in found]
    assert numbers == sorted(set(numbers))
    assert store.newest_cluster_event(cells) == numbers[-1]
    assert store.cluster_events(cells, after=numbers[0], limit=1) == [found[1]]
    assert store.cluster_events(cells, after=numbers[-1], limit=10) == []


def test_of_growth_and_shrinkage_only_the_newest_are_kept(
    store: Store, cells: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusterings, "SIZE_EVENTS", 3)
    for number in range(6):
        kind = Change.GROWN if number % 2 else Change.SHRUNK
        store.save_clustering(cells, change([number], events=[event(kind, 0, number), event(Change.BORN, number)]))
    found = [(one.event.change, one.event.size) for one in store.cluster_events(cells, after=0, limit=100)]
    assert [size for kind, size in found if kind is not Change.BORN] == [3, 4, 5]
    assert sum(kind is Change.BORN for kind, _ in found) == 6


def test_everything_goes_with_the_collection(store: Store, cells: Collection) -> None:
    store.save_clustering(cells, change([5], events=[event(Change.BORN, 0)]))
    store.delete_collection(cells)
    with contextlib.closing(sqlite3.connect(store._path)) as other:
        for table in ("clusterings", "placements", "cluster_identities", "cluster_events"):
            assert other.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    store.save_clustering(cells, change([6]))  # a step that was under way
    assert store.clustering(cells) is None


def test_a_move_to_another_bundle_takes_the_clusters_along(store: Store, cells: Collection) -> None:
    (key,) = keys_of(store, cells, [row("a", image=b"picture")])
    store.save_clustering(cells, change([key], events=[event(Change.BORN, 0)]))
    store.begin_activation(cells, bundle_name="big", bundle_digest="1" * 64, dim=3)
    store.embedded(cells, [(key, np.ones(3, np.float32))])
    moved = store.swap(cells)
    assert store.clustering(cells) is None
    assert placed(store, moved) == [key]
    assert len(store.cluster_events(moved, after=0, limit=10)) == 1
