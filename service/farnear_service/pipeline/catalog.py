"""The bundles and collections of one data directory, brought to life from the store."""

import asyncio
import re
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from farnear_service.bundle import Bundle, adopt_bundle, load_bundle
from farnear_service.clusters import MapSettings
from farnear_service.errors import InvalidError, NotFoundError
from farnear_service.metrics import Metrics
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.model import Model, ModelSettings
from farnear_service.store import Store
from farnear_service.types import Collection, ImageRetention

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class CatalogSettings:
    """How bundles are served and maps are made."""

    model: ModelSettings = field(default_factory=ModelSettings)
    map: MapSettings = field(default_factory=MapSettings)


class Catalog:
    """What one data directory holds, ready to answer. Make it with `open`, end it with `close`."""

    def __init__(self, data_dir: Path, store: Store, settings: CatalogSettings, metrics: Metrics) -> None:
        self.store = store
        self._data_dir = data_dir
        self._settings = settings
        self._metrics = metrics
        self._bundles: dict[str, Bundle] = {}
        self._models: dict[str, Model] = {}
        self._live: dict[str, LiveCollection] = {}
        self._upkeep: dict[str, asyncio.Task[None]] = {}
        self._writes: set[asyncio.Task[Any]] = set()
        self._fitting = asyncio.Semaphore(1)
        metrics.watch_queue(lambda: sum(model.waiting for model in self._models.values()), settings.model.max_waiting)

    @classmethod
    async def open(
        cls, data_dir: Path, bundles: Mapping[str, Path], settings: CatalogSettings, metrics: Metrics
    ) -> "Catalog":
        """Opens a data directory, adopts `bundles` (path by name) and brings every collection to life.

        Raises PreconditionError where another server holds the directory, BundleError for a bundle that is unusable.
        """
        for name in bundles:
            _check_name("bundle", name)
        catalog = cls(data_dir, await asyncio.to_thread(Store, data_dir), settings, metrics)
        try:
            for name, path in bundles.items():
                bundle = await asyncio.to_thread(adopt_bundle, path, data_dir / "bundles")
                await asyncio.to_thread(catalog.store.set_bundle, name, bundle.digest)
            await catalog._serve_bundles()
            await catalog._revive()
        except BaseException:
            await catalog.close()
            raise
        return catalog

    async def close(self) -> None:
        """Lets begun writes finish, ends background work, and closes the store."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        for name in list(self._live):
            await self._retire(name)
        await asyncio.to_thread(self.store.close)

    def bundles(self) -> dict[str, Bundle]:
        """The served bundles by name."""
        return dict(self._bundles)

    def live(self, name: str) -> LiveCollection:
        """The collection `name`; NotFoundError if there is none."""
        live = self._live.get(name)
        if live is None:
            raise NotFoundError(f"collection: there is no {name!r}")
        return live

    def model_of(self, live: LiveCollection) -> Model:
        """The model that a collection is under."""
        return self._models[live.record.bundle_digest]

    def collection(self, name: str) -> tuple[Collection, int]:
        """One collection with its count of items; NotFoundError if there is none."""
        live = self.live(name)
        return live.record, len(live.index)

    def collections(self) -> list[tuple[Collection, int]]:
        """All collections in order of name, each with its count of items."""
        return [self.collection(name) for name in sorted(self._live)]

    async def create_collection(self, name: str, bundle: str, retention: ImageRetention) -> Collection:
        """Makes an empty collection under the bundle served as `bundle`.

        Raises InvalidError for an unusable name, AlreadyExistsError, and NotFoundError where the bundle is not served.
        """
        _check_name("name", name)
        if bundle not in self._bundles:
            raise NotFoundError(f"bundle: {bundle!r} is not served; served are {', '.join(self._bundles) or 'none'}")
        return await self.finish(self._create_collection(name, bundle, retention))

    async def delete_collection(self, name: str) -> int:
        """Deletes a collection with everything in it and returns how many items that were."""
        return await self.finish(self._delete_collection(self.live(name)))

    async def finish(self, write: Coroutine[Any, Any, T]) -> T:
        """The result of a write, which goes on to its end also when the caller goes away.

        So what is on disk and what is in memory never part.
        """
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _create_collection(self, name: str, bundle_name: str, retention: ImageRetention) -> Collection:
        bundle = self._bundles[bundle_name]
        record = await asyncio.to_thread(
            self.store.create_collection,
            name,
            bundle_name=bundle_name,
            bundle_digest=bundle.digest,
            dim=bundle.dim,
            retention=retention,
        )
        await self._bring_to_life(record)
        return record

    async def _delete_collection(self, live: LiveCollection) -> int:
        name = live.record.name
        async with live.writing:
            self.check_alive(live)
            count = await asyncio.to_thread(self.store.delete_collection, live.record)
            await self._retire(name)
        self._metrics.forget(name)
        await asyncio.to_thread(self._map_path(live.record).unlink, missing_ok=True)
        return count

    def check_alive(self, live: LiveCollection) -> None:
        """Raises NotFoundError where a collection was deleted since it was looked up."""
        if self._live.get(live.record.name) is not live:
            raise NotFoundError(f"collection: {live.record.name!r} was deleted")

    async def _serve_bundles(self) -> None:
        names = self.store.bundles()
        for digest in {*names.values(), *(record.bundle_digest for record in self.store.collections())}:
            bundle = await asyncio.to_thread(load_bundle, self._data_dir / "bundles" / digest)
            self._models[digest] = await asyncio.to_thread(Model, bundle, self._settings.model, self._metrics)
        self._bundles = {name: self._models[digest].bundle for name, digest in sorted(names.items())}

    async def _revive(self) -> None:
        records = self.store.collections()
        for record in records:
            await self._bring_to_life(record)
        self._drop_maps_but({self._map_path(record) for record in records})

    def _drop_maps_but(self, kept: Iterable[Path]) -> None:
        # A server that was killed between the deletion of a collection and that of its map leaves the map behind.
        for path in set((self._data_dir / "maps").glob("*")) - set(kept):
            path.unlink()

    async def _bring_to_life(self, record: Collection) -> None:
        contents = await asyncio.to_thread(self.store.all, record)
        live = await asyncio.to_thread(
            LiveCollection,
            record,
            contents,
            map_path=self._map_path(record),
            settings=self._settings.map,
            metrics=self._metrics,
        )
        self._live[record.name] = live
        self._upkeep[record.name] = asyncio.create_task(live.keep_current(self._fitting))

    async def _retire(self, name: str) -> None:
        live, upkeep = self._live.pop(name), self._upkeep.pop(name)
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)
        live.close()

    def _map_path(self, record: Collection) -> Path:
        return self._data_dir / "maps" / f"{record.key}.npz"


def _check_name(field_name: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"{field_name}: {name!r}; allowed are 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', the first a letter or digit"
        )
