"""Named presets of random changes to the training images, on Kornia."""

import math
from collections.abc import Callable

import numpy as np
import torch
from kornia import augmentation as kornia
from numpy.typing import NDArray
from torch import Tensor, nn

PRESETS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda size: nn.Identity(),
    "random-erasing": lambda size: kornia.RandomErasing(p=0.5),
    "flips-erasing": lambda size: nn.Sequential(
        kornia.RandomHorizontalFlip(p=0.5), kornia.RandomVerticalFlip(p=0.5), kornia.RandomErasing(p=0.5)
    ),
    "pad-rotate-scale": lambda size: kornia.RandomAffine(
        degrees=15, translate=(0.125, 0.125), scale=(0.8, 1.2), padding_mode="zeros", p=1
    ),
    "simclr": lambda size: _simclr(size, least=0.08, mirrored=0.5, jitter=0.8),
    "simclr-mild": lambda size: _simclr(size, least=0.6, mirrored=0, jitter=0.4),
}
"""What each does to images of a width and height in pixels:

* `none`: nothing.
* `random-erasing`: a rectangle of 2-33 % of the image set to black, in half of them (Zhong et al. 2020), as in the
  MN-pair paper.
* `flips-erasing`: the same after mirroring each axis in half of the images, for subjects without an up or a left.
* `pad-rotate-scale`: shifted by up to an eighth of the side, rotated by up to 15 degrees and scaled to 80-120 %, on
  black, in one resampling.
* `simclr`: a part of 8-100 % of the image resized to all of it, mirroring, colour jitter, grey and blur as in SimCLR
  (Chen et al. 2020, appendix A).
* `simclr-mild`: the same with a part of 60-100 %, half the colour jitter and no mirroring, for digits and letters.

On solar cells (ELPV, 64 px, 600 steps, one seed) mirroring raised MAP@R on validation images from 0.386 to 0.393 only,
so the paper's stays the default."""


class Augmentation:
    """One preset, by its name, for images of one width and height; raises ValueError for a name not in PRESETS."""

    def __init__(self, preset: str, image_size: int) -> None:
        if preset not in PRESETS:
            raise ValueError(f"augmentation: {preset!r}; allowed are {', '.join(PRESETS)}")
        self._change = PRESETS[preset](image_size)

    def __call__(self, pixels_B3HW: Tensor, seed: int) -> Tensor:
        """Changed copies of pixels in [0, 1], float of shape (B, 3, H, W), channels last; `seed` decides every draw."""
        with torch.random.fork_rng(devices=[]):  # Kornia draws from Torch's own generator
            torch.manual_seed(seed)
            changed: Tensor = self._change(pixels_B3HW)
        return changed.contiguous(memory_format=torch.channels_last)


def preview(images_BHW3: NDArray[np.uint8], preset: str, *, versions: int, seed: int) -> NDArray[np.uint8]:
    """A picture of square images, uint8 of shape (B, H, H, 3): a row for each, itself and changed versions of it.

    Returns:
        RGB, uint8 of shape (B H, (1 + versions) H, 3).
    """
    count, size = images_BHW3.shape[:2]
    pixels_B3HW = torch.from_numpy(images_BHW3).permute(0, 3, 1, 2).float() / 255
    changed = Augmentation(preset, size)(pixels_B3HW.repeat_interleave(versions, dim=0), seed)
    rows = torch.cat([pixels_B3HW[:, None], changed.reshape(count, versions, *pixels_B3HW.shape[1:])], dim=1)
    grid = rows.permute(0, 3, 1, 4, 2).reshape(count * size, (1 + versions) * size, 3)
    return (grid.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _simclr(size: int, *, least: float, mirrored: float, jitter: float) -> nn.Module:
    return nn.Sequential(
        kornia.RandomResizedCrop((size, size), scale=(least, 1), ratio=(3 / 4, 4 / 3)),
        kornia.RandomHorizontalFlip(p=mirrored),
        kornia.ColorJitter(jitter, jitter, jitter, jitter / 4, p=0.8),
        kornia.RandomGrayscale(p=0.2),
        kornia.RandomGaussianBlur(kernel_size=_odd(size / 10), sigma=(0.1, 2), p=0.5),
    )


def _odd(length: float) -> int:
    """The odd whole number at or above `length`, 3 at least."""
    return max(3, math.ceil(length) // 2 * 2 + 1)
