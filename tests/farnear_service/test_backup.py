import argparse
import errno
import hashlib
import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import farnear
import pytest
from farnear_service.__main__ import COMMANDS
from farnear_service.backup import restore_backup, take_backup
from farnear_service.bundle import adopt_bundle, load_bundle
from farnear_service.errors import PreconditionError
from farnear_service.store import Deletion, Store
from farnear_service.types import Collection, ImageRetention, Interaction, Opinion
from tqdm import tqdm

from tests.conftest import picture
from tests.e2e.conftest import Server
from tests.e2e.conftest import farnear as command
from tests.farnear_service.store.conftest import keys_of, row, snapshot
from tests.farnear_service.store.test_migrations import make, version_1


def fill(data_dir: Path, bundle: Path, *, items: int = 20) -> tuple[Store, Collection]:
    """An open store with a collection under `bundle`, which the data directory has too."""
    adopted = adopt_bundle(bundle, data_dir / "bundles")
    store = Store(data_dir)
    store.set_bundle("tiny", adopted.digest)
    cells = store.create_collection(
        "cells", bundle_name="tiny", bundle_digest=adopted.digest, dim=adopted.dim, retention=ImageRetention.ORIGINAL
    )
    store.write(cells, [[row(str(number), image=b"%d" % number) for number in range(items)]])
    store.record_interactions(cells, "ada", [Interaction(item_id="3", opinion=Opinion.LIKED, time=1.0)])
    return store, cells


@pytest.fixture
def two_wide(tmp_path: Path, make_bundle: Callable[..., Path], seal_bundle: Callable[[Path], str]) -> Path:
    """A bundle of dimension 2, as the rows here have."""
    path = make_bundle(tmp_path / "two")
    description = json.loads((path / "bundle.json").read_text())
    description["embedding"]["dim"] = 2
    (path / "bundle.json").write_text(json.dumps(description))
    seal_bundle(path)
    return path


@pytest.fixture
def backed_up(tmp_path: Path, two_wide: Path) -> Path:
    """A backup of a small store, whose data directory is gone."""
    store, _ = fill(tmp_path / "data", two_wide)
    store.close()
    take_backup(tmp_path / "data", tmp_path / "backup")
    shutil.rmtree(tmp_path / "data")
    return tmp_path / "backup"


