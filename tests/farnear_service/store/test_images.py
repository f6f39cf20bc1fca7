from pathlib import Path

from farnear_service.store import Deletion, Store
from farnear_service.types import Collection

from tests.farnear_service.store.conftest import image_count, new_collection, row


def test_equal_images_are_kept_once_and_go_with_the_last_item(store: Store, tmp_path: Path) -> None:
    cells, other = new_collection(store, "cells"), new_collection(store, "other")
    store.write(cells, [[row("a", image=b"same"), row("b", image=b"same"), row("c", image=b"own")]])
    store.write(other, [[row("a", image=b"same")]])
    assert image_count(tmp_path) == 2
    store.write(cells, [Deletion(["a", "c"])])
    assert image_count(tmp_path) == 1
    store.write(cells, [[row("b", image=b"new")]])
    assert image_count(tmp_path) == 2
    assert store.image(other, "a") == b"same"
    store.write(other, [[row("a")]])
    assert image_count(tmp_path) == 1
    assert store.image(cells, "b") == b"new"
    assert store.delete_collection(cells) == 1
    assert image_count(tmp_path) == 0


def test_a_replaced_item_with_the_same_image_keeps_it(store: Store, cells: Collection) -> None:
    store.write(cells, [[row("a", image=b"same")]])
    store.write(cells, [[row("a", label="new", image=b"same")]])
    assert store.image(cells, "a") == b"same"


def test_an_image_that_moves_from_one_item_to_another_is_kept(store: Store, cells: Collection, tmp_path: Path) -> None:
    store.write(cells, [[row("a", image=b"same")]])
    store.write(cells, [Deletion(["a"]), [row("b", image=b"same")]])
    assert store.image(cells, "b") == b"same"
    assert image_count(tmp_path) == 1


def test_an_empty_image_is_an_image(store: Store, cells: Collection) -> None:
    store.write(cells, [[row("a", image=b"")]])
    assert store.item(cells, "a").has_image
    assert store.image(cells, "a") == b""
