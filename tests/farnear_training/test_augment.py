import pytest
import torch
from farnear_training.augment import PRESETS, Augmentation
from torch import Tensor


@pytest.fixture
def pixels() -> Tensor:
    return 0.1 + 0.9 * torch.rand(64, 3, 16, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_changes_are_a_function_of_the_seed(preset: str, pixels: Tensor) -> None:
    augment, before, state = Augmentation(preset), pixels.clone(), torch.get_rng_state()
    changed = augment(pixels, 1)
    assert torch.equal(Augmentation(preset)(pixels, 1), changed)
    assert torch.equal(augment(pixels, 2), changed) == (preset == "none")
    assert torch.equal(pixels, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert changed.shape == pixels.shape
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_none_changes_nothing(pixels: Tensor) -> None:
    assert torch.equal(Augmentation("none")(pixels, 1), pixels)


def test_erasing_blackens_one_rectangle_in_half_of_the_images(pixels: Tensor) -> None:
    changed = Augmentation("random-erasing")(pixels, 1)
    erased_images = 0
    for before, after in zip(pixels, changed, strict=True):
        erased = (after == 0).all(0)
        assert torch.equal(after[:, ~erased], before[:, ~erased])
        if erased.any():
            erased_images += 1
            rows, columns = erased.any(1), erased.any(0)
            assert torch.equal(erased, rows[:, None] & columns[None, :])
            assert 0.01 < erased.float().mean() < 0.4
    assert 20 <= erased_images <= 44


def test_flips_mirror_each_axis_in_half_of_the_images(pixels: Tensor) -> None:
    changed = Augmentation("flips-erasing")(pixels, 1)
    seen = {(): 0, (1,): 0, (2,): 0, (1, 2): 0}
    for before, after in zip(pixels, changed, strict=True):
        kept = after > 0
        (axes,) = [axes for axes in seen if torch.equal(after[kept], before.flip(axes)[kept])]
        seen[axes] += 1
    assert min(seen.values()) >= 6  # 16 expected of each


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="augmentation: 'sepia'; allowed are none, random-erasing"):
        Augmentation("sepia")
