import numpy as np
import pytest
from farnear_service.columns import Columns, ColumnsView
from farnear_service.index.ranking import Position, ranked, ranked_without_ties, similarities
from farnear_service.types import FloatArray
from numpy.typing import NDArray

from tests.farnear_service.index.plain import KINDS, Kind, scrambled_ids, sphere, unit

EAST, NORTH, WEST = unit([[1, 0], [0, 1], [-1, 0]])


def named(*item_ids: str) -> ColumnsView:
    columns = Columns()
    columns.append(item_ids, [""] * len(item_ids), [0.0] * len(item_ids), [{}] * len(item_ids))
    return columns.now()


def ids(
    vectors: list[FloatArray], names: ColumnsView, k: int, *, divergent: bool = False, behind: Position | None = None
) -> list[str]:
    rows = np.arange(len(vectors))[::-1]
    found = ranked(np.stack(vectors), names, EAST, rows, k, divergent=divergent, behind=behind)
    assert found.item_ids == names.item_ids(found.rows)
    assert found.similarities.tolist() == [float(vectors[row] @ EAST) for row in found.rows]
    return found.item_ids


def test_most_similar_or_most_divergent_first() -> None:
    names = named("west", "east", "north")
    assert ids([WEST, EAST, NORTH], names, 3) == ["east", "north", "west"]
    assert ids([WEST, EAST, NORTH], names, 2, divergent=True) == ["west", "north"]
    assert ids([WEST, EAST, NORTH], names, 9) == ["east", "north", "west"]


@pytest.mark.parametrize("divergent", [False, True])
def test_ties_come_in_order_of_the_bytes_of_their_ids(divergent: bool) -> None:
    given = ["b", "ä", "Z", "a", "\U0001f600", "\uff5e", "aa"]  # \uff5e sorts before the emoji in bytes, not in UTF-16
    expected = sorted(given, key=str.encode)
    for k in range(1, 8):
        assert ids([NORTH] * 7, named(*given), k, divergent=divergent) == expected[:k]


def test_only_what_is_strictly_behind_a_position() -> None:
    vectors, names = [EAST, NORTH, NORTH, NORTH, WEST], named("e", "n3", "n1", "n2", "w")
    assert ids(vectors, names, 9, behind=Position(0.0, "n1")) == ["n2", "n3", "w"]
    assert ids(vectors, names, 1, behind=Position(0.0, "n0")) == ["n1"]
    assert ids(vectors, names, 9, behind=Position(0.5, "z")) == ["n1", "n2", "n3", "w"]
    assert ids(vectors, names, 9, behind=Position(-1.0, "w")) == []
    assert ids(vectors, names, 9, divergent=True, behind=Position(0.0, "n2")) == ["n3", "e"]
    assert ids(vectors, names, 9, divergent=True, behind=Position(-1.0, "")) == ["w", "n1", "n2", "n3", "e"]


def similar_to(vectors: FloatArray, query: FloatArray) -> NDArray[np.float64]:
    rows = np.arange(len(vectors))
    return similarities(vectors, rows, query[None], np.zeros_like(rows))


def test_similarities_stay_within_the_cosine_scale_and_tie_there() -> None:
    vector = np.full((1, 3), 0.57735030, np.float32)  # its float32 square sums to a little over 1
    shorter = np.nextafter(vector, np.float32(0))  # and so does the product with this one, but it is a little less
    products = np.concatenate([vector, shorter]).astype(np.float64) @ vector[0].astype(np.float64)
    assert products[0] > products[1] > 1
    both = np.concatenate([vector, shorter])
    assert similar_to(both, vector[0]).tolist() == [1.0, 1.0]
    assert similar_to(-both, vector[0]).tolist() == [-1.0, -1.0]
    found = ranked(both, named("b", "a"), vector[0], np.arange(2), 2, divergent=False, behind=None)
    assert found.item_ids == ["a", "b"]


def test_equal_vectors_have_equal_similarities_wherever_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = sphere(np.random.default_rng(0), 40, 37)
    vectors[1::2] = vectors[0]
    query = sphere(np.random.default_rng(1), 1, 37)[0]
    found = similar_to(vectors, query)
    assert len(set(found[1::2].tolist())) == 1
    np.testing.assert_allclose(found, vectors.astype(np.float64) @ query, atol=1e-15)
    monkeypatch.setattr("farnear_service.index.ranking._CHUNK", 37 * 3)
    np.testing.assert_array_equal(similar_to(vectors, query), found)


def test_similarities_of_pairs() -> None:
    random = np.random.default_rng(2)
    vectors, queries = sphere(random, 30, 5), sphere(random, 4, 5)
    rows, query_of = random.integers(0, 30, 50), random.integers(0, 4, 50)
    found = similarities(vectors, rows, queries, query_of)
    assert found.tolist() == [similar_to(vectors, queries[q])[r] for r, q in zip(rows, query_of, strict=True)]


@pytest.mark.parametrize("k", [1, 2, 5, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_many_at_once_are_as_one_by_one_or_left_undecided(kind: Kind, k: int) -> None:
    random = np.random.default_rng(3)
    vectors, queries, names = kind(random, 60, 4), kind(random, 5, 4), named(*scrambled_ids(60))
    proposals = [
        (query, divergent, random.permutation(60)[: random.integers(0, 60)])
        for query in range(5)
        for divergent in (False, True)
    ]
    undecided = 0
    for (query, divergent, rows), found in zip(
        proposals, ranked_without_ties(vectors, names, queries, proposals, k), strict=True
    ):
        expected = ranked(vectors, names, queries[query], rows, k, divergent=divergent, behind=None)
        ordered = sorted(similar_to(vectors[rows], queries[query]).tolist(), reverse=not divergent)[: k + 1]
        assert (found is None) == (len(set(ordered)) < len(ordered))
        if found is None:
            undecided += 1
        else:
            assert found.rows.tolist() == expected.rows.tolist()
            assert found.item_ids == expected.item_ids
            np.testing.assert_array_equal(found.similarities, expected.similarities)
    assert undecided < 10 if kind is sphere else undecided > 0


def test_no_rows() -> None:
    none = np.empty(0, np.int64)
    found = ranked(np.stack([EAST]), named("e"), EAST, none, 5, divergent=False, behind=Position(0.5, "x"))
    assert (len(found), found.item_ids) == (0, [])
