"""Group commit: what many callers write and delete, in one transaction."""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from farnear_service.store.attributes import dump_attributes, dump_schema
from farnear_service.store.database import Database
from farnear_service.store.images import drop_unused_images, keep_image
from farnear_service.types import Attributes, Collection, FloatArray, Schema


@dataclass(frozen=True, kw_only=True)
class Row:
    """An item ready to be written: `vector` float32 (D,) of unit length, `image` the bytes to keep or None."""

    item_id: str
    label: str
    vector: FloatArray
    image: bytes | None
    attributes: Attributes = field(default_factory=dict)
    source_uri: str = ""


@dataclass(frozen=True)
class Deletion:
    """Items to delete; ids that are not there are no error."""

    item_ids: Sequence[str]


Operation = Sequence[Row] | Deletion


@dataclass(frozen=True, kw_only=True)
class Written:
    """What one operation of a call did, as it stands when the whole call is done.

    For rows, in their order: `keys`, None where a later row or deletion of the call took the item away; and `created`,
    Unix time in seconds, which a replaced item hands on. `removed` are the keys that stood before the call and went
    with this operation. `deleted` is how many of a deletion's ids were there when its turn came.
    """

    keys: tuple[int | None, ...] = ()
    created: tuple[float, ...] = ()
    removed: tuple[int, ...] = ()
    deleted: int = 0


class Writes(Database):
    """What can be done to items."""

    def write(
        self, collection: Collection, operations: Sequence[Operation], schema: Schema | None = None
    ) -> list[Written]:
        """Does all operations, as if one after the other, in one transaction. On disk when this returns.

        Of two rows with one id the later stands. An item that is replaced gets a new key, so that within a collection's
        key a key stands for one vector for ever. It keeps when it was made, and what users did with it; one that is
        deleted takes that along.
        `schema`, where given, becomes the collection's in the same transaction. Raises OverloadedError where the disk
        is full, and nothing is kept then; where all operations are deletions, there is room held back for them.
        """
        with self._writing:
            self._reserve.hold()
        if all(isinstance(operation, Deletion) for operation in operations):
            return self._delete(lambda: self._write(collection, operations, schema))
        return self._write(collection, operations, schema)

    def _write(self, collection: Collection, operations: Sequence[Operation], schema: Schema | None) -> list[Written]:
        with self._transaction() as connection:
            batch = _Batch(connection, collection, operations)
            written = [batch.do(operation) for operation in operations]
            batch.write(connection)
            if schema is not None:
                connection.execute(
                    "UPDATE collections SET schema = ? WHERE key = ?", (dump_schema(schema), collection.key)
                )
        return [
            Written(keys=tuple(one.keys), created=tuple(one.created), removed=tuple(one.removed), deleted=one.deleted)
            for one in written
        ]


@dataclass(slots=True)
class _Stored:
    """An item that stood before the call."""

    key: int
    created: float
    image: bytes | None


@dataclass(slots=True)
class _Effect:
    """`Written` in the making."""

    keys: list[int | None] = field(default_factory=list)
    created: list[float] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    deleted: int = 0


@dataclass(slots=True)
class _New:
    """A row of the call that stands so far: entry `place` of its operation's effect."""

    row: Row
    effect: _Effect
    place: int


class _Batch:
    """The operations of one call, done in memory first: only what stands in the end is written."""

    def __init__(self, connection: sqlite3.Connection, collection: Collection, operations: Sequence[Operation]) -> None:
        self._collection = collection
        self._now = time.time()
        self._next_key = _last_key(connection) + 1
        self._stored = _stored(connection, collection, {item_id for one in operations for item_id in _item_ids(one)})
        self._new: dict[str, _New] = {}
        self._gone: list[_Stored] = []
        self._deleted_ids: list[str] = []

    def do(self, operation: Operation) -> _Effect:
        effect = _Effect()
        if isinstance(operation, Deletion):
            found = [item_id for item_id in operation.item_ids if self._take_away(item_id, effect) is not None]
            self._deleted_ids += found
            effect.deleted = len(found)
            return effect
        for place, row in enumerate(operation):
            created = self._take_away(row.item_id, effect)
            effect.keys.append(self._next_key)
            effect.created.append(self._now if created is None else created)
            self._next_key += 1
            self._new[row.item_id] = _New(row, effect, place)
        return effect

    def write(self, connection: sqlite3.Connection) -> None:
        connection.executemany("DELETE FROM items WHERE key = ?", [(item.key,) for item in self._gone])
        connection.executemany(
            "DELETE FROM interactions WHERE collection = ? AND item_id = ?",
            [(self._collection.key, item_id) for item_id in self._deleted_ids],
        )
        rows = []
        for new in self._new.values():
            row, key, created = new.row, new.effect.keys[new.place], new.effect.created[new.place]
            image = None if row.image is None else keep_image(connection, row.image)
            attributes = dump_attributes(row.attributes)
            vector = row.vector.tobytes()
            rows.append(
                (key, self._collection.key, row.item_id, row.label, vector, image, created, attributes, row.source_uri)
            )
        connection.executemany(
            "INSERT INTO items (key, collection, item_id, label, vector, image, created, attributes, source_uri)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        drop_unused_images(connection, {item.image for item in self._gone if item.image is not None})

    def _take_away(self, item_id: str, effect: _Effect) -> float | None:
        """Takes away what stands under an id now; returns when that was made, None where there is nothing."""
        if stored := self._stored.pop(item_id, None):
            self._gone.append(stored)
            effect.removed.append(stored.key)
            return stored.created
        if new := self._new.pop(item_id, None):
            new.effect.keys[new.place] = None
            return new.effect.created[new.place]
        return None


def _item_ids(operation: Operation) -> Iterable[str]:
    return operation.item_ids if isinstance(operation, Deletion) else (row.item_id for row in operation)


def _stored(connection: sqlite3.Connection, collection: Collection, item_ids: Iterable[str]) -> dict[str, _Stored]:
    rows = connection.execute(
        "SELECT item_id, key, created, image FROM items"
        " WHERE collection = ? AND item_id IN (SELECT value FROM json_each(?))",
        (collection.key, json.dumps(list(item_ids), ensure_ascii=False)),
    )
    return {item_id: _Stored(key, created, image) for item_id, key, created, image in rows}


def _last_key(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
    return 0 if row is None else int(row[0])
