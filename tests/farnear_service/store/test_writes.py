import sqlite3
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from farnear_service.store import Deletion, Row, Store
from farnear_service.types import AttributeType, Collection, Interaction, Opinion
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.farnear_service.store.conftest import (
    everything,
    image_count,
    keys_of,
    new_collection,
    query,
    row,
    snapshot,
)


def test_written_rows_are_read_back(store: Store, cells: Collection) -> None:
    (written,) = store.write(
        cells, [[row("b", label="crack", angle=1, source_uri="file:///b"), row("a", image=b"bytes")]]
    )
    assert written.removed == ()
    contents = everything(store, cells)
    assert contents.keys.tolist() == list(written.keys)
    assert (contents.item_ids, contents.labels) == (["b", "a"], ["crack", ""])
    assert contents.created == list(written.created)
    np.testing.assert_array_equal(contents.vectors, np.array([[np.cos(1), np.sin(1)], [1, 0]], np.float32))
    item = store.item(cells, "a")
    assert (item.item_id, item.label, item.has_image, item.cluster, item.source_uri) == ("a", "", True, None, "")
    assert not store.item(cells, "b").has_image
    assert store.item(cells, "b").source_uri == "file:///b"
    key, vector = store.vector(cells, "b")
    assert key == written.keys[0]
    np.testing.assert_array_equal(vector, contents.vectors[0])
    assert store.image(cells, "a") == b"bytes"


def test_a_replaced_item_gets_a_new_key_and_keeps_when_it_was_made(store: Store, cells: Collection) -> None:
    (first,) = store.write(cells, [[row("a", label="crack", image=b"1")]])
    (second,) = store.write(cells, [[row("a", label="rust", angle=2)]])
    (old,), (new,) = first.keys, second.keys
    assert old is not None
    assert new is not None
    assert new > old
    assert second.removed == (old,)
    assert second.created == first.created
    item = store.item(cells, "a")
    assert (item.key, item.label, item.created, item.has_image) == (new, "rust", first.created[0], False)
    assert everything(store, cells).item_ids == ["a"]


def test_of_two_rows_with_one_id_the_later_stands(store: Store, cells: Collection, tmp_path: Path) -> None:
    (old,) = keys_of(store, cells, [row("a", label="0")])
    (written,) = store.write(
        cells, [[row("a", label="1", image=b"1"), row("b"), row("a", label="2", image=b"2"), row("a", label="3")]]
    )
    assert written.removed == (old,)
    assert written.keys[0] is None
    assert written.keys[2] is None
    assert [store.vector(cells, "b")[0], store.vector(cells, "a")[0]] == [written.keys[1], written.keys[3]]
    assert store.item(cells, "a").label == "3"
    assert everything(store, cells).keys.tolist() == [written.keys[1], written.keys[3]]
    assert image_count(tmp_path) == 0


def test_the_same_id_in_two_collections_is_two_items(store: Store, cells: Collection) -> None:
    other = new_collection(store, "other")
    store.write(cells, [[row("a", label="here")]])
    assert store.write(other, [[row("a", label="there")]])[0].removed == ()
    assert store.write(cells, [Deletion(["a"])])[0].deleted == 1
    assert store.item(other, "a").label == "there"


def test_deleting_tells_which_keys_went(store: Store, cells: Collection) -> None:
    keys = keys_of(store, cells, [row("a"), row("b"), row("c")])
    (written,) = store.write(cells, [Deletion(["c", "nothing", "a", "a"])])
    assert (written.removed, written.deleted, written.keys, written.created) == ((keys[2], keys[0]), 2, (), ())
    assert store.write(cells, [Deletion(["a"])])[0].removed == ()
    assert everything(store, cells).item_ids == ["b"]


def test_keys_are_never_used_again(store: Store, cells: Collection) -> None:
    (first,) = keys_of(store, cells, [row("a")])
    store.write(cells, [Deletion(["a"])])
    (second,) = keys_of(store, cells, [row("a")])
    store.delete_collection(cells)
    (third,) = keys_of(store, new_collection(store, "again"), [row("a")])
    assert first < second < third


