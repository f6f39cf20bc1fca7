import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from farnear import (
    AsyncClient,
    AttributeType,
    Client,
    ClusterChange,
    DeadlineExceededError,
    Direction,
    ExplainHits,
    ExplainTarget,
    FailedPreconditionError,
    HeatmapPicture,
    ImageRetention,
    IndexKind,
    IndexSettings,
    Interaction,
    InvalidArgumentError,
    ItemId,
    NewItem,
    NotFoundError,
    Opinion,
    RecommendMode,
    ServerFaultError,
)
from farnear.v1 import clusters_pb2

from tests.farnear.fake import FakeService


@pytest.fixture
async def aio(service: FakeService) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(service.address) as connected:
        yield connected


async def test_collections(aio: AsyncClient, client: Client) -> None:
    for name in ("c1", "c2", "c3"):
        made = await aio.create_collection(name, bundle="toy")
        assert made == client.get_collection(name) == await aio.get_collection(name)
    assert [collection async for collection in aio.list_collections()] == list(client.list_collections())
    assert await aio.delete_collection("c2") == 0
    assert [collection.name async for collection in aio.list_collections()] == ["c1", "c3"]


async def test_items(aio: AsyncClient, client: Client, cells: str, service: FakeService) -> None:
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


async def test_search_by_a_filter_and_in_pages(aio: AsyncClient, client: Client, cells: str) -> None:
    query, where = b"img 1 0 0", "severity >= 3 or not exists(severity)"
    assert await aio.both(cells, query, k=2, where=where) == client.both(cells, query, k=2, where=where)
    pages = [page async for page in aio.search_pages(cells, query, direction=Direction.BOTH, k=2, where=where)]
    assert pages == list(client.search_pages(cells, query, direction=Direction.BOTH, k=2, where=where))
    assert [[hit.rank for hit in page.similar] for page in pages] == [[1, 2], [3]]


async def test_items_by_a_filter_and_their_images(aio: AsyncClient, client: Client, cells: str) -> None:
    where = "label = 'crack'"
    assert [item async for item in aio.list_items(cells, where=where)] == list(client.list_items(cells, where=where))
    assert await aio.count_items(cells, where=where) == 2
    assert await aio.get_item_image(cells, "a") == client.get_item_image(cells, "a")


async def test_every_choice_of_a_collection(aio: AsyncClient, client: Client) -> None:
    made = await aio.create_collection(
        "cells",
        bundle="toy",
        image_retention=ImageRetention.NONE,
        attributes={"severity": AttributeType.NUMBER},
        index=IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.9),
    )
    assert made == client.get_collection("cells")
    assert (made.image_retention, made.index.target_recall) == (ImageRetention.NONE, 0.9)


async def test_a_move_to_another_bundle(aio: AsyncClient, cells: str) -> None:
    assert (await aio.activate_bundle(cells, "toy-2")).bundle == "toy"
    states = [state async for state in aio.watch_activation(cells, interval=0)]
    assert [state.activation and state.activation.done_count for state in states] == [0, 2, 4, None]
    assert states[-1].bundle == "toy-2"


async def test_recommendations_and_interactions(aio: AsyncClient, client: Client, cells: str) -> None:
    met = [Interaction(item_id="a", opinion=Opinion.LIKED), Interaction(item_id="b")]
    await aio.record_interactions(cells, "ada", met)
    kept = [entry async for entry in aio.list_interactions(cells, "ada")]
    assert [(entry.item_id, entry.opinion) for entry in kept] == [("a", Opinion.LIKED), ("b", Opinion.SEEN)]
    assert kept == list(client.list_interactions(cells, "ada"))
    hits = await aio.recommend(cells, user="ada", mode=RecommendMode.SIMILAR, k=1)
    assert hits == client.recommend(cells, user="ada", mode=RecommendMode.SIMILAR, k=1)
    assert await aio.delete_interactions(cells, "ada") == 2


def new_items(count: int) -> Iterator[NewItem]:
    return (NewItem(item_id=f"{number:04}", content=b"img 1 0 0") for number in range(count))


async def test_a_stream_answers_for_each_item_in_order(aio: AsyncClient, cells: str, service: FakeService) -> None:
    items = [*new_items(300), NewItem(item_id="text", content=b"hello")]
    outcomes = [outcome async for outcome in aio.upsert_stream(cells, items)]
    assert [outcome.item_id for outcome in outcomes] == [item.item_id for item in items]
    assert [outcome.item_id for outcome in outcomes if outcome.error is not None] == ["text"]
    assert sorted(len(request.items) for request in service.requests("UpsertItems")) == [4, 45, 128, 128]
    assert [outcome async for outcome in aio.upsert_stream(cells, [])] == []


async def test_four_batches_are_on_their_way_before_the_first_answer(
    aio: AsyncClient, cells: str, service: FakeService
) -> None:
    answered = 0
    answered_when_read = []

    def items() -> Iterator[NewItem]:
        for number, item in enumerate(new_items(6 * 128)):
            # Item 512 closes the fourth batch: until then the service answers nothing.
            if number == 512:
                service.hold.set()
            answered_when_read.append(answered)
            yield item

    service.hold.clear()
    async for _ in aio.upsert_stream(cells, items()):
        answered += 1
    assert [answered_when_read[number] for number in (512, 513, 640, 641)] == [0, 128, 128, 256]
    assert answered == 6 * 128


