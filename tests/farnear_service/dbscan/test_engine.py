from collections.abc import Callable

import numpy as np
import pytest
from farnear_service.dbscan import NOISE, Change, ClusterEvent, IncrementalDbscan, PlaneDbscan, Snapshot, SphereDbscan

from tests.farnear_service.dbscan.judge import check

Make = Callable[[], IncrementalDbscan]


def plane() -> PlaneDbscan:
    return PlaneDbscan(eps=1.0, min_samples=4)


def sphere() -> SphereDbscan:
    return SphereDbscan(dim=2, eps=0.002, min_samples=4)


def blobs(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array(random.normal(size=(count, 2)) * 0.8 + random.choice([-4, 0, 4], (count, 2)))


def up_to_identities(now: Snapshot) -> tuple[list[int], list[list[float]], list[int], list[bool]]:
    names: dict[int, int] = {NOISE: NOISE}
    labels = [names.setdefault(label, len(names)) for label in now.labels.tolist()]
    return now.keys.tolist(), now.points.tolist(), labels, now.core.tolist()


@pytest.mark.parametrize("make", [plane, sphere])
def test_the_order_of_insertion_leaves_no_trace_but_in_identities(make: Make) -> None:
    """Border points included."""
    points = blobs(150)
    found = []
    for seed in range(4):
        engine = make()
        order = np.random.default_rng(seed).permutation(150)
        for part in np.array_split(order, [1, 2, 3, 50, 51, 120]):
            engine.insert(part, points[part])
        found.append(up_to_identities(engine.snapshot()))
    assert len(set(found[0][2])) > 3
    assert found[1:] == found[:1] * 3


@pytest.mark.parametrize("make", [plane, sphere])
def test_the_order_within_a_batch_leaves_no_trace_at_all(make: Make) -> None:
    points = blobs(150)
    told = []
    for seed in range(3):
        engine, random = make(), np.random.default_rng(seed)
        events: list[ClusterEvent] = []
        for start in range(0, 150, 50):
            come = random.permutation(np.arange(start, start + 50))
            gone = random.permutation(np.arange(max(0, start - 50), max(0, start - 25)))
            events += engine.update(come, points[come], gone)
        now = engine.snapshot()
        told.append((events, now.labels.tolist(), now.next_id))
    assert told[1:] == told[:1] * 2
    assert len({event.change for event in told[0][0]}) > 2


@pytest.mark.parametrize("make", [plane, sphere])
def test_a_batch_is_as_one_by_one(make: Make) -> None:
    points = blobs(160)
    batches, single = make(), make()
    batches.insert(range(100), points[:100])
    batches.update(range(100, 160), points[100:], range(0, 120 - 60))
    for key in range(100):
        single.insert([key], points[key : key + 1])
    for key in range(100, 160):
        single.insert([key], points[key : key + 1])
        single.delete([key - 100])
    assert up_to_identities(batches.snapshot()) == up_to_identities(single.snapshot())


def test_from_scratch_a_cluster_is_named_after_its_smallest_core_key() -> None:
    engine = plane()
    engine.load([20, 21, 22, 23, 10, 11, 12, 13], np.repeat([[0.0, 0.0], [9.0, 9.0]], 4, axis=0))
    now = engine.snapshot()
    assert (now.of(10), now.of(20)) == (0, 1)


@pytest.mark.parametrize("make", [plane, sphere])
def test_what_was_saved_is_restored(make: Make) -> None:
    """Labels, identities and what comes next; all of it from the snapshot."""
    engine = make()
    engine.insert(range(150), blobs(150))
    engine.delete(range(0, 150, 3))
    saved = engine.snapshot()
    restored = make()
    assert restored.load(saved.keys, saved.points, saved) == ()
    again = restored.snapshot()
    for name in ("keys", "points", "labels", "core"):
        np.testing.assert_array_equal(getattr(again, name), getattr(saved, name))
    assert (again.next_id, dict(restored.sizes)) == (saved.next_id, dict(engine.sizes))
    more, gone = blobs(60, seed=1), range(1, 100, 3)
    assert restored.update(range(200, 260), more, gone) == engine.update(range(200, 260), more, gone)
    np.testing.assert_array_equal(restored.snapshot().labels, engine.snapshot().labels)


def test_identities_survive_a_refit() -> None:
    """Another map: everything turned and moved, a cluster torn in two, and some points new."""
    before = plane()
    places = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], [10, 8, 6], axis=0)
    before.insert(range(24), places)
    assert dict(before.sizes) == {0: 10, 1: 8, 2: 6}
    moved = np.concatenate([-places[::, ::-1] + 3, [[50.0, 50.0]] * 4])
    moved[6:10] += 30
    after = plane()
    events = after.load(range(28), moved, before.snapshot())
    assert dict(after.sizes) == {0: 6, 1: 8, 2: 6, 3: 4, 4: 4}
    assert [(event.change, event.cluster, event.parents) for event in events] == [
        (Change.SHRUNK, 0, ()),
        (Change.SPLIT, 3, (0,)),
        (Change.BORN, 4, ()),
    ]
    assert after.snapshot().next_id == 5
    (event,) = after.insert(range(40, 44), [[-50.0, 0.0]] * 4)
    assert event.cluster == 5


