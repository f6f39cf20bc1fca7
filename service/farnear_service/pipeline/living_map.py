"""The map of one collection, kept current in the background: new items are placed, and it is fitted anew when due."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farnear_service.errors import PreconditionError
from farnear_service.filters import ABSENT
from farnear_service.index import Generation, Index
from farnear_service.jobs import run_in_process
from farnear_service.maps import (
    Drift,
    Fit,
    FittedMap,
    MapSettings,
    check_enough,
    fit_map,
    load_map,
    save_map,
)
from farnear_service.metrics import Metrics
from farnear_service.pipeline.cluster_questions import medoid
from farnear_service.pipeline.durable_clusters import ClusterView, DurableClusters
from farnear_service.pipeline.feed import Feed
from farnear_service.store import Store
from farnear_service.types import Collection, FloatArray

SETTLE_SECONDS = 0.2  # changes gather this long before they are placed together
RETRY_SECONDS = 10.0
PLACED_AT_ONCE = 1000  # new items in one step, about half a second
QUIET_SECONDS = 2.0  # a refit waits for a pause in the writes this long ...
PATIENCE_SECONDS = 60.0  # ... but no longer than this
LOADED_AT_START = 200_000  # items whose clusters a start waits for, about a second; those of more come behind it
REFIT_SHARE = 0.2  # of the items at the last fit: so much change makes a new fit due
REFIT_DRIFT = 0.2  # and so does so much drift

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MapState:
    """The standing map: the clusters on it, what places others there, how many acknowledged items wait, and its drift.

    `fitted` is None where its file was lost and a new fit is due.
    """

    view: ClusterView
    fitted: FittedMap | None
    pending: int
    drift: float

    @property
    def perplexity(self) -> float:
        """The perplexity of its fit."""
        return self.view.settings.perplexity if self.fitted is None else self.fitted.perplexity

    def place(self, vector: FloatArray) -> NDArray[np.float64]:
        """Where a unit vector (D,) falls: (2,). Raises PreconditionError while it is being made anew."""
        if self.fitted is None:
            raise PreconditionError("collection: its map is being made anew; try again later")
        position: NDArray[np.float64] = self.fitted.place(vector[None])[0]
        return position


class LivingMap:
    """Clusters of what an index holds. Belongs to the event loop that runs `keep_current`.

    `changed` is called after every change of the index, with the newest key that it holds and the keys that went.
    """

    def __init__(
        self, record: Collection, index: Index, store: Store, *, path: Path, settings: MapSettings, metrics: Metrics
    ) -> None:
        self._record = record
        self._index = index
        self._path = path
        self._metrics = metrics
        self._clusters = DurableClusters(record, store, settings)
        self._fitted: FittedMap | None = None
        self._loaded = False
        self._turn = threading.Lock()  # held by whoever changes the clusters
        self._changed = asyncio.Event()
        self._fit_wanted = asyncio.Event()
        self._next_fit: asyncio.Future[MapState] | None = None
        self._next_settings: MapSettings | None = None
        self._present_fit: asyncio.Future[MapState] | None = None
        self._ended = False
        self._last_change = time.monotonic()
        self._newest_key = int(index.now().keys.max(initial=0))
        self._placed_through = 0
        self._removed: set[int] | None = set()  # since the last step; None: not known, so that all items are compared
        self._unplaced: deque[tuple[int, float]] = deque()  # newest key and time of each write that has no place yet
        self._drift = Drift()
        self.feed = Feed(record, store)
        metrics.cluster_lag.labels(record.name).set_function(self._lag)
        metrics.map_drift.labels(record.name).set_function(lambda: self._drift.value)
        if len(index) > LOADED_AT_START or self._load() or self._fit_is_due():
            self.changed(self._newest_key)

    def changed(self, newest_key: int, removed: Sequence[int] = ()) -> None:
        """Makes it look at the index again, soon."""
        self._newest_key = newest_key
        self._last_change = time.monotonic()
        self._unplaced.append((newest_key, self._last_change))
        if self._removed is not None:
            self._removed.update(removed)
        self._changed.set()

    def cluster_of(self, key: int) -> int | None:
        """The cluster of an item now; None while it is not on the map."""
        view = self._clusters.view
        return None if view is None else view.of(key)

    def clusters_of(self, now: Generation) -> NDArray[np.int32] | None:
        """The cluster of every row (N,) of a generation, ABSENT for items without a place; None without a map."""
        view = self._clusters.view
        if view is None:
            return None
        clusters = np.full(len(now.keys), ABSENT, np.int32)
        on_map, rows = view.rows_of(now.keys)
        clusters[rows] = view.snapshot.labels[on_map]
        return clusters

    def state(self) -> MapState:
        """The standing map; raises PreconditionError while there is none."""
        fitted, view = self._fitted, self._clusters.view
        while fitted is not None and view is not None and fitted.version != view.version:
            fitted, view = self._fitted, self._clusters.view  # the one is changed right after the other
        if view is None:
            self._check_loaded()
            check_enough(len(self._index), self._clusters.settings)
            raise PreconditionError(
                f"collection: the first map of {self._record.name!r} is being made; try again later"
            )
        behind, _ = self._rows_behind(int(view.snapshot.keys.max(initial=0)))
        return MapState(view=view, fitted=fitted, pending=len(behind), drift=self._drift.value)

    def medoid(self, cluster: int) -> str:
        """The item id of the medoid of a cluster; NotFoundError where there is no such cluster now."""
        return medoid(self.state().view, self._index.now(), cluster)

    async def recluster(
        self, *, eps: float | None = None, min_samples: int | None = None, perplexity: float | None = None
    ) -> MapState:
        """Makes clusters by other settings, which stay. Goes on when the caller goes away.

        With eps or min_samples alone on the map that stands; else on a new one of everything acknowledged so far.
        Callers share a fit that has not begun, with the settings of the last of them.

        Raises InvalidError for settings outside of what is allowed, PreconditionError for too few items.
        """
        present = self._next_settings or self._clusters.settings
        wanted = replace(
            present,
            eps=present.eps if eps is None else eps,
            min_samples=present.min_samples if min_samples is None else min_samples,
            perplexity=present.perplexity if perplexity is None else perplexity,
        )
        wanted.check()
        self._check_loaded()
        check_enough(len(self._index), wanted)
        only_clusters = perplexity is None and not (eps is None and min_samples is None)
        if only_clusters and self._clusters.view is not None and self._next_fit is None:
            return await asyncio.shield(asyncio.create_task(self._recluster(wanted)))
        self._next_settings = wanted
        if self._next_fit is None:
            self._next_fit = asyncio.get_running_loop().create_future()
            self._fit_wanted.set()
        return await asyncio.shield(self._next_fit)

    def close(self) -> None:
        """Ends the wait of everyone who waits for a fit or for news, after `keep_current` was cancelled for good."""
        self.feed.close()
        for fit in (self._next_fit, self._present_fit):
            if fit is not None and not fit.done():
                fit.set_exception(PreconditionError(f"collection: {self._record.name!r} was closed"))

    async def keep_current(self, fitting: asyncio.Semaphore) -> None:
        """Places new items and refits the map, until cancelled. `fitting` bounds the fits of all collections."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_placed())
                tasks.create_task(self._keep_fitted(fitting))
        finally:
            await asyncio.shield(asyncio.to_thread(self._end))

    async def _keep_placed(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            try:
                if not self._loaded:
                    await asyncio.to_thread(self._load)
                left = True
                while left:  # what comes meanwhile gathers for the next round
                    removed, self._removed = self._removed, set()
                    left = await asyncio.to_thread(self._step, removed)
                    self._tell()
            except Exception:
                log.exception("map of collection %r: new items could not be placed", self._record.name)
                self._removed = None
                self._changed.set()
                await asyncio.sleep(RETRY_SECONDS)
            if self._fit_is_due():
                self._fit_wanted.set()

    async def _keep_fitted(self, fitting: asyncio.Semaphore) -> None:
        while True:
            await self._fit_wanted.wait()
            await self._pause_in_changes()
            self._fit_wanted.clear()
            async with fitting:
                if self._next_fit is None and not self._fit_is_due():
                    continue
                self._present_fit, self._next_fit = self._next_fit, None
                settings, self._next_settings = self._next_settings or self._clusters.settings, None
                await self._fit(settings, self._present_fit)

    async def _fit(self, settings: MapSettings, request: asyncio.Future[MapState] | None) -> None:
        try:
            with self._metrics.stage("map_fit"):
                keys, vectors = await asyncio.to_thread(_items, self._index.now())
                view, began = self._clusters.view, self._clusters.settings
                before = None if view is None else (view.snapshot.keys, view.snapshot.points)
                fit = await run_in_process(fit_map, keys, vectors, settings, self._clusters.version + 1, before)
            await asyncio.to_thread(self._go_over, fit, keys, settings, began)
            self._tell()
        except Exception as error:
            log.exception("map of collection %r: the fit failed", self._record.name)
            if request is not None and not request.done():
                request.set_exception(PreconditionError(f"collection: the map could not be fitted ({error})"))
            return
        if request is not None and not request.done():
            request.set_result(self.state())

    def _go_over(self, fit: Fit, keys: NDArray[np.int64], settings: MapSettings, began: MapSettings) -> None:
        """Changes to another map. What came since its fit is placed on it while the one before still serves."""
        self._clusters.stage(fit.fitted.version, keys, fit.positions)
        fit.fitted.place(fit.fitted.vectors[:1])  # what it needs for the first one takes a second or two
        came = [self._newcomers(fit.fitted, fit.fitted.newest_key)]
        while len(came[-1][0]) > PLACED_AT_ONCE:
            came.append(self._newcomers(fit.fitted, int(came[-1][0][-1])))
        with self._turn:
            if self._ended:
                return
            through = max([fit.fitted.newest_key, *(int(part[-1]) for part, _ in came if len(part))])
            came.append(self._newcomers(fit.fitted, through))
            new_keys, new_positions = (np.concatenate(parts) for parts in zip(*came, strict=True))
            now = self._index.now()
            gone = np.setdiff1d(np.concatenate([keys, new_keys]), now.keys[now.live], assume_unique=True)
            stays = ~np.isin(new_keys, gone)
            if self._clusters.settings != began:  # they were clustered by others since, which stay
                settings = replace(self._clusters.settings, perplexity=settings.perplexity)
            save_map(fit.fitted, self._path)
            self._clusters.adopt(
                fit.fitted.version, settings, (keys, fit.positions), (new_keys[stays], new_positions[stays]), gone
            )
            self._fitted = fit.fitted
            self._placed_through = int(new_keys[-1]) if len(new_keys) else through
            self._drift = Drift()

    def _newcomers(self, fitted: FittedMap, key: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Keys (N,) of the items that are newer than a key, and where they fall on a map (N, 2)."""
        rows, now = self._rows_behind(key)
        parts = [rows[start : start + PLACED_AT_ONCE] for start in range(0, len(rows), PLACED_AT_ONCE)]
        positions = [fitted.place(now.vectors[part]) for part in parts]
        return now.keys[rows], np.concatenate([np.empty((0, 2)), *positions])

    def _rows_behind(self, key: int) -> tuple[NDArray[np.int64], Generation]:
        """The rows of items that are newer than a key, and the generation that they are of."""
        now = self._index.now()
        start = int(np.searchsorted(now.keys, key, side="right"))
        return start + np.flatnonzero(now.live[start:]), now

    def _step(self, removed: set[int] | None) -> bool:
        """Takes up to `PLACED_AT_ONCE` new items into the clusters, and `removed` ones out; None: find out which.

        Returns whether more new items were there.
        """
        with self._turn:
            view = self._clusters.view
            if view is None or self._ended:
                return False
            if removed is None:
                now = self._index.now()
                gone = np.setdiff1d(view.snapshot.keys, now.keys[now.live], assume_unique=True)
                self._placed_through = int(view.snapshot.keys.max(initial=0))
            else:
                gone = np.array(sorted(removed), np.int64)
            rows, now = self._rows_behind(self._placed_through)
            rows = rows if self._fitted is not None else rows[:0]
            rows, left = rows[:PLACED_AT_ONCE], len(rows) > PLACED_AT_ONCE
            if not len(rows) and not len(gone):
                return False
            vectors = now.vectors[rows]
            with self._metrics.stage("map_place"):
                positions = np.empty((0, 2)) if self._fitted is None else self._fitted.place(vectors)
                self._clusters.update(now.keys[rows], positions, gone)
            if len(rows):
                self._placed_through = int(now.keys[rows[-1]])
                assert self._fitted is not None
                self._drift.judge(self._fitted, vectors)
            return left

    async def _recluster(self, settings: MapSettings) -> MapState:
        def run() -> None:
            with self._turn:
                self._clusters.recluster(settings)

        with self._metrics.stage("recluster"):
            await asyncio.to_thread(run)
        self._tell()
        return self.state()

    def _tell(self) -> None:
        while self._unplaced and self._unplaced[0][0] <= self._placed_through:
            self._unplaced.popleft()
        self.feed.tell()

    def _load(self) -> bool:
        """Finds the clusters as they were, and takes a first step; returns whether more new items were there."""
        self._clusters.load()
        self._fitted = load_map(self._path, self._record.dim, self._clusters.version)
        self._loaded = True
        return self._step(None)

    def _end(self) -> None:
        with self._turn:  # a step that a thread is at goes to its end, before the store is closed
            self._ended = True

    def _check_loaded(self) -> None:
        if not self._loaded:
            raise PreconditionError(
                f"collection: the clusters of {self._record.name!r} are being read; try again later"
            )

    def _fit_is_due(self) -> bool:
        now, settings = self._index.now(), self._clusters.settings
        if len(now) < settings.min_samples:
            return False
        if self._fitted is None:
            return True
        added = len(self._rows_behind(self._fitted.newest_key)[0])
        removed = self._fitted.item_count - (len(now) - added)
        return added + removed >= REFIT_SHARE * self._fitted.item_count or self._drift.value > REFIT_DRIFT

    async def _pause_in_changes(self) -> None:
        begun = time.monotonic()
        while self._next_fit is None:
            now = time.monotonic()
            if now - self._last_change >= QUIET_SECONDS or now - begun >= PATIENCE_SECONDS:
                return
            await asyncio.sleep(SETTLE_SECONDS)

    def _lag(self) -> float:
        if not self._unplaced or len(self._index) < self._clusters.settings.min_samples:
            return 0.0
        return time.monotonic() - self._unplaced[0][1]


def _items(now: Generation) -> tuple[NDArray[np.int64], FloatArray]:
    """Keys and vectors of the items of a generation."""
    if len(now) == len(now.keys):
        return now.keys, now.vectors
    return now.keys[now.live], now.vectors[now.live]
