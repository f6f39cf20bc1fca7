"""Single requests gathered into batches, without a timer.

While one batch is computed the next one gathers, so a lone request never waits and a busy server fills its batches.
The queue is bounded; a request whose caller went away is dropped before it is computed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from farnear_service.errors import OverloadedError

Request = TypeVar("Request")
Result = TypeVar("Result")


class Batcher(Generic[Request, Result]):
    """Feeds `compute` with up to `max_batch` waiting requests at a time; it runs in a thread, one call at a time.

    `compute` returns one result for each request, in order. `computed`, if given, is called in the event loop when it
    has, before any result is handed on. Must be used within one running event loop.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Request]], Sequence[Result]],
        *,
        max_batch: int,
        max_waiting: int,
        computed: Callable[[], None] | None = None,
    ) -> None:
        self._compute = compute
        self._computed = computed
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Request, asyncio.Future[Result]]] = deque()
        self._room = asyncio.Condition()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(self, request: Request) -> Result:
        """The result for `request`; OverloadedError at once where `max_waiting` requests wait already."""
        if len(self._waiting) >= self._max_waiting:
            self._drop_abandoned()
        if len(self._waiting) >= self._max_waiting:
            raise OverloadedError(f"queue: {len(self._waiting)} requests wait, which is the limit; try again later")
        return await self._enqueue(request)

    async def submit_patiently(self, request: Request) -> Result:
        """The result for `request`, after waiting for room: for bulk work that can be slowed down.

        Such requests fill only half of the queue, so that they never shut out single ones.
        """
        async with self._room:
            await self._room.wait_for(lambda: len(self._waiting) < max(1, self._max_waiting // 2))
            future = self._enqueue(request)
        return await future

    async def settle(self) -> None:
        """Waits until nothing is computed or waits any more."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait({self._worker})

    def _enqueue(self, request: Request) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return future

    def _drop_abandoned(self) -> None:
        self._waiting = deque((request, future) for request, future in self._waiting if not future.done())

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
            async with self._room:
                self._room.notify_all()
            batch = [(request, future) for request, future in batch if not future.done()]
            if not batch:
                continue
            try:
                results = await asyncio.to_thread(self._compute, [request for request, _ in batch])
                if self._computed is not None:
                    self._computed()
                answers = list(zip(batch, results, strict=True))
            except Exception as error:  # noqa: BLE001 - handed to every caller of the batch, who raise it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in answers:
                if not future.done():
                    future.set_result(result)
