import numpy as np
import torch
from farnear_training.models import to_pixels


def test_pixels_are_scaled_and_channels_first() -> None:
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    pixels = to_pixels(torch.from_numpy(images))
    assert pixels.dtype == torch.float32
    assert np.array_equal(pixels.numpy(), images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
