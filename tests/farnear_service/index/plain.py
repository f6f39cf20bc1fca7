"""The plain path: a comparison with every item, in float64 and one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from farnear_service.columns import ColumnsView
from farnear_service.index import Index, Position
from farnear_service.index.ranking import Rankings
from farnear_service.types import FloatArray, Hits, IndexSettings


class Item(NamedTuple):
    item_id: str
    vector: FloatArray


def brute_force(
    items: Mapping[int, Item], query: FloatArray, k: int, *, divergent: bool = False, behind: Position | None = None
) -> list[tuple[int, str, float]]:
    """Key, id and similarity of the first k of all items, by similarity and then by the bytes of the id."""
    sign = -1.0 if divergent else 1.0
    ranked = []
    for key, (item_id, vector) in items.items():
        similarity = float((vector.astype(np.float64) * query.astype(np.float64)).sum())
        similarity = min(1.0, max(-1.0, similarity))
        ranked.append((-sign * similarity, item_id.encode(), key, item_id, similarity))
    if behind is not None:
        ranked = [one for one in ranked if one[:2] > (-sign * behind.similarity, behind.item_id.encode())]
    return [one[2:] for one in sorted(ranked)[:k]]


def answer(hits: Hits | None) -> list[tuple[int, str, float]]:
    """Key, id and similarity of each hit."""
    assert hits is not None
    return [(hit.key, hit.item_id, hit.similarity) for hit in hits.hits]


def unit(values: Sequence[Sequence[float]] | np.ndarray) -> FloatArray:
    """Rows (N, D) scaled to unit length, float32."""
    rows = np.asarray(values, np.float64)
    scaled: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def sphere(random: np.random.Generator, count: int, dim: int) -> FloatArray:
    """Unit vectors of any direction."""
    return unit(random.normal(size=(count, dim)))


def lattice(random: np.random.Generator, count: int, dim: int) -> FloatArray:
    """Unit vectors along few directions: many similarities are equal though the vectors differ."""
    values = random.integers(-1, 2, (count, dim)).astype(np.float64)
    values[~values.any(axis=1)] = 1.0
    return unit(values)


def close(random: np.random.Generator, count: int, dim: int) -> FloatArray:
    """Vectors that differ by less than float32 sums can tell."""
    return unit(np.ones((count, dim)) + 1e-7 * random.integers(-2, 3, (count, dim)))


def copies(random: np.random.Generator, count: int, dim: int) -> FloatArray:
    """Few vectors, many times each."""
    return sphere(random, 3, dim)[random.integers(0, 3, count)]


Kind = Callable[[np.random.Generator, int, int], FloatArray]
KINDS: list[Kind] = [sphere, lattice, close, copies]


def scrambled_ids(count: int) -> list[str]:
    """Ids whose order is not that of the rows."""
    return [f"{(7919 * number) % 1_000_003:07d}é" for number in range(count)]


def filled(vectors: FloatArray, item_ids: Sequence[str] | None = None, settings: IndexSettings | None = None) -> Index:
    """An index with these vectors under keys 0, 1, 2, ..."""
    count, dim = vectors.shape
    index = Index(dim, settings or IndexSettings())
    put(index, range(count), vectors, item_ids or scrambled_ids(count))
    return index


def put(
    index: Index, keys: Sequence[int], vectors: FloatArray, item_ids: Sequence[str], removed: Sequence[int] = ()
) -> None:
    """Changes an index; the label of an item is its id in brackets."""
    index.change(
        removed=removed,
        keys=np.array(keys, np.int64),
        item_ids=item_ids,
        labels=[f"[{item_id}]" for item_id in item_ids],
        created=[0.0] * len(keys),
        attributes=[{}] * len(keys),
        vectors=vectors,
    )


def listed(found: Rankings, columns: ColumnsView, end: int, query: int = 0) -> list[tuple[int, str, float]]:
    """Row, id and similarity of each hit in a ranking."""
    count = found.counts[end, query]
    rows = found.rows[end, query, :count]
    return list(
        zip(rows.tolist(), columns.item_ids(rows), found.similarities[end, query, :count].tolist(), strict=True)
    )
