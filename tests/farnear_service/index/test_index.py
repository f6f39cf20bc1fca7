import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from farnear_service.index import Generation, Index, build
from farnear_service.types import Direction, FloatArray, IndexKind, IndexSettings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.farnear_service.index.plain import KINDS, Item, Kind, answer, brute_force, filled, put, sphere, unit

EAST, NORTH, WEST = unit([[1, 0], [0, 1], [-1, 0]])
APPROXIMATE = IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.9)


def contents(now: Generation) -> dict[int, Item]:
    """What a generation holds."""
    assert len(now) == now.live.sum()
    assert len(now.keys) == len(now.vectors) == len(now.columns) == len(now.live)
    assert (np.diff(now.keys) > 0).all()
    rows = np.flatnonzero(now.live)
    return dict(zip(now.keys[rows].tolist(), map(Item, now.columns.item_ids(rows), now.vectors[rows]), strict=True))


def same(items: dict[int, Item], others: dict[int, Item]) -> bool:
    return list(items) == list(others) and all(
        items[key].item_id == others[key].item_id and np.array_equal(items[key].vector, others[key].vector)
        for key in items
    )


@pytest.fixture
def compass() -> Index:
    index = Index(2, IndexSettings())
    put(index, [3, 5, 9], np.stack([EAST, NORTH, WEST]), ["east", "north", "west"])
    return index


def nearest(index: Index, query: FloatArray, k: int = 9) -> list[str]:
    (found,) = index.now().search(query[None], k, Direction.SIMILAR)
    return [item_id for _, item_id, _ in answer(found.similar)]


def test_removed_items_are_gone_and_unknown_keys_are_no_error(compass: Index) -> None:
    compass.remove([5, 4, 77, 5])
    compass.remove([5])
    assert len(compass) == 2
    assert nearest(compass, NORTH) == ["east", "west"]
    compass.remove([])
    compass.remove([3, 9])
    assert len(compass) == 0
    assert nearest(compass, NORTH) == []
    compass.add(np.array([10]), ["new"], ["label"], [1.0], [{"size": 2.0}], NORTH[None])
    assert list(contents(compass.now())) == [10]
    assert nearest(compass, EAST) == ["new"]


def test_a_change_removes_and_adds_at_once(compass: Index) -> None:
    put(compass, [11], WEST[None], ["north"], removed=[5])
    assert nearest(compass, EAST) == ["east", "north", "west"]
    assert list(contents(compass.now())) == [3, 9, 11]


def test_a_generation_in_hand_stays_as_it_is(compass: Index) -> None:
    held = compass.now()
    before = contents(held)
    put(compass, [11], WEST[None], ["late"])
    compass.remove([3])
    between, also = compass.now(), contents(compass.now())
    put(compass, [12, 13], np.stack([WEST, EAST]), ["later", "last"], removed=[5, 9])
    assert same(contents(held), before)
    assert same(contents(between), also)
    assert list(before) == [3, 5, 9]
    assert list(also) == [5, 9, 11]
    assert list(contents(compass.now())) == [11, 12, 13]


def test_rows_are_renumbered_only_when_many_are_dead() -> None:
    index = filled(sphere(np.random.default_rng(0), 800, 4))
    index.remove(range(100))
    now = index.now()
    assert (len(now), len(now.keys), now.numbering) == (700, 800, 0)
    index.remove([400])
    now = index.now()
    assert (len(now), len(now.keys), now.numbering) == (699, 699, 1)
    assert now.live.all()


def test_nothing_is_copied_up_to_the_room() -> None:
    index = Index(2, IndexSettings(), room=3000)
    ids = [f"item {number:04}" for number in range(3001)]
    put(index, range(1500), np.repeat(EAST[None], 1500, axis=0), ids[:1500])
    before = index.now()
    put(index, range(1500, 3000), np.repeat(WEST[None], 1500, axis=0), ids[1500:3000])
    now = index.now()
    assert [item.item_id for item in contents(now).values()] == ids[:3000]
    columns = [
        [generation.columns.ids.text, generation.columns.ids.stops]
        + [generation.columns.fields[name].values for name in ("label", "create_time")]
        for generation in (before, now)
    ]
    for one, other in zip(
        (before.keys, before.vectors, before.live, *columns[0]),
        (now.keys, now.vectors, now.live, *columns[1]),
        strict=True,
    ):
        assert np.shares_memory(one, other)
    put(index, [3000], NORTH[None], ids[3000:])
    assert nearest(index, NORTH, 1) == [ids[3000]]
    assert len(index) == 3001


def test_vectors_begin_with_a_line_of_memory() -> None:
    index = filled(sphere(np.random.default_rng(1), 3000, 16))
    assert index.now().vectors.ctypes.data % 64 == 0
    index.remove(range(2000))
    assert index.now().vectors.ctypes.data % 64 == 0


