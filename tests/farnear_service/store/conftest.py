"""A collection in the open store, and rows to write."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.store import Contents, Row, Store
from farnear_service.types import Attributes, Collection, ImageRetention


@pytest.fixture
def cells(store: Store) -> Collection:
    return new_collection(store, "cells")


def new_collection(
    store: Store, name: str, *, dim: int = 2, retention: ImageRetention = ImageRetention.ORIGINAL
) -> Collection:
    return store.create_collection(name, bundle_name="tiny", bundle_digest="0" * 64, dim=dim, retention=retention)


def row(
    item_id: str,
    *,
    label: str = "",
    angle: float = 0.0,
    image: bytes | None = None,
    attributes: Attributes | None = None,
    source_uri: str = "",
) -> Row:
    vector = np.array([np.cos(angle), np.sin(angle)], np.float32)
    return Row(
        item_id=item_id, label=label, vector=vector, image=image, attributes=attributes or {}, source_uri=source_uri
    )


def keys_of(store: Store, collection: Collection, rows: Sequence[Row]) -> list[int]:
    """The keys of rows that are written on their own, all of them standing."""
    (written,) = store.write(collection, [rows])
    keys = [key for key in written.keys if key is not None]
    assert len(keys) == len(rows)
    return keys


def everything(store: Store, collection: Collection) -> Contents:
    """All chunks of a collection as one."""
    chunks = list(store.contents(collection))
    return Contents(
        keys=np.concatenate([np.empty(0, np.int64), *(chunk.keys for chunk in chunks)]),
        item_ids=[item_id for chunk in chunks for item_id in chunk.item_ids],
        labels=[label for chunk in chunks for label in chunk.labels],
        created=[created for chunk in chunks for created in chunk.created],
        attributes=[attributes for chunk in chunks for attributes in chunk.attributes],
        vectors=np.concatenate([np.empty((0, collection.dim), np.float32), *(chunk.vectors for chunk in chunks)]),
    )


def snapshot(store: Store, collection: Collection) -> Any:
    """Everything that can be read of a collection's items, to be compared."""
    contents = everything(store, collection)
    return (
        contents.keys.tolist(),
        contents.item_ids,
        contents.labels,
        contents.created,
        contents.attributes,
        contents.vectors.tolist(),
        store.items(collection, after=None, limit=10_000),
    )


def query(folder: Path, statement: str) -> list[Any]:
    """What another connection reads from the store in `folder`."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "farnear.db")) as other:
        return other.execute(statement).fetchall()


def image_count(folder: Path) -> int:
    return int(query(folder, "SELECT count(*) FROM images")[0][0])
