"""Moving a collection to another bundle: every kept original is embedded anew, then all vectors are swapped at once."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from farnear_service.errors import PreconditionError
from farnear_service.store.collections import read_collections
from farnear_service.store.database import Database
from farnear_service.types import Collection, FloatArray, ImageRetention

_IMAGE_BYTES = 64 * 2**20  # read at a time, as many as one call may bring


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A move under way: the bundle to be, its dimension, and how many of the items are embedded under it."""

    bundle_name: str
    bundle_digest: str
    dim: int
    done_count: int
    item_count: int


class Activations(Database):
    """What can be done with moves to another bundle. One that has begun is there until `swap` or `end_activation`."""

    def begin_activation(self, collection: Collection, *, bundle_name: str, bundle_digest: str, dim: int) -> None:
        """Begins a move.

        Raises PreconditionError where one is under way, or where items are there whose original is not kept.
        """
        with self._transaction() as connection:
            if _activation(connection, collection) is not None:
                raise PreconditionError(f"bundle: an activation of {collection.name!r} is under way already")
            count, example = _without_original(connection, collection)
            if count:
                raise PreconditionError(
                    f"bundle: {count} items of {collection.name!r} have no kept original and cannot be embedded anew,"
                    f" {example!r} for one"
                )
            connection.execute(
                "INSERT INTO activations (collection, bundle_name, bundle_digest, dim) VALUES (?, ?, ?, ?)",
                (collection.key, bundle_name, bundle_digest, dim),
            )

    def activation(self, collection: Collection) -> Activation | None:
        """The move that is under way; None where there is none."""
        return _activation(self._connection(), collection)

    def to_embed(self, collection: Collection, limit: int) -> list[tuple[int, bytes]]:
        """Keys and kept images of up to `limit` items without a vector of the bundle to be, in order of key.

        The images come to 64 MiB at most, but for the last of them. What was written since the move began is among
        them; an item whose image is not kept is not.
        """
        # Keys ascend in the order of writing, so nearly always all that is missing lies behind the last that was done.
        # Only where nothing is left there, all items are looked through.
        connection = self._connection()
        (done,) = connection.execute(
            "SELECT ifnull(max(item), 0) FROM embedded WHERE collection = ?", (collection.key,)
        ).fetchone()
        left = _not_embedded(connection, collection, done, limit)
        return left or _not_embedded(connection, collection, 0, limit)

    def embedded(self, collection: Collection, vectors: Iterable[tuple[int, FloatArray]]) -> None:
        """Takes vectors of the bundle to be, each float32 (D,) of unit length with the key of its item.

        Those of items that are gone meanwhile are dropped. Raises PreconditionError where no move is under way.
        """
        with self._transaction() as connection:
            try:
                connection.executemany(
                    "INSERT OR REPLACE INTO embedded (item, collection, vector)"
                    " SELECT key, collection, ? FROM items WHERE key = ? AND collection = ?",
                    [(vector.tobytes(), key, collection.key) for key, vector in vectors],
                )
            except sqlite3.IntegrityError as error:  # no row of activations to refer to
                raise _none_under_way(collection) from error

    def swap(self, collection: Collection) -> Collection:
        """Ends a move: its vectors take the place of the old ones in one transaction; returns the collection as it is.

        The collection gets a new key and the items keep theirs: what was derived from the old vectors is filed under a
        key that is gone. Histories of users and of clusters stay. Raises PreconditionError where no move is under way,
        or while an item has no new vector.
        """
        with self._transaction() as connection:
            activation = _activation(connection, collection)
            if activation is None:
                raise _none_under_way(collection)
            left = activation.item_count - activation.done_count
            if left:
                raise PreconditionError(f"bundle: {left} items of {collection.name!r} are not embedded anew yet")
            # No collection's name has a space: this one is free until the old row has gone.
            key = connection.execute(
                "INSERT INTO collections"
                " (name, bundle_name, bundle_digest, dim, retention, created, schema, index_kind, target_recall)"
                " SELECT name || ' ', ?, ?, ?, retention, created, schema, index_kind, target_recall"
                " FROM collections WHERE key = ?",
                (activation.bundle_name, activation.bundle_digest, activation.dim, collection.key),
            ).lastrowid
            connection.execute(
                "UPDATE items SET collection = ?, vector = (SELECT vector FROM embedded WHERE item = key)"
                " WHERE collection = ?",
                (key, collection.key),
            )
            connection.execute("UPDATE interactions SET collection = ? WHERE collection = ?", (key, collection.key))
            connection.execute("UPDATE clusterings SET collection = ? WHERE collection = ?", (key, collection.key))
            connection.execute("DELETE FROM collections WHERE key = ?", (collection.key,))
            connection.execute("UPDATE collections SET name = ? WHERE key = ?", (collection.name, key))
            return next(one for one in read_collections(connection) if one.key == key)

    def end_activation(self, collection: Collection) -> None:
        """Gives a move up; the collection stays as it is."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM activations WHERE collection = ?", (collection.key,))


def _activation(connection: sqlite3.Connection, collection: Collection) -> Activation | None:
    row = connection.execute(
        "SELECT bundle_name, bundle_digest, dim, (SELECT count(*) FROM embedded WHERE collection = ?1),"
        " (SELECT count(*) FROM items WHERE collection = ?1) FROM activations WHERE collection = ?1",
        (collection.key,),
    ).fetchone()
    if row is None:
        return None
    bundle_name, bundle_digest, dim, done_count, item_count = row
    return Activation(
        bundle_name=bundle_name, bundle_digest=bundle_digest, dim=dim, done_count=done_count, item_count=item_count
    )


def _without_original(connection: sqlite3.Connection, collection: Collection) -> tuple[int, str | None]:
    """How many items cannot be embedded anew, and the first of them by id."""
    kept = "image IS NOT NULL" if collection.retention is ImageRetention.ORIGINAL else "false"
    count, example = connection.execute(
        f"SELECT count(*), min(item_id) FROM items WHERE collection = ? AND NOT {kept}",
        (collection.key,),
    ).fetchone()
    return count, example


def _not_embedded(
    connection: sqlite3.Connection, collection: Collection, after: int, limit: int
) -> list[tuple[int, bytes]]:
    found, size = [], 0
    for key, data in connection.execute(
        "SELECT key, data FROM items JOIN images ON image = digest WHERE collection = ? AND key > ?"
        " AND NOT EXISTS (SELECT 1 FROM embedded WHERE item = key) ORDER BY key LIMIT ?",
        (collection.key, after, limit),
    ):
        found.append((key, data))
        size += len(data)
        if size >= _IMAGE_BYTES:
            break
    return found


def _none_under_way(collection: Collection) -> PreconditionError:
    return PreconditionError(f"bundle: no activation of {collection.name!r} is under way")
