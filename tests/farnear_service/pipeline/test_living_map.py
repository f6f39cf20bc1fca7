import asyncio
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.dbscan import Change
from farnear_service.errors import InvalidError, PreconditionError
from farnear_service.index import Index
from farnear_service.maps import MapSettings, fit_map, load_map, save_map
from farnear_service.metrics import Metrics
from farnear_service.pipeline import living_map
from farnear_service.pipeline.cluster_questions import map_points, summaries
from farnear_service.pipeline.living_map import LivingMap, MapState
from farnear_service.store import Store
from farnear_service.types import Collection, FloatArray, IndexSettings
from sklearn.cluster import DBSCAN

SETTINGS = MapSettings(perplexity=8, min_samples=5)
DIM = 4


def groups(count: int, *, seed: int = 0) -> FloatArray:
    centres = 4 * np.eye(4)[np.arange(count) % 3]
    vectors = centres + np.random.default_rng(seed).normal(size=(count, 4))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Live:
    """An index of `count` items with its map."""

    def __init__(self, count: int, record: Collection, store: Store, path: Path, metrics: Metrics) -> None:
        self.index = Index(DIM, IndexSettings())
        self._change(range(1, count + 1), [f"item {i:03d}" for i in range(count)], groups(count))
        self.map = LivingMap(record, self.index, store, path=path, settings=SETTINGS, metrics=metrics)

    def add(self, keys: range, *, removed: Sequence[int] = ()) -> None:
        self._change(keys, [f"late {key}" for key in keys], groups(len(keys), seed=keys[0]), removed)
        self.map.changed(keys[-1], removed)

    def remove(self, keys: Sequence[int]) -> None:
        self._change(range(0), [], groups(0), keys)
        self.map.changed(int(self.index.now().keys[-1]), keys)

    def _change(self, keys: range, ids: Sequence[str], vectors: FloatArray, removed: Sequence[int] = ()) -> None:
        self.index.change(
            removed=removed,
            keys=np.array(keys, np.int64),
            item_ids=ids,
            labels=[("crack", "rust", "")[i % 3] for i in range(len(ids))],
            created=[0.0] * len(ids),
            attributes=[{}] * len(ids),
            vectors=vectors,
        )


async def until(condition: Callable[[], bool]) -> None:
    """Waits within bounds for what happens in the background."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what runs in the background has no event for it
            await asyncio.sleep(0.002)


@pytest.fixture
def map_path(tmp_path: Path) -> Path:
    return tmp_path / "maps" / "1.npz"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def kept(cells: Collection, store: Store, map_path: Path, metrics: Metrics) -> Any:
    """Makes an index with the map of `count` items and keeps it current; for `async with`."""

    @asynccontextmanager
    async def keep(count: int) -> Any:
        live = Live(count, cells, store, map_path, metrics)
        task = asyncio.create_task(live.map.keep_current(asyncio.Semaphore(1)))
        try:
            yield live
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            live.map.close()

    return keep


class HeldFits:
    """Stands for the process of a fit, which it begins only when it may."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def run(self, job: Callable[..., Any], *arguments: Any) -> Any:
        self.count += 1
        self.begun.set()
        await self.may_go_on.wait()
        return await asyncio.to_thread(job, *arguments)


@pytest.fixture
async def held_fits(quick_maps: None, monkeypatch: pytest.MonkeyPatch) -> HeldFits:
    held = HeldFits()
    monkeypatch.setattr(living_map, "run_in_process", held.run)
    return held


def sample(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"collection": "cells"})


def assert_current(live: Live) -> None:
    """The view has every item, where the standing map places it, in the clusters of DBSCAN from scratch."""
    state, now = live.map.state(), live.index.now()
    found = state.view.snapshot
    np.testing.assert_array_equal(found.keys, now.keys[now.live])
    judge = DBSCAN(eps=SETTINGS.eps, min_samples=SETTINGS.min_samples).fit(found.points)
    assert np.flatnonzero(found.core).tolist() == judge.core_sample_indices_.tolist()
    assert state.pending == 0


