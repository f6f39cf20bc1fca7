from collections.abc import Callable

import pytest
import torch
from farnear_training.models import Network
from torch import Tensor, nn


def noise(count: int, size: int) -> Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def settle(model: Network) -> Network:
    """`model` in eval mode, its batch norms as if it had been trained: with the statistics of some noise."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean of what it sees
    with torch.no_grad():
        model.train()(noise(16, model.image_size))
    return model.eval()


@pytest.fixture(scope="session")
def settled() -> Callable[[Network], Network]:
    return settle


@pytest.fixture(scope="session")
def make_noise() -> Callable[[int, int], Tensor]:
    return noise
