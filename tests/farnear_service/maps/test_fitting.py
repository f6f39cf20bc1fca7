import dataclasses

import numpy as np
import pytest
from farnear_service.errors import PreconditionError
from farnear_service.maps import FittedMap, MapSettings, fit_map
from farnear_service.types import FloatArray
from sklearn.cluster import DBSCAN

from tests.farnear_service.maps.conftest import SETTINGS, groups


def labels_of(positions: np.ndarray, settings: MapSettings = SETTINGS) -> list[int]:
    found: list[int] = DBSCAN(eps=settings.eps, min_samples=settings.min_samples).fit(positions).labels_.tolist()
    return found


def test_a_map_tells_what_it_was_made_from(fitted: FittedMap, keys: np.ndarray, vectors: FloatArray) -> None:
    assert (fitted.version, fitted.perplexity, fitted.item_count, fitted.newest_key) == (1, 8, 80, 89)
    np.testing.assert_array_equal(fitted.keys, keys)
    np.testing.assert_array_equal(fitted.vectors, vectors)
    assert fitted.positions.shape == (80, 2)
    assert np.isfinite(fitted.positions).all()
    nearest = (1 - vectors.astype(np.float64) @ vectors.T + 9 * np.eye(80)).min(axis=1)
    assert fitted.reach == pytest.approx(np.quantile(nearest, 0.99), abs=1e-6)


def test_a_map_is_the_same_for_the_same_input(fitted: FittedMap, keys: np.ndarray, vectors: FloatArray) -> None:
    again = fit_map(keys, vectors, SETTINGS, 2)
    np.testing.assert_array_equal(again.positions, fitted.positions)
    np.testing.assert_array_equal(again.fitted.positions, fitted.positions)
    assert again.fitted.version == 2


def test_neighbours_in_the_vectors_are_neighbours_on_the_map(fitted: FittedMap, vectors: FloatArray) -> None:
    """Of each item's five nearest vectors, three are among its ten nearest positions; by chance one in 8 would be."""

    def nearest(points: np.ndarray, k: int) -> np.ndarray:
        distances = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        return np.argsort(distances, axis=1)[:, :k]

    close, shown = nearest(vectors, 5), nearest(fitted.positions, 10)
    kept = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(close, shown, strict=True)])
    assert kept > 0.6


def test_perplexity_shrinks_with_the_collection() -> None:
    small = fit_map(np.arange(10), groups(10, seed=2), MapSettings(), 1)
    assert small.fitted.perplexity == pytest.approx(3)
    assert np.isfinite(small.positions).all()


def test_equal_vectors_beside_others_are_placed() -> None:
    made = groups(40, seed=3)
    made[10:35] = made[10]
    fit = fit_map(np.arange(40), made, SETTINGS, 1)
    assert np.isfinite(fit.positions).all()
    assert len(set(labels_of(fit.positions)[10:35])) == 1


