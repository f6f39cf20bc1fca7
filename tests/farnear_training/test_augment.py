import numpy as np
import pytest
import torch
from farnear_training.augment import PRESETS, Augmentation, preview
from torch import Tensor


@pytest.fixture
def pixels() -> Tensor:
    return 0.1 + 0.9 * torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_changes_are_a_function_of_the_seed(preset: str, pixels: Tensor) -> None:
    augment, before, state = Augmentation(preset, 16), pixels.clone(), torch.get_rng_state()
    changed = augment(pixels, 1)
    assert torch.equal(Augmentation(preset, 16)(pixels, 1), changed)
    assert torch.equal(augment(pixels, 2), changed) == (preset == "none")
    assert torch.equal(pixels, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert changed.shape == pixels.shape
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_none_changes_nothing(pixels: Tensor) -> None:
    assert torch.equal(Augmentation("none", 16)(pixels, 1), pixels)


def test_erasing_blackens_one_rectangle_in_half_of_the_images(pixels: Tensor) -> None:
    changed = Augmentation("random-erasing", 16)(pixels, 1)
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
    changed = Augmentation("flips-erasing", 16)(pixels, 1)
    seen = {(): 0, (1,): 0, (2,): 0, (1, 2): 0}
    for before, after in zip(pixels, changed, strict=True):
        kept = after > 0
        (axes,) = [axes for axes in seen if torch.equal(after[kept], before.flip(axes)[kept])]
        seen[axes] += 1
    assert min(seen.values()) >= 6  # 16 expected of each


@pytest.mark.parametrize("preset", list(PRESETS))
def test_pixels_stay_within_bounds(preset: str, pixels: Tensor) -> None:
    changed = Augmentation(preset, 16)(pixels, 1)
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("preset", ["pad-rotate-scale", "simclr", "simclr-mild"])
def test_every_image_has_a_change_of_its_own(preset: str, pixels: Tensor) -> None:
    changed = Augmentation(preset, 16)(pixels[:1].expand(64, -1, -1, -1), 1)
    assert len(changed.flatten(1).unique(dim=0)) == 64


def test_pad_rotate_scale_moves_a_dot_by_no_more_than_it_says() -> None:
    dot = torch.zeros(200, 3, 33, 33)
    dot[:, :, 15:18, 15:18] = 1  # about the centre, which rotation and scale leave in place
    changed = Augmentation("pad-rotate-scale", 33)(dot, 0)[:, 0]
    weights = changed / changed.sum((1, 2), keepdim=True)
    shift = (weights.sum(1) @ torch.arange(33.0) - 16, weights.sum(2) @ torch.arange(33.0) - 16)
    for axis in shift:
        assert axis.abs().max() < 33 / 8 + 0.2
        assert axis.abs().mean() == pytest.approx(33 / 16, rel=0.2)


def test_simclr_takes_parts_of_the_image_and_their_colour() -> None:
    side = torch.linspace(0, 1, 32)
    ramp = torch.stack([side.expand(32, 32), side.expand(32, 32) / 2, 1 - side.expand(32, 32)]).expand(200, 3, 32, 32)
    changed = Augmentation("simclr", 32)(ramp, 0)
    grey = (changed.amax(1) - changed.amin(1)).flatten(1).amax(1) < 1e-3
    mirrored = changed[:, 0, :, 0].mean(1) > changed[:, 0, :, -1].mean(1)
    assert 20 <= int(grey.sum()) <= 65  # 40 expected
    assert 70 <= int(mirrored.sum()) <= 130  # 100 expected


def test_a_mild_simclr_keeps_left_from_right_and_the_centre_in_sight() -> None:
    ramp = torch.linspace(0, 1, 32).expand(200, 3, 32, 32)
    changed = Augmentation("simclr-mild", 32)(ramp, 0)
    assert (changed[:, :, :, 0].mean((1, 2)) < changed[:, :, :, -1].mean((1, 2))).all()
    dot = torch.zeros(200, 3, 33, 33)
    dot[:, :, 15:18, 15:18] = 1
    brightest = {preset: Augmentation(preset, 33)(dot, 0).flatten(1).amax(1) for preset in ("simclr", "simclr-mild")}
    assert (brightest["simclr"] < 0.01).any()
    assert (brightest["simclr-mild"] > 0.1).all()


def test_a_preview_shows_each_image_and_versions_of_it(pixels: Tensor) -> None:
    images = (pixels[:3].permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    before = images.copy()
    grid = preview(images, "flips-erasing", versions=4, seed=0)
    assert grid.shape == (3 * 16, 5 * 16, 3)
    assert np.array_equal(images, before)
    for row, image in enumerate(images):
        cells = [grid[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] for column in range(5)]
        assert np.array_equal(cells[0], image)
        assert any(not np.array_equal(cell, image) for cell in cells[1:])
        for cell in cells[1:]:  # mirrored and partly black, so every pixel that is left is one of the image's
            colours = {tuple(colour) for colour in cell.reshape(-1, 3)} - {(0, 0, 0)}
            assert colours <= {tuple(colour) for colour in image.reshape(-1, 3)}


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="augmentation: 'sepia'; allowed are none, random-erasing"):
        Augmentation("sepia", 16)
