import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.errors import (
    AlreadyExistsError,
    BundleError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
)
from farnear_service.filters import Exists
from farnear_service.image import ImageLimits
from farnear_service.metrics import Metrics
from farnear_service.pipeline import Answer, Limits, Pipeline
from farnear_service.pipeline import model as model_module
from farnear_service.store import Contents, Store
from farnear_service.types import (
    Direction,
    Hit,
    Image,
    ImageRetention,
    ItemRef,
    NewItem,
    Vector,
)

Opened = Callable[..., AbstractAsyncContextManager[Pipeline]]
MakePicture = Callable[[int], bytes]


@pytest.fixture
def picture_item(make_picture: MakePicture) -> Callable[..., NewItem]:
    def make(item_id: str, seed: int, label: str = "") -> NewItem:
        return NewItem(item_id=item_id, label=label, content=Image(data=make_picture(seed)))

    return make


def digest_of(pipeline: Pipeline) -> str:
    return pipeline.catalog.bundles()["tiny"].digest


def vector_item(pipeline: Pipeline, item_id: str, values: Any, label: str = "") -> NewItem:
    vector = Vector(values=np.array(values, np.float32), bundle_digest=digest_of(pipeline))
    return NewItem(item_id=item_id, label=label, content=vector)


def scattered(pipeline: Pipeline, count: int, *, seed: int = 0, prefix: str = "v") -> list[NewItem]:
    centres = 4 * np.eye(4)[np.arange(count) % 3]
    vectors = centres + np.random.default_rng(seed).normal(size=(count, 4))
    return [vector_item(pipeline, f"{prefix}{i:03d}", vector) for i, vector in enumerate(vectors)]


async def ids_of(pipeline: Pipeline, name: str = "cells") -> list[str]:
    return [item.item_id for item in await pipeline.items(name, after=None, limit=100_000)]


def assert_index_equals_store(pipeline: Pipeline, name: str = "cells") -> None:
    """The index holds what the store holds, key by key."""
    live = pipeline.catalog.live(name)
    stored = [row for part in pipeline.catalog.store.contents(live.record) for row in rows_of(part)]
    now = live.index.now()
    rows = np.flatnonzero(now.live)
    vectors = [vector.tobytes() for vector in now.vectors[rows]]
    held = zip(now.keys[rows].tolist(), now.columns.item_ids(rows), now.columns.labels(rows), vectors, strict=True)
    assert list(held) == stored
    assert len(now) == len(stored)


def rows_of(part: Contents) -> Any:
    return zip(part.keys.tolist(), part.item_ids, part.labels, [one.tobytes() for one in part.vectors], strict=True)


async def made(pipeline: Pipeline, retention: ImageRetention = ImageRetention.ORIGINAL) -> None:
    await pipeline.catalog.create_collection("cells", "tiny", retention)


@dataclass(frozen=True)
class Lists:
    """The hits of an answer: empty the list that was not asked for."""

    similar: tuple[Hit, ...] = ()
    divergent: tuple[Hit, ...] = ()


def lists_of(answer: Any) -> Lists:
    assert isinstance(answer, Answer), answer
    similar, divergent = answer.result.similar, answer.result.divergent
    return Lists(similar.hits if similar else (), divergent.hits if divergent else ())


async def found(pipeline: Pipeline, query: Any, k: int = 10, direction: Direction = Direction.SIMILAR) -> Lists:
    (answer,) = await pipeline.search("cells", [query], direction, k)
    return lists_of(answer)


async def until(condition: Callable[[], bool]) -> None:
    """Waits within bounds for what happens in the background."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what runs in the background has no event for it
            await asyncio.sleep(0.001)


class Gate:
    """Holds the embedder until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        embed = model_module.Embedder.embed

        def held(embedder: Any, images: Any) -> Any:
            self.reached.set()
            self._open.wait(30)
            return embed(embedder, images)

        self._arm = lambda: monkeypatch.setattr(model_module.Embedder, "embed", held)

    def shut(self) -> None:
        self._arm()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Gate(monkeypatch)
    yield made
    made.open()


