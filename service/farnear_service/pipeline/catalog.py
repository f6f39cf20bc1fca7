"""The bundles and collections of one data directory, brought to life from the store."""

import asyncio
import logging
import re
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from farnear_service.bundle import Bundle, adopt_bundle, load_bundle
from farnear_service.dbscan import warm_up as warm_up_clusters
from farnear_service.errors import InvalidError, NotFoundError, OverloadedError, PreconditionError, ServiceError
from farnear_service.filters import check_schema
from farnear_service.index import warm_up
from farnear_service.maps import MapSettings
from farnear_service.metrics import Metrics
from farnear_service.pipeline.activation import embed_anew
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.model import Model, ModelSettings
from farnear_service.store import Activation, Store
from farnear_service.types import Collection, ImageRetention, IndexSettings, Schema

_FLAT = IndexSettings()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

log = logging.getLogger(__name__)

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
        self._activations: dict[str, asyncio.Task[None]] = {}
        self._swapping: dict[str, Activation] = {}
        self._swapped: dict[str, asyncio.Event] = {}  # in the store; set when the new collection stands
        self._failed_moves: dict[str, str] = {}
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
            await asyncio.to_thread(warm_up)
            await asyncio.to_thread(warm_up_clusters)
            await catalog._serve_bundles()
            await catalog._revive()
        except BaseException:
            await catalog.close()
            raise
        return catalog

    async def close(self) -> None:
        """Lets begun writes finish, ends background work, and closes the store."""
        await _cancel(self._activations.values())
        await asyncio.gather(*self._writes, *(live.settle() for live in self._live.values()), return_exceptions=True)
        for name in list(self._live):
            await self._retire(name)
        await asyncio.to_thread(self.store.close)

    def end_watches(self) -> None:
        """Ends every feed of what happens to clusters, for a server that stops."""
        for live in self._live.values():
            live.map.feed.close()

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

    async def create_collection(
        self,
        name: str,
        bundle: str,
        retention: ImageRetention,
        schema: Schema = MappingProxyType({}),
        index: IndexSettings = _FLAT,
    ) -> Collection:
        """Makes an empty collection under the bundle served as `bundle`.

        Raises InvalidError for an unusable name, schema or index, AlreadyExistsError, and NotFoundError where the
        bundle is not served.
        """
        _check_name("name", name)
        check_schema(schema)
        if not 0 < index.target_recall < 1:
            raise InvalidError(f"index.target_recall: is {index.target_recall}; allowed are values above 0 and below 1")
        return await self.finish(self._create_collection(name, bundle, retention, schema, index))

    async def activate(self, name: str, bundle: str) -> Collection:
        """Begins to move a collection to the bundle served as `bundle`; the work goes on in the background.

        Raises NotFoundError, and PreconditionError where one is under way, where it is under that bundle already, or
        where items without a kept original are in it.
        """
        live, target = self.live(name), self._served(bundle)
        if live.record.bundle_digest == target.digest:
            raise PreconditionError(f"bundle: collection {name!r} is under {bundle!r} already")
        await live.begin_move(
            lambda: self.store.begin_activation(
                live.record, bundle_name=bundle, bundle_digest=target.digest, dim=target.dim
            )
        )
        self._failed_moves.pop(name, None)
        self._go_on_with_activation(live.record)
        return live.record

    def activation(self, name: str) -> Activation | None:
        """The move of a collection to another bundle that is under way, until the new one answers."""
        return self._swapping.get(name) or self.store.activation(self.live(name).record)

    async def has_moved(self, live: LiveCollection) -> bool:
        """Whether another one stands in the place of a collection, or none; waits where that is about to change."""
        name = live.record.name
        if name in self._swapped:
            await self._swapped[name].wait()
        return self._live.get(name) is not live

    def activation_error(self, name: str) -> str:
        """Why the last move of a collection failed since the start; empty where it did not."""
        return self._failed_moves.get(name, "")

    def _served(self, name: str) -> Bundle:
        if name not in self._bundles:
            raise NotFoundError(f"bundle: {name!r} is not served; served are {', '.join(self._bundles) or 'none'}")
        return self._bundles[name]

    async def delete_collection(self, name: str) -> int:
        """Deletes a collection with everything in it and returns how many items that were."""
        return await self.finish(self._delete_collection(self.live(name)))

    async def finish(self, write: Coroutine[Any, Any, T]) -> T:
        """The result of a change of the catalog, which goes on to its end also when the caller goes away.

        So what is on disk and what is in memory never part.
        """
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _create_collection(
        self, name: str, bundle_name: str, retention: ImageRetention, schema: Schema, index: IndexSettings
    ) -> Collection:
        bundle = self._served(bundle_name)
        record = await asyncio.to_thread(
            self.store.create_collection,
            name,
            bundle_name=bundle_name,
            bundle_digest=bundle.digest,
            dim=bundle.dim,
            retention=retention,
            schema=schema,
            index=index,
        )
        await self._bring_to_life(record)
        return record

    async def _delete_collection(self, live: LiveCollection) -> int:
        name = live.record.name
        await _cancel([self._activations[name]] if name in self._activations else [])
        deleted = NotFoundError(f"collection: {name!r} was deleted")
        count = await live.end(lambda: self.store.delete_collection(live.record), deleted)
        await self._retire(name)
        self._failed_moves.pop(name, None)
        self._metrics.forget(name)
        await asyncio.to_thread(self._map_path(live.record).unlink, missing_ok=True)
        return count

    def _go_on_with_activation(self, record: Collection) -> None:
        task = asyncio.create_task(self._activate(record.name))
        self._activations[record.name] = task
        task.add_done_callback(lambda _: self._activations.pop(record.name, None))

    async def _activate(self, name: str) -> None:
        live, activation = self.live(name), self.activation(name)
        assert activation is not None
        model = self._models[activation.bundle_digest]
        try:
            await embed_anew(self.store, live.record, model)
            await self.finish(self._swap(live, model, activation))
        except Exception as error:
            told = str(error) if isinstance(error, ServiceError) else "the service failed; its log says why"
            self._failed_moves[name] = f"bundle: {activation.bundle_name!r}: {told}"
            log.exception("collection %r: could not be moved to bundle %r", name, activation.bundle_name)
            await asyncio.to_thread(self.store.end_activation, live.record)
            live.moving = False

    async def _swap(self, live: LiveCollection, model: Model, activation: Activation) -> None:
        name, loop, stands = live.record.name, asyncio.get_running_loop(), asyncio.Event()

        def last() -> Collection:
            # Writers wait now, so that what came since can be embedded to the end.
            asyncio.run_coroutine_threadsafe(embed_anew(self.store, live.record, model), loop).result()
            self._swapped[name] = stands
            return self.store.swap(live.record)

        moved = OverloadedError(f"collection: {name!r} has just moved to another bundle; send it again")
        count = len(live.index)
        self._swapping[name] = replace(activation, done_count=count, item_count=count)
        try:
            record = await live.end(last, moved)
            await _cancel([self._upkeep[name]])
            await self._bring_to_life(record)  # the old one answers until then
        finally:
            del self._swapping[name]
            self._swapped.pop(name, None)
            stands.set()
        await asyncio.to_thread(self._map_path(live.record).unlink, missing_ok=True)
        live.close()

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
            if self.activation(record.name) is not None:
                self._go_on_with_activation(record)
        self._drop_maps_but({self._map_path(record) for record in records})

    def _drop_maps_but(self, kept: Iterable[Path]) -> None:
        # A server that was killed between the deletion of a collection and that of its map leaves the map behind.
        for path in set((self._data_dir / "maps").glob("*")) - set(kept):
            path.unlink()

    async def _bring_to_life(self, record: Collection) -> None:
        live = await asyncio.to_thread(
            LiveCollection,
            record,
            self.store,
            map_path=self._map_path(record),
            settings=self._settings.map,
            metrics=self._metrics,
        )
        self._live[record.name] = live
        self._upkeep[record.name] = asyncio.create_task(live.keep_current(self._fitting))

    async def _retire(self, name: str) -> None:
        live, upkeep = self._live.pop(name), self._upkeep.pop(name)
        await _cancel([upkeep])
        live.close()

    def _map_path(self, record: Collection) -> Path:
        return self._data_dir / "maps" / f"{record.key}.npz"


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _check_name(field_name: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"{field_name}: {name!r}; allowed are 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', the first a letter or digit"
        )
