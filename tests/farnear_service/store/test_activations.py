from pathlib import Path

import numpy as np
import pytest
from farnear_service.errors import PreconditionError
from farnear_service.store import Activation, Deletion, Store
from farnear_service.types import (
    AttributeType,
    Collection,
    FloatArray,
    ImageRetention,
    IndexKind,
    IndexSettings,
    Interaction,
    Opinion,
)

from tests.farnear_service.store.conftest import everything, image_count, keys_of, new_collection, query, row, snapshot


def moving(*, done: int, of: int) -> Activation:
    return Activation(bundle_name="big", bundle_digest="1" * 64, dim=3, done_count=done, item_count=of)


def begin(store: Store, collection: Collection) -> None:
    store.begin_activation(collection, bundle_name="big", bundle_digest="1" * 64, dim=3)


def under_new_bundle(image: bytes) -> FloatArray:
    """What the bundle to be makes of an image."""
    return np.array([len(image), image[-1], 1], np.float32)


def embed(store: Store, collection: Collection, limit: int) -> int:
    found = store.to_embed(collection, limit)
    store.embedded(collection, [(key, under_new_bundle(image)) for key, image in found])
    return len(found)


@pytest.fixture
def filled(store: Store) -> Collection:
    cells = store.create_collection(
        "cells",
        bundle_name="tiny",
        bundle_digest="0" * 64,
        dim=2,
        retention=ImageRetention.ORIGINAL,
        schema={"depth": AttributeType.NUMBER},
        index=IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.9),
    )
    rows = [row(item_id, label=item_id, image=f"image {item_id}".encode()) for item_id in "abcde"]
    store.write(cells, [rows, [row("f", image=b"image a", attributes={"depth": 1.0})]])
    return cells


