"""The queue of writes: groups, their order, and what an end does to them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.errors import InvalidError, NotFoundError, PreconditionError
from farnear_service.maps import MapSettings
from farnear_service.metrics import Metrics
from farnear_service.pipeline import LiveCollection
from farnear_service.store import Row, Store
from farnear_service.types import Attributes, AttributeType, Collection, ImageRetention


class HeldStore(Store):
    """Lets a test hold a write, and counts the calls."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.groups: list[int] = []

    def write(self, collection: Collection, operations: Sequence[Any], schema: Any = None) -> Any:
        self.groups.append(len(operations))
        self.begun.set()
        self.may_go_on.wait(30)
        return super().write(collection, operations, schema=schema)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = HeldStore(tmp_path / "data")
    yield made
    made.may_go_on.set()
    made.close()


def brought_to_life(store: Store, record: Collection, tmp_path: Path) -> LiveCollection:
    return LiveCollection(
        record,
        store,
        map_path=tmp_path / "map.npz",
        settings=MapSettings(min_samples=1000),
        metrics=Metrics(),
    )


@pytest.fixture
async def live(store: HeldStore, tmp_path: Path) -> AsyncIterator[LiveCollection]:
    record = store.create_collection(
        "cells", bundle_name="tiny", bundle_digest="0" * 64, dim=4, retention=ImageRetention.ORIGINAL
    )
    made = brought_to_life(store, record, tmp_path)
    yield made
    store.may_go_on.set()
    await made.settle()
    made.close()


def row(item_id: str, place: int = 0, attributes: Attributes | None = None, image: bytes | None = None) -> Row:
    return Row(
        item_id=item_id,
        label="",
        vector=np.eye(4, dtype=np.float32)[place % 4],
        image=image,
        attributes=attributes or {},
    )


def held(live: LiveCollection) -> dict[str, list[float]]:
    now = live.index.now()
    rows = np.flatnonzero(now.live)
    return dict(zip(now.columns.item_ids(rows), now.vectors[rows].tolist(), strict=True))


async def test_writes_that_wait_together_are_one_transaction(live: LiveCollection, store: HeldStore) -> None:
    store.may_go_on.clear()
    first = asyncio.create_task(live.write([row("a")]))
    await asyncio.to_thread(store.begun.wait, 30)
    others = [asyncio.create_task(live.write([row(f"b{i}", i), row("last", i)])) for i in range(3)]
    others.append(asyncio.create_task(live.delete(["a", "b0", "nowhere"])))  # type: ignore[arg-type] # counts
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.may_go_on.set()
    assert await first == [None]
    assert await asyncio.gather(*others) == [[None, None]] * 3 + [2]
    assert store.groups == [1, 4]
    assert held(live) == {"b1": [0, 1, 0, 0], "b2": [0, 0, 1, 0], "last": [0, 0, 1, 0]}
    assert [part.item_ids for part in store.contents(live.record)] == [("b1", "b2", "last")]


async def test_a_replacement_is_never_half_seen(live: LiveCollection) -> None:
    """A reader finds the old item or the new one, and never none or both."""
    await live.write([row("a", 0)])
    stop = asyncio.Event()

    def look() -> None:
        while not stop.is_set():
            assert len(held(live)) == len(live.index.now()) == 1

    looking = asyncio.create_task(asyncio.to_thread(look))
    for place in range(100):
        await live.write([row("a", place)])
    stop.set()
    await looking


async def test_the_types_of_attributes_are_settled_by_the_first_value(live: LiveCollection, store: HeldStore) -> None:
    store.may_go_on.clear()
    first = asyncio.create_task(live.write([row("a")]))
    await asyncio.to_thread(store.begun.wait, 30)
    # Neither knew of the other when it was checked on its arrival.
    one = asyncio.create_task(live.write([row("b", attributes={"size": 1.0}), row("c", attributes={"size": "big"})]))
    other = asyncio.create_task(live.write([row("d", attributes={"size": True}), row("e", attributes={"size": 2.0})]))
    store.may_go_on.set()
    await first
    for outcomes, refused in ((await one, 1), (await other, 0)):
        assert isinstance(outcomes[refused], InvalidError)
        assert "size" in str(outcomes[refused])
        assert outcomes[1 - refused] is None
    assert sorted(held(live)) == ["a", "b", "e"]
    assert live.record.schema == {"size": AttributeType.NUMBER}
    assert store.collections()[0].schema == {"size": AttributeType.NUMBER}


async def test_an_end_waits_for_the_write_under_way_and_refuses_later_ones(
    live: LiveCollection, store: HeldStore
) -> None:
    store.may_go_on.clear()
    writing = asyncio.create_task(live.write([row("a")]))
    await asyncio.to_thread(store.begun.wait, 30)
    ending = asyncio.create_task(live.end(lambda: sorted(held(live)), NotFoundError("collection: gone")))
    late = asyncio.create_task(live.write([row("b")]))
    store.may_go_on.set()
    assert await writing == [None]
    assert await ending in (["a"], ["a", "b"])  # the late one may come before or behind the end
    with pytest.raises(NotFoundError, match="collection: gone"):
        await live.delete(["a"])
    await asyncio.gather(late, return_exceptions=True)


async def test_an_end_that_fails_is_none(live: LiveCollection) -> None:
    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await live.end(fail, NotFoundError("gone"))
    assert await live.write([row("a")]) == [None]


async def test_while_it_moves_every_item_needs_an_original(
    live: LiveCollection, store: HeldStore, tmp_path: Path
) -> None:
    await live.begin_move(
        lambda: store.begin_activation(live.record, bundle_name="next", bundle_digest="1" * 64, dim=3)
    )
    refused, stored = await live.write([row("a"), row("b", image=b"picture")])
    assert isinstance(refused, PreconditionError)
    assert stored is None
    again = brought_to_life(store, live.record, tmp_path)
    assert again.moving
    again.close()
