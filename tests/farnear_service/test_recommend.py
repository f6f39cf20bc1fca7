from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from farnear_service.errors import InvalidError
from farnear_service.index import Generation, Index
from farnear_service.recommend import AWAY, RIDGE, Taste, divergent, diverse, novel, similar
from farnear_service.types import FloatArray, Hit, IndexSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

exhaustive = settings(deadline=None)  # the first search of a process is compiled

EAST, NORTH, WEST, SOUTH = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)
IDS = ["b", "a", "Z", "\u00e4", "\U0001f600", "\uff5e", "aa", "c", "d", "e", "f", "g", "h", "i"]


def unit(vectors: Sequence[Sequence[float]], dim: int = 2) -> FloatArray:
    exact = np.array(vectors, np.float64).reshape(len(vectors), dim)
    lengths: NDArray[np.float64] = np.linalg.norm(exact, axis=1, keepdims=True)
    return (exact / lengths).astype(np.float32)


def generation(vectors: FloatArray, ids: Sequence[str] | None = None) -> Generation:
    index = Index(vectors.shape[1], IndexSettings())
    ids = [f"{row:06d}" for row in range(len(vectors))] if ids is None else ids
    count = len(vectors)
    index.add(np.arange(count) * 2 + 1, ids, ["label"] * count, [0.0] * count, [{}] * count, vectors)
    return index.now()


def somebody(
    liked: Sequence[Sequence[float]] = (),
    disliked: Sequence[Sequence[float]] = (),
    seen: Sequence[Sequence[float]] = (),
    keys: Sequence[int] = (),
    dim: int = 2,
) -> Taste:
    return Taste(
        liked=unit(liked, dim), disliked=unit(disliked, dim), seen=unit(seen, dim), keys=np.array(keys, np.int64)
    )


def ids_of(hits: Sequence[Hit]) -> list[str]:
    return [hit.item_id for hit in hits]


# Small collections: vectors of few directions, so that there are duplicates and ties, or of many.
DIM = 3
vectors_of = st.one_of(
    st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0])] * DIM), st.tuples(*[st.floats(-1, 1, width=16)] * DIM)
).filter(lambda vector: np.linalg.norm(vector) > 0.1)


class Case(NamedTuple):
    now: Generation
    taste: Taste
    k: int
    allowed: NDArray[np.bool_] | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    vectors = draw(st.lists(vectors_of, max_size=len(IDS)))
    liked, disliked, seen = (draw(st.lists(vectors_of, max_size=3)) for _ in range(3))
    met = draw(st.lists(st.integers(0, 2 * len(IDS)), max_size=4))  # odd ones up to 2 N - 1 are items of the collection
    per_row = st.lists(st.booleans(), min_size=len(vectors), max_size=len(vectors))
    live, allowed = draw(per_row), draw(st.none() | per_row)
    now = generation(unit(vectors, DIM), IDS[: len(vectors)])
    return Case(
        replace(now, live=np.array(live, np.bool_), count=sum(live)),
        somebody(liked, disliked, seen, met, DIM),
        draw(st.integers(1, len(IDS) + 2)),
        None if allowed is None else np.array(allowed, np.bool_),
    )


# What follows knows one item at a time, and looks at every one of them for every pick.


def cosine(one: FloatArray, other: FloatArray) -> float:
    return float(np.clip((one.astype(np.float64) * other.astype(np.float64)).sum(), -1, 1))


def direction(taste: Taste) -> FloatArray | None:
    total = np.zeros(taste.seen.shape[1])
    for vector in taste.liked:
        total += vector.astype(np.float64) / len(taste.liked)
    for vector in taste.disliked:
        total -= AWAY * vector.astype(np.float64) / len(taste.disliked)
    length = np.sqrt((total**2).sum())
    return None if length < 1e-6 else (total / length).astype(np.float32)


def relevance(case: Case, row: int) -> float:
    toward = case.taste.direction()
    return 0.0 if toward is None else cosine(case.now.vectors[row], toward)


def left(case: Case) -> list[int]:
    now, met = case.now, set(case.taste.keys.tolist())
    rows = [row for row, key in enumerate(now.keys.tolist()) if now.live[row] and key not in met]
    return rows if case.allowed is None else [row for row in rows if case.allowed[row]]


def row_of(now: Generation, hit: Hit) -> int:
    return int(np.flatnonzero(now.keys == hit.key)[0])


def by_id(now: Generation, row: int) -> bytes:
    return now.columns.item_id(row).encode()