def test_large_images_come_a_few_at_a_time(store: Store, filled: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farnear_service.store.activations._IMAGE_BYTES", 10)
    begin(store, filled)
    assert [len(image) for _, image in store.to_embed(filled, 4)] == [7, 7]
    assert [embed(store, filled, 4) for _ in range(4)] == [2, 2, 2, 0]


def test_a_move_swaps_all_vectors_at_once(store: Store, filled: Collection) -> None:
    other = new_collection(store, "other")
    store.write(other, [[row("a", image=b"image a")]])
    before, others_before = everything(store, filled), snapshot(store, other)
    assert store.activation(filled) is None
    begin(store, filled)
    assert store.activation(filled) == moving(done=0, of=6)
    assert embed(store, filled, 4) == 4
    assert store.activation(filled) == moving(done=4, of=6)
    np.testing.assert_array_equal(everything(store, filled).vectors, before.vectors)
    assert embed(store, filled, 4) == 2
    assert embed(store, filled, 4) == 0

    moved = store.swap(filled)
    assert moved.key > filled.key
    assert (moved.bundle_name, moved.bundle_digest, moved.dim) == ("big", "1" * 64, 3)
    assert (moved.name, moved.retention, moved.created) == (filled.name, filled.retention, filled.created)
    assert (moved.schema, moved.index) == (filled.schema, filled.index)
    assert store.collections() == [moved, other]
    assert store.activation(moved) is None
    after = everything(store, moved)
    assert after.keys.tolist() == before.keys.tolist()
    assert (after.item_ids, after.labels) == (before.item_ids, before.labels)
    assert (after.created, after.attributes) == (before.created, before.attributes)
    images = [store.image(moved, item_id) for item_id in after.item_ids]
    np.testing.assert_array_equal(after.vectors, [under_new_bundle(image) for image in images])
    assert everything(store, filled).item_ids == []
    assert snapshot(store, other) == others_before


def test_what_is_written_during_a_move_is_embedded_too(store: Store, filled: Collection, tmp_path: Path) -> None:
    begin(store, filled)
    assert embed(store, filled, 3) == 3  # a, b and c
    store.write(filled, [[row("b", image=b"image B"), row("g", image=b"image g")], Deletion(["a", "e"])])
    assert store.activation(filled) == moving(done=1, of=5)
    assert [image for _, image in store.to_embed(filled, 10)] == [b"image d", b"image a", b"image B", b"image g"]
    with pytest.raises(PreconditionError, match="bundle: 4 items of 'cells' are not embedded anew yet"):
        store.swap(filled)
    while embed(store, filled, 3):
        pass
    moved = store.swap(filled)
    assert everything(store, moved).item_ids == ["c", "d", "f", "b", "g"]
    np.testing.assert_array_equal(store.vector(moved, "b")[1], under_new_bundle(b"image B"))
    assert query(tmp_path, "SELECT count(*) FROM embedded") == [(0,)]
    assert image_count(tmp_path) == 5


def test_vectors_may_come_in_any_order_and_again(store: Store, filled: Collection) -> None:
    begin(store, filled)
    found = store.to_embed(filled, 10)
    last, second = found[-1], found[1]
    store.embedded(filled, [(last[0], np.zeros(3, np.float32)), (second[0], under_new_bundle(second[1]))])
    store.embedded(filled, [(last[0], under_new_bundle(last[1]))])
    assert store.to_embed(filled, 10) == [found[0], *found[2:-1]]
    assert store.to_embed(filled, 1) == [found[0]]
    while embed(store, filled, 1):
        pass
    moved = store.swap(filled)
    images = [store.image(moved, item_id) for item_id in everything(store, moved).item_ids]
    np.testing.assert_array_equal(everything(store, moved).vectors, [under_new_bundle(image) for image in images])


def test_vectors_of_items_that_are_gone_or_of_another_collection_are_dropped(store: Store, filled: Collection) -> None:
    other = new_collection(store, "other")
    (foreign,) = keys_of(store, other, [row("a", image=b"image a")])
    begin(store, filled)
    gone, _ = store.to_embed(filled, 1)[0]
    store.write(filled, [Deletion(["a"])])
    store.embedded(
        filled, [(gone, np.ones(3, np.float32)), (foreign, np.ones(3, np.float32)), (10**6, np.ones(3, np.float32))]
    )
    assert store.activation(filled) == moving(done=0, of=5)


def test_a_move_goes_on_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    cells = new_collection(store, "cells")
    store.write(cells, [[row(item_id, image=f"image {item_id}".encode()) for item_id in "abc"]])
    begin(store, cells)
    assert embed(store, cells, 2) == 2
    store.close()
    reopened = Store(tmp_path / "data")
    assert reopened.activation(cells) == moving(done=2, of=3)
    assert embed(reopened, cells, 2) == 1
    assert reopened.swap(cells).dim == 3
    reopened.close()


def test_histories_of_users_move_along(store: Store, filled: Collection) -> None:
    liked = Interaction(item_id="c", opinion=Opinion.LIKED, time=1.0)
    store.record_interactions(filled, "ada", [liked])
    begin(store, filled)
    while embed(store, filled, 10):
        pass
    moved = store.swap(filled)
    assert store.interactions(moved, "ada", limit=10) == [liked]
    assert store.interactions(filled, "ada", limit=10) == []


def test_a_move_that_is_given_up_leaves_nothing(store: Store, filled: Collection, tmp_path: Path) -> None:
    before = snapshot(store, filled)
    begin(store, filled)
    assert embed(store, filled, 4) == 4
    store.end_activation(filled)
    assert store.activation(filled) is None
    assert query(tmp_path, "SELECT count(*) FROM embedded") == [(0,)]
    assert snapshot(store, filled) == before
    begin(store, filled)
    assert store.activation(filled) == moving(done=0, of=6)


def test_a_deleted_collection_takes_its_move_along(store: Store, filled: Collection, tmp_path: Path) -> None:
    begin(store, filled)
    assert embed(store, filled, 4) == 4
    assert store.delete_collection(filled) == 6
    assert query(tmp_path, "SELECT (SELECT count(*) FROM embedded) + (SELECT count(*) FROM activations)") == [(0,)]


def test_an_empty_collection_moves_at_once(store: Store, cells: Collection) -> None:
    begin(store, cells)
    assert store.to_embed(cells, 10) == []
    assert store.swap(cells).dim == 3


def test_a_second_move_is_refused(store: Store, filled: Collection) -> None:
    begin(store, filled)
    with pytest.raises(PreconditionError, match="bundle: an activation of 'cells' is under way already"):
        begin(store, filled)


def test_items_without_a_kept_original_are_counted_and_one_is_named(store: Store, filled: Collection) -> None:
    store.write(filled, [[row("y"), row("x")]])
    with pytest.raises(PreconditionError, match=r"bundle: 2 items of 'cells' have no kept original .*'x' for one"):
        begin(store, filled)
    assert store.activation(filled) is None


def test_a_thumbnail_is_no_original(store: Store) -> None:
    small = new_collection(store, "small", retention=ImageRetention.THUMBNAIL)
    store.write(small, [[row("a", image=b"1")]])
    with pytest.raises(PreconditionError, match="1 items of 'small' have no kept original"):
        begin(store, small)


def test_without_a_move_there_is_nothing_to_swap_or_take(store: Store, filled: Collection) -> None:
    before = snapshot(store, filled)
    with pytest.raises(PreconditionError, match="bundle: no activation of 'cells' is under way"):
        store.swap(filled)
    with pytest.raises(PreconditionError, match="bundle: no activation of 'cells' is under way"):
        store.embedded(filled, [(store.item(filled, "a").key, np.ones(3, np.float32))])
    store.end_activation(filled)
    assert snapshot(store, filled) == before
    assert store.collections() == [filled]
