import numpy as np
import pytest
from farnear_training.evaluate.perturbation import ROAD_SHARES, SHARES, Curves, curves
from numpy.typing import NDArray

SIDE = 10


def embed_left_half(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A unit vector that goes by the contrast of the left half against mid-grey, and by nothing on the right."""
    contrast = np.abs(images[:, :, : SIDE // 2].astype(np.float64) - 128).mean(axis=(1, 2, 3)) / 128
    angle = contrast * np.pi / 2
    return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Black and white pixels at random: every second one in each row, so that the mean is mid-grey."""
    generator = np.random.default_rng(0)
    rows = [generator.permutation(np.repeat([0, 255], SIDE // 2)) for _ in range(3 * SIDE)]
    return np.stack(rows).reshape(3, SIDE, SIDE, 1).repeat(3, axis=3).astype(np.uint8)


def importance(images: NDArray[np.uint8], *, left: bool) -> NDArray[np.float32]:
    columns = np.arange(SIDE, 0, -1) if left else np.arange(SIDE)
    return np.broadcast_to(columns.astype(np.float32), images.shape[:3])


def test_a_map_of_what_matters_is_told_from_its_opposite(images: NDArray[np.uint8]) -> None:
    right = curves(images, importance(images, left=True), embed_left_half, seed=0).scores()
    wrong = curves(images, importance(images, left=False), embed_left_half, seed=0).scores()
    assert (right[:, 0] < wrong[:, 0] - 0.2).all()
    assert (right[:, 1] > wrong[:, 1] + 0.05).all()
    assert (right[:, 2] < wrong[:, 2] - 0.1).all()


def test_deletion_is_what_a_plain_loop_finds(images: NDArray[np.uint8]) -> None:
    found = curves(images, importance(images, left=True), embed_left_half, seed=0).deletion
    for image, curve in zip(images, found, strict=True):
        whole = embed_left_half(image[None])[0]
        for share, cosine in zip(SHARES, curve, strict=True):
            changed = image.copy()
            changed[:, : round(share * SIDE)] = 128  # by columns from the left, to the mean of black and white
            assert cosine == pytest.approx(float(embed_left_half(changed[None])[0] @ whole), abs=1e-3)


def test_curves_begin_and_end_where_nothing_is_gone(images: NDArray[np.uint8]) -> None:
    random = np.random.default_rng(1).random(images.shape[:3], np.float32)
    found = curves(images, random, embed_left_half, seed=0)
    np.testing.assert_allclose(found.deletion[:, 0], 1, atol=1e-6)
    np.testing.assert_allclose(found.insertion[:, -1], 1, atol=1e-6)
    assert found.road.shape == (3, len(ROAD_SHARES))
    assert (np.diff(found.deletion) < 1e-6).all()


def test_scores_are_areas_and_a_mean() -> None:
    falling = np.linspace(1, 0, len(SHARES))[None]
    known = Curves(deletion=falling, insertion=np.ones_like(falling), road=np.array([[0.9, 0.6, 0.3]]))
    np.testing.assert_allclose(known.scores(), [[0.5, 1.0, 0.6]])


def test_pixels_of_one_importance_come_in_a_random_order(images: NDArray[np.uint8]) -> None:
    flat = np.zeros(images.shape[:3], np.float32)
    first, again, other = (curves(images, flat, embed_left_half, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.deletion, again.deletion)
    assert (first.deletion[:, 5] != other.deletion[:, 5]).any()


def test_each_image_is_told_and_stays_as_it_is(images: NDArray[np.uint8]) -> None:
    before = images.copy()
    done: list[int] = []
    maps = importance(images, left=True)
    curves(images, maps, embed_left_half, seed=0, progress=done.append)
    assert done == [1, 1, 1]
    np.testing.assert_array_equal(images, before)