def exhaustive_novel(case: Case, novelty: float) -> list[str]:
    rows, met = left(case), list(case.taste.met())
    picks: list[str] = []

    def score(row: int) -> float:
        nearest = max((cosine(case.now.vectors[row], vector) for vector in met), default=-1.0)
        return (1 - novelty) * relevance(case, row) - novelty * nearest

    while rows and len(picks) < case.k:
        best = min(rows, key=lambda row: (-score(row), by_id(case.now, row)))
        rows.remove(best)
        picks.append(case.now.columns.item_id(best))
        met.append(case.now.vectors[best])
    return picks


def kernel(case: Case, rows: Sequence[int]) -> NDArray[np.float64]:
    vectors = case.now.vectors[list(rows)].astype(np.float64)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 1 + RIDGE)
    known = case.taste.direction() is not None
    quality = np.array([(1 + relevance(case, row)) / 2 if known else 1.0 for row in rows])
    return np.array(quality[:, np.newaxis] * cosines * quality)


@exhaustive
@given(case=cases())
def test_the_direction_is_rocchios(case: Case) -> None:
    expected, found = direction(case.taste), case.taste.direction()
    if expected is None or found is None:
        assert expected is found
    else:
        np.testing.assert_allclose(found, expected, atol=1e-6)


@exhaustive
@given(case=cases())
def test_similar_ranks_by_relevance(case: Case) -> None:
    now, taste, k, allowed = case
    if taste.direction() is None:
        with pytest.raises(InvalidError, match="gives no direction"):
            similar(now, taste, k, allowed=allowed)
        return
    hits = similar(now, taste, k, allowed=allowed)
    expected = sorted(left(case), key=lambda row: (-relevance(case, row), by_id(now, row)))[:k]
    assert [(hit.item_id, hit.similarity) for hit in hits] == [
        (now.columns.item_id(row), relevance(case, row)) for row in expected
    ]
    assert novel(now, taste, k, 0.0, allowed=allowed) == hits


@exhaustive
@given(case=cases(), novelty=st.sampled_from([0.1, 0.5, 0.9, 1.0]) | st.floats(0.001, 1))
def test_novel_is_what_an_exhaustive_search_picks(case: Case, novelty: float) -> None:
    now, taste, k, allowed = case
    hits = novel(now, taste, k, novelty, allowed=allowed)
    assert ids_of(hits) == exhaustive_novel(case, novelty)
    assert [hit.similarity for hit in hits] == [relevance(case, row_of(now, hit)) for hit in hits]


@exhaustive
@given(case=cases())
def test_divergent_is_full_novelty(case: Case) -> None:
    now, taste, k, allowed = case
    assert ids_of(divergent(now, taste, k, allowed=allowed)) == exhaustive_novel(case, 1.0)


@exhaustive
@given(case=cases())
def test_diverse_picks_the_greatest_determinant(case: Case) -> None:
    now, taste, k, allowed = case
    hits = diverse(now, taste, k, allowed=allowed)
    rows = left(case)
    picks: list[int] = []
    assert len(hits) == min(k, len(rows))
    for hit in hits:
        determinants = {row: float(np.linalg.det(kernel(case, [*picks, row]))) for row in rows}
        pick = row_of(now, hit)
        assert determinants[pick] >= max(determinants.values()) * (1 - 1e-9) - 1e-300
        equal = [row for row in rows if (now.vectors[row] == now.vectors[pick]).all()]
        assert pick == min(equal, key=lambda row: by_id(now, row))
        rows.remove(pick)
        picks.append(pick)


@exhaustive
@given(case=cases(), pool=st.integers(1, 16))
def test_diverse_keeps_to_its_pool(case: Case, pool: int) -> None:
    now, taste, k, allowed = case
    if taste.direction() is None:
        with pytest.raises(InvalidError, match=r"^pool: is \d+; allowed are 0, and more where"):
            diverse(now, taste, k, allowed=allowed, pool=pool)
        return
    members = {hit.key for hit in similar(now, taste, pool, allowed=allowed)}
    inside = np.array([int(key) in members for key in now.keys], np.bool_)
    assert diverse(now, taste, k, allowed=allowed, pool=pool) == diverse(now, taste, k, allowed=inside)


