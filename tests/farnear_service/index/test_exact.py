import numpy as np
import pytest
from farnear_service.columns import ColumnsView
from farnear_service.index.exact import DIVERGENT, SIMILAR, exact, settled
from farnear_service.index.ranking import Position
from farnear_service.index.scan import HIGHEST, LOWEST, Candidates
from farnear_service.types import FloatArray
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.farnear_service.index.plain import KINDS, Item, Kind, brute_force, copies, filled, scrambled_ids, sphere

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
    for query, pair in zip(queries[:3], found, strict=False):
        for ranking, divergent in zip(pair, (False, True), strict=True):
            assert ranking is not None
            expected = brute_force(items, query, k, divergent=divergent)
            assert (
                list(zip(ranking.rows.tolist(), ranking.item_ids, ranking.similarities.tolist(), strict=True))
                == expected
            )
            if expected:
                _, item_id, similarity = expected[seed % len(expected)]
                mark = Position(similarity, item_id)
                behind = (None, mark) if divergent else (mark, None)
                (after,) = exact(vectors, columns, query[None], k, ends=BOTH, allowed=allowed, behind=behind)
                rest = after[divergent]
                assert rest is not None
                expected = brute_force(items, query, k, divergent=divergent, behind=mark)
                assert rest.item_ids == [item_id for _, item_id, _ in expected]


@pytest.mark.parametrize("dim", [1, 2, 3, 16, 128, 512])
def test_many_queries_at_once(dim: int) -> None:
    random = np.random.default_rng(dim)
    vectors = sphere(random, 2000, dim)
    vectors[::7] = vectors[0]
    vectors, columns, items = parts(vectors)
    queries = np.concatenate([vectors[:5], -vectors[:5], vectors[random.integers(0, 2000, 60)]])
    for query, (similar, divergent) in list(zip(queries, exact(vectors, columns, queries, 10, ends=BOTH), strict=True))[
        ::9
    ]:
        assert similar is not None
        assert divergent is not None
        assert similar.item_ids == [one[1] for one in brute_force(items, query, 10)]
        assert divergent.item_ids == [one[1] for one in brute_force(items, query, 10, divergent=True)]


@pytest.mark.parametrize("k", [1, 1000])
def test_thousands_of_equal_vectors(k: int) -> None:
    vectors, columns, _ = parts(np.repeat(sphere(np.random.default_rng(0), 1, 16), 20_000, axis=0))
    ((similar, divergent),) = exact(vectors, columns, vectors[:1], k, ends=BOTH)
    assert similar is not None
    assert divergent is not None
    assert similar.item_ids == divergent.item_ids == sorted(scrambled_ids(20_000))[:k]


def test_all_pages_are_the_whole_order() -> None:
    random = np.random.default_rng(1)
    vectors, columns, items = parts(copies(random, 700, 16))
    query = sphere(random, 1, 16)
    for end, divergent in ((SIMILAR, False), (DIVERGENT, True)):
        walked: list[str] = []
        mark: Position | None = None
        while True:
            behind = (mark, None) if end == SIMILAR else (None, mark)
            (page,) = exact(vectors, columns, query, 37, ends=(end == SIMILAR, end == DIVERGENT), behind=behind)
            ranking = page[end]
            assert ranking is not None
            if not len(ranking):
                break
            walked += ranking.item_ids
            mark = Position(float(ranking.similarities[-1]), ranking.item_ids[-1])
        assert walked == [one[1] for one in brute_force(items, query[0], 700, divergent=divergent)]


def test_an_end_that_is_not_asked_for_is_none() -> None:
    vectors, columns, _ = parts(sphere(np.random.default_rng(2), 10, 4))
    for ends in ((True, False), (False, True), (False, False)):
        found = exact(vectors, columns, vectors[:2], 3, ends=ends)
        assert [tuple(ranking is not None for ranking in pair) for pair in found] == [ends, ends]


def test_more_is_asked_for_until_nothing_can_be_missing() -> None:
    vectors, columns, items = parts(sphere(np.random.default_rng(3), 50, 4))
    query = vectors[0]
    order = [row for row, _, _ in brute_force(items, query, 50)]
    similarity = vectors.astype(np.float64) @ query.astype(np.float64)
    asked: list[int] = []

    def propose(ask: int) -> Candidates:
        asked.append(ask)
        return later.pop(0)

    def proposed(count: int, floor: float) -> Candidates:
        return Candidates(np.array(order[:count][::-1], np.int64), floor)

    # Too few; as many as wanted, but the floor is as high as the last of them; no room; and at last enough.
    later = [proposed(5, float(similarity[order[4]])), proposed(0, HIGHEST), proposed(20, float(similarity[order[19]]))]
    found = settled(vectors, columns, query, 5, SIMILAR, None, proposed(3, 0.0), propose)
    assert found.rows.tolist() == order[:5]
    assert len(asked) == 3
    assert asked == sorted(set(asked))
    assert asked[0] > 5

    asked.clear()
    assert settled(vectors, columns, query, 60, SIMILAR, None, proposed(50, LOWEST), propose).rows.tolist() == order
    assert asked == []


def test_inputs_are_not_modified() -> None:
    vectors, columns, _ = parts(sphere(np.random.default_rng(4), 200, 8))
    kept = vectors.copy()
    queries, allowed = vectors[:3].copy(), np.arange(200) % 2 == 0
    queries.setflags(write=False)
    allowed.setflags(write=False)
    exact(vectors, columns, queries, 5, ends=BOTH, allowed=allowed)
    np.testing.assert_array_equal(vectors, kept)
