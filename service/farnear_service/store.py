"""The only truth: collections, items, vectors and kept images in one SQLite file.

Write-ahead log with synchronous=FULL: a write that returned is on disk and survives `kill -9` and power loss. Index and
clusters are derived from here and can be thrown away. One data directory has one server, held by a lock file.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from farnear_service.errors import AlreadyExistsError, NotFoundError, OverloadedError, PreconditionError
from farnear_service.types import Collection, FloatArray, ImageRetention, Item


def _first_schema(connection: sqlite3.Connection) -> None:
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


# Entry i takes a store from version i to version i + 1 (PRAGMA user_version).
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first_schema,)


@dataclass(frozen=True, kw_only=True)
class Row:
    """An item ready to be written: `vector` float32 (D,) of unit length, `image` the bytes to keep or None."""

    item_id: str
    label: str
    vector: FloatArray
    image: bytes | None


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a write did: new keys in order of the rows, None where a later row took the id; and the keys that went."""

    keys: tuple[int | None, ...]
    removed: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All items of a collection in order of key: `keys` int64 (N,), `vectors` float32 (N, D), ids and labels."""

    keys: np.ndarray[tuple[int], np.dtype[np.int64]]
    item_ids: list[str]
    labels: list[str]
    vectors: FloatArray


class Store:
    """The store of one data directory. Every method may be called from any thread; writers take turns."""

    def __init__(self, data_dir: Path) -> None:
        """Opens or makes the store; raises PreconditionError where another server holds it or a newer one wrote it."""
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._lock_file = _lock(data_dir / "farnear.lock")
        except OSError as error:
            raise PreconditionError(f"data directory: {data_dir} cannot be used ({error.strerror})") from error
        self._path = data_dir / "farnear.db"
        self._connections: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._writing = threading.Lock()
        try:
            self._migrate()
        except sqlite3.DatabaseError as error:
            self.close()
            raise PreconditionError(f"data directory: {self._path} cannot be opened ({error})") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes every connection and gives up the data directory."""
        with self._writing:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        os.close(self._lock_file)

    # Bundles

    def set_bundle(self, name: str, digest: str) -> None:
        """Remembers that `name` stands for the bundle `digest` from now on."""
        with self._write() as connection:
            connection.execute("INSERT OR REPLACE INTO bundles VALUES (?, ?)", (name, digest))

    def bundles(self) -> dict[str, str]:
        """Digest by name."""
        return dict(self._connection().execute("SELECT name, digest FROM bundles"))

    # Collections

    def create_collection(
        self, name: str, *, bundle_name: str, bundle_digest: str, dim: int, retention: ImageRetention
    ) -> Collection:
        """Makes an empty collection; AlreadyExistsError if the name is taken."""
        created = time.time()
        with self._write() as connection:
            try:
                key = connection.execute(
                    "INSERT INTO collections (name, bundle_name, bundle_digest, dim, retention, created)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (name, bundle_name, bundle_digest, dim, retention.value, created),
                ).lastrowid
            except sqlite3.IntegrityError as error:
                raise AlreadyExistsError(f"collection: {name!r} is there already") from error
        assert key is not None
        return Collection(
            key=key,
            name=name,
            bundle_name=bundle_name,
            bundle_digest=bundle_digest,
            dim=dim,
            retention=retention,
            created=created,
        )

    def collections(self) -> list[Collection]:
        """All collections, in order of name."""
        rows = self._connection().execute(
            "SELECT key, name, bundle_name, bundle_digest, dim, retention, created FROM collections ORDER BY name"
        )
        return [
            Collection(
                key=key,
                name=name,
                bundle_name=bundle_name,
                bundle_digest=bundle_digest,
                dim=dim,
                retention=ImageRetention(retention),
                created=created,
            )
            for key, name, bundle_name, bundle_digest, dim, retention, created in rows
        ]

    def delete_collection(self, collection: Collection) -> int:
        """Deletes a collection with everything in it and returns how many items that were."""
        with self._write() as connection:
            deleted = connection.execute(
                "DELETE FROM items WHERE collection = ? RETURNING image", (collection.key,)
            ).fetchall()
            _drop_unused_images(connection, {image for (image,) in deleted})
            connection.execute("DELETE FROM collections WHERE key = ?", (collection.key,))
        return len(deleted)

    # Items

    def append(self, collection: Collection, rows: Sequence[Row]) -> Written:
        """Writes a batch in one transaction; of two rows with one id the later stands. On disk when this returns."""
        keys: list[int | None] = []
        position: dict[str, int] = {}
        removed: list[int] = []
        images: set[bytes | None] = set()
        now = time.time()
        with self._write() as connection:
            for row in rows:
                created = now
                found = connection.execute(
                    "DELETE FROM items WHERE collection = ? AND item_id = ? RETURNING key, created, image",
                    (collection.key, row.item_id),
                ).fetchone()
                if found is not None:
                    key, created, image = found
                    images.add(image)
                    if row.item_id in position:
                        keys[position[row.item_id]] = None
                    else:
                        removed.append(key)
                position[row.item_id] = len(keys)
                digest = None
                if row.image is not None:
                    digest = sha256(row.image).digest()
                    connection.execute("INSERT OR IGNORE INTO images VALUES (?, ?)", (digest, row.image))
                keys.append(
                    connection.execute(
                        "INSERT INTO items (collection, item_id, label, vector, image, created)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        (collection.key, row.item_id, row.label, row.vector.tobytes(), digest, created),
                    ).lastrowid
                )
            _drop_unused_images(connection, images)
        return Written(keys=tuple(keys), removed=tuple(removed))

    def delete(self, collection: Collection, item_ids: Sequence[str]) -> tuple[int, ...]:
        """Deletes items in one transaction and returns the keys of those that were there."""
        with self._write() as connection:
            deleted = [
                row
                for item_id in item_ids
                for row in connection.execute(
                    "DELETE FROM items WHERE collection = ? AND item_id = ? RETURNING key, image",
                    (collection.key, item_id),
                ).fetchall()
            ]
            _drop_unused_images(connection, {image for _, image in deleted})
        return tuple(key for key, _ in deleted)

    def item(self, collection: Collection, item_id: str) -> Item:
        """One item by id; NotFoundError if there is none."""
        row = (
            self._connection()
            .execute(
                "SELECT key, item_id, label, created, image IS NOT NULL FROM items"
                " WHERE collection = ? AND item_id = ?",
                (collection.key, item_id),
            )
            .fetchone()
        )
        if row is None:
            raise _no_item(collection, item_id)
        return _item(row)

    def items(self, collection: Collection, *, after: str | None, limit: int) -> list[Item]:
        """Up to `limit` items in order of id, from the first one after `after` on; None means from the start."""
        rows = self._connection().execute(
            "SELECT key, item_id, label, created, image IS NOT NULL FROM items"
            " WHERE collection = ? AND (? IS NULL OR item_id > ?) ORDER BY item_id LIMIT ?",
            (collection.key, after, after, limit),
        )
        return [_item(row) for row in rows]

    def vector(self, collection: Collection, item_id: str) -> tuple[int, FloatArray]:
        """Key and unit vector, float32 of shape (D,), of one item; NotFoundError if there is none."""
        row = (
            self._connection()
            .execute("SELECT key, vector FROM items WHERE collection = ? AND item_id = ?", (collection.key, item_id))
            .fetchone()
        )
        if row is None:
            raise _no_item(collection, item_id)
        return row[0], np.frombuffer(row[1], np.float32)

    def image(self, collection: Collection, item_id: str) -> bytes:
        """The kept image of one item; NotFoundError without the item, PreconditionError without its image."""
        row = (
            self._connection()
            .execute(
                "SELECT data FROM items LEFT JOIN images ON image = digest WHERE collection = ? AND item_id = ?",
                (collection.key, item_id),
            )
            .fetchone()
        )
        if row is None:
            raise _no_item(collection, item_id)
        if row[0] is None:
            raise PreconditionError(f"item_id: the image of {item_id!r} is not kept; send the image itself")
        return bytes(row[0])

    def all(self, collection: Collection) -> Contents:
        """Everything that index and clusters are built from."""
        keys: list[int] = []
        item_ids: list[str] = []
        labels: list[str] = []
        vectors = bytearray()
        for key, item_id, label, vector in self._connection().execute(
            "SELECT key, item_id, label, vector FROM items WHERE collection = ? ORDER BY key", (collection.key,)
        ):
            keys.append(key)
            item_ids.append(item_id)
            labels.append(label)
            vectors += vector
        return Contents(
            keys=np.array(keys, np.int64),
            item_ids=item_ids,
            labels=labels,
            vectors=np.frombuffer(bytes(vectors), np.float32).reshape(len(keys), collection.dim),
        )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                    raise OverloadedError("store: the disk is full, nothing of this write was kept") from error
                raise

    def _migrate(self) -> None:
        connection = self._connection()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise PreconditionError(
                f"data directory: {self._path} has version {version}; this service reads up to {len(MIGRATIONS)}"
            )
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            with self._write():
                migration(connection)
                connection.execute(f"PRAGMA user_version = {number}")


def _item(row: tuple[int, str, str, float, int]) -> Item:
    key, item_id, label, created, has_image = row
    return Item(key=key, item_id=item_id, label=label, created=created, has_image=bool(has_image))


def _no_item(collection: Collection, item_id: str) -> NotFoundError:
    return NotFoundError(f"item_id: collection {collection.name!r} has no item {item_id!r}")


def _drop_unused_images(connection: sqlite3.Connection, candidates: Iterable[bytes | None]) -> None:
    connection.executemany(
        "DELETE FROM images WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM items WHERE image = ?1)",
        [(digest,) for digest in candidates if digest is not None],
    )


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise PreconditionError(f"data directory: {path.parent} is served by process {owner} already") from error
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
