import numpy as np
import pytest
from farnear_service.index.scan import HIGHEST, LOWEST, Candidates, rounding, scan

from tests.farnear_service.index.plain import close, lattice, sphere, unit

# As many queries as go through the loop, and as many as go through the matrix product.
COUNTS = [1, 5, 70]


def lists(found: Candidates) -> list[list[tuple[np.ndarray, float]]]:
    """The rows and the floor at either end, of each query."""
    return [
        [(found.rows[end, query][found.rows[end, query] >= 0], float(found.floors[end, query])) for end in (0, 1)]
        for query in range(found.rows.shape[1])
    ]


@pytest.mark.parametrize("dim", [2, 16, 50, 64, 200])
@pytest.mark.parametrize("query_count", COUNTS)
@pytest.mark.parametrize("count", [1, 127, 128, 2001])
def test_whatever_is_left_out_is_below_the_floor(dim: int, query_count: int, count: int) -> None:
    random = np.random.default_rng(dim)
    vectors, queries = sphere(random, count, dim), sphere(random, query_count, dim)
    exact = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    for query, pair in enumerate(lists(scan(vectors, queries, 10))):
        for sign, (rows, floor) in zip((1.0, -1.0), pair, strict=True):
            scores = sign * exact[:, query]
            left_out = np.setdiff1d(np.arange(count), rows)
            assert len(rows) + len(left_out) == count  # none came twice
            assert (scores[left_out] < floor + rounding(dim)).all()
            if count <= 10:
                assert floor == LOWEST
            else:
                tenth = np.sort(scores)[-10]
                assert floor <= tenth - rounding(dim)
                assert set(np.flatnonzero(scores >= tenth)) <= set(rows.tolist())


@pytest.mark.parametrize("query_count", COUNTS)
def test_few_candidates_come_from_many_rows(query_count: int) -> None:
    random = np.random.default_rng(0)
    vectors, queries = sphere(random, 20_000, 16), sphere(random, query_count, 16)
    for pair in lists(scan(vectors, queries, 10)):
        assert all(10 <= len(rows) < 20 for rows, _ in pair)


@pytest.mark.parametrize("query_count", COUNTS)
def test_rows_in_the_order_of_their_scores(query_count: int) -> None:
    """Every row is better than all before it, at one end or the other."""
    angles = np.linspace(0, np.pi, 5000)
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    queries = np.repeat(unit([[1.0, 0.0]]), query_count, axis=0)
    for (similar, _), (divergent, _) in lists(scan(vectors, queries, 10)):
        assert set(range(10)) <= set(similar.tolist())
        assert set(range(4990, 5000)) <= set(divergent.tolist())


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
    masked = lists(scan(vectors, queries, 5, allowed=allowed))
    picked = lists(scan(vectors[within], queries, 5, row_of=within))
    for query, masked_pair, picked_pair in zip(queries, masked, picked, strict=True):
        order = within[np.argsort(vectors[within] @ query)]
        best = (order[-5:], order[:5])
        for expected, one, other in zip(best, masked_pair, picked_pair, strict=True):
            for rows, _ in (one, other):
                assert set(expected.tolist()) <= set(rows.tolist()) <= set(within.tolist())


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
    for query, ((similar, _), (divergent, _)) in zip(queries, lists(found), strict=True):
        order = looked_at[np.argsort(vectors[looked_at] @ query)]
        assert set(order[-5:].tolist()) <= set(similar.tolist()) <= set(looked_at.tolist())
        assert set(order[:5].tolist()) <= set(divergent.tolist()) <= set(looked_at.tolist())


@pytest.mark.parametrize("query_count", COUNTS)
def test_what_is_above_a_ceiling_is_not_proposed(query_count: int) -> None:
    random = np.random.default_rng(4)
    vectors = sphere(random, 2000, 16)
    queries = np.repeat(vectors[:1], query_count, axis=0)
    scores = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
    found = scan(vectors, queries, 5, ceilings=(0.25, -0.1))
    for (similar, _), (divergent, _) in lists(found):
        below = np.flatnonzero(scores <= 0.25)
        assert set(below[np.argsort(scores[below])[-5:]].tolist()) <= set(similar.tolist())
        assert (scores[similar] < 0.2501).all()
        above = np.flatnonzero(scores >= 0.1)
        assert set(above[np.argsort(scores[above])[:5]].tolist()) <= set(divergent.tolist())
        assert (scores[divergent] > 0.0999).all()


def test_an_end_that_is_not_asked_for_has_no_candidates() -> None:
    vectors = sphere(np.random.default_rng(5), 300, 16)
    (((similar, floor), (divergent, _)),) = lists(scan(vectors, vectors[:1], 3, ends=(False, True)))
    assert (len(similar), floor) == (0, LOWEST)
    assert len(divergent) >= 3


def test_more_equal_rows_than_there_is_room_for_are_told() -> None:
    vectors = np.repeat(unit([[1.0, 2.0]]), 5000, axis=0)
    ((similar, divergent),) = lists(scan(vectors, vectors[:1], 3))
    assert similar[1] == divergent[1] == HIGHEST
    ((similar, divergent),) = lists(scan(vectors, vectors[:1], 1250))
    assert sorted(similar[0].tolist()) == sorted(divergent[0].tolist()) == list(range(5000))


def test_no_rows_and_no_queries() -> None:
    vectors = lattice(np.random.default_rng(6), 10, 4)
    for rows, floor in lists(scan(vectors[:0], vectors[:1], 3))[0]:
        assert (len(rows), floor) == (0, LOWEST)
    assert lists(scan(vectors, vectors[:0], 3)) == []


def test_inputs_may_be_read_only() -> None:
    random = np.random.default_rng(7)
    vectors, queries, allowed = sphere(random, 10, 4), sphere(random, 2, 4), np.ones(10, np.bool_)
    for array in (queries, allowed):
        array.setflags(write=False)
    assert len(lists(scan(vectors, queries, 1, allowed=allowed))) == 2
