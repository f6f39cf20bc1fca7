from pathlib import Path

import pytest
from farnear_service.errors import AlreadyExistsError
from farnear_service.store import Store
from farnear_service.types import (
    AttributeType,
    Collection,
    ImageRetention,
    IndexKind,
    IndexSettings,
    Interaction,
    Opinion,
)

from tests.farnear_service.store.conftest import everything, new_collection, row


def test_collections_come_by_name(store: Store) -> None:
    for name in ("b", "a", "C"):
        new_collection(store, name)
    assert [record.name for record in store.collections()] == ["C", "a", "b"]


@pytest.mark.parametrize("retention", ImageRetention)
def test_a_collection_is_read_back_as_it_was_made(store: Store, retention: ImageRetention) -> None:
    schema = {"depth": AttributeType.NUMBER, "seen": AttributeType.TIMESTAMP}
    index = IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.95)
    made = store.create_collection(
        "cells",
        bundle_name="tiny",
        bundle_digest="ab" * 32,
        dim=7,
        retention=retention,
        schema=schema,
        index=index,
    )
    assert (made.name, made.bundle_name, made.bundle_digest, made.dim) == ("cells", "tiny", "ab" * 32, 7)
    assert (made.retention, made.schema, made.index) == (retention, schema, index)
    assert store.collections() == [made]


def test_what_is_not_said_of_a_collection_is_the_default(store: Store) -> None:
    made = new_collection(store, "cells")
    assert (made.schema, made.index) == ({}, IndexSettings())
    assert store.collections() == [made]


def test_a_taken_name_is_refused_and_the_store_goes_on(store: Store, cells: Collection) -> None:
    with pytest.raises(AlreadyExistsError, match="collection: 'cells' is there already"):
        new_collection(store, "cells")
    assert store.collections() == [cells]
    new_collection(store, "other")


def test_a_deleted_collection_takes_its_items_and_histories_along(store: Store, cells: Collection) -> None:
    other = new_collection(store, "other")
    for collection in (cells, other):
        store.write(collection, [[row("a", image=b"1"), row("b")]])
        store.record_interactions(collection, "ada", [Interaction(item_id="a", opinion=Opinion.LIKED, time=1.0)])
    assert store.delete_collection(cells) == 2
    again = new_collection(store, "cells")
    assert again.key > cells.key
    for gone in (cells, again):
        assert everything(store, gone).item_ids == []
        assert store.interactions(gone, "ada", limit=10) == []
    assert everything(store, other).item_ids == ["a", "b"]
    assert store.image(other, "a") == b"1"
    assert len(store.interactions(other, "ada", limit=10)) == 1


def test_a_bundle_name_stands_for_the_last_digest_given(store: Store) -> None:
    store.set_bundle("tiny", "0" * 64)
    store.set_bundle("big", "2" * 64)
    store.set_bundle("tiny", "1" * 64)
    assert store.bundles() == {"tiny": "1" * 64, "big": "2" * 64}


def test_what_is_known_of_a_bundle_is_not_written_again(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "data" / "farnear.db-wal"
    store.set_bundle("tiny", "0" * 64)
    size = log.stat().st_size
    store.set_bundle("tiny", "0" * 64)
    assert log.stat().st_size == size
    store.set_bundle("tiny", "1" * 64)
    assert log.stat().st_size > size


def test_bundles_are_used_by_names_collections_and_activations(store: Store, cells: Collection) -> None:
    store.set_bundle("tiny", "1" * 64)
    store.begin_activation(cells, bundle_name="tiny", bundle_digest="2" * 64, dim=3)
    store.set_bundle("tiny", "3" * 64)
    assert store.used_bundles() == {"0" * 64, "2" * 64, "3" * 64}
