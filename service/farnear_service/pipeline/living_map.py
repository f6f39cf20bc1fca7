"""The map of one collection, kept current in the background: new items are placed, and it is fitted anew when due."""

import asyncio
import logging
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farnear_service.clusters import (
    ClusterView,
    FittedMap,
    MapSettings,
    Positions,
    check_enough,
    fit_map,
    load_map,
    save_map,
    view_of,
)
from farnear_service.errors import PreconditionError
from farnear_service.filters import ABSENT
from farnear_service.index import Generation, Index
from farnear_service.jobs import run_in_process
from farnear_service.metrics import Metrics
from farnear_service.types import Collection, FloatArray

SETTLE_SECONDS = 0.2  # changes gather this long before they are placed together
QUIET_SECONDS = 2.0  # a refit waits for a pause in the writes this long ...
PATIENCE_SECONDS = 60.0  # ... but no longer than this
REFIT_SHARE = 0.2  # of the items at the last fit: so much change makes a new fit due
PLACED_AT_START = 2000  # items without a place that a start waits for, about a second; more are placed behind it

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MapState:
    """The standing map: `view` of N items, and how many acknowledged items wait for their place."""

    view: ClusterView
    pending: int
    settings: MapSettings


@dataclass(frozen=True, kw_only=True)
class MapPoints:
    """The N present items on the map: ids, `positions` (N, 2), `clusters` (N,) with noise -1, and labels."""

    state: MapState
    item_ids: list[str]
    positions: Positions
    clusters: NDArray[np.int32]
    labels: list[str]


@dataclass(frozen=True, kw_only=True)
class ClusterSummary:
    """One cluster: members, core points among them, the medoid's item id, and classes, most frequent first."""

    cluster: int
    size: int
    core_count: int
    medoid: str
    classes: tuple[tuple[str, int], ...]


