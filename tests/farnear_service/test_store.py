import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.errors import AlreadyExistsError, NotFoundError, OverloadedError, PreconditionError
from farnear_service.store import MIGRATIONS, Row, Store
from farnear_service.types import Collection, ImageRetention


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def cells(store: Store) -> Collection:
    return new_collection(store, "cells")


def new_collection(store: Store, name: str) -> Collection:
    return store.create_collection(
        name, bundle_name="tiny", bundle_digest="0" * 64, dim=2, retention=ImageRetention.ORIGINAL
    )


def row(item_id: str, *, label: str = "", angle: float = 0.0, image: bytes | None = None) -> Row:
    vector = np.array([np.cos(angle), np.sin(angle)], np.float32)
    return Row(item_id=item_id, label=label, vector=vector, image=image)


def image_count(store: Store, folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "data" / "farnear.db")) as other:
        return int(other.execute("SELECT count(*) FROM images").fetchone()[0])


def snapshot(store: Store, collection: Collection) -> Any:
    contents = store.all(collection)
    return (
        contents.keys.tolist(),
        contents.item_ids,
        contents.labels,
        contents.vectors.tolist(),
        store.items(collection, after=None, limit=10_000),
    )


# Items


def test_appended_rows_are_read_back(store: Store, cells: Collection) -> None:
    written = store.append(cells, [row("b", label="crack", angle=1), row("a", image=b"bytes")])
    assert len(written.keys) == 2
    assert written.removed == ()
    contents = store.all(cells)
    assert contents.keys.tolist() == list(written.keys)
    assert (contents.item_ids, contents.labels) == (["b", "a"], ["crack", ""])
    np.testing.assert_array_equal(contents.vectors, np.array([[np.cos(1), np.sin(1)], [1, 0]], np.float32))
    item = store.item(cells, "a")
    assert (item.item_id, item.label, item.has_image, item.cluster) == ("a", "", True, None)
    assert not store.item(cells, "b").has_image
    key, vector = store.vector(cells, "b")
    assert key == written.keys[0]
    np.testing.assert_array_equal(vector, contents.vectors[0])
    assert store.image(cells, "a") == b"bytes"


def test_a_replaced_item_gets_a_new_key_and_keeps_when_it_was_made(store: Store, cells: Collection) -> None:
    (old,) = store.append(cells, [row("a", label="crack", image=b"1")]).keys
    made = store.item(cells, "a").created
    written = store.append(cells, [row("a", label="rust", angle=2)])
    (new,) = written.keys
    assert old is not None
    assert new is not None
    assert new > old
    assert written.removed == (old,)
    item = store.item(cells, "a")
    assert (item.label, item.created, item.has_image) == ("rust", made, False)
    assert store.all(cells).item_ids == ["a"]


def test_of_two_rows_with_one_id_the_later_stands(store: Store, cells: Collection, tmp_path: Path) -> None:
    (old,) = store.append(cells, [row("a", label="0")]).keys
    written = store.append(
        cells, [row("a", label="1", image=b"1"), row("b"), row("a", label="2", image=b"2"), row("a", label="3")]
    )
    assert written.removed == (old,)
    assert written.keys[0] is None
    assert written.keys[2] is None
    assert [store.vector(cells, "b")[0], store.vector(cells, "a")[0]] == [written.keys[1], written.keys[3]]
    assert store.item(cells, "a").label == "3"
    assert store.all(cells).keys.tolist() == [written.keys[1], written.keys[3]]
    assert image_count(store, tmp_path) == 0


def test_the_same_id_in_two_collections_is_two_items(store: Store, cells: Collection) -> None:
    other = new_collection(store, "other")
    store.append(cells, [row("a", label="here")])
    assert store.append(other, [row("a", label="there")]).removed == ()
    assert store.delete(cells, ["a"]) != ()
    assert store.item(other, "a").label == "there"
    with pytest.raises(NotFoundError, match="item_id: collection 'cells' has no item 'a'"):
        store.item(cells, "a")


def test_deleting_tells_which_keys_went(store: Store, cells: Collection) -> None:
    keys = store.append(cells, [row("a"), row("b"), row("c")]).keys
    assert store.delete(cells, ["c", "nothing", "a", "a"]) == (keys[2], keys[0])
    assert store.delete(cells, ["a"]) == ()
    assert store.all(cells).item_ids == ["b"]


def test_keys_are_never_used_again(store: Store, cells: Collection) -> None:
    (first,) = store.append(cells, [row("a")]).keys
    store.delete(cells, ["a"])
    (second,) = store.append(cells, [row("a")]).keys
    assert first is not None
    assert second is not None
    assert second > first


def test_ids_are_values_and_never_statements(store: Store, cells: Collection) -> None:
    ids = ["'; DROP TABLE items; --", "%", "_", "a\\b", '"']
    store.append(cells, [row(item_id) for item_id in ids])
    assert [store.item(cells, item_id).item_id for item_id in ids] == ids
    assert store.delete(cells, ["%"])
    assert len(store.all(cells).item_ids) == 4


