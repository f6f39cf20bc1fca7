from collections.abc import Callable

import numpy as np
import pytest
from farnear_service.index.kernel import compiled, multiply, select, thin_out

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


def test_the_value_at_a_place() -> None:
    random = np.random.default_rng(0)
    for values in (random.random(50), random.integers(0, 4, 50), np.arange(50), -np.arange(50), np.ones(50)):
        scores = values.astype(np.float32)
        found = [float(select(scores.copy(), place)) for place in range(1, 51)]
        assert found == sorted(scores.tolist(), reverse=True)


def test_what_is_within_the_margin_of_the_best_stays() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.8, 0.7, 0.75], np.float32)
    rows = np.array([10, 11, 12, 13, 14, 15, 99])
    count, floor = thin_out(scores, rows, 2, np.float32(0.1))
    assert floor == pytest.approx(0.7)
    assert rows[:count].tolist() == [11, 13, 14, 15]
    np.testing.assert_array_equal(scores[:count], np.array([0.9, 0.8, 0.7, 0.75], np.float32))


def test_what_can_not_be_kept_on_disk_is_compiled_all_the_same() -> None:
    namespace: dict[str, Callable[[int], int]] = {}
    exec("def twice(number): return 2 * number", namespace)  # noqa: S102  # a function without a file cannot be kept
    assert compiled(namespace["twice"])(21) == 42
