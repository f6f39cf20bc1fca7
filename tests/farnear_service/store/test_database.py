import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.errors import OverloadedError, PreconditionError
from farnear_service.store import Deletion, Store
from farnear_service.store.reserve import RESERVE_BYTES, Reserve
from farnear_service.types import Collection, Interaction, Opinion

from tests.farnear_service.store.conftest import everything, new_collection, row, snapshot


def test_reopened_it_is_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    cells = new_collection(store, "cells")
    store.write(cells, [[row("a", label="crack", angle=1, image=b"1", attributes={"depth": 1.5}), row("b")]])
    store.write(cells, [[row("a", angle=2, image=b"2", source_uri="file:///a"), row("c")], Deletion(["b"])])
    store.record_interactions(cells, "ada", [Interaction(item_id="a", opinion=Opinion.LIKED, time=1.0)])
    store.set_bundle("tiny", "0" * 64)
    before, history = snapshot(store, cells), store.interactions(cells, "ada", limit=10)
    store.close()
    reopened = Store(tmp_path / "data")
    assert reopened.collections() == [cells]
    assert reopened.bundles() == {"tiny": "0" * 64}
    assert snapshot(reopened, cells) == before
    assert reopened.interactions(cells, "ada", limit=10) == history
    assert reopened.image(cells, "a") == b"2"
    reopened.close()


def test_a_second_opener_is_refused_with_the_pid_of_the_first(store: Store, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match=rf"data directory: .*data is served by process {os.getpid()} already"):
        Store(tmp_path / "data")
    assert store.collections() == []


def test_the_pid_of_the_server_before_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "farnear.lock").write_text("123456789012\n")
    with contextlib.closing(Store(tmp_path / "data")):
        assert (tmp_path / "data" / "farnear.lock").read_text() == f"{os.getpid()}\n"


def test_a_closed_store_gives_up_its_directory(tmp_path: Path) -> None:
    Store(tmp_path / "data").close()
    Store(tmp_path / "data").close()


def test_a_data_directory_that_is_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(PreconditionError, match="data directory"):
        Store(tmp_path / "data")


def test_a_file_that_is_no_store_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "farnear.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(PreconditionError, match="data directory"):
        Store(tmp_path / "data")


def test_folders_that_are_made_are_synced_into_those_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def listen(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", listen)
    Store(tmp_path / "new" / "data").close()
    assert sorted(synced) == [tmp_path, tmp_path / "new"]
    synced.clear()
    Store(tmp_path / "new" / "data").close()
    assert synced == []


# A full disk


def refuses_writes_and_serves_reads(store: Store) -> None:
    """A store on a disk with room for some rows, but not for megabytes."""
    cells = new_collection(store, "cells")
    store.write(cells, [[row("a", label="old", image=b"old")]])
    store.record_interactions(cells, "ada", [Interaction(item_id="a", opinion=Opinion.LIKED, time=1.0)])
    before = snapshot(store, cells)
    for _ in range(2):
        with pytest.raises(OverloadedError, match="the disk is full, nothing of this write was kept"):
            store.write(cells, [[row("a", label="new")], [row("b"), row("c", image=bytes(4_000_000))]])
        assert snapshot(store, cells) == before
        assert store.image(cells, "a") == b"old"
        assert len(store.interactions(cells, "ada", limit=10)) == 1
    store.write(cells, [[row("b")]])
    assert everything(store, cells).item_ids == ["a", "b"]


def test_a_full_disk_refuses_writes_and_serves_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def connect_to_a_small_disk(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute("PRAGMA max_page_count = 200")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_to_a_small_disk)
    store = Store(tmp_path / "data")
    refuses_writes_and_serves_reads(store)
    before = snapshot(store, store.collections()[0])
    store.close()
    monkeypatch.undo()
    reopened = Store(tmp_path / "data")
    assert snapshot(reopened, reopened.collections()[0]) == before
    reopened.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a file system of so many bytes, as in 2m."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount")
    folder = tmp_path / "small"
    folder.mkdir()

    def make(size: str) -> Path:
        command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        made = subprocess.run(command, capture_output=True, check=False)
        if made.returncode:
            pytest.skip(f"a file system cannot be mounted here: {made.stderr.decode().strip()}")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run([umount, folder], check=True)


def test_a_disk_that_is_really_full_refuses_writes_and_serves_reads(small_disk: Callable[[str], Path]) -> None:
    with contextlib.closing(Store(small_disk("2m") / "data")) as store:
        refuses_writes_and_serves_reads(store)


