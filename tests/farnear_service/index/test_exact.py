import numpy as np
import pytest
from farnear_service.columns import ColumnsView
from farnear_service.index.exact import DIVERGENT, SIMILAR, exact, settled
from farnear_service.index.ranking import Position
from farnear_service.index.scan import HIGHEST, LOWEST, Candidates
from farnear_service.types import FloatArray
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.farnear_service.index.plain import (
    KINDS,
    Item,
    Kind,
    brute_force,
    copies,
    filled,
    listed,
    scrambled_ids,
    sphere,
)

BOTH = (True, True)


def parts(vectors: FloatArray) -> tuple[FloatArray, ColumnsView, dict[int, Item]]:
    now = filled(vectors).now()
    return now.vectors, now.columns, dict(enumerate(map(Item, scrambled_ids(len(vectors)), vectors)))


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
    count=st.sampled_from([0, 1, 5, 130, 900]),
    dim=st.sampled_from([1, 2, 6, 16, 70]),
    query_count=st.sampled_from([1, 3, 20]),
    k=st.sampled_from([1, 2, 10, 200, 2000]),
    share=st.sampled_from([None, 0.0, 0.02, 0.4, 1.0]),
)
def test_equals_brute_force(
    kind: Kind, seed: int, count: int, dim: int, query_count: int, k: int, share: float | None
) -> None:
    random = np.random.default_rng(seed)
    vectors, columns, items = parts(kind(random, count, dim))
    queries = kind(random, query_count, dim)
    queries[: min(count, 2)] = vectors[:2][:query_count]
    allowed = None
    if share is not None:
        allowed = random.random(count) < share
        items = {row: item for row, item in items.items() if allowed[row]}
    found = exact(vectors, columns, queries, k, ends=BOTH, allowed=allowed)
    for number, query in enumerate(queries[:3]):
        for end, divergent in ((SIMILAR, False), (DIVERGENT, True)):
            expected = brute_force(items, query, k, divergent=divergent)
            assert listed(found, columns, end, number) == expected
            if expected:
                _, item_id, similarity = expected[seed % len(expected)]
                mark = Position(similarity, item_id)
                behind = (None, mark) if divergent else (mark, None)
                after = exact(vectors, columns, query[None], k, ends=BOTH, allowed=allowed, behind=behind)
                assert listed(after, columns, end) == brute_force(items, query, k, divergent=divergent, behind=mark)


@pytest.mark.parametrize("dim", [1, 2, 3, 16, 128, 512])
def test_many_queries_at_once(dim: int) -> None:
    random = np.random.default_rng(dim)
    vectors = sphere(random, 2000, dim)
    vectors[::7] = vectors[0]
    vectors, columns, items = parts(vectors)
    queries = np.concatenate([vectors[:5], -vectors[:5], vectors[random.integers(0, 2000, 60)]])
    found = exact(vectors, columns, queries, 10, ends=BOTH)
    assert found.rows.shape == (2, 70, 10)
    for number in range(0, 70, 9):
        assert listed(found, columns, SIMILAR, number) == brute_force(items, queries[number], 10)
        assert listed(found, columns, DIVERGENT, number) == brute_force(items, queries[number], 10, divergent=True)


@pytest.mark.parametrize("k", [1, 1000])
def test_thousands_of_equal_vectors(k: int) -> None:
    vectors, columns, _ = parts(np.repeat(sphere(np.random.default_rng(0), 1, 16), 20_000, axis=0))
    found = exact(vectors, columns, vectors[:2], k, ends=BOTH)
    for end in (SIMILAR, DIVERGENT):
        for query in (0, 1):
            ids = [item_id for _, item_id, _ in listed(found, columns, end, query)]
            assert ids == sorted(scrambled_ids(20_000))[:k]


def test_all_pages_are_the_whole_order() -> None:
    random = np.random.default_rng(1)
    vectors, columns, items = parts(copies(random, 700, 16))
    query = sphere(random, 1, 16)
    for end, divergent in ((SIMILAR, False), (DIVERGENT, True)):
        walked: list[str] = []
        mark: Position | None = None
        while True:
            behind = (mark, None) if end == SIMILAR else (None, mark)
            found = exact(vectors, columns, query, 37, ends=(end == SIMILAR, end == DIVERGENT), behind=behind)
            page = listed(found, columns, end)
            if not page:
                break
            walked += [item_id for _, item_id, _ in page]
            mark = Position(page[-1][2], page[-1][1])
        assert walked == [one[1] for one in brute_force(items, query[0], 700, divergent=divergent)]


def test_an_end_that_is_not_asked_for_is_empty() -> None:
    vectors, columns, _ = parts(sphere(np.random.default_rng(2), 10, 4))
    for ends in ((True, False), (False, True), (False, False)):
        found = exact(vectors, columns, vectors[:2], 3, ends=ends)
        assert found.counts.tolist() == [[3 * end, 3 * end] for end in ends]
        assert found.sure.all()


def test_more_is_asked_for_until_nothing_can_be_missing() -> None:
    vectors, columns, items = parts(sphere(np.random.default_rng(3), 50, 4))
    queries = vectors[:2]
    orders = [[row for row, _, _ in brute_force(items, query, 50)] for query in queries]
    score = float(vectors[orders[0][4]].astype(np.float64) @ queries[0])
    asked: list[tuple[int, int]] = []

    def propose(some: FloatArray, ask: int) -> Candidates:
        asked.append((len(some), ask))
        count, floor = later.pop(0)
        rows = np.full((2, len(some), 50), -1)
        for number, query in enumerate(some):
            order = orders[0] if np.array_equal(query, queries[0]) else orders[1]
            rows[0, number, :count] = order[:count][::-1]
        floors = np.full((2, len(some)), LOWEST, np.float32)
        floors[0, np.flatnonzero((some == queries[0]).all(axis=1))] = floor
        return Candidates(rows, floors)

    # Too few; as many as wanted, but the floor is as high as the last of them; no room; and at last enough. The second
    # query is never in doubt.
    later = [(3, 0.0), (5, score), (0, HIGHEST), (20, score - 0.1)]
    found = settled(vectors, columns, queries, 3, (None, None), propose)
    assert found.rows[0].tolist() == [orders[0][:3], orders[1][:3]]
    assert asked[0] == (2, 3)
    assert [count for count, _ in asked] == [2, *[1] * (len(asked) - 1)]
    assert [ask for _, ask in asked] == sorted({ask for _, ask in asked})

    asked.clear()
    later = [(50, LOWEST)]
    assert settled(vectors, columns, queries[:1], 60, (None, None), propose).rows[0, 0].tolist() == orders[0]
    assert asked == [(1, 60)]


def test_inputs_are_not_modified() -> None:
    vectors, columns, _ = parts(sphere(np.random.default_rng(4), 200, 8))
    kept = vectors.copy()
    queries, allowed = vectors[:3].copy(), np.arange(200) % 2 == 0
    queries.setflags(write=False)
    allowed.setflags(write=False)
    exact(vectors, columns, queries, 5, ends=BOTH, allowed=allowed)
    np.testing.assert_array_equal(vectors, kept)
