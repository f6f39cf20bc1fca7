from collections.abc import Callable

import numpy as np
import pytest
from farnear_service.index.kernel import compiled, multiply, replace_least, thin_out

from tests.farnear_service.index.plain import sphere


@pytest.mark.parametrize("dim", [1, 3, 16, 63, 64, 100])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 30])
@pytest.mark.parametrize("product", [False, True])
def test_scores_of_a_block(dim: int, count: int, product: bool) -> None:
    random = np.random.default_rng(dim)
    block, queries = sphere(random, count, dim), sphere(random, 3, dim)
    lines = np.full((3, count), np.nan, np.float32)
    multiply(queries, block, lines, product)
    np.testing.assert_allclose(lines, queries.astype(np.float64) @ block.T.astype(np.float64), atol=1e-6)


def test_a_heap_holds_the_best() -> None:
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 10, 64):
        heap = np.full(size, -1, np.float32)
        for values in (random.random(50), random.integers(0, 4, 50), np.arange(50), -np.arange(50), np.ones(50)):
            heap[:] = -100
            for value in values.astype(np.float32):
                if value > heap[0]:
                    replace_least(heap, value)
            best = np.sort(values.astype(np.float32))[-size:]
            np.testing.assert_array_equal(np.sort(heap)[-len(best) :], best)
            assert heap[0] == heap.min()


def test_what_reaches_the_floor_stays() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.8, 0.7, 0.75, 0.95], np.float32)
    rows = np.array([10, 11, 12, 13, 14, 15, 16])
    count = thin_out(scores, rows, 6, np.float32(0.7))
    assert rows[:count].tolist() == [11, 13, 14, 15]
    np.testing.assert_array_equal(scores[:count], np.array([0.9, 0.8, 0.7, 0.75], np.float32))


def test_what_can_not_be_kept_on_disk_is_compiled_all_the_same() -> None:
    namespace: dict[str, Callable[[int], int]] = {}
    exec("def twice(number): return 2 * number", namespace)  # noqa: S102  # a function without a file cannot be kept
    assert compiled(namespace["twice"])(21) == 42