# Collections


async def test_collections_are_made_listed_and_deleted(opened: Opened) -> None:
    async with opened() as pipeline:
        assert pipeline.catalog.collections() == []
        for name in ("b", "a"):
            await pipeline.catalog.create_collection(name, "tiny", ImageRetention.NONE)
        assert [(record.name, count) for record, count in pipeline.catalog.collections()] == [("a", 0), ("b", 0)]
        record, count = pipeline.catalog.collection("a")
        assert (record.dim, record.bundle_name, record.bundle_digest, count) == (4, "tiny", digest_of(pipeline), 0)
        with pytest.raises(AlreadyExistsError, match="'a' is there already"):
            await pipeline.catalog.create_collection("a", "tiny", ImageRetention.NONE)
        await pipeline.upsert("a", scattered(pipeline, 7))
        assert await pipeline.catalog.delete_collection("a") == 7
        assert [record.name for record, _ in pipeline.catalog.collections()] == ["b"]
        await pipeline.catalog.create_collection("a", "tiny", ImageRetention.NONE)
        assert pipeline.catalog.collection("a")[1] == 0


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "a" * 65, "a\n"])
async def test_bad_names_are_refused(opened: Opened, name: str) -> None:
    async with opened() as pipeline:
        with pytest.raises(InvalidError, match="name: "):
            await pipeline.catalog.create_collection(name, "tiny", ImageRetention.NONE)


async def test_unknown_names_are_told(opened: Opened, make_picture: MakePicture) -> None:
    async with opened() as pipeline:
        with pytest.raises(NotFoundError, match="bundle: 'huge' is not served; served are tiny"):
            await pipeline.catalog.create_collection("cells", "huge", ImageRetention.NONE)
        query = Image(data=make_picture(0))
        for work in (
            pipeline.catalog.delete_collection("none"),
            pipeline.upsert("none", [NewItem(item_id="a", label="", content=query)]),
            pipeline.delete_items("none", ["a"]),
            pipeline.item("none", "a"),
            pipeline.items("none", after=None, limit=1),
            pipeline.search("none", [query], Direction.BOTH, 1),
            pipeline.clustering.assign("none", query),
            pipeline.explain("none", [query]),
            pipeline.clustering.summaries("none"),
        ):
            with pytest.raises(NotFoundError, match="collection: there is no 'none'"):
                await work
        for call in (pipeline.catalog.collection, pipeline.catalog.live):
            with pytest.raises(NotFoundError, match="collection: there is no 'none'"):
                call("none")


# Writes


async def test_a_bad_item_never_fails_its_neighbours(
    opened: Opened, picture_item: Callable[..., NewItem], refused_pictures: dict[str, bytes]
) -> None:
    async with opened(image=ImageLimits(max_bytes=5000)) as pipeline:
        await made(pipeline)
        other = Vector(values=np.ones(4, np.float32), bundle_digest="f" * 64)
        items = [
            picture_item("first", 1),
            NewItem(item_id="gif", label="", content=Image(data=refused_pictures["gif"])),
            picture_item("", 2),
            NewItem(item_id="nothing", label="", content=None),
            picture_item("label", 3, label="x" * 513),
            vector_item(pipeline, "zero", [0, 0, 0, 0]),
            vector_item(pipeline, "nan", [1, np.nan, 0, 0]),
            vector_item(pipeline, "short", [1, 0, 0]),
            NewItem(item_id="foreign", label="", content=other),
            NewItem(item_id="large", label="", content=Image(data=bytes(5001))),
            vector_item(pipeline, "last", [0, 0, 0, -3]),
        ]
        outcomes = await pipeline.upsert("cells", items)
        told = [(type(outcome), str(outcome).split(":")[0]) for outcome in outcomes]
        assert told == [
            (type(None), "None"),
            (InvalidError, "image"),
            (InvalidError, "item_id"),
            (InvalidError, "content"),
            (InvalidError, "label"),
            (InvalidError, "vector.values"),
            (InvalidError, "vector.values"),
            (InvalidError, "vector.values"),
            (PreconditionError, "vector.bundle_digest"),
            (InvalidError, "image"),
            (type(None), "None"),
        ]
        assert await ids_of(pipeline) == ["first", "last"]
        assert pipeline.catalog.collection("cells")[1] == 2
        assert_index_equals_store(pipeline)