def test_on_a_disk_that_is_really_full_things_are_deleted(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("32m")
    with contextlib.closing(Store(disk / "data")) as store:
        cells, others = new_collection(store, "cells"), new_collection(store, "others")
        store.set_bundle("tiny", "0" * 64)
        store.write(cells, [[row("liked")]])
        store.record_interactions(cells, "ada", [Interaction(item_id="liked", opinion=Opinion.LIKED, time=1.0)])
        written = write_until_full(store, cells)
        fill(disk, "ballast")
        store.set_bundle("tiny", "0" * 64)  # nothing new, so nothing is written
        assert store.delete_interactions(cells, "ada") == 1
        assert store.delete_collection(others) == 0
        for number in range(0, written, 2):
            (done,) = store.write(cells, [Deletion([str(number)])])
            assert done.deleted == 1
        assert (disk / "data" / "farnear.reserve").stat().st_blocks * 512 == RESERVE_BYTES
        before = snapshot(store, cells)
    fill(disk, "more ballast")
    with contextlib.closing(Store(disk / "data")) as store:
        assert snapshot(store, cells) == before
        (done,) = store.write(cells, [Deletion(["1", "3"])])
        assert done.deleted == 2
        (disk / "more ballast").unlink()
        (disk / "ballast").unlink()
        store.write(cells, [[row("more", image=bytes(100_000))]])


def fill(disk: Path, name: str) -> None:
    """Takes all room that a disk has left."""
    (disk / name).write_bytes(bytes(shutil.disk_usage(disk).free))


def test_a_store_on_a_full_disk_without_a_reserve_is_told(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("2m")
    Store(disk / "data").close()
    fill(disk, "ballast")
    with pytest.raises(PreconditionError, match=r"farnear\.db cannot be opened \(the disk is full\)"):
        Store(disk / "data")


def write_until_full(store: Store, collection: Collection) -> int:
    """Writes items 0, 1, 2, ... and returns the number of the first that was refused."""
    number = 0
    while True:
        try:
            store.write(collection, [[row(str(number), image=number.to_bytes(20_000))]])
        except OverloadedError:
            return number
        number += 1


class FullStore(Store):
    """A store on a disk that is full as long as the reserve is held."""

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        reserve = self._path.with_name("farnear.reserve")
        if reserve.exists() and reserve.stat().st_size:
            raise OverloadedError("store: the disk is full")
        with super()._transaction() as connection:
            yield connection


def test_the_reserve_is_taken_by_one_writer_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held, hold = [], Reserve.hold

    def look_and_hold(reserve: Reserve) -> None:
        with ThreadPoolExecutor(1) as another:
            held.append(not another.submit(store._writing.acquire, blocking=False).result())
        hold(reserve)

    monkeypatch.setattr(Reserve, "hold", look_and_hold)
    store.write(new_collection(store, "cells"), [[row("a")]])
    assert held == [True]


def test_what_deletes_uses_the_reserve_and_nothing_else_does(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path / "data")) as store:
        cells = new_collection(store, "cells")
        store.write(cells, [[row("a"), row("b")]])
        store.record_interactions(cells, "ada", [Interaction(item_id="a", opinion=Opinion.LIKED, time=1.0)])
    with contextlib.closing(FullStore(tmp_path / "data")) as full:
        for operations in ([[row("c")]], [[row("c")], Deletion(["a"])]):
            with pytest.raises(OverloadedError):
                full.write(cells, operations)
        with pytest.raises(OverloadedError):
            full.record_interactions(cells, "ada", [Interaction(item_id="b", opinion=Opinion.LIKED, time=1.0)])
        assert full.write(cells, [Deletion(["b"]), Deletion(["b", "x"])])[0].deleted == 1
        assert full.delete_interactions(cells, "ada") == 1
        assert full.delete_collection(cells) == 1
        assert (tmp_path / "data" / "farnear.reserve").stat().st_size == RESERVE_BYTES


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
    store.write(cells, [rows[:1], rows[1:]])
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
    contents = everything(store, cells)
    batches = sorted({int(label) for label in contents.labels})
    assert batches[-1] >= acknowledged
    assert batches == list(range(batches[-1] + 1))
    assert contents.item_ids == [f"{number}/{i}" for number in batches for i in range(3)]
    np.testing.assert_array_equal(contents.vectors, np.repeat(batches, 3)[:, None].repeat(2, axis=1))
    assert store.image(cells, f"{acknowledged}/2") == b"%d" % acknowledged
    store.close()
