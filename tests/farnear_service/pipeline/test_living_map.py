import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.clusters import MapSettings, fit_map, load_map, save_map, view_of
from farnear_service.errors import PreconditionError
from farnear_service.index import Index
from farnear_service.metrics import Metrics
from farnear_service.pipeline import living_map
from farnear_service.pipeline.living_map import LivingMap
from farnear_service.types import Collection, FloatArray, ImageRetention, IndexSettings

SETTINGS = MapSettings(perplexity=8, min_samples=5)
RECORD = Collection(
    key=1, name="cells", bundle_name="tiny", bundle_digest="0" * 64, dim=4, retention=ImageRetention.NONE, created=0.0
)


def groups(count: int, *, seed: int = 0) -> FloatArray:
    centres = 4 * np.eye(4)[np.arange(count) % 3]
    vectors = centres + np.random.default_rng(seed).normal(size=(count, 4))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Live:
    """An index of `count` items with its map."""

    def __init__(self, count: int, path: Path, metrics: Metrics) -> None:
        self.index = Index(RECORD.dim, IndexSettings())
        self._change(range(1, count + 1), [f"item {i:03d}" for i in range(count)], groups(count))
        self.map = LivingMap(RECORD, self.index, path=path, settings=SETTINGS, metrics=metrics)

    def add(self, keys: range, *, removed: Sequence[int] = ()) -> None:
        self._change(keys, [f"late {key}" for key in keys], groups(len(keys), seed=keys[0]), removed)
        self.map.changed(keys[-1])

    def remove(self, keys: Sequence[int]) -> None:
        self._change(range(0), [], groups(0), keys)
        self.map.changed(int(self.index.now().keys[-1]))

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
def kept(map_path: Path, metrics: Metrics) -> Any:
    """Makes an index with the map of `count` items and keeps it current; for `async with`."""

    @asynccontextmanager
    async def keep(count: int) -> Any:
        live = Live(count, map_path, metrics)
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
    """The view is what the standing map gives for the items, from scratch."""
    state, now = live.map.state(), live.index.now()
    anew = view_of(state.view.fitted, now.keys[now.live], now.vectors[now.live], SETTINGS)
    np.testing.assert_array_equal(state.view.keys, anew.keys)
    np.testing.assert_array_equal(state.view.positions, anew.positions)
    np.testing.assert_array_equal(state.view.labels, anew.labels)
    assert state.pending == 0


# The first map


async def test_the_first_map_is_fitted_by_itself(kept: Any, quick_maps: None, map_path: Path) -> None:
    async with kept(30) as live:
        assert live.map.cluster_of(1) is None
        with pytest.raises(PreconditionError, match="the first map of 'cells' is being made; try again later"):
            live.map.state()
        await until(lambda: live.map.cluster_of(1) is not None)
        assert live.map.state().view.fitted.version == 1
        assert_current(live)
        saved = load_map(map_path, SETTINGS, RECORD.dim)
        assert saved is not None
        np.testing.assert_array_equal(saved.positions, live.map.state().view.fitted.positions)


async def test_the_first_map_waits_for_enough_items(kept: Any, quick_maps: None) -> None:
    async with kept(0) as live:
        for call in (live.map.state, live.map.points, live.map.summaries):
            with pytest.raises(PreconditionError, match="collection: has 0 items; a map needs at least 5"):
                call()
        with pytest.raises(PreconditionError, match="has 0 items"):
            await live.map.refit()
        live.add(range(1, 5))
        with pytest.raises(PreconditionError, match="has 4 items"):
            await live.map.refit()
        live.add(range(5, 9))
        await until(lambda: live.map.cluster_of(8) is not None)
        assert live.map.state().view.fitted.item_count == 8


async def test_a_map_is_fitted_in_a_process_of_its_own(kept: Any) -> None:
    async with kept(12) as live:
        state = await live.map.refit()
        here = fit_map(live.index.now().keys, live.index.now().vectors, SETTINGS, 1)
        np.testing.assert_array_equal(state.view.fitted.positions, here.positions)


# Changes


