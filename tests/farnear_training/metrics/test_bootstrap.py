import numpy as np
import pytest
from farnear_training.metrics import Interval, bootstrap, mean_intervals
from farnear_training.metrics.bootstrap import resamples
from scipy import stats


def test_intervals_are_those_of_scipy() -> None:
    values = np.random.default_rng(0).beta(2, 5, size=(300, 2))
    found = mean_intervals(values, draws=5000, seed=1)
    for column, interval in zip(values.T, found, strict=True):
        expected = stats.bootstrap(
            (column,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(2)
        ).confidence_interval
        width = expected.high - expected.low
        assert interval.value == pytest.approx(column.mean())
        assert interval.low == pytest.approx(expected.low, abs=0.05 * width)
        assert interval.high == pytest.approx(expected.high, abs=0.05 * width)


def test_what_is_always_the_same_is_certain() -> None:
    (found,) = mean_intervals(np.full((7, 1), 0.25), draws=50, seed=0)
    assert found == Interval(value=0.25, low=0.25, high=0.25)


def test_columns_see_the_same_draws() -> None:
    values = np.random.default_rng(0).random((40, 1))
    shifted = mean_intervals(np.concatenate([values, values + 0.5, values - (values + 0.5)], axis=1), draws=100, seed=3)
    assert shifted[1].low - shifted[0].low == pytest.approx(0.5)
    assert shifted[2].high - shifted[2].low == pytest.approx(0, abs=1e-12)


def test_a_seed_decides_the_draws_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(resamples(6, 20, 0)))
    monkeypatch.setattr(bootstrap, "_CELLS", 6 * 8)
    blocks = list(resamples(6, 20, 0))
    assert [len(block) for block in blocks] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert not np.array_equal(whole, np.concatenate(list(resamples(6, 20, 1))))


def test_each_draw_is_as_large_as_the_sample_and_with_replacement() -> None:
    weights = np.concatenate(list(resamples(50, 400, 0)))
    assert weights.shape == (400, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


def test_without_a_query_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no query"):
        mean_intervals(np.empty((0, 3)), draws=10, seed=0)
