import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from farnear_service.batcher import Batcher
from farnear_service.errors import OverloadedError


class Bench:
    """A computation that notes its batches and waits in each until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Queue[None] = asyncio.Queue()
        self._may_end = threading.Semaphore(0)

    def compute(self, requests: Sequence[int]) -> list[int]:
        self.batches.append(list(requests))
        self._loop.call_soon_threadsafe(self._begun.put_nowait, None)
        self._may_end.acquire()
        if any(request < 0 for request in requests):
            raise ValueError(f"negative: {requests}")
        return [10 * request for request in requests]

    async def begun(self) -> None:
        """Returns when one more batch is being computed."""
        await self._begun.get()

    def let_end(self, batches: int = 1) -> None:
        self._may_end.release(batches)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    opened = Bench()
    yield opened
    opened.let_end(1000)


async def turn_the_loop() -> None:
    """Lets every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def start(*work: Any) -> list["asyncio.Task[int]"]:
    return [asyncio.ensure_future(one) for one in work]


async def test_a_lone_request_is_computed_at_once(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=8, max_waiting=8)
    bench.let_end()
    assert await batcher.submit(7) == 70
    assert bench.batches == [[7]]
    assert len(batcher) == 0


async def test_requests_gather_in_order_while_a_batch_is_computed(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=3, max_waiting=100)
    first = start(batcher.submit(0))
    await bench.begun()
    others = start(*(batcher.submit(i) for i in range(1, 8)))
    await turn_the_loop()
    assert len(batcher) == 7
    bench.let_end(10)
    assert await asyncio.gather(*first, *others) == [10 * i for i in range(8)]
    assert bench.batches == [[0], [1, 2, 3], [4, 5, 6], [7]]


async def test_a_full_queue_refuses_and_what_waits_is_served(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=4, max_waiting=2)
    first = start(batcher.submit(0))
    await bench.begun()
    waiting = start(batcher.submit(1), batcher.submit(2))
    await turn_the_loop()
    with pytest.raises(OverloadedError, match="queue: 2 requests wait, which is the limit"):
        await batcher.submit(3)
    bench.let_end(10)
    assert await asyncio.gather(*first, *waiting) == [0, 10, 20]
    assert await batcher.submit(4) == 40


async def test_cancelled_requests_are_not_computed(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=8, max_waiting=8)
    first = start(batcher.submit(0))
    await bench.begun()
    gone, stays, *all_gone = start(*(batcher.submit(i) for i in range(1, 5)))
    await turn_the_loop()
    for task in (gone, *all_gone):
        task.cancel()
    bench.let_end(10)
    assert await asyncio.gather(*first, stays) == [0, 20]
    assert bench.batches == [[0], [2]]
    assert await batcher.submit(9) == 90


async def test_a_queue_of_cancelled_requests_alone_computes_nothing_and_goes_on(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=2, max_waiting=8)
    first = start(batcher.submit(0))
    await bench.begun()
    gone = start(*(batcher.submit(i) for i in range(1, 6)))
    await turn_the_loop()
    for task in gone:
        task.cancel()
    bench.let_end(10)
    assert await first[0] == 0
    assert await batcher.submit(9) == 90
    assert bench.batches == [[0], [9]]


async def test_cancelled_requests_do_not_fill_the_queue(bench: Bench) -> None:
    """Nobody waits for them any more, so they are no reason to refuse a caller who does."""
    batcher = Batcher(bench.compute, max_batch=2, max_waiting=2)
    first = start(batcher.submit(0))
    await bench.begun()
    gone = start(batcher.submit(1), batcher.submit(2))
    await turn_the_loop()
    for task in gone:
        task.cancel()
    await turn_the_loop()
    late = start(batcher.submit(3))
    await turn_the_loop()
    bench.let_end(10)
    assert await asyncio.gather(*first, *late) == [0, 30]


