import dataclasses

import numpy as np
import pytest
from farnear_service.maps import Drift, FittedMap, distances_to_nearest
from farnear_service.types import FloatArray


def around(middle: list[float], count: int, *, seed: int) -> FloatArray:
    vectors = np.array(middle) + np.random.default_rng(seed).normal(scale=0.1, size=(count, 4))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def usual(count: int, *, seed: int = 1) -> FloatArray:
    return around([1, 0, 0, 0], count, seed=seed)


def strange(count: int) -> FloatArray:
    return around([0, 1, 0, 0], count, seed=2)


@pytest.fixture(scope="module")
def fitted() -> FittedMap:
    vectors = usual(300, seed=0)
    nearest = distances_to_nearest(vectors, vectors, np.arange(300))
    return FittedMap(
        version=1,
        perplexity=1.0,
        item_count=300,
        newest_key=300,
        reach=float(np.quantile(nearest, 0.99)),
        keys=np.arange(300),
        vectors=vectors,
        positions=np.zeros((300, 2)),
    )


def test_what_the_map_was_fitted_to_does_not_drift_and_other_things_do(fitted: FittedMap) -> None:
    drift = Drift()
    drift.judge(fitted, strange(49))
    assert drift.value == 0, "too few to say"
    drift.judge(fitted, usual(49))
    assert drift.value == pytest.approx(0.5, abs=0.05)


def test_only_the_newest_count(fitted: FittedMap) -> None:
    drift = Drift()
    for _ in range(20):
        drift.judge(fitted, strange(50))
    assert drift.value == 1
    for seed in range(10):
        drift.judge(fitted, usual(50, seed=10 + seed))
    assert drift.value < 0.05


def test_of_a_large_batch_some_from_everywhere_are_judged(fitted: FittedMap) -> None:
    drift = Drift()
    drift.judge(fitted, np.concatenate([usual(500), strange(500)]))
    assert drift.value == pytest.approx(0.5, abs=0.05)


def test_items_that_are_all_there_twice_do_not_drift(fitted: FittedMap) -> None:
    drift = Drift()
    drift.judge(dataclasses.replace(fitted, reach=0.0), fitted.vectors)
    drift.judge(dataclasses.replace(fitted, reach=0.0), fitted.vectors)
    assert drift.value == 0
