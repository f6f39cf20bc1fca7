import asyncio

import numpy as np
import pytest
from farnear_service.dbscan import Change, ClusterEvent
from farnear_service.pipeline import feed as feed_module
from farnear_service.pipeline.feed import Feed
from farnear_service.store import ClusteringChange, Store
from farnear_service.types import Collection


def happen(store: Store, cells: Collection, *clusters: int) -> None:
    events = [ClusterEvent(change=Change.BORN, cluster=one, size=1, size_before=0) for one in clusters]
    store.save_clustering(
        cells,
        ClusteringChange(
            version=1,
            eps=1.0,
            min_samples=2,
            perplexity=3.0,
            next_id=100,
            identities={},
            added=np.empty(0, np.int64),
            positions=np.empty((0, 2)),
            removed=(),
            events=events,
        ),
    )


async def test_what_was_before_and_what_comes_is_told_once_and_in_order(
    store: Store, cells: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "EVENTS_AT_ONCE", 2)
    happen(store, cells, 1, 2, 3)
    feed = Feed(cells, store)
    told: list[int] = []

    async def listen(after: int) -> None:
        async for events in feed.events(after):
            assert len(events) <= 2
            told.extend(one.event.cluster for one in events)

    listening = asyncio.create_task(listen(0))
    async with asyncio.timeout(10):
        while len(told) < 3:  # noqa: ASYNC110 - it is listened to in the background
            await asyncio.sleep(0.001)
        happen(store, cells, 4)
        feed.tell()
        while len(told) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        feed.tell()  # of nothing
        happen(store, cells, 5)
        feed.close()  # what is there by then is told
        await listening
    assert told == [1, 2, 3, 4, 5]


async def test_a_feed_that_is_closed_tells_what_there_is_and_ends(store: Store, cells: Collection) -> None:
    happen(store, cells, 1)
    feed = Feed(cells, store)
    feed.close()
    assert [one.event.cluster async for events in feed.events(0) for one in events] == [1]
    assert [events async for events in feed.events(store.newest_cluster_event(cells))] == []
