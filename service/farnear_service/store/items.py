"""Items, as they are read."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_service.errors import NotFoundError, PreconditionError
from farnear_service.store.attributes import load_attributes
from farnear_service.store.database import Database
from farnear_service.types import Attributes, Collection, FloatArray, Item

CHUNK_ROWS = 2_000  # more of them at a time cost a third more processor time, and memory

_COLUMNS = "key, item_id, label, created, image IS NOT NULL, attributes, source_uri"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """N items in order of key: `keys` int64 (N,), `vectors` float32 (N, D) of unit length; `created` Unix seconds."""

    keys: NDArray[np.int64]
    item_ids: Sequence[str]
    labels: Sequence[str]
    created: Sequence[float]
    attributes: Sequence[Attributes]
    vectors: FloatArray


class Items(Database):
    """What can be asked of items."""

    def item(self, collection: Collection, item_id: str) -> Item:
        """One item by id; NotFoundError if there is none."""
        found = self.items_by_id(collection, [item_id])
        if not found:
            raise _no_item(collection, item_id)
        return found[0]

    def items(self, collection: Collection, *, after: str | None, limit: int) -> list[Item]:
        """Up to `limit` items in order of id, from the first one after `after` on; None means from the start."""
        rows = self._connection().execute(
            f"SELECT {_COLUMNS} FROM items WHERE collection = ? AND item_id > ? ORDER BY item_id LIMIT ?",
            (collection.key, after or "", limit),  # no id is empty
        )
        return [_item(row) for row in rows]

    def items_by_id(self, collection: Collection, item_ids: Iterable[str]) -> list[Item]:
        """The items with these ids, in order of id, as far as they are there."""
        rows = self._connection().execute(
            f"SELECT {_COLUMNS} FROM items"
            " WHERE collection = ? AND item_id IN (SELECT value FROM json_each(?)) ORDER BY item_id",
            (collection.key, json.dumps(list(item_ids), ensure_ascii=False)),
        )
        return [_item(row) for row in rows]

    def item_count(self, collection: Collection) -> int:
        """How many items there are; a million take some 20 ms."""
        (count,) = (
            self._connection().execute("SELECT count(*) FROM items WHERE collection = ?", (collection.key,)).fetchone()
        )
        return int(count)

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

    def vectors(self, collection: Collection, item_ids: Iterable[str]) -> dict[str, tuple[int, FloatArray]]:
        """Key and unit vector, float32 of shape (D,), by id, of those of these items that are there."""
        rows = self._connection().execute(
            "SELECT item_id, key, vector FROM items"
            " WHERE collection = ? AND item_id IN (SELECT value FROM json_each(?))",
            (collection.key, json.dumps(list(item_ids), ensure_ascii=False)),
        )
        return {item_id: (key, np.frombuffer(vector, np.float32)) for item_id, key, vector in rows}

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

    def contents(self, collection: Collection) -> Iterator[Contents]:
        """Everything that index and clusters are built from, in chunks in order of key.

        Each chunk is what stands when it is read; whoever needs one state of the whole holds off writers meanwhile.
        A million 16-d items take about 2 s.
        """
        last = 0
        while True:
            rows = (
                self._connection()
                .execute(
                    "SELECT key, item_id, label, created, attributes, vector FROM items"
                    " WHERE collection = ? AND key > ? ORDER BY key LIMIT ?",
                    (collection.key, last, CHUNK_ROWS),
                )
                .fetchall()
            )
            if not rows:
                return
            keys, item_ids, labels, created, attributes, vectors = zip(*rows, strict=True)
            last = keys[-1]
            yield Contents(
                keys=np.array(keys, np.int64),
                item_ids=item_ids,
                labels=labels,
                created=created,
                attributes=[load_attributes(text) for text in attributes],
                vectors=np.frombuffer(b"".join(vectors), np.float32).reshape(len(rows), collection.dim),
            )


def _item(row: tuple[int, str, str, float, int, str | None, str]) -> Item:
    key, item_id, label, created, has_image, attributes, source_uri = row
    return Item(
        key=key,
        item_id=item_id,
        label=label,
        created=created,
        has_image=bool(has_image),
        attributes=load_attributes(attributes),
        source_uri=source_uri,
    )


def _no_item(collection: Collection, item_id: str) -> NotFoundError:
    return NotFoundError(f"item_id: collection {collection.name!r} has no item {item_id!r}")