async def test_new_items_are_placed_on_the_map_that_stands(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        before = (await live.map.refit()).view
        live.add(range(31, 34))
        assert live.map.cluster_of(31) is None
        assert live.map.state().pending == 3
        await until(lambda: live.map.cluster_of(33) is not None)
        assert live.map.state().view.fitted is before.fitted
        assert_current(live)


async def test_much_change_makes_a_new_fit(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        await live.map.refit()
        live.add(range(31, 36))
        await until(lambda: live.map.state().pending == 0)
        assert live.map.state().view.fitted.version == 1
        live.add(range(36, 37))  # with this one a fifth
        await until(lambda: live.map.state().view.fitted.version == 2)
        await until(lambda: live.map.state().pending == 0)
        assert live.map.state().view.fitted.item_count == 36
        live.remove(range(1, 10))
        await until(lambda: live.map.state().view.fitted.version == 3)
        await until(lambda: len(live.map.state().view.keys) == 27)
        assert_current(live)


async def test_a_map_is_not_fitted_anew_without_change(kept: Any, held_fits: HeldFits) -> None:
    held_fits.may_go_on.set()
    async with kept(30) as live:
        await live.map.refit()
        count = held_fits.count
        live.add(range(31, 32), removed=(3,))
        await until(lambda: live.map.cluster_of(31) is not None)
        assert live.map.cluster_of(3) is None
        assert held_fits.count == count
        assert_current(live)


async def test_deleted_items_are_gone_from_map_and_clusters_at_once(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        await live.map.refit()
        live.remove(range(1, 5))
        assert live.map.points().item_ids == [f"item {i:03d}" for i in range(4, 30)]
        _, summaries = live.map.summaries()
        assert sum(summary.size for summary in summaries) + int((live.map.points().clusters == -1).sum()) == 26


async def test_items_that_came_during_a_fit_are_placed_after_it(kept: Any, held_fits: HeldFits) -> None:
    async with kept(30) as live:
        waiting = asyncio.ensure_future(live.map.refit())
        await held_fits.begun.wait()
        live.add(range(31, 41))
        live.remove([1, 2])
        held_fits.may_go_on.set()
        state = await waiting
        assert state.view.fitted.item_count == 30
        await until(lambda: live.map.cluster_of(40) is not None)
        await until(lambda: live.map.state().view.fitted.version == 2)
        await until(lambda: live.map.state().pending == 0)
        assert_current(live)


# Refits


async def test_callers_share_a_fit(kept: Any, held_fits: HeldFits) -> None:
    async with kept(30) as live:
        callers = [asyncio.ensure_future(live.map.refit()) for _ in range(5)]
        await held_fits.begun.wait()
        held_fits.may_go_on.set()
        states = await asyncio.gather(*callers)
        assert {state.view.fitted.version for state in states} == {1}
        assert held_fits.count == 1


async def test_a_caller_during_a_fit_gets_the_next_one_with_everything_acknowledged(
    kept: Any, held_fits: HeldFits
) -> None:
    async with kept(30) as live:
        first = asyncio.ensure_future(live.map.refit())
        await held_fits.begun.wait()
        live.add(range(31, 33))
        second = asyncio.ensure_future(live.map.refit())
        await asyncio.sleep(0)
        held_fits.may_go_on.set()
        assert (await first).view.fitted.item_count == 30
        state = await second
        assert state.view.fitted.item_count == 32
        assert state.view.fitted.version == 2


async def test_a_fit_goes_on_when_its_caller_goes_away(kept: Any, held_fits: HeldFits) -> None:
    async with kept(30) as live:
        gone, stays = asyncio.ensure_future(live.map.refit()), asyncio.ensure_future(live.map.refit())
        await held_fits.begun.wait()
        gone.cancel()
        held_fits.may_go_on.set()
        assert (await stays).view.fitted.version == 1
        alone = asyncio.ensure_future(live.map.refit())
        await asyncio.sleep(0)
        alone.cancel()
        await until(lambda: live.map.state().view.fitted.version == 2)


async def test_a_fit_that_fails_is_told_and_the_next_one_works(
    kept: Any, quick_maps: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise MemoryError("too little of it")

    with monkeypatch.context() as broken:
        broken.setattr(living_map, "run_in_process", fail)
        async with kept(30) as live:
            with pytest.raises(PreconditionError, match=r"the map could not be fitted \(too little of it\)"):
                await live.map.refit()
            assert "the fit failed" in caplog.text
            assert live.map.cluster_of(1) is None
            broken.undo()
            monkeypatch.setattr(living_map, "run_in_process", asyncio.to_thread)
            assert (await live.map.refit()).view.fitted.version == 1


async def test_who_waits_for_a_fit_is_told_when_the_collection_ends(kept: Any, held_fits: HeldFits) -> None:
    """Both who waits for the fit under way and who waits for the one after it."""
    async with kept(30) as live:
        callers = [asyncio.ensure_future(live.map.refit())]
        await held_fits.begun.wait()
        callers.append(asyncio.ensure_future(live.map.refit()))
        await asyncio.sleep(0)
    done, waiting = await asyncio.wait(callers, timeout=1)
    for caller in waiting:
        caller.cancel()
    assert len(done) == 2, "a caller waits for ever"
    for caller in done:
        assert isinstance(caller.exception(), PreconditionError)


# Restarts


async def test_a_restart_finds_the_map_and_places_the_rest(kept: Any, quick_maps: None) -> None:
    async with kept(30) as live:
        fitted = (await live.map.refit()).view.fitted
    async with kept(33) as live:  # three more in the store
        state = live.map.state()
        np.testing.assert_array_equal(state.view.fitted.positions, fitted.positions)
        assert len(state.view.keys) == 33
        assert_current(live)


async def test_a_fit_that_was_due_at_the_end_is_made_after_a_restart(kept: Any, quick_maps: None) -> None:
    """Nothing else would make it: the collection may never change again."""
    async with kept(20) as live:
        await live.map.refit()
    async with kept(60) as live:
        await until(lambda: live.map.state().view.fitted.item_count == 60)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


async def test_a_damaged_map_is_fitted_anew(kept: Any, quick_maps: None, map_path: Path) -> None:
    async with kept(20) as live:
        before = (await live.map.refit()).view
    await asyncio.to_thread(cut, map_path)
    async with kept(20) as live:
        assert live.map.cluster_of(1) is None
        await until(lambda: live.map.cluster_of(1) is not None)
        np.testing.assert_array_equal(live.map.state().view.positions, before.positions)


async def test_a_map_of_vectors_of_another_length_is_not_taken(kept: Any, quick_maps: None, map_path: Path) -> None:
    """As after a data directory was put together from two backups; derived things can be thrown away."""
    vectors = np.random.default_rng(0).normal(size=(20, 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    save_map(fit_map(np.arange(1, 21), vectors, SETTINGS, 7), SETTINGS, map_path)
    async with kept(30) as live:
        await until(lambda: live.map.cluster_of(30) is not None)
        assert live.map.state().view.fitted.vectors.shape[1] == 4


# Summaries


async def test_summaries_are_those_of_plain_loops(kept: Any, quick_maps: None) -> None:
    async with kept(60) as live:
        await live.map.refit()
        state, summaries = live.map.summaries()
        points = live.map.points()
    expected = []
    for cluster in sorted(set(points.clusters.tolist()) - {-1}):
        members = [i for i, label in enumerate(points.clusters) if label == cluster]
        vectors = groups(60).astype(np.float64)
        sums = {i: sum(1 - float(vectors[i] @ vectors[j]) for j in members) for i in members}
        medoid = min(members, key=lambda i: (round(sums[i], 9), points.item_ids[i]))
        counts = Counter(points.labels[i] for i in members)
        expected.append(
            (
                cluster,
                len(members),
                sum(bool(state.view.core[i]) for i in members),
                points.item_ids[medoid],
                tuple(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))),
            )
        )
    expected.sort(key=lambda entry: (-entry[1], entry[0]))
    assert expected, "the case must have a cluster"
    assert [
        (summary.cluster, summary.size, summary.core_count, summary.medoid, summary.classes) for summary in summaries
    ] == expected


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