async def test_a_request_cancelled_while_it_is_computed_leaves_its_neighbours(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=4, max_waiting=8)
    first = start(batcher.submit(0))
    await bench.begun()
    gone, stays = start(batcher.submit(1), batcher.submit(2))
    await turn_the_loop()
    bench.let_end()
    await bench.begun()
    gone.cancel()
    bench.let_end(10)
    assert await asyncio.gather(*first, stays) == [0, 20]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_an_error_reaches_every_caller_of_its_batch_and_the_next_batch_works(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=3, max_waiting=100)
    first = start(batcher.submit(0))
    await bench.begun()
    others = start(*(batcher.submit(i) for i in (1, -2, 3, 4)))
    await turn_the_loop()
    bench.let_end(10)
    results = await asyncio.gather(*first, *others, return_exceptions=True)
    assert (results[0], results[4]) == (0, 40)
    for error in results[1:4]:
        assert isinstance(error, ValueError)
        assert str(error) == "negative: [1, -2, 3]"


async def test_a_wrong_number_of_results_is_an_error_for_its_callers_and_not_silence() -> None:
    batcher = Batcher[int, int](lambda requests: [0] * (len(requests) - 1), max_batch=4, max_waiting=8)
    tasks = start(batcher.submit(1), batcher.submit(2))
    done, waiting = await asyncio.wait(tasks, timeout=1)
    for task in waiting:
        task.cancel()
    assert len(done) == 2, "a caller was never answered"
    assert any(task.exception() is not None for task in done)


async def test_the_loop_is_told_once_a_batch_before_anybody_has_a_result(bench: Bench) -> None:
    told: list[list[bool]] = []
    tasks: list[asyncio.Task[int]] = []
    batcher = Batcher(
        bench.compute, max_batch=3, max_waiting=8, computed=lambda: told.append([task.done() for task in tasks])
    )
    bench.let_end(10)
    tasks += start(*(batcher.submit(i) for i in (1, 2, 3, 4)))
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    with pytest.raises(ValueError, match="negative"):
        await batcher.submit(-1)
    assert told == [[False] * 4, [True, True, True, False]]


async def test_a_patient_request_waits_for_room_in_half_of_the_queue(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=1, max_waiting=4)
    first = start(batcher.submit(0))
    await bench.begun()
    patient = start(*(batcher.submit_patiently(i) for i in range(1, 7)))
    await turn_the_loop()
    assert len(batcher) == 2
    assert not any(task.done() for task in patient)
    bench.let_end(10)
    assert await asyncio.gather(*first, *patient) == [10 * i for i in range(7)]
    assert bench.batches == [[i] for i in range(7)]


async def test_a_patient_request_that_is_cancelled_gives_its_turn_on(bench: Bench) -> None:
    batcher = Batcher(bench.compute, max_batch=1, max_waiting=1)
    first = start(batcher.submit(0))
    await bench.begun()
    waits, gone, last = start(*(batcher.submit_patiently(i) for i in (1, 2, 3)))
    await turn_the_loop()
    gone.cancel()
    bench.let_end(10)
    assert await asyncio.gather(*first, waits, last) == [0, 10, 30]
    assert bench.batches == [[0], [1], [3]]


async def test_patient_work_leaves_room_for_those_who_cannot_wait(bench: Bench) -> None:
    """Else one bulk write would have every search refused for as long as it takes."""
    batcher = Batcher(bench.compute, max_batch=1, max_waiting=4)
    bulk = start(*(batcher.submit_patiently(i) for i in range(20)))
    await bench.begun()
    await turn_the_loop()
    search = start(batcher.submit(99))
    await turn_the_loop()
    bench.let_end(100)
    assert await asyncio.gather(*bulk) == [10 * i for i in range(20)]
    assert await search[0] == 990


async def test_no_request_is_ever_forgotten() -> None:
    """Bursts, pauses, cancellations and errors, with both kinds of callers; every one is answered."""
    batcher = Batcher[int, int](lambda requests: [10 * request for request in requests], max_batch=5, max_waiting=9)

    async def caller(number: int) -> int:
        answered = 0
        for step in range(40):
            request = 1000 * number + step
            if (number + step) % 7 == 0:
                task = asyncio.ensure_future(batcher.submit_patiently(request))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            elif step % 3:
                assert await batcher.submit_patiently(request) == 10 * request
                answered += 1
            else:
                try:
                    assert await batcher.submit(request) == 10 * request
                except OverloadedError:
                    continue
                answered += 1
        return answered

    answered = await asyncio.wait_for(asyncio.gather(*(caller(number) for number in range(25))), timeout=60)
    assert min(answered) > 10
    assert len(batcher) == 0
