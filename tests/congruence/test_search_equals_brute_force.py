"""The index gives what a comparison with every item gives: ids, order and similarities, at both ends."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from farnear_service.index import Index
from farnear_service.types import Direction, FloatArray, Hits, IndexSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray


def brute_force(items: dict[int, tuple[str, FloatArray]], query: FloatArray, k: int, sign: float) -> list[Any]:
    """The first k of all items by similarity, within [-1, 1], and then by the bytes of the id."""
    ranked = []
    for item_id, vector in items.values():
        similarity = min(1.0, max(-1.0, float((vector.astype(np.float64) * query.astype(np.float64)).sum())))
        ranked.append((-sign * similarity, item_id.encode(), item_id, similarity))
    return [(item_id, similarity) for _, _, item_id, similarity in sorted(ranked)[:k]]


def plain(found: Hits | None) -> list[Any]:
    assert found is not None
    assert found.certificate is None
    return [(hit.item_id, hit.similarity) for hit in found.hits]


def add(index: Index, keys: NDArray[np.int64], ids: list[str], vectors: FloatArray) -> None:
    index.add(keys, ids, [""] * len(ids), [0.0] * len(ids), [{}] * len(ids), vectors)


def lattice_vector(seed: int) -> FloatArray:
    """One of 80 unit vectors with four of six entries at 1/2: products are exact in float32, and ties are many."""
    random = np.random.default_rng(seed)
    vector = np.zeros(6, np.float32)
    vector[random.choice(6, 4, replace=False)] = random.choice([-0.5, 0.5], 4)
    return vector


def sphere_vector(seed: int) -> FloatArray:
    vector = np.random.default_rng(seed).normal(size=6)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def close_vector(seed: int) -> FloatArray:
    """Vectors that differ by less than float32 sums can tell."""
    vector = np.full(6, 6**-0.5) + 1e-7 * np.random.default_rng(seed).integers(-2, 3, 6)
    return vector.astype(np.float32)


writes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 40), min_size=1, max_size=20)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 60), max_size=10)),
    ),
    max_size=12,
)


@pytest.mark.parametrize("make", [lattice_vector, sphere_vector, close_vector])
@settings(max_examples=120, deadline=None)
@given(steps=writes, asked=st.lists(st.integers(0, 60), min_size=1, max_size=12), k=st.integers(1, 40), data=st.data())
def test_random_writes_then_search(
    make: Callable[[int], FloatArray], steps: list[tuple[str, list[int]]], asked: list[int], k: int, data: st.DataObject
) -> None:
    index = Index(6, IndexSettings())
    items: dict[int, tuple[str, FloatArray]] = {}
    newest = 0
    for step, numbers in steps:
        if step == "remove":
            index.remove(numbers)
            for key in numbers:
                items.pop(key, None)
            continue
        keys = np.arange(newest + 1, newest + 1 + len(numbers))
        newest += len(numbers)
        vectors = np.stack([make(number) for number in numbers])
        ids = [data.draw(st.text("aé~\U0001f600", max_size=3)) + f"#{key}" for key in keys]
        add(index, keys, ids, vectors)
        items.update(zip(keys.tolist(), zip(ids, vectors, strict=True), strict=True))
    queries = np.stack([make(number) for number in asked])
    together = index.now().search(queries, k, Direction.BOTH)
    for query, found in zip(queries, together, strict=True):
        assert plain(found.similar) == brute_force(items, query, k, 1.0)
        assert plain(found.divergent) == brute_force(items, query, k, -1.0)
        assert index.now().search(query[None], k, Direction.BOTH) == [found]
        (near,) = index.now().search(query[None], k, Direction.SIMILAR)
        (far,) = index.now().search(query[None], k, Direction.DIVERGENT)
        assert (near.similar, near.divergent) == (found.similar, None)
        assert (far.similar, far.divergent) == (None, found.divergent)


@pytest.mark.parametrize("dim", [1, 2, 3, 16, 128, 512])
def test_large_batches_that_go_through_a_matrix_product(dim: int) -> None:
    random = np.random.default_rng(dim)
    vectors = random.normal(size=(3000, dim))
    vectors[::7] = vectors[0]  # duplicates among them
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{(17 * i) % 3001:04d}" for i in range(3000)]
    index = Index(dim, IndexSettings())
    add(index, np.arange(3000), ids, vectors)
    queries = np.concatenate([vectors[:5], -vectors[:5], vectors[random.integers(0, 3000, 40)]])
    by_bytes = np.argsort([item_id.encode() for item_id in ids])
    for query, found in zip(queries, index.now().search(queries, 10, Direction.BOTH), strict=True):
        for sign, hits in ((1.0, found.similar), (-1.0, found.divergent)):
            scores = sign * (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1).clip(-1, 1)
            expected = by_bytes[np.argsort(-scores[by_bytes], kind="stable")][:10]
            assert [item_id for item_id, _ in plain(hits)] == [ids[place] for place in expected]
