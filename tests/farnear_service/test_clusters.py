import dataclasses
import random
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest
from farnear_service.clusters import (
    NOISE,
    ClusterView,
    FittedMap,
    MapSettings,
    check_enough,
    fit_map,
    load_map,
    save_map,
    view_of,
)
from farnear_service.errors import PreconditionError
from farnear_service.types import FloatArray

SETTINGS = MapSettings(perplexity=8, min_samples=5)
DIM = 4


def groups(count: int, *, seed: int, dim: int = 4) -> FloatArray:
    """Unit vectors around the axes, `count` in all, one axis after the other."""
    centres = 3 * np.eye(dim)[np.arange(count) * dim // count]
    vectors = centres + np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> FloatArray:
    made = groups(80, seed=0)
    made.setflags(write=False)
    return made


@pytest.fixture(scope="module")
def keys() -> np.ndarray:
    made = np.arange(10, 90)
    made.setflags(write=False)
    return made


@pytest.fixture(scope="module")
def fitted(keys: np.ndarray, vectors: FloatArray) -> FittedMap:
    return fit_map(keys, vectors, SETTINGS, 1)


@pytest.fixture(scope="module")
def newcomers() -> FloatArray:
    return groups(30, seed=1)


def view_at(positions: list[tuple[float, float]], settings: MapSettings) -> ClusterView:
    """A view of items that lie at given positions, all of them landmarks."""
    count = len(positions)
    landmarks = FittedMap(
        version=1,
        perplexity=1.0,
        item_count=count,
        newest_key=count - 1,
        keys=np.arange(count),
        vectors=groups(count, seed=0),
        positions=np.array(positions, np.float64),
    )
    return view_of(landmarks, landmarks.keys, landmarks.vectors, settings)


# Fitting


def test_a_map_tells_what_it_was_made_from(fitted: FittedMap, keys: np.ndarray, vectors: FloatArray) -> None:
    assert (fitted.version, fitted.perplexity, fitted.item_count, fitted.newest_key) == (1, 8, 80, 89)
    np.testing.assert_array_equal(fitted.keys, keys)
    np.testing.assert_array_equal(fitted.vectors, vectors)
    assert fitted.positions.shape == (80, 2)
    assert np.isfinite(fitted.positions).all()


def test_a_map_is_the_same_for_the_same_input(fitted: FittedMap, keys: np.ndarray, vectors: FloatArray) -> None:
    again = fit_map(keys, vectors, SETTINGS, 2)
    np.testing.assert_array_equal(again.positions, fitted.positions)
    assert again.version == 2


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
    assert small.perplexity == pytest.approx(3)
    assert np.isfinite(small.positions).all()


def test_equal_vectors_beside_others_are_placed() -> None:
    made = groups(40, seed=3)
    made[10:35] = made[10]
    fitted = fit_map(np.arange(40), made, SETTINGS, 1)
    assert np.isfinite(fitted.positions).all()
    assert len(set(view_of(fitted, fitted.keys, made, SETTINGS).labels[10:35])) == 1


def test_two_values_alone_are_two_clusters() -> None:
    made = groups(2, seed=4, dim=4)[np.arange(30) // 15]
    fitted = fit_map(np.arange(30), made, SETTINGS, 1)
    labels = view_of(fitted, fitted.keys, made, SETTINGS).labels
    assert labels.tolist() == [0] * 15 + [1] * 15


def test_equal_vectors_alone_are_one_cluster() -> None:
    """Ten uploads of one picture are a collection too."""
    made = np.full((30, 4), 0.5, np.float32)
    fitted = fit_map(np.arange(30), made, SETTINGS, 1)
    assert np.isfinite(fitted.positions).all()
    assert view_of(fitted, fitted.keys, made, SETTINGS).labels.tolist() == [0] * 30


def test_vectors_of_one_dimension_are_placed() -> None:
    """A bundle may say `dim` 1."""
    made = np.where(np.arange(30) < 15, -1.0, 1.0).astype(np.float32)[:, None]
    fitted = fit_map(np.arange(30), made, SETTINGS, 1)
    assert np.isfinite(fitted.positions).all()


def test_fewer_items_than_a_core_point_needs_are_refused(vectors: FloatArray) -> None:
    with pytest.raises(PreconditionError, match="collection: has 4 items; a map needs at least 5"):
        fit_map(np.arange(4), vectors[:4], SETTINGS, 1)
    with pytest.raises(PreconditionError, match="has 0 items"):
        check_enough(0, SETTINGS)
    check_enough(5, SETTINGS)


def test_above_the_limit_a_sample_is_fitted_and_the_rest_is_placed(keys: np.ndarray, vectors: FloatArray) -> None:
    settings = dataclasses.replace(SETTINGS, landmark_limit=50)
    sampled = fit_map(keys, vectors, settings, 1)
    assert len(sampled.keys) == 50
    assert (np.diff(sampled.keys) > 0).all()
    assert (sampled.item_count, sampled.newest_key) == (80, 89)
    rows = np.searchsorted(keys, sampled.keys)
    np.testing.assert_array_equal(sampled.vectors, vectors[rows])
    np.testing.assert_array_equal(fit_map(keys, vectors, settings, 1).keys, sampled.keys)
    view = view_of(sampled, keys, vectors, settings)
    np.testing.assert_array_equal(view.positions[rows], sampled.positions)
    others = np.setdiff1d(np.arange(80), rows)
    np.testing.assert_array_equal(view.positions[others], sampled.place(vectors[others]))


# Placing


def test_placed_alone_and_in_any_batch_a_vector_lands_at_one_place(fitted: FittedMap, newcomers: FloatArray) -> None:
    together = fitted.place(newcomers)
    assert together.shape == (30, 2)
    for vector, position in zip(newcomers, together, strict=True):
        np.testing.assert_array_equal(fitted.place(vector[None])[0], position)
    np.testing.assert_array_equal(fitted.place(newcomers[::-1]), together[::-1])


def test_placed_alone_and_in_any_batch_on_a_large_map_too() -> None:
    """From 10,000 landmarks on the forces are interpolated on a grid, which must not depend on the batch either."""
    count = 10_001
    landmarks = FittedMap(
        version=1,
        perplexity=5.0,
        item_count=count,
        newest_key=count - 1,
        keys=np.arange(count),
        vectors=groups(count, seed=0),
        positions=np.random.default_rng(6).normal(scale=30, size=(count, 2)),
    )
    made = groups(8, seed=7)
    together = landmarks.place(made)
    for vector, position in zip(made, together, strict=True):
        np.testing.assert_array_equal(landmarks.place(vector[None])[0], position)


def test_placed_alone_and_in_any_batch_whatever_faiss_does_with_batches(
    fitted: FittedMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAISS's threshold for matrix products holds for the whole process; no placing may depend on it."""
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 32)
    made = groups(60, seed=8)
    together = fitted.place(made)
    for vector, position in zip(made, together, strict=True):
        np.testing.assert_array_equal(fitted.place(vector[None])[0], position)


def test_nothing_is_placed_nowhere(fitted: FittedMap) -> None:
    assert fitted.place(np.empty((0, 4), np.float32)).shape == (0, 2)


def test_a_known_vector_is_placed_beside_its_landmark(fitted: FittedMap, vectors: FloatArray) -> None:
    """Its landmark is among the ten nearest of 80; points of a map keep each other off a little."""
    distances = np.linalg.norm(fitted.place(vectors)[:, None] - fitted.positions[None], axis=2)
    rank = (distances < np.diag(distances)[:, None]).sum(axis=1)
    assert rank.max() < 10


# Clusters


def test_labels_are_checkable_by_eye() -> None:
    settings = MapSettings(eps=1.0, min_samples=3)
    #  three in a row: the middle one is core, the outer ones are its border; one far away is noise;
    #  four on a square of side 1 are all core
    view = view_at([(0, 0), (1, 0), (2, 0), (50, 50), (10, 10), (11, 10), (10, 11), (11, 11)], settings)
    assert view.labels.tolist() == [0, 0, 0, NOISE, 1, 1, 1, 1]
    assert view.core.tolist() == [False, True, False, False, True, True, True, True]
    assert view.cluster_count == 2
    assert [view.of(key) for key in (0, 3, 7)] == [0, NOISE, 1]
    assert [view.of(key) for key in (-1, 8, 1000)] == [None, None, None]


def test_a_view_of_no_items_has_no_clusters(fitted: FittedMap) -> None:
    view = view_of(fitted, np.empty(0, np.int64), np.empty((0, 4), np.float32), SETTINGS)
    assert view.cluster_count == 0
    assert view.of(1) is None
    assert view.assign(np.zeros(2), 3.0) == (NOISE, float("inf"))


def test_positions_of_a_view_before_are_taken_over(
    fitted: FittedMap, keys: np.ndarray, vectors: FloatArray, newcomers: FloatArray
) -> None:
    more = np.arange(100, 130)
    first = view_of(fitted, np.r_[keys, more[:20]], np.r_[vectors, newcomers[:20]], SETTINGS)
    # some went, others came
    stay = np.r_[keys[5:], more[10:]]
    second = view_of(fitted, stay, np.r_[vectors[5:], newcomers[10:]], SETTINGS, first)
    anew = view_of(fitted, stay, np.r_[vectors[5:], newcomers[10:]], SETTINGS)
    np.testing.assert_array_equal(second.positions, anew.positions)
    np.testing.assert_array_equal(second.labels, anew.labels)
    moved = dataclasses.replace(first, positions=first.positions + 100)
    kept = view_of(fitted, stay, np.r_[vectors[5:], newcomers[10:]], SETTINGS, moved)
    np.testing.assert_array_equal(kept.positions[75:85], moved.positions[90:100])


def test_positions_of_another_map_are_not_taken_over(
    fitted: FittedMap, keys: np.ndarray, vectors: FloatArray, newcomers: FloatArray
) -> None:
    more = np.arange(100, 130)
    all_keys, all_vectors = np.r_[keys, more], np.r_[vectors, newcomers]
    other = dataclasses.replace(fitted, positions=fitted.positions + 100)
    before = view_of(other, all_keys, all_vectors, SETTINGS)
    np.testing.assert_array_equal(
        view_of(fitted, all_keys, all_vectors, SETTINGS, before).positions,
        view_of(fitted, all_keys, all_vectors, SETTINGS).positions,
    )


def test_assign_finds_the_nearest_core_point(fitted: FittedMap, keys: np.ndarray, vectors: FloatArray) -> None:
    view = view_of(fitted, keys, vectors, SETTINGS)
    assert view.core.any()
    assert (view.labels == NOISE).any() or not view.core.all(), "the case must have something that is not core"
    chance = np.random.default_rng(0)
    low, high = view.positions.min(axis=0) - 5, view.positions.max(axis=0) + 5
    seen = set()
    for position in chance.uniform(low, high, (200, 2)):
        distances = [
            (float(np.hypot(*(position - point))), int(label))
            for point, label, core in zip(view.positions, view.labels, view.core, strict=True)
            if core
        ]
        nearest, label = min(distances)
        cluster, distance = view.assign(position, SETTINGS.eps)
        assert distance == pytest.approx(nearest, rel=1e-12)
        assert cluster == (label if nearest <= SETTINGS.eps else NOISE)
        seen.add(cluster)
    assert NOISE in seen
    assert len(seen) > 1


def test_a_core_point_at_exactly_eps_is_within_it() -> None:
    view = view_at([(0, 0), (1, 0), (0, 1)], MapSettings(eps=2.0, min_samples=2))
    assert view.assign(np.array([3.0, 0.0]), 2.0) == (0, 2.0)
    assert view.assign(np.array([3.0000001, 0.0]), 2.0)[0] == NOISE


def test_inputs_are_not_modified(fitted: FittedMap, vectors: FloatArray, newcomers: FloatArray) -> None:
    """The fixtures' arrays are read-only, so fitting and viewing have shown it for them."""
    before = (newcomers.copy(), fitted.positions.copy())
    fitted.place(newcomers)
    view_of(fitted, fitted.keys, vectors, SETTINGS).assign(np.zeros(2), 3.0)
    np.testing.assert_array_equal(newcomers, before[0])
    np.testing.assert_array_equal(fitted.positions, before[1])


def test_an_item_that_is_placed_again_lands_where_it_is(fitted: FittedMap, vectors: FloatArray) -> None:
    moved = np.linalg.norm(fitted.place(vectors) - fitted.positions, axis=1)
    apart = np.linalg.norm(fitted.positions[:, None] - fitted.positions[None], axis=2)
    assert np.median(moved) < np.median(apart) / 20
    view = view_of(fitted, fitted.keys, vectors, SETTINGS)
    again = [view.assign(position, SETTINGS.eps)[0] for position in fitted.place(vectors)]
    assert np.mean(np.array(again) == view.labels) > 0.9


# Saving


def test_a_saved_map_places_as_before(fitted: FittedMap, newcomers: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / "maps" / "1.npz"
    save_map(fitted, SETTINGS, path)
    loaded = load_map(path, SETTINGS, DIM)
    assert loaded is not None
    for field in dataclasses.fields(FittedMap):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(fitted, field.name))
    np.testing.assert_array_equal(loaded.place(newcomers), fitted.place(newcomers))
    assert [entry.name for entry in path.parent.iterdir()] == ["1.npz"]


def test_a_map_is_saved_over_the_one_before(fitted: FittedMap, tmp_path: Path) -> None:
    path = tmp_path / "1.npz"
    save_map(fitted, SETTINGS, path)
    save_map(dataclasses.replace(fitted, version=2), SETTINGS, path)
    loaded = load_map(path, SETTINGS, DIM)
    assert loaded is not None
    assert loaded.version == 2


@pytest.mark.parametrize(
    "change", [{"eps": 2.0}, {"min_samples": 6}, {"perplexity": 9.0}, {"seed": 1}, {"landmark_limit": 9}]
)
def test_a_map_of_other_settings_is_none(fitted: FittedMap, tmp_path: Path, change: dict[str, float]) -> None:
    save_map(fitted, SETTINGS, tmp_path / "1.npz")
    assert load_map(tmp_path / "1.npz", dataclasses.replace(SETTINGS, **change), DIM) is None


def test_what_is_no_map_is_none(fitted: FittedMap, tmp_path: Path) -> None:
    assert load_map(tmp_path / "nothing.npz", SETTINGS, DIM) is None
    assert load_map(tmp_path, SETTINGS, DIM) is None
    path = tmp_path / "1.npz"
    for content in (b"", b"text", b"PK\x03\x04", bytes(1000), b"\x80\x04N.", b"\x93NUMPY"):
        path.write_bytes(content)
        assert load_map(path, SETTINGS, DIM) is None
    np.savez(path, other=np.zeros(3))
    assert load_map(path, SETTINGS, DIM) is None


def test_a_plain_array_is_no_map(tmp_path: Path) -> None:
    with (tmp_path / "1.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert load_map(tmp_path / "1.npz", SETTINGS, DIM) is None


def test_a_truncated_map_is_none(fitted: FittedMap, tmp_path: Path) -> None:
    path, cut = tmp_path / "1.npz", tmp_path / "cut.npz"
    save_map(fitted, SETTINGS, path)
    data = path.read_bytes()
    for size in range(0, len(data), 97):
        cut.write_bytes(data[:size])
        assert load_map(cut, SETTINGS, DIM) is None


def test_a_damaged_map_is_none_or_the_same(fitted: FittedMap, tmp_path: Path) -> None:
    path, damaged = tmp_path / "1.npz", tmp_path / "damaged.npz"
    save_map(fitted, SETTINGS, path)
    data = path.read_bytes()
    chance = random.Random(0)
    # One byte of every other one at the end, where the directory of the file is, and some in what is before.
    places = [*range(len(data) - 700, len(data), 2), *chance.sample(range(len(data) - 700), 300)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        damaged.write_bytes(changed)
        loaded = load_map(damaged, SETTINGS, DIM)
        if loaded is not None:
            for field in dataclasses.fields(FittedMap):
                np.testing.assert_array_equal(getattr(loaded, field.name), getattr(fitted, field.name))


def test_a_write_that_was_cut_off_leaves_the_map_before(fitted: FittedMap, tmp_path: Path) -> None:
    path = tmp_path / "1.npz"
    save_map(fitted, SETTINGS, path)
    shutil.copy(path, tmp_path / "whole")
    (tmp_path / "1.tmp").write_bytes(path.read_bytes()[:100])
    assert load_map(path, SETTINGS, DIM) is not None
    save_map(dataclasses.replace(fitted, version=5), SETTINGS, path)
    assert load_map(path, SETTINGS, DIM).version == 5  # type: ignore[union-attr] # it was just saved