def key_of(state: MapState) -> list[int]:
    keys: list[int] = state.view.snapshot.keys.tolist()
    return keys


# The first map


async def test_the_first_map_is_fitted_by_itself(kept: Any, quick_maps: None, map_path: Path) -> None:
    async with kept(30) as live:
        assert live.map.cluster_of(1) is None
        with pytest.raises(PreconditionError, match="the first map of 'cells' is being made; try again later"):
            live.map.state()
        await until(lambda: live.map.cluster_of(1) is not None)
        assert live.map.state().view.version == 1
        assert_current(live)
        saved = load_map(map_path, DIM, 1)
        assert saved is not None
        np.testing.assert_array_equal(saved.positions, live.map.state().view.snapshot.points)


async def test_the_first_map_waits_for_enough_items(kept: Any, quick_maps: None) -> None:
    async with kept(0) as live:
        with pytest.raises(PreconditionError, match="collection: has 0 items; a map needs at least 5"):
            live.map.state()
        with pytest.raises(PreconditionError, match="has 0 items"):
            await live.map.recluster()
        live.add(range(1, 5))
        with pytest.raises(PreconditionError, match="has 4 items"):
            await live.map.recluster()
        live.add(range(5, 9))
        await until(lambda: live.map.cluster_of(8) is not None)
        assert key_of(live.map.state()) == list(range(1, 9))


async def test_a_map_is_fitted_in_a_process_of_its_own(kept: Any) -> None:
    async with kept(12) as live:
        state = await live.map.recluster()
        here = fit_map(live.index.now().keys, live.index.now().vectors, SETTINGS, 1)
        np.testing.assert_array_equal(state.view.snapshot.points, here.positions)


# Changes


