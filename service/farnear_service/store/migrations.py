"""The tables, and how a store of an earlier version gets them."""

import sqlite3
from collections.abc import Callable


def _first(connection: sqlite3.Connection) -> None:
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


def _attributes_interactions_activations(connection: sqlite3.Connection) -> None:
    for statement in (
        "ALTER TABLE collections ADD COLUMN schema TEXT NOT NULL DEFAULT '{}'",  # JSON: type by name of attribute
        "ALTER TABLE collections ADD COLUMN index_kind TEXT NOT NULL DEFAULT 'flat'",
        "ALTER TABLE collections ADD COLUMN target_recall REAL NOT NULL DEFAULT 0.99",
        "ALTER TABLE items ADD COLUMN attributes TEXT",  # JSON, see attributes.py; NULL for none
        "ALTER TABLE items ADD COLUMN source_uri TEXT NOT NULL DEFAULT ''",
        # With the key behind it, as every index has: a collection is read in order of key.
        "CREATE INDEX items_by_collection ON items (collection)",
        # By id and not by key, so that what a user did outlives the replacement of an item.
        "CREATE TABLE interactions (collection INTEGER NOT NULL REFERENCES collections (key) ON DELETE CASCADE,"
        " user BLOB NOT NULL, item_id TEXT NOT NULL, opinion TEXT NOT NULL, time REAL NOT NULL,"
        " PRIMARY KEY (collection, user, item_id)) WITHOUT ROWID",
        "CREATE INDEX interactions_by_item ON interactions (collection, item_id)",
        "CREATE TABLE activations (collection INTEGER PRIMARY KEY REFERENCES collections (key) ON DELETE CASCADE,"
        " bundle_name TEXT NOT NULL, bundle_digest TEXT NOT NULL, dim INTEGER NOT NULL)",
        "CREATE TABLE embedded (item INTEGER PRIMARY KEY REFERENCES items (key) ON DELETE CASCADE,"
        " collection INTEGER NOT NULL REFERENCES activations (collection) ON DELETE CASCADE, vector BLOB NOT NULL)",
        "CREATE INDEX embedded_by_collection ON embedded (collection)",
    ):
        connection.execute(statement)


def _clusterings(connection: sqlite3.Connection) -> None:
    for statement in (
        # With a key of its own, so that a collection that moves to another bundle takes all of it along in one row.
        "CREATE TABLE clusterings (key INTEGER PRIMARY KEY AUTOINCREMENT,"
        " collection INTEGER NOT NULL UNIQUE REFERENCES collections (key) ON DELETE CASCADE,"
        " version INTEGER NOT NULL DEFAULT 0, eps REAL, min_samples INTEGER, perplexity REAL,"
        " next_id INTEGER NOT NULL DEFAULT 0)",
        # Items that are gone stay until the clusters have taken notice: till then they are part of what they were.
        "CREATE TABLE placements (clustering INTEGER NOT NULL REFERENCES clusterings (key) ON DELETE CASCADE,"
        " version INTEGER NOT NULL, item INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL,"
        " PRIMARY KEY (clustering, version, item)) WITHOUT ROWID",
        "CREATE TABLE cluster_identities (clustering INTEGER NOT NULL REFERENCES clusterings (key) ON DELETE CASCADE,"
        " cluster INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (clustering, cluster)) WITHOUT ROWID",
        "CREATE TABLE cluster_events (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " clustering INTEGER NOT NULL REFERENCES clusterings (key) ON DELETE CASCADE, time REAL NOT NULL,"
        " version INTEGER NOT NULL, change TEXT NOT NULL, cluster INTEGER NOT NULL, size INTEGER NOT NULL,"
        " size_before INTEGER NOT NULL, parents TEXT NOT NULL)",
        "CREATE INDEX cluster_events_in_order ON cluster_events (clustering, number)",
        "CREATE INDEX cluster_sizes_in_order ON cluster_events (clustering, number)"
        " WHERE change IN ('grown', 'shrunk')",
    ):
        connection.execute(statement)


# Entry i takes a store from version i to version i + 1 (PRAGMA user_version). One that was released stays as it is.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _first,
    _attributes_interactions_activations,
    _clusterings,
)
