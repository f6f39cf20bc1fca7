import threading

import numpy as np
import pytest
from farnear_service.index import FlatIndex
from farnear_service.types import FloatArray

EAST, NORTH, WEST = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)


def rows(*vectors: tuple[float, ...]) -> FloatArray:
    return np.array(vectors, np.float32)


@pytest.fixture
def compass() -> FlatIndex:
    index = FlatIndex(2)
    index.add(np.array([3, 5, 9]), ["east", "north", "west"], ["a", "", "b"], rows(EAST, NORTH, WEST))
    return index


def test_nearest_and_farthest_of_three(compass: FlatIndex) -> None:
    (nearest,), (farthest,) = compass.now().nearest(rows(EAST), 3), compass.now().farthest(rows(EAST), 3)
    assert [(hit.key, hit.item_id, hit.label, hit.similarity) for hit in nearest] == [
        (3, "east", "a", 1.0),
        (5, "north", "", 0.0),
        (9, "west", "b", -1.0),
    ]
    assert [(hit.item_id, hit.similarity) for hit in farthest] == [("west", -1.0), ("north", 0.0), ("east", 1.0)]


def test_fewer_come_where_the_index_holds_fewer(compass: FlatIndex) -> None:
    assert [len(hits) for hits in compass.now().nearest(rows(EAST, WEST), 1000)] == [3, 3]
    assert FlatIndex(2).now().nearest(rows(EAST), 5) == [[]]
    assert FlatIndex(2).now().farthest(rows(EAST, WEST), 5) == [[], []]


def test_no_query_has_no_answer(compass: FlatIndex) -> None:
    assert compass.now().nearest(np.empty((0, 2), np.float32), 5) == []


def test_ties_come_in_order_of_the_bytes_of_their_ids_at_both_ends() -> None:
    index = FlatIndex(2)
    ids = ["b", "ä", "Z", "a", "\U0001f600", "\uff5e", "aa"]  # \uff5e sorts before the emoji in bytes, not in UTF-16
    index.add(np.arange(7), ids, [""] * 7, rows(*[EAST] * 7))
    expected = sorted(ids, key=str.encode)
    for k in range(1, 8):
        assert [hit.item_id for hit in index.now().nearest(rows(NORTH), k)[0]] == expected[:k]
        assert [hit.item_id for hit in index.now().farthest(rows(NORTH), k)[0]] == expected[:k]


def test_more_equal_vectors_than_were_first_asked_for_are_still_ranked_by_id() -> None:
    count = 500
    index = FlatIndex(2)
    ids = [f"{(7 * i) % count:03d}" for i in range(count)]
    index.add(np.arange(count), ids, [""] * count, rows(*[EAST] * count))
    assert [hit.item_id for hit in index.now().nearest(rows(EAST), 3)[0]] == ["000", "001", "002"]
    assert [hit.item_id for hit in index.now().farthest(rows(EAST), 3)[0]] == ["000", "001", "002"]


def test_similarity_stays_within_the_cosine_scale() -> None:
    vector = np.full((1, 3), 0.57735030, np.float32)  # its float32 square sums to a little over 1
    assert float((vector.astype(np.float64) ** 2).sum()) > 1
    index = FlatIndex(3)
    index.add(np.array([1]), ["a"], [""], vector)
    assert index.now().nearest(vector, 1)[0][0].similarity == 1.0
    assert index.now().farthest(-vector, 1)[0][0].similarity == -1.0


def test_removed_items_are_gone_and_unknown_keys_are_no_error(compass: FlatIndex) -> None:
    compass.remove([5, 77])
    assert len(compass) == 2
    assert [hit.item_id for hit in compass.now().nearest(rows(NORTH), 9)[0]] == ["east", "west"]
    compass.remove([])
    compass.remove([3, 9])
    assert len(compass) == 0
    assert compass.now().nearest(rows(NORTH), 9) == [[]]
    compass.add(np.array([10]), ["new"], [""], rows(NORTH))
    assert [hit.key for hit in compass.now().farthest(rows(NORTH), 9)[0]] == [10]


def test_a_generation_in_hand_stays_as_it_is(compass: FlatIndex) -> None:
    held = compass.now()
    compass.add(np.array([11]), ["late"], ["x"], rows(WEST))
    compass.remove([3])
    compass.add(np.array([12]), ["later"], ["y"], rows(WEST))
    assert held.keys.tolist() == [3, 5, 9]
    assert held.item_ids[: len(held)] == ["east", "north", "west"]
    np.testing.assert_array_equal(held.vectors, rows(EAST, NORTH, WEST))
    assert compass.now().item_ids == ["north", "west", "late", "later"]


def test_inputs_are_not_modified(compass: FlatIndex) -> None:
    queries, more = rows(EAST, NORTH), rows(WEST)
    queries.setflags(write=False)
    more.setflags(write=False)
    compass.add(np.array([20]), ["w"], [""], more)
    compass.now().nearest(queries, 2)
    compass.now().farthest(queries, 2)
    np.testing.assert_array_equal(queries, rows(EAST, NORTH))


def test_readers_see_whole_generations_while_a_writer_works() -> None:
    """Every write adds or removes whole groups of eight; a reader must never count a part of one."""
    dim, group = 8, 8
    index = FlatIndex(dim)
    random = np.random.default_rng(0)
    faults: list[str] = []
    stop = threading.Event()

    def read() -> None:
        query = rows((1.0,) + (0.0,) * (dim - 1))
        while not stop.is_set():
            (hits,) = index.now().nearest(query, 10_000)
            if len(hits) % group:
                faults.append(f"{len(hits)} hits, which is no multiple of {group}")
            faults.extend(
                f"key {hit.key} came as {hit.item_id!r}, {hit.label!r}"
                for hit in hits
                if (hit.item_id, hit.label) != (str(hit.key), f"label {hit.key}")
            )
            now = index.now()
            if not (np.diff(now.keys) > 0).all() or len(now.keys) != len(now.vectors):
                faults.append("keys out of order")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        newest = 0
        for step in range(300):
            keys = np.arange(newest, newest + group)
            newest += group
            vectors = random.normal(size=(group, dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            index.add(keys, [str(key) for key in keys], [f"label {key}" for key in keys], vectors)
            if step % 3 == 2:
                first = group * int(random.integers(0, newest // group))
                index.remove(range(first, first + group))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert faults == []