def test_pages_are_in_order_of_the_bytes_of_the_id(store: Store, cells: Collection) -> None:
    ids = ["b", "ä", "Z", "a", "a/1", "a0", "\U0001f600", "\uff5e", "10", "9", "é", "e\u0301"]
    store.append(cells, [row(item_id) for item_id in ids])
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
    store.append(cells, [row("a"), row("b"), row("c")])
    store.delete(cells, ["b"])
    assert [item.item_id for item in store.items(cells, after="b", limit=5)] == ["c"]
    assert [item.item_id for item in store.items(cells, after="", limit=1)] == ["a"]


def test_an_item_without_its_image_is_told_apart_from_no_item(store: Store, cells: Collection) -> None:
    store.append(cells, [row("a")])
    with pytest.raises(PreconditionError, match="item_id: the image of 'a' is not kept"):
        store.image(cells, "a")
    with pytest.raises(NotFoundError, match="has no item 'b'"):
        store.image(cells, "b")
    with pytest.raises(NotFoundError, match="has no item 'b'"):
        store.vector(cells, "b")


# Images


def test_equal_images_are_kept_once_and_go_with_the_last_item(store: Store, tmp_path: Path) -> None:
    cells, other = new_collection(store, "cells"), new_collection(store, "other")
    store.append(cells, [row("a", image=b"same"), row("b", image=b"same"), row("c", image=b"own")])
    store.append(other, [row("a", image=b"same")])
    assert image_count(store, tmp_path) == 2
    store.delete(cells, ["a", "c"])
    assert image_count(store, tmp_path) == 1
    store.append(cells, [row("b", image=b"new")])
    assert image_count(store, tmp_path) == 2
    assert store.image(other, "a") == b"same"
    store.append(other, [row("a")])
    assert image_count(store, tmp_path) == 1
    assert store.image(cells, "b") == b"new"
    assert store.delete_collection(cells) == 1
    assert image_count(store, tmp_path) == 0


def test_a_replaced_item_with_the_same_image_keeps_it(store: Store, cells: Collection) -> None:
    store.append(cells, [row("a", image=b"same")])
    store.append(cells, [row("a", label="new", image=b"same")])
    assert store.image(cells, "a") == b"same"


# Collections and bundles


def test_collections_come_by_name(store: Store) -> None:
    for name in ("b", "a", "C"):
        new_collection(store, name)
    assert [record.name for record in store.collections()] == ["C", "a", "b"]


def test_a_collection_is_read_back_as_it_was_made(store: Store) -> None:
    made = store.create_collection(
        "cells", bundle_name="tiny", bundle_digest="ab" * 32, dim=7, retention=ImageRetention.NONE
    )
    assert (made.name, made.bundle_name, made.bundle_digest, made.dim) == ("cells", "tiny", "ab" * 32, 7)
    assert made.retention is ImageRetention.NONE
    assert store.collections() == [made]


def test_a_taken_name_is_refused_and_the_store_goes_on(store: Store, cells: Collection) -> None:
    with pytest.raises(AlreadyExistsError, match="collection: 'cells' is there already"):
        new_collection(store, "cells")
    assert store.collections() == [cells]
    new_collection(store, "other")


def test_a_deleted_collection_takes_its_items_along(store: Store, cells: Collection) -> None:
    other = new_collection(store, "other")
    store.append(cells, [row("a"), row("b")])
    store.append(other, [row("a")])
    assert store.delete_collection(cells) == 2
    again = new_collection(store, "cells")
    assert again.key > cells.key
    assert store.all(again).item_ids == []
    assert store.all(again).vectors.shape == (0, 2)
    assert store.all(other).item_ids == ["a"]


def test_writing_to_a_collection_that_is_gone_keeps_nothing(store: Store, cells: Collection, tmp_path: Path) -> None:
    store.delete_collection(cells)
    with pytest.raises(sqlite3.IntegrityError):
        store.append(cells, [row("a", image=b"1")])
    assert image_count(store, tmp_path) == 0


def test_a_bundle_name_stands_for_the_last_digest_given(store: Store) -> None:
    store.set_bundle("tiny", "0" * 64)
    store.set_bundle("big", "2" * 64)
    store.set_bundle("tiny", "1" * 64)
    assert store.bundles() == {"tiny": "1" * 64, "big": "2" * 64}


# Whole or not at all


def test_a_write_that_fails_in_the_middle_leaves_nothing(store: Store, cells: Collection, tmp_path: Path) -> None:
    store.append(cells, [row("a", label="old", image=b"old")])
    before = snapshot(store, cells)
    bad = replace(row("c", image=b"c"), label=object())  # type: ignore[arg-type] # no column takes it
    with pytest.raises(sqlite3.Error):
        store.append(cells, [row("a", label="new", image=b"new"), row("b", image=b"b"), bad])
    assert snapshot(store, cells) == before
    assert store.image(cells, "a") == b"old"
    assert image_count(store, tmp_path) == 1
    store.append(cells, [row("b")])
    assert store.all(cells).item_ids == ["a", "b"]


