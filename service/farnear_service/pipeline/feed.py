"""What happens to the clusters of a collection, told to whoever waits for it."""

import asyncio
from collections.abc import AsyncIterator

from farnear_service.store import RecordedEvent, Store
from farnear_service.types import Collection

EVENTS_AT_ONCE = 1000


class Feed:
    """The events in the store, and word of new ones. Belongs to one event loop."""

    def __init__(self, record: Collection, store: Store) -> None:
        self._record = record
        self._store = store
        self._news = asyncio.Event()  # replaced by another one every time
        self._closed = False

    async def events(self, after: int) -> AsyncIterator[list[RecordedEvent]]:
        """The events from behind the one of number `after` on, as they come, until `close`."""
        while True:
            news = self._news
            found = await asyncio.to_thread(self._store.cluster_events, self._record, after=after, limit=EVENTS_AT_ONCE)
            if found:
                after = found[-1].number
                yield found
            elif self._closed:
                return
            else:
                await news.wait()

    def tell(self) -> None:
        """Makes all who wait look into the store again."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def close(self) -> None:
        """Ends `events` for all who wait there."""
        self._closed = True
        self.tell()