async def test_new_items_are_placed_on_the_map_that_stands(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        before = (await live.map.recluster()).view.snapshot
        live.add(range(31, 34))
        assert live.map.cluster_of(31) is None
        assert live.map.state().pending == 3
        await until(lambda: live.map.cluster_of(33) is not None)
        assert live.map.state().view.version == 1
        after = live.map.state().view.snapshot
        np.testing.assert_array_equal(after.points[:30], before.points)
        for key, vector in zip(range(31, 34), groups(3, seed=31), strict=True):
            np.testing.assert_array_equal(after.points[key - 1], live.map.state().place(vector))
        assert_current(live)


async def test_much_change_makes_a_new_fit(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        await live.map.recluster()
        live.add(range(31, 36))
        await until(lambda: live.map.state().pending == 0)
        assert live.map.state().view.version == 1
        live.add(range(36, 37))  # with this one a fifth
        await until(lambda: live.map.state().view.version == 2)
        await until(lambda: live.map.state().pending == 0)
        live.remove(range(1, 10))
        await until(lambda: live.map.state().view.version == 3)
        await until(lambda: len(key_of(live.map.state())) == 27)
        assert_current(live)


async def test_a_map_is_not_fitted_anew_without_change(kept: Any, held_fits: HeldFits) -> None:
    held_fits.may_go_on.set()
    async with kept(30) as live:
        await live.map.recluster()
        count = held_fits.count
        live.add(range(31, 32), removed=(3,))
        await until(lambda: live.map.cluster_of(31) is not None)
        assert live.map.cluster_of(3) is None
        assert held_fits.count == count
        assert_current(live)


async def test_deleted_items_are_gone_from_map_and_clusters_at_once(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        await live.map.recluster()
        live.remove(range(1, 5))
        view, now = live.map.state().view, live.index.now()
        assert len(view.snapshot.keys) == 30, "the case must ask before the clusters have taken notice"
        points = map_points(view, now)
        assert points.item_ids == [f"item {i:03d}" for i in range(4, 30)]
        sizes = [summary.size for summary in summaries(view, now)]
        assert sum(sizes) + int((points.clusters == -1).sum()) == 26


async def test_items_that_came_during_a_fit_are_placed_after_it(kept: Any, held_fits: HeldFits) -> None:
    async with kept(30) as live:
        waiting = asyncio.ensure_future(live.map.recluster())
        await held_fits.begun.wait()
        live.add(range(31, 41))
        live.remove([1, 2])
        held_fits.may_go_on.set()
        state = await waiting
        assert state.view.version == 1
        assert key_of(state) == list(range(3, 41)), "what came and went meanwhile"
        assert_current(live)
        await until(lambda: live.map.cluster_of(40) is not None)
        await until(lambda: live.map.state().view.version == 2)
        await until(lambda: live.map.state().pending == 0)
        assert_current(live)


# Refits


async def test_callers_share_a_fit(kept: Any, held_fits: HeldFits) -> None:
    async with kept(30) as live:
        callers = [asyncio.ensure_future(live.map.recluster()) for _ in range(5)]
        await held_fits.begun.wait()
        held_fits.may_go_on.set()
        states = await asyncio.gather(*callers)
        assert {state.view.version for state in states} == {1}
        assert held_fits.count == 1


async def test_a_caller_during_a_fit_gets_the_next_one_with_everything_acknowledged(
    kept: Any, held_fits: HeldFits
) -> None:
    async with kept(30) as live:
        first = asyncio.ensure_future(live.map.recluster())
        await held_fits.begun.wait()
        live.add(range(31, 33))
        second = asyncio.ensure_future(live.map.recluster())
        await asyncio.sleep(0)
        held_fits.may_go_on.set()
        assert (await first).view.version == 1
        state = await second
        assert state.view.version == 2
        assert len(key_of(state)) == 32


async def test_a_fit_goes_on_when_its_caller_goes_away(kept: Any, held_fits: HeldFits) -> None:
    async with kept(30) as live:
        gone, stays = asyncio.ensure_future(live.map.recluster()), asyncio.ensure_future(live.map.recluster())
        await held_fits.begun.wait()
        gone.cancel()
        held_fits.may_go_on.set()
        assert (await stays).view.version == 1
        alone = asyncio.ensure_future(live.map.recluster())
        await asyncio.sleep(0)
        alone.cancel()
        await until(lambda: live.map.state().view.version == 2)


async def test_a_fit_that_fails_is_told_and_the_next_one_works(
    kept: Any, quick_maps: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise MemoryError("too little of it")

    with monkeypatch.context() as broken:
        broken.setattr(living_map, "run_in_process", fail)
        async with kept(30) as live:
            with pytest.raises(PreconditionError, match=r"the map could not be fitted \(too little of it\)"):
                await live.map.recluster()
            assert "the fit failed" in caplog.text
            assert live.map.cluster_of(1) is None
            broken.undo()
            monkeypatch.setattr(living_map, "run_in_process", asyncio.to_thread)
            assert (await live.map.recluster()).view.version == 1


async def test_who_waits_for_a_fit_is_told_when_the_collection_ends(kept: Any, held_fits: HeldFits) -> None:
    """Both who waits for the fit under way and who waits for the one after it."""
    async with kept(30) as live:
        callers = [asyncio.ensure_future(live.map.recluster())]
        await held_fits.begun.wait()
        callers.append(asyncio.ensure_future(live.map.recluster()))
        await asyncio.sleep(0)
    done, waiting = await asyncio.wait(callers, timeout=1)
    for caller in waiting:
        caller.cancel()
    assert len(done) == 2, "a caller waits for ever"
    for caller in done:
        assert isinstance(caller.exception(), PreconditionError)


# Other settings


async def test_density_alone_changes_the_clusters_and_not_the_map(kept: Any, quick_maps: None) -> None:
    async with kept(60) as live:
        before = (await live.map.recluster()).view
        state = await live.map.recluster(eps=0.7, min_samples=3)
        assert state.view.version == 1
        np.testing.assert_array_equal(state.view.snapshot.points, before.snapshot.points)
        judge = DBSCAN(eps=0.7, min_samples=3).fit(before.snapshot.points)
        assert np.flatnonzero(state.view.snapshot.core).tolist() == judge.core_sample_indices_.tolist()
        assert (state.view.settings.eps, state.view.settings.min_samples) == (0.7, 3)
        state = await live.map.recluster()
        assert (state.view.version, state.view.settings.eps) == (2, 0.7), "settings stay"
    async with kept(60) as live:
        assert live.map.state().view.settings.min_samples == 3


async def test_another_perplexity_is_a_new_map(kept: Any, quick_maps: None) -> None:
    async with kept(60) as live:
        await live.map.recluster()
        state = await live.map.recluster(perplexity=5.0, eps=2.0)
        assert (state.view.version, state.perplexity, state.view.settings.eps) == (2, 5.0, 2.0)


async def test_density_that_is_asked_for_during_a_fit_outlives_it(kept: Any, held_fits: HeldFits) -> None:
    async with kept(30) as live:
        held_fits.may_go_on.set()
        await live.map.recluster()
        held_fits.may_go_on.clear()
        held_fits.begun.clear()
        fit = asyncio.ensure_future(live.map.recluster(perplexity=6.0))
        await held_fits.begun.wait()
        assert (await live.map.recluster(eps=1.0)).view.version == 1
        held_fits.may_go_on.set()
        settings = (await fit).view.settings
        assert (settings.eps, settings.perplexity) == (1.0, 6.0)


async def test_settings_outside_of_what_is_allowed_are_refused(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        with pytest.raises(InvalidError, match=r"eps: is -1.0; allowed are values above 0"):
            await live.map.recluster(eps=-1.0)
        with pytest.raises(PreconditionError, match="has 30 items; a map needs at least 31"):
            await live.map.recluster(min_samples=31)


# What happens


async def test_what_happens_is_told_in_order_and_goes_on_behind_a_number(kept: Any, quick_maps: None) -> None:
    async with kept(60) as live:
        await live.map.recluster()
        feed = live.map.feed.events(0)
        born = await anext(feed)
        assert {one.event.change for one in born} == {Change.BORN}
        assert sum(one.event.size for one in born) == sum(live.map.state().view.sizes.values())
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        assert not waiting.done()
        live.remove(range(1, 4))
        shrunk = await waiting
        assert shrunk[0].number > born[-1].number
        assert sum(one.event.size_before - one.event.size for one in shrunk) <= 3
        again = [one async for one in _until_closed(live, 0)]
        assert again == [*born, *shrunk]
        assert [one async for one in _until_closed(live, born[-1].number)] == shrunk


async def _until_closed(live: Live, after: int) -> Any:
    live.map.feed.close()
    async for events in live.map.feed.events(after):
        for one in events:
            yield one


# Drift


async def test_items_like_those_of_the_fit_do_not_drift_and_others_do(
    kept: Any, quick_maps: None, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the far side of everything that the map was fitted to lies nothing to be placed beside."""
    monkeypatch.setattr(living_map, "REFIT_SHARE", 100.0)
    monkeypatch.setattr(living_map, "REFIT_DRIFT", 100.0)
    async with kept(300) as live:
        await live.map.recluster()
        assert live.map.state().drift == 0
        live.add(range(301, 401))
        await until(lambda: live.map.state().pending == 0)
        usual = live.map.state().drift
    async with kept(300) as live:
        strange = -groups(100, seed=5)[:, ::-1]
        live.index.change(
            removed=(),
            keys=np.arange(401, 501),
            item_ids=[f"strange {i}" for i in range(100)],
            labels=[""] * 100,
            created=[0.0] * 100,
            attributes=[{}] * 100,
            vectors=np.ascontiguousarray(strange),
        )
        live.map.changed(500)
        await until(lambda: live.map.state().pending == 0)
        assert usual < 0.1
        assert live.map.state().drift > 0.9
        metric = sample(metrics, "farnear_map_drift")
        assert metric == live.map.state().drift


async def test_much_drift_makes_a_new_fit(kept: Any, quick_maps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living_map, "REFIT_SHARE", 100.0)
    monkeypatch.setattr(living_map, "REFIT_DRIFT", -1.0)
    async with kept(300) as live:
        await until(lambda: live.map.cluster_of(1) is not None)
        live.add(range(301, 303))
        await until(lambda: live.map.state().view.version > 1)


# Restarts


async def test_a_restart_finds_the_map_and_places_the_rest(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        before = (await live.map.recluster()).view.snapshot
    async with kept(33) as live:  # three more in the store
        state = live.map.state()
        np.testing.assert_array_equal(state.view.snapshot.points[:30], before.points)
        assert_current(live)


async def test_the_clusters_of_a_large_collection_are_read_behind_the_start(
    kept: Any, quick_maps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(30) as live:
        before = (await live.map.recluster()).view.snapshot
    monkeypatch.setattr(living_map, "LOADED_AT_START", 29)
    async with kept(30) as live:
        assert live.map.cluster_of(1) is None
        with pytest.raises(PreconditionError, match="clusters of 'cells' are being read; try again later"):
            live.map.state()
        with pytest.raises(PreconditionError, match="are being read"):
            await live.map.recluster()
        await until(lambda: live.map.cluster_of(1) is not None)
        assert live.map.state().view.version == 1
        np.testing.assert_array_equal(live.map.state().view.snapshot.labels, before.labels)


async def test_a_fit_that_was_due_at_the_end_is_made_after_a_restart(kept: Any, quick_maps: None) -> None:
    """Nothing else would make it: the collection may never change again."""
    async with kept(20) as live:
        await live.map.recluster()
    async with kept(60) as live:
        await until(lambda: live.map.state().view.version == 2)
        assert len(key_of(live.map.state())) == 60


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


async def test_a_damaged_map_is_fitted_anew_and_the_clusters_stay(
    kept: Any, quick_maps: None, map_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(60) as live:
        before = (await live.map.recluster()).view
    await asyncio.to_thread(cut, map_path)
    async with kept(61) as live:
        state = live.map.state()
        assert state.view.version == 1
        np.testing.assert_array_equal(state.view.snapshot.labels, before.snapshot.labels)
        assert state.pending == 1
        with pytest.raises(PreconditionError, match="its map is being made anew; try again later"):
            live.map.state().place(groups(1)[0])
        await until(lambda: live.map.state().view.version == 2)
        after = live.map.state().view.snapshot
        assert (after.labels[:60] == before.snapshot.labels).mean() > 0.9
        assert_current(live)


async def test_a_map_of_vectors_of_another_length_is_not_taken(
    kept: Any, quick_maps: None, map_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a data directory was put together from two backups; derived things can be thrown away."""
    async with kept(30) as live:
        await live.map.recluster()
    vectors = np.random.default_rng(0).normal(size=(20, 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    await asyncio.to_thread(save_map, fit_map(np.arange(1, 21), vectors, SETTINGS, 1).fitted, map_path)
    async with kept(30) as live:
        await until(lambda: live.map.state().view.version == 2)


# Metrics


async def test_the_lag_is_told(kept: Any, held_fits: HeldFits, metrics: Metrics) -> None:
    async with kept(30) as live:
        await held_fits.begun.wait()
        lag = sample(metrics, "farnear_cluster_lag_seconds")
        assert lag is not None
        assert lag > 0
        held_fits.may_go_on.set()
        await until(lambda: live.map.cluster_of(1) is not None)
        assert sample(metrics, "farnear_cluster_lag_seconds") == 0
    assert metrics.registry.get_sample_value("farnear_stage_seconds_count", {"stage": "map_fit"}) == 1


async def test_a_collection_too_small_for_a_map_has_no_lag(kept: Any, quick_maps: None, metrics: Metrics) -> None:
    async with kept(4):
        assert sample(metrics, "farnear_cluster_lag_seconds") == 0