async def test_a_batch_of_bad_items_alone_stores_nothing(opened: Opened) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        outcomes = await pipeline.upsert("cells", [NewItem(item_id="a", label="", content=None)])
        assert isinstance(outcomes[0], InvalidError)
        assert await ids_of(pipeline) == []


async def test_the_sizes_of_batches_are_limited(opened: Opened) -> None:
    async with opened(
        limits=Limits(max_upserts=3, max_deletes=2, max_queries=2, max_explained=1, max_hits=5)
    ) as pipeline:
        await made(pipeline)
        items = scattered(pipeline, 4)
        query = ItemRef(item_id="v000")
        for work, told in (
            (pipeline.upsert("cells", items), "items: has 4 entries; allowed are 1 to 3"),
            (pipeline.upsert("cells", []), "items: has 0 entries"),
            (pipeline.delete_items("cells", ["a"] * 3), "item_ids: has 3 entries; allowed are 1 to 2"),
            (pipeline.delete_items("cells", []), "item_ids: has 0 entries"),
            (pipeline.search("cells", [query] * 3, Direction.BOTH, 1), "queries: has 3 entries"),
            (pipeline.search("cells", [], Direction.BOTH, 1), "queries: has 0 entries"),
            (
                pipeline.search("cells", [query] * 2, Direction.BOTH, 3),
                "k: is 3 for 2 queries; allowed are at most 5 hits",
            ),
            (pipeline.explain("cells", [query] * 2), "queries: has 2 entries"),
        ):
            with pytest.raises(InvalidError, match=told):
                await work
        assert await ids_of(pipeline) == []


async def test_an_item_is_replaced_and_a_retry_changes_nothing(
    opened: Opened, picture_item: Callable[..., NewItem]
) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", [picture_item("a", 1, "old"), picture_item("b", 2)])
        for _ in range(2):
            assert await pipeline.upsert("cells", [picture_item("a", 3, "new")]) == [None]
            assert await ids_of(pipeline) == ["a", "b"]
            assert (await pipeline.item("cells", "a")).label == "new"
            assert_index_equals_store(pipeline)
            result = await found(pipeline, picture_item("", 3).content, k=1)
            assert (result.similar[0].item_id, result.similar[0].label) == ("a", "new")
            assert result.similar[0].similarity == pytest.approx(1, abs=1e-6)


async def test_of_two_items_with_one_id_the_later_stands(opened: Opened) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        items = [vector_item(pipeline, "a", [1, 0, 0, 0], "1"), vector_item(pipeline, "a", [0, 1, 0, 0], "2")]
        assert await pipeline.upsert("cells", items) == [None, None]
        assert (await pipeline.item("cells", "a")).label == "2"
        assert_index_equals_store(pipeline)


async def test_deleting(opened: Opened) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 5))
        assert await pipeline.delete_items("cells", ["v001", "v003", "v003", "nothing"]) == 2
        assert await pipeline.delete_items("cells", ["v001"]) == 0
        assert await ids_of(pipeline) == ["v000", "v002", "v004"]
        assert_index_equals_store(pipeline)
        with pytest.raises(NotFoundError, match="item_id: collection 'cells' has no item 'v001'"):
            await pipeline.item("cells", "v001")


async def test_a_filtered_list_goes_on_to_its_end_though_items_are_deleted_meanwhile(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 30))
        loop, read, goes = asyncio.get_running_loop(), Store.items_by_id, ["v003", "v008", "v009"]

        def read_after_a_deletion(store: Store, *given: Any) -> Any:
            if goes:
                asyncio.run_coroutine_threadsafe(pipeline.delete_items("cells", [goes.pop(0)]), loop).result()
            return read(store, *given)

        monkeypatch.setattr(Store, "items_by_id", read_after_a_deletion)
        found = await pipeline.items("cells", after="v001", limit=6, where=Exists("item_id"))
        assert [item.item_id for item in found] == ["v002", "v004", "v005", "v006", "v007", "v010"]
        found = await pipeline.items("cells", after="v026", limit=6, where=Exists("item_id"))
        assert [item.item_id for item in found] == ["v027", "v028", "v029"]


