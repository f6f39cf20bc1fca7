"""Stores of every earlier version, made by the statements of their time, become stores of today."""

import contextlib
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.errors import PreconditionError
from farnear_service.store import Deletion, Store, database, migrations
from farnear_service.types import (
    AttributeType,
    Collection,
    ImageRetention,
    IndexSettings,
    Interaction,
    Item,
    Opinion,
)

from tests.farnear_service.store.conftest import everything, row

NEWEST = len(migrations.MIGRATIONS)


def nothing(connection: sqlite3.Connection) -> None:
    """Version 0 is a file without tables."""


def version_1(connection: sqlite3.Connection) -> None:
    for statement in (
        "CREATE TABLE bundles (name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE collections (key INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
        " bundle_name TEXT NOT NULL, bundle_digest TEXT NOT NULL, dim INTEGER NOT NULL, retention TEXT NOT NULL,"
        " created REAL NOT NULL)",
        "CREATE TABLE images (digest BLOB PRIMARY KEY, data BLOB NOT NULL)",
        "CREATE TABLE items (key INTEGER PRIMARY KEY AUTOINCREMENT,"
        " collection INTEGER NOT NULL REFERENCES collections (key), item_id TEXT NOT NULL, label TEXT NOT NULL,"
        " vector BLOB NOT NULL, image BLOB REFERENCES images (digest), created REAL NOT NULL,"
        " UNIQUE (collection, item_id))",
        "CREATE INDEX items_by_image ON items (image) WHERE image IS NOT NULL",
    ):
        connection.execute(statement)
    connection.execute("INSERT INTO bundles VALUES ('tiny', ?)", ("0" * 64,))
    connection.execute("INSERT INTO collections VALUES (3, 'cells', 'tiny', ?, 2, 'original', 1000.5)", ("0" * 64,))
    connection.execute("INSERT INTO collections VALUES (5, 'bare', 'tiny', ?, 2, 'none', 1001.5)", ("0" * 64,))
    connection.execute("INSERT INTO images VALUES (?, ?)", (sha256(b"picture").digest(), b"picture"))
    vector = np.array([0.6, 0.8], np.float32).tobytes()
    connection.executemany(
        "INSERT INTO items (key, collection, item_id, label, vector, image, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (7, 3, "b", "crack", vector, sha256(b"picture").digest(), 2000.25),
            (8, 5, "b", "rust", vector, None, 2001.25),
            (11, 3, "a", "", vector, None, 2002.25),
        ],
    )
    connection.execute("PRAGMA user_version = 1")


def make(folder: Path, version: Callable[[sqlite3.Connection], None]) -> None:
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "farnear.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        version(connection)


def tables(path: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path / "farnear.db")) as other:
        return [
            other.execute("PRAGMA user_version").fetchone(),
            other.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2").fetchall(),
            *(
                [column[1:5] for column in other.execute(f"PRAGMA table_info({table})")]
                for (table,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
            ),
        ]


@pytest.mark.parametrize("version", [nothing, version_1])
def test_a_store_of_every_version_gets_the_tables_of_today(
    version: Callable[[sqlite3.Connection], None], tmp_path: Path
) -> None:
    Store(tmp_path / "fresh").close()
    make(tmp_path / "data", version)
    Store(tmp_path / "data").close()
    assert tables(tmp_path / "data") == tables(tmp_path / "fresh")
    assert tables(tmp_path / "data")[0] == (NEWEST,)


def test_a_store_of_version_1_keeps_what_is_in_it(tmp_path: Path) -> None:
    make(tmp_path / "data", version_1)
    store = Store(tmp_path / "data")
    bare, cells = store.collections()
    assert cells == Collection(
        key=3,
        name="cells",
        bundle_name="tiny",
        bundle_digest="0" * 64,
        dim=2,
        retention=ImageRetention.ORIGINAL,
        created=1000.5,
        schema={},
        index=IndexSettings(),
    )
    assert (bare.key, bare.retention) == (5, ImageRetention.NONE)
    assert store.bundles() == {"tiny": "0" * 64}
    assert store.items(cells, after=None, limit=10) == [
        Item(key=11, item_id="a", label="", created=2002.25, has_image=False, attributes={}, source_uri=""),
        Item(key=7, item_id="b", label="crack", created=2000.25, has_image=True, attributes={}, source_uri=""),
    ]
    assert store.image(cells, "b") == b"picture"
    contents = everything(store, cells)
    assert (contents.keys.tolist(), contents.item_ids) == ([7, 11], ["b", "a"])
    np.testing.assert_array_equal(contents.vectors, np.array([[0.6, 0.8]] * 2, np.float32))
    assert store.activation(cells) is None
    store.close()


def test_a_store_of_version_1_can_do_what_is_new(tmp_path: Path) -> None:
    make(tmp_path / "data", version_1)
    store = Store(tmp_path / "data")
    (_, cells) = store.collections()
    (written, _) = store.write(
        cells,
        [[row("b", image=b"new", attributes={"depth": 2.5}, source_uri="file:///b")], Deletion(["a"])],
        schema={"depth": AttributeType.NUMBER},
    )
    assert written.keys == (12,)
    assert written.removed == (7,)
    item = store.item(cells, "b")
    assert (item.attributes, item.source_uri, item.created) == ({"depth": 2.5}, "file:///b", 2000.25)
    store.record_interactions(cells, "ada", [Interaction(item_id="b", opinion=Opinion.LIKED, time=1.0)])
    store.begin_activation(cells, bundle_name="big", bundle_digest="1" * 64, dim=3)
    store.embedded(cells, [(key, np.ones(3, np.float32)) for key, _ in store.to_embed(cells, 10)])
    moved = store.swap(cells)
    assert (moved.key, moved.schema) == (6, {"depth": AttributeType.NUMBER})
    assert len(store.interactions(moved, "ada", limit=10)) == 1
    store.close()


@pytest.mark.parametrize("version", [nothing, version_1])
def test_a_migration_that_is_interrupted_leaves_the_store_as_it_was(
    version: Callable[[sqlite3.Connection], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "data", version)
    before = tables(tmp_path / "data")

    def interrupted(connection: sqlite3.Connection) -> None:
        migrations.MIGRATIONS[before[0][0]](connection)
        raise KeyboardInterrupt

    broken = list(migrations.MIGRATIONS)
    broken[before[0][0]] = interrupted
    monkeypatch.setattr(database, "MIGRATIONS", tuple(broken))
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path / "data")
    monkeypatch.undo()
    assert tables(tmp_path / "data") == before
    Store(tmp_path / "data").close()
    assert tables(tmp_path / "data")[0] == (NEWEST,)


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Store(tmp_path / "data").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "farnear.db")) as other:
        other.execute(f"PRAGMA user_version = {NEWEST + 1}")
    before = tables(tmp_path / "data")
    for _ in range(2):  # the first refusal gives the directory up
        with pytest.raises(PreconditionError, match=rf"has version {NEWEST + 1}; this service reads up to {NEWEST}"):
            Store(tmp_path / "data")
    assert tables(tmp_path / "data") == before