def test_a_full_disk_is_told_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def connect_to_a_small_disk(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.execute("PRAGMA max_page_count = 60")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_to_a_small_disk)
    store = Store(tmp_path / "data")
    monkeypatch.undo()
    cells = new_collection(store, "cells")
    store.append(cells, [row("a", label="old", image=b"old")])
    before = snapshot(store, cells)
    with pytest.raises(OverloadedError, match="the disk is full, nothing of this write was kept"):
        store.append(cells, [row("a", label="new"), row("b"), row("c", image=bytes(1_000_000))])
    assert snapshot(store, cells) == before
    store.append(cells, [row("b")])
    store.close()
    reopened = Store(tmp_path / "data")
    assert reopened.all(cells).item_ids == ["a", "b"]
    reopened.close()


def test_writers_of_many_threads_take_turns(store: Store, cells: Collection) -> None:
    faults: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for step in range(20):
                store.append(cells, [row(f"{number}/{step}"), row("shared", label=str(number))])
                store.item(cells, f"{number}/{step}")
                if step % 4 == 3:
                    store.delete(cells, [f"{number}/{step}"])
        except BaseException as error:  # noqa: BLE001 - told below, in the main thread
            faults.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    contents = store.all(cells)
    assert sorted(contents.item_ids) == sorted(
        ["shared", *(f"{number}/{step}" for number in range(6) for step in range(20) if step % 4 != 3)]
    )
    assert (np.diff(contents.keys) > 0).all()


# The data directory


def test_reopened_it_is_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    cells = new_collection(store, "cells")
    store.append(cells, [row("a", label="crack", angle=1, image=b"1"), row("b")])
    store.append(cells, [row("a", angle=2, image=b"2"), row("c")])
    store.delete(cells, ["b"])
    store.set_bundle("tiny", "0" * 64)
    before = snapshot(store, cells)
    store.close()
    reopened = Store(tmp_path / "data")
    assert reopened.collections() == [cells]
    assert reopened.bundles() == {"tiny": "0" * 64}
    assert snapshot(reopened, cells) == before
    assert reopened.image(cells, "a") == b"2"
    reopened.close()


def test_a_second_opener_is_refused_with_the_pid_of_the_first(store: Store, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match=rf"data directory: .*data is served by process {os.getpid()} already"):
        Store(tmp_path / "data")
    assert store.collections() == []


def test_a_closed_store_gives_up_its_directory(tmp_path: Path) -> None:
    Store(tmp_path / "data").close()
    Store(tmp_path / "data").close()


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Store(tmp_path / "data").close()
    newer = len(MIGRATIONS) + 1
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "farnear.db")) as other:
        other.execute(f"PRAGMA user_version = {newer}")
    for _ in range(2):  # the first refusal gives the directory up
        with pytest.raises(PreconditionError, match=rf"has version {newer}; this service reads up to {newer - 1}"):
            Store(tmp_path / "data")
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "farnear.db")) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (newer,)


def test_a_data_directory_that_is_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(PreconditionError, match="data directory"):
        Store(tmp_path / "data")


def test_a_file_that_is_no_store_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "farnear.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(PreconditionError, match="data directory"):
        Store(tmp_path / "data")


_WRITER = """
import sys
from pathlib import Path

import numpy as np
from farnear_service.store import Row, Store
from farnear_service.types import ImageRetention

store = Store(Path(sys.argv[1]))
cells = store.create_collection(
    "cells", bundle_name="tiny", bundle_digest="0" * 64, dim=2, retention=ImageRetention.ORIGINAL
)
for number in range(1_000_000):
    vector = np.full(2, number, np.float32)
    rows = [Row(item_id=f"{number}/{i}", label=str(number), vector=vector, image=b"%d" % number) for i in range(3)]
    store.append(cells, rows)
    print(number, flush=True)
"""


def test_acknowledged_rows_survive_a_killed_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 200:
                break
        writer.kill()
        rest = writer.stdout.read()
        acknowledged = max(int(number) for number in [line, *rest[: rest.rfind("\n") + 1].split()])
    store = Store(tmp_path / "data")
    (cells,) = store.collections()
    contents = store.all(cells)
    batches = sorted({int(label) for label in contents.labels})
    assert batches[-1] >= acknowledged
    assert batches == list(range(batches[-1] + 1))
    assert contents.item_ids == [f"{number}/{i}" for number in batches for i in range(3)]
    np.testing.assert_array_equal(contents.vectors, np.repeat(batches, 3)[:, None].repeat(2, axis=1))
    assert store.image(cells, f"{acknowledged}/2") == b"%d" % acknowledged
    store.close()