async def test_upserts_and_deletes_of_overlapping_ids_at_once(opened: Opened) -> None:
    async with opened() as pipeline:
        await made(pipeline)

        async def write(number: int) -> None:
            random = np.random.default_rng(number)
            for _ in range(8):
                ids = random.integers(0, 30, 10)
                if random.random() < 0.3:
                    await pipeline.delete_items("cells", [f"i{i}" for i in ids])
                else:
                    vectors = random.normal(size=(10, 4))
                    items = [
                        vector_item(pipeline, f"i{i}", vector, str(number))
                        for i, vector in zip(ids, vectors, strict=True)
                    ]
                    assert await pipeline.upsert("cells", items) == [None] * 10

        await asyncio.gather(*(write(number) for number in range(12)))
        assert_index_equals_store(pipeline)
        assert len(await ids_of(pipeline)) == pipeline.catalog.collection("cells")[1]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_an_upsert_whose_caller_goes_away_leaves_index_and_store_equal(
    opened: Opened, picture_item: Callable[..., NewItem], turns: int
) -> None:
    """Whole or not at all, whenever the caller goes."""
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 3))
        task = asyncio.ensure_future(pipeline.upsert("cells", [picture_item("a", 1), *scattered(pipeline, 2, seed=9)]))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pipeline.upsert("cells", [vector_item(pipeline, "z", [1, 2, 3, 4])])  # behind it, as writes take turns
        ids = await ids_of(pipeline)
        assert ids in (["v000", "v001", "v002", "z"], ["a", "v000", "v001", "v002", "z"])
        assert_index_equals_store(pipeline)


async def test_a_write_that_was_begun_ends_though_its_caller_went_away(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    write = Store.write

    def held(*arguments: Any, **named: Any) -> Any:
        begun.set()
        may_end.wait(30)
        return write(*arguments, **named)

    async with opened() as pipeline:
        await made(pipeline)
        monkeypatch.setattr(Store, "write", held)
        task = asyncio.ensure_future(pipeline.upsert("cells", scattered(pipeline, 3)))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_end.set()
        assert await pipeline.delete_items("cells", ["v001"]) == 1
        assert await ids_of(pipeline) == ["v000", "v002"]
        assert_index_equals_store(pipeline)


async def test_a_write_under_way_is_on_disk_after_close(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    write = Store.write

    def slow(*arguments: Any, **named: Any) -> Any:
        begun.set()
        return write(*arguments, **named)

    monkeypatch.setattr(Store, "write", slow)
    async with opened() as pipeline:
        await made(pipeline)
        task = asyncio.ensure_future(pipeline.upsert("cells", scattered(pipeline, 3)))
        await asyncio.to_thread(begun.wait)
    assert await task == [None] * 3
    async with opened() as pipeline:
        assert len(await ids_of(pipeline)) == 3


async def test_a_full_disk_is_told_and_index_equals_store(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **named: Any) -> Any:
        raise OverloadedError("store: the disk is full")

    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 3))
        with monkeypatch.context() as patch:
            patch.setattr(Store, "write", full)
            with pytest.raises(OverloadedError, match="disk is full"):
                await pipeline.upsert("cells", scattered(pipeline, 3, prefix="w"))
        assert_index_equals_store(pipeline)
        assert len(await ids_of(pipeline)) == 3


# Deleting a collection under load


