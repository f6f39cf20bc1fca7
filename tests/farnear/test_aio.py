import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from farnear import (
    AsyncClient,
    Client,
    DeadlineExceededError,
    Direction,
    FailedPreconditionError,
    InvalidArgumentError,
    ItemId,
    NewItem,
)


@pytest.fixture
async def aio(service: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(service.address) as connected:
        yield connected


async def test_collections(aio: AsyncClient, client: Client) -> None:
    for name in ("c1", "c2", "c3"):
        made = await aio.create_collection(name, bundle="toy")
        assert made == client.get_collection(name) == await aio.get_collection(name)
    assert [collection async for collection in aio.list_collections()] == list(client.list_collections())
    assert await aio.delete_collection("c2") == 0
    assert [collection.name async for collection in aio.list_collections()] == ["c1", "c3"]


async def test_items(aio: AsyncClient, client: Client, cells: str, service: Any) -> None:
    items = [NewItem(item_id=f"{number:03}", content=b"img 1 0 0" if number else b"junk") for number in range(130)]
    outcomes = await aio.upsert(cells, items)
    assert [outcome.item_id for outcome in outcomes] == [item.item_id for item in items]
    assert [outcome.item_id for outcome in outcomes if outcome.error is not None] == ["000"]
    assert [len(request.items) for request in service.requests("UpsertItems")] == [4, 128, 2]
    assert [item async for item in aio.list_items(cells)] == list(client.list_items(cells))
    assert await aio.get_item(cells, "a") == client.get_item(cells, "a")
    assert await aio.delete_items(cells, ["a", "nobody"]) == 1


async def test_search(aio: AsyncClient, client: Client, cells: str) -> None:
    query = b"img 1 0 0"
    assert await aio.similar(cells, query, k=2) == client.similar(cells, query, k=2)
    assert await aio.divergent(cells, query, k=2) == client.divergent(cells, query, k=2)
    assert await aio.both(cells, query, k=2) == client.both(cells, query, k=2)
    results = await aio.search(cells, [query, b"junk"], direction=Direction.BOTH, k=2)
    assert results[0] == client.both(cells, query, k=2)
    assert isinstance(results[1].error, InvalidArgumentError)
    with pytest.raises(InvalidArgumentError, match="not an image"):
        await aio.similar(cells, b"junk")


async def test_clusters(aio: AsyncClient, client: Client, cells: str, service: Any) -> None:
    with pytest.raises(FailedPreconditionError, match="no map yet"):
        [point async for point in aio.map_points(cells)]
    service.page_limit = 1
    fit = await aio.recluster(cells)
    assert (fit.cluster_count, fit.noise_count) == (2, 1)
    assert await aio.clusters(cells) == client.clusters(cells)
    assert await aio.assign(cells, ItemId("c")) == client.assign(cells, ItemId("c"))
    assert [point async for point in aio.map_points(cells)] == list(client.map_points(cells))


async def test_a_map_that_is_not_read_to_its_end_is_cancelled(aio: AsyncClient, cells: str, service: Any) -> None:
    await aio.recluster(cells)
    service.endless_map = True
    points = aio.map_points(cells, timeout=600)
    assert (await anext(points)).item_id == "a"
    assert not service.stream_ended.is_set()
    await points.aclose()
    assert await asyncio.to_thread(service.stream_ended.wait, 60)


async def test_explain(aio: AsyncClient, client: Client, cells: str) -> None:
    queries = [b"img 3 -4 0", ItemId("c")]
    assert await aio.explain(cells, queries, overlay=True) == client.explain(cells, queries, overlay=True)
    assert await aio.heatmap(cells, ItemId("a")) == client.heatmap(cells, ItemId("a"))


async def test_the_timeout_is_the_deadline(service: Any, cells: str) -> None:
    service.hold.clear()
    async with AsyncClient(service.address, timeout=0.05) as aio:
        with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.05 s"):
            await aio.get_collection(cells)