class LivingMap:
    """Clusters of what an index holds. Belongs to the event loop that runs `keep_current`.

    `changed` is called after every change of the index, with the newest key that it holds.
    """

    def __init__(
        self, record: Collection, index: Index, *, path: Path, settings: MapSettings, metrics: Metrics
    ) -> None:
        self._name = record.name
        self._index = index
        self._path = path
        self._settings = settings
        self._metrics = metrics
        self._fitted: FittedMap | None = load_map(path, settings, record.dim)
        self._view: ClusterView | None = None
        _, keys, vectors = _items(index.now())
        if self._fitted is not None and len(np.setdiff1d(keys, self._fitted.keys)) <= PLACED_AT_START:
            self._view = view_of(self._fitted, keys, vectors, settings)
        self._changed = asyncio.Event()
        self._fit_wanted = asyncio.Event()
        self._next_fit: asyncio.Future[MapState] | None = None
        self._present_fit: asyncio.Future[MapState] | None = None
        self._last_change = time.monotonic()
        self._newest_key = int(keys[-1]) if len(keys) else 0
        self._unplaced: deque[tuple[int, float]] = deque()  # newest key and time of each write that has no place yet
        self._placing = asyncio.Lock()
        metrics.cluster_lag.labels(record.name).set_function(self._lag)
        if self._view is None or self._fit_is_due():
            self.changed(self._newest_key)

    def changed(self, newest_key: int) -> None:
        """Makes it look at the index again, soon."""
        self._newest_key = newest_key
        self._last_change = time.monotonic()
        self._unplaced.append((newest_key, self._last_change))
        self._changed.set()

    def cluster_of(self, key: int) -> int | None:
        """The cluster of an item now; None while it is not on the map."""
        return None if self._view is None else self._view.of(key)

    def clusters_of(self, now: Generation) -> NDArray[np.int32] | None:
        """The cluster of every row (N,) of a generation, ABSENT for items without a place; None without a map."""
        view = self._view
        if view is None:
            return None
        clusters = np.full(len(now.keys), ABSENT, np.int32)
        on_map, rows = _placed(view, now)
        clusters[rows] = view.labels[on_map]
        return clusters

    def state(self) -> MapState:
        """The standing map; raises PreconditionError while there is none."""
        if self._view is None:
            check_enough(len(self._index), self._settings)
            raise PreconditionError(f"collection: the first map of {self._name!r} is being made; try again later")
        return MapState(view=self._view, pending=self._pending(), settings=self._settings)

    def points(self) -> MapPoints:
        """Every present item on the standing map."""
        state = self.state()
        now = self._index.now()
        on_map, rows = _placed(state.view, now)
        return MapPoints(
            state=state,
            item_ids=now.columns.item_ids(rows),
            positions=state.view.positions[on_map],
            clusters=state.view.labels[on_map],
            labels=now.columns.labels(rows),
        )

    def summaries(self) -> tuple[MapState, list[ClusterSummary]]:
        """The clusters of the standing map, largest first; O(N D)."""
        state = self.state()
        view, now = state.view, self._index.now()
        on_map, rows = _placed(view, now)
        labels, core = view.labels[on_map], view.core[on_map]
        summaries = []
        for cluster in range(view.cluster_count):
            members = np.flatnonzero(labels == cluster)
            if not members.size:  # every member was deleted a moment ago
                continue
            unit = now.vectors[rows[members]].astype(np.float64)
            # The sum of cosine distances to the others is least where the product with the sum of all is greatest.
            closeness = (unit * unit.sum(axis=0)).sum(axis=1)
            best = rows[members[closeness >= closeness.max() - 1e-9]]
            classes = Counter(now.columns.labels(rows[members]))
            summaries.append(
                ClusterSummary(
                    cluster=cluster,
                    size=members.size,
                    core_count=int(core[members].sum()),
                    medoid=min(now.columns.item_ids(best)),
                    classes=tuple(sorted(classes.items(), key=lambda entry: (-entry[1], entry[0]))),
                )
            )
        return state, sorted(summaries, key=lambda summary: (-summary.size, summary.cluster))

    async def refit(self) -> MapState:
        """Fits a new map of everything acknowledged so far. Goes on when the caller goes away; callers share a fit."""
        check_enough(len(self._index), self._settings)
        if self._next_fit is None:
            self._next_fit = asyncio.get_running_loop().create_future()
            self._fit_wanted.set()
        return await asyncio.shield(self._next_fit)

    def close(self) -> None:
        """Ends the wait of everyone who waits for a fit, after `keep_current` was cancelled for good."""
        for fit in (self._next_fit, self._present_fit):
            if fit is not None and not fit.done():
                fit.set_exception(PreconditionError(f"collection: {self._name!r} was closed"))

    async def keep_current(self, fitting: asyncio.Semaphore) -> None:
        """Places new items and refits the map, until cancelled. `fitting` bounds the fits of all collections."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_placed())
            tasks.create_task(self._keep_fitted(fitting))

    async def _keep_placed(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            if self._fitted is not None:
                try:
                    await self._place(self._fitted)
                except Exception:
                    log.exception("map of collection %r: new items could not be placed", self._name)
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
                await self._fit(self._present_fit)

    async def _fit(self, request: asyncio.Future[MapState] | None) -> None:
        version = 1 if self._fitted is None else self._fitted.version + 1
        try:
            with self._metrics.stage("map_fit"):
                _, keys, vectors = await asyncio.to_thread(_items, self._index.now())
                fitted = await run_in_process(fit_map, keys, vectors, self._settings, version)
            await asyncio.to_thread(save_map, fitted, self._settings, self._path)
            self._fitted = fitted
            await self._place(fitted)
        except Exception as error:
            log.exception("map of collection %r: the fit failed", self._name)
            if request is not None and not request.done():
                request.set_exception(PreconditionError(f"collection: the map could not be fitted ({error})"))
            return
        if request is not None and not request.done():
            request.set_result(self.state())

    async def _place(self, fitted: FittedMap) -> None:
        async with self._placing:  # one after the other, so that no view replaces a newer one
            if fitted is not self._fitted:
                return
            now, through = self._index.now(), self._newest_key
            with self._metrics.stage("map_place"):
                _, keys, vectors = await asyncio.to_thread(_items, now)
                self._view = await asyncio.to_thread(view_of, fitted, keys, vectors, self._settings, self._view)
            while self._unplaced and self._unplaced[0][0] <= through:
                self._unplaced.popleft()

    def _fit_is_due(self) -> bool:
        _, keys, _ = _items(self._index.now())
        if self._fitted is None:
            return len(keys) >= self._settings.min_samples
        added = int((keys > self._fitted.newest_key).sum())
        removed = self._fitted.item_count - (len(keys) - added)
        return added + removed >= REFIT_SHARE * self._fitted.item_count and len(keys) >= self._settings.min_samples

    def _pending(self) -> int:
        if not self._unplaced:
            return 0
        now = self._index.now()
        return len(now) - (0 if self._view is None else len(_placed(self._view, now)[1]))

    async def _pause_in_changes(self) -> None:
        begun = time.monotonic()
        while self._next_fit is None:
            now = time.monotonic()
            if now - self._last_change >= QUIET_SECONDS or now - begun >= PATIENCE_SECONDS:
                return
            await asyncio.sleep(SETTLE_SECONDS)

    def _lag(self) -> float:
        if not self._unplaced or len(self._index) < self._settings.min_samples:
            return 0.0
        return time.monotonic() - self._unplaced[0][1]


def _items(now: Generation) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Rows, keys and vectors of the items of a generation."""
    if len(now) == len(now.keys):
        return np.arange(len(now)), now.keys, now.vectors
    rows = np.flatnonzero(now.live)
    return rows, now.keys[rows], now.vectors[rows]


def _placed(view: ClusterView, now: Generation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the items of a generation that are on a map are: their places in the view, and their rows."""
    _, on_map, rows = np.intersect1d(view.keys, now.keys, assume_unique=True, return_indices=True)
    there = now.live[rows]
    return on_map[there], rows[there]