async def test_a_collection_is_deleted_while_it_is_written_to(opened: Opened) -> None:
    async with opened() as pipeline:
        await made(pipeline)

        async def write(number: int) -> int:
            for step in range(50):
                try:
                    await pipeline.upsert("cells", scattered(pipeline, 4, prefix=f"{number}/{step}/"))
                except NotFoundError:
                    return step
            return 50

        writers = [asyncio.ensure_future(write(number)) for number in range(4)]
        await until(lambda: pipeline.catalog.collection("cells")[1] >= 40)
        assert await pipeline.catalog.delete_collection("cells") >= 40
        steps = await asyncio.gather(*writers)
        assert min(steps) < 50
        assert pipeline.catalog.collections() == []
    async with opened() as pipeline:
        assert pipeline.catalog.collections() == []


async def test_a_write_to_a_collection_that_was_deleted_and_made_anew_meanwhile_is_told(
    opened: Opened, picture_item: Callable[..., NewItem], gate: Gate
) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        gate.shut()
        writing = asyncio.ensure_future(pipeline.upsert("cells", [picture_item("a", 1)]))
        await asyncio.to_thread(gate.reached.wait)
        await pipeline.catalog.delete_collection("cells")
        await made(pipeline)
        gate.open()
        with pytest.raises(NotFoundError):
            await writing
        assert await ids_of(pipeline) == []


async def test_a_delete_that_fails_leaves_the_collection(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **named: Any) -> Any:
        raise OverloadedError("store: the disk is full")

    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 3))
        with monkeypatch.context() as patch:
            patch.setattr(Store, "delete_collection", full)
            with pytest.raises(OverloadedError):
                await pipeline.catalog.delete_collection("cells")
        assert pipeline.catalog.collection("cells")[1] == 3
        assert await pipeline.catalog.delete_collection("cells") == 3


async def test_a_deleted_collection_leaves_no_map_and_no_metrics(
    opened: Opened, quick_maps: None, tmp_path: Path
) -> None:
    metrics = Metrics()
    async with opened(metrics=metrics) as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 20))
        await pipeline.catalog.live("cells").map.recluster()
        assert len(list((tmp_path / "data" / "maps").iterdir())) == 1
        assert metrics.registry.get_sample_value("farnear_items", {"collection": "cells"}) == 20
        await pipeline.catalog.delete_collection("cells")
        assert list((tmp_path / "data" / "maps").iterdir()) == []
        assert metrics.registry.get_sample_value("farnear_items", {"collection": "cells"}) is None
        await made(pipeline)
        assert metrics.registry.get_sample_value("farnear_items", {"collection": "cells"}) == 0


# Search


async def test_search_by_image_item_and_vector_at_both_ends(
    opened: Opened, picture_item: Callable[..., NewItem], make_picture: MakePicture
) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", [picture_item(f"p{seed}", seed, f"l{seed}") for seed in range(12)])
        now = pipeline.catalog.live("cells").index.now()
        own = now.vectors[3].astype(np.float64)
        order = sorted(
            range(12), key=lambda row: (-float(now.vectors[row].astype(np.float64) @ own), f"p{row}".encode())
        )
        queries = [
            Image(data=make_picture(3)),
            ItemRef(item_id="p3"),
            Vector(values=1e6 * now.vectors[3], bundle_digest=digest_of(pipeline)),
        ]
        answers = await pipeline.search("cells", queries, Direction.BOTH, 12)
        by_image, by_item, by_vector = (lists_of(answer) for answer in answers)
        expected = [f"p{row}" for row in order]
        assert expected[0] == "p3"
        assert [hit.item_id for hit in by_image.similar] == expected
        assert [hit.item_id for hit in by_image.divergent] == expected[::-1]
        assert [hit.item_id for hit in by_vector.similar] == expected
        assert [hit.item_id for hit in by_item.similar] == expected[1:]
        assert [hit.item_id for hit in by_item.divergent] == expected[:0:-1]
        assert [hit.label for hit in by_image.similar] == [f"l{row}" for row in order]
        for direction, lists in (
            (Direction.SIMILAR, (by_image.similar, ())),
            (Direction.DIVERGENT, ((), by_image.divergent)),
        ):
            result = await found(pipeline, queries[0], 12, direction)
            assert (result.similar, result.divergent) == lists


