import faiss
import numpy as np
import pytest
from farnear_service.maps import FittedMap
from farnear_service.types import FloatArray

from tests.farnear_service.maps.conftest import groups


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
        reach=1.0,
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


def test_an_item_that_is_placed_again_lands_where_it_is(fitted: FittedMap, vectors: FloatArray) -> None:
    moved = np.linalg.norm(fitted.place(vectors) - fitted.positions, axis=1)
    apart = np.linalg.norm(fitted.positions[:, None] - fitted.positions[None], axis=2)
    assert np.median(moved) < np.median(apart) / 20


def test_inputs_are_not_modified(fitted: FittedMap, newcomers: FloatArray) -> None:
    """The arrays that were fitted are read-only, so fitting has shown it for them."""
    before = (newcomers.copy(), fitted.positions.copy())
    fitted.place(newcomers)
    np.testing.assert_array_equal(newcomers, before[0])
    np.testing.assert_array_equal(fitted.positions, before[1])