def test_other_settings_are_a_refit_too() -> None:
    places = [(float(place), 0.0) for place in (0, 1, 2, 3, 10, 11, 12, 13, 16)]
    narrow, wide = PlaneDbscan(eps=1.0, min_samples=2), PlaneDbscan(eps=3.0, min_samples=2)
    narrow.insert(range(9), places)
    (event,) = wide.load(range(9), places, narrow.snapshot())
    assert (event.change, event.cluster, event.size_before, event.size) == (Change.GROWN, 1, 4, 5)
    assert dict(wide.sizes) == {0: 4, 1: 5}


@pytest.mark.parametrize("make", [plane, sphere])
def test_a_core_point_of_each_cluster_is_enough_to_restore_who_is_who(make: Make) -> None:
    """And whatever comes next is then the same."""
    points = blobs(200)
    engine = make()
    engine.insert(np.arange(80), points[:80])
    for start in range(80, 200, 10):  # so that identities depend on what came before
        engine.update(np.arange(start, start + 10), points[start : start + 10], np.arange(start - 80, start - 75))
    now = engine.snapshot()
    again = make()
    again.restore(now.keys, now.points, now.representatives({}, engine.sizes), now.next_id)
    restored = again.snapshot()
    np.testing.assert_array_equal(restored.labels, now.labels)
    np.testing.assert_array_equal(restored.core, now.core)
    assert (restored.next_id, dict(again.sizes)) == (now.next_id, dict(engine.sizes))
    gone = now.keys[::3]
    assert again.delete(gone) == engine.delete(gone)
    np.testing.assert_array_equal(again.snapshot().labels, engine.snapshot().labels)


def test_what_nobody_names_is_new() -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=2)
    points = [(0.0, 0.0), (0.5, 0.0), (9.0, 0.0), (9.5, 0.0), (50.0, 0.0)]
    engine.restore([1, 2, 3, 4, 5], points, {4: 3, 8: 77, 9: 5}, 6)  # 77 is not there, 5 is noise
    assert engine.snapshot().labels.tolist() == [6, 6, 4, 4, NOISE]
    assert engine.snapshot().next_id == 7
    with pytest.raises(ValueError, match="restore: there are 5 points already"):
        engine.restore([9], [(0.0, 0.0)], {}, 0)


def test_loading_is_for_the_first_points() -> None:
    engine = plane()
    engine.insert([1], [(0.0, 0.0)])
    with pytest.raises(ValueError, match="load: there are 1 points already"):
        engine.load([2], [(0.0, 0.0)])
    engine.delete([1])
    assert engine.load([2], [(0.0, 0.0)]) == ()