async def test_the_own_item_takes_no_place_from_the_k(opened: Opened) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        same = [vector_item(pipeline, f"s{i}", [1, 0, 0, 0]) for i in range(4)]
        await pipeline.upsert("cells", same)
        for k in (1, 2, 3, 4, 1000):
            result = await found(pipeline, ItemRef(item_id="s1"), k, Direction.BOTH)
            assert [hit.item_id for hit in result.similar] == ["s0", "s2", "s3"][:k]
            assert [hit.item_id for hit in result.divergent] == ["s0", "s2", "s3"][:k]


async def test_pages_go_on_to_the_end_of_both_lists_though_one_ends_first(opened: Opened) -> None:
    """What comes between two pages may lie before the end of the first in one list, and behind it in the other."""
    async with opened() as pipeline:
        await made(pipeline)
        here, there = [1, 0, 0, 0], [-1, 0, 0, 0]
        await pipeline.upsert("cells", [vector_item(pipeline, "a", here), vector_item(pipeline, "b", there)])
        query = vector_item(pipeline, "query", here).content
        (answer,) = await pipeline.search("cells", [query], Direction.BOTH, 1)
        pages = [lists_of(answer)]
        await pipeline.upsert("cells", [vector_item(pipeline, name, here) for name in "012"])
        while answer.behind is not None:
            (answer,) = await pipeline.search("cells", [query], Direction.BOTH, 1, behind=answer.behind)
            pages.append(lists_of(answer))
        ids = [[[hit.item_id for hit in hits] for hits in (page.similar, page.divergent)] for page in pages]
        assert ids == [[["a"], ["b"]], [["b"], ["0"]], [[], ["1"]], [[], ["2"]], [[], ["a"]]]


async def test_an_empty_collection_has_no_hits(opened: Opened, make_picture: MakePicture) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        result = await found(pipeline, Image(data=make_picture(0)), 5, Direction.BOTH)
        assert result == Lists()


@pytest.mark.parametrize("k", [0, -1, 1001, 2**31 - 1])
async def test_k_is_limited(opened: Opened, make_picture: MakePicture, k: int) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        with pytest.raises(InvalidError, match=rf"k: is {k}; allowed are 1 to 1000"):
            await pipeline.search("cells", [Image(data=make_picture(0))], Direction.BOTH, k)


async def test_a_bad_query_never_fails_its_neighbours(opened: Opened, make_picture: MakePicture) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 5))
        queries = [
            None,
            ItemRef(item_id="v000"),
            ItemRef(item_id="nothing"),
            Image(data=b"text"),
            Vector(values=np.ones(4, np.float32), bundle_digest="f" * 64),
            Vector(values=np.ones(4, np.float32), bundle_digest=""),
            Image(data=make_picture(1)),
        ]
        results = await pipeline.search("cells", queries, Direction.SIMILAR, 3)
        assert [type(result) for result in results] == [
            InvalidError,
            Answer,
            NotFoundError,
            InvalidError,
            PreconditionError,
            PreconditionError,
            Answer,
        ]
        assert "query.subject: is not set" in str(results[0])
        assert digest_of(pipeline) in str(results[4])


async def test_queries_are_not_modified(opened: Opened) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        values = np.array([3, 0, 4, 0], np.float32)
        values.setflags(write=False)
        query = Vector(values=values, bundle_digest=digest_of(pipeline))
        await pipeline.upsert("cells", [NewItem(item_id="a", label="", content=query)])
        await found(pipeline, query, 1, Direction.BOTH)
        assert values.tolist() == [3, 0, 4, 0]


async def test_a_full_queue_refuses_a_search(
    opened: Opened, make_picture: MakePicture, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "MAX_BATCH", 1)
    async with opened(max_waiting=2) as pipeline:
        await made(pipeline)
        gate.shut()
        waiting = [asyncio.ensure_future(found(pipeline, Image(data=make_picture(0))))]
        await asyncio.to_thread(gate.reached.wait)
        waiting += [asyncio.ensure_future(found(pipeline, Image(data=make_picture(i)))) for i in (1, 2)]
        model = pipeline.catalog._models[digest_of(pipeline)]
        await until(lambda: model.waiting == 2)
        (refusal,) = await pipeline.search("cells", [Image(data=make_picture(9))], Direction.SIMILAR, 1)
        assert isinstance(refusal, OverloadedError)
        gate.open()
        assert await asyncio.gather(*waiting) == [Lists()] * 3