def test_rocchio_by_eye() -> None:
    now = generation(unit([EAST, NORTH, WEST, SOUTH]), ["east", "north", "west", "south"])
    assert ids_of(similar(now, somebody(liked=[EAST]), 4)) == ["east", "north", "south", "west"]
    assert ids_of(similar(now, somebody(liked=[EAST], disliked=[NORTH]), 2)) == ["east", "south"]
    assert ids_of(similar(now, somebody(liked=[EAST], keys=[1]), 2)) == ["north", "south"]
    assert [round(hit.similarity, 6) for hit in similar(now, somebody(disliked=[NORTH]), 1)] == [1.0]
    assert ids_of(similar(now, somebody(disliked=[NORTH]), 1)) == ["south"]  # dislikes alone: away from them


@pytest.mark.parametrize(
    "nothing", [somebody(), somebody(seen=[EAST]), somebody(liked=[EAST, WEST]), somebody(disliked=[EAST, WEST])]
)
def test_without_a_direction_there_is_no_relevance(nothing: Taste) -> None:
    now = generation(unit([EAST, NORTH]))
    with pytest.raises(InvalidError, match=r"^liked: gives no direction; allowed are"):
        similar(now, nothing, 1)
    with pytest.raises(InvalidError, match=r"^liked: gives no direction; allowed are"):
        novel(now, nothing, 1, 0.0)
    for hits in (divergent(now, nothing, 2), novel(now, nothing, 2, 0.5), diverse(now, nothing, 2)):
        assert [hit.similarity for hit in hits] == [0.0, 0.0]


def test_farthest_first_by_eye() -> None:
    compass = unit([EAST, (1, 1), NORTH, (-1, 1), WEST])
    now = generation(compass, ["e", "ne", "n", "nw", "w"])
    assert ids_of(divergent(now, somebody(seen=[EAST]), 5)) == ["w", "n", "ne", "nw", "e"]
    assert ids_of(divergent(now, somebody(seen=[EAST, WEST], keys=[1, 9]), 9)) == ["n", "ne", "nw"]
    assert ids_of(divergent(now, somebody(), 3)) == ["e", "w", "n"]  # nothing met: begins with the first id


def test_more_diverse_picks_than_dimensions() -> None:
    now = generation(unit([EAST, EAST, EAST, NORTH, NORTH]), ["e3", "e1", "e2", "n2", "n1"])
    assert ids_of(diverse(now, somebody(), 5)) == ["e1", "n1", "e2", "n2", "e3"]
    assert ids_of(diverse(now, somebody(liked=[EAST]), 5)) == [
        "e1",
        "n1",
        "e2",
        "e3",
        "n2",
    ]  # n: a quarter of the quality


@pytest.mark.parametrize("novelty", [-0.1, 1.1, float("nan")])
def test_a_novelty_outside_the_dial_is_refused(novelty: float) -> None:
    with pytest.raises(InvalidError, match=r"^novelty: is .*; allowed are 0 to 1$"):
        novel(generation(unit([EAST])), somebody(liked=[EAST]), 1, novelty)


def test_a_negative_pool_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"^pool: is -1"):
        diverse(generation(unit([EAST])), somebody(liked=[EAST]), 1, pool=-1)


def test_many_items_that_float32_cannot_tell_apart() -> None:
    # A few units of the last place from one another, and more of them than a block has.
    random = np.random.default_rng(1)
    center, *met = random.standard_normal((4, 16)).tolist()
    now = generation(unit((center + 1e-7 * random.standard_normal((1500, 16))).tolist(), 16))
    own = somebody(liked=met[:1], seen=met[1:], keys=[1, 7], dim=16)
    for allowed in (None, random.random(1500) < 0.1):
        case = Case(now, own, 3, allowed)
        assert ids_of(divergent(now, own, 3, allowed=allowed)) == exhaustive_novel(case, 1.0)
        assert ids_of(novel(now, own, 3, 0.3, allowed=allowed)) == exhaustive_novel(case, 0.3)


def test_what_comes_in_is_not_changed() -> None:
    now = generation(unit([EAST, NORTH, WEST]))
    own, allowed = somebody([EAST], [WEST], [NORTH], [1]), np.array([True, True, False])
    before = [array.copy() for array in (now.vectors, now.keys, own.liked, own.disliked, own.seen, own.keys, allowed)]
    for hits in (
        similar(now, own, 2, allowed=allowed),
        divergent(now, own, 2, allowed=allowed),
        diverse(now, own, 2, allowed=allowed),
        novel(now, own, 2, 0.5, allowed=allowed),
    ):
        assert ids_of(hits) == ["000001"]
    after = (now.vectors, now.keys, own.liked, own.disliked, own.seen, own.keys, allowed)
    assert all((one == other).all() for one, other in zip(before, after, strict=True))