def test_two_values_alone_are_two_clusters() -> None:
    made = groups(2, seed=4, dim=4)[np.arange(30) // 15]
    assert labels_of(fit_map(np.arange(30), made, SETTINGS, 1).positions) == [0] * 15 + [1] * 15


def test_equal_vectors_alone_are_one_cluster() -> None:
    """Ten uploads of one picture are a collection too."""
    made = np.full((30, 4), 0.5, np.float32)
    fit = fit_map(np.arange(30), made, SETTINGS, 1)
    assert np.isfinite(fit.positions).all()
    assert labels_of(fit.positions) == [0] * 30
    again = fit_map(np.arange(30), made, SETTINGS, 2, (np.arange(30), fit.positions))
    assert np.isfinite(again.positions).all()


def test_vectors_of_one_dimension_are_placed() -> None:
    """A bundle may say `dim` 1."""
    made = np.where(np.arange(30) < 15, -1.0, 1.0).astype(np.float32)[:, None]
    assert np.isfinite(fit_map(np.arange(30), made, SETTINGS, 1).positions).all()


def test_fewer_items_than_a_core_point_needs_are_refused(vectors: FloatArray) -> None:
    with pytest.raises(PreconditionError, match="collection: has 4 items; a map needs at least 5"):
        fit_map(np.arange(4), vectors[:4], SETTINGS, 1)


def test_above_the_limit_a_sample_is_fitted_and_the_rest_is_placed(keys: np.ndarray, vectors: FloatArray) -> None:
    settings = dataclasses.replace(SETTINGS, landmark_limit=50)
    fit = fit_map(keys, vectors, settings, 1)
    sampled = fit.fitted
    assert len(sampled.keys) == 50
    assert (np.diff(sampled.keys) > 0).all()
    assert (sampled.item_count, sampled.newest_key) == (80, 89)
    rows = np.searchsorted(keys, sampled.keys)
    np.testing.assert_array_equal(sampled.vectors, vectors[rows])
    np.testing.assert_array_equal(fit_map(keys, vectors, settings, 1).fitted.keys, sampled.keys)
    np.testing.assert_array_equal(fit.positions[rows], sampled.positions)
    others = np.setdiff1d(np.arange(80), rows)
    np.testing.assert_array_equal(fit.positions[others], sampled.place(vectors[others]))


# After a map before


def turned(positions: np.ndarray, degrees: float) -> np.ndarray:
    """Turned, mirrored and shifted."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (positions * [1, -1]) @ turn + [100, -50]


def test_a_new_map_lies_on_the_one_before(fitted: FittedMap, keys: np.ndarray, vectors: FloatArray) -> None:
    """The same items again: whichever way the map before was turned, the new one follows."""
    spread = np.linalg.norm(fitted.positions - fitted.positions.mean(axis=0), axis=1).mean()
    for degrees in (0, 70, 200):
        before = turned(fitted.positions, degrees)
        again = fit_map(keys, vectors, SETTINGS, 2, (keys, before))
        moved = np.linalg.norm(again.positions - before, axis=1)
        assert np.median(moved) < spread / 4


def test_a_new_map_is_turned_and_shifted_but_keeps_its_distances(
    fitted: FittedMap, keys: np.ndarray, vectors: FloatArray
) -> None:
    """As density is what clusters are made of: a map before of twice the size gives a new one of the usual size."""
    before = (keys, 2 * fitted.positions)
    again = fit_map(keys, vectors, SETTINGS, 2, before).positions
    spreads = [np.linalg.norm(one - one.mean(axis=0), axis=1).mean() for one in (again, fitted.positions)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.2)


def test_the_turn_is_the_best_of_all(keys: np.ndarray, vectors: FloatArray, fitted: FittedMap) -> None:
    before = turned(fitted.positions, 30)
    places = fit_map(keys, vectors, SETTINGS, 2, (keys, before)).positions
    best = ((places - before) ** 2).sum()
    middle = places.mean(axis=0)
    for degrees in (-3, -1, 1, 3):
        angle = np.deg2rad(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert (((places - middle) @ turn + middle - before) ** 2).sum() > best
    assert ((places + np.array([0.1, 0]) - before) ** 2).sum() > best


def test_new_items_do_not_keep_a_map_from_lying_on_the_one_before(
    fitted: FittedMap, keys: np.ndarray, vectors: FloatArray, newcomers: FloatArray
) -> None:
    more = np.r_[keys, np.arange(100, 130)]
    again = fit_map(more, np.r_[vectors, newcomers], SETTINGS, 2, (keys, fitted.positions))
    moved = np.linalg.norm(again.positions[:80] - fitted.positions, axis=1)
    spread = np.linalg.norm(fitted.positions - fitted.positions.mean(axis=0), axis=1).mean()
    assert np.median(moved) < spread / 2
    assert np.isfinite(again.positions).all()


def test_a_map_before_of_other_items_changes_nothing(fitted: FittedMap, keys: np.ndarray, vectors: FloatArray) -> None:
    before = (keys + 1000, fitted.positions + 7)
    np.testing.assert_array_equal(fit_map(keys, vectors, SETTINGS, 2, before).positions, fitted.positions)


def test_a_map_before_where_all_lie_in_one_place_is_no_start(keys: np.ndarray, vectors: FloatArray) -> None:
    again = fit_map(keys, vectors, SETTINGS, 2, (keys, np.zeros((80, 2))))
    assert np.isfinite(again.positions).all()
    assert again.positions.std() > 1