async def test_a_search_is_served_while_a_large_batch_is_written(
    opened: Opened,
    picture_item: Callable[..., NewItem],
    make_picture: MakePicture,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_module, "MAX_BATCH", 1)
    metrics = Metrics()

    async def decoded(count: int) -> None:
        sample = metrics.registry.get_sample_value
        await until(lambda: sample("farnear_stage_seconds_count", {"stage": "decode"}) == count)
        for _ in range(10):  # from the thread back to the queue
            await asyncio.sleep(0)

    async with opened(max_waiting=4, metrics=metrics) as pipeline, asyncio.timeout(30):
        await made(pipeline)
        gate.shut()
        writing = asyncio.ensure_future(pipeline.upsert("cells", [picture_item(f"p{i}", i) for i in range(30)]))
        await decoded(30)
        asking = asyncio.ensure_future(pipeline.search("cells", [Image(data=make_picture(9))], Direction.SIMILAR, 1))
        await decoded(31)
        gate.open()
        (result,) = await asking
        assert await writing == [None] * 30
        assert isinstance(result, Answer), result


# Clusters


async def test_clusters_appear_in_items_and_hits_once_a_map_is_fitted(opened: Opened, quick_maps: None) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 4))
        assert (await pipeline.item("cells", "v000")).cluster is None
        assert {hit.cluster for hit in (await found(pipeline, ItemRef(item_id="v000"))).similar} == {None}
        for work in (
            pipeline.clustering.assign("cells", ItemRef(item_id="v000")),
            pipeline.clustering.summaries("cells"),
        ):
            with pytest.raises(PreconditionError, match="has 4 items; a map needs at least 5"):
                await work
        await pipeline.upsert("cells", scattered(pipeline, 60))
        state = await pipeline.catalog.live("cells").map.recluster()
        clusters = {item.item_id: item.cluster for item in await pipeline.items("cells", after=None, limit=100)}
        assert len(clusters) == 60
        assert None not in clusters.values()
        assert max(cluster for cluster in clusters.values() if cluster is not None) == max(state.view.sizes)
        hits = (await found(pipeline, ItemRef(item_id="v000"), 100)).similar
        assert {hit.item_id: hit.cluster for hit in hits} == {i: c for i, c in clusters.items() if i != "v000"}
        assert (await pipeline.item("cells", "v007")).cluster == clusters["v007"]


async def test_the_first_map_comes_by_itself_and_changes_follow(opened: Opened, quick_maps: None) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 30))
        live = pipeline.catalog.live("cells")
        await until(lambda: live.map.cluster_of(live.index.now().keys[-1]) is not None)
        assert (await pipeline.item("cells", "v000")).cluster is not None
        await pipeline.upsert("cells", [vector_item(pipeline, "v000", [1, 1, 1, 1])])
        live = pipeline.catalog.live("cells")
        await until(lambda: live.map.cluster_of(live.index.now().keys[-1]) is not None)
        assert (await pipeline.item("cells", "v000")).cluster is not None


async def test_assign_places_what_is_asked_about_without_adding_it(opened: Opened, quick_maps: None) -> None:
    async with opened() as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", scattered(pipeline, 40))
        view = (await pipeline.catalog.live("cells").map.recluster()).view
        now = view.snapshot
        query = scattered(pipeline, 1, seed=5)[0].content
        assert isinstance(query, Vector)
        unit = (query.values / np.linalg.norm(query.values.astype(np.float64))).astype(np.float32)
        placement = await pipeline.clustering.assign("cells", query)
        expected = pipeline.catalog.live("cells").map.state().place(unit)
        np.testing.assert_allclose(placement.position, expected, atol=1e-4)
        distances = np.linalg.norm(now.points[now.core] - np.array(placement.position), axis=1)
        assert placement.core_distance == pytest.approx(float(distances.min()))
        nearest = int(now.labels[now.core][distances.argmin()])
        assert placement.cluster == (nearest if distances.min() <= 3.0 else -1)
        assert placement.map_version == view.version
        assert pipeline.catalog.collection("cells")[1] == 40
        stored = await pipeline.clustering.assign("cells", ItemRef(item_id="v003"))
        position = view.position_of(pipeline.catalog.store.item(pipeline.catalog.live("cells").record, "v003").key)
        assert position is not None
        assert stored.position == tuple(position)
        for bad, refusal in ((ItemRef(item_id="nothing"), NotFoundError), (None, InvalidError)):
            with pytest.raises(refusal):
                await pipeline.clustering.assign("cells", bad)


