from dataclasses import replace

import numpy as np
import pytest
from farnear_service.index import Approximate, Generation, Position
from farnear_service.index.approximate import Probing
from farnear_service.types import Certificate, Direction, FloatArray, SearchResult

from tests.farnear_service.index.plain import Item, answer, brute_force, filled, put, scrambled_ids, sphere, unit

EAST, NORTH, WEST = unit([[1, 0], [0, 1], [-1, 0]])
CERTIFICATE = Certificate(recall=0.5, k=10, queries=7, time=1.0)


@pytest.fixture
def compass() -> Generation:
    return filled(np.stack([EAST, NORTH, WEST]), ["east", "north", "west"]).now()


def test_both_ends_of_three(compass: Generation) -> None:
    (found,) = compass.search(EAST[None], 3, Direction.BOTH)
    assert answer(found.similar) == [(0, "east", 1.0), (1, "north", 0.0), (2, "west", -1.0)]
    assert answer(found.divergent) == [(2, "west", -1.0), (1, "north", 0.0), (0, "east", 1.0)]
    assert found.similar is not None
    assert [hit.label for hit in found.similar.hits] == ["[east]", "[north]", "[west]"]
    assert found.similar.certificate is None


def test_one_end_is_what_it_is_of_both(compass: Generation) -> None:
    queries = np.stack([EAST, WEST])
    both = compass.search(queries, 2, Direction.BOTH)
    assert compass.search(queries, 2, Direction.SIMILAR) == [replace(found, divergent=None) for found in both]
    assert compass.search(queries, 2, Direction.DIVERGENT) == [replace(found, similar=None) for found in both]


def test_fewer_come_where_there_are_fewer(compass: Generation) -> None:
    assert [
        len(answer(found.similar)) for found in compass.search(np.stack([EAST, WEST]), 1000, Direction.SIMILAR)
    ] == [3, 3]
    assert compass.search(np.empty((0, 2), np.float32), 5, Direction.BOTH) == []
    (found,) = filled(np.empty((0, 2), np.float32)).now().search(EAST[None], 5, Direction.BOTH)
    assert answer(found.similar) == answer(found.divergent) == []


def test_allowed_live_and_behind_together() -> None:
    random = np.random.default_rng(0)
    vectors, query = sphere(random, 400, 8), sphere(random, 1, 8)
    index = filled(vectors)
    index.remove(list(range(0, 400, 10)))
    now = index.now()
    allowed = random.random(400) < 0.6
    items = {
        key: Item(item_id, vector)
        for key, (item_id, vector) in enumerate(zip(scrambled_ids(400), vectors, strict=True))
        if key % 10 and allowed[key]
    }
    near, far = brute_force(items, query[0], 20), brute_force(items, query[0], 20, divergent=True)
    (first,) = now.search(query, 10, Direction.BOTH, allowed=allowed)
    assert (answer(first.similar), answer(first.divergent)) == (near[:10], far[:10])
    positions = tuple(Position(similarity, item_id) for _, item_id, similarity in (near[9], far[9]))
    (second,) = now.search(query, 10, Direction.BOTH, allowed=allowed, behind=(positions[0], positions[1]))
    assert (answer(second.similar), answer(second.divergent)) == (near[10:], far[10:])


def halves(vectors: FloatArray, *, similar: bool, divergent: bool) -> Generation:
    """Vectors to the east in one list and vectors to the west in another, one of which is probed."""
    now = filled(vectors).now()
    east = vectors[:, 0] > 0
    rows = np.concatenate([np.flatnonzero(east), np.flatnonzero(~east)])
    probing = Probing(lists=1, certificates=(CERTIFICATE,))
    approximate = Approximate(
        centroids=unit(np.eye(vectors.shape[1])[[0, 0]] * [[1], [-1]]),
        vectors=vectors[rows],
        rows=rows,
        starts=np.array([0, east.sum(), len(rows)]),
        probing=(probing if similar else None, probing if divergent else None),
        item_count=len(rows),
        row_count=len(rows),
        numbering=0,
    )
    return replace(now, approximate=approximate)


def certificates(found: SearchResult) -> list[Certificate | None]:
    return [None if hits is None else hits.certificate for hits in (found.similar, found.divergent)]


def test_an_approximate_index_answers_where_it_is_certified_at_each_end_that_is_asked_for() -> None:
    vectors = sphere(np.random.default_rng(1), 60, 2)
    query = vectors[:1]

    def asked(now: Generation, direction: Direction, k: int = 10) -> list[Certificate | None]:
        (found,) = now.search(query, k, direction)
        return certificates(found)

    both, near = (halves(vectors, similar=True, divergent=divergent) for divergent in (True, False))
    assert asked(both, Direction.BOTH) == [CERTIFICATE, CERTIFICATE]
    assert asked(both, Direction.DIVERGENT) == [None, CERTIFICATE]
    assert asked(both, Direction.BOTH, k=11) == [None, None]
    assert asked(near, Direction.SIMILAR, k=1) == [CERTIFICATE, None]
    assert asked(near, Direction.BOTH) == [None, None]  # one pass serves both exactly
    for limits in ({"allowed": np.ones(60, np.bool_)}, {"behind": (None, None)}):
        (found,) = both.search(query, 10, Direction.BOTH, **limits)
        assert certificates(found) == [None, None]


def test_it_looks_through_its_lists_only() -> None:
    vectors = sphere(np.random.default_rng(2), 60, 2)
    query = unit([[0.02, 1.0]])
    (found,) = halves(vectors, similar=True, divergent=True).search(query, 5, Direction.BOTH)
    items = dict(enumerate(map(Item, scrambled_ids(60), vectors)))
    east = {key: item for key, item in items.items() if item.vector[0] > 0}
    west = {key: item for key, item in items.items() if item.vector[0] <= 0}
    assert answer(found.similar) == brute_force(east, query[0], 5) != brute_force(items, query[0], 5)
    assert answer(found.divergent) == brute_force(west, query[0], 5, divergent=True)


def test_where_its_lists_are_too_short_the_answer_is_exact() -> None:
    vectors = sphere(np.random.default_rng(3), 60, 2)
    now = halves(vectors, similar=True, divergent=True)
    live = vectors[:, 0] <= 0
    live[np.flatnonzero(~live)[:4]] = True  # four are left in the east
    now = replace(now, live=live, count=int(live.sum()))
    query = unit([[1.0, 0.1]])
    items = {key: Item(item_id, vectors[key]) for key, item_id in enumerate(scrambled_ids(60)) if live[key]}
    (enough,) = now.search(query, 4, Direction.SIMILAR)
    assert certificates(enough) == [CERTIFICATE, None]
    (short,) = now.search(query, 5, Direction.SIMILAR)
    assert certificates(short) == [None, None]
    assert answer(short.similar) == brute_force(items, query[0], 5)


def test_items_that_came_after_the_lists_are_found() -> None:
    vectors = sphere(np.random.default_rng(4), 60, 2)
    index = filled(vectors)
    put(index, [60, 61], unit([[1.0, 0.0], [-1.0, 0.0]]), ["new east", "new west"])
    now = replace(index.now(), approximate=halves(vectors, similar=True, divergent=True).approximate)
    (found,) = now.search(EAST[None], 1, Direction.BOTH)
    assert [answer(found.similar)[0][0], answer(found.divergent)[0][0]] == [60, 61]
    assert certificates(found) == [CERTIFICATE, CERTIFICATE]
