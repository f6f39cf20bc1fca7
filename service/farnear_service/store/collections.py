"""Bundles by name, and collections."""

import sqlite3
import time

from farnear_service.errors import AlreadyExistsError
from farnear_service.store.attributes import dump_schema, load_schema
from farnear_service.store.database import Database
from farnear_service.store.images import drop_unused_images
from farnear_service.types import Collection, ImageRetention, IndexKind, IndexSettings, Schema


class Collections(Database):
    """What can be done with bundles and collections."""

    def set_bundle(self, name: str, digest: str) -> None:
        """Remembers that `name` stands for the bundle `digest` from now on."""
        with self._transaction() as connection:
            # What stands already is not written again: a full disk keeps no server from its start.
            connection.execute(
                "INSERT INTO bundles VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET digest = excluded.digest WHERE digest != excluded.digest",
                (name, digest),
            )

    def bundles(self) -> dict[str, str]:
        """Digest by name."""
        return dict(self._connection().execute("SELECT name, digest FROM bundles"))

    def used_bundles(self) -> frozenset[str]:
        """The digests of all bundles that a name, a collection or an activation stands for."""
        return used_bundles(self._connection())

    def create_collection(
        self,
        name: str,
        *,
        bundle_name: str,
        bundle_digest: str,
        dim: int,
        retention: ImageRetention,
        schema: Schema | None = None,
        index: IndexSettings | None = None,
    ) -> Collection:
        """Makes an empty collection; AlreadyExistsError if the name is taken."""
        schema = dict(schema or {})
        index = index or IndexSettings()
        created = time.time()
        with self._transaction() as connection:
            try:
                key = connection.execute(
                    "INSERT INTO collections (name, bundle_name, bundle_digest, dim, retention, created, schema,"
                    " index_kind, target_recall) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        name,
                        bundle_name,
                        bundle_digest,
                        dim,
                        retention.value,
                        created,
                        dump_schema(schema),
                        index.kind.value,
                        index.target_recall,
                    ),
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
            schema=schema,
            index=index,
        )

    def collections(self) -> list[Collection]:
        """All collections, in order of name."""
        return read_collections(self._connection())

    def delete_collection(self, collection: Collection) -> int:
        """Deletes a collection with its items, kept images and interactions; returns how many items that were."""
        return self._delete(lambda: self._delete_collection(collection))

    def _delete_collection(self, collection: Collection) -> int:
        with self._transaction() as connection:
            images = connection.execute(
                "SELECT DISTINCT image FROM items WHERE collection = ? AND image IS NOT NULL", (collection.key,)
            ).fetchall()
            deleted = connection.execute("DELETE FROM items WHERE collection = ?", (collection.key,)).rowcount
            drop_unused_images(connection, [image for (image,) in images])
            connection.execute("DELETE FROM collections WHERE key = ?", (collection.key,))
        return deleted


def read_collections(connection: sqlite3.Connection) -> list[Collection]:
    """All collections, in order of name."""
    rows = connection.execute(
        "SELECT key, name, bundle_name, bundle_digest, dim, retention, created, schema, index_kind, target_recall"
        " FROM collections ORDER BY name"
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
            schema=load_schema(schema),
            index=IndexSettings(kind=IndexKind(index_kind), target_recall=target_recall),
        )
        for key, name, bundle_name, bundle_digest, dim, retention, created, schema, index_kind, target_recall in rows
    ]


def used_bundles(connection: sqlite3.Connection) -> frozenset[str]:
    """The digests of all bundles that a name, a collection or an activation stands for."""
    rows = connection.execute(
        "SELECT digest FROM bundles UNION SELECT bundle_digest FROM collections"
        " UNION SELECT bundle_digest FROM activations"
    )
    return frozenset(digest for (digest,) in rows)
