import numpy as np
import pytest
from farnear_service.columns import Columns, ColumnsView
from farnear_service.index.ranking import Position, Positions, Rankings, inner, ranked
from farnear_service.index.scan import HIGHEST, LOWEST, Candidates
from farnear_service.types import FloatArray

from tests.farnear_service.index.plain import KINDS, Item, Kind, brute_force, listed, scrambled_ids, sphere, unit

EAST, NORTH, WEST = unit([[1, 0], [0, 1], [-1, 0]])


def named(*item_ids: str) -> ColumnsView:
    columns = Columns()
    columns.append(item_ids, [""] * len(item_ids), [0.0] * len(item_ids), [{}] * len(item_ids))
    return columns.now()


def both(
    vectors: FloatArray,
    names: ColumnsView,
    queries: FloatArray,
    rows: np.ndarray,
    k: int,
    behind: Positions = (None, None),
    floor: float = LOWEST,
) -> Rankings:
    """The ranking of the same rows at both ends."""
    shape = (2, len(queries))
    candidates = Candidates(np.tile(rows, (*shape, 1)), np.full(shape, floor, np.float32))
    return ranked(vectors, names, queries, candidates, k, behind)


def ids(
    vectors: list[FloatArray], names: ColumnsView, k: int, *, divergent: bool = False, behind: Position | None = None
) -> list[str]:
    rows = np.arange(len(vectors))[::-1]
    found = both(np.stack(vectors), names, EAST[None], rows, k, (None, behind) if divergent else (behind, None))
    hits = listed(found, names, int(divergent))
    assert [similarity for _, _, similarity in hits] == [float(vectors[row] @ EAST) for row, _, _ in hits]
    return [item_id for _, item_id, _ in hits]


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


def test_similarities_stay_within_the_cosine_scale_and_tie_there() -> None:
    vector = np.full((1, 3), 0.57735030, np.float32)  # its float32 square sums to a little over 1
    shorter = np.nextafter(vector, np.float32(0))  # and so does the product with this one, but it is a little less
    pair = np.concatenate([vector, shorter])
    products = pair.astype(np.float64) @ vector[0].astype(np.float64)
    assert products[0] > products[1] > 1
    found = both(pair, named("b", "a"), vector, np.arange(2), 2)
    assert listed(found, named("b", "a"), 0) == [(1, "a", 1.0), (0, "b", 1.0)]
    found = both(-pair, named("b", "a"), vector, np.arange(2), 2)
    assert listed(found, named("b", "a"), 1) == [(1, "a", -1.0), (0, "b", -1.0)]


def test_inner_products_are_numpys_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    sums = np.empty(8)
    for dim in [*range(1, 300), 384, 511, 512, 1000, 1025, 2048]:
        one, other = sphere(random, 2, dim)
        assert inner(one, other, sums) == (one.astype(np.float64) * other.astype(np.float64)).sum()


@pytest.mark.parametrize("k", [1, 2, 5, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_brute_force(kind: Kind, k: int) -> None:
    random = np.random.default_rng(3)
    vectors, queries, names = kind(random, 60, 4), kind(random, 5, 4), named(*scrambled_ids(60))
    items = dict(enumerate(map(Item, scrambled_ids(60), vectors)))
    some = {row: items[row] for row in random.permutation(60)[:37].tolist()}
    found = both(vectors, names, queries, np.array([-1, *some, -1, -1]), k)
    for number, query in enumerate(queries):
        for end, divergent in ((0, False), (1, True)):
            assert listed(found, names, end, number) == brute_force(some, query, k, divergent=divergent)


def test_a_ranking_is_sure_if_its_last_is_clearly_above_the_floor_or_nothing_was_left_out() -> None:
    vectors, names, query = np.stack([EAST, NORTH, WEST]), named("e", "n", "w"), EAST[None]

    def sure(k: int, floor: float) -> bool:
        found = both(vectors, names, query, np.arange(3), k, floor=floor)
        assert found.sure[0] == found.sure[1]  # the three lie alike at either end
        return bool(found.sure[0, 0])

    assert sure(2, -0.1)
    assert not sure(2, 0.0)
    assert not sure(2, HIGHEST)
    assert not sure(4, -1.5)
    assert sure(4, LOWEST)


def test_no_rows() -> None:
    none = np.empty(0, np.int64)
    found = both(np.stack([EAST]), named("e"), EAST[None], none, 5, (Position(0.5, "x"), None))
    assert (found.counts.tolist(), found.sure.all()) == ([[0], [0]], True)