def test_ids_are_values_and_never_statements(store: Store, cells: Collection) -> None:
    ids = ["'; DROP TABLE items; --", "%", "_", "a\\b", '"', "\\u0041", "\U0001f600"]
    store.write(cells, [[row(item_id) for item_id in ids]])
    assert [store.item(cells, item_id).item_id for item_id in ids] == ids
    assert store.write(cells, [[row(item_id) for item_id in ids]])[0].removed != ()
    assert store.write(cells, [Deletion(["%"])])[0].deleted == 1
    assert len(everything(store, cells).item_ids) == len(ids) - 1


def test_a_new_schema_is_stored_with_the_rows_that_need_it(store: Store, cells: Collection) -> None:
    schema = {"depth": AttributeType.NUMBER}
    store.write(cells, [[row("a", attributes={"depth": 1.5})]], schema=schema)
    assert store.collections() == [replace(cells, schema=schema)]
    store.write(cells, [[row("b")]])
    assert store.collections() == [replace(cells, schema=schema)]
    with pytest.raises(sqlite3.Error):
        store.write(cells, [[replace(row("c"), label=object())]], schema={})  # type: ignore[arg-type] # no column takes it
    assert store.collections() == [replace(cells, schema=schema)]


# Many operations in one transaction


def test_operations_of_a_group_see_those_before(store: Store, cells: Collection, tmp_path: Path) -> None:
    (old_a, old_b) = keys_of(store, cells, [row("a", image=b"a"), row("b", image=b"b")])
    (made, _) = everything(store, cells).created
    first, gone, second, third = store.write(
        cells,
        [
            [row("a", label="1", image=b"1"), row("c", label="1")],
            Deletion(["c", "b", "nothing", "c"]),
            [row("a", label="2"), row("c", label="2", image=b"2")],
            [row("d", label="3", image=b"2")],
        ],
    )
    assert (first.removed, gone.removed, second.removed, third.removed) == ((old_a,), (old_b,), (), ())
    assert first.keys == (None, None)
    assert (gone.deleted, gone.keys) == (2, ())
    assert everything(store, cells).keys.tolist() == [*second.keys, *third.keys]
    assert everything(store, cells).labels == ["2", "2", "3"]
    assert first.created[0] == second.created[0] == made
    assert second.created[1] == third.created[0] > made  # deleted in between, so it is another item
    assert image_count(tmp_path) == 1
    assert store.image(cells, "c") == store.image(cells, "d") == b"2"


def test_what_is_written_and_deleted_in_one_group_was_there(store: Store, cells: Collection, tmp_path: Path) -> None:
    written, deleted = store.write(cells, [[row("a", image=b"1")], Deletion(["a"])])
    assert (written.keys, deleted.removed, deleted.deleted) == ((None,), (), 1)
    assert everything(store, cells).item_ids == []
    assert image_count(tmp_path) == 0


def test_a_group_without_operations_is_nothing(store: Store, cells: Collection) -> None:
    assert store.write(cells, []) == []
    (written,) = store.write(cells, [[]])
    assert (written.keys, written.removed, written.deleted) == ((), (), 0)


@dataclass
class _Plain:
    """What a group should do: one operation after the other on a dict from id to label, image and whether it is new."""

    items: dict[str, tuple[str, bytes | None]]

    def do(self, operation: list[Row] | Deletion) -> int:
        if isinstance(operation, Deletion):
            return sum(self.items.pop(item_id, None) is not None for item_id in operation.item_ids)
        for one in operation:
            self.items.pop(one.item_id, None)  # what is written anew comes last
            self.items[one.item_id] = (one.label, one.image)
        return 0


