import numpy as np
import pytest
from farnear_training.evaluate import imputation
from farnear_training.evaluate.imputation import NOISE, impute
from numpy.typing import NDArray


def some_image(seed: int, height: int = 7, width: int = 9) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(40, 216, (height, width, 3), np.uint8)


def weights_of(y: int, x: int, height: int, width: int) -> dict[tuple[int, int], float]:
    """The neighbours of a pixel that are in the image, and their weights."""
    return {
        (y + down, x + right): 1 / 12 if down and right else 1 / 6
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        if (down or right) and 0 <= y + down < height and 0 <= x + right < width
    }


@pytest.mark.parametrize("share", [0.02, 0.3, 0.95])
def test_each_pixel_is_the_weighted_mean_of_its_neighbours(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imputation, "NOISE", 0.0)
    image = some_image(0)
    gone = np.random.default_rng(1).random(image.shape[:2]) < share
    values = image.astype(np.float64)
    for _ in range(3000):  # Gauss-Seidel, pixel by pixel
        for y, x in np.argwhere(gone):
            weights = weights_of(y, x, *gone.shape)
            values[y, x] = sum(w * values[place] for place, w in weights.items()) / sum(weights.values())
    found = impute(image, gone, np.random.default_rng(0))
    np.testing.assert_allclose(found[gone], values[gone], atol=0.51)  # whole grey levels
    np.testing.assert_array_equal(found[~gone], image[~gone])


def test_noise_is_added_to_what_was_gone_alone() -> None:
    flat = np.full((60, 60, 3), 128, np.uint8)
    gone = np.zeros((60, 60), np.bool_)
    gone[5:55, 5:55] = True
    found = impute(flat, gone, np.random.default_rng(0)).astype(np.float64)
    assert found[gone].std() == pytest.approx(NOISE, rel=0.05)
    assert found[gone].mean() == pytest.approx(128, abs=0.2)
    assert (found[~gone] == 128).all()


def test_the_image_stays_as_it_is() -> None:
    image = some_image(2)
    before = image.copy()
    none = np.zeros(image.shape[:2], np.bool_)
    assert impute(image, none, np.random.default_rng(0)) is not image
    np.testing.assert_array_equal(impute(image, none, np.random.default_rng(0)), before)
    impute(image, ~none & (np.arange(9) > 2), np.random.default_rng(0))
    np.testing.assert_array_equal(image, before)


def test_nothing_left_is_refused() -> None:
    with pytest.raises(ValueError, match="gone: every pixel; at least one must be left"):
        impute(some_image(3), np.ones((7, 9), np.bool_), np.random.default_rng(0))
