"""The clusters of a collection in memory and on disk, one step after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farnear_service.dbscan import ClusterEvent, PlaneDbscan, Snapshot
from farnear_service.maps import MapSettings
from farnear_service.store import ClusteringChange, Store
from farnear_service.types import Collection

_NO_KEYS = np.empty(0, np.int64)
_NO_POSITIONS = np.empty((0, 2))


@dataclass(frozen=True, kw_only=True)
class ClusterView:
    """The clusters of one moment, as they are on disk.

    `snapshot` holds the N items on the map of `version`: keys ascending, positions, cluster and core or not. `sizes`
    are the members of each cluster, `settings` what made them.
    """

    version: int
    settings: MapSettings
    snapshot: Snapshot
    sizes: Mapping[int, int]

    @property
    def noise_count(self) -> int:
        """How many items are in no cluster."""
        return len(self.snapshot.keys) - sum(self.sizes.values())

    def of(self, key: int) -> int | None:
        """The cluster of an item, -1 for noise, None for an item that is not on the map."""
        return self.snapshot.of(key)

    def position_of(self, key: int) -> NDArray[np.float64] | None:
        """The position (2,) of an item, None for an item that is not on the map."""
        return self.snapshot.position_of(key)

    def rows_of(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of ascending `keys` (M,) those on the map: their rows of the snapshot, and their places among `keys`."""
        mine = self.snapshot.keys
        if not len(mine):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        rows = np.searchsorted(mine, keys)
        there = np.flatnonzero(mine[rows.clip(max=len(mine) - 1)] == keys)
        return rows[there], there


class DurableClusters:
    """Clusters that survive a restart with their identities: `view` shows only what is on disk. For one writer.

    A step that cannot be written down raises, and leaves the clusters as they were.
    """

    def __init__(self, record: Collection, store: Store, settings: MapSettings) -> None:
        """There are no clusters before `load`; `settings` are for those that never were."""
        self._record = record
        self._store = store
        self._default = settings
        self.view: ClusterView | None = None

    @property
    def settings(self) -> MapSettings:
        """What makes the clusters that stand, or the first ones."""
        return self._default if self.view is None else self.view.settings

    @property
    def version(self) -> int:
        """The map that stands, 0 for none."""
        return 0 if self.view is None else self.view.version

    def load(self) -> None:
        """Finds the clusters as they were written down last. Some 3 s for a million items."""
        saved = self._store.clustering(self._record)
        if saved is None:
            self.view = None
            return
        settings = replace(self._default, eps=saved.eps, min_samples=saved.min_samples, perplexity=saved.perplexity)
        self._engine = PlaneDbscan(eps=settings.eps, min_samples=settings.min_samples)
        self._engine.restore(saved.keys, saved.positions, saved.identities, saved.next_id)
        self._identities = dict(saved.identities)
        self._show(self._engine, saved.version, settings)

    def update(self, keys: NDArray[np.int64], positions: NDArray[np.float64], removed: NDArray[np.int64]) -> None:
        """Adds items by `keys` (N,) at `positions` (N, 2) and takes away those `removed`, some of which may be gone."""
        assert self.view is not None
        removed = removed[[int(key) in self._engine for key in removed]]
        try:
            events = self._engine.update(keys, positions, removed)
            self._save(self._engine, self.view.version, self.view.settings, events, keys, positions, removed.tolist())
        except BaseException:
            self.load()  # the engine may be ahead of the disk
            raise

    def recluster(self, settings: MapSettings) -> None:
        """Clusters anew where the items are."""
        assert self.view is not None
        now = self.view.snapshot
        engine = PlaneDbscan(eps=settings.eps, min_samples=settings.min_samples)
        events = engine.load(now.keys, now.points, now)
        self._save(engine, self.view.version, settings, events, _NO_KEYS, _NO_POSITIONS, ())
        self._engine = engine

    def stage(self, version: int, keys: NDArray[np.int64], positions: NDArray[np.float64]) -> None:
        """Writes down a map to come, for `adopt`; what stands goes on meanwhile."""
        self._store.stage_placements(self._record, version, keys, positions)

    def adopt(
        self,
        version: int,
        settings: MapSettings,
        staged: tuple[NDArray[np.int64], NDArray[np.float64]],
        newcomers: tuple[NDArray[np.int64], NDArray[np.float64]],
        removed: NDArray[np.int64],
    ) -> None:
        """Goes over to another map: what was staged, without `removed`, and `newcomers`. Clusters keep identities."""
        stays = ~np.isin(staged[0], removed)
        keys = np.concatenate([staged[0][stays], newcomers[0]])
        positions = np.concatenate([staged[1][stays], newcomers[1]])
        engine = PlaneDbscan(eps=settings.eps, min_samples=settings.min_samples)
        events = engine.load(keys, positions, None if self.view is None else self.view.snapshot)
        self._save(engine, version, settings, events, *newcomers, staged[0][~stays].tolist())
        self._engine = engine

    def _save(
        self,
        engine: PlaneDbscan,
        version: int,
        settings: MapSettings,
        events: Sequence[ClusterEvent],
        added: NDArray[np.int64],
        positions: NDArray[np.float64],
        removed: Sequence[int],
    ) -> None:
        snapshot = engine.snapshot()
        before = {} if self.view is None else self._identities
        identities = snapshot.representatives(before, engine.sizes)
        self._store.save_clustering(
            self._record,
            ClusteringChange(
                version=version,
                eps=settings.eps,
                min_samples=settings.min_samples,
                perplexity=settings.perplexity,
                next_id=snapshot.next_id,
                identities=identities,
                added=added,
                positions=positions,
                removed=removed,
                events=events,
            ),
        )
        self._identities = identities
        self._show(engine, version, settings, snapshot)

    def _show(self, engine: PlaneDbscan, version: int, settings: MapSettings, snapshot: Snapshot | None = None) -> None:
        self.view = ClusterView(
            version=version,
            settings=settings,
            snapshot=engine.snapshot() if snapshot is None else snapshot,
            sizes=dict(engine.sizes),
        )
