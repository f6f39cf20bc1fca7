"""Kept images: content-addressed, each once, as long as an item has it."""

import sqlite3
from collections.abc import Iterable
from hashlib import sha256


def keep_image(connection: sqlite3.Connection, data: bytes) -> bytes:
    """Keeps an image, unless it is there already, and returns its digest."""
    digest = sha256(data).digest()
    connection.execute("INSERT OR IGNORE INTO images VALUES (?, ?)", (digest, data))
    return digest


def drop_unused_images(connection: sqlite3.Connection, digests: Iterable[bytes]) -> None:
    """Deletes those of the images that no item has any more."""
    connection.executemany(
        "DELETE FROM images WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM items WHERE image = ?1)",
        [(digest,) for digest in digests],
    )
