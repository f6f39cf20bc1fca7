from collections.abc import Callable

import numpy as np
import pytest
from farnear_service.errors import NotFoundError, PreconditionError
from farnear_service.store import Deletion, Store, items
from farnear_service.types import Collection

from tests.farnear_service.store.conftest import everything, keys_of, new_collection, row


@pytest.mark.parametrize("ask", [Store.item, Store.vector, Store.image])
def test_an_item_that_is_not_there_is_not_found(
    store: Store, cells: Collection, ask: Callable[[Store, Collection, str], object]
) -> None:
    store.write(new_collection(store, "other"), [[row("a", image=b"1")]])
    with pytest.raises(NotFoundError, match="item_id: collection 'cells' has no item 'a'"):
        ask(store, cells, "a")


def test_an_item_without_its_image_is_told_apart_from_no_item(store: Store, cells: Collection) -> None:
    store.write(cells, [[row("a")]])
    with pytest.raises(PreconditionError, match="item_id: the image of 'a' is not kept"):
        store.image(cells, "a")


def test_pages_are_in_order_of_the_bytes_of_the_id(store: Store, cells: Collection) -> None:
    ids = ["b", "ä", "Z", "a", "a/1", "a0", "\U0001f600", "\uff5e", "10", "9", "é", "e\u0301"]
    store.write(cells, [[row(item_id) for item_id in ids]])
    expected = sorted(ids, key=str.encode)
    for limit in (1, 2, 5, 100):
        found: list[str] = []
        after = None
        while page := store.items(cells, after=after, limit=limit):
            assert len(page) <= limit
            found += [item.item_id for item in page]
            after = found[-1]
        assert found == expected


def test_a_page_may_begin_behind_an_id_that_is_gone(store: Store, cells: Collection) -> None:
    store.write(cells, [[row("a"), row("b"), row("c")]])
    store.write(cells, [Deletion(["b"])])
    assert [item.item_id for item in store.items(cells, after="b", limit=5)] == ["c"]
    assert [item.item_id for item in store.items(cells, after="", limit=1)] == ["a"]


def test_items_by_id_are_those_that_are_there_in_order_of_id(store: Store, cells: Collection) -> None:
    store.write(cells, [[row("b", label="1", attributes={"depth": 2.0}), row("a"), row("\U0001f600"), row("\uff5e")]])
    found = store.items_by_id(cells, ["\U0001f600", "nothing", "\uff5e", "b", "a", "b"])
    assert [item.item_id for item in found] == ["a", "b", "\uff5e", "\U0001f600"]
    assert found[1] == store.item(cells, "b")
    assert store.items_by_id(cells, []) == []


def test_contents_come_in_chunks_in_order_of_key(
    store: Store, cells: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "CHUNK_ROWS", 3)
    other = new_collection(store, "other")
    keys: list[int] = []
    for number in range(7):
        keys += keys_of(store, cells, [row(f"{9 - number}", label=str(number), angle=number)])
        store.write(other, [[row(str(number))]])
    chunks = list(store.contents(cells))
    assert [len(chunk.keys) for chunk in chunks] == [3, 3, 1]
    assert [chunk.vectors.shape for chunk in chunks] == [(3, 2), (3, 2), (1, 2)]
    assert {chunk.vectors.dtype for chunk in chunks} == {np.dtype(np.float32)}
    whole = everything(store, cells)
    assert whole.keys.tolist() == keys
    assert whole.item_ids == [str(9 - number) for number in range(7)]
    assert whole.labels == [str(number) for number in range(7)]
    np.testing.assert_array_equal(whole.vectors, [row("", angle=number).vector for number in range(7)])


def test_contents_of_an_empty_collection_are_no_chunk(store: Store, cells: Collection) -> None:
    store.write(new_collection(store, "other"), [[row("a")]])
    assert list(store.contents(cells)) == []


def test_contents_go_on_while_others_write(store: Store, cells: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "CHUNK_ROWS", 2)
    keys = keys_of(store, cells, [row(item_id) for item_id in "abcde"])
    reading = store.contents(cells)
    assert next(reading).keys.tolist() == keys[:2]
    store.write(
        cells, [Deletion(["c"]), [row("a"), row("f")]]
    )  # "a" is behind the reader, and comes again with a new key
    assert [item_id for chunk in reading for item_id in chunk.item_ids] == ["d", "e", "a", "f"]


def test_a_collection_is_read_without_walking_through_the_others(store: Store) -> None:
    (plan,) = store._connection().execute(
        "EXPLAIN QUERY PLAN SELECT key, item_id, label, created, attributes, vector FROM items"
        " WHERE collection = ? AND key > ? ORDER BY key LIMIT ?",
        (1, 2, 3),
    )
    assert "items_by_collection (collection=? AND rowid>?)" in plan[3]


def test_items_are_counted_by_collection(store: Store, cells: Collection) -> None:
    store.write(new_collection(store, "other"), [[row("a")]])
    assert store.item_count(cells) == 0
    store.write(cells, [[row("a"), row("b")]])
    store.write(cells, [[row("a")]])
    assert store.item_count(cells) == 2