def seal(backup: Path) -> None:
    """Brings the sums of a changed backup up to date."""
    manifest = json.loads((backup / "backup.json").read_text())
    manifest["files"] = {
        str(path.relative_to(backup)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in backup.rglob("*")
        if path.is_file() and path.name != "backup.json"
    }
    (backup / "backup.json").write_text(json.dumps(manifest))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_backed_up_is_restored(tmp_path: Path, two_wide: Path) -> None:
    store, cells = fill(tmp_path / "data", two_wide)
    (tmp_path / "data" / "maps").mkdir()
    before = snapshot(store, cells)
    taken = take_backup(tmp_path / "data", tmp_path / "backup")
    assert taken.collections == ((cells, 20),)
    assert names(tmp_path / "backup") == {"backup.json", "bundles", "farnear.db"}
    store.write(cells, [[row("later")]])
    store.close()

    restored = restore_backup(tmp_path / "backup", tmp_path / "restored")
    assert restored == taken
    assert names(tmp_path / "restored") == {"bundles", "farnear.db", "farnear.lock"}
    bundle = load_bundle(tmp_path / "restored" / "bundles" / cells.bundle_digest)
    assert bundle.model.read_bytes() == (two_wide / "model.onnx").read_bytes()
    with closing(Store(tmp_path / "restored")) as again:
        assert again.collections() == [cells]
        assert again.bundles() == {"tiny": cells.bundle_digest}
        assert snapshot(again, cells) == before
        assert again.image(cells, "7") == b"7"
        assert len(again.interactions(cells, "ada", limit=10)) == 1
        assert keys_of(again, cells, [row("new")])[0] > before[0][-1]


def test_a_backup_is_the_moment_when_it_began_whatever_is_written_meanwhile(
    tmp_path: Path, two_wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cells = fill(tmp_path / "data", two_wide, items=1_000)
    before = snapshot(store, cells)
    steps = 0

    def write_after_every_page(_bar: tqdm, _pages: int) -> None:  # type: ignore[type-arg] # no subscript at runtime
        nonlocal steps
        steps += 1
        assert steps < 10_000, "the copy begins anew with every write"
        store.write(cells, [[row(f"later/{steps}")], Deletion([str(steps)])])

    with monkeypatch.context() as slowly:
        slowly.setattr("farnear_service.backup._STEP_PAGES", 1)
        slowly.setattr(tqdm, "update", write_after_every_page)
        assert take_backup(tmp_path / "data", tmp_path / "backup").collections == ((cells, 1_000),)
    store.close()
    assert steps > 20
    restore_backup(tmp_path / "backup", tmp_path / "restored")
    with closing(Store(tmp_path / "restored")) as again:
        assert snapshot(again, cells) == before


def test_the_bundles_that_are_used_are_in_a_backup_and_no_others(
    tmp_path: Path, two_wide: Path, other_bundle: Path, tiny_bundle: Path
) -> None:
    store, cells = fill(tmp_path / "data", two_wide)
    unused, to_be = (adopt_bundle(path, tmp_path / "data" / "bundles") for path in (tiny_bundle, other_bundle))
    store.begin_activation(cells, bundle_name="other", bundle_digest=to_be.digest, dim=to_be.dim)
    store.close()
    take_backup(tmp_path / "data", tmp_path / "backup")
    assert names(tmp_path / "backup" / "bundles") == {cells.bundle_digest, to_be.digest}
    assert unused.digest not in (tmp_path / "backup" / "backup.json").read_text()


def test_an_empty_store_may_be_backed_up(tmp_path: Path) -> None:
    Store(tmp_path / "data").close()
    assert take_backup(tmp_path / "data", tmp_path / "backup").collections == ()
    assert restore_backup(tmp_path / "backup", tmp_path / "restored").collections == ()


def test_a_store_that_was_killed_may_be_backed_up(tmp_path: Path, two_wide: Path) -> None:
    store, cells = fill(tmp_path / "data", two_wide)
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "data", killed)  # with the log that nobody has closed
    store.close()
    assert (killed / "farnear.db-wal").stat().st_size > 0
    assert take_backup(killed, tmp_path / "backup").collections == ((cells, 20),)


def test_a_store_of_an_earlier_version_is_brought_up_to_date_in_its_backup(
    tmp_path: Path, two_wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "data", version_1)
    bundle = adopt_bundle(two_wide, tmp_path / "data" / "bundles")
    with closing(sqlite3.connect(tmp_path / "data" / "farnear.db")) as old, old:
        old.execute("UPDATE collections SET bundle_digest = ?", (bundle.digest,))
        old.execute("UPDATE bundles SET digest = ?", (bundle.digest,))
    taken = take_backup(tmp_path / "data", tmp_path / "backup")
    assert [(one.name, count) for one, count in taken.collections] == [("bare", 1), ("cells", 2)]
    with closing(sqlite3.connect(tmp_path / "data" / "farnear.db")) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
    assert restore_backup(tmp_path / "backup", tmp_path / "restored") == taken


# As commands


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers and ends them after the test."""
    with ExitStack() as servers:

        def begin(data: Path, bundles: Sequence[str] = ()) -> Server:
            server = Server(data, bundles)
            servers.callback(server.stop, signal.SIGKILL)
            return server

        yield begin


def test_a_served_directory_is_backed_up_and_answers_the_same_when_restored(
    tmp_path: Path, tiny_bundle: Path, serve: Callable[..., Server]
) -> None:
    served = serve(tmp_path / "data", [f"tiny={tiny_bundle}"])
    items = [farnear.NewItem(item_id=f"{seed:02}", content=picture(seed), label="l") for seed in range(40)]
    with farnear.Client(served.address) as client:
        client.create_collection("c", bundle="tiny")
        client.upsert("c", items)
        client.record_interactions("c", "ada", [farnear.Interaction(item_id="07", opinion=farnear.Opinion.LIKED)])
        before, history = answers(client), list(client.list_interactions("c", "ada"))
        told = served.run("backup", "--data", tmp_path / "data", tmp_path / "backup", "--json").json()
        digest = client.get_collection("c").bundle_digest
        client.delete_items("c", ["07"])
    collection = {"name": "c", "items": 40, "bundle": "tiny", "bundle_digest": digest}
    assert told["collections"] == [collection]
    assert served.stop(signal.SIGKILL) != 0
    shutil.rmtree(tmp_path / "data")

    restored = command("restore", tmp_path / "backup", "--data", tmp_path / "data", "--bundle", f"tiny={digest[:12]}")
    assert (restored.code, restored.err) == (0, "")
    assert restored.out.splitlines()[0] == f"farnear: collection c: 40 items under tiny = {digest[:12]}"
    again = serve(tmp_path / "data")
    with farnear.Client(again.address) as client:
        assert answers(client) == before
        assert list(client.list_interactions("c", "ada")) == history


def answers(client: farnear.Client) -> object:
    """What a client sees, but for the clusters, which come in their own time."""
    results = [client.both("c", picture(seed), k=9) for seed in (3, 100)]
    return (
        [(item.item_id, item.label, item.create_time) for item in client.list_items("c")],
        [[(hit.item_id, hit.similarity) for hit in (*result.similar, *result.divergent)] for result in results],
        client.get_item_image("c", "09"),
    )


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    nothing = command("backup", "--data", tmp_path / "data", tmp_path / "backup")
    assert (nothing.code, nothing.out) == (1, "")
    assert nothing.err == f"farnear: data directory: {tmp_path / 'data'} holds no store\n"
    nothing = command("restore", tmp_path / "backup", "--data", tmp_path / "data")
    assert (nothing.code, len(nothing.err.splitlines())) == (1, 1)
    assert "has no readable backup.json" in nothing.err


@pytest.mark.parametrize("value", ["tiny", "tiny=", "=0123456789ab", "tiny=0123", "tiny=0123456789AB", "tiny=x"])
def test_a_digest_that_is_none_is_wrong_usage(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    (restore,) = (one for one in COMMANDS if one.name == "restore")
    restore.add_arguments(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["backup", "--data", "data", "--bundle", value])
    assert ended.value.code == 2
    assert "is no NAME=DIGEST with 12 to 64 hex digits" in capsys.readouterr().err


# Refused


def test_nothing_is_backed_up_from_nothing(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match=r"data directory: .*data holds no store"):
        take_backup(tmp_path / "data", tmp_path / "backup")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "farnear.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(PreconditionError, match=r"farnear.db cannot be copied \(file is not a database\)"):
        take_backup(tmp_path / "data", tmp_path / "backup")
    assert names(tmp_path) == {"data"}


def test_what_is_there_is_not_overwritten(tmp_path: Path, two_wide: Path) -> None:
    store, _ = fill(tmp_path / "data", two_wide)
    store.close()
    (tmp_path / "backup").mkdir()
    with pytest.raises(PreconditionError, match=r"backup: .*backup exists"):
        take_backup(tmp_path / "data", tmp_path / "backup")
    with pytest.raises(PreconditionError, match=r"backup: .*nowhere/\..*: No such file or directory"):
        take_backup(tmp_path / "data", tmp_path / "nowhere" / "backup")
    assert names(tmp_path / "backup") == set()


def test_a_disk_that_is_full_is_told_and_nothing_is_left_on_it(
    tmp_path: Path, two_wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = fill(tmp_path / "data", two_wide)
    store.close()
    connect = sqlite3.connect

    def connect_to_a_small_disk(path: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(path, **options)
        if isinstance(path, Path):  # the copy; the original is opened by its address
            connection.execute("PRAGMA max_page_count = 3")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_to_a_small_disk)
    with pytest.raises(
        PreconditionError, match=r"backup: the disk is full, there is no room for a copy of .*data/farn"
    ):
        take_backup(tmp_path / "data", tmp_path / "backup")
    assert names(tmp_path) == {"data", "two"}


def test_a_data_directory_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def may_not(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", may_not)
    with pytest.raises(PreconditionError, match=r"backup: .*data/farnear\.db: Permission denied"):
        take_backup(tmp_path / "data", tmp_path / "backup")


def test_a_backup_in_the_data_directory_is_refused(tmp_path: Path, two_wide: Path) -> None:
    store, _ = fill(tmp_path / "data", two_wide)
    store.close()
    (tmp_path / "link").symlink_to(tmp_path / "data" / "bundles")
    for out in ("data", "data/backup", "data/../data/new/backup", "link/backup"):
        with pytest.raises(PreconditionError, match=r"backup: .*/data.* and the data directory .*/data lie one in the"):
            take_backup(tmp_path / "data", tmp_path / out)
    assert names(tmp_path / "data") == {"bundles", "farnear.db", "farnear.lock", "farnear.reserve"}
    assert take_backup(tmp_path / "data", tmp_path / "data-backup").size > 0


def test_a_data_directory_in_the_backup_is_refused_and_the_reverse(backed_up: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(backed_up)
    for data in (".", "backup", "backup/data", "link/new/data"):
        with pytest.raises(PreconditionError, match=r"backup: .*/backup and the data directory .* lie one in"):
            restore_backup(backed_up, tmp_path / data)
    assert names(backed_up) == {"backup.json", "bundles", "farnear.db"}
    assert restore_backup(backed_up, tmp_path / "backup-data").collections[0][1] == 20


def test_a_backup_whose_bundle_is_damaged_is_not_taken(tmp_path: Path, two_wide: Path) -> None:
    store, cells = fill(tmp_path / "data", two_wide)
    store.close()
    with (tmp_path / "data" / "bundles" / cells.bundle_digest / "model.onnx").open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(PreconditionError, match=r"model.onnx does not match its SHA-256"):
        take_backup(tmp_path / "data", tmp_path / "backup")
    assert names(tmp_path) == {"data", "two"}


def test_a_data_directory_that_holds_something_is_refused(backed_up: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    with pytest.raises(PreconditionError, match=r"data is served by process \d+ already"):
        restore_backup(backed_up, tmp_path / "data")
    store.close()
    with pytest.raises(PreconditionError, match=r"data holds farnear\.db; allowed is an empty one"):
        restore_backup(backed_up, tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(PreconditionError, match="File exists"):
        restore_backup(backed_up, tmp_path / "file")


def test_folders_that_are_made_are_synced_into_those_above(
    backed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("farnear_service.store.database.sync", synced.append)
    restore_backup(backed_up, tmp_path / "new" / "data")
    assert sorted(synced) == [tmp_path, tmp_path / "new"]


def test_an_empty_data_directory_is_as_good_as_none(backed_up: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert restore_backup(backed_up, tmp_path / "data").collections[0][1] == 20


@pytest.fixture
def refused(backed_up: Path, tmp_path: Path) -> Callable[..., None]:
    """Asserts that the backup is refused for a reason and leaves the data directory empty; the same next time."""

    def restore(reason: str, *expected: tuple[str, str]) -> None:
        for _ in range(2):
            with pytest.raises(PreconditionError, match=reason):
                restore_backup(backed_up, tmp_path / "data", expected=expected)
            assert not (tmp_path / "data").exists() or names(tmp_path / "data") <= {"farnear.lock"}

    return restore


def test_every_changed_byte_is_noticed(backed_up: Path, refused: Callable[..., None]) -> None:
    for path in sorted((*backed_up.glob("farnear.db"), *backed_up.glob("bundles/*/*"))):
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :])
            refused(f"{path.name} does not match its SHA-256")
        path.write_bytes(whole[:-1])
        refused(f"{path.name} does not match its SHA-256")
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 2}, "schema_version is 2; this service reads 1"),
        ({"files": {}}, r"lists no farnear\.db"),
        ({"files": []}, r"lists no farnear\.db"),
        ({"files": {"../farnear.db": "0" * 64}}, r"lists '\.\./farnear\.db', which is no file of a backup"),
        ({"files": {"bundles/../../x": "0" * 64}}, "which is no file of a backup"),
        ({"files": {"farnear.db": "0" * 64}}, r"farnear\.db does not match its SHA-256"),
        ({"files": 7}, r"backup\.json is damaged"),
        ({"files": {"farnear.db": 7}}, r"farnear\.db does not match its SHA-256"),
    ],
)
def test_a_manifest_that_is_not_right_is_refused(
    change: dict[str, object], reason: str, backed_up: Path, refused: Callable[..., None]
) -> None:
    manifest = json.loads((backed_up / "backup.json").read_text())
    (backed_up / "backup.json").write_text(json.dumps(manifest | change))
    refused(reason)


def test_an_incomplete_backup_is_refused(backed_up: Path, refused: Callable[..., None]) -> None:
    (model,) = backed_up.rglob("model.onnx")
    kept = model.read_bytes()
    model.unlink()
    refused(r"bundles/.*/model\.onnx cannot be read \(No such file or directory\)")
    seal(backed_up)
    refused(r"model\.onnx cannot be read")
    model.write_bytes(kept)
    shutil.rmtree(backed_up / "bundles")
    seal(backed_up)
    refused(r"no readable bundle\.json")
    (backed_up / "backup.json").write_text('{"schema_version": 1')
    refused(r"backup\.json is damaged")
    (backed_up / "backup.json").unlink()
    refused(r"has no readable backup\.json")


def test_a_damaged_store_is_refused_even_under_the_right_sums(backed_up: Path, refused: Callable[..., None]) -> None:
    with (backed_up / "farnear.db").open("r+b") as stream:
        stream.seek(5 * 4096)
        stream.write(bytes(4096))
    seal(backed_up)
    refused(r"farnear\.db is damaged")
    (backed_up / "farnear.db").write_bytes(b"no database at all" * 1000)
    seal(backed_up)
    refused(r"farnear\.db is damaged \(file is not a database\)")


def test_a_store_of_a_newer_version_is_refused(backed_up: Path, refused: Callable[..., None]) -> None:
    with closing(sqlite3.connect(backed_up / "farnear.db")) as connection:
        connection.execute("PRAGMA user_version = 1000")
    seal(backed_up)
    refused("has version 1000; this service reads up to")


def test_another_bundle_in_place_of_the_collections_is_refused(
    backed_up: Path, other_bundle: Path, refused: Callable[..., None]
) -> None:
    (folder,) = (backed_up / "bundles").iterdir()
    shutil.rmtree(folder)
    shutil.copytree(other_bundle, folder)
    seal(backed_up)
    refused(f"backup: in place of bundle {folder.name} there is {load_bundle(other_bundle).digest}")


def test_a_bundle_of_another_dimension_is_refused(backed_up: Path, refused: Callable[..., None]) -> None:
    with closing(sqlite3.connect(backed_up / "farnear.db")) as connection, connection:
        connection.execute("UPDATE collections SET dim = 3")
    seal(backed_up)
    refused("collection 'cells' has dimension 3, its bundle has 2")


def test_a_bundle_that_is_not_the_expected_one_is_refused(
    backed_up: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    (digest,) = names(backed_up / "bundles")
    refused(f"bundle: 'tiny' is {digest} in the backup; expected is 000000000000", ("tiny", "0" * 12))
    refused("bundle: the backup has none named 'big'", ("tiny", digest), ("big", digest))
    restore_backup(backed_up, tmp_path / "data", expected=[("tiny", digest[:12]), ("tiny", digest)])
