"""What can be asked of the clusters of a collection, and done with them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from farnear_service.pipeline import cluster_questions
from farnear_service.pipeline.again import again_after_a_move
from farnear_service.pipeline.catalog import Catalog
from farnear_service.pipeline.cluster_questions import ClusterDetail, ClusterSummary, MapPoints, Suggestion
from farnear_service.pipeline.living_map import MapState
from farnear_service.pipeline.subjects import Subject, Subjects
from farnear_service.store import RecordedEvent
from farnear_service.types import Query


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a query falls on the map: `cluster` -1 is noise, `core_distance` and `position` are in map units."""

    cluster: int
    core_distance: float
    position: tuple[float, float]
    map_version: int


class Clustering:
    """The clusters of the collections of a catalog, by the collection's name."""

    def __init__(self, catalog: Catalog, subjects: Subjects) -> None:
        self.catalog = catalog
        self._subjects = subjects

    async def summaries(self, name: str) -> tuple[MapState, list[ClusterSummary]]:
        """The clusters of the standing map, largest first."""
        live = self.catalog.live(name)
        state = live.map.state()
        return state, await asyncio.to_thread(cluster_questions.summaries, state.view, live.index.now())

    async def detail(self, name: str, cluster: int, *, after: str | None, limit: int) -> tuple[MapState, ClusterDetail]:
        """One cluster, or the noise (-1), with up to `limit` members in order of id from behind `after` on."""
        live = self.catalog.live(name)
        state = live.map.state()
        found = await asyncio.to_thread(
            cluster_questions.detail, state.view, live.index.now(), cluster, after=after, limit=limit
        )
        return state, found

    async def map_points(self, name: str) -> tuple[MapState, MapPoints]:
        """Every present item on the standing map."""
        live = self.catalog.live(name)
        state = live.map.state()
        return state, await asyncio.to_thread(cluster_questions.map_points, state.view, live.index.now())

    async def suggest_eps(self, name: str, min_samples: int | None) -> tuple[MapState, Suggestion]:
        """The k-distance curve of the standing map and an eps for it."""
        state = self.catalog.live(name).map.state()
        settings = state.view.settings
        if min_samples is not None:
            settings = replace(settings, min_samples=min_samples)
            settings.check()
        return state, await asyncio.to_thread(cluster_questions.suggestion, state.view, settings)

    async def recluster(
        self, name: str, *, eps: float | None, min_samples: int | None, perplexity: float | None
    ) -> MapState:
        """Clusters anew by settings that stay: on the standing map for eps or min_samples alone, else on a new one."""
        return await self.catalog.live(name).map.recluster(eps=eps, min_samples=min_samples, perplexity=perplexity)

    async def watch(self, name: str, *, after: int | None) -> AsyncIterator[tuple[int, Sequence[RecordedEvent]]]:
        """Where the feed stands, and then what happens to the clusters, from the event of number `after` on.

        None means from now on. Each step has the number of its last event. Goes on through a move to another bundle,
        and ends when the server stops; raises NotFoundError when the collection is deleted.
        """
        live = self.catalog.live(name)
        if after is None:
            after = await asyncio.to_thread(self.catalog.store.newest_cluster_event, live.record)
        yield after, ()
        while True:
            async for events in live.map.feed.events(after):
                after = events[-1].number
                yield after, events
            ended, live = live, self.catalog.live(name)
            if live is ended:
                return

    @again_after_a_move
    async def assign(self, name: str, query: Query | None) -> Placement:
        """Which cluster a query falls into, without adding it."""
        live = self.catalog.live(name)
        state = live.map.state()
        subject = await self._subjects.subject(live, query, patient=False)
        return await asyncio.to_thread(_placement, state, subject)


def _placement(state: MapState, subject: Subject) -> Placement:
    position = None if subject.key is None else state.view.position_of(subject.key)
    if position is None:
        position = state.place(subject.vector)
    cluster, distance = state.view.snapshot.assign(position)
    return Placement(
        cluster=cluster,
        core_distance=distance,
        position=(float(position[0]), float(position[1])),
        map_version=state.view.version,
    )