writes = st.lists(
    st.tuples(st.lists(st.integers(0, 200), max_size=60), st.integers(0, 40)),  # keys to remove, how many to add
    max_size=14,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(steps=writes, seed=st.integers(0, 2**32), k=st.integers(1, 30), data=st.data())
def test_random_writes_then_search(
    kind: Kind, steps: list[tuple[list[int], int]], seed: int, k: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    index = Index(6, IndexSettings())
    items: dict[int, Item] = {}
    held: list[tuple[Generation, dict[int, Item]]] = []
    newest = 0
    for removed, count in steps:
        keys = range(newest + 1, newest + 1 + count)
        newest += count
        vectors = kind(random, count, 6)
        ids = [data.draw(st.text("aé~\U0001f600", max_size=3)) + f"#{key}" for key in keys]
        put(index, keys, vectors, ids, removed=removed)
        items = {key: item for key, item in items.items() if key not in removed}
        items.update(zip(keys, map(Item, ids, vectors), strict=True))
        held.append((index.now(), items.copy()))
    queries = kind(random, 2, 6)
    for now, expected in held[-3:]:
        assert same(contents(now), expected)
        for query, found in zip(queries, now.search(queries, k, Direction.BOTH), strict=True):
            assert answer(found.similar) == brute_force(expected, query, k)
            assert answer(found.divergent) == brute_force(expected, query, k, divergent=True)


def test_inputs_are_not_modified(compass: Index) -> None:
    vectors, keys = WEST[None].copy(), np.array([20])
    for array in (vectors, keys):
        array.setflags(write=False)
    compass.add(keys, ["w"], [""], [0.0], [{}], vectors)
    vectors.setflags(write=True)
    vectors[:] = 7
    np.testing.assert_array_equal(compass.now().vectors[-1], WEST)


def test_a_build_is_due_when_there_are_many_items_and_when_a_fifth_of_them_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farnear_service.index.index.MIN_APPROXIMATE", 2000)
    vectors = sphere(np.random.default_rng(2), 3000, 4)
    assert not filled(vectors).build_is_due()
    index = filled(vectors[:1999], settings=APPROXIMATE)
    assert not index.build_is_due()
    put(index, [1999], vectors[1999:2000], ["2000"])
    assert index.build_is_due()
    index.adopt(build(index.now(), APPROXIMATE))
    assert not index.build_is_due()
    index.remove(range(200))
    put(index, range(2000, 2199), vectors[2000:2199], [str(key) for key in range(2000, 2199)])
    assert not index.build_is_due()
    put(index, [2199], vectors[2199:2200], ["last"])
    assert index.build_is_due()


def test_an_adopted_index_answers_through_writes_and_renumbering() -> None:
    random = np.random.default_rng(3)
    index = filled(sphere(random, 4000, 4), settings=APPROXIMATE)
    index.adopt(build(index.now(), APPROXIMATE))
    queries = sphere(random, 50, 4)
    for step in range(6):
        removed = random.choice(list(contents(index.now())), 150, replace=False).tolist()
        keys = range(4000 + 50 * step, 4050 + 50 * step)
        put(index, keys, sphere(random, 50, 4), [f"new {key}" for key in keys], removed=removed)
        now = index.now()
        items = contents(now)
        exact = replace(now, approximate=None).search(queries, 10, Direction.BOTH)
        found = now.search(queries, 10, Direction.BOTH)
        for end in ("similar", "divergent"):
            shares = []
            for got, true in zip(found, exact, strict=True):
                assert getattr(got, end).certificate is not None
                hits, expected = answer(getattr(got, end)), answer(getattr(true, end))
                assert all(items[key].item_id == item_id for key, item_id, _ in hits)
                shares.append(len(set(hits) & set(expected)) / 10)
            assert np.mean(shares) > 0.9, (step, end)
    assert index.now().numbering > 0


def test_an_index_of_rows_that_were_renumbered_since_is_forgotten() -> None:
    index = filled(sphere(np.random.default_rng(4), 2000, 4), settings=APPROXIMATE)
    late = build(index.now(), APPROXIMATE)
    index.remove(range(1000))
    index.adopt(late)
    assert index.now().approximate is None


def test_readers_see_whole_generations_while_a_writer_works() -> None:
    """Every write adds or removes whole groups of eight; a reader must never count a part of one."""
    dim, group = 8, 8
    index = Index(dim, IndexSettings())
    random = np.random.default_rng(0)
    faults: list[str] = []
    stop = threading.Event()

    def read() -> None:
        query = np.eye(dim, dtype=np.float32)[:1]
        while not stop.is_set():
            now = index.now()
            (found,) = now.search(query, 10_000, Direction.SIMILAR)
            assert found.similar is not None
            hits = found.similar.hits
            if len(hits) != len(now) or len(hits) % group:
                faults.append(f"{len(hits)} hits of {len(now)} items, in groups of {group}")
            faults.extend(
                f"key {hit.key} came as {hit.item_id!r}, {hit.label!r}"
                for hit in hits
                if (hit.item_id, hit.label) != (str(hit.key), f"[{hit.key}]")
            )

    def write(keys: Sequence[int], removed: Sequence[int]) -> None:
        put(index, keys, sphere(random, len(keys), dim), [str(key) for key in keys], removed=removed)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for step in range(300):
            first = group * int(random.integers(0, step + 1))
            write(range(group * step, group * (step + 1)), range(first, first + group) if step % 3 == 2 else ())
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert faults == []
    assert index.now().numbering > 0