async def test_batches_with_an_id_in_common_do_not_overlap(cells: str, service: FakeService) -> None:
    events: list[tuple[str, int]] = []

    class Recorded(AsyncClient):
        async def _call(self, method: Any, request: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 - see there
            events.append(("sent", len(request.items)))
            response = await super()._call(method, request, timeout)
            events.append(("answered", len(request.items)))
            return response

    later = NewItem(item_id="0000", content=b"img 0 1 0", label="later")
    async with Recorded(service.address) as aio:
        assert len([outcome async for outcome in aio.upsert_stream(cells, [*new_items(200), later])]) == 201
        assert events == [("sent", 128), ("answered", 128), ("sent", 73), ("answered", 73)]
        events.clear()
        assert len([outcome async for outcome in aio.upsert_stream(cells, new_items(201))]) == 201
        assert events[:2] == [("sent", 128), ("sent", 73)]


async def test_a_stream_that_is_not_consumed_to_its_end_is_cancelled(
    aio: AsyncClient, cells: str, service: FakeService
) -> None:
    outcomes = aio.upsert_stream(cells, new_items(10_000))
    assert (await anext(outcomes)).item_id == "0000"
    await outcomes.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert len(service.requests("UpsertItems")) <= 5


async def test_a_stream_that_fails_says_why(aio: AsyncClient, cells: str, service: FakeService) -> None:
    with pytest.raises(NotFoundError, match="'nowhere' is not there"):
        [outcome async for outcome in aio.upsert_stream("nowhere", new_items(1000))]
    service.failures["UpsertItems"] = [grpc.StatusCode.UNAVAILABLE]
    assert len([outcome async for outcome in aio.upsert_stream(cells, new_items(300))]) == 300
    service.failures["UpsertItems"] = [grpc.StatusCode.INTERNAL] * 3
    with pytest.raises(ServerFaultError, match="told to fail"):
        [outcome async for outcome in aio.upsert_stream(cells, new_items(300))]


async def test_each_answer_of_a_stream_has_its_time(aio: AsyncClient, cells: str, service: FakeService) -> None:
    service.hold.clear()
    with pytest.raises(DeadlineExceededError, match=rf"{service.address}: no answer within 0\.05 s"):
        [outcome async for outcome in aio.upsert_stream(cells, new_items(10), timeout=0.05)]


async def test_clusters(aio: AsyncClient, client: Client, cells: str, service: FakeService) -> None:
    with pytest.raises(FailedPreconditionError, match="no map yet"):
        [point async for point in aio.map_points(cells)]
    service.page_limit = 1
    fit = await aio.recluster(cells)
    assert (fit.cluster_count, fit.noise_count) == (2, 1)
    assert await aio.clusters(cells) == client.clusters(cells)
    assert await aio.assign(cells, ItemId("c")) == client.assign(cells, ItemId("c"))
    assert [point async for point in aio.map_points(cells)] == list(client.map_points(cells))
    service.page_limit = 1
    for limit in (None, 1):
        assert await aio.cluster(cells, 0, limit=limit) == client.cluster(cells, 0, limit=limit)
    assert await aio.suggest_eps(cells, min_samples=3) == client.suggest_eps(cells, min_samples=3)
    assert (await aio.recluster(cells, eps=0.25)).map.eps == 0.25


async def test_what_happens_to_clusters(aio: AsyncClient, client: Client, cells: str, service: FakeService) -> None:
    watch = aio.watch_clusters(cells)
    assert (await anext(watch)).events == ()
    service.happen(cells, clusters_pb2.ClusterEvent(change=clusters_pb2.CLUSTER_CHANGE_BORN, cluster=3))
    batch = await anext(watch)
    assert [(event.change, event.cluster) for event in batch.events] == [(ClusterChange.BORN, 3)]
    assert not service.stream_ended.is_set()
    await watch.aclose()
    assert await asyncio.to_thread(service.stream_ended.wait, 60)
    assert batch == next(client.watch_clusters(cells, from_start=True))
    assert (await anext(aio.watch_clusters(cells, resume_token=batch.resume_token))).events == ()
    with pytest.raises(NotFoundError, match="'nowhere' is not there"):
        await anext(aio.watch_clusters("nowhere"))


async def test_a_map_that_is_not_read_to_its_end_is_cancelled(
    aio: AsyncClient, cells: str, service: FakeService
) -> None:
    await aio.recluster(cells)
    service.endless_map = True
    points = aio.map_points(cells, timeout=600)
    assert (await anext(points)).item_id == "a"
    assert not service.stream_ended.is_set()
    await points.aclose()
    assert await asyncio.to_thread(service.stream_ended.wait, 60)


async def test_explain(aio: AsyncClient, client: Client, cells: str) -> None:
    queries = [b"img 3 -4 0", ItemId("c")]
    picture = HeatmapPicture.OVERLAY
    assert await aio.explain(cells, queries, picture=picture) == client.explain(cells, queries, picture=picture)
    target, others = ExplainTarget.PAIR_DIVERGENT, [ItemId("a")]
    assert await aio.explain(cells, queries, target=target, others=others) == client.explain(
        cells, queries, target=target, others=others
    )
    assert await aio.heatmap(cells, ItemId("a")) == client.heatmap(cells, ItemId("a"))
    wish = ExplainHits(picture=HeatmapPicture.HEATMAP)
    assert await aio.both(cells, queries[0], explain=wish) == client.both(cells, queries[0], explain=wish)
    assert await aio.recommend(cells, liked=others, novelty=0.0, explain=wish) == client.recommend(
        cells, liked=others, novelty=0.0, explain=wish
    )


async def test_the_timeout_is_the_deadline(service: FakeService, cells: str) -> None:
    service.hold.clear()
    async with AsyncClient(service.address, timeout=0.05) as aio:
        with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.05 s"):
            await aio.get_collection(cells)