_IDS = st.sampled_from("abcd")
_ROWS = st.builds(
    lambda item_id, label, image: row(item_id, label=label, image=image),
    _IDS,
    st.sampled_from("123"),
    st.sampled_from([None, b"1", b"2"]),
)
_OPERATIONS = st.one_of(st.lists(_ROWS, max_size=4), st.builds(Deletion, st.lists(_IDS, max_size=3)))


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(st.lists(_OPERATIONS, max_size=4), min_size=1, max_size=5))
def test_a_group_does_what_its_operations_do_one_by_one(
    groups: list[list[list[Row] | Deletion]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("group")
    store = Store(folder / "data")
    cells = new_collection(store, "cells")
    plain = _Plain({})
    standing: set[int] = set()
    for group in groups:
        written = store.write(cells, group)
        assert [one.deleted for one in written] == [plain.do(operation) for operation in group]
        removed = [key for one in written for key in one.removed]
        added = [key for one in written for key in one.keys if key is not None]
        assert len(removed) == len(set(removed))
        assert set(removed) <= standing
        standing = standing - set(removed) | set(added)
        contents = everything(store, cells)
        assert contents.item_ids == list(plain.items)
        assert set(contents.keys.tolist()) == standing
        for item_id, (label, image) in plain.items.items():
            item = store.item(cells, item_id)
            assert (item.label, item.has_image) == (label, image is not None)
            if image is not None:
                assert store.image(cells, item_id) == image
        assert image_count(folder) == len({image for _, image in plain.items.values()} - {None})
    store.close()


# Histories of users


def test_a_replaced_item_keeps_what_users_did_with_it_and_a_deleted_one_takes_it_along(
    store: Store, cells: Collection
) -> None:
    other = new_collection(store, "other")
    for collection in (cells, other):
        store.write(collection, [[row("a"), row("b"), row("c")]])
        liked = [Interaction(item_id=item_id, opinion=Opinion.LIKED, time=1.0) for item_id in "abc"]
        store.record_interactions(collection, "ada", liked)
    store.write(cells, [[row("a")], Deletion(["b", "c"]), [row("c")]])
    assert [one.item_id for one in store.interactions(cells, "ada", limit=10)] == ["a"]
    assert [one.item_id for one in store.interactions(other, "ada", limit=10)] == ["a", "b", "c"]


# Whole or not at all


def test_a_group_that_fails_in_the_middle_leaves_nothing(store: Store, cells: Collection, tmp_path: Path) -> None:
    store.write(cells, [[row("a", label="old", image=b"old")]])
    before = snapshot(store, cells)
    bad = replace(row("c", image=b"c"), label=object())  # type: ignore[arg-type] # no column takes it
    with pytest.raises(sqlite3.Error):
        store.write(
            cells, [[row("a", label="new", image=b"new")], Deletion(["a"]), [row("b", image=b"b")], [bad, row("d")]]
        )
    assert snapshot(store, cells) == before
    assert store.image(cells, "a") == b"old"
    assert image_count(tmp_path) == 1
    store.write(cells, [[row("b")]])
    assert everything(store, cells).item_ids == ["a", "b"]


def test_writing_to_a_collection_that_is_gone_keeps_nothing(store: Store, cells: Collection, tmp_path: Path) -> None:
    store.delete_collection(cells)
    with pytest.raises(sqlite3.IntegrityError):
        store.write(cells, [[row("a", image=b"1")]])
    assert image_count(tmp_path) == 0
    assert query(tmp_path, "SELECT count(*) FROM items") == [(0,)]


def test_writers_of_many_threads_take_turns(store: Store, cells: Collection) -> None:
    faults: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for step in range(20):
                store.write(cells, [[row(f"{number}/{step}")], [row("shared", label=str(number))]])
                store.item(cells, f"{number}/{step}")
                if step % 4 == 3:
                    store.write(cells, [Deletion([f"{number}/{step}"])])
        except BaseException as error:  # noqa: BLE001 - told below, in the main thread
            faults.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    contents = everything(store, cells)
    assert sorted(contents.item_ids) == sorted(
        ["shared", *(f"{number}/{step}" for number in range(6) for step in range(20) if step % 4 != 3)]
    )
    assert (np.diff(contents.keys) > 0).all()
