from typing import Any

import numpy as np
import pytest
from farnear_service.errors import OverloadedError
from farnear_service.maps import MapSettings
from farnear_service.pipeline.durable_clusters import DurableClusters
from farnear_service.store import Store
from farnear_service.types import Collection

SETTINGS = MapSettings(eps=1.5, min_samples=3)
NONE = np.empty(0, np.int64)


def line(start: int, count: int, *, x: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Keys from `start` on and positions one apart, one above the other from (x, 0) on: with eps 1.5 one cluster."""
    keys = np.arange(start, start + count)
    return keys, np.column_stack([np.full(count, x), np.arange(count, dtype=np.float64)])


@pytest.fixture
def made(store: Store, cells: Collection) -> DurableClusters:
    """Cluster 0 of keys 1 to 5 at x 0, cluster 1 of keys 11 to 14 at x 10."""
    clusters = DurableClusters(cells, store, SETTINGS)
    keys, positions = (np.concatenate(parts) for parts in zip(line(1, 5), line(11, 4, x=10.0), strict=True))
    clusters.stage(1, keys, positions)
    clusters.adopt(1, SETTINGS, (keys, positions), (NONE, np.empty((0, 2))), NONE)
    return clusters


def loaded(store: Store, cells: Collection, settings: MapSettings = SETTINGS) -> DurableClusters:
    clusters = DurableClusters(cells, store, settings)
    clusters.load()
    return clusters


def state(clusters: DurableClusters) -> Any:
    view = clusters.view
    assert view is not None
    now = view.snapshot
    assert len(now.keys) - sum(view.sizes.values()) == view.noise_count == np.count_nonzero(now.labels == -1)
    return (
        view.version,
        view.settings,
        dict(zip(now.keys.tolist(), now.labels.tolist(), strict=True)),
        now.points.tolist(),
        now.core.tolist(),
        now.next_id,
        dict(view.sizes),
    )


def assert_restored(clusters: DurableClusters, store: Store, cells: Collection) -> None:
    """What is on disk is what is shown."""
    assert state(loaded(store, cells, MapSettings())) == state(clusters)


def told(store: Store, cells: Collection) -> list[tuple[str, int, int]]:
    return [
        (one.event.change.value, one.event.cluster, one.event.size)
        for one in store.cluster_events(cells, after=0, limit=100)
    ]


def test_there_are_none_at_first(store: Store, cells: Collection) -> None:
    clusters = loaded(store, cells)
    assert clusters.view is None
    assert (clusters.version, clusters.settings) == (0, SETTINGS)


def test_the_first_map_is_adopted(made: DurableClusters, store: Store, cells: Collection) -> None:
    assert made.view is not None
    assert dict(made.view.sizes) == {0: 5, 1: 4}
    assert [made.view.of(key) for key in (1, 5, 11, 99)] == [0, 0, 1, None]
    assert made.view.position_of(99) is None
    position = made.view.position_of(12)
    assert position is not None
    assert position.tolist() == [10.0, 1.0]
    rows, places = made.view.rows_of(np.array([0, 3, 7, 14, 99]))
    assert (rows.tolist(), places.tolist()) == ([2, 8], [1, 3])
    assert told(store, cells) == [("born", 0, 5), ("born", 1, 4)]
    assert_restored(made, store, cells)


def test_a_step_is_shown_and_on_disk(made: DurableClusters, store: Store, cells: Collection) -> None:
    made.update(*line(21, 4, x=20.0), np.array([5, 77]))  # one of them is not there
    assert made.view is not None
    assert dict(made.view.sizes) == {0: 4, 1: 4, 2: 4}
    assert told(store, cells)[2:] == [("shrunk", 0, 4), ("born", 2, 4)]
    assert_restored(made, store, cells)


def test_an_identity_outlives_every_point_that_it_was_written_down_by(
    made: DurableClusters, store: Store, cells: Collection
) -> None:
    for gone in range(1, 4):
        keys, positions = line(100 + gone, 1)
        made.update(keys, positions + np.array([0, 4 + gone]), np.array([gone]))
        assert_restored(made, store, cells)
    assert made.view is not None
    assert dict(made.view.sizes) == {0: 5, 1: 4}
    assert made.view.snapshot.keys.tolist() == [4, 5, 11, 12, 13, 14, 101, 102, 103]


def test_no_number_is_used_again(made: DurableClusters, store: Store, cells: Collection) -> None:
    made.update(NONE, np.empty((0, 2)), np.array([11, 12, 13, 14]))
    again = loaded(store, cells)
    again.update(*line(31, 4, x=30.0), NONE)
    assert again.view is not None
    assert dict(again.view.sizes) == {0: 5, 2: 4}


def test_a_step_that_cannot_be_written_leaves_everything_as_it_was(
    made: DurableClusters, store: Store, cells: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(made)

    def full(*_: Any) -> None:
        raise OverloadedError("store: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_clustering", full)
        with pytest.raises(OverloadedError):
            made.update(*line(21, 4, x=20.0), np.array([1]))
        with pytest.raises(OverloadedError):
            made.recluster(MapSettings(eps=0.5, min_samples=2))
        with pytest.raises(OverloadedError):
            made.adopt(2, SETTINGS, line(1, 3), (NONE, np.empty((0, 2))), NONE)
    assert state(made) == before
    made.update(*line(21, 4, x=20.0), np.array([1]))
    assert made.view is not None
    assert dict(made.view.sizes) == {0: 4, 1: 4, 2: 4}
    assert_restored(made, store, cells)


def test_other_settings_split_and_merge_where_the_items_are(
    made: DurableClusters, store: Store, cells: Collection
) -> None:
    made.recluster(MapSettings(eps=11.0, min_samples=3))
    assert made.view is not None
    assert dict(made.view.sizes) == {0: 9}
    made.recluster(SETTINGS)
    assert dict(made.view.sizes) == {0: 5, 2: 4}
    assert told(store, cells)[2:] == [("merged", 0, 9), ("shrunk", 0, 5), ("split", 2, 4)]
    assert_restored(made, store, cells)


def test_clusters_keep_their_numbers_on_another_map(made: DurableClusters, store: Store, cells: Collection) -> None:
    keys, positions = (np.concatenate(parts) for parts in zip(line(11, 4), line(1, 5, x=50.0), strict=True))
    made.stage(2, keys, positions)
    settings = MapSettings(eps=1.4, min_samples=3, perplexity=12.0)
    made.adopt(2, settings, (keys, positions), line(41, 3, x=80.0), np.array([1, 14]))
    assert made.view is not None
    assert (made.version, made.settings) == (2, settings)
    assert dict(made.view.sizes) == {0: 4, 1: 3, 2: 3}
    assert [made.view.of(key) for key in (1, 2, 11, 14, 41)] == [None, 0, 1, None, 2]
    assert_restored(made, store, cells)
