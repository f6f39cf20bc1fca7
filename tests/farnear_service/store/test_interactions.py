import contextlib
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest
from farnear_service.errors import NotFoundError
from farnear_service.store import Store
from farnear_service.types import Collection, Interaction, Opinion

from tests.farnear_service.store.conftest import new_collection, query, row


def did(item_id: str, time: float, opinion: Opinion = Opinion.SEEN) -> Interaction:
    return Interaction(item_id=item_id, opinion=opinion, time=time)


@pytest.fixture
def filled(store: Store, cells: Collection) -> Collection:
    store.write(cells, [[row(item_id) for item_id in ("a", "b", "c", "d", "é")]])
    return cells


def history(store: Store, collection: Collection, user: str) -> list[Interaction]:
    return store.interactions(collection, user, limit=10_000)


def test_interactions_come_newest_first_and_at_one_time_by_id(store: Store, filled: Collection) -> None:
    known = [
        did("c", 5.5),
        did("a", 7.25, Opinion.LIKED),
        did("é", 5.5, Opinion.DISLIKED),
        did("b", 5.5),
        did("d", -1.0),
    ]
    store.record_interactions(filled, "ada", known[:2])
    store.record_interactions(filled, "ada", known[2:])
    expected = [known[1], known[3], known[0], known[2], known[4]]
    assert history(store, filled, "ada") == expected
    for limit in (1, 2, 3):
        found: list[Interaction] = []
        behind = None
        while page := store.interactions(filled, "ada", behind=behind, limit=limit):
            assert len(page) <= limit
            found += page
            behind = (page[-1].time, page[-1].item_id)
        assert found == expected


def test_the_last_word_on_an_item_stands(store: Store, filled: Collection) -> None:
    store.record_interactions(filled, "ada", [did("a", 2.0, Opinion.LIKED), did("a", 3.0, Opinion.DISLIKED)])
    assert history(store, filled, "ada") == [did("a", 3.0, Opinion.DISLIKED)]
    store.record_interactions(filled, "ada", [did("a", 2.5, Opinion.LIKED)])  # told late, but no later word
    assert history(store, filled, "ada") == [did("a", 3.0, Opinion.DISLIKED)]
    store.record_interactions(filled, "ada", [did("a", 3.0, Opinion.SEEN)])
    assert history(store, filled, "ada") == [did("a", 3.0, Opinion.SEEN)]
    store.record_interactions(filled, "ada", [did("a", 4.0, Opinion.LIKED)])
    assert history(store, filled, "ada") == [did("a", 4.0, Opinion.LIKED)]


def test_an_item_that_is_not_there_is_named_and_nothing_is_kept(store: Store, filled: Collection) -> None:
    store.write(new_collection(store, "other"), [[row("z")]])
    with pytest.raises(NotFoundError, match="interactions: collection 'cells' has no item 'z'"):
        store.record_interactions(filled, "ada", [did("a", 1.0), did("z", 1.0), did("b", 1.0)])
    assert history(store, filled, "ada") == []


def test_users_and_collections_are_told_apart(store: Store, filled: Collection) -> None:
    other = new_collection(store, "other")
    store.write(other, [[row("a")]])
    store.record_interactions(filled, "ada", [did("a", 1.0)])
    store.record_interactions(filled, "Ada", [did("b", 1.0)])
    store.record_interactions(other, "ada", [did("a", 2.0)])
    assert history(store, filled, "ada") == [did("a", 1.0)]
    assert history(store, filled, "Ada") == [did("b", 1.0)]
    assert history(store, filled, "nobody") == []
    assert store.delete_interactions(filled, "ada") == 1
    assert history(store, filled, "ada") == []
    assert history(store, filled, "Ada") == [did("b", 1.0)]
    assert history(store, other, "ada") == [did("a", 2.0)]


def test_a_user_who_is_not_known_may_be_forgotten(store: Store, filled: Collection) -> None:
    assert store.delete_interactions(filled, "nobody") == 0


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((folder / "data").glob("farnear.db*")))


def test_a_forgotten_user_is_in_no_file_any_more(store: Store, filled: Collection, tmp_path: Path) -> None:
    known = sha256(b"ada@example.org").digest()
    store.record_interactions(filled, "bob", [did("a", 1.0)])
    store.record_interactions(filled, "ada@example.org", [did("a", 1.0), did("b", 2.0, Opinion.LIKED)])
    assert known in bytes_on_disk(tmp_path)
    assert store.delete_interactions(filled, "ada@example.org") == 2
    assert known not in bytes_on_disk(tmp_path)
    assert b"ada@example.org" not in bytes_on_disk(tmp_path)
    assert history(store, filled, "bob") == [did("a", 1.0)]


def test_of_a_long_history_whole_pages_are_overwritten_too(store: Store, cells: Collection, tmp_path: Path) -> None:
    known = sha256(b"ada").digest()
    store.write(cells, [[row(f"{number:04}") for number in range(2_000)]])
    for user in ("bob", "ada", "eve"):
        store.record_interactions(cells, user, [did(f"{number:04}", 1.0) for number in range(2_000)])
    assert bytes_on_disk(tmp_path).count(known) > 4_000  # in the table, in its index, and older pages in the log
    assert store.delete_interactions(cells, "ada") == 2_000
    assert bytes_on_disk(tmp_path).count(known) < 10  # strays, without a name
    assert len(history(store, cells, "bob")) == len(history(store, cells, "eve")) == 2_000


def test_forgetting_does_not_wait_for_a_reader(store: Store, filled: Collection, tmp_path: Path) -> None:
    store.record_interactions(filled, "ada", [did("a", 1.0)])
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "farnear.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert (
            len(reader.execute("SELECT * FROM interactions").fetchall()) == 1
        )  # it holds on to this, as a backup does
        assert store.delete_interactions(filled, "ada") == 1
        assert query(tmp_path, "SELECT * FROM interactions") == []
        assert len(reader.execute("SELECT * FROM interactions").fetchall()) == 1
    store.record_interactions(filled, "ada", [did("b", 1.0)])