# Images that are kept


async def test_images_are_kept_or_not_as_the_collection_says(
    opened: Opened, picture_item: Callable[..., NewItem]
) -> None:
    async with opened() as pipeline:
        for name, retention in (("kept", ImageRetention.ORIGINAL), ("dropped", ImageRetention.NONE)):
            await pipeline.catalog.create_collection(name, "tiny", retention)
            await pipeline.upsert(name, [picture_item("a", 1), vector_item(pipeline, "v", [1, 0, 0, 0])])
        assert (await pipeline.item("kept", "a")).has_image
        assert not (await pipeline.item("kept", "v")).has_image
        assert not (await pipeline.item("dropped", "a")).has_image
        vector = Vector(values=np.ones(4, np.float32), bundle_digest=digest_of(pipeline))
        queries = [ItemRef(item_id="a"), ItemRef(item_id="nothing"), vector, None, Image(data=b"text")]
        refusals = await pipeline.explain("dropped", queries)
        assert [type(refusal) for refusal in refusals] == [
            PreconditionError,
            NotFoundError,
            InvalidError,
            InvalidError,
            InvalidError,
        ]
        assert "the image of 'a' is not kept" in str(refusals[0])
        assert "is a vector; allowed are image and item_id" in str(refusals[2])
        with pytest.raises(PreconditionError, match=r"has no explain\.pt2"):
            await pipeline.explain("kept", [ItemRef(item_id="a")])


# Opening


async def test_bundles_are_kept_in_the_data_directory(
    opened: Opened, tiny_bundle: Path, other_bundle: Path, picture_item: Callable[..., NewItem]
) -> None:
    async with opened(bundles={"tiny": tiny_bundle, "other": other_bundle}) as pipeline:
        await made(pipeline)
        await pipeline.upsert("cells", [picture_item("a", 1)])
        digests = {name: bundle.digest for name, bundle in pipeline.catalog.bundles().items()}
        assert len(set(digests.values())) == 2
    async with opened(bundles={}) as pipeline:
        assert {name: bundle.digest for name, bundle in pipeline.catalog.bundles().items()} == digests
        await pipeline.upsert("cells", [picture_item("b", 2)])
    async with opened(bundles={"tiny": other_bundle}) as pipeline:  # the name goes on to another model
        assert digest_of(pipeline) == digests["other"]
        assert pipeline.catalog.collection("cells")[0].bundle_digest == digests["tiny"]
        await pipeline.upsert("cells", [picture_item("c", 1)])
        now = pipeline.catalog.live("cells").index.now()
        np.testing.assert_array_equal(now.vectors[0], now.vectors[2])


async def test_a_bad_bundle_is_refused_and_the_directory_given_up(opened: Opened, tmp_path: Path) -> None:
    for bundles, refusal in (({"tiny": tmp_path / "none"}, BundleError), ({"bad name": tmp_path}, InvalidError)):
        with pytest.raises(refusal):
            async with opened(bundles=bundles):
                pass
    async with opened() as pipeline:
        assert list(pipeline.catalog.bundles()) == ["tiny"]


async def test_a_data_directory_in_use_is_refused(opened: Opened) -> None:
    async with opened() as pipeline:
        with pytest.raises(PreconditionError, match="is served by process"):
            async with opened():
                pass
        await made(pipeline)