def test_inputs_are_not_modified() -> None:
    for engine in (plane(), sphere()):
        keys, points, gone = np.array([5, 3, 4]), np.array([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]]), np.array([4, 5])
        for array in (keys, points, gone):
            array.setflags(write=False)
        engine.insert(keys, points)
        engine.delete(gone)
        assert keys.tolist() == [5, 3, 4]
        assert points.tolist() == [[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]]
        assert 3 in engine
        assert 4 not in engine
        assert len(engine) == 1


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64])
def test_keys_of_any_whole_type(dtype: type) -> None:
    engine = plane()
    engine.insert(np.array([3, 1, 2, 0], dtype), np.zeros((4, 2), np.float32))
    assert engine.snapshot().labels.tolist() == [0, 0, 0, 0]
    engine.delete(np.array([3], dtype))
    assert 3 not in engine


def test_keys_at_the_ends_of_int64() -> None:
    engine = plane()
    ends = [-(2**63), 2**63 - 1, -1, 0]
    engine.insert(ends, np.zeros((4, 2)))
    assert engine.snapshot().keys.tolist() == sorted(ends)
    assert dict(engine.sizes) == {0: 4}


@pytest.mark.parametrize(
    ("keys", "points", "deleted", "message"),
    [
        ([7, 7], [(0, 0), (0, 0)], [], "keys: 7 comes twice"),
        ([2], [(0, 0)], [], "keys: 2 is there already"),
        ([2], [(0, 0)], [2], "keys: 2 is there already"),
        ([8], [(0, 0)], [9], "deleted: 9 is not there"),
        ([8], [(0, 0)], [8], "deleted: 8 is not there"),
        ([], np.empty((0, 2)), [1, 2, 1], "deleted: 1 comes twice"),
        ([8], [(0, 0), (1, 1)], [], "points: are 2 for 1 keys"),
        ([0.5], [(0, 0)], [], r"keys: must be int64 of shape \(N,\), and are float64 of shape"),
        ([[8]], [(0, 0)], [], r"keys: must be int64 of shape \(N,\), and are int64 of shape \(1, 1\)"),
        (["8"], [(0, 0)], [], "keys: must be int64"),
        ([2**63], [(0, 0)], [], "keys: must be int64 .* are uint64"),
        ([8], [(0, np.nan)], [1], "points: coordinates must be numbers"),
    ],
)
def test_a_refused_batch_changes_nothing(keys: object, points: object, deleted: object, message: str) -> None:
    engine = plane()
    held = dict(enumerate([(0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)]))
    engine.insert(list(held), list(held.values()))
    before = engine.snapshot()
    with pytest.raises(ValueError, match=message):
        engine.update(keys, points, deleted)  # type: ignore[arg-type]  # that is the point
    now = check(engine, held, 1.0, 4)
    np.testing.assert_array_equal(now.labels, before.labels)
    assert engine.delete([0, 1])[0].size_before == 4


@pytest.mark.parametrize("min_samples", [0, -1, 2**31])
def test_min_samples_out_of_range(min_samples: int) -> None:
    with pytest.raises(ValueError, match=f"min_samples: is {min_samples}, and must be from 1 to 2147483647"):
        PlaneDbscan(eps=1.0, min_samples=min_samples)


def test_nothing_at_all() -> None:
    engine = plane()
    assert engine.insert([], np.empty((0, 2))) == engine.delete([]) == ()
    now = engine.snapshot()
    assert (len(now.keys), now.points.shape, now.next_id, len(engine.sizes)) == (0, (0, 2), 0, 0)


def test_sizes_follow_and_cannot_be_written() -> None:
    engine = plane()
    sizes = engine.sizes
    engine.insert(range(4), np.zeros((4, 2)))
    assert dict(sizes) == {0: 4}
    with pytest.raises(TypeError):
        sizes[0] = 5  # type: ignore[index]  # that is the point
