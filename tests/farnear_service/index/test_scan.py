import numpy as np
import pytest
from farnear_service.index.scan import HIGHEST, LOWEST, rounding, scan

from tests.farnear_service.index.plain import close, lattice, sphere, unit

# As many queries as go through the loop, and as many as go through the matrix product and take two passes.
COUNTS = [1, 5, 70]


@pytest.mark.parametrize("dim", [2, 16, 50, 64, 200])
@pytest.mark.parametrize("query_count", COUNTS)
@pytest.mark.parametrize("count", [1, 127, 128, 2001])
def test_whatever_is_left_out_is_below_the_floor(dim: int, query_count: int, count: int) -> None:
    random = np.random.default_rng(dim)
    vectors, queries = sphere(random, count, dim), sphere(random, query_count, dim)
    exact = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    for query, pair in enumerate(scan(vectors, queries, 10)):
        for sign, candidates in zip((1.0, -1.0), pair, strict=True):
            scores = sign * exact[:, query]
            left_out = np.setdiff1d(np.arange(count), candidates.rows)
            assert len(candidates.rows) + len(left_out) == count  # none came twice
            assert (scores[left_out] < candidates.floor + rounding(dim)).all()
            if count <= 10:
                assert candidates.floor == LOWEST
            else:
                tenth = np.sort(scores)[-10]
                assert candidates.floor <= tenth - rounding(dim)
                assert set(np.flatnonzero(scores >= tenth)) <= set(candidates.rows.tolist())


@pytest.mark.parametrize("query_count", COUNTS)
def test_few_candidates_come_from_many_rows(query_count: int) -> None:
    random = np.random.default_rng(0)
    vectors, queries = sphere(random, 20_000, 16), sphere(random, query_count, 16)
    for pair in scan(vectors, queries, 10):
        assert all(10 <= len(candidates.rows) < 100 for candidates in pair)


@pytest.mark.parametrize("query_count", COUNTS)
def test_rows_in_the_order_of_their_scores(query_count: int) -> None:
    """Every row is better than all before it, at one end or the other."""
    angles = np.linspace(0, np.pi, 5000)
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    queries = np.repeat(unit([[1.0, 0.0]]), query_count, axis=0)
    for similar, divergent in scan(vectors, queries, 10):
        assert set(range(10)) <= set(similar.rows.tolist())
        assert set(range(4990, 5000)) <= set(divergent.rows.tolist())


def test_a_float32_sum_in_any_order_is_within_the_rounding() -> None:
    random = np.random.default_rng(1)
    for dim in (1, 2, 16, 128, 512):
        for first, second in zip(close(random, 50, dim), close(random, 50, dim), strict=True):
            order = random.permutation(dim)
            total = np.float32(0)
            for product in (first * second)[order]:
                total += product
            exact = float((first.astype(np.float64) * second.astype(np.float64)).sum())
            assert abs(float(total) - exact) <= rounding(dim)


@pytest.mark.parametrize("query_count", COUNTS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_only_allowed_rows_are_proposed(query_count: int, share: float) -> None:
    random = np.random.default_rng(2)
    vectors, queries = sphere(random, 1000, 16), sphere(random, query_count, 16)
    allowed = random.random(1000) < share
    within = np.flatnonzero(allowed)
    masked = scan(vectors, queries, 5, allowed=allowed)
    picked = scan(vectors[within], queries, 5, row_of=within)
    for query, masked_pair, picked_pair in zip(queries, masked, picked, strict=True):
        order = within[np.argsort(vectors[within] @ query)]
        best = (order[-5:], order[:5])
        for expected, one, other in zip(best, masked_pair, picked_pair, strict=True):
            for candidates in (one, other):
                assert set(expected.tolist()) <= set(candidates.rows.tolist()) <= set(within.tolist())


@pytest.mark.parametrize("masked", [False, True])
def test_spans_of_a_rearranged_matrix(masked: bool) -> None:
    random = np.random.default_rng(3)
    vectors, queries = sphere(random, 1000, 16), sphere(random, 2, 16)
    row_of = random.permutation(1000)
    allowed = random.random(1000) < 0.7 if masked else np.ones(1000, np.bool_)
    spans = np.array([[10, 10], [100, 350], [900, 1000]])
    looked_at = row_of[np.r_[100:350, 900:1000]]
    looked_at = looked_at[allowed[looked_at]]
    found = scan(vectors[row_of], queries, 5, spans=spans, row_of=row_of, allowed=allowed if masked else None)
    for query, (similar, divergent) in zip(queries, found, strict=True):
        order = looked_at[np.argsort(vectors[looked_at] @ query)]
        assert set(order[-5:].tolist()) <= set(similar.rows.tolist()) <= set(looked_at.tolist())
        assert set(order[:5].tolist()) <= set(divergent.rows.tolist()) <= set(looked_at.tolist())


@pytest.mark.parametrize("query_count", COUNTS)
def test_what_is_above_a_ceiling_is_not_proposed(query_count: int) -> None:
    random = np.random.default_rng(4)
    vectors = sphere(random, 2000, 16)
    queries = np.repeat(vectors[:1], query_count, axis=0)
    scores = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
    found = scan(vectors, queries, 5, ceilings=(0.25, -0.1))
    for similar, divergent in found:
        below = np.flatnonzero(scores <= 0.25)
        assert set(below[np.argsort(scores[below])[-5:]].tolist()) <= set(similar.rows.tolist())
        assert (scores[similar.rows] < 0.2501).all()
        above = np.flatnonzero(scores >= 0.1)
        assert set(above[np.argsort(scores[above])[:5]].tolist()) <= set(divergent.rows.tolist())
        assert (scores[divergent.rows] > 0.0999).all()


def test_an_end_that_is_not_asked_for_has_no_candidates() -> None:
    vectors = sphere(np.random.default_rng(5), 300, 16)
    ((similar, divergent),) = scan(vectors, vectors[:1], 3, ends=(False, True))
    assert len(similar.rows) == 0
    assert len(divergent.rows) >= 3


def test_more_equal_rows_than_there_is_room_for_are_told() -> None:
    vectors = np.repeat(unit([[1.0, 2.0]]), 5000, axis=0)
    ((similar, divergent),) = scan(vectors, vectors[:1], 3)
    assert similar.floor == divergent.floor == HIGHEST
    ((similar, divergent),) = scan(vectors, vectors[:1], 1250)
    assert sorted(similar.rows.tolist()) == sorted(divergent.rows.tolist()) == list(range(5000))


def test_no_rows_and_no_queries() -> None:
    vectors = lattice(np.random.default_rng(6), 10, 4)
    ((similar, divergent),) = scan(vectors[:0], vectors[:1], 3)
    assert (len(similar.rows), similar.floor) == (len(divergent.rows), divergent.floor) == (0, LOWEST)
    assert scan(vectors, vectors[:0], 3) == []


def test_inputs_may_be_read_only() -> None:
    random = np.random.default_rng(7)
    vectors, queries, allowed = sphere(random, 10, 4), sphere(random, 2, 4), np.ones(10, np.bool_)
    for array in (queries, allowed):
        array.setflags(write=False)
    assert len(scan(vectors, queries, 1, allowed=allowed)) == 2
